//! What one lane has to deliver: the newest state of each alert, in order of arrival.
//!
//! Pure: time is a parameter. An alert is waiting until it is delivered; for a sink that wants alerts again
//! and again it is then kept and becomes waiting anew, while it fires and for some minutes after its end.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use watchbell_series::{Alert, AlertState, Labels};

/// How long the end of an alert is repeated, as Prometheus does: Alertmanager may have been down.
const RESOLVED_MS: i64 = 15 * 60_000;
/// A firing alert holds for so many intervals unless it is sent again.
const HOLDS: i64 = 4;
/// The interval where the sink does not ask for one.
const INTERVAL_MS: i64 = 60_000;

#[derive(Debug)]
pub(super) struct Mailbox {
    capacity: usize,
    resend_ms: Option<i64>,
    entries: HashMap<Labels, Entry>,
    // All entries by number; a new state of an alert gets a new number.
    order: BTreeMap<u64, Labels>,
    waiting: BTreeSet<u64>,
    // Ends that were told and are kept to be told again.
    ended: BTreeSet<u64>,
    next: u64,
}

#[derive(Debug)]
struct Entry {
    alert: Alert,
    number: u64,
    sent_ms: Option<i64>,
}

impl Mailbox {
    pub(super) fn new(capacity: usize, resend_ms: Option<i64>) -> Self {
        Self {
            capacity,
            resend_ms,
            entries: HashMap::new(),
            order: BTreeMap::new(),
            waiting: BTreeSet::new(),
            ended: BTreeSet::new(),
            next: 0,
        }
    }

    /// Alerts that wait.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Takes the newest state of an alert; how many alerts were lost to make room. An end that was told
    /// makes room first: an alert that fires would end at the peer if it were not sent again.
    pub(super) fn offer(&mut self, alert: &Alert) -> usize {
        let number = self.next;
        self.next += 1;
        if let Some(old) = self.entries.get(&alert.labels).map(|entry| entry.number) {
            self.forget(old);
        }
        self.order.insert(number, alert.labels.clone());
        self.waiting.insert(number);
        self.entries.insert(alert.labels.clone(), Entry { alert: alert.clone(), number, sent_ms: None });
        let mut lost = 0;
        while self.entries.len() > self.capacity {
            let told = self.ended.first().copied();
            let Some(number) = told.or_else(|| self.order.keys().next().copied()) else { break };
            lost += usize::from(told.is_none());
            self.forget(number);
        }
        lost
    }

    /// At most `max` waiting alerts, oldest first, with their numbers. They keep waiting until
    /// [`Mailbox::done`].
    pub(super) fn batch(&self, now_ms: i64, max: usize) -> (Vec<u64>, Vec<Alert>) {
        let taken = self.waiting.iter().take(max.max(1)).filter_map(|number| {
            let mut alert = self.entries.get(self.order.get(number)?)?.alert.clone();
            if alert.state == AlertState::Firing {
                alert.ends_ms = now_ms + HOLDS * self.resend_ms.unwrap_or(INTERVAL_MS);
            }
            Some((*number, alert))
        });
        taken.unzip()
    }

    /// Those numbers were delivered, or refused for good. What changed meanwhile has another number and
    /// still waits.
    pub(super) fn done(&mut self, numbers: &[u64], now_ms: i64) {
        for number in numbers {
            if !self.waiting.remove(number) {
                continue;
            }
            if self.resend_ms.is_none() {
                self.forget(*number);
            } else if let Some(entry) = self.order.get(number).and_then(|labels| self.entries.get_mut(labels)) {
                entry.sent_ms = Some(now_ms);
                if entry.alert.state == AlertState::Resolved {
                    self.ended.insert(*number);
                }
            }
        }
    }

