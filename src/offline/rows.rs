//! The rows of one file: `timestamp,value[,label]` or `timestamp,<m1>,<m2>,...[,label]`.
//!
//! `timestamp` is in unix seconds, or a date and time, which is of UTC unless it says otherwise. A cell that is no number and a row that is not after
//! the one above count as missing and are told; a row with too few or too many cells ends the file.

use std::io::Read;

use anyhow::{Context, bail, ensure};

use crate::words;

/// Faults of one file that are told one by one.
const TOLD_FAULTS: u64 = 3;
/// The column that says what is true. It is for measures, and never read by what is measured.
const LABEL: &str = "label";

/// Cells that are no numbers and rows out of order: what they hold counts as missing.
#[derive(Debug, Clone, Default)]
pub struct Faults {
    first: Vec<String>,
    count: u64,
    /// Cells with NaN or an infinity, which is how some tools write what is missing: told as a sum.
    not_finite: u64,
    first_not_finite: String,
}

impl Faults {
    fn tell(&mut self, message: impl FnOnce() -> String) {
        self.count += 1;
        if self.count <= TOLD_FAULTS {
            self.first.push(message());
        }
    }

    fn not_finite(&mut self, at: impl FnOnce() -> String) {
        self.not_finite += 1;
        if self.not_finite == 1 {
            self.first_not_finite = at();
        }
    }

    /// What to say of them, the first few one by one; `name` is that of the file.
    #[must_use]
    pub fn told(&self, name: &str) -> Vec<String> {
        let more =
            (self.count > TOLD_FAULTS).then(|| format!("{name}: and {} more such faults", self.count - TOLD_FAULTS));
        let not_finite = (self.not_finite > 0).then(|| {
            let (first, count) = (&self.first_not_finite, words::count(self.not_finite, "cell"));
            format!("{first}, taken as missing; {count} of the file with NaN or an infinity")
        });
        self.first.iter().cloned().chain(more).chain(not_finite).collect()
    }
}

/// Reads the rows of one file.
pub struct Rows<R> {
    name: String,
    reader: csv::Reader<R>,
    header: csv::StringRecord,
    columns: Vec<usize>,
    label: Option<usize>,
    record: csv::StringRecord,
    values: Vec<f64>,
    line: u64,
    last_ms: i64,
    faults: Faults,
}

impl<R> std::fmt::Debug for Rows<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Rows").field("name", &self.name).finish_non_exhaustive()
    }
}

/// One row.
#[derive(Debug)]
pub struct Row<'a> {
    /// Its time as it stands in the file.
    pub time: &'a str,
    /// The same in milliseconds since the Unix epoch.
    pub ts_ms: i64,
    /// The value of each column; NaN where there is none, and everywhere if the row is not after the one above.
    pub values: &'a [f64],
    label: Option<&'a str>,
    name: &'a str,
    line: u64,
}

impl Row<'_> {
    /// Whether the row is labelled as anomalous; `None` where the file has no labels.
    ///
    /// # Errors
    /// The cell is neither 0 nor 1.
    pub fn label(&self) -> anyhow::Result<Option<bool>> {
        match self.label.map(str::trim) {
            None => Ok(None),
            Some("1" | "1.0" | "true") => Ok(Some(true)),
            Some("0" | "0.0" | "false") => Ok(Some(false)),
            Some(other) => bail!("{}:{}: `{LABEL}` is `{other}`; it must be 0 or 1", self.name, self.line),
        }
    }
}

impl<R: Read> Rows<R> {
    /// Reads the header of a file, which is called `name` in messages.
    ///
    /// # Errors
    /// It can not be read, or has no column of time or of values.
    pub fn open(name: &str, from: R) -> anyhow::Result<Self> {
        let mut reader = csv::ReaderBuilder::new().flexible(true).from_reader(from);
        let header = reader.headers().with_context(|| format!("{name}:1: cannot read the header"))?.clone();
        let columns = value_columns(&header).with_context(|| format!("{name}:1"))?;
        let label = (1..header.len()).find(|i| header[*i].trim() == LABEL);
        let values = vec![f64::NAN; columns.len()];
        let (record, faults) = (csv::StringRecord::new(), Faults::default());
        Ok(Self {
            name: name.to_owned(),
            reader,
            header,
            columns,
            label,
            record,
            values,
            line: 1,
            last_ms: i64::MIN,
            faults,
        })
    }

