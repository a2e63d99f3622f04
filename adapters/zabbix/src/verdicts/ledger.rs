//! Who takes values and who does not, found from counts alone and without sending any value twice.
//!
//! The sender protocol says how many values of a request were refused, never which. So items that were taken before go
//! together in full batches, and others in groups of one host. A group that was refused whole is set aside; of one that
//! was refused in part the next values go in groups of half its size, until the culprits are alone. What was set aside is
//! tried again after a growing while. A host of which one server takes nothing is offered to the next one: so
//! each host finds its server or proxy by itself.

use std::collections::{BTreeMap, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use super::key::DISCOVERY;
use super::{Answer, ItemValue};

/// When an item that was refused is tried again: after this, then twice as long each time. A new item of low-level
/// discovery is known to a server after a minute at most.
const FIRST_RETRY_MS: i64 = 15_000;
const LAST_RETRY_MS: i64 = 600_000;

/// Where an item stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Its last value was taken.
    Taken,
    /// Not known; it goes in a group of at most so many values.
    Suspect(u32),
    /// Refused so many times in a row; tried again from then on.
    Refused { times: u32, due_ms: i64 },
}

/// An item that got no value for so long is forgotten.
const FORGET_MS: i64 = 86_400_000;

#[derive(Debug, Clone, Copy)]
struct Item {
    state: State,
    /// When it last had a value.
    seen_ms: i64,
}

impl Item {
    /// Whether it was refused and is not tried again yet.
    fn waits(&self, now_ms: i64) -> bool {
        matches!(self.state, State::Refused { due_ms, .. } if now_ms < due_ms)
    }
}

#[derive(Debug, Default)]
struct Host {
    /// By a hash of the key.
    items: HashMap<u64, Item>,
    /// The server it is sent to.
    server: usize,
    /// Servers that took nothing of it since one did.
    tried: usize,
    /// Whether it was told that nothing of it is taken.
    told: bool,
}

impl Host {
    fn refused(&self) -> usize {
        self.items.values().filter(|item| matches!(item.state, State::Refused { .. })).count()
    }

    fn takes_some(&self) -> bool {
        self.items.values().any(|item| item.state == State::Taken)
    }
}

/// Values that go in one request.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Batch {
    pub(super) server: usize,
    pub(super) values: Vec<ItemValue>,
    /// Whether all of its items were taken before.
    proven: bool,
}

/// What became of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Noted {
    /// Values refused.
    pub(super) refused: usize,
    /// Whether the refused ones, which are all, are to be offered to another server.
    pub(super) again: bool,
}

/// What an answer told that people should know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum News {
    /// Nothing of this host is taken by any server.
    Host { host: Arc<str>, reason: Option<String> },
    /// Items of a host of which others are taken.
    Items { host: Arc<str>, key: Box<str>, count: usize, reason: Option<String> },
    /// A host is taken that was not.
    Recovered { host: Arc<str> },
}

/// All that is known of hosts and items.
#[derive(Debug)]
pub(super) struct Ledger {
    hosts: HashMap<Arc<str>, Host>,
    servers: usize,
    batch: usize,
}

fn id(key: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    key.hash(&mut hasher);
    hasher.finish()
}

impl Ledger {
    pub(super) fn new(servers: usize, batch: usize) -> Self {
        Self { hosts: HashMap::new(), servers, batch }
    }

    /// From when on an item that was refused is tried again; `None` if its last value was not refused.
    pub(super) fn retry_ms(&self, host: &str, key: &str) -> Option<i64> {
        match self.hosts.get(host)?.items.get(&id(key))?.state {
            State::Refused { due_ms, .. } => Some(due_ms),
            _ => None,
        }
    }

