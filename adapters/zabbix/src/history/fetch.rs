//! Values of a set of items from some second on, page by page.

use serde::Deserialize;
use serde_json::json;

use crate::api::value::{ItemValue, id, integer};
use crate::api::{Api, ApiError};

/// Values of one answer at most: some 2 MB.
pub(super) const PAGE: usize = 20_000;

/// One value.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(super) struct Row {
    #[serde(rename = "itemid", deserialize_with = "id")]
    pub(super) item: u64,
    /// Seconds since the Unix epoch, by the clock of who took the value.
    #[serde(deserialize_with = "integer")]
    pub(super) clock: i64,
    #[serde(default, deserialize_with = "integer")]
    pub(super) ns: i64,
    pub(super) value: ItemValue,
}

impl Row {
    /// Where the value stands among those of its item.
    pub(super) fn at(&self) -> (i64, i64) {
        (self.clock, self.ns)
    }

    pub(super) fn ts_ms(&self) -> i64 {
        self.clock.saturating_mul(1_000).saturating_add(self.ns / 1_000_000)
    }
}

/// A page of values: all from `from` on, up to and without the second `next` where there is more.
#[derive(Debug)]
pub(super) struct Page {
    /// By item, then by time.
    pub(super) rows: Vec<Row>,
    pub(super) next: Option<i64>,
}

/// Asks for the values of `items`, all of one value type, from second `from` on and up to `till`, if set.
pub(super) async fn page(
    api: &Api,
    value_type: u8,
    items: &[u64],
    from: i64,
    till: Option<i64>,
    most: usize,
) -> Result<Page, ApiError> {
    let mut params = json!({
        "output": ["itemid", "clock", "ns", "value"], "history": value_type, "itemids": items, "time_from": from,
        "sortfield": "clock", "sortorder": "ASC", "limit": most,
    });
    if let Some(till) = till {
        params["time_till"] = till.into();
    }
    let rows: Vec<Row> = api.call("history.get", &params).await?;
    Ok(cut(rows, from, most))
}

/// How many values of `items` Zabbix holds from second `from` up to `till`.
pub(super) async fn count(api: &Api, value_type: u8, items: &[u64], from: i64, till: i64) -> Result<u64, ApiError> {
    let params = json!({
        "countOutput": true, "history": value_type, "itemids": items, "time_from": from, "time_till": till,
    });
    Ok(api.call::<Count>("history.get", &params).await?.0)
}

/// A number that some versions tell as text.
#[derive(Deserialize)]
struct Count(#[serde(deserialize_with = "id")] u64);

/// Takes the last second off a page that is full, as more of it may follow.
fn cut(mut rows: Vec<Row>, from: i64, most: usize) -> Page {
    let mut next = None;
    if rows.len() >= most
        && let Some(last) = rows.iter().map(|row| row.clock).max()
    {
        if last > from {
            rows.retain(|row| row.clock < last);
            next = Some(last);
        } else {
            // A second with more values than a page holds: the rest of it can not be asked for.
            next = Some(last + 1);
        }
    }
    rows.sort_unstable_by_key(|row| (row.item, row.clock, row.ns));
    Page { rows, next }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(item: u64, clock: i64, ns: i64) -> Row {
        Row { item, clock, ns, value: ItemValue::Number(1.0) }
    }

    #[test]
    fn a_full_page_ends_before_its_last_second() {
        let rows = vec![row(2, 10, 5), row(1, 10, 9), row(1, 11, 0), row(2, 12, 0)];
        let page = cut(rows.clone(), 10, 4);
        assert_eq!((page.rows.len(), page.next), (3, Some(12)));
        assert_eq!(page.rows.iter().map(|row| row.item).collect::<Vec<_>>(), [1, 1, 2]);
        assert_eq!(cut(rows.clone(), 10, 5).next, None);
        let same: Vec<Row> = (0..4).map(|ns| row(1, 10, ns)).collect();
        let page = cut(same, 10, 4);
        assert_eq!((page.rows.len(), page.next), (4, Some(11)));
    }

    #[test]
    fn recorded_rows() {
        let rows: Vec<Row> = serde_json::from_slice(include_bytes!("../../testdata/history.get.json")).expect("rows");
        assert!(rows.len() > 5 && rows.iter().all(|row| matches!(row.value, ItemValue::Number(_))));
        assert_eq!(rows[0].ts_ms(), rows[0].clock * 1_000 + rows[0].ns / 1_000_000);
        let text: Vec<Row> =
            serde_json::from_slice(include_bytes!("../../testdata/history.get.text.json")).expect("rows");
        assert!(text.iter().all(|row| row.value == ItemValue::Text));
    }
}
