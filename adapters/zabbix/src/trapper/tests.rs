use serde_json::json;

use super::*;

fn problems_of(config: serde_json::Value) -> Vec<String> {
    let config: TrapperConfig = serde_json::from_value(config).expect("the shape is right");
    let mut problems = Problems::default();
    let prepared = config.prepare(&mut problems);
    assert_eq!(prepared.is_none(), !problems.is_empty());
    problems.into_vec().iter().map(ToString::to_string).collect()
}

#[test]
fn settings_are_checked() {
    assert_eq!(problems_of(json!({"servers": ["zabbix", "node1;node2:20051"]})), [""; 0]);
    let found = problems_of(json!({"servers": ["a", "a:10051", "b:x"], "timeout": "0", "items": {"batch": 0}}));
    assert_eq!(found.len(), 4, "{found:#?}");
    assert!(problems_of(json!({"servers": []}))[0].contains("zabbix:10051"));
    let tls = json!({"ca_file": "/no/ca", "cert_file": "/no/cert", "key_file": "/no/key", "psk_identity": "x"});
    let found = problems_of(json!({"servers": ["a"], "tls": tls}));
    assert_eq!(found.len(), 4, "{found:#?}");
    assert!(found[0].starts_with("tls.psk_identity: pre-shared keys are not supported"), "{found:#?}");
}
