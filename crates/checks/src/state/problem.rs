//! Hard problem states as foreign problems.

use std::collections::BTreeMap;

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

impl Seen {
    /// What `check` changes.
    pub(super) fn changed(&mut self, check: &Check<'_>, labels: &BTreeMap<String, String>) -> Option<ForeignProblem> {
        if check.state == 0 {
            return self.problem.take().map(|open| open.ended(check.last_check_ms));
        }
        let severity = severity(check);
        match &mut self.problem {
            // A soft state may still go away by itself.
            None if !check.hard => None,
            None => {
                let (host, service) = (text(check.host), text(check.service));
                // It is the same problem as long as nothing was well in between, also over restarts.
                let id = format!("{host}!{service}@{}", self.last_ok_ms.div_euclid(1_000));
                let starts_ms = if check.hard_since_ms > 0 { check.hard_since_ms } else { check.last_check_ms };
                let output = text(check.output);
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
                Some(found)
            }
            Some(Open(open)) if check.hard && (open.severity, open.acknowledged) != (severity, check.acknowledged) => {
                (open.severity, open.acknowledged) = (severity, check.acknowledged);
                Some(open.clone())
            }
            Some(_) => None,
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
