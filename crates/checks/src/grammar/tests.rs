use proptest::prelude::*;

use super::*;

/// Items as text, `label value unit`, and bad tokens with a `!`.
fn read(text: &[u8]) -> Vec<String> {
    let lossy = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let one = |found: Result<Item<'_>, Bad<'_>>| match found {
        Ok(item) => {
            let value = item.value.map_or("U".to_owned(), |value| value.to_string());
            format!("{} {value} {}", lossy(&item.label), lossy(item.unit)).trim_end().to_owned()
        }
        Err(bad) => format!("!{:?} {}", bad.fault, lossy(bad.token)),
    };
    items(text).map(one).collect()
}

fn first(text: &str) -> Item<'_> {
    items(text.as_bytes()).next().expect("an item").expect("a good one")
}

#[test]
fn what_standard_plugins_print() {
    assert_eq!(
        read(b"load1=2.240;;;0; scaled_load1=1.120;2.000;4.000;0; load5=1.880;;;0;"),
        ["load1 2.24", "scaled_load1 1.12", "load5 1.88"]
    );
    assert_eq!(read(b"/=23222812672B;243497277849;257024904396;0;270552530944"), ["/ 23222812672 B"]);
    assert_eq!(read(b"rta=0.170000ms;3000.000000;5000.000000;0.000000 pl=0%;80;100;0;"), ["rta 0.17 ms", "pl 0 %"]);
    assert_eq!(read(b"offset=-0.000123s;60;120;"), ["offset -0.000123 s"]);
    assert_eq!(read(b"  \t\r\n"), Vec::<String>::new());
}

#[test]
fn labels() {
    for (text, wanted) in [
        ("'C:\\ used %'=10%;80;90", "C:\\ used % 10 %"),
        ("'it''s'=1", "it's 1"),
        ("''''=1", "' 1"),
        ("a=b=1;2", "a=b 1"),
        ("'a=b'=1", "a=b 1"),
        ("label = 5;1", "label 5"),
        ("'label' =5", "label 5"),
        ("host1::check_disk::/=5GB", "host1::check_disk::/ 5 GB"),
        ("a'b=1", "a'b 1"),
    ] {
        assert_eq!(read(text.as_bytes()), [wanted], "{text}");
    }
    assert_eq!(read(b"stra\xdfe=1"), ["stra\u{fffd}e 1"]);
    let long = format!("{}=1", "x".repeat(300));
    assert_eq!(first(&long).label.len(), 300);
}

#[test]
fn values_and_units() {
    for (text, value, unit) in [
        ("a=0,5s", 0.5, "s"),
        ("a=+5", 5.0, ""),
        ("a=5.", 5.0, ""),
        ("a=.5%", 0.5, "%"),
        ("a=1.2e-05s", 1.2e-5, "s"),
        ("a=1E3", 1000.0, ""),
        ("a=1eV", 1.0, "eV"),
        ("a=12Ghz", 12.0, "Ghz"),
        ("a=23\u{b0}C", 23.0, "\u{b0}C"),
        ("a=-0", 0.0, ""),
        ("a=123456789012345678901234567890", 123_456_789_012_345_680_000_000_000_000.0, ""),
        ("a=5, ", 5.0, ""),
        ("a=7m3", 7.0, "m3"),
    ] {
        let item = first(text);
        assert_eq!((item.value, item.unit), (Some(value), unit.as_bytes()), "{text}");
    }
    assert_eq!(first("a=U;1;2").value, None);
}

#[test]
fn bad_tokens_cost_themselves_only() {
    for (bad, wanted) in [
        ("junk", "!NoEquals junk"),
        ("'open=1", "!Quote 'open=1"),
        ("'alone'", "!Quote 'alone'"),
        ("=5", "!Label =5"),
        ("''=5", "!Label ''=5"),
        ("x=", "!NoValue x="),
        ("x=;1;2", "!NoValue x=;1;2"),
        ("x=abc", "!NotANumber x=abc"),
        ("x=inf", "!NotANumber x=inf"),
        ("x=nan", "!NotANumber x=nan"),
        ("x=1e999", "!NotANumber x=1e999"),
        ("x=0x1F", "!NotANumber x=0x1F"),
        ("x=1,234.5", "!NotANumber x=1,234.5"),
        ("x=--5", "!NotANumber x=--5"),
        ("x=Up", "!NotANumber x=Up"),
        ("x=5<br>", "!NotANumber x=5<br>"),
        ("|", "!NoEquals |"),
    ] {
        assert_eq!(read(format!("a=1 {bad} b=2;3").as_bytes()), ["a 1", wanted, "b 2"], "{bad}");
    }
    assert_eq!(read(b"'open=1 'b'=2"), ["!Quote 'open=1", "b 2"]);
    assert_eq!(read(b"my label=1 b=2"), ["!NoEquals my", "label 1", "b 2"]);
}

