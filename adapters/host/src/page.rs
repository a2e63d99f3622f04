//! The readings of one moment, as labelled values. Readers of single files fill a [`Page`]; the source
//! turns it into a batch. Errors are values too: what could be read is kept beside them.

use std::path::{Path, PathBuf};

use watchbell_series::labels::NAME;
use watchbell_series::{Labels, MetricKind};

/// One value of one series.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Point {
    pub(crate) labels: Labels,
    pub(crate) kind: MetricKind,
    pub(crate) value: f64,
}

/// Values read at one moment; all carry the labels that name the machine.
#[derive(Debug)]
pub(crate) struct Page {
    machine: Vec<(String, String)>,
    points: Vec<Point>,
    errors: Vec<ReadError>,
}

/// Why something could not be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReadError {
    /// The system does not have it, for example pressure on an old kernel. Not worth a warning.
    #[error("`{}` does not exist", .0.display())]
    Absent(PathBuf),
    /// It is there and can not be read.
    #[error("can not read `{}`: {source}", .path.display())]
    File {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    /// It reads as something else than expected.
    #[error("can not understand line {line} of {what}: `{text}`")]
    Line { what: &'static str, line: usize, text: String },
    /// A name of this machine makes no valid label, for example a mount point of many kilobytes.
    #[error("{metric}: {reason}")]
    Label { metric: String, reason: String },
    /// Asking the system itself failed.
    #[error("{0}")]
    System(String),
}

impl ReadError {
    /// For a line that does not read as expected; long lines are cut.
    pub(crate) fn line(what: &'static str, at: usize, text: &str) -> Self {
        Self::Line { what, line: at + 1, text: text.chars().take(80).collect() }
    }
}

impl Page {
    pub(crate) fn new(instance: &str, job: &str) -> Self {
        let machine = vec![("instance".to_owned(), instance.to_owned()), ("job".to_owned(), job.to_owned())];
        Self { machine, points: Vec::new(), errors: Vec::new() }
    }

    pub(crate) fn gauge(&mut self, name: &str, labels: &[(&str, &str)], value: f64) {
        self.add(MetricKind::Gauge, name, labels, value);
    }

    pub(crate) fn counter(&mut self, name: &str, labels: &[(&str, &str)], value: f64) {
        self.add(MetricKind::Counter, name, labels, value);
    }

    pub(crate) fn error(&mut self, error: ReadError) {
        self.errors.push(error);
    }

    /// The values, and what could not be read.
    pub(crate) fn into_parts(self) -> (Vec<Point>, Vec<ReadError>) {
        (self.points, self.errors)
    }

    fn add(&mut self, kind: MetricKind, name: &str, labels: &[(&str, &str)], value: f64) {
        let machine = self.machine.iter().map(|(n, v)| (n.as_str(), v.as_str()));
        match Labels::series(machine.chain(labels.iter().copied()).chain([(NAME, name)])) {
            Ok(labels) => self.points.push(Point { labels, kind, value }),
            Err(e) => self.errors.push(ReadError::Label { metric: name.to_owned(), reason: e.to_string() }),
        }
    }
}

/// The text of a file; bytes that are no UTF-8 (in mount points, say) are replaced.
pub(crate) fn read(path: &Path) -> Result<String, ReadError> {
    match std::fs::read(path) {
        Ok(bytes) => Ok(String::from_utf8_lossy(&bytes).into_owned()),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Err(ReadError::Absent(path.to_owned())),
        Err(source) => Err(ReadError::File { path: path.to_owned(), source }),
    }
}

#[cfg(test)]
pub(crate) mod testing {
    //! A page as text, one line a value, for tests of the readers.

    use super::Page;

    /// What `fill` put on a page: `name{labels} value` lines in order, and the errors.
    pub(crate) fn filled(fill: impl FnOnce(&mut Page)) -> (Vec<String>, Vec<String>) {
        let mut page = Page::new("", "");
        fill(&mut page);
        let (points, errors) = page.into_parts();
        let lines = points.iter().map(|p| format!("{} {} {}", p.labels, p.value, p.kind)).collect();
        (lines, errors.iter().map(ToString::to_string).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_carry_the_machine() {
        let mut page = Page::new("web1", "host");
        page.gauge("node_load1", &[], 0.5);
        page.counter("node_x_total", &[("device", &"d".repeat(Labels::MAX_VALUE_BYTES + 1))], 1.0);
        let (points, errors) = page.into_parts();
        assert_eq!(points[0].labels.to_string(), "node_load1{instance=\"web1\",job=\"host\"}");
        assert_eq!(points.len(), 1);
        assert!(errors[0].to_string().starts_with("node_x_total: label `device` is"), "{}", errors[0]);
    }
}
