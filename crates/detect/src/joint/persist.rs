//! A host's state as bytes and back, exact to the bit.

use super::alarm::HostAlarm;
use super::change::Change;
use super::inputs::Inputs;
use super::level::Level;
use super::state::{self, JointStateError, Reader, Writer};
use super::tail::Tail;
use super::{JointConfig, JointHost, MAX_CHANNELS, MAX_MODELLED, Parts};

impl JointHost {
    /// Appends the state as bytes.
    pub fn save(&self, out: &mut Vec<u8>) {
        let mut w = Writer(out);
        w.bytes(&state::VERSION.to_le_bytes());
        w.u32(self.channels as u32);
        w.slice(&[self.age_s, self.fitted_s]);
        w.bytes(&self.ts_ms.to_le_bytes());
        self.inputs.write(&mut w);
        self.change.write(&mut w);
        self.level.write(&mut w);
        self.change_tail.write(&mut w);
        self.singles_tail.write(&mut w);
        self.alarm.write(&mut w);
        w.slice(&[self.held, self.parts.change, self.parts.level, self.parts.singles, self.parts.rollup]);
        w.u32(self.additions.len() as u32);
        w.slice(&self.additions);
    }

    /// Reads a state back; all of `bytes` belongs to it.
    ///
    /// # Errors
    /// Bytes that are no state: another version, cut short, damaged.
    pub fn load(bytes: &[u8], config: JointConfig) -> Result<Self, JointStateError> {
        let mut r = Reader { bytes, at: 0 };
        let version = r.u16()?;
        if version != state::VERSION {
            return Err(JointStateError::Version(version));
        }
        let channels = r.count("channels", MAX_CHANNELS)?;
        let modelled = channels.min(MAX_MODELLED);
        let (age_s, fitted_s) = (r.within("age", 0.0, f32::MAX)?, r.within("age", 0.0, f32::MAX)?);
        let ts_ms = r.i64()?;
        let inputs = Inputs::read(&mut r, modelled)?;
        let (change, level) = (Change::read(&mut r, modelled)?, Level::read(&mut r, modelled)?);
        let (change_tail, singles_tail) = (Tail::read(&mut r)?, Tail::read(&mut r)?);
        let alarm = HostAlarm::read(&mut r)?;
        let held = r.within("held", 0.0, f32::MAX)?;
        let parts = r.slice_or_nan("parts", 4)?;
        let parts = Parts { change: parts[0], level: parts[1], singles: parts[2], rollup: parts[3] };
        let additions = r.count("additions", channels)?;
        let additions = r.slice("additions", additions)?;
        if r.at != bytes.len() {
            return Err(JointStateError::Damaged("length"));
        }
        Ok(Self {
            config,
            channels,
            modelled,
            age_s,
            fitted_s,
            ts_ms,
            inputs,
            change,
            level,
            change_tail,
            singles_tail,
            alarm,
            held,
            parts,
            additions,
        })
    }
}
