//! The names and labels under which scores leave: one set of families for each naming mode.
//!
//! Both score sinks (exposition and remote write) ask here which output series a judged input series
//! gives, with which labels and values, and when it gives none. Every output series carries a mark by
//! which Watchbell knows its own output again and never judges it: its name begins with `watchbell_`,
//! or it has the label `model_alias="watchbell"` or `anomaly_strategy="watchbell"`.
//! Label conventions: vmanomaly's `writer` component (`for`, `model_alias`, `scheduler_alias`) and
//! Grafana's promql-anomaly-detection rules (`anomaly_name`, `anomaly_strategy`).

use std::ops::Range;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use watchbell_adapter_api::{HostReading, Problems};
use watchbell_series::labels::NAME;
use watchbell_series::{NotReady, Reading, Selector};

/// Under which names scores are given out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Naming {
    /// `watchbell_anomaly_score`, `watchbell_expected`, ...; the input's name in label `metric`.
    #[default]
    Watchbell,
    /// `anomaly_score`, `y`, `yhat`, `yhat_lower`, `yhat_upper` as vmanomaly writes them; the input's
    /// name in label `for`.
    Vmanomaly,
    /// `anomaly:level`, `anomaly:upper_band`, `anomaly:lower_band` as Grafana's PromQL rules record
    /// them; the input's name in label `anomaly_name`.
    Promql,
}

/// One family of output series.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Family {
    /// The score.
    Score,
    /// The judged value: of a counter its rate per second.
    Value,
    /// The expected value.
    Expected,
    /// Lower end of the expected band.
    Lower,
    /// Upper end of the expected band.
    Upper,
    /// 1 if the series has a score, else 0 with the reason in label `reason`.
    Ready,
    /// How much the series is unlike the same series of its group; only for those that are.
    Peers,
}

/// What a judged series gives at this moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shown {
    /// All families.
    Ready,
    /// All families; it goes by what it took over from its group.
    Inherited,
    /// All, and [`Family::Ready`] says that it is in a quiet window.
    Quiet,
    /// Only [`Family::Ready`], with this reason.
    NotReady(NotReady),
    /// Nothing: it ended, or its last sample is too old.
    Gone,
}

/// Label that says why a series is not ready.
pub(crate) const REASON: &str = "reason";
/// The reason of a series that has a score by what it took over from its group.
pub(crate) const INHERITED: &str = "inherited";
/// The reason of a series whose last sample was in a quiet window.
pub(crate) const QUIET: &str = "quiet";
/// 1 where only anomalous series are exported because there are too many.
pub(crate) const LIMITED: (&str, &str) =
    ("watchbell_scores_limited", "Whether only anomalous series are exported because there are more than max_series.");

/// Age in milliseconds up to which a last sample counts, whatever the cadence: Prometheus's lookback.
const FRESH_MS: i64 = 5 * 60_000;
/// Cadences up to which a last sample counts.
const FRESH_CADENCES: f64 = 5.0;

impl Family {
    /// All families, in the order in which they are written.
    pub const ALL: [Self; 7] =
        [Self::Score, Self::Value, Self::Expected, Self::Lower, Self::Upper, Self::Ready, Self::Peers];

