//! gzip on all cores: the chunks of a page are compressed apart, each ending on a byte boundary (a sync
//! flush), and joined into one ordinary gzip member (RFC 1951, RFC 1952).

use bytes::Bytes;
use flate2::{Compress, Compression, Crc, FlushCompress, Status};
use std::{
    sync::{Mutex, PoisonError, mpsc},
    thread,
};

/// Level 1: on a page of metrics more costs more than it saves.
const LEVEL: Compression = Compression::new(1);

/// Magic, deflate, no flags, no time, fastest, unknown system.
const HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 4, 255];

/// A final, empty block: what ends a stream whose last block was not final.
const END: [u8; 2] = [3, 0];

struct Part {
    deflated: Vec<u8>,
    crc: Crc,
}

/// Compresses the chunks that `produce` hands to its argument, in order, with up to `threads` helpers.
pub(super) fn compress(
    threads: usize,
    produce: impl FnOnce(&mut dyn FnMut(Vec<u8>)),
) -> Vec<Bytes> {
    let (work, todo) = mpsc::sync_channel::<(usize, Vec<u8>)>(2 * threads);
    let todo = Mutex::new(todo);
    let parts = Mutex::new(Vec::new());
    let take = || todo.lock().unwrap_or_else(PoisonError::into_inner).recv();
    let put = |at: usize, part: Part| {
        let mut parts = parts.lock().unwrap_or_else(PoisonError::into_inner);
        let n = parts.len().max(at + 1);
        parts.resize_with(n, || None);
        if let Some(it) = parts.get_mut(at) {
            *it = Some(part);
        }
    };
    thread::scope(|scope| {
        let mut started = 0;
        let mut n = 0;
        let mut first = None;
        produce(&mut |chunk| {
            // Most pages are one chunk: those need no thread.
            if n == 0 {
                first = Some(chunk);
            } else {
                if started < threads {
                    started += 1;
                    scope.spawn(|| {
                        while let Ok((at, chunk)) = take() {
                            put(at, deflate(&chunk));
                        }
                    });
                }
                let _ = work.send((n, chunk));
            }
            n += 1;
        });
        drop(work);
        if let Some(chunk) = first {
            put(0, deflate(&chunk));
        }
        while let Ok((at, chunk)) = take() {
            put(at, deflate(&chunk));
        }
    });
    let parts = parts.into_inner().unwrap_or_else(PoisonError::into_inner);
    join(parts.into_iter().flatten())
}

fn deflate(chunk: &[u8]) -> Part {
    let mut crc = Crc::new();
    crc.update(chunk);
    let mut state = Compress::new(LEVEL, false);
    let mut deflated = Vec::with_capacity(chunk.len() / 4 + 64);
    loop {
        let done = usize::try_from(state.total_in()).unwrap_or(usize::MAX);
        let rest = chunk.get(done..).unwrap_or_default();
        let full = deflated.len() == deflated.capacity();
        if full {
            deflated.reserve(deflated.len() / 2 + 64);
        }
        match state.compress_vec(rest, &mut deflated, FlushCompress::Sync) {
            // A sync flush is complete when it leaves room in the output.
            Ok(Status::Ok | Status::BufError) if deflated.len() == deflated.capacity() => {}
            _ => break,
        }
    }
    Part { deflated, crc }
}

fn join(parts: impl Iterator<Item = Part>) -> Vec<Bytes> {
    let mut crc = Crc::new();
    let mut res = vec![Bytes::from_static(&HEADER)];
    for part in parts {
        crc.combine(&part.crc);
        res.push(Bytes::from(part.deflated));
    }
    let mut end = END.to_vec();
    end.extend_from_slice(&crc.sum().to_le_bytes());
    end.extend_from_slice(&crc.amount().to_le_bytes());
    res.push(Bytes::from(end));
    res
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    #[track_caller]
    fn check(chunks: &[Vec<u8>]) {
        let packed = compress(2, |push| chunks.iter().for_each(|it| push(it.clone()))).concat();
        let mut back = Vec::new();
        flate2::read::GzDecoder::new(&packed[..]).read_to_end(&mut back).unwrap();
        assert!(back == chunks.concat());
    }

    #[test]
    fn reads_back_as_one_member() {
        check(&[]);
        check(&[b"hello".to_vec()]);
        let text =
            |n: usize| (0..n).flat_map(|i| format!("a{{b=\"{i}\"}} {i}\n").into_bytes()).collect();
        check(&[text(10), text(10_000), text(1), text(50_000)]);
        let noise: Vec<u8> = (0..200_000u64)
            .map(|i| (i.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56).to_le_bytes()[0])
            .collect();
        check(&[noise.clone(), noise]);
    }
}
