use std::sync::Arc;

use watchbell_adapter_api::context::Told;

use super::*;
use crate::feed::Writer;
use crate::testing::source_context;

fn intake() -> Intake {
    let (context, _stop) = source_context(Arc::default(), Arc::default(), 0);
    Intake::new(context, Writer::new(&BTreeMap::new()))
}

fn check(state: u8, hard: bool, at_s: i64) -> Check<'static> {
    Check {
        host: b"web-1",
        service: b"disk",
        state,
        hard,
        checked: true,
        last_check_ms: at_s * 1_000,
        output: b"DISK CRITICAL - full",
        perfdata: b"/=1B",
        ..Check::default()
    }
}

fn note(states: &mut States, check: &Check<'_>) -> usize {
    let mut batch = RawBatch::default();
    states.note(check, check.last_check_ms, &intake(), &mut batch);
    batch.series.len()
}

#[test]
fn a_problem_from_its_hard_state_to_its_end() {
    let mut states = States::new(BTreeMap::new(), true, Vec::new());
    assert_eq!(note(&mut states, &check(0, true, 100)), 1 + 1 + 3);
    note(&mut states, &check(2, false, 110));
    assert_eq!(states.problems(), [], "not confirmed yet");
    note(&mut states, &Check { hard_since_ms: 115_000, ..check(1, true, 120) });
    let begun = states.problems();
    assert_eq!(begun.len(), 1);
    assert_eq!((begun[0].id.as_str(), begun[0].starts_ms, begun[0].ends_ms), ("web-1!disk@100", 115_000, None));
    assert_eq!((begun[0].severity, begun[0].acknowledged), (2, false));
    assert_eq!(begun[0].name, "disk: DISK CRITICAL - full");
    assert_eq!(begun[0].subject, subject(b"web-1", b"disk", &BTreeMap::new()));
    note(&mut states, &check(1, true, 130));
    assert_eq!(states.problems(), [], "nothing changed");
    note(&mut states, &check(2, true, 140));
    // No check ran, somebody acknowledged.
    assert_eq!(note(&mut states, &Check { acknowledged: true, ..check(2, true, 140) }), 3);
    let changed: Vec<_> = states.problems().iter().map(|p| (p.severity, p.acknowledged, p.ends_ms)).collect();
    assert_eq!(changed, [(4, false, None), (4, true, None)]);
    note(&mut states, &check(0, true, 150));
    let ended = states.problems();
    assert_eq!((ended[0].id.as_str(), ended[0].ends_ms), ("web-1!disk@100", Some(150_000)));
    // After a restart it is the same problem, by what the server remembers.
    let mut states = States::new(BTreeMap::new(), true, Vec::new());
    note(&mut states, &Check { last_ok_ms: 100_400, ..check(2, true, 140) });
    assert_eq!(states.problems()[0].id, "web-1!disk@100");
}

#[test]
fn what_is_gone_has_no_problem() {
    let mut states = States::new(BTreeMap::new(), false, Vec::new());
    states.begin();
    note(&mut states, &check(2, true, 100));
    note(&mut states, &Check { service: b"", ..check(1, true, 100) });
    states.end(100_000);
    let found: Vec<_> = states.problems().iter().map(|p| (p.severity, p.subject.clone())).collect();
    assert_eq!(found[1], (5, Subject::Host("web-1".into())));
    states.begin();
    note(&mut states, &Check { service: b"", ..check(1, true, 110) });
    states.end(120_000);
    let ended = states.problems();
    assert_eq!((ended.len(), ended[0].ends_ms), (1, Some(120_000)));
    assert!(ended[0].id.starts_with("web-1!disk@"));
}

