//! Keys of items, and lines of Zabbix's export: the shortest form of a key reads as the same key.
#![no_main]

use libfuzzer_sys::fuzz_target;
use watchbell_zabbix::export::is_line;
use watchbell_zabbix::key::Key;

fuzz_target!(|bytes: &[u8]| {
    let _ = is_line(bytes);
    if let Ok(text) = std::str::from_utf8(bytes) {
        let key = Key::read(text);
        assert_eq!(Key::read(&key.to_string()), key);
    }
});