#[test]
fn limits() {
    let item = first("a=1;10;@10:20;0;100");
    assert_eq!(item.warn(), Some(Range { start: 0.0, end: 10.0, inside: false }));
    assert_eq!(item.crit(), Some(Range { start: 10.0, end: 20.0, inside: true }));
    assert_eq!((item.min(), item.max()), (Some(0.0), Some(100.0)));
    let item = first("a=1;;;U;1,5");
    assert_eq!((item.warn(), item.crit(), item.min(), item.max()), (None, None, None, Some(1.5)));
    let item = first("a=1; 2; 3;\t4 b=5");
    assert_eq!((item.warn().map(|r| r.end), item.crit().map(|r| r.end), item.min()), (Some(2.0), Some(3.0), Some(4.0)));
    assert_eq!(read(b"a=1; 2 b=5;"), ["a 1", "b 5"]);
}

#[test]
fn ranges() {
    let (low, high) = (f64::NEG_INFINITY, f64::INFINITY);
    for (text, start, end) in [
        ("10", 0.0, 10.0),
        ("10:", 10.0, high),
        ("~:10", low, 10.0),
        ("-5:5.5", -5.0, 5.5),
        (":10", 0.0, 10.0),
        ("0:0", 0.0, 0.0),
    ] {
        assert_eq!(Range::of(text.as_bytes()), Some(Range { start, end, inside: false }), "{text}");
        assert_eq!(Range::of(format!("@{text}").as_bytes()), Some(Range { start, end, inside: true }), "@{text}");
    }
    for text in ["", "@", ":", "20:10", "-1", "10:20:", "80%", "10:~", "~", "a:b", "@@1:2", "1:2s"] {
        assert_eq!(Range::of(text.as_bytes()), None, "{text}");
    }
    let range = Range::of(b"10:20").expect("a range");
    assert!([10.0, 20.0].iter().all(|v| !range.alerts(*v)) && [9.9, 20.1].iter().all(|v| range.alerts(*v)));
    let range = Range::of(b"@10:20").expect("a range");
    assert!([10.0, 20.0].iter().all(|v| range.alerts(*v)) && [9.9, 20.1].iter().all(|v| !range.alerts(*v)));
}

#[test]
fn command_in_brackets() {
    assert_eq!(split_command(b"a=1 [check_disk] "), (&b"a=1 "[..], Some(&b"check_disk"[..])));
    for text in [&b"a=1"[..], b"a=1 []", b"a[x]", b"a=1 [x y]", b"'[a]'=1 b]", b"]"] {
        assert_eq!(split_command(text), (text, None));
    }
}

#[test]
fn units() {
    let read = |unit: &[u8]| base(unit);
    for (unit, word, value) in [
        (&b"ms"[..], "seconds", 0.00047),
        (b"MB", "bytes", 492_830.72),
        (b"c", "", 0.47),
        (b"%", "percent", 0.47),
        (b"mV", "volts", 0.00047),
    ] {
        assert_eq!((read(unit).word, read(unit).value(0.47)), (Some(word), value), "{unit:?}");
    }
    assert!(read(b"c").counter && !read(b"C").counter);
    assert_eq!(read(b"C").word, Some("celsius"));
    assert_eq!(read(b"rpm").word, None);
}

#[test]
fn quotes_in_odd_places() {
    for (text, wanted) in [
        ("'a''b'=1", &["a'b 1"][..]),
        ("'''a'''=1", &["'a' 1"]),
        ("''''''=1", &["'' 1"]),
        ("'a \"b\" c'=1", &["a \"b\" c 1"]),
        ("\"a\"=1", &["\"a\" 1"]),
        ("'a' = 1", &["a 1"]),
        ("a''b=1", &["a''b 1"]),
        ("'x;y'=1;2", &["x;y 1"]),
        ("' '=1", &["  1"]),
        ("'it's'=1 b=2", &["!Quote 'it's'=1", "b 2"]),
        ("'a''=1 b=2", &["!Quote 'a''=1", "b 2"]),
        ("''=1 b=2", &["!Label ''=1", "b 2"]),
        ("'' b=2", &["!Quote ''", "b 2"]),
        ("' b=2", &["!Quote '", "b 2"]),
        ("'a'b=1 c=2", &["!Quote 'a'b=1", "c 2"]),
        ("'a'='1' b=2", &["!NotANumber 'a'='1'", "b 2"]),
    ] {
        assert_eq!(read(text.as_bytes()), wanted, "{text}");
    }
    // A quote without an end costs one look, not one at all that follow.
    let open = "'a ".repeat(100_000);
    assert_eq!(items(open.as_bytes()).filter(Result::is_err).count(), 100_000);
}

