use super::*;

const PROMETHEUS: u32 = 1;
const ZABBIX: u32 = 2;
const NAGIOS: u32 = 3;

fn name(source: u32, label: &str, name: &str) -> HostName {
    HostName {
        name: name.into(),
        source,
        label: label.into(),
        carried: name.into(),
        address: label == "instance",
        decided: false,
        rule: "".into(),
    }
}

fn decided(source: u32, label: &str, of: &str) -> HostName {
    HostName { decided: true, ..name(source, label, of) }
}

fn guesses() -> Guesses {
    Guesses { ignore_case: true, join_domains: true, strip_domains: Vec::new() }
}

fn hosts(names: &[HostName], guesses: &Guesses) -> Vec<(String, String)> {
    let table = resolve(names, guesses);
    let mut backwards = names.to_vec();
    backwards.reverse();
    assert_eq!(table, resolve(&backwards, guesses), "the order of names says nothing");
    names.iter().map(|name| (name.name.to_string(), table.host(&name.name).to_owned())).collect()
}

fn pairs(all: &[(String, String)]) -> Vec<(&str, &str)> {
    all.iter().map(|(name, host)| (name.as_str(), host.as_str())).collect()
}

#[test]
fn one_host_in_three_tools() {
    let names = [name(PROMETHEUS, "instance", "web1"), name(ZABBIX, "host", "Web1"), name(NAGIOS, "host", "web1")];
    assert_eq!(pairs(&hosts(&names, &guesses())), [("web1", "web1"), ("Web1", "web1"), ("web1", "web1")]);
    let table = resolve(&names, &guesses());
    assert_eq!((table.how("Web1"), table.how("web1")), (How::Case, How::Kept));
    assert!(table.conflicts().is_empty());
    let exact = Guesses { ignore_case: false, ..guesses() };
    assert_eq!(pairs(&hosts(&names, &exact))[1], ("Web1", "Web1"));
}

#[test]
fn a_domain_is_left_off_where_another_source_does() {
    let full = name(PROMETHEUS, "instance", "web1.example.org");
    assert_eq!(pairs(&hosts(std::slice::from_ref(&full), &guesses())), [("web1.example.org", "web1.example.org")]);
    let names = [full, name(ZABBIX, "host", "web1"), name(NAGIOS, "host", "web1.example")];
    let table = resolve(&names, &guesses());
    assert_eq!(pairs(&hosts(&names, &guesses())).iter().map(|p| p.1).collect::<Vec<_>>(), ["web1"; 3]);
    assert_eq!(table.how("web1.example.org"), How::Joined);
    // Who calls the host by a name has the word, whatever others reach it under.
    let names = [name(PROMETHEUS, "instance", "db"), name(NAGIOS, "host", "db.example.org"), name(0, "instance", "DB")];
    assert!(hosts(&names, &guesses()).iter().all(|(_, host)| host == "db.example.org"));
    let names = [name(PROMETHEUS, "instance", "web1"), name(NAGIOS, "host", "Web1")];
    assert!(hosts(&names, &guesses()).iter().all(|(_, host)| host == "Web1"));
    let names = [name(PROMETHEUS, "instance", "web1.example.org"), name(ZABBIX, "host", "web1")];
    let none = Guesses { join_domains: false, ..guesses() };
    assert_eq!(pairs(&hosts(&names, &none))[0].1, "web1.example.org");
}