    /// Makes requests of `values`, in order for each item. Values of refused items that are not due are left out; their
    /// number is given too.
    pub(super) fn batches(&mut self, values: impl IntoIterator<Item = ItemValue>, now_ms: i64) -> (Vec<Batch>, usize) {
        let (mut proven, mut suspects) = (BTreeMap::new(), BTreeMap::new());
        let mut skipped = 0;
        for value in values {
            let host = self.hosts.entry(Arc::clone(&value.host)).or_default();
            let new = Item { state: State::Suspect(self.batch as u32), seen_ms: now_ms };
            let item = host.items.entry(id(&value.key)).or_insert(new);
            item.seen_ms = now_ms;
            let of: &mut Vec<ItemValue> = match item.state {
                // Alone, so that it is known what became of it: it is not said again soon.
                _ if *value.key == *DISCOVERY && !item.waits(now_ms) => {
                    suspects.entry((Arc::clone(&value.host), 0)).or_default()
                }
                State::Taken => proven.entry(host.server).or_default(),
                State::Refused { due_ms, .. } if now_ms < due_ms => {
                    skipped += 1;
                    continue;
                }
                // Those that were refused go apart from those that may be new.
                State::Refused { .. } => suspects.entry((Arc::clone(&value.host), u32::MAX)).or_default(),
                State::Suspect(size) => suspects.entry((Arc::clone(&value.host), size)).or_default(),
            };
            of.push(value);
        }
        let mut batches = Vec::new();
        for ((host, size), values) in suspects {
            let server = self.hosts.get(&host).map_or(0, |host| host.server);
            let size = (size as usize).clamp(1, self.batch);
            chunks(values, size).for_each(|values| batches.push(Batch { server, values, proven: false }));
        }
        for (server, values) in proven {
            chunks(values, self.batch).for_each(|values| batches.push(Batch { server, values, proven: true }));
        }
        (batches, skipped)
    }

    /// Takes note of what became of `batch`.
    pub(super) fn note(&mut self, batch: &Batch, answer: &Answer, now_ms: i64, news: &mut Vec<News>) -> Noted {
        let all = batch.values.len();
        let (refused, again) = match answer {
            Answer::Refused(0) => {
                batch.values.iter().for_each(|value| self.taken(value, news));
                (0, false)
            }
            Answer::Refused(refused) if *refused >= all && !batch.proven => {
                (all, self.group_refused(batch, now_ms, news))
            }
            Answer::Refused(refused) => {
                let half = (all as u32).div_ceil(2).max(1);
                for value in &batch.values {
                    self.set(value, State::Suspect(half));
                }
                // Of one host something was taken, so it is at the right server.
                if let Some(host) = self.host_of(batch) {
                    host.tried = 0;
                }
                (*refused, false)
            }
            Answer::Each(reasons) => {
                let mut refused = Vec::new();
                for (value, reason) in batch.values.iter().zip(reasons) {
                    match reason {
                        None => self.taken(value, news),
                        Some(reason) => refused.push((value, reason)),
                    }
                }
                for (value, reason) in &refused {
                    self.refuse(value, now_ms);
                    self.tell(value, 1, Some((*reason).clone()), news);
                }
                (refused.len(), false)
            }
        };
        Noted { refused, again }
    }

    /// Forgets items, and so hosts, that had no value for a day.
    pub(super) fn forget(&mut self, now_ms: i64) {
        self.hosts.retain(|_, host| {
            host.items.retain(|_, item| now_ms.saturating_sub(item.seen_ms) < FORGET_MS);
            !host.items.is_empty()
        });
    }

    /// Items refused, and hosts of which nothing is taken.
    pub(super) fn totals(&self) -> (usize, usize) {
        let refused = self.hosts.values().map(|host| (host.refused(), host.items.len()));
        refused.fold((0, 0), |(items, hosts), (refused, all)| {
            (items + refused, hosts + usize::from(all > 0 && refused == all))
        })
    }

    fn host_of(&mut self, batch: &Batch) -> Option<&mut Host> {
        if batch.proven {
            return None;
        }
        self.hosts.get_mut(&batch.values.first()?.host)
    }

    fn set(&mut self, value: &ItemValue, state: State) {
        let host = self.hosts.get_mut(&value.host);
        if let Some(item) = host.and_then(|host| host.items.get_mut(&id(&value.key))) {
            item.state = state;
        }
    }

    fn taken(&mut self, value: &ItemValue, news: &mut Vec<News>) {
        let Some(host) = self.hosts.get_mut(&value.host) else { return };
        let Some(item) = host.items.get_mut(&id(&value.key)) else { return };
        let before = std::mem::replace(&mut item.state, State::Taken);
        host.tried = 0;
        if std::mem::take(&mut host.told) {
            news.push(News::Recovered { host: Arc::clone(&value.host) });
        }
        // The rule is there now, so what it makes will soon be: no long waits.
        if *value.key == *DISCOVERY && matches!(before, State::Refused { .. }) {
            for item in host.items.values_mut().filter(|item| matches!(item.state, State::Refused { .. })) {
                item.state = State::Refused { times: 0, due_ms: i64::MIN };
            }
        }
    }

