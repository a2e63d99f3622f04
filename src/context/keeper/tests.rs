//! What the keeper goes by.

use watchbell_series::{LimitRange, LimitSeverity};

use super::*;
use crate::context::quiet::Quiet;
use crate::context::subject::Facts;

struct At(i64);

impl Clock for At {
    fn now_ms(&self) -> i64 {
        self.0
    }
}

const DAY: i64 = 86_400_000;

async fn keeper(journal: &Arc<Journal>, known: &Known, now_ms: i64, sources: &[String]) -> Keeper {
    let mapping = Arc::new(Mapping::load::<&str, &str>(&[], &[]).expect("valid"));
    let naming: Naming = Arc::new(move || (Arc::clone(&mapping), Arc::default()));
    let (journal, known, clock) = (Arc::clone(journal), known.clone(), Arc::new(At(now_ms)));
    let (board, alerts, metrics) = (Board::default(), AlertRules::builtin(), Metrics::default());
    let kept = Duration::from_secs(86_400 * 30);
    Keeper::restore(board, journal, known, naming, alerts, clock, metrics, kept, sources).await.expect("restored")
}

fn problem(id: &str, starts_ms: i64) -> ForeignProblem {
    ForeignProblem {
        id: id.to_owned(),
        subject: Subject::All,
        starts_ms,
        ends_ms: None,
        name: String::new(),
        severity: 4,
        acknowledged: false,
    }
}

fn window(id: &str, starts_ms: i64, ends_ms: Option<i64>) -> QuietWindow {
    QuietWindow { id: id.to_owned(), subject: Subject::All, starts_ms, ends_ms, reason: String::new() }
}

fn limit(id: &str) -> KnownLimit {
    KnownLimit {
        id: id.to_owned(),
        subject: Subject::All,
        severity: LimitSeverity::Warning,
        range: LimitRange::above(90.0),
        name: String::new(),
        unseen_since_ms: None,
    }
}

#[tokio::test]
async fn what_is_told_is_in_force_even_where_it_can_not_be_kept() {
    let temp = tempfile::tempdir().expect("temp dir");
    let journal = Arc::new(Journal::open(temp.path()).await.expect("open"));
    let known = Known::default();
    let mut keeper = keeper(&journal, &known, DAY, &["zabbix".to_owned()]).await;
    journal.close().await;
    let sink = keeper.board.sink("zabbix");
    sink.windows(vec![window("1", 0, None)]);
    sink.problems(vec![problem("7", DAY)]);
    keeper.take().await;
    keeper.forget().await;
    assert!(known.quiet.load().rests(DAY, "web-1"));
    assert_eq!(known.problems.load().iter().map(|it| it.told.id.as_str()).collect::<Vec<_>>(), ["7"]);
    sink.windows(Vec::new());
    keeper.take().await;
    assert!(!known.quiet.load().rests(DAY + 1, "web-1"));
}

#[tokio::test]
async fn problems_of_a_source_that_is_gone_are_over() {
    let temp = tempfile::tempdir().expect("temp dir");
    let journal = Arc::new(Journal::open(temp.path()).await.expect("open"));
    let known = Known::default();
    let ends = |known: &Known| known.problems.load().iter().map(|it| it.told.ends_ms).collect::<Vec<_>>();
    let mut first = keeper(&journal, &known, DAY, &["zabbix".to_owned(), "nagios".to_owned()]).await;
    first.board.sink("zabbix").problems(vec![problem("1", 5)]);
    first.board.sink("nagios").problems(vec![problem("1", 4)]);
    first.take().await;
    assert_eq!(ends(&known), [None, None]);
    first.board.forget("zabbix");
    first.take().await;
    assert_eq!(ends(&known), [Some(DAY), None]);
    keeper(&journal, &known, DAY + 1, &[]).await;
    assert_eq!(ends(&known), [Some(DAY), Some(DAY + 1)], "gone while the service was down");
}

#[tokio::test]
async fn problems_that_last_are_known_to_their_source_however_old_they_are() {
    let temp = tempfile::tempdir().expect("temp dir");
    let journal = Arc::new(Journal::open(temp.path()).await.expect("open"));
    let sources = ["zabbix".to_owned()];
    let mut first = keeper(&journal, &Known::default(), 20 * DAY, &sources).await;
    let over = ForeignProblem { ends_ms: Some(10), ..problem("over", 5) };
    first.board.sink("zabbix").problems(vec![problem("old", 5), over, problem("new", 20 * DAY)]);
    first.take().await;
    let known = Known::default();
    let again = keeper(&journal, &known, 21 * DAY, &sources).await;
    let board = Board::new(known.clone());
    let open: Vec<_> = board.sink("zabbix").open_problems().into_iter().map(|it| it.id).collect();
    assert_eq!(open, ["new", "old"]);
    drop(again);
}

#[tokio::test]
async fn windows_of_sources_and_those_that_are_over_leave_room_for_people() {
    let temp = tempfile::tempdir().expect("temp dir");
    let journal = Arc::new(Journal::open(temp.path()).await.expect("open"));
    let mut keeper = keeper(&journal, &Known::default(), DAY, &[]).await;
    for i in 0..MAX_WINDOWS {
        keeper.windows.insert(("zabbix".to_owned(), i.to_string()), window("", 0, None));
        keeper.windows.insert((PEOPLE.to_owned(), i.to_string()), window("", 0, Some(9)));
    }
    keeper.next_id = MAX_WINDOWS as u64;
    assert!(keeper.add(window("", 0, None)).await.is_ok());
    for window in keeper.windows.values_mut() {
        window.ends_ms = None;
    }
    assert!(matches!(keeper.add(window("", 0, None)).await, Err(Refused::Full)));
}

