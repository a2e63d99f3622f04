//! When a maintenance is: one-time, daily, weekly and monthly periods within its active time.
//!
//! Zabbix counts in the server's zone, which the API does not tell; it is a setting here. A period begins at
//! `start_time` seconds after midnight. Source: documentation of `maintenance.get` and, for what `every` counts from,
//! the server's own way: days and weeks since the day of `active_since`.

use jiff::civil::Date;
use jiff::tz::{AmbiguousOffset, TimeZone};
use jiff::{Span, Timestamp};
use serde::Deserialize;

use crate::api::value::integer;

/// Days that a period is looked for around now, before and after.
const DAYS_BEFORE: i64 = 2;
const DAYS_AFTER: i64 = 2;

/// One period, as the API tells it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(super) struct Period {
    /// 0 one-time, 2 daily, 3 weekly, 4 monthly.
    #[serde(rename = "timeperiod_type", deserialize_with = "integer")]
    pub(super) kind: i64,
    #[serde(default, deserialize_with = "integer")]
    pub(super) every: i64,
    #[serde(default, deserialize_with = "integer")]
    pub(super) month: i64,
    /// Bits of days, Monday first.
    #[serde(default, deserialize_with = "integer")]
    pub(super) dayofweek: i64,
    #[serde(default, deserialize_with = "integer")]
    pub(super) day: i64,
    #[serde(default, deserialize_with = "integer")]
    pub(super) start_time: i64,
    #[serde(deserialize_with = "integer")]
    pub(super) period: i64,
    #[serde(default, deserialize_with = "integer")]
    pub(super) start_date: i64,
}

impl Period {
    /// Where it is in force around `now_s`, within `active`: begin and end in seconds since the Unix epoch.
    pub(super) fn around(&self, now_s: i64, active: (i64, i64), zone: &TimeZone) -> Vec<(i64, i64)> {
        let mut found = Vec::new();
        let length = self.period.clamp(0, 10 * 366 * 86_400);
        if self.kind == 0 {
            found.push((self.start_date, self.start_date.saturating_add(length)));
        } else if let (Some(today), Some(since)) = (date(now_s, zone), date(active.0, zone)) {
            for offset in -(length / 86_400 + DAYS_BEFORE)..=DAYS_AFTER {
                let Ok(day) = today.checked_add(Span::new().days(offset)) else { continue };
                if !self.falls_on(day, since) {
                    continue;
                }
                // Hours of the clock, as the server counts them, also on a day of 23 or 25 hours.
                let clock = jiff::civil::time(0, 0, 0, 0);
                let begin = day.to_datetime(clock).checked_add(Span::new().seconds(self.start_time.clamp(0, 86_399)));
                let Ok(begin) = begin.map(|begin| zone.to_ambiguous_timestamp(begin)) else { continue };
                // The server skips a time that a change of the clock leaves out.
                if matches!(begin.offset(), AmbiguousOffset::Gap { .. }) {
                    continue;
                }
                if let Ok(begin) = begin.compatible() {
                    let begin = begin.as_second();
                    found.push((begin, begin.saturating_add(length)));
                }
            }
        }
        found.retain_mut(|(begin, end)| {
            // One that comes again and began before the active time is none at the server.
            let runs = self.kind == 0 || *begin >= active.0;
            (*begin, *end) = ((*begin).max(active.0), (*end).min(active.1));
            runs && begin < end
        });
        found
    }

    fn falls_on(&self, day: Date, since: Date) -> bool {
        let weekday = i64::from(day.weekday().to_monday_zero_offset());
        let in_week = self.dayofweek >> weekday & 1 == 1;
        let days = |from: Date, to: Date| i64::from((to - from).get_days());
        match self.kind {
            2 => day >= since && days(since, day) % self.every.max(1) == 0,
            3 => {
                // Weeks begin on Monday.
                let monday =
                    |of: Date| of.checked_sub(Span::new().days(of.weekday().to_monday_zero_offset())).unwrap_or(of);
                in_week && day >= since && days(monday(since), monday(day)) / 7 % self.every.max(1) == 0
            }
            4 if self.month >> (i64::from(day.month()) - 1) & 1 == 0 => false,
            4 if self.day > 0 => i64::from(day.day()) == self.day,
            // The first to fourth such weekday of the month, or the last.
            4 => in_week && nth(day, self.every),
            _ => false,
        }
    }
}

fn nth(day: Date, every: i64) -> bool {
    let of_month = i64::from(day.day());
    if every >= 5 { of_month + 7 > i64::from(day.days_in_month()) } else { (of_month - 1) / 7 + 1 == every }
}