#[test]
fn equals_signs_in_odd_places() {
    for (text, wanted) in [
        ("a=1=2 z=1", &["a=1 2", "z 1"][..]),
        ("'='=1 z=1", &["= 1", "z 1"]),
        ("C:\\=2 z=1", &["C:\\ 2", "z 1"]),
        ("a=b;c=1 z=1", &["!NotANumber a=b;c=1", "z 1"]),
        ("a= b=2 z=1", &["!NoValue a=", "b 2", "z 1"]),
        ("= a=1 z=1", &["!NoValue =", "a 1", "z 1"]),
        ("z=1 =", &["z 1", "!NoValue ="]),
    ] {
        assert_eq!(read(text.as_bytes()), wanted, "{text}");
    }
}

#[test]
fn fields_after_the_value() {
    // Semicolons at the end may be there or not, and what is more than five fields is nobody's.
    for text in ["a=1", "a=1;", "a=1;;;;", "a=1;;;;;;;;", "a=1;;;;;7;8"] {
        let item = first(text);
        assert_eq!((item.value, item.has_limits()), (Some(1.0), false), "{text}");
    }
    let item = first("a=1;U;80%;-5;1e3");
    assert_eq!((item.warn(), item.crit(), item.min(), item.max()), (None, None, Some(-5.0), Some(1_000.0)));
    assert_eq!(item.printed_limits(), [&b"U"[..], b"80%", b"-5", b"1e3"]);
    let ends = |text: &str| {
        let item = first(text);
        (item.value, item.warn().map(|range| range.end), item.crit().map(|range| range.end))
    };
    // What can not be read of a threshold costs the threshold.
    for bad in ["20:10", "@20:10", "10:20:30", "~", "@", ":", "10:~", "1,000.5", "--1", "abc", "inf", "0x10"] {
        assert_eq!(ends(&format!("a=1;{bad};5")), (Some(1.0), None, Some(5.0)), "{bad}");
    }
    assert_eq!(ends("a=1;0,5:1,5;~:1e2"), (Some(1.0), Some(1.5), Some(100.0)));
}

#[test]
fn numbers_with_commas_and_exponents() {
    for (text, wanted) in [
        ("a=1,5", "a 1.5"),
        ("a=-1,5s", "a -1.5 s"),
        ("a=1,234", "a 1.234"),
        ("a=1,5e3", "a 1500"),
        ("a=1.234,5", "!NotANumber a=1.234,5"),
        ("a=1,234,567", "!NotANumber a=1,234,567"),
        ("a=1.2.3", "!NotANumber a=1.2.3"),
        ("a=,", "!NotANumber a=,"),
        ("a=.", "!NotANumber a=."),
        ("a=-", "!NotANumber a=-"),
        ("a=1e+", "!NotANumber a=1e+"),
        ("a=1e", "a 1 e"),
        ("a=1e5B", "a 100000 B"),
        ("a=1E-2ms", "a 0.01 ms"),
        ("a=U;1;2", "a U"),
        ("a=u", "!NotANumber a=u"),
        ("a=UU", "!NotANumber a=UU"),
        ("a=NaN", "!NotANumber a=NaN"),
        ("a=-inf", "!NotANumber a=-inf"),
    ] {
        assert_eq!(read(format!("{text} z=1").as_bytes()), [wanted, "z 1"], "{text}");
    }
    let long = format!("a=1{};{}.5 z=1", "0".repeat(300), "0".repeat(100_000));
    assert_eq!(read(long.as_bytes()), [format!("a 1{}", "0".repeat(300)), "z 1".to_owned()]);
    assert_eq!(read(format!("a={} z=1", "9".repeat(1_000_000)).as_bytes())[1], "z 1");
}

