//! Problems that other tools found: weak labels for what this service found at the time.

use std::sync::Arc;

use watchbell_series::{ForeignProblem, Labels};

use super::subject::Target;
use crate::words;

/// An alert and a problem that are this close count as of one time, milliseconds: tools look at other moments.
pub const NEAR_MS: i64 = 10 * 60_000;

/// A problem, resolved.
#[derive(Debug, Clone, PartialEq)]
pub struct Problem {
    /// The source that tells of it.
    pub source: String,
    /// What it tells.
    pub told: ForeignProblem,
    /// Whom it is about.
    pub target: Target,
    /// The names of the host that it is about, also where it is about one check of it; empty for none.
    pub hosts: Vec<String>,
}

impl Problem {
    /// Whether it is about this host, anything on it, or about a series or alert with these labels.
    #[must_use]
    pub fn is_about(&self, host: &str, labels: &Labels) -> bool {
        self.hosts.iter().any(|name| name == host) || self.target.is_about_alert(labels, host, None)
    }

    /// `zabbix: High CPU since 2026-01-01T12:03:00Z`.
    #[must_use]
    pub fn words(&self) -> String {
        let ForeignProblem { name, starts_ms, ends_ms, acknowledged, .. } = &self.told;
        let when = match ends_ms {
            None => format!("since {}", words::time(*starts_ms)),
            Some(end) => format!("from {} to {}", words::time(*starts_ms), words::time(*end)),
        };
        let known = if *acknowledged { ", acknowledged" } else { "" };
        format!("{}: {name} {when}{known}", self.source)
    }
}

/// The problems of the last time; replaced whole.
pub type Shared = Arc<arc_swap::ArcSwap<Vec<Problem>>>;

/// Problems of this host, or of a series or alert with these labels, between two moments and [`NEAR_MS`] around.
pub fn related<'a>(
    all: &'a [Problem],
    host: &'a str,
    labels: Option<&'a Labels>,
    from_ms: i64,
    to_ms: i64,
) -> impl Iterator<Item = &'a Problem> {
    let lasts = move |problem: &&Problem| {
        let ForeignProblem { starts_ms, ends_ms, .. } = problem.told;
        starts_ms <= to_ms.saturating_add(NEAR_MS) && ends_ms.is_none_or(|end| end >= from_ms.saturating_sub(NEAR_MS))
    };
    all.iter().filter(lasts).filter(move |problem| match labels {
        Some(labels) => problem.is_about(host, labels),
        None => problem.is_about(host, &Labels::default()),
    })
}

#[cfg(test)]
mod tests {
    use watchbell_series::Subject;

    use super::*;

    #[test]
    fn problems_are_related_by_host_and_time() {
        let minute = 60_000;
        let told = ForeignProblem {
            id: "1".to_owned(),
            subject: Subject::Host("web-1".into()),
            starts_ms: 100 * minute,
            ends_ms: Some(120 * minute),
            name: "High CPU".to_owned(),
            severity: 4,
            acknowledged: true,
        };
        let hosts = vec!["web-1".to_owned()];
        let target = Target::Host(hosts.clone());
        let all = [Problem { source: "zabbix".to_owned(), told, target, hosts }];
        let count = |host, from: i64, to: i64| related(&all, host, None, from * minute, to * minute).count();
        assert_eq!((count("web-1", 90, 90), count("web-1", 89, 89)), (1, 0));
        assert_eq!((count("web-1", 130, 140), count("web-1", 131, 140)), (1, 0));
        assert_eq!(count("web-2", 110, 110), 0);
        let check = watchbell_series::Matcher::new("service", watchbell_series::MatchOp::Equal, "HTTP").expect("valid");
        let target = Target::Matching { matchers: vec![check], of_alerts: Vec::new() };
        let of_check = Problem { target, ..all[0].clone() };
        assert!(of_check.is_about("web-1", &Labels::default()), "one of its checks");
        assert!(!of_check.is_about("web-2", &Labels::default()));
        assert!(all[0].words().starts_with("zabbix: High CPU from 1970-01-01T01:40:00Z to "));
        assert!(all[0].words().ends_with(", acknowledged"));
    }
}