#[tokio::test]
async fn one_more_window_leaves_all_others_as_they_are() {
    use crate::context::quiet::record::Record;
    let temp = tempfile::tempdir().expect("temp dir");
    let journal = Arc::new(Journal::open(temp.path()).await.expect("open"));
    let known = Known::default();
    let mut keeper = keeper(&journal, &known, DAY, &["zabbix".to_owned()]).await;
    keeper.take_windows("zabbix", &[window("1", 0, None), window("2", 0, None)]).await.expect("kept");
    let before = known.quiet.load_full();
    let added = keeper.add(window("", 0, None)).await.expect("added");
    keeper.put_windows();
    let after = known.quiet.load_full();
    for id in ["1", "2"] {
        let of = |quiet: &Quiet| Arc::clone(quiet.find("zabbix", id).expect("there"));
        assert!(Arc::ptr_eq(&of(&before), &of(&after)), "{id} is not made anew");
    }
    let change = after.differs(&before).expect("a change");
    assert_eq!((change.0.len(), change.1.len(), added.id.as_str()), (0, 1, "1"));
    let logged = Record::change(&before, &after, &change).bytes();
    assert!(logged.len() < Record::whole(&after).bytes().len());
    // A window that ends is another one, and one that has not begun goes.
    let planned = keeper.add(window("", DAY + 9, None)).await.expect("added");
    keeper.put_windows();
    keeper.end(added.id).await.expect("ended");
    keeper.end(planned.id).await.expect("taken back");
    keeper.put_windows();
    let ended = known.quiet.load_full();
    let change = ended.differs(&after).expect("a change");
    assert_eq!((change.0.len(), change.1.len(), ended.windows().len()), (1, 1, 3));
    assert_eq!(ended.find(PEOPLE, "1").map(|window| window.ends_ms), Some(DAY));
}

#[tokio::test]
async fn names_that_are_joined_later_are_known_to_windows_limits_and_problems() {
    use std::sync::Mutex;
    use watchbell_normalize::hosts::{Guesses, HostName, resolve};
    let temp = tempfile::tempdir().expect("temp dir");
    let journal = Arc::new(Journal::open(temp.path()).await.expect("open"));
    let known = Known::default();
    let mut keeper = keeper(&journal, &known, DAY, &["nagios".to_owned()]).await;
    let table: Arc<Mutex<Arc<HostTable>>> = Arc::default();
    let mapping = Arc::new(Mapping::load::<&str, &str>(&[], &[]).expect("valid"));
    let seen = Arc::clone(&table);
    keeper.naming = Arc::new(move || (Arc::clone(&mapping), Arc::clone(&seen.lock().expect("ok"))));
    let told = QuietWindow { subject: Subject::Host("web-1.example.org".into()), ..window("1", 0, None) };
    keeper.take_windows("nagios", &[told]).await.expect("kept");
    assert!(!known.quiet.load().rests(DAY, "web-1"));
    let subject = Subject::Host("web-1.example.org".into());
    let limit = KnownLimit { subject: subject.clone(), ..limit("1") };
    keeper.take_limits("nagios", [limit].into()).await.expect("kept");
    keeper.take_problems("nagios", vec![ForeignProblem { subject, ..problem("1", 5) }]).await.expect("kept");
    let of_series = |known: &Known| {
        let series = Facts { label: &|_| "", mapped: &String::new, host: "web-1" };
        let problems = known.problems.load().iter().filter(|problem| problem.target.is_about(&series)).count();
        (known.limits.load().of(std::iter::empty(), &series).len(), problems)
    };
    assert_eq!((of_series(&known), keeper.renamed()), ((0, 0), false), "nothing is another one");
    let name = |name: &str, source| HostName {
        name: name.into(),
        source,
        label: "host".into(),
        carried: name.into(),
        address: false,
        decided: false,
        rule: "test".into(),
    };
    let names = [name("web-1", 1), name("web-1.example.org", 2), name("web-1.example", 3)];
    let guesses = Guesses { join_domains: true, ..Guesses::default() };
    *table.lock().expect("ok") = Arc::new(resolve(&names, &guesses));
    assert!(keeper.renamed() && of_series(&known) == (1, 1), "shards are told of it");
    let quiet = known.quiet.load();
    assert!(quiet.rests(DAY, "web-1"));
    // Whatever the series of the host carry.
    for carried in ["web-1", "web-1.example", "web-1.example.org"] {
        assert!(quiet.names_host(quiet.host_of(carried)), "{carried}");
    }
    assert!(!quiet.names_host(quiet.host_of("web-2")));
}

#[test]
fn windows_that_are_over_are_left_out_first_then_those_that_begin_last() {
    let window = |starts_ms: i64, ends_ms: Option<i64>| window("", starts_ms, ends_ms);
    let mut all = [
        window(0, Some(10)),
        window(0, Some(90)),
        window(900, None),
        window(0, Some(200)),
        window(200, Some(300)),
        window(0, None),
    ];
    all.sort_by_key(|window| urgency((window.starts_ms, window.ends_ms), 100));
    let order: Vec<_> = all.iter().map(|window| (window.starts_ms, window.ends_ms)).collect();
    let wanted = [(0, None), (0, Some(200)), (200, Some(300)), (900, None), (0, Some(90)), (0, Some(10))];
    assert_eq!(order, wanted);
}
