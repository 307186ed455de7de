//! How stored values are written: little-endian numbers, varints, length-prefixed text, and an envelope
//! with a version and a checksum.

use xxhash_rust::xxh3::xxh3_64;

/// A stored value that cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The value was written by a version that this one does not know.
    #[error("unknown version {0}")]
    Version(u8),
    /// The value is not what was written.
    #[error("checksum mismatch")]
    Checksum,
    /// The value ends early or has an impossible length.
    #[error("malformed")]
    Malformed,
}

/// Appends values to a buffer.
#[derive(Debug, Default)]
pub struct Writer(Vec<u8>);

/// Takes values off a buffer.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a>(&'a [u8]);

const HEADER_BYTES: usize = 9;

/// Wraps `payload` in an envelope: version, checksum, payload.
#[must_use]
pub fn seal(version: u8, payload: &[u8]) -> Vec<u8> {
    let mut res = Vec::with_capacity(HEADER_BYTES + payload.len());
    res.push(version);
    res.extend_from_slice(&xxh3_64(payload).to_le_bytes());
    res.extend_from_slice(payload);
    res
}

/// Opens an envelope of `version`.
///
/// # Errors
///
/// Another version, a checksum that does not match, or a value too short to be one.
pub fn unseal(version: u8, value: &[u8]) -> Result<&[u8], DecodeError> {
    let mut reader = Reader::new(value);
    let found = reader.u8()?;
    if found != version {
        return Err(DecodeError::Version(found));
    }
    let sum = reader.u64()?;
    let payload = reader.rest();
    if xxh3_64(payload) == sum { Ok(payload) } else { Err(DecodeError::Checksum) }
}

// === impl Writer ===

impl Writer {
    /// Goes on writing at the end of `buffer`.
    #[must_use]
    pub fn new(buffer: Vec<u8>) -> Self {
        Self(buffer)
    }

    /// What was written.
    #[must_use]
    pub fn into_inner(self) -> Vec<u8> {
        self.0
    }

    /// Bytes written so far.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether nothing was written.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// One byte.
    pub fn u8(&mut self, it: u8) {
        self.0.push(it);
    }

    /// Four bytes.
    pub fn u32(&mut self, it: u32) {
        self.bytes(&it.to_le_bytes());
    }

    /// Eight bytes.
    pub fn u64(&mut self, it: u64) {
        self.bytes(&it.to_le_bytes());
    }

    /// Eight bytes.
    pub fn i64(&mut self, it: i64) {
        self.bytes(&it.to_le_bytes());
    }

    /// Eight bytes.
    pub fn f64(&mut self, it: f64) {
        self.u64(it.to_bits());
    }

    /// One to ten bytes, fewer for small numbers (LEB128).
    pub fn varint(&mut self, mut it: u64) {
        while it >= 0x80 {
            self.0.push(it.to_le_bytes()[0] | 0x80);
            it >>= 7;
        }
        self.0.push(it.to_le_bytes()[0]);
    }

    /// A signed varint, small for small magnitudes (zigzag).
    pub fn signed(&mut self, it: i64) {
        self.varint((it.cast_unsigned() << 1) ^ (it >> 63).cast_unsigned());
    }

    /// A length and that many bytes.
    pub fn text(&mut self, it: &str) {
        self.varint(it.len() as u64);
        self.bytes(it.as_bytes());
    }

    /// Bytes as they are.
    pub fn bytes(&mut self, it: &[u8]) {
        self.0.extend_from_slice(it);
    }
}

// === impl Reader ===