    /// One sentence for `# HELP`.
    pub(crate) fn help(self) -> &'static str {
        match self {
            Self::Score => "Anomaly score: 0 is as expected, 1 the edge of what is normal, above 1 anomalous.",
            Self::Value => "The judged value; of a counter its rate per second.",
            Self::Expected => "The value that was expected.",
            Self::Lower => "Lower end of the band that was expected.",
            Self::Upper => "Upper end of the band that was expected.",
            Self::Ready => {
                "Whether the series has a score; label reason says why not, or that it is inherited or in a quiet window."
            }
            Self::Peers => "How much the series is unlike the same series of its group: above 1 is anomalous.",
        }
    }

    /// The line of this family for a series that is `shown`: `None` if it has none, else the reason in its
    /// labels, if any.
    pub(crate) fn line(self, shown: Shown) -> Option<Option<&'static str>> {
        match (self, shown) {
            (_, Shown::Gone) => None,
            (Self::Ready, Shown::NotReady(reason)) => Some(Some(reason.as_str())),
            (Self::Ready, Shown::Inherited) => Some(Some(INHERITED)),
            (Self::Ready, Shown::Quiet) => Some(Some(QUIET)),
            (_, Shown::Ready | Shown::Inherited | Shown::Quiet) => Some(None),
            (_, Shown::NotReady(_)) => None,
        }
    }

    /// The value of this family for a series that is `shown`; `None` if it has no line.
    pub(crate) fn value(self, reading: &Reading, shown: Shown) -> Option<f64> {
        let shown = if matches!(shown, Shown::Inherited | Shown::Quiet) { Shown::Ready } else { shown };
        let value = match (self, shown) {
            (_, Shown::Gone | Shown::Inherited | Shown::Quiet) => return None,
            (Self::Ready, Shown::Ready) => 1.0,
            (Self::Ready, Shown::NotReady(_)) => 0.0,
            (_, Shown::NotReady(_)) => return None,
            (Self::Score, Shown::Ready) => f64::from(reading.score),
            (Self::Value, Shown::Ready) => reading.value,
            (Self::Expected, Shown::Ready) => reading.expected,
            (Self::Lower, Shown::Ready) => reading.lower,
            (Self::Upper, Shown::Ready) => reading.upper,
            (Self::Peers, Shown::Ready) => reading.peers.map_or(f64::NAN, f64::from),
        };
        Some(value).filter(|v| !v.is_nan())
    }
}

/// What the series of `reading` gives at `now_ms`. A sample counts for five minutes or five learned
/// cadences, whichever is longer.
pub(crate) fn shown(reading: &Reading, now_ms: i64) -> Shown {
    let lasts = FRESH_MS.max((f64::from(reading.cadence_s) * 1_000.0 * FRESH_CADENCES) as i64);
    if now_ms.saturating_sub(reading.ts_ms) > lasts {
        return Shown::Gone;
    }
    match reading.not_ready {
        Some(reason) => Shown::NotReady(reason),
        None if reading.score.is_nan() => Shown::NotReady(NotReady::Warming),
        None if reading.quiet => Shown::Quiet,
        None if reading.inherited => Shown::Inherited,
        None => Shown::Ready,
    }
}

impl Naming {
    /// Name of `family` in this mode; `None` if the mode has no such family.
    #[must_use]
    pub fn metric(self, family: Family) -> Option<&'static str> {
        Some(match (self, family) {
            (_, Family::Ready) => "watchbell_series_ready",
            (_, Family::Peers) => "watchbell_peer_score",
            (Self::Watchbell, Family::Score) => "watchbell_anomaly_score",
            (Self::Watchbell, Family::Value) => "watchbell_value",
            (Self::Watchbell, Family::Expected) => "watchbell_expected",
            (Self::Watchbell, Family::Lower) => "watchbell_expected_lower",
            (Self::Watchbell, Family::Upper) => "watchbell_expected_upper",
            (Self::Vmanomaly, Family::Score) => "anomaly_score",
            (Self::Vmanomaly, Family::Value) => "y",
            (Self::Vmanomaly, Family::Expected) => "yhat",
            (Self::Vmanomaly, Family::Lower) => "yhat_lower",
            (Self::Vmanomaly, Family::Upper) => "yhat_upper",
            (Self::Promql, Family::Value) => "anomaly:level",
            (Self::Promql, Family::Lower) => "anomaly:lower_band",
            (Self::Promql, Family::Upper) => "anomaly:upper_band",
            (Self::Promql, Family::Score | Family::Expected) => return None,
        })
    }

    /// Label that holds the name of the input series.
    #[must_use]
    pub fn input_label(self) -> &'static str {
        match self {
            Self::Watchbell => "metric",
            Self::Vmanomaly => "for",
            Self::Promql => "anomaly_name",
        }
    }

    /// Labels of every output series, by which its origin is known.
    #[must_use]
    pub fn marks(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Watchbell => &[],
            Self::Vmanomaly => &[("model_alias", "watchbell"), ("scheduler_alias", "watchbell")],
            Self::Promql => &[("anomaly_strategy", "watchbell")],
        }
    }

    /// Whether output series use label `name` for something of their own.
    pub(crate) fn reserves(self, name: &str) -> bool {
        name == self.input_label() || name == REASON || name == NAME || self.marks().iter().any(|(n, _)| *n == name)
    }

    /// The families to give out: those the user lists, else all of the mode, without value, expected
    /// value and band where `expected` is off.
    pub(crate) fn choose(
        self,
        listed: Option<Vec<Family>>,
        expected: bool,
        problems: &mut Problems,
    ) -> Vec<(Family, &'static str)> {
        if listed.is_some() && !expected {
            problems.hint("expected", "both `families` and `expected: false` are set", "list the families only");
        }
        let chosen = |family: &Family| match &listed {
            Some(listed) => listed.contains(family),
            None => expected || matches!(family, Family::Score | Family::Ready | Family::Peers),
        };
        for family in listed.iter().flatten().filter(|family| self.metric(**family).is_none()) {
            let message = format!("`naming: promql` has no family for `{family:?}`").to_lowercase();
            problems.hint("families", message, "leave it out, or use another naming");
        }
        let families = Family::ALL.into_iter().filter(chosen);
        let families: Vec<_> = families.filter_map(|family| Some((family, self.metric(family)?))).collect();
        if families.is_empty() {
            problems.add("families", "no family is left to give out");
        }
        families
    }
}