    /// The names of the columns of values.
    pub fn columns(&self) -> impl ExactSizeIterator<Item = &str> {
        self.columns.iter().map(|i| self.header[*i].trim())
    }

    /// Whether the file has labels.
    #[must_use]
    pub fn has_labels(&self) -> bool {
        self.label.is_some()
    }

    /// What was wrong so far, and did not end the file.
    #[must_use]
    pub fn faults(&self) -> &Faults {
        &self.faults
    }

    /// The next row.
    ///
    /// # Errors
    /// The file can not be read on, and where: a row with another number of cells, or without a time.
    pub fn next_row(&mut self) -> anyhow::Result<Option<Row<'_>>> {
        let name = &self.name;
        match self.reader.read_record(&mut self.record) {
            Ok(true) => {}
            Ok(false) => return Ok(None),
            Err(error) => {
                let line = error.position().unwrap_or(self.reader.position()).line();
                bail!("{name}:{line}: cannot read on: {error}");
            }
        }
        let record = &self.record;
        self.line = record.position().map_or(0, csv::Position::line);
        let (at, got, want) = (self.line, record.len(), self.header.len());
        ensure!(got == want, "{name}:{at}: `{got}` fields where the header has `{want}`");
        let time = record[0].trim();
        let ts_ms = timestamp_ms(time).with_context(|| {
            let hint = words::finer_than_seconds(time).unwrap_or_default();
            format!("{name}:{at}: `{time}` is no time in unix seconds or RFC 3339{hint}")
        })?;
        let late = ts_ms <= self.last_ms;
        if late {
            self.faults.tell(|| format!("{name}:{at}: time `{time}` is not after the row above, row not judged"));
        }
        self.last_ms = self.last_ms.max(ts_ms);
        for (value, column) in self.values.iter_mut().zip(&self.columns) {
            *value = f64::NAN;
            if late {
                continue;
            }
            match cell(&record[*column]) {
                Ok(Some(known)) if known.is_finite() => *value = known,
                Ok(Some(_)) => self.faults.not_finite(|| {
                    let (cell, column) = (record[*column].trim(), &self.header[*column]);
                    format!("{name}:{at}: `{cell}` in `{column}` is no finite number")
                }),
                Ok(None) => {}
                Err(()) => self.faults.tell(|| {
                    let (cell, column) = (&record[*column], &self.header[*column]);
                    format!("{name}:{at}: `{cell}` in `{column}` is no number, taken as missing")
                }),
            }
        }
        let label = self.label.map(|column| &record[column]);
        Ok(Some(Row { time, ts_ms, values: &self.values, label, name, line: at }))
    }
}

/// Which columns hold values.
fn value_columns(header: &csv::StringRecord) -> anyhow::Result<Vec<usize>> {
    let first = header.get(0).unwrap_or_default().trim_start_matches('\u{feff}').trim();
    if let Some(separator) = [';', '\t', '|'].into_iter().find(|c| header.len() == 1 && first.contains(*c)) {
        let separator = separator.escape_debug();
        bail!("the columns are separated by `{separator}`; separate them by `,`, and write numbers with `.`");
    }
    ensure!(header.len() > 1 || !first.is_empty(), "the file is empty; it must begin with `timestamp,value`");
    if first.parse::<f64>().is_ok() {
        bail!("there is no header: `{first}` stands where `timestamp` should; begin the file with `timestamp,value`");
    }
    ensure!(first == "timestamp", "the first column is `{first}`; it must be `timestamp`, in unix seconds or RFC 3339");
    let columns: Vec<usize> = (1..header.len()).filter(|i| header[*i].trim() != LABEL).collect();
    ensure!(!columns.is_empty(), "there is no column of values beside `timestamp`");
    Ok(columns)
}

/// Milliseconds since the Unix epoch of a time in unix seconds, as RFC 3339 has it, or without a zone in UTC.
#[must_use]
pub fn timestamp_ms(text: &str) -> Option<i64> {
    let without_zone = || {
        let local: jiff::civil::DateTime = text.parse().ok()?;
        Some(jiff::tz::TimeZone::UTC.to_timestamp(local).ok()?.as_millisecond())
    };
    words::read_time(text).ok().or_else(without_zone)
}

