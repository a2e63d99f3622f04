//! An answer of a Zabbix server: the frame, and the counts in it.

#![no_main]

use libfuzzer_sys::fuzz_target;
use watchbell_zabbix::sender::frame::{Progress, decode, encode};
use watchbell_zabbix::sender::message::reply;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(Progress::Payload(payload)) = decode(bytes, 1 << 16) {
        let _ = reply(&payload);
        assert_eq!(decode(&encode(&payload, true), 1 << 16), Ok(Progress::Payload(payload)));
    }
    let _ = reply(bytes);
});