/// The families about hosts: names and helps, in the order in which they are written.
pub(crate) const HOST_FAMILIES: [(&str, &str); 6] = [
    ("watchbell_host_score", "Score of a host over all its series: above 1 is anomalous."),
    ("watchbell_host_part_score", "Parts of a host's score, each on the same scale; label part names them."),
    ("watchbell_host_confidence", "Share of a host's channels that its last joint score saw."),
    ("watchbell_host_contribution", "Share that a series has in the score of its host, while the host is anomalous."),
    ("watchbell_host_anomaly_rate", "Share of a host's scored series that are anomalous."),
    ("watchbell_host_series", "Judged series of a host."),
];

/// One line about a host. Its labels are `host`, and the one given.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct HostLine {
    pub(crate) name: &'static str,
    pub(crate) label: Option<(&'static str, String)>,
    pub(crate) value: f64,
}

/// The lines about one host, in the order of [`HOST_FAMILIES`].
pub(crate) fn host_lines(host: &HostReading) -> Vec<HostLine> {
    let [score, part, confidence, contribution, rate, series] = HOST_FAMILIES.map(|(name, _)| name);
    let mut lines = Vec::with_capacity(12);
    let mut push = |name, label, value: f64| {
        if !value.is_nan() {
            lines.push(HostLine { name, label, value });
        }
    };
    push(score, None, f64::from(host.score));
    for (word, value) in host.parts.named() {
        push(part, Some(("part", word.to_owned())), f64::from(value));
    }
    push(confidence, None, f64::from(host.confidence));
    // Only while it matters: the label tells series apart, and would else be a second set of all of them.
    for contributor in host.contributors.iter().filter(|_| host.score >= 1.0) {
        push(contribution, Some(("series", contributor.series.clone())), f64::from(contributor.share));
    }
    if host.ready > 0 {
        push(rate, None, f64::from(host.anomalous) / f64::from(host.ready));
    }
    push(series, None, f64::from(host.series));
    lines
}

/// Whether `selectors` (any may match; none is all) ask for the roll-up `name` of `host`. Roll-ups have no
/// input series: selectors see their own name and their host.
pub(crate) fn host_selected(host: &str, name: &str, selectors: &[Selector]) -> bool {
    let get = |label: &str| match label {
        NAME => name,
        "host" => host,
        _ => "",
    };
    selectors.is_empty() || selectors.iter().any(|selector| selector.matches_by(get))
}

/// The labels of an output series without its name, in order; one is kept and refilled for row after row.
#[derive(Debug, Default)]
pub(crate) struct OutputLabels {
    text: String,
    pairs: Vec<(Range<usize>, Range<usize>)>,
    renamed: bool,
}

