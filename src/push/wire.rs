//! The protobuf encoding: fields of a message that is all there.

/// Why bytes are no message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum WireError {
    /// They end within a value.
    #[error("unexpected EOF")]
    End,
    /// A number has more than 64 bits.
    #[error("proto: variable length integer overflow")]
    Overflow,
    /// They are something else.
    #[error("proto: cannot parse invalid wire-format data")]
    Invalid,
    /// A length is larger than any that is taken.
    #[error("a length of {0} bytes is too large")]
    TooLarge(u64),
}

/// The value of a field.
#[derive(Clone, Copy, Debug)]
pub(super) enum Field<'a> {
    Varint(u64),
    Fixed64(u64),
    Bytes(&'a [u8]),
    /// One that no message of ours has.
    Fixed32,
}

/// Takes fields off a message.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wire<'a>(&'a [u8]);

impl<'a> Wire<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What was taken off until only `rest` was left.
    pub(super) fn until(&self, rest: &Self) -> &'a [u8] {
        self.0.get(..self.0.len().saturating_sub(rest.0.len())).unwrap_or_default()
    }

    /// The next number.
    pub(super) fn varint(&mut self) -> Result<u64, WireError> {
        let mut value = 0_u64;
        for (at, byte) in self.0.iter().enumerate().take(10) {
            if at == 9 && *byte > 1 {
                return Err(WireError::Overflow);
            }
            value |= u64::from(byte & 0x7f) << (7 * at);
            if byte & 0x80 == 0 {
                self.0 = self.0.get(at + 1..).unwrap_or_default();
                return Ok(value);
            }
        }
        Err(if self.0.len() < 10 { WireError::End } else { WireError::Overflow })
    }

    /// The next bytes, with their length before them. They are never more than there are; a length above
    /// `max` is told from a body that was cut off.
    pub(super) fn delimited(&mut self, max: usize) -> Result<&'a [u8], WireError> {
        let announced = self.varint()?;
        let len = usize::try_from(announced).ok().filter(|it| *it <= max);
        let len = len.ok_or(WireError::TooLarge(announced))?;
        let (head, tail) = self.0.split_at_checked(len).ok_or(WireError::End)?;
        self.0 = tail;
        Ok(head)
    }

    /// The next field and its number.
    pub(super) fn field(&mut self) -> Result<(u64, Field<'a>), WireError> {
        let invalid = |_| WireError::Invalid;
        let key = self.varint().map_err(invalid)?;
        let field = match key & 7 {
            0 => Field::Varint(self.varint().map_err(invalid)?),
            1 => {
                let (head, tail) = self.0.split_first_chunk().ok_or(WireError::Invalid)?;
                self.0 = tail;
                Field::Fixed64(u64::from_le_bytes(*head))
            }
            2 => Field::Bytes(self.delimited(usize::MAX).map_err(invalid)?),
            5 => {
                let (_, tail) = self.0.split_at_checked(4).ok_or(WireError::Invalid)?;
                self.0 = tail;
                Field::Fixed32
            }
            // Groups are of another age.
            _ => return Err(WireError::Invalid),
        };
        if key >> 3 == 0 { Err(WireError::Invalid) } else { Ok((key >> 3, field)) }
    }
}

/// The number of a zigzag.
pub(super) fn unzigzag(value: u64) -> i64 {
    (value >> 1).cast_signed() ^ -(value & 1).cast_signed()
}
