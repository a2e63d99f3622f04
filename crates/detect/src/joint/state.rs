//! Bytes of a host's state: little-endian, field by field, exact to the bit, checked when read.

/// Version of the layout of a host's state.
pub(crate) const VERSION: u16 = 4;

/// Why bytes are no state of a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum JointStateError {
    /// Another layout.
    #[error("state of the host has version `{0}`, this build reads `{VERSION}`; the host is learned anew")]
    Version(u16),
    /// Cut short.
    #[error("state of the host ends after `{0}` bytes, before it is complete; the host is learned anew")]
    Short(usize),
    /// A number that no host can have.
    #[error("state of the host is damaged: `{0}` is out of range; the host is learned anew")]
    Damaged(&'static str),
}

pub(crate) struct Writer<'a>(pub(crate) &'a mut Vec<u8>);

impl Writer<'_> {
    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    pub(crate) fn f32(&mut self, x: f32) {
        self.bytes(&x.to_le_bytes());
    }

    pub(crate) fn u32(&mut self, x: u32) {
        self.bytes(&x.to_le_bytes());
    }

    pub(crate) fn slice(&mut self, numbers: &[f32]) {
        for x in numbers {
            self.f32(*x);
        }
    }
}

pub(crate) struct Reader<'a> {
    pub(crate) bytes: &'a [u8],
    pub(crate) at: usize,
}

impl Reader<'_> {
    pub(crate) fn take<const N: usize>(&mut self) -> Result<[u8; N], JointStateError> {
        let taken = self.bytes.get(self.at..).and_then(<[u8]>::first_chunk::<N>);
        self.at += N;
        taken.copied().ok_or(JointStateError::Short(self.bytes.len()))
    }

    pub(crate) fn u16(&mut self) -> Result<u16, JointStateError> {
        Ok(u16::from_le_bytes(self.take()?))
    }

    pub(crate) fn u32(&mut self) -> Result<u32, JointStateError> {
        Ok(u32::from_le_bytes(self.take()?))
    }

    pub(crate) fn i64(&mut self) -> Result<i64, JointStateError> {
        Ok(i64::from_le_bytes(self.take()?))
    }

    /// A number within bounds; NaN is never.
    pub(crate) fn within(&mut self, what: &'static str, least: f32, most: f32) -> Result<f32, JointStateError> {
        let x = f32::from_le_bytes(self.take()?);
        if (least..=most).contains(&x) { Ok(x) } else { Err(JointStateError::Damaged(what)) }
    }

    /// `count` finite numbers.
    pub(crate) fn slice(&mut self, what: &'static str, count: usize) -> Result<Vec<f32>, JointStateError> {
        self.has(count.saturating_mul(4))?;
        (0..count).map(|_| self.within(what, f32::MIN, f32::MAX)).collect()
    }

    /// `count` numbers that are finite or NaN.
    pub(crate) fn slice_or_nan(&mut self, what: &'static str, count: usize) -> Result<Vec<f32>, JointStateError> {
        self.has(count.saturating_mul(4))?;
        let number = |bytes| match f32::from_le_bytes(bytes) {
            x if x.is_infinite() => Err(JointStateError::Damaged(what)),
            x => Ok(x),
        };
        (0..count).map(|_| self.take().and_then(number)).collect()
    }

    /// `count` bytes.
    pub(crate) fn byte_slice(&mut self, count: usize) -> Result<Vec<u8>, JointStateError> {
        self.has(count)?;
        self.at += count;
        Ok(self.bytes[self.at - count..self.at].to_vec())
    }

    /// Checked before anything is set aside: a damaged count must not ask for all memory.
    fn has(&self, bytes: usize) -> Result<(), JointStateError> {
        let left = self.bytes.len().saturating_sub(self.at);
        if left < bytes { Err(JointStateError::Short(self.bytes.len())) } else { Ok(()) }
    }

    /// A count of at most `most`.
    pub(crate) fn count(&mut self, what: &'static str, most: usize) -> Result<usize, JointStateError> {
        let count = self.u32()? as usize;
        if count <= most { Ok(count) } else { Err(JointStateError::Damaged(what)) }
    }
}