impl OutputLabels {
    /// Takes over the labels of an input series and adds those of `naming`, then those of `external`
    /// that are not there yet. An input label whose name is taken becomes `exported_<name>`, as in a
    /// scrape; what is legal in Prometheus 3 only (`a.b`) is written with underscores.
    pub(crate) fn fill<'a>(
        &mut self,
        naming: Naming,
        input: impl Iterator<Item = (&'a str, &'a str)>,
        external: &[(String, String)],
    ) {
        self.text.clear();
        self.pairs.clear();
        self.renamed = false;
        let mut metric = "";
        for (name, value) in input {
            if name == NAME {
                metric = value;
            } else if is_label_name(name) && !naming.reserves(name) && !(self.renamed && self.has(name)) {
                self.push(name, value);
            } else {
                self.push_renamed(naming, name, value);
            }
        }
        self.push(naming.input_label(), metric);
        for (name, value) in naming.marks() {
            self.push(name, value);
        }
        self.finish(external);
    }

    /// Takes the labels of the roll-up of `host`.
    pub(crate) fn fill_host(&mut self, host: &str, label: Option<&(&str, String)>, external: &[(String, String)]) {
        self.text.clear();
        self.pairs.clear();
        self.push("host", host);
        if let Some((name, value)) = label {
            self.push(name, value);
        }
        self.finish(external);
    }

    fn finish(&mut self, external: &[(String, String)]) {
        for (name, value) in external {
            if !self.has(name) {
                self.push(name, value);
            }
        }
        let text = &self.text;
        self.pairs.sort_unstable_by(|a, b| text[a.0.clone()].cmp(&text[b.0.clone()]));
    }

    /// All labels in order of names.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &str)> + Clone {
        self.pairs.iter().map(|(name, value)| (&self.text[name.clone()], &self.text[value.clone()]))
    }

    fn has(&self, name: &str) -> bool {
        self.iter().any(|(n, _)| n == name)
    }

    fn push(&mut self, name: &str, value: &str) {
        let at = self.text.len();
        self.text.push_str(name);
        self.text.push_str(value);
        let middle = at + name.len();
        self.pairs.push((at..middle, middle..self.text.len()));
    }

    #[cold]
    fn push_renamed(&mut self, naming: Naming, name: &str, value: &str) {
        let mut name = legal_label_name(name);
        while naming.reserves(&name) || self.has(&name) {
            name.insert_str(0, "exported_");
        }
        self.push(&name, value);
        self.renamed = true;
    }
}

/// Whether `name` is a label name in every version of Prometheus and Alertmanager.
pub(crate) fn is_label_name(name: &str) -> bool {
    let legal = |b: &u8| b.is_ascii_alphanumeric() || *b == b'_';
    !name.is_empty() && !name.as_bytes()[0].is_ascii_digit() && name.as_bytes().iter().all(legal)
}

/// `name` with underscores for what [`is_label_name`] refuses.
pub(crate) fn legal_label_name(name: &str) -> String {
    let mut legal: String = name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
    if legal.is_empty() || legal.as_bytes()[0].is_ascii_digit() {
        legal.insert(0, '_');
    }
    legal
}

#[cfg(test)]
mod tests {
    use super::*;
    use watchbell_adapter_api::{Contributor, HostParts};
    use watchbell_series::Pattern;

    fn reading(not_ready: Option<NotReady>) -> Reading {
        Reading {
            ts_ms: 1_000_000,
            value: 5.0,
            score: 1.5,
            expected: 2.0,
            lower: 1.0,
            upper: 3.0,
            pattern: Pattern::None,
            alarm: false,
            not_ready,
            inherited: false,
            quiet: false,
            peers: None,
            cadence_s: 15.0,
        }
    }

    fn filled(naming: Naming, input: &[(&str, &str)]) -> String {
        let mut labels = OutputLabels::default();
        labels.fill(naming, input.iter().copied(), &[("cluster".into(), "c1".into()), ("job".into(), "x".into())]);
        labels.iter().map(|(n, v)| format!("{n}={v} ")).collect()
    }

    #[test]
    fn labels_of_each_mode() {
        let input = [("__name__", "node_load1"), ("instance", "a:1"), ("job", "node")];
        assert_eq!(filled(Naming::Watchbell, &input), "cluster=c1 instance=a:1 job=node metric=node_load1 ");
        assert_eq!(
            filled(Naming::Vmanomaly, &input),
            "cluster=c1 for=node_load1 instance=a:1 job=node model_alias=watchbell scheduler_alias=watchbell "
        );
        assert_eq!(
            filled(Naming::Promql, &input),
            "anomaly_name=node_load1 anomaly_strategy=watchbell cluster=c1 instance=a:1 job=node "
        );
    }

