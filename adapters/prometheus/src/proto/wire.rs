//! Protobuf wire format: a reader over one message inside a larger body.
//!
//! Positions are those of the whole body, so that errors name the byte and label runs can be referred
//! to without copying. Never panics and never allocates. Unknown fields are skipped, groups (which no
//! message here has) are an error. Format: <https://protobuf.dev/programming-guides/encoding/>.

use super::DecodeError;

/// Tag of a varint field.
pub(super) const fn varint(field: u32) -> u32 {
    field << 3
}

/// Tag of a 64-bit field.
pub(super) const fn fixed64(field: u32) -> u32 {
    field << 3 | 1
}

/// Tag of a field with a length: text, bytes, message, packed numbers.
pub(super) const fn length(field: u32) -> u32 {
    field << 3 | 2
}

/// Reads the fields of one message.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reader<'a> {
    /// The body up to the end of this message.
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    /// A reader of the message that is the whole body.
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// Position in the body.
    pub(super) fn at(&self) -> usize {
        self.at
    }

    /// The bytes from `start` to here.
    pub(super) fn since(&self, start: usize) -> &'a [u8] {
        &self.bytes[start..self.at]
    }

    /// Whether the message has ended.
    pub(super) fn is_done(&self) -> bool {
        self.at >= self.bytes.len()
    }

    /// Whether the next byte is `byte`.
    #[inline]
    pub(super) fn next_is(&self, byte: u8) -> bool {
        self.bytes.get(self.at) == Some(&byte)
    }

    /// The next tag (field number and wire type), or `None` at the end of the message.
    #[inline]
    pub(super) fn tag(&mut self) -> Result<Option<u32>, DecodeError> {
        match self.bytes.get(self.at) {
            None => Ok(None),
            Some(&byte) if (8..0x80).contains(&byte) => {
                self.at += 1;
                Ok(Some(u32::from(byte)))
            }
            Some(_) => {
                let at = self.at;
                let tag = u32::try_from(self.varint()?).ok().filter(|tag| *tag >= 8);
                tag.map(Some).ok_or(DecodeError::Malformed { what: "no such field number", at })
            }
        }
    }

    /// A varint.
    #[inline]
    pub(super) fn varint(&mut self) -> Result<u64, DecodeError> {
        match self.bytes.get(self.at) {
            Some(&byte) if byte < 0x80 => {
                self.at += 1;
                Ok(u64::from(byte))
            }
            _ => self.long_varint(),
        }
    }

    fn long_varint(&mut self) -> Result<u64, DecodeError> {
        let mut value = 0u64;
        for (i, byte) in self.bytes[self.at..].iter().take(10).enumerate() {
            value |= u64::from(byte & 0x7f) << (7 * i);
            if *byte < 0x80 {
                self.at += i + 1;
                return Ok(value);
            }
        }
        let what = if self.bytes.len() - self.at < 10 { "a number is cut short" } else { "a number is too long" };
        Err(DecodeError::Malformed { what, at: self.at })
    }

    /// A zigzag-encoded signed number (`sint32`, `sint64`).
    pub(super) fn zigzag(&mut self) -> Result<i64, DecodeError> {
        let raw = self.varint()?;
        Ok((raw >> 1) as i64 ^ -((raw & 1) as i64))
    }

    /// A 64-bit floating-point number; NaN payloads survive.
    #[inline]
    pub(super) fn double(&mut self) -> Result<f64, DecodeError> {
        match self.bytes[self.at..].first_chunk::<8>() {
            Some(bytes) => {
                self.at += 8;
                Ok(f64::from_bits(u64::from_le_bytes(*bytes)))
            }
            None => Err(DecodeError::Malformed { what: "a value is cut short", at: self.at }),
        }
    }

    /// The message, text or packed list of a field with a length; this reader goes on behind it.
    #[inline]
    pub(super) fn message(&mut self) -> Result<Reader<'a>, DecodeError> {
        let begin = self.at;
        let len = self.varint()?;
        let rest = self.bytes.len() - self.at;
        if len > rest as u64 {
            return Err(DecodeError::Malformed { what: "a field is longer than what is left", at: begin });
        }
        let start = self.at;
        self.at += len as usize;
        Ok(Reader { bytes: &self.bytes[..self.at], at: start })
    }

    /// The bytes of a field with a length.
    pub(super) fn slice(&mut self) -> Result<&'a [u8], DecodeError> {
        let inner = self.message()?;
        Ok(&inner.bytes[inner.at..])
    }

    /// Skips the value of the field with `tag`.
    pub(super) fn skip(&mut self, tag: u32) -> Result<(), DecodeError> {
        match tag & 7 {
            0 => self.varint().map(drop),
            1 => self.double().map(drop),
            2 => self.message().map(drop),
            5 if self.bytes.len() - self.at >= 4 => {
                self.at += 4;
                Ok(())
            }
            5 => Err(DecodeError::Malformed { what: "a value is cut short", at: self.at }),
            _ => Err(DecodeError::Malformed { what: "unknown wire type", at: self.at }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn numbers() {
        let mut reader = Reader::new(&[0x96, 0x01, 0x03, 0x80]);
        assert_eq!(reader.varint(), Ok(150));
        assert_eq!(reader.zigzag(), Ok(-2));
        assert_eq!(reader.varint(), Err(DecodeError::Malformed { what: "a number is cut short", at: 3 }));
        let mut minus_one = Reader::new(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01]);
        assert_eq!(minus_one.varint().map(|n| n as i64), Ok(-1));
        assert!(Reader::new(&[0xff; 11]).varint().is_err());
    }

    #[test]
    fn a_length_beyond_the_end_is_refused() {
        let mut reader = Reader::new(&[0x0a, 0x05, b'a']);
        assert_eq!(reader.tag(), Ok(Some(length(1))));
        let error = reader.slice().expect_err("too short");
        assert_eq!(error.to_string(), "protobuf: a field is longer than what is left, at byte 1");
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(bytes: Vec<u8>) {
            let mut reader = Reader::new(&bytes);
            while let Ok(Some(tag)) = reader.tag() {
                let before = reader.at();
                if reader.skip(tag).is_err() {
                    break;
                }
                prop_assert!(reader.at() > before && reader.at() <= bytes.len());
            }
        }
    }
}
