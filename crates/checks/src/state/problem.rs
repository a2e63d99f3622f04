//! Hard problem states as foreign problems.

use std::collections::{BTreeMap, HashMap};

use watchbell_series::ForeignProblem;

use super::{Check, Seen, subject};
use crate::feed::text;

/// Most bytes of a plugin's output that name a problem.
const MAX_NAME: usize = 200;

/// A problem that lasts.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Open(ForeignProblem);

impl Open {
    pub(super) fn ended(self, at_ms: i64) -> ForeignProblem {
        let ends_ms = Some(at_ms.max(self.0.starts_ms));
        ForeignProblem { ends_ms, ..self.0 }
    }
}

/// Problems that lasted when the source was seen last, by host and service, until each is seen again.
#[derive(Debug, Default)]
pub(super) struct Before(HashMap<String, ForeignProblem>);

impl Before {
    /// Of several of one service only the newest can last; the ends of the others go to `ended`.
    pub(super) fn of(mut open: Vec<ForeignProblem>, ended: &mut Vec<ForeignProblem>) -> Self {
        open.sort_by_key(|problem| problem.starts_ms);
        let mut newest = HashMap::new();
        for problem in open {
            let Some((name, _)) = problem.id.rsplit_once('@') else { continue };
            let (name, starts_ms) = (name.to_owned(), problem.starts_ms);
            let older: Option<ForeignProblem> = newest.insert(name, problem);
            ended.extend(older.map(|older| Open(older).ended(starts_ms)));
        }
        Self(newest)
    }

    pub(super) fn take(&mut self, host: &[u8], service: &[u8]) -> Option<Open> {
        // After the first round nothing is left.
        if self.0.is_empty() { None } else { self.0.remove(&name(host, service)).map(Open) }
    }

    /// All that were not seen.
    pub(super) fn rest(&mut self) -> impl Iterator<Item = Open> {
        self.0.drain().map(|(_, problem)| Open(problem))
    }
}

fn name(host: &[u8], service: &[u8]) -> String {
    format!("{}!{}", text(host), text(service))
}

impl Seen {
    /// What `check` changes goes to `changed`.
    pub(super) fn change(
        &mut self,
        check: &Check<'_>,
        labels: &BTreeMap<String, String>,
        changed: &mut Vec<ForeignProblem>,
    ) {
        if check.state == 0 {
            // When it ended is told where nobody looked at the time.
            let since_ms = if check.hard_since_ms > 0 { check.hard_since_ms } else { check.last_check_ms };
            let over = self.problem.take().map(|open| {
                let known = (open.0.starts_ms..=check.last_check_ms).contains(&since_ms);
                open.ended(if known { since_ms } else { check.last_check_ms })
            });
            return changed.extend(over);
        }
        // It is the same problem as long as nothing was well in between, also over restarts.
        let id = format!("{}@{}", name(check.host, check.service), self.last_ok_ms.div_euclid(1_000));
        let last_ok_ms = self.last_ok_ms;
        let another = |open: &mut Open| open.0.id != id && open.0.starts_ms < last_ok_ms;
        changed.extend(self.problem.take_if(another).map(|open| open.ended(last_ok_ms)));
        let severity = severity(check);
        match &mut self.problem {
            // A soft state may still go away by itself.
            None if !check.hard => {}
            None => {
                let starts_ms = if check.hard_since_ms > 0 { check.hard_since_ms } else { check.last_check_ms };
                let (service, output) = (text(check.service), text(check.output));
                let output = &output[..output.floor_char_boundary(MAX_NAME)];
                let name = if service.is_empty() { output.to_owned() } else { format!("{service}: {output}") };
                let found = ForeignProblem {
                    id,
                    subject: subject(check.host, check.service, labels),
                    starts_ms,
                    ends_ms: None,
                    name,
                    severity,
                    acknowledged: check.acknowledged,
                };
                self.problem = Some(Open(found.clone()));
                changed.push(found);
            }
            Some(Open(open)) if check.hard && (open.severity, open.acknowledged) != (severity, check.acknowledged) => {
                (open.severity, open.acknowledged) = (severity, check.acknowledged);
                changed.push(open.clone());
            }
            Some(_) => {}
        }
    }
}

/// 0 to 5, as in [`ForeignProblem`].
fn severity(check: &Check<'_>) -> u8 {
    match (check.service.is_empty(), check.state) {
        (true, 1) => 5,
        (true, _) => 3,
        (false, 1) => 2,
        (false, 2) => 4,
        (false, _) => 1,
    }
}