#[test]
fn problems_that_lasted_before_a_restart_go_on_or_end() {
    let mut before = States::new(BTreeMap::new(), true, Vec::new());
    let named = |service: &'static [u8]| Check { service, last_ok_ms: 50_000, ..check(2, true, 100) };
    for service in [&b"same"[..], b"worse", b"well", b"again", b"soft", b"gone", b"own", b"unchecked"] {
        note(&mut before, &named(service));
    }
    let mut open = before.problems();
    assert_eq!(open.len(), 8);
    // One from a time when ends could be missed.
    open.push(ForeignProblem { id: "web-1!same@7".to_owned(), starts_ms: 60_000, ..open[0].clone() });

    let mut states = States::new(BTreeMap::new(), true, open);
    states.begin();
    let later = |service: &'static [u8]| Check { last_check_ms: 500_000, ..named(service) };
    note(&mut states, &later(b"same"));
    note(&mut states, &Check { acknowledged: true, ..later(b"worse") });
    note(&mut states, &Check { state: 0, hard_since_ms: 300_000, ..later(b"well") });
    note(&mut states, &Check { last_ok_ms: 400_000, hard_since_ms: 450_000, ..later(b"again") });
    note(&mut states, &Check { last_ok_ms: 400_000, hard: false, ..later(b"soft") });
    note(&mut states, &Check { perfdata: b"watchbell_score=3", ..later(b"own") });
    note(&mut states, &Check { checked: false, ..later(b"unchecked") });
    states.end(600_000);
    let mut told: Vec<_> = states.problems().into_iter().map(|it| (it.id, it.starts_ms / 1_000, it.ends_ms)).collect();
    told.sort();
    let wanted = [
        ("web-1!again@400", 450, None),
        ("web-1!again@50", 100, Some(400_000)),
        ("web-1!gone@50", 100, Some(600_000)),
        ("web-1!own@50", 100, Some(500_000)),
        ("web-1!same@7", 60, Some(100_000)),
        ("web-1!soft@50", 100, Some(400_000)),
        ("web-1!unchecked@50", 100, Some(600_000)),
        ("web-1!well@50", 100, Some(300_000)),
        ("web-1!worse@50", 100, None),
    ];
    assert_eq!(told, wanted.map(|(id, starts_s, ends_ms)| (id.to_owned(), starts_s, ends_ms)));
    states.begin();
    note(&mut states, &Check { last_check_ms: 700_000, ..named(b"same") });
    states.end(700_000);
    let ends: Vec<_> = states.problems().into_iter().map(|it| (it.id, it.ends_ms)).collect();
    assert!(ends.iter().all(|(id, ends_ms)| *ends_ms == Some(700_000) && !id.contains("same")), "{ends:?}");
}

#[test]
fn old_answers_and_own_results_are_left() {
    let mut states = States::new(BTreeMap::new(), true, Vec::new());
    assert!(note(&mut states, &check(0, true, 100)) > 0);
    assert_eq!(note(&mut states, &check(2, true, 90)), 0);
    assert_eq!(note(&mut states, &check(0, true, 100)), 0);
    let own = Check { perfdata: b"watchbell_score=3;1;2;0", service: b"Anomaly", ..check(2, true, 100) };
    assert_eq!(note(&mut states, &own.clone()), 0);
    assert_eq!(note(&mut states, &Check { checked: false, ..check(0, true, 200) }), 0);
    assert_eq!(states.problems(), []);
    // What the service said while Watchbell was down is over with its first result.
    let stale = Check { perfdata: b"", service: b"Anomaly", ..check(3, true, 110) };
    assert!(note(&mut states, &stale) > 0);
    assert_eq!(note(&mut states, &Check { last_check_ms: 120_000, ..own }), 0);
    let ends: Vec<_> = states.problems().iter().map(|problem| problem.ends_ms).collect();
    assert_eq!(ends, [None, Some(120_000)]);
}

#[test]
fn downtimes_become_windows() {
    let (told, labels) = (Told::default(), BTreeMap::from([("site".to_owned(), "x".to_owned())]));
    let mut windows = Windows::default();
    let fixed = Downtime {
        id: b"7",
        host: b"web-1",
        starts_ms: 1_000,
        ends_ms: 9_000,
        fixed: true,
        author: b"ada",
        comment: b"disk swap",
        ..Downtime::default()
    };
    let waits = Downtime { id: b"8", service: b"disk", fixed: false, duration_ms: 500, ..fixed.clone() };
    let begun = Downtime { id: b"9", began_ms: 4_000, ..waits.clone() };
    let read = || told.windows.lock().expect("free").clone();
    for downtime in [&begun, &waits, &fixed] {
        windows.add(downtime, &labels);
    }
    windows.tell(&told);
    let found = read();
    assert_eq!(found.len(), 2);
    assert_eq!((found[0].starts_ms, found[0].ends_ms), (1_000, Some(9_000)));
    assert_eq!(
        (found[0].reason.as_str(), &found[0].subject),
        ("downtime by ada: disk swap", &Subject::Host("web-1".into()))
    );
    assert_eq!((found[1].starts_ms, found[1].ends_ms), (4_000, Some(4_500)));
    assert_eq!(found[1].subject, subject(b"web-1", b"disk", &labels));
    let Subject::Series(matchers) = &found[1].subject else { panic!("{found:?}") };
    assert_eq!(matchers.len(), 3);
    // What did not change is not told again; what is gone is.
    told.windows.lock().expect("free").clear();
    windows.add(&fixed, &labels);
    windows.add(&begun, &labels);
    windows.tell(&told);
    assert_eq!(read(), []);
    windows.add(&fixed, &labels);
    windows.tell(&told);
    assert_eq!(read().len(), 1);
}

#[test]
fn a_check_from_the_future_does_not_silence_a_service() {
    let mut states = States::new(BTreeMap::new(), true, Vec::new());
    note(&mut states, &check(0, true, 9_000));
    assert_eq!(note(&mut states, &check(0, true, 8_950)), 0, "an answer that was on its way");
    assert_eq!(note(&mut states, &check(2, true, 100)), 5, "the clock was ahead");
    assert_eq!(states.problems().len(), 1);
    assert_eq!(note(&mut states, &check(2, true, 110)), 5);
}
