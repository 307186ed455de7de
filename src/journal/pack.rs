//! Compression with contexts that are used again, and sizes that are not believed.

use crate::codec::DecodeError;
use std::{fmt, io::Read};

/// More than any value that is written: a single event of the largest body there may be.
const MAX_BYTES: usize = 1 << 30;
/// Bytes that are set aside for what a value says it unpacks to; beyond, memory grows with what comes.
const TRUSTED_BYTES: usize = 4 << 20;
/// What is shorter is not worth a frame.
const MIN_BYTES: usize = 48;

/// Compresses values.
pub(super) struct Packer(zstd::bulk::Compressor<'static>);

/// Decompresses values.
pub(super) struct Unpacker(Option<zstd::bulk::Decompressor<'static>>);

impl Packer {
    /// One that works at `level`.
    pub(super) fn new(level: i32) -> std::io::Result<Self> {
        zstd::bulk::Compressor::new(level).map(Self)
    }

    /// `bytes` compressed; `None` if that does not pay.
    pub(super) fn pack(&mut self, bytes: &[u8]) -> Option<Vec<u8>> {
        if bytes.len() < MIN_BYTES {
            return None;
        }
        let packed = self.0.compress(bytes).ok()?;
        (packed.len() + packed.len() / 16 < bytes.len()).then_some(packed)
    }
}

impl Unpacker {
    /// One for any level.
    pub(super) fn new() -> Self {
        Self(None)
    }

    /// What was packed and had `size` bytes.
    pub(super) fn unpack(&mut self, packed: &[u8], size: usize) -> Result<Vec<u8>, DecodeError> {
        if size > MAX_BYTES {
            return Err(DecodeError::Malformed);
        }
        let res = if size <= TRUSTED_BYTES {
            if self.0.is_none() {
                self.0 = zstd::bulk::Decompressor::new().ok();
            }
            let context = self.0.as_mut().ok_or(DecodeError::Malformed)?;
            context.decompress(packed, size).map_err(|_| DecodeError::Malformed)?
        } else {
            let decoder = zstd::stream::read::Decoder::with_buffer(packed);
            let decoder = decoder.map_err(|_| DecodeError::Malformed)?;
            let mut res = Vec::with_capacity(TRUSTED_BYTES);
            let read = decoder.take(size as u64 + 1).read_to_end(&mut res);
            read.map_err(|_| DecodeError::Malformed)?;
            res
        };
        if res.len() == size { Ok(res) } else { Err(DecodeError::Malformed) }
    }
}

impl fmt::Debug for Unpacker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Unpacker")
    }
}

impl fmt::Debug for Packer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Packer")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_that_lies_is_refused_without_the_memory() {
        let bytes = vec![7; 10_000];
        let packed = Packer::new(3).unwrap().pack(&bytes).unwrap();
        let mut unpacker = Unpacker::new();
        assert_eq!(unpacker.unpack(&packed, bytes.len()).unwrap(), bytes);
        for size in [0, 9_999, 10_001, TRUSTED_BYTES + 1, MAX_BYTES, usize::MAX] {
            assert!(unpacker.unpack(&packed, size).is_err(), "{size}");
        }
        let large = vec![7; TRUSTED_BYTES + 5];
        let packed = Packer::new(3).unwrap().pack(&large).unwrap();
        assert_eq!(unpacker.unpack(&packed, large.len()).unwrap(), large);
    }
}
