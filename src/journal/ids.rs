//! Which given ids a sealed block may have: a filter of bits, so that finding one event opens hardly any
//! other block. The ids themselves are in the chunks.

use crate::codec;
use crate::codec::DecodeError;

const VERSION: u8 = 1;
/// With seven probes, one in a hundred ids that are not there seems to be.
const BITS_PER_ID: usize = 10;
const PROBES: u64 = 7;

/// The stored form of a filter for ids with these hashes; `None` if there are none.
pub(super) fn encode(hashes: &[u64]) -> Option<Vec<u8>> {
    if hashes.is_empty() {
        return None;
    }
    let mut bits = vec![0u8; (hashes.len() * BITS_PER_ID).div_ceil(8)];
    for hash in hashes {
        for place in places(*hash, bits.len()) {
            if let Some(it) = bits.get_mut(place / 8) {
                *it |= 1 << (place % 8);
            }
        }
    }
    Some(codec::seal(VERSION, &bits))
}

/// Whether an id with this hash may be among those of a stored filter.
pub(super) fn may_have(value: &[u8], hash: u64) -> Result<bool, DecodeError> {
    let bits = codec::unseal(VERSION, value)?;
    let set = |place: usize| bits.get(place / 8).is_some_and(|it| it & (1 << (place % 8)) != 0);
    Ok(!bits.is_empty() && places(hash, bits.len()).all(set))
}

/// The places of the bits of one id.
fn places(hash: u64, n_bytes: usize) -> impl Iterator<Item = usize> {
    let n = (n_bytes as u64).saturating_mul(8).max(1);
    let step = hash.rotate_left(32) | 1;
    let place = move |i: u64| hash.wrapping_add(i.wrapping_mul(step)) % n;
    (0..PROBES).map(place).filter_map(|it| usize::try_from(it).ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use xxhash_rust::xxh3::xxh3_64;

    fn hash(i: u32) -> u64 {
        xxh3_64(&i.to_le_bytes())
    }

    #[test]
    fn what_is_there_is_found_and_little_else() {
        let hashes: Vec<_> = (0..5000).map(hash).collect();
        let value = encode(&hashes).unwrap();
        assert!(hashes.iter().all(|it| may_have(&value, *it).unwrap()));
        let wrong = (5000..15_000).filter(|it| may_have(&value, hash(*it)).unwrap()).count();
        assert!(wrong < 250, "{wrong}");
        assert_eq!(encode(&[]), None);
    }

    #[test]
    fn a_damaged_filter_is_no_answer() {
        let mut value = encode(&[1, 2, 3]).unwrap();
        *value.last_mut().unwrap() ^= 1;
        assert!(may_have(&value, 1).is_err());
        assert!(!may_have(&codec::seal(VERSION, &[]), 1).unwrap());
    }
}