impl<'a> Reader<'a> {
    /// Reads from the start of `bytes`.
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// Whether everything was read.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Everything that was not read.
    pub fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.0)
    }

    /// `n` bytes.
    ///
    /// # Errors
    ///
    /// There are fewer.
    pub fn bytes(&mut self, n: usize) -> Result<&'a [u8], DecodeError> {
        let (head, tail) = self.0.split_at_checked(n).ok_or(DecodeError::Malformed)?;
        self.0 = tail;
        Ok(head)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let (head, tail) = self.0.split_first_chunk().ok_or(DecodeError::Malformed)?;
        self.0 = tail;
        Ok(*head)
    }

    /// One byte.
    ///
    /// # Errors
    ///
    /// There is none, as with all methods below.
    pub fn u8(&mut self) -> Result<u8, DecodeError> {
        Ok(u8::from_le_bytes(self.array()?))
    }

    /// Four bytes.
    ///
    /// # Errors
    ///
    /// The value ends early.
    pub fn u32(&mut self) -> Result<u32, DecodeError> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    /// Eight bytes.
    ///
    /// # Errors
    ///
    /// The value ends early.
    pub fn u64(&mut self) -> Result<u64, DecodeError> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    /// Eight bytes.
    ///
    /// # Errors
    ///
    /// The value ends early.
    pub fn i64(&mut self) -> Result<i64, DecodeError> {
        Ok(i64::from_le_bytes(self.array()?))
    }

    /// Eight bytes.
    ///
    /// # Errors
    ///
    /// The value ends early.
    pub fn f64(&mut self) -> Result<f64, DecodeError> {
        Ok(f64::from_bits(self.u64()?))
    }

    /// A varint.
    ///
    /// # Errors
    ///
    /// The value ends early, or has more than 64 bits.
    pub fn varint(&mut self) -> Result<u64, DecodeError> {
        let mut res = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.u8()?;
            res |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(res);
            }
        }
        Err(DecodeError::Malformed)
    }

    /// A varint that counts or measures something in memory.
    ///
    /// # Errors
    ///
    /// As [`Self::varint`], or the number has no place in memory.
    pub fn size(&mut self) -> Result<usize, DecodeError> {
        usize::try_from(self.varint()?).map_err(|_| DecodeError::Malformed)
    }

    /// A signed varint.
    ///
    /// # Errors
    ///
    /// As [`Self::varint`].
    pub fn signed(&mut self) -> Result<i64, DecodeError> {
        let it = self.varint()?;
        Ok((it >> 1).cast_signed() ^ -(it & 1).cast_signed())
    }

    /// A length and that many bytes of UTF-8.
    ///
    /// # Errors
    ///
    /// The value ends early, or is not UTF-8.
    pub fn text(&mut self) -> Result<&'a str, DecodeError> {
        let n = self.size()?;
        std::str::from_utf8(self.bytes(n)?).map_err(|_| DecodeError::Malformed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn numbers_and_text_read_back(a: u64, b: i64, c: f64, d in any::<String>()) {
            let mut writer = Writer::default();
            writer.varint(a);
            writer.signed(b);
            writer.f64(c);
            writer.text(&d);
            let bytes = writer.into_inner();
            let mut reader = Reader::new(&bytes);
            prop_assert_eq!(reader.varint().unwrap(), a);
            prop_assert_eq!(reader.signed().unwrap(), b);
            prop_assert_eq!(reader.f64().unwrap().to_bits(), c.to_bits());
            prop_assert_eq!(reader.text().unwrap(), d);
            prop_assert!(reader.is_empty());
        }

        #[test]
        fn a_flipped_bit_is_noticed(payload: Vec<u8>, at: prop::sample::Index, bit in 0..8u8) {
            let mut value = seal(3, &payload);
            prop_assert_eq!(unseal(3, &value).unwrap(), &payload[..]);
            let at = at.index(value.len());
            value[at] ^= 1 << bit;
            prop_assert!(unseal(3, &value).is_err());
        }

        #[test]
        fn garbage_never_panics(bytes: Vec<u8>) {
            let _ = unseal(1, &bytes);
            let mut reader = Reader::new(&bytes);
            while reader.text().is_ok() && !reader.is_empty() {}
            let _ = Reader::new(&bytes).varint();
        }
    }
}
