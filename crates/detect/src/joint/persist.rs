//! A host's state as bytes and back, exact to the bit.

use super::alarm::HostAlarm;
use super::change::Change;
use super::inputs::Inputs;
use super::level::Level;
use super::named::Named;
use super::parts::Recent;
use super::state::{self, JointStateError, Reader, Writer};
use super::tail::Tail;
use super::{JointConfig, JointHost, MAX_CHANNELS, MAX_MODELLED, Method, Methods, Parts};

impl JointHost {
    /// Appends the state as bytes.
    pub fn save(&self, out: &mut Vec<u8>) {
        let mut w = Writer(out);
        w.bytes(&state::VERSION.to_le_bytes());
        // As what it was built: a config that asks for others does not change what is read back.
        w.bytes(&[self.config.methods.bits()]);
        w.u32(self.channels as u32);
        w.slice(&[self.age_s, self.fitted_s]);
        w.bytes(&self.ts_ms.to_le_bytes());
        self.inputs.write(&mut w);
        self.change.iter().for_each(|head| head.write(&mut w));
        self.level.iter().for_each(|head| head.write(&mut w));
        self.named.iter().for_each(|heads| heads.write(&mut w));
        self.change_tail.write(&mut w);
        self.singles_tail.write(&mut w);
        self.alarm.write(&mut w);
        w.slice(&self.held);
        self.recent.write(&mut w);
        w.f32(self.parts.rollup);
        w.slice(&Method::ALL.map(|method| self.parts.of(method)));
        w.u32(self.additions.len() as u32);
        w.slice(&self.additions);
    }

    /// Reads a state back; all of `bytes` belongs to it. Methods that `config` no longer names are dropped, those
    /// it names anew begin with nothing.
    ///
    /// # Errors
    /// Bytes that are no state: another version, cut short, damaged.
    pub fn load(bytes: &[u8], config: JointConfig) -> Result<Self, JointStateError> {
        let mut r = Reader { bytes, at: 0 };
        let version = r.u16()?;
        if version != state::VERSION {
            return Err(JointStateError::Version(version));
        }
        let [methods] = r.take()?;
        let methods = Methods::from_bits(methods).ok_or(JointStateError::Damaged("methods"))?;
        let channels = r.count("channels", MAX_CHANNELS)?;
        let modelled = channels.min(MAX_MODELLED);
        let (age_s, fitted_s) = (r.within("age", 0.0, f32::MAX)?, r.within("age", 0.0, f32::MAX)?);
        let ts_ms = r.i64()?;
        let inputs = Inputs::read(&mut r, modelled)?;
        let had = |method: Method| methods.has(method).then_some(());
        let change = had(Method::Change).map(|()| Change::read(&mut r, modelled)).transpose()?;
        let level = had(Method::Level).map(|()| Level::read(&mut r, modelled)).transpose()?;
        let named = Named::read(&mut r, methods, modelled)?;
        let (change_tail, singles_tail) = (Tail::read(&mut r)?, Tail::read(&mut r)?);
        let alarm = HostAlarm::read(&mut r)?;
        let mut held = || r.within("held", 0.0, f32::MAX);
        let held = [held()?, held()?, held()?, held()?];
        let recent = Recent::read(&mut r)?;
        let rollup = r.slice_or_nan("parts", 1)?[0];
        let said = r.slice_or_nan("parts", Method::ALL.len())?;
        let mut parts = Parts { change: said[0], singles: said[1], level: said[2], rollup, ..Parts::UNKNOWN };
        parts.set_named([said[3], said[4], said[5], said[6]]);
        let additions = r.count("additions", channels)?;
        let additions = r.slice("additions", additions)?;
        if r.at != bytes.len() {
            return Err(JointStateError::Damaged("length"));
        }
        let host = Self {
            config: JointConfig { methods, ..config },
            channels,
            modelled,
            age_s,
            fitted_s,
            ts_ms,
            inputs,
            change,
            level,
            named,
            change_tail,
            singles_tail,
            alarm,
            held,
            parts,
            recent,
            additions,
        };
        Ok(host.turned_to(config))
    }

    /// The host as `config` wants it judged.
    fn turned_to(self, config: JointConfig) -> Self {
        if self.config.methods == config.methods {
            return self;
        }
        let mut new = Self::new(config);
        new.grow(self.channels);
        fn keep<T>(new: Option<T>, old: Option<T>) -> Option<T> {
            new.map(|new| old.unwrap_or(new))
        }
        let (change, level) = (keep(new.change, self.change), keep(new.level, self.level));
        let named = match self.named {
            Some(old) => old.turned_to(config.methods),
            None => new.named,
        };
        Self { config, change, level, named, parts: Parts::UNKNOWN, additions: Vec::new(), ..self }
    }
}
