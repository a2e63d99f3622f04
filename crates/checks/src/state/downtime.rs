//! Downtimes as quiet windows.

use std::collections::BTreeMap;

use watchbell_adapter_api::ContextSink;
use watchbell_series::QuietWindow;

use super::subject;
use crate::feed::text;

/// A downtime as its server has it.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Downtime<'a> {
    /// Its id in the server.
    pub id: &'a [u8],
    /// Name of the host.
    pub host: &'a [u8],
    /// Name of the service; empty for the host itself.
    pub service: &'a [u8],
    /// Milliseconds since the Unix epoch.
    pub starts_ms: i64,
    /// Milliseconds since the Unix epoch.
    pub ends_ms: i64,
    /// Whether it lasts from start to end. A flexible one begins with the first problem between the two.
    pub fixed: bool,
    /// How long a flexible one lasts from its beginning, in milliseconds.
    pub duration_ms: i64,
    /// When a flexible one began, milliseconds since the Unix epoch; 0 while it has not.
    pub began_ms: i64,
    /// Who set it.
    pub author: &'a [u8],
    /// Why.
    pub comment: &'a [u8],
}

impl Downtime<'_> {
    /// The window, unless it can not be told yet (a flexible one has not begun) or is none.
    fn window(&self, labels: &BTreeMap<String, String>) -> Option<QuietWindow> {
        let (starts_ms, ends_ms) = if self.fixed {
            (self.starts_ms, self.ends_ms)
        } else {
            (self.began_ms, self.began_ms.saturating_add(self.duration_ms))
        };
        if starts_ms <= 0 || ends_ms < starts_ms || self.host.is_empty() {
            return None;
        }
        let reason = match (text(self.author), text(self.comment)) {
            (author, comment) if author.is_empty() => format!("downtime: {comment}"),
            (author, comment) => format!("downtime by {author}: {comment}"),
        };
        let subject = subject(self.host, self.service, labels);
        Some(QuietWindow { id: text(self.id).into_owned(), subject, starts_ms, ends_ms: Some(ends_ms), reason })
    }
}

/// The quiet windows of a server, told when they change.
#[derive(Debug, Default)]
pub struct Windows {
    told: Option<Vec<QuietWindow>>,
    now: Vec<QuietWindow>,
}

impl Windows {
    /// Adds a downtime to the list that is being made.
    pub fn add(&mut self, downtime: &Downtime<'_>, labels: &BTreeMap<String, String>) {
        self.now.extend(downtime.window(labels));
    }

    /// Drops the list that is being made: it could not be read whole.
    pub fn drop_list(&mut self) {
        self.now.clear();
    }

    /// Tells the list that was made, which is all there are, if it differs from the last one.
    pub fn tell(&mut self, context: &dyn ContextSink) {
        let mut now = std::mem::take(&mut self.now);
        now.sort_by(|a, b| a.id.cmp(&b.id));
        if self.told.as_ref() != Some(&now) {
            context.windows(now.clone());
            self.told = Some(now);
        }
    }
}