    /// Makes those wait whose time to be sent again has come; when to look the next time.
    pub(super) fn due(&mut self, now_ms: i64) -> Option<i64> {
        let resend_ms = self.resend_ms?;
        let (mut next, mut over) = (None::<i64>, Vec::new());
        for entry in self.entries.values() {
            let Some(sent_ms) = entry.sent_ms.filter(|_| !self.waiting.contains(&entry.number)) else { continue };
            if entry.alert.state == AlertState::Resolved && now_ms - entry.alert.ends_ms >= RESOLVED_MS {
                over.push(entry.number);
            // A clock that was set back must not stop the sending.
            } else if now_ms - sent_ms >= resend_ms || now_ms < sent_ms {
                self.waiting.insert(entry.number);
            } else {
                next = Some(next.map_or(sent_ms + resend_ms, |next| next.min(sent_ms + resend_ms)));
            }
        }
        over.into_iter().for_each(|number| self.forget(number));
        next
    }

    fn forget(&mut self, number: u64) {
        self.waiting.remove(&number);
        self.ended.remove(&number);
        if let Some(labels) = self.order.remove(&number) {
            self.entries.remove(&labels);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MINUTE: i64 = 60_000;

    fn alert(name: &str, ends_ms: Option<i64>) -> Alert {
        Alert {
            labels: Labels::new([("alertname", name)]).expect("labels"),
            annotations: Vec::new(),
            state: if ends_ms.is_some() { AlertState::Resolved } else { AlertState::Firing },
            starts_ms: 7,
            ends_ms: ends_ms.unwrap_or(7),
            generator_url: String::new(),
        }
    }

    fn names(mailbox: &Mailbox, now_ms: i64) -> Vec<String> {
        let word = |alert: &Alert| {
            let name = alert.labels.get("alertname").unwrap_or_default();
            if alert.state == AlertState::Firing { name.to_owned() } else { format!("{name} ended") }
        };
        mailbox.batch(now_ms, 100).1.iter().map(word).collect()
    }

    /// Delivers all that waits.
    fn deliver(mailbox: &mut Mailbox, now_ms: i64) -> Vec<String> {
        let names = names(mailbox, now_ms);
        let numbers = mailbox.batch(now_ms, 100).0;
        mailbox.done(&numbers, now_ms);
        names
    }

    #[test]
    fn the_newest_state_wins_and_order_is_kept() {
        let mut mailbox = Mailbox::new(10, None);
        for item in [alert("a", None), alert("b", None), alert("a", Some(9)), alert("c", None)] {
            assert_eq!(mailbox.offer(&item), 0);
        }
        assert_eq!((mailbox.waiting(), names(&mailbox, 0)), (3, vec!["b".into(), "a ended".into(), "c".into()]));
        assert_eq!(mailbox.batch(0, 2).1.len(), 2);
        deliver(&mut mailbox, 0);
        assert_eq!((mailbox.waiting(), mailbox.entries.len(), mailbox.order.len()), (0, 0, 0), "nothing is kept");
        assert_eq!(mailbox.due(MINUTE), None);
    }

    #[test]
    fn what_changes_on_its_way_is_sent_again() {
        let mut mailbox = Mailbox::new(10, None);
        mailbox.offer(&alert("a", None));
        let (numbers, _) = mailbox.batch(0, 10);
        mailbox.offer(&alert("a", Some(9)));
        mailbox.done(&numbers, 1);
        assert_eq!(names(&mailbox, 1), ["a ended"]);
    }

    #[test]
    fn a_full_mailbox_loses_its_oldest() {
        let mut mailbox = Mailbox::new(2, Some(MINUTE));
        mailbox.offer(&alert("sent", Some(0)));
        deliver(&mut mailbox, 0);
        mailbox.offer(&alert("a", None));
        assert_eq!(mailbox.offer(&alert("b", None)), 0, "an end that was told is no loss");
        assert_eq!(mailbox.offer(&alert("c", None)), 1);
        assert_eq!(names(&mailbox, 0), ["b", "c"]);
    }

    #[test]
    fn an_alert_that_fires_outlasts_ends_that_were_told() {
        let mut mailbox = Mailbox::new(3, Some(MINUTE));
        mailbox.offer(&alert("fires", None));
        mailbox.offer(&alert("old", Some(0)));
        mailbox.offer(&alert("newer", Some(0)));
        deliver(&mut mailbox, 0);
        mailbox.due(MINUTE);
        assert_eq!(mailbox.offer(&alert("a", None)) + mailbox.offer(&alert("b", None)), 0);
        assert_eq!(names(&mailbox, MINUTE), ["fires", "a", "b"]);
        assert_eq!((mailbox.offer(&alert("c", None)), mailbox.ended.len()), (1, 0), "now one is lost");
    }

    #[test]
    fn firing_ones_are_sent_again_with_a_moving_end() {
        let mut mailbox = Mailbox::new(10, Some(MINUTE));
        mailbox.offer(&alert("a", None));
        assert_eq!(mailbox.batch(1_000, 1).1[0].ends_ms, 1_000 + 4 * MINUTE);
        deliver(&mut mailbox, 1_000);
        assert_eq!(mailbox.due(1_000 + MINUTE - 1), Some(1_000 + MINUTE));
        assert_eq!(mailbox.waiting(), 0);
        assert_eq!(mailbox.due(1_000 + MINUTE), None);
        let (_, again) = mailbox.batch(1_000 + MINUTE, 1);
        assert_eq!((again[0].starts_ms, again[0].ends_ms), (7, 1_000 + 5 * MINUTE));
        deliver(&mut mailbox, 1_000 + MINUTE);
        mailbox.due(0);
        assert_eq!(mailbox.waiting(), 1, "also when the clock was set back");
    }

    #[test]
    fn ends_are_repeated_for_a_quarter_of_an_hour() {
        let mut mailbox = Mailbox::new(10, Some(MINUTE));
        mailbox.offer(&alert("a", Some(0)));
        let mut sent = 0;
        for minute in 0..30 {
            mailbox.due(minute * MINUTE);
            sent += deliver(&mut mailbox, minute * MINUTE).len();
        }
        assert_eq!((sent, mailbox.entries.len()), (15, 0));
        mailbox.offer(&alert("late", Some(-60 * MINUTE)));
        assert_eq!(deliver(&mut mailbox, 0), ["late ended"], "at least once, however late");
    }

    proptest! {
        #[test]
        fn each_alert_is_told_its_last_state(steps in prop::collection::vec((0..6u8, 0..3u8), 1..80), resend in any::<bool>()) {
            let mut mailbox = Mailbox::new(4, resend.then_some(MINUTE));
            let (mut told, mut last, mut lost) = (HashMap::new(), HashMap::new(), 0);
            let mut flying = (Vec::new(), Vec::new());
            for (i, (name, what)) in steps.into_iter().enumerate() {
                let now = i as i64 * MINUTE / 4;
                match what {
                    0 => {
                        let alert = alert(&name.to_string(), name.is_multiple_of(2).then_some(now));
                        last.insert(alert.labels.clone(), (alert.state, alert.starts_ms));
                        lost += mailbox.offer(&alert);
                    }
                    1 => flying = mailbox.batch(now, 3),
                    _ => {
                        told.extend(flying.1.drain(..).map(|a: Alert| (a.labels, (a.state, a.starts_ms))));
                        mailbox.done(&std::mem::take(&mut flying.0), now);
                        mailbox.due(now);
                    }
                }
                prop_assert!(mailbox.entries.len() <= 4 && mailbox.order.len() == mailbox.entries.len());
                let mut marked = mailbox.waiting.iter().chain(&mailbox.ended);
                prop_assert!(marked.all(|number| mailbox.order.contains_key(number)));
            }
            let (numbers, alerts) = mailbox.batch(0, 100);
            told.extend(alerts.into_iter().map(|a| (a.labels, (a.state, a.starts_ms))));
            mailbox.done(&numbers, 0);
            let wrong = last.iter().filter(|(labels, state)| told.get(*labels) != Some(*state)).count();
            prop_assert!(wrong <= lost, "{wrong} wrong, {lost} lost");
        }
    }
}