#[test]
fn very_many_and_very_long() {
    let many: Vec<String> = (0..700).map(|n| format!("'label {n}'={n}B;{n};{n};0;")).collect();
    let found = read(many.join(" ").as_bytes());
    assert_eq!((found.len(), found[699].as_str()), (700, "label 699 699 B"));
    let text = format!("'{}'=1 {}=2 a=3{} z=4", "x".repeat(1 << 20), "y".repeat(1 << 20), "u".repeat(1 << 20));
    let found: Vec<String> = read(text.as_bytes()).iter().map(|found| found.chars().take(12).collect()).collect();
    assert_eq!(found, ["!Label 'xxxx", "!Label yyyyy", "!NotANumber ", "z 4"]);
    assert_eq!(first(&format!("{}=1", "x".repeat(MAX_LABEL))).label.len(), MAX_LABEL);
}

#[test]
fn bytes_that_are_no_text() {
    for (text, wanted) in [
        (&b"a=1\tb=2\r\n"[..], &["a 1", "b 2"][..]),
        (b"'a\tb'=1", &["a\tb 1"]),
        (b"a\0b=1 c=2", &["a\0b 1", "c 2"]),
        (b"a=1\0 b=2", &["!NotANumber a=1\0", "b 2"]),
        (b"a=\x1b[31m1 b=2", &["!NotANumber a=\x1b[31m1", "b 2"]),
        (b"a=1\x0b b=2", &["!NotANumber a=1\x0b", "b 2"]),
        (b"\x00 b=2", &["!NoEquals \0", "b 2"]),
    ] {
        assert_eq!(read(text), wanted, "{text:?}");
    }
}

/// Quotes a label where the rules ask for it, as `plugins-perl` does.
fn quoted(label: &str) -> String {
    if label.is_empty() || label.contains([' ', '\t', '\n', '\r', '\'', '=']) {
        format!("'{}'", label.replace('\'', "''"))
    } else {
        label.to_owned()
    }
}

proptest! {
    #[test]
    fn what_was_written_is_read(
        wanted in proptest::collection::vec(("[^\r\n]{1,20}", -1e12f64..1e12, "(|s|ms|%|B|KB|c)", "(|10|@5:7|~:3)"), 0..12),
    ) {
        let text: Vec<String> =
            wanted.iter().map(|(label, value, unit, warn)| format!("{}={value}{unit};{warn};;0", quoted(label))).collect();
        let text = text.join(" ");
        let found: Vec<_> = items(text.as_bytes()).map(|item| item.expect("good")).collect();
        prop_assert_eq!(found.len(), wanted.len());
        for (item, (label, value, unit, warn)) in found.iter().zip(&wanted) {
            prop_assert_eq!(&*item.label, label.as_bytes());
            prop_assert_eq!((item.value, item.unit), (Some(*value), unit.as_bytes()));
            prop_assert_eq!(item.warn().is_some(), !warn.is_empty());
            prop_assert_eq!(item.min(), Some(0.0));
        }
    }

    #[test]
    fn any_bytes_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        check(&bytes);
    }

    #[test]
    fn bytes_of_the_grammar_are_survived(bytes in "[a-c'=;:@~ .,0-9eEUxµ%\\[\\]-]{0,60}") {
        check(bytes.as_bytes());
    }

    #[test]
    fn numbers_are_those_of_the_library(text in "[+-]?([0-9]{1,25}\\.[0-9]{0,25}|\\.[0-9]{1,20}|[0-9]{1,20})([eE][+-]?[0-9]{1,2})?") {
        prop_assert_eq!(number(text.as_bytes()), text.parse().ok().map(|value: f64| (value, text.len())));
    }
}

/// Every non-blank byte is in an item or a bad token, all ends, and values are finite.
fn check(bytes: &[u8]) {
    let (rest, _) = split_command(bytes);
    let mut found = 0;
    for item in items(rest) {
        found += 1;
        assert!(found <= bytes.len());
        match item {
            Ok(item) => {
                assert!(!item.label.is_empty() && item.value.is_none_or(f64::is_finite));
                let base = base(item.unit);
                assert_eq!(base.value(0.0), 0.0);
                for range in [item.warn(), item.crit()].into_iter().flatten() {
                    assert!(range.start <= range.end);
                }
                assert!([item.min(), item.max()].into_iter().flatten().all(f64::is_finite));
            }
            Err(bad) => assert!(!bad.token.is_empty()),
        }
    }
}
