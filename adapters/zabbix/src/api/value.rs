//! Readers for what PHP makes of JSON: numbers as text, flags as `"0"` and `"1"`, empty maps as `[]`.
//!
//! For `#[serde(deserialize_with = "...")]`.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserialize, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// A whole number, as text or as number; empty text is 0.
///
/// # Errors
/// What is no whole number.
pub fn integer<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i64, D::Error> {
    struct Whole;
    impl Visitor<'_> for Whole {
        type Value = i64;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a whole number or its text")
        }

        fn visit_str<E: Error>(self, text: &str) -> Result<i64, E> {
            if text.is_empty() {
                return Ok(0);
            }
            text.parse().map_err(|_| E::custom(format!("`{text}` is no whole number")))
        }

        fn visit_i64<E: Error>(self, number: i64) -> Result<i64, E> {
            Ok(number)
        }

        fn visit_u64<E: Error>(self, number: u64) -> Result<i64, E> {
            i64::try_from(number).map_err(|_| E::custom(format!("`{number}` is too large")))
        }

        fn visit_bool<E: Error>(self, flag: bool) -> Result<i64, E> {
            Ok(i64::from(flag))
        }
    }
    deserializer.deserialize_any(Whole)
}

/// An id: a number without sign.
///
/// # Errors
/// What is none.
pub fn id<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    integer(deserializer).and_then(|number| u64::try_from(number).map_err(|_| D::Error::custom("an id below 0")))
}

/// A flag, as `"1"`, `1` or `true`.
///
/// # Errors
/// What is none.
pub fn flag<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    integer(deserializer).map(|number| number != 0)
}

/// A value of an item.
#[derive(Debug, Clone, PartialEq)]
pub enum ItemValue {
    /// A number. 64-bit counters are rounded to the nearest double.
    Number(f64),
    /// Anything else.
    Text,
}

impl<'de> Deserialize<'de> for ItemValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;
        impl<'de> Visitor<'de> for Any {
            type Value = ItemValue;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a value")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<ItemValue, E> {
                // Words such as `inf` are numbers to Rust and none to Zabbix.
                let plain = text.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'-' | b'+' | b'e' | b'E'));
                let number = plain.then(|| text.parse::<f64>().ok()).flatten();
                Ok(number.filter(|n| n.is_finite()).map_or(ItemValue::Text, ItemValue::Number))
            }

            fn visit_f64<E: Error>(self, number: f64) -> Result<ItemValue, E> {
                Ok(ItemValue::Number(number))
            }

            fn visit_i64<E: Error>(self, number: i64) -> Result<ItemValue, E> {
                Ok(ItemValue::Number(number as f64))
            }

            fn visit_u64<E: Error>(self, number: u64) -> Result<ItemValue, E> {
                Ok(ItemValue::Number(number as f64))
            }

            fn visit_bool<E: Error>(self, _: bool) -> Result<ItemValue, E> {
                Ok(ItemValue::Text)
            }

            fn visit_unit<E: Error>(self) -> Result<ItemValue, E> {
                Ok(ItemValue::Text)
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<ItemValue, A::Error> {
                while seq.next_element::<IgnoredAny>()?.is_some() {}
                Ok(ItemValue::Text)
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<ItemValue, A::Error> {
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                Ok(ItemValue::Text)
            }
        }
        deserializer.deserialize_any(Any)
    }
}

/// A list that may come as a map of ids (its values are taken), or as `[]` where it is empty.
///
/// # Errors
/// What is neither.
pub fn list<'de, T: Deserialize<'de>, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<T>, D::Error> {
    struct Items<T>(PhantomData<T>);
    impl<'de, T: Deserialize<'de>> Visitor<'de> for Items<T> {
        type Value = Vec<T>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a list, or a map of ids")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Vec<T>, A::Error> {
            let mut items = Vec::new();
            while let Some(item) = seq.next_element()? {
                items.push(item);
            }
            Ok(items)
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Vec<T>, A::Error> {
            let mut items = Vec::new();
            while let Some((_, item)) = map.next_entry::<IgnoredAny, T>()? {
                items.push(item);
            }
            Ok(items)
        }

        fn visit_unit<E: Error>(self) -> Result<Vec<T>, E> {
            Ok(Vec::new())
        }
    }
    deserializer.deserialize_any(Items(PhantomData))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, serde::Deserialize)]
    struct Row {
        #[serde(deserialize_with = "id")]
        itemid: u64,
        #[serde(deserialize_with = "flag")]
        on: bool,
        value: ItemValue,
        #[serde(default, deserialize_with = "list")]
        tags: Vec<String>,
    }

    fn read(text: &str) -> Result<Row, String> {
        serde_json::from_str(text).map_err(|e| e.to_string())
    }

    #[test]
    fn what_php_makes_of_json() {
        let row =
            read(r#"{"itemid":"7","on":"1","value":"18446744073709551615","tags":{"3":"a","4":"b"}}"#).expect("ok");
        assert_eq!((row.itemid, row.on, row.tags.len()), (7, true, 2));
        assert_eq!(row.value, ItemValue::Number(18_446_744_073_709_551_615.0));
        let row = read(r#"{"itemid":7,"on":false,"value":"inf","tags":[]}"#).expect("ok");
        assert_eq!((row.on, row.value, row.tags), (false, ItemValue::Text, vec![]));
        for (text, value) in
            [("\"1e-7\"", Some(1e-7)), ("-0.5", Some(-0.5)), ("\"\"", None), ("null", None), ("[1]", None)]
        {
            let row = read(&format!(r#"{{"itemid":1,"on":0,"value":{text}}}"#)).expect(text);
            assert_eq!(row.value, value.map_or(ItemValue::Text, ItemValue::Number), "{text}");
        }
        assert!(read(r#"{"itemid":"-1","on":0,"value":1}"#).is_err());
        assert!(read(r#"{"itemid":"x","on":0,"value":1}"#).expect_err("x").contains("`x`"));
    }
}