fn date(second: i64, zone: &TimeZone) -> Option<Date> {
    Timestamp::from_second(second).ok().map(|at| at.to_zoned(zone.clone()).date())
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::civil::Weekday;

    /// Bit 0 is Monday.
    fn bit(day: Weekday) -> i64 {
        1 << day.to_monday_zero_offset()
    }

    const ALWAYS: (i64, i64) = (0, i64::MAX);

    fn period(kind: i64) -> Period {
        Period { kind, every: 1, month: 0, dayofweek: 0, day: 0, start_time: 0, period: 3_600, start_date: 0 }
    }

    fn second(text: &str) -> i64 {
        text.parse::<Timestamp>().expect("a time").as_second()
    }

    /// Where `period` is in force around `now`, in UTC.
    fn around(period: &Period, now: &str, since: &str) -> Vec<String> {
        let found = period.around(second(now), (second(since), i64::MAX), &TimeZone::UTC);
        found.iter().map(|(begin, _)| Timestamp::from_second(*begin).expect("a time").to_string()).collect()
    }

    #[test]
    fn one_time_within_the_active_time() {
        let once = Period { start_date: 1_000, period: 500, ..period(0) };
        assert_eq!(once.around(0, ALWAYS, &TimeZone::UTC), [(1_000, 1_500)]);
        assert_eq!(once.around(0, (1_200, 1_400), &TimeZone::UTC), [(1_200, 1_400)]);
        assert!(once.around(0, (2_000, 3_000), &TimeZone::UTC).is_empty());
    }

    #[test]
    fn every_other_day() {
        let daily = Period { every: 2, start_time: 7_200, ..period(2) };
        let found = around(&daily, "2026-11-26T12:00:00Z", "2026-11-20T00:00:00Z");
        assert_eq!(found, ["2026-11-24T02:00:00Z", "2026-11-26T02:00:00Z", "2026-11-28T02:00:00Z"]);
    }

    #[test]
    fn some_days_of_the_week() {
        // The 26th of November 2026 is a Thursday.
        let weekly = Period { dayofweek: bit(Weekday::Thursday) | bit(Weekday::Sunday), ..period(3) };
        assert_eq!(around(&weekly, "2026-11-26T12:00:00Z", "2026-11-01T00:00:00Z"), ["2026-11-26T00:00:00Z"]);
        let other = Period { every: 2, ..weekly };
        assert!(around(&other, "2026-11-26T12:00:00Z", "2026-11-16T00:00:00Z").is_empty());
        assert_eq!(around(&other, "2026-11-26T12:00:00Z", "2026-11-09T00:00:00Z"), ["2026-11-26T00:00:00Z"]);
    }

    #[test]
    fn days_of_the_month() {
        let monthly = Period { month: 1 << 10, day: 26, ..period(4) };
        assert_eq!(around(&monthly, "2026-11-26T12:00:00Z", "2026-01-01T00:00:00Z"), ["2026-11-26T00:00:00Z"]);
        let december = Period { month: 1 << 11, ..monthly };
        assert!(around(&december, "2026-11-26T12:00:00Z", "2026-01-01T00:00:00Z").is_empty());
        let fourth = Period { month: 1 << 10, day: 0, every: 4, dayofweek: bit(Weekday::Thursday), ..period(4) };
        assert_eq!(around(&fourth, "2026-11-26T12:00:00Z", "2026-01-01T00:00:00Z"), ["2026-11-26T00:00:00Z"]);
        let last = Period { every: 5, ..fourth };
        assert_eq!(around(&last, "2026-11-26T12:00:00Z", "2026-01-01T00:00:00Z"), ["2026-11-26T00:00:00Z"]);
        assert!(around(&Period { every: 3, ..last }, "2026-11-26T12:00:00Z", "2026-01-01T00:00:00Z").is_empty());
    }

    #[test]
    fn what_the_server_skips() {
        let daily = Period { start_time: 7_200, ..period(2) };
        let found = around(&daily, "2026-11-26T12:00:00Z", "2026-11-26T02:30:00Z");
        assert_eq!(found, ["2026-11-27T02:00:00Z", "2026-11-28T02:00:00Z"], "the first began before the active time");
        let zone = TimeZone::get("Europe/Berlin").expect("a zone");
        let half_past_two = Period { start_time: 9_000, ..period(2) };
        let found = half_past_two.around(second("2026-03-29T12:00:00Z"), ALWAYS, &zone);
        let days: Vec<_> =
            found.iter().map(|(begin, _)| Timestamp::from_second(*begin).expect("a time").to_string()).collect();
        assert_eq!(
            days,
            ["2026-03-27T01:30:00Z", "2026-03-28T01:30:00Z", "2026-03-30T00:30:00Z", "2026-03-31T00:30:00Z"],
            "there is no half past two on the 29th"
        );
    }

    #[test]
    fn midnight_is_that_of_the_zone_and_a_long_one_began_days_ago() {
        let zone = TimeZone::get("Europe/Berlin").expect("a zone");
        let found = period(2).around(second("2026-11-26T12:00:00Z"), ALWAYS, &zone);
        assert!(found.iter().any(|(begin, _)| *begin == second("2026-11-25T23:00:00Z")), "{found:?}");
        let long = Period { dayofweek: bit(Weekday::Friday), period: 6 * 86_400, ..period(3) };
        let found = long.around(second("2026-11-26T12:00:00Z"), ALWAYS, &TimeZone::UTC);
        assert!(found.contains(&(second("2026-11-20T00:00:00Z"), second("2026-11-26T00:00:00Z"))), "{found:?}");
    }
}