    fn refuse(&mut self, value: &ItemValue, now_ms: i64) {
        let Some(host) = self.hosts.get_mut(&value.host) else { return };
        let Some(item) = host.items.get_mut(&id(&value.key)) else { return };
        let times = if let State::Refused { times, due_ms } = item.state {
            // Two values of one item in one group are one refusal.
            if due_ms > now_ms {
                return;
            }
            times + 1
        } else {
            1
        };
        let wait = FIRST_RETRY_MS.saturating_mul(1 << (times - 1).min(16)).min(LAST_RETRY_MS);
        item.state = State::Refused { times, due_ms: now_ms.saturating_add(wait) };
    }

    /// A group of one host was refused whole. Gives whether it is to be offered to another server.
    fn group_refused(&mut self, batch: &Batch, now_ms: i64, news: &mut Vec<News>) -> bool {
        let (Some(first), servers) = (batch.values.first(), self.servers) else { return false };
        let Some(host) = self.hosts.get_mut(&first.host) else { return false };
        if servers > 1 && !host.takes_some() {
            if host.server != batch.server {
                // An earlier group of this round has moved the host on.
                return true;
            }
            host.server = (host.server + 1) % servers;
            host.tried += 1;
            if host.tried < servers {
                return true;
            }
            host.tried = 0;
        }
        for value in &batch.values {
            self.refuse(value, now_ms);
        }
        self.tell(first, batch.values.len(), None, news);
        false
    }

    /// One word for a host of which nothing is taken, one for each group otherwise.
    fn tell(&mut self, value: &ItemValue, count: usize, reason: Option<String>, news: &mut Vec<News>) {
        let Some(host) = self.hosts.get_mut(&value.host) else { return };
        if host.takes_some() {
            news.push(News::Items { host: Arc::clone(&value.host), key: value.key.clone(), count, reason });
        } else if !std::mem::replace(&mut host.told, true) {
            news.push(News::Host { host: Arc::clone(&value.host), reason });
        }
    }
}