#[test]
fn two_domains_stay_apart_and_are_told() {
    let (eu, us) = ("web1.eu.example.org", "web1.us.example.org");
    for bare in [None, Some(name(ZABBIX, "host", "web1"))] {
        let mut names = vec![name(PROMETHEUS, "instance", eu), name(PROMETHEUS, "instance", us)];
        names.extend(bare);
        let found = hosts(&names, &guesses());
        assert!(found.iter().all(|(name, host)| name == host), "{found:?}");
        let table = resolve(&names, &guesses());
        let [conflict] = table.conflicts() else { panic!("{:?}", table.conflicts()) };
        assert_eq!((conflict.name.as_str(), conflict.reason, conflict.hosts.len()), ("web1", DOMAINS, names.len()));
        let advice = conflict.advice();
        assert!(advice.contains(r#"{host: "web1", names: ["#) && advice.contains("keep: true"), "{advice}");
        // A row for each settles it.
        let settled: Vec<HostName> = names.iter().map(|it| HostName { decided: true, ..it.clone() }).collect();
        assert!(resolve(&settled, &guesses()).conflicts().is_empty());
    }
}

#[test]
fn names_that_one_source_uses_side_by_side_are_several_hosts() {
    let names = [name(ZABBIX, "host", "web1"), name(ZABBIX, "host", "WEB1"), name(PROMETHEUS, "instance", "web1")];
    assert_eq!(pairs(&hosts(&names, &guesses()))[1], ("WEB1", "WEB1"));
    assert_eq!(resolve(&names, &guesses()).conflicts()[0].reason, ONE_SOURCE);
    let names = [name(NAGIOS, "host", "db"), name(NAGIOS, "host", "db.example.org")];
    assert_eq!(pairs(&hosts(&names, &guesses()))[1], ("db.example.org", "db.example.org"));
    // Of two labels one may be written in full, and what came from history only is nobody's.
    let names = [name(PROMETHEUS, "host", "db"), name(PROMETHEUS, "instance", "db.example.org"), name(0, "host", "DB")];
    assert!(hosts(&names, &guesses()).iter().all(|(_, host)| host == "db"));
}

#[test]
fn listed_domains_are_left_off_unless_two_hosts_would_be_one() {
    let strip = |domains: &[&str]| Guesses {
        strip_domains: domains.iter().map(|domain| (*domain).to_owned()).collect(),
        ..guesses()
    };
    let one = [name(PROMETHEUS, "instance", "web1.example.org"), name(PROMETHEUS, "instance", "10.1.2.3")];
    assert_eq!(pairs(&hosts(&one, &strip(&["example.org"]))), [("web1.example.org", "web1"), ("10.1.2.3", "10.1.2.3")]);
    assert_eq!(pairs(&hosts(&one, &strip(&["*"])))[0].1, "web1");
    assert_eq!(pairs(&hosts(&one, &strip(&["ample.org", "org"])))[0].1, "web1.example");
    let two = [name(PROMETHEUS, "instance", "web1.eu.example.org"), name(ZABBIX, "host", "web1.us.example.org")];
    for domains in [&["eu.example.org", "us.example.org"][..], &["*"]] {
        assert!(hosts(&two, &strip(domains)).iter().all(|(name, host)| name == host));
        assert_eq!(resolve(&two, &strip(domains)).conflicts().len(), 1, "{domains:?}");
    }
    assert_eq!(pairs(&hosts(&two, &strip(&["eu.example.org"])))[0].1, "web1");
}

#[test]
fn what_a_row_decided_stays_and_others_may_join_it() {
    let names = [
        decided(PROMETHEUS, "instance", "www.example.org"),
        name(ZABBIX, "host", "www"),
        decided(PROMETHEUS, "instance", "Edge"),
        name(NAGIOS, "host", "edge"),
        name(ZABBIX, "host", "EDGE"),
    ];
    let found = hosts(&names, &guesses());
    assert_eq!(
        pairs(&found).iter().map(|pair| pair.1).collect::<Vec<_>>(),
        ["www.example.org", "www", "Edge", "Edge", "Edge"]
    );
}

#[test]
fn a_name_that_a_person_writes_is_found_in_any_capitals() {
    let names = [name(PROMETHEUS, "instance", "web1.example.org"), name(ZABBIX, "host", "Web1")];
    let table = resolve(&names, &guesses());
    let host = table.host("Web1");
    assert_eq!(
        (table.host_alike("WEB1"), table.host_alike("WEB1.example.ORG"), table.host_alike("web2")),
        (host, host, "web2")
    );
    // Two machines of one tool, or capitals that count: nothing is guessed.
    let two = [name(ZABBIX, "host", "db"), name(ZABBIX, "host", "DB")];
    let table = resolve(&two, &guesses());
    assert_eq!((table.host_alike("Db"), table.host_alike("DB")), ("Db", "DB"));
    let table = resolve(&names, &Guesses { ignore_case: false, ..guesses() });
    assert_eq!(table.host_alike("WEB1"), "WEB1");
}

#[test]
fn a_row_about_one_domain_says_nothing_of_the_others() {
    let eu = HostName { carried: "web1.eu.example.org:9100".into(), ..decided(PROMETHEUS, "instance", "web1") };
    let us = name(PROMETHEUS + 9, "instance", "web1.us.example.org");
    let table = resolve(&[eu.clone(), us.clone()], &guesses());
    assert_eq!((table.host("web1"), table.host("web1.us.example.org")), ("web1", "web1.us.example.org"));
    assert_eq!(table.conflicts().len(), 1, "{:?}", table.conflicts());
    // The same domain under another source's name is the same host.
    let again = name(ZABBIX, "host", "web1.eu.example.org");
    let table = resolve(&[eu, again], &guesses());
    assert_eq!(table.host("web1"), table.host("web1.eu.example.org"));
    assert!(table.conflicts().is_empty());
}

#[test]
fn a_host_is_renamed_only_as_a_whole() {
    let full = name(PROMETHEUS, "instance", "web1.example.org");
    let before = resolve(std::slice::from_ref(&full), &guesses());
    let bare = name(ZABBIX, "host", "web1");
    let after = resolve(&[full.clone(), bare.clone()], &guesses());
    assert_eq!(after.renamed(&before), [("web1.example.org".to_owned(), "web1".to_owned())]);
    assert!(after.renamed(&after).is_empty());
    // The host of the bare name was there before: what it learned stays, and the other joins it.
    let apart = resolve(&[full, bare], &Guesses::default());
    assert!(after.renamed(&apart).is_empty());
    // One half leaves.
    assert!(apart.renamed(&after).is_empty());
}

#[test]
fn rows_that_decide_all_names_end_a_conflict() {
    let (upper, lower) = (name(ZABBIX, "host", "MAIL"), name(ZABBIX, "host", "mail"));
    assert!(!resolve(&[upper.clone(), lower.clone()], &guesses()).conflicts().is_empty());
    let kept = [decided(ZABBIX, "host", "MAIL"), decided(ZABBIX, "host", "mail")];
    let table = resolve(&kept, &guesses());
    assert_eq!((table.conflicts(), table.host("MAIL"), table.host("mail")), (&[][..], "MAIL", "mail"));
    // A row about one of them leaves open what the other one is.
    assert!(!resolve(&[decided(ZABBIX, "host", "MAIL"), lower], &guesses()).conflicts().is_empty());
}
