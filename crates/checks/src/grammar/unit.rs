//! Units of measurement, brought to base units so that a plugin that changes from `ms` to `s` goes on in the
//! same series.

/// What a printed unit means.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Base {
    /// The base unit in Watchbell's words; empty for a plain number, `None` for a unit that is not known.
    pub word: Option<&'static str>,
    /// What a value is multiplied by to be in it.
    times: f64,
    /// And divided by: 0.47 ms is 0.00047 s to the last bit only by a division.
    over: f64,
    /// Whether the value is a total that only grows.
    pub counter: bool,
}

impl Base {
    /// `value` in the base unit.
    #[must_use]
    pub fn value(&self, value: f64) -> f64 {
        value * self.times / self.over
    }
}

const KIB: f64 = 1_024.0;
const MIB: f64 = KIB * KIB;
const GIB: f64 = MIB * KIB;
const TIB: f64 = GIB * KIB;

/// The base unit of `unit`. Letters in the case that the guidelines give; `KB` to `TB` are powers of 1,024, as
/// the standard plugins mean them.
#[must_use]
pub fn base(unit: &[u8]) -> Base {
    let known = |word, times| Base { word: Some(word), times, over: 1.0, counter: false };
    let part = |word, over| Base { word: Some(word), times: 1.0, over, counter: false };
    match unit {
        b"" => known("", 1.0),
        b"c" => Base { counter: true, ..known("", 1.0) },
        b"%" => known("percent", 1.0),
        b"s" => known("seconds", 1.0),
        b"ms" => part("seconds", 1e3),
        b"us" | b"\xc2\xb5s" | b"\xce\xbcs" | b"\xb5s" => part("seconds", 1e6),
        b"ns" => part("seconds", 1e9),
        b"min" => known("seconds", 60.0),
        b"h" => known("seconds", 3_600.0),
        b"d" => known("seconds", 86_400.0),
        b"B" => known("bytes", 1.0),
        b"KB" | b"kB" | b"KiB" => known("bytes", KIB),
        b"MB" | b"MiB" => known("bytes", MIB),
        b"GB" | b"GiB" => known("bytes", GIB),
        b"TB" | b"TiB" => known("bytes", TIB),
        b"PB" | b"PiB" => known("bytes", TIB * KIB),
        b"B/s" | b"Bps" => known("bytes_per_second", 1.0),
        b"KB/s" | b"kB/s" | b"KiB/s" => known("bytes_per_second", KIB),
        b"MB/s" | b"MiB/s" => known("bytes_per_second", MIB),
        b"C" | b"\xc2\xb0C" | b"\xb0C" => known("celsius", 1.0),
        b"V" => known("volts", 1.0),
        b"mV" => part("volts", 1e3),
        b"A" => known("amperes", 1.0),
        b"mA" => part("amperes", 1e3),
        b"W" => known("watts", 1.0),
        b"mW" => part("watts", 1e3),
        b"kW" => known("watts", 1e3),
        b"Hz" => known("hertz", 1.0),
        b"kHz" | b"KHz" => known("hertz", 1e3),
        b"MHz" | b"Mhz" => known("hertz", 1e6),
        b"GHz" | b"Ghz" => known("hertz", 1e9),
        _ => Base { word: None, times: 1.0, over: 1.0, counter: false },
    }
}
