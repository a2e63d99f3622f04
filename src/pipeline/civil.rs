//! The offsets of a time zone as the table that detectors look civil time up in.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use watchbell_detect::CivilTime;

/// Offsets are listed from here on: nothing monitored is older.
const FIRST_YEAR_S: i64 = 0;
/// Last second listed, in 2100: rules of daylight saving are not decided so far ahead anyway.
const LAST_S: i64 = 4_102_444_800;

/// All changes of offset of `zone` between 1970 and 2100.
#[must_use]
pub fn table(zone: &TimeZone) -> CivilTime {
    let Ok(first) = Timestamp::from_second(FIRST_YEAR_S) else { return CivilTime::utc() };
    let mut offsets = vec![(i64::MIN, zone.to_offset(first).seconds())];
    let changes = zone.following(first).take_while(|change| change.timestamp().as_second() < LAST_S);
    offsets.extend(changes.map(|change| (change.timestamp().as_millisecond(), change.offset().seconds())));
    CivilTime::new(offsets)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_daylight_saving() {
        let zone = TimeZone::get("Europe/Berlin").expect("bundled");
        let table = table(&zone);
        let at = |text: &str| text.parse::<Timestamp>().expect("valid").as_millisecond();
        assert_eq!(table.offset_s(at("2026-01-15T12:00:00Z")), 3_600);
        assert_eq!(table.offset_s(at("2026-07-15T12:00:00Z")), 7_200);
        assert_eq!(table.offset_s(at("2026-03-29T00:59:59Z")), 3_600);
        assert_eq!(table.offset_s(at("2026-03-29T01:00:00Z")), 7_200);
        assert_eq!(super::table(&TimeZone::UTC).offset_s(at("2026-07-15T12:00:00Z")), 0);
    }
}
