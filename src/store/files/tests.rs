use super::*;
use crate::store::{Config, Store};

/// An old segment, with a record of a later one across what stood there.
#[test]
fn a_segment_that_is_used_again_before_its_head_is_written_is_no_damage() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(&Config::new(dir.path().to_owned())).unwrap();
    let table = store.table("t").unwrap();
    for n in 0..400_u32 {
        table.put(&n.to_be_bytes(), &[n.to_le_bytes()[0]; 10_000]).unwrap();
    }
    store.flush().unwrap();
    drop((table, store));
    let noted = durable::noted(dir.path()).unwrap().unwrap().cast_unsigned();
    let file = dir.path().join("db").join("db");
    let whole = fs::read(&file).unwrap();
    assert_eq!(check(dir.path(), |_| ()).unwrap().damage, []);
    // What is durable was written in order: a record of that is damage where it does not belong.
    let newest = noted / SEGMENT_BYTES;
    for (number, damaged) in [(newest, 1), (newest + 1, 0), (newest + 3, 0)] {
        let mut log = whole.clone();
        let record = mend::cancelled(number, 3000).unwrap();
        // Within the first message: what stands behind the last one of a segment is not looked at.
        let at = SEGMENT_HEAD + 100;
        log[at..at + record.len()].copy_from_slice(&record);
        fs::write(&file, log).unwrap();
        assert_eq!(check(dir.path(), |_| ()).unwrap().damage.len(), damaged, "{number}");
    }
}
