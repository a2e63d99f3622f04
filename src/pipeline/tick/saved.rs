//! Hosts and groups as bytes, in buckets by name, so that a large fleet is saved piece by piece.
//!
//! A record is its kind (u8), its length (u32, little-endian) and its payload. What can not be read is left
//! out and named, and learned anew.

use std::sync::Arc;

use watchbell_detect::peers::PeerGroup;
use watchbell_detect::{JointConfig, JointHost};
use watchbell_series::SeriesId;
use xxhash_rust::xxh3::xxh3_64;

use super::fleet::Fleet;
use super::host::{Channel, Host};

/// Buckets of all hosts and groups.
pub(super) const BUCKETS: u32 = 64;

const HOST: u8 = 1;
const GROUP: u8 = 2;
/// No host name is longer than a label value may be.
const MAX_NAME: usize = 1 << 20;

fn bucket_of(hash: u64) -> u32 {
    (hash % u64::from(BUCKETS)) as u32
}

impl Fleet {
    /// What was learned of the hosts and groups of `bucket`; empty where there are none.
    #[must_use]
    pub fn save(&self, bucket: u32) -> Vec<u8> {
        let mut out = Vec::new();
        let hosts = self.hosts.iter().flatten();
        for host in hosts.filter(|host| bucket_of(xxh3_64(host.name.as_bytes())) == bucket) {
            if let Some(model) = &host.model {
                record(HOST, &mut out, |out| write_host(host, model, out));
            }
        }
        for group in self.groups.iter().filter(|group| bucket_of(group.key) == bucket && !group.peers.is_empty()) {
            record(GROUP, &mut out, |out| {
                out.extend_from_slice(&group.key.to_le_bytes());
                group.peers.save(out);
            });
        }
        out
    }

    /// Takes back what [`Fleet::save`] wrote, before any series is sighted. Gives how many hosts and groups came
    /// back, and what was wrong with those that did not.
    pub fn load(&mut self, bytes: &[u8]) -> (usize, Vec<String>) {
        let (mut loaded, mut problems) = (0, Vec::new());
        let mut rest = bytes;
        while !rest.is_empty() {
            let Some((kind, payload, after)) = split_record(rest) else {
                problems.push("the rest of the file is cut short".to_owned());
                break;
            };
            rest = after;
            match self.load_record(kind, payload) {
                Ok(()) => loaded += 1,
                Err(problem) => problems.push(problem),
            }
        }
        (loaded, problems)
    }

    fn load_record(&mut self, kind: u8, payload: &[u8]) -> Result<(), String> {
        match kind {
            HOST => {
                let Some(config) = self.config().joint else { return Ok(()) };
                let host = read_host(payload, config)?;
                self.add_host(host);
            }
            GROUP => {
                if !self.config().peers {
                    return Ok(());
                }
                let (key, state) = payload.split_first_chunk::<8>().ok_or("a group is cut short")?;
                let peers = PeerGroup::load(state).map_err(|e| e.to_string())?;
                self.add_group(u64::from_le_bytes(*key), peers);
            }
            other => return Err(format!("a record of unknown kind `{other}`")),
        }
        Ok(())
    }
}

fn record(kind: u8, out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    out.push(kind);
    let at = out.len();
    out.extend_from_slice(&[0; 4]);
    write(out);
    let len = (out.len() - at - 4) as u32;
    out[at..at + 4].copy_from_slice(&len.to_le_bytes());
}

fn split_record(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (kind, rest) = bytes.split_first()?;
    let (len, rest) = rest.split_first_chunk::<4>()?;
    let (payload, rest) = rest.split_at_checked(u32::from_le_bytes(*len) as usize)?;
    Some((*kind, payload, rest))
}

fn write_host(host: &Host, model: &JointHost, out: &mut Vec<u8>) {
    out.extend_from_slice(&(host.name.len() as u32).to_le_bytes());
    out.extend_from_slice(host.name.as_bytes());
    for x in [host.last_ms, host.seen_ms] {
        out.extend_from_slice(&x.to_le_bytes());
    }
    out.extend_from_slice(&(host.channels.len() as u32).to_le_bytes());
    for channel in &host.channels {
        out.extend_from_slice(&channel.id.0.to_le_bytes());
        let gone_ms = if channel.at.is_some() { host.seen_ms } else { channel.gone_ms };
        out.extend_from_slice(&gone_ms.to_le_bytes());
    }
    model.save(out);
}

fn read_host(bytes: &[u8], config: JointConfig) -> Result<Host, String> {
    fn take<const N: usize>(rest: &mut &[u8]) -> Result<[u8; N], String> {
        let (head, tail) = rest.split_first_chunk::<N>().ok_or("a host is cut short")?;
        *rest = tail;
        Ok(*head)
    }
    let mut rest = bytes;
    let len = u32::from_le_bytes(take(&mut rest)?) as usize;
    let (name, after) = rest.split_at_checked(len.min(MAX_NAME)).ok_or("a host is cut short")?;
    rest = after;
    let name = std::str::from_utf8(name).map_err(|_| "the name of a host is no text")?;
    let named = |problem: &dyn std::fmt::Display| format!("host `{name}`: {problem}");
    let mut host = Host::new(Arc::from(name));
    host.last_ms = i64::from_le_bytes(take(&mut rest)?);
    host.seen_ms = i64::from_le_bytes(take(&mut rest)?);
    let count = u32::from_le_bytes(take(&mut rest)?) as usize;
    if count > rest.len() / 16 || count > usize::from(u16::MAX) {
        return Err(named(&"its channels are cut short"));
    }
    for _ in 0..count {
        let id = SeriesId(u64::from_le_bytes(take(&mut rest)?));
        let gone_ms = i64::from_le_bytes(take(&mut rest)?);
        host.channels.push(Channel { id, at: None, gone_ms, name: None });
    }
    host.model = Some(JointHost::load(rest, config).map_err(|e| named(&e))?);
    Ok(host)
}