/// A number; `None` for a cell with nothing in it.
fn cell(text: &str) -> Result<Option<f64>, ()> {
    match text.trim() {
        "" => Ok(None),
        text => text.parse().map(Some).map_err(|_| ()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Read = (i64, Vec<f64>, Option<bool>);

    fn read(text: &[u8]) -> anyhow::Result<(Vec<Read>, Vec<String>)> {
        let mut rows = Rows::open("x.csv", text)?;
        let mut out = Vec::new();
        while let Some(row) = rows.next_row()? {
            out.push((row.ts_ms, row.values.to_vec(), row.label()?));
        }
        let faults = rows.faults().told("x.csv");
        Ok((out, faults))
    }

    #[test]
    fn times_values_and_labels() {
        let text = b"\xef\xbb\xbftimestamp,a,label, b\n10,1,0,2\n10.5,,1,x\n1970-01-01T00:00:11Z,3,0,4\n1970-01-01 00:00:11,9,1,9\n";
        let (rows, faults) = read(text).expect("rows");
        let times: Vec<i64> = rows.iter().map(|row| row.0).collect();
        assert_eq!(times, [10_000, 10_500, 11_000, 11_000]);
        assert_eq!((&rows[0].1, rows[0].2), (&vec![1.0, 2.0], Some(false)));
        assert!(rows[1].1.iter().all(|value| value.is_nan()) && rows[1].2 == Some(true));
        assert!(rows[3].1.iter().all(|value| value.is_nan()), "not after the row above");
        assert_eq!(faults[0], "x.csv:3: `x` in ` b` is no number, taken as missing");
        assert_eq!(faults[1], "x.csv:5: time `1970-01-01 00:00:11` is not after the row above, row not judged");
        let columns = Rows::open("x", &text[..]).expect("a header");
        assert_eq!(columns.columns().collect::<Vec<_>>(), ["a", "b"]);
    }

    #[test]
    fn further_faults_are_counted() {
        let (_, faults) = read(b"timestamp,a\n1,x\n2,x\n3,x\n4,x\n5,x\n").expect("rows");
        assert_eq!((faults.len(), faults[3].as_str()), (4, "x.csv: and 2 more such faults"));
    }

    #[test]
    fn cells_that_are_not_finite_are_summed_up() {
        let (rows, faults) = read(b"timestamp,a,b\n1,nan,1\n2,NaN,inf\n3,,1\n4,-Inf,2\n").expect("rows");
        assert!(rows.iter().all(|row| row.1[0].is_nan()) && rows[1].1[1].is_nan());
        let told =
            "x.csv:2: `nan` in `a` is no finite number, taken as missing; 4 cells of the file with NaN or an infinity";
        assert_eq!(faults, [told]);
    }

    #[test]
    fn files_that_cannot_be_read_say_where() {
        for (text, want) in [
            (&b""[..], "the file is empty"),
            (b"time,a\n", "x.csv:1: the first column is `time`; it must be `timestamp`"),
            (b"timestamp,label\n", "no column of values"),
            (b"timestamp;value\n1;2,5\n", "x.csv:1: the columns are separated by `;`; separate them by `,`"),
            (b"timestamp\tvalue\n", "separated by `\\t`"),
            (b"1600000000,2\n", "begin the file with `timestamp,value`"),
            (
                b"timestamp,a\n1600000000000,2\n",
                "x.csv:2: `1600000000000` is no time in unix seconds or RFC 3339 (it looks like milliseconds",
            ),
            (b"timestamp,a\n1,2\n2,3,4\n", "x.csv:3: `3` fields where the header has `2`"),
            (b"timestamp,a\n1,2\nsoon,3\n", "x.csv:3: `soon` is no time"),
            (b"timestamp,a\n1e300,3\n", "x.csv:2: `1e300` is no time"),
            (b"timestamp,a,label\n1,2,maybe\n", "x.csv:2: `label` is `maybe`; it must be 0 or 1"),
            (b"timestamp,a\n1,\xff\n", "x.csv:2: cannot read on"),
        ] {
            let error = format!("{:#}", read(text).expect_err(want));
            assert!(error.contains(want), "{want}: {error}");
        }
    }
}