fn chunks(values: Vec<ItemValue>, size: usize) -> impl Iterator<Item = Vec<ItemValue>> {
    let mut values = values.into_iter().peekable();
    std::iter::from_fn(move || {
        values.peek()?;
        Some(values.by_ref().take(size).collect())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(host: &str, key: &str) -> ItemValue {
        ItemValue { host: host.into(), key: key.into(), value: "1".to_owned(), time_ms: 0 }
    }

    fn values(host: &str, keys: std::ops::Range<u32>) -> Vec<ItemValue> {
        keys.map(|n| value(host, &format!("k{n}"))).collect()
    }

    /// A server that takes what passes `takes`: sends everything as the engine does; gives requests and refused values.
    fn round(
        ledger: &mut Ledger,
        values: Vec<ItemValue>,
        now_ms: i64,
        takes: impl Fn(usize, &ItemValue) -> bool,
        news: &mut Vec<News>,
    ) -> (usize, usize) {
        let (batches, _) = ledger.batches(values, now_ms);
        let mut refused = 0;
        for batch in &batches {
            let count = batch.values.iter().filter(|value| !takes(batch.server, value)).count();
            refused += ledger.note(batch, &Answer::Refused(count), now_ms, news).refused;
        }
        (batches.len(), refused)
    }

    #[test]
    fn culprits_are_found_by_halves_and_all_others_taken() {
        let (mut ledger, mut news) = (Ledger::new(1, 250), Vec::new());
        let takes = |_: usize, value: &ItemValue| &*value.key != "k77";
        let mut requests = Vec::new();
        for second in 0..9 {
            let (count, refused) = round(&mut ledger, values("a", 0..250), second * 1_000, takes, &mut news);
            assert!(refused <= 1, "only the culprit is refused, ever");
            requests.push(count);
        }
        assert_eq!(requests[..3], [1, 2, 3]);
        let due_ms = ledger.retry_ms("a", "k77").expect("refused");
        assert!((15_000..24_000).contains(&due_ms), "{due_ms}");
        assert_eq!(ledger.totals(), (1, 0));
        let told = News::Items { host: "a".into(), key: "k77".into(), count: 1, reason: None };
        assert_eq!(news, [told]);
        // From now on everything else goes in one request, and the culprit seldom.
        assert_eq!(round(&mut ledger, values("a", 0..250), 9_000, takes, &mut news), (1, 0));
        assert_eq!(round(&mut ledger, values("a", 0..250), 30_000, takes, &mut news), (2, 1));
        assert_eq!(ledger.retry_ms("a", "k77"), Some(60_000));
    }

    #[test]
    fn an_unknown_host_costs_the_others_nothing() {
        let (mut ledger, mut news) = (Ledger::new(1, 250), Vec::new());
        let takes = |_: usize, value: &ItemValue| &*value.host != "gone";
        let all = || [values("a", 0..3), values("gone", 0..3), values("b", 0..3)].concat();
        assert_eq!(round(&mut ledger, all(), 0, takes, &mut news), (3, 3));
        assert_eq!(news, [News::Host { host: "gone".into(), reason: None }]);
        assert_eq!(ledger.totals(), (3, 1));
        assert_eq!(round(&mut ledger, all(), 1_000, takes, &mut news), (1, 0));
        // Waits grow to ten minutes, and it is told once.
        let mut tries = 0;
        for second in 2..3_600 {
            tries += usize::from(round(&mut ledger, values("gone", 0..3), second * 1_000, takes, &mut news).0 > 0);
        }
        // After 15, 30, 60, 120, 240 and 480 s, then each ten minutes.
        assert_eq!((tries, news.len()), (10, 1));
        assert_eq!(round(&mut ledger, values("gone", 0..3), 9_000_000, |_, _| true, &mut news), (1, 0));
        assert_eq!(news[1], News::Recovered { host: "gone".into() });
    }

    #[test]
    fn a_deleted_item_among_many_hosts_is_found() {
        let (mut ledger, mut news) = (Ledger::new(1, 250), Vec::new());
        let all = || (0..50).flat_map(|host| values(&format!("h{host:02}"), 0..4)).collect::<Vec<_>>();
        round(&mut ledger, all(), 0, |_, _| true, &mut news);
        assert_eq!(round(&mut ledger, all(), 1_000, |_, _| true, &mut news).0, 1);
        let takes = |_: usize, value: &ItemValue| (&*value.host, &*value.key) != ("h07", "k2");
        for second in 2..8 {
            assert!(round(&mut ledger, all(), second * 1_000, takes, &mut news).1 <= 1);
        }
        assert!(ledger.retry_ms("h07", "k2").is_some());
        assert_eq!(ledger.totals(), (1, 0));
        assert_eq!(round(&mut ledger, all(), 8_000, takes, &mut news), (1, 0));
    }

    #[test]
    fn hosts_find_their_proxy() {
        let (mut ledger, mut news) = (Ledger::new(3, 250), Vec::new());
        // `p` is behind the third, `x` nowhere.
        let takes = |server: usize, value: &ItemValue| match &*value.host {
            "p" => server == 2,
            host => host == "a" && server == 0,
        };
        let all = || [values("a", 0..2), values("p", 0..2), values("x", 0..2)].concat();
        for second in 0..3 {
            round(&mut ledger, all(), second * 1_000, takes, &mut news);
        }
        assert_eq!(round(&mut ledger, all(), 3_000, takes, &mut news), (2, 0));
        assert_eq!(news, [News::Host { host: "x".into(), reason: None }]);
    }

    #[test]
    fn discovery_that_is_taken_at_last_wakes_what_it_makes() {
        let (mut ledger, mut news) = (Ledger::new(1, 250), Vec::new());
        let all = || vec![value("a", DISCOVERY), value("a", "k1")];
        for minute in 0..60 {
            round(&mut ledger, all(), minute * 60_000, |_, _| false, &mut news);
        }
        // Another rhythm than that of the item itself, to be sure.
        round(&mut ledger, vec![value("a", DISCOVERY)], 5_000_000, |_, _| true, &mut news);
        assert_eq!(ledger.retry_ms("a", "k1"), Some(i64::MIN));
        round(&mut ledger, all(), 5_000_001, |_, value| *value.key == *DISCOVERY, &mut news);
        assert_eq!(ledger.retry_ms("a", "k1"), Some(5_015_001));
    }

    #[test]
    fn reasons_that_are_told_are_kept() {
        let (mut ledger, mut news) = (Ledger::new(1, 250), Vec::new());
        let (batches, _) = ledger.batches(values("a", 0..2), 0);
        let answer = Answer::Each(vec![None, Some("Item is disabled.".to_owned())]);
        assert_eq!(ledger.note(&batches[0], &answer, 0, &mut news), Noted { refused: 1, again: false });
        let reason = Some("Item is disabled.".to_owned());
        assert_eq!(news, [News::Items { host: "a".into(), key: "k1".into(), count: 1, reason }]);
        ledger.forget(FORGET_MS - 1);
        assert_eq!(ledger.totals(), (1, 0));
        ledger.forget(FORGET_MS);
        assert_eq!(ledger.totals(), (0, 0));
    }
}
