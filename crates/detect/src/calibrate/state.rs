//! Ledgers and discoveries as bytes: little-endian, field by field, exact to the bit, checked when read.

use std::collections::BTreeMap;

use super::discovery::Discoveries;
use super::ledger::{Ledger, Unit};
use super::peaks::{BINS, Cluster, Peaks};

/// Version of the layout below.
const VERSION: u16 = 1;
/// More weeks than any memory, and more events than any fleet has in one.
const HUGE: f64 = 1e15;

/// Why bytes are no ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LedgerError {
    /// Another layout.
    #[error("has version `{0}`, this build reads `{VERSION}`")]
    Version(u16),
    /// Cut short.
    #[error("ends before it is complete")]
    Short,
    /// A number that can not be.
    #[error("is damaged: `{0}` is out of range")]
    Damaged(&'static str),
}

impl Ledger {
    /// Appends all that happened.
    pub fn save(&self, out: &mut Vec<u8>) {
        out.extend(VERSION.to_le_bytes());
        self.fleet.save(out);
        self.fired.save(out);
        out.extend((self.units.len() as u32).to_le_bytes());
        for (name, unit) in &self.units {
            text(name, out);
            out.extend(unit.born_ms.to_le_bytes());
            out.extend(unit.seen_ms.to_le_bytes());
            out.extend(unit.size.to_le_bytes());
            out.push(u8::from(unit.peaks.is_some()) | u8::from(unit.cluster.is_some()) << 1);
            unit.peaks.iter().for_each(|peaks| peaks.save(out));
            unit.cluster.iter().for_each(|cluster| cluster.save(out));
        }
    }

    /// Takes back what [`Ledger::save`] wrote; the budget is that of `self`. Returns the bytes it took.
    ///
    /// # Errors
    /// The bytes are no ledger; nothing changes then.
    pub fn load(&mut self, bytes: &[u8]) -> Result<usize, LedgerError> {
        let mut r = Reader { bytes, at: 0 };
        r.version()?;
        let (fleet, fired) = (r.peaks(self.fleet.memory)?, r.peaks(self.fired.memory)?);
        let mut units = BTreeMap::new();
        for _ in 0..u32::from_le_bytes(r.take()?) {
            let name = r.text()?;
            let (born_ms, seen_ms) = (i64::from_le_bytes(r.take()?), i64::from_le_bytes(r.take()?));
            let size = r.number("size", 1.0, 1e9)?;
            let [parts] = r.take()?;
            let peaks = (parts & 1 != 0).then(|| r.peaks(self.fleet.memory)).transpose()?.map(Box::new);
            let cluster = (parts & 2 != 0).then(|| r.cluster()).transpose()?;
            units.insert(name, Unit { born_ms, seen_ms, size, peaks, cluster });
        }
        (self.fleet, self.fired, self.units) = (fleet, fired, units);
        Ok(r.at)
    }
}

impl Discoveries {
    /// Appends all that was found.
    pub fn save(&self, out: &mut Vec<u8>) {
        out.extend(VERSION.to_le_bytes());
        self.day.save(out);
        self.null.save(out);
        out.extend((self.clusters.len() as u32).to_le_bytes());
        for (name, cluster) in &self.clusters {
            text(name, out);
            cluster.save(out);
        }
    }

    /// Takes back what [`Discoveries::save`] wrote; the share is that of `self`. Returns the bytes it took.
    ///
    /// # Errors
    /// The bytes are none of it; nothing changes then.
    pub fn load(&mut self, bytes: &[u8]) -> Result<usize, LedgerError> {
        let mut r = Reader { bytes, at: 0 };
        r.version()?;
        let (day, null) = (r.peaks(self.day.memory)?, r.peaks(self.null.memory)?);
        let mut clusters = BTreeMap::new();
        for _ in 0..u32::from_le_bytes(r.take()?) {
            let name = r.text()?;
            clusters.insert(name, r.cluster()?);
        }
        (self.day, self.null, self.clusters) = (day, null, clusters);
        Ok(r.at)
    }
}

impl Peaks {
    fn save(&self, out: &mut Vec<u8>) {
        out.extend(self.at_ms.to_le_bytes());
        out.extend(self.exposure.to_le_bytes());
        out.extend(self.counts.iter().flat_map(|count| count.to_le_bytes()));
    }
}

impl Cluster {
    fn save(&self, out: &mut Vec<u8>) {
        out.extend(self.began_ms.to_le_bytes());
        out.extend(self.last_ms.to_le_bytes());
        out.extend(self.edge.to_le_bytes());
        out.extend([self.bin, u8::from(self.fired)]);
    }
}

fn text(text: &str, out: &mut Vec<u8>) {
    out.extend((text.len() as u32).to_le_bytes());
    out.extend(text.as_bytes());
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N], LedgerError> {
        let taken = self.bytes.get(self.at..).and_then(<[u8]>::first_chunk::<N>).copied();
        self.at += N;
        taken.ok_or(LedgerError::Short)
    }

    fn version(&mut self) -> Result<(), LedgerError> {
        let version = u16::from_le_bytes(self.take()?);
        if version == VERSION { Ok(()) } else { Err(LedgerError::Version(version)) }
    }

    fn number(&mut self, what: &'static str, least: f32, most: f32) -> Result<f32, LedgerError> {
        let x = f32::from_le_bytes(self.take()?);
        if (least..=most).contains(&x) { Ok(x) } else { Err(LedgerError::Damaged(what)) }
    }

    fn text(&mut self) -> Result<Box<str>, LedgerError> {
        let len = u32::from_le_bytes(self.take()?) as usize;
        let bytes = self.bytes.get(self.at..).and_then(|rest| rest.get(..len)).ok_or(LedgerError::Short)?;
        self.at += len;
        std::str::from_utf8(bytes).map(Box::from).map_err(|_| LedgerError::Damaged("name"))
    }

    fn peaks(&mut self, memory: f64) -> Result<Peaks, LedgerError> {
        let at_ms = i64::from_le_bytes(self.take()?);
        let exposure = f64::from_le_bytes(self.take()?);
        if !(0.0..=HUGE).contains(&exposure) {
            return Err(LedgerError::Damaged("exposure"));
        }
        let mut counts = [0.0; BINS];
        for count in &mut counts {
            *count = self.number("count", 0.0, HUGE as f32)?;
        }
        Ok(Peaks { memory, at_ms, exposure, counts })
    }

    fn cluster(&mut self) -> Result<Cluster, LedgerError> {
        let (began_ms, last_ms) = (i64::from_le_bytes(self.take()?), i64::from_le_bytes(self.take()?));
        let edge = self.number("edge", 1.0, super::MAX_EDGE)?;
        let [bin, fired] = self.take()?;
        if usize::from(bin) >= BINS {
            return Err(LedgerError::Damaged("step"));
        }
        Ok(Cluster { began_ms, last_ms, bin, edge, fired: fired != 0 })
    }
}
