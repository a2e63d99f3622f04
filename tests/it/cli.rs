//! The other commands, by their exit codes: 0 done, 1 failed, 2 wrong usage or config.

use std::fs;
use std::path::Path;

use crate::support::watchbell::{command, prepared};

#[test]
fn the_examples_are_valid() {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    let mut checked = 0;
    for example in fs::read_dir(examples).expect("a folder") {
        let config = example.expect("a folder").path().join("watchbell.yaml");
        let done = command(&["check", "--config", config.to_str().expect("UTF-8")]);
        assert_eq!(done.status.code(), Some(0), "{}", String::from_utf8_lossy(&done.stderr));
        assert!(String::from_utf8_lossy(&done.stdout).contains(": ok"));
        checked += 1;
    }
    assert!(checked >= 2);
}

#[test]
fn exit_codes() {
    let folder = tempfile::tempdir().expect("a folder");
    let bad = folder.path().join("bad.yaml");
    fs::write(&bad, "detect: {warmup: ten}\ncolour: red\n").expect("written");
    let bad = bad.to_str().expect("UTF-8");
    for command_name in ["check", "run"] {
        let done = command(&[command_name, "--config", bad]);
        let said = String::from_utf8_lossy(&done.stderr).into_owned();
        assert_eq!(done.status.code(), Some(2), "{said}");
        assert!(said.contains(&format!("{bad}:1")) && said.contains(&format!("{bad}:2")), "all at once: {said}");
    }
    for (words, code) in [
        (&["--version"][..], 0),
        (&["--help"], 0),
        (&["run", "--help"], 0),
        (&[], 2),
        (&["chek"], 2),
        (&["run", "--listen", "nowhere"], 2),
        (&["check", "--config", "/no/such/file.yaml"], 2),
    ] {
        let done = command(words);
        assert_eq!(done.status.code(), Some(code), "{words:?}: {}", String::from_utf8_lossy(&done.stderr));
    }
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("an address").to_string();
    let data = folder.path().join("data");
    let done = command(&["run", "--listen", &address, "--data-dir", data.to_str().expect("UTF-8")]);
    let said = String::from_utf8_lossy(&done.stderr).into_owned();
    assert_eq!(done.status.code(), Some(1), "{said}");
    assert!(said.contains(&address), "a port that is taken is named: {said}");
}

#[test]
fn a_reader_that_went_is_no_panic() {
    let folder = tempfile::tempdir().expect("a folder");
    let config = folder.path().join("c.yaml");
    fs::write(&config, "sources: [{type: prometheus_remote_write_in}]\n").expect("written");
    let config = config.to_str().expect("UTF-8");
    let rules = concat!(env!("CARGO_MANIFEST_DIR"), "/rules/tests/http.yaml");
    let history = folder.path().join("web-1.csv");
    let rows: String = (0..200).map(|i| format!("{},{}\n", i * 60, i % 7)).collect();
    fs::write(&history, format!("timestamp,load\n{rows}")).expect("written");
    let history = history.to_str().expect("UTF-8");
    for words in
        [&["check", "--config", config][..], &["reference", "api"], &["rules", "test", rules], &["replay", history]]
    {
        // An end of a pipe that nobody has open any more.
        let (reader, writer) = std::io::pipe().expect("a pipe");
        drop(reader);
        let done = prepared(words).stdout(writer).output().expect("runs");
        let said = String::from_utf8_lossy(&done.stderr).into_owned();
        assert_eq!(done.status.code(), Some(141), "{words:?}: {said}");
        assert!(!said.contains("panicked") && !said.contains("error"), "{words:?}: {said}");
    }
    // Nor is it where remarks can not be told either.
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let done = prepared(&["check", "--config", "/no/such/file.yaml"]).stderr(writer).output().expect("runs");
    assert_eq!(done.status.code(), Some(2));
}

#[test]
fn the_demo_finds_its_incidents() {
    let done = command(&["demo", "--once", "--listen", "127.0.0.1:0"]);
    let said = String::from_utf8_lossy(&done.stdout).into_owned();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    assert!(said.contains("nothing here is real"), "{said}");
    let found =
        |title: &str| said.lines().find(|line| line.starts_with(title)).is_some_and(|line| line.contains(" min "));
    for title in [
        "runaway process",
        "errors after a release",
        "disk filling up",
        "replication falls behind",
        "network all but gone",
        "sensor stuck",
    ] {
        assert!(found(title), "`{title}` is not found: {said}");
    }
}
