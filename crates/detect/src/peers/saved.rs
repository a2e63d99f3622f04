//! A group as bytes: little-endian, field by field, exact to the bit.

use super::PeerGroup;
use super::member::Member;

/// Version of the layout below.
const VERSION: u16 = 2;
/// No group has more members; a greater number in the bytes is damage.
const MAX_MEMBERS: u32 = 10_000_000;

/// Why bytes are no group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PeerStateError {
    /// Another layout.
    #[error("the group's state has version `{0}`, this build reads `{VERSION}`; the group is learned anew")]
    Version(u16),
    /// Cut short, or damaged.
    #[error("the group's state is damaged or cut short; the group is learned anew")]
    Damaged,
}

impl PeerGroup {
    /// Appends what was learned: about 40 bytes a member. Values that were set but not ticked are left out.
    pub fn save(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&VERSION.to_le_bytes());
        out.extend_from_slice(&self.spread.to_le_bytes());
        for x in [self.deviation, self.tail.rarity, self.tail.slope] {
            out.extend_from_slice(&x.to_le_bytes());
        }
        out.extend_from_slice(&self.tail.peaks.to_le_bytes());
        out.extend_from_slice(&self.ticks.to_le_bytes());
        let kept = || self.members.iter().filter(|member| member.ticks > 0);
        out.extend_from_slice(&(kept().count() as u32).to_le_bytes());
        for member in kept() {
            out.extend_from_slice(&member.id.to_le_bytes());
            for x in [member.offset, member.deviation, member.score].iter().chain(&member.last) {
                out.extend_from_slice(&x.to_le_bytes());
            }
            out.extend_from_slice(&member.ticks.to_le_bytes());
            out.extend_from_slice(&member.regime.to_le_bytes());
            out.extend_from_slice(&[member.under, u8::from(member.alarm), u8::from(member.peak)]);
        }
    }

    /// Reads what [`PeerGroup::save`] wrote. Members wait for their series to [join](PeerGroup::join); those
    /// that never saw a tick are not brought back.
    ///
    /// # Errors
    /// Bytes of another version, cut short, or with numbers that can not be.
    pub fn load(bytes: &[u8]) -> Result<Self, PeerStateError> {
        let mut r = Reader(bytes);
        let version = u16::from_le_bytes(r.take()?);
        if version != VERSION {
            return Err(PeerStateError::Version(version));
        }
        let mut group = Self { spread: f64::from_le_bytes(r.take()?), ..Self::default() };
        (group.deviation, group.tail.rarity, group.tail.slope) = (r.finite()?, r.finite()?, r.finite()?);
        group.tail.peaks = u16::from_le_bytes(r.take()?);
        group.ticks = u32::from_le_bytes(r.take()?);
        let count = u32::from_le_bytes(r.take()?);
        let sane = group.spread.is_finite() && group.spread >= 0.0 && group.deviation >= 0.0 && group.tail.is_sane();
        if !sane || count > MAX_MEMBERS {
            return Err(PeerStateError::Damaged);
        }
        for _ in 0..count {
            let mut member = Member::new(u64::from_le_bytes(r.take()?), 0);
            (member.offset, member.deviation) = (r.finite()?, r.finite()?);
            member.score = f32::from_le_bytes(r.take()?);
            for score in &mut member.last {
                *score = r.finite()?;
            }
            member.ticks = u16::from_le_bytes(r.take()?);
            member.regime = u16::from_le_bytes(r.take()?);
            let [under, alarm, peak] = r.take()?;
            (member.under, member.alarm, member.peak, member.claimed) = (under, alarm == 1, peak == 1, false);
            if member.deviation < 0.0 {
                return Err(PeerStateError::Damaged);
            }
            if member.ticks > 0 {
                group.waiting.insert(member.id, group.members.len() as u32);
                group.members.push(member);
                group.values.push(f64::NAN);
            }
        }
        if r.0.is_empty() { Ok(group) } else { Err(PeerStateError::Damaged) }
    }
}

struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N], PeerStateError> {
        let (head, rest) = self.0.split_first_chunk::<N>().ok_or(PeerStateError::Damaged)?;
        self.0 = rest;
        Ok(*head)
    }

    fn finite(&mut self) -> Result<f32, PeerStateError> {
        let x = f32::from_le_bytes(self.take()?);
        if x.is_finite() { Ok(x) } else { Err(PeerStateError::Damaged) }
    }
}