    #[test]
    fn taken_names_are_exported_and_stay_unique() {
        let input = [("__name__", "m"), ("anomaly_name", "a"), ("exported_anomaly_name", "b")];
        let want = "anomaly_name=m anomaly_strategy=watchbell cluster=c1 exported_anomaly_name=a \
                    exported_exported_anomaly_name=b job=x ";
        assert_eq!(filled(Naming::Promql, &input), want);
        let input = [("9 lives", "1"), ("__name__", "m"), ("a.b", "2"), ("a_b", "3"), ("reason", "4")];
        let want = "_9_lives=1 a_b=2 cluster=c1 exported_a_b=3 exported_reason=4 job=x metric=m ";
        assert_eq!(filled(Naming::Watchbell, &input), want);
    }

    #[test]
    fn shown_while_fresh() {
        assert_eq!(shown(&reading(None), 1_300_000), Shown::Ready);
        assert_eq!(shown(&reading(None), 1_300_001), Shown::Gone);
        assert_eq!(shown(&Reading { cadence_s: 600.0, ..reading(None) }, 4_000_000), Shown::Ready);
        assert_eq!(shown(&Reading { score: f32::NAN, ..reading(None) }, 0), Shown::NotReady(NotReady::Warming));
        assert_eq!(shown(&reading(Some(NotReady::Stale)), 1_300_000), Shown::NotReady(NotReady::Stale));
    }

    #[test]
    fn never_a_score_that_is_none() {
        let reading = reading(None);
        let values =
            |shown: Shown| Family::ALL.map(|f| f.value(&reading, shown)).into_iter().flatten().collect::<Vec<_>>();
        assert_eq!(values(Shown::Ready), [1.5, 5.0, 2.0, 1.0, 3.0, 1.0]);
        assert_eq!(values(Shown::NotReady(NotReady::Constant)), [0.0]);
        assert!(values(Shown::Gone).is_empty());
        assert_eq!(Family::Lower.value(&Reading { lower: f64::NAN, ..reading }, Shown::Ready), None);
    }

    #[test]
    fn families_as_chosen() {
        let choose = |naming: Naming, listed: Option<Vec<Family>>, expected| {
            let mut problems = Problems::default();
            let names: Vec<_> = naming.choose(listed, expected, &mut problems).into_iter().map(|(_, n)| n).collect();
            (names, problems.len())
        };
        assert_eq!(choose(Naming::Watchbell, None, true).0.len(), 7);
        let few = (vec!["watchbell_anomaly_score", "watchbell_series_ready", "watchbell_peer_score"], 0);
        assert_eq!(choose(Naming::Watchbell, None, false), few);
        assert_eq!(choose(Naming::Vmanomaly, Some(vec![Family::Upper]), true), (vec!["yhat_upper"], 0));
        assert_eq!(choose(Naming::Promql, Some(vec![Family::Score]), true), (vec![], 2));
        assert_eq!(choose(Naming::Watchbell, Some(vec![Family::Score]), false).1, 1);
    }

    #[test]
    fn host_without_scores_has_no_rate() {
        let text = |host: &HostReading| {
            let lines = host_lines(host);
            assert!(lines.iter().all(|line| HOST_FAMILIES.iter().any(|(name, _)| *name == line.name)));
            let line = |HostLine { name, label, value }: HostLine| match label {
                Some((_, label)) => format!("{} {label} {value}", &name["watchbell_host_".len()..]),
                None => format!("{} {value}", &name["watchbell_host_".len()..]),
            };
            lines.into_iter().map(line).collect::<Vec<_>>()
        };
        let host = HostReading { host: "a".into(), series: 3, ..HostReading::default() };
        assert_eq!(text(&host), ["series 3"]);
        let parts = HostParts { change: 2.0, rollup: 0.5, ..HostParts::default() };
        let contributors = [Contributor { series: "load{}".to_owned(), share: 0.75 }].into();
        let quiet = HostReading { ready: 2, anomalous: 1, score: 0.5, contributors, ..host };
        assert_eq!(text(&quiet), ["score 0.5", "anomaly_rate 0.5", "series 3"]);
        let loud = HostReading { score: 1.25, parts, confidence: 1.0, ..quiet };
        let want = ["score 1.25", "part_score change 2", "part_score rollup 0.5", "confidence 1"];
        let rest = ["contribution load{} 0.75", "anomaly_rate 0.5", "series 3"];
        assert_eq!(text(&loud), [&want[..], &rest[..]].concat());
    }
}
