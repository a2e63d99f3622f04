use std::fs;

use watchbell_series::{Labels, Pattern, SeriesId};

use super::*;
use crate::alerting::Change;

fn episode(metric: &str, starts_ms: i64) -> Episode {
    Episode {
        rule: "MetricAnomalous".to_owned(),
        series: Some(SeriesId(u64::MAX - 7)),
        host: "web-1".to_owned(),
        labels: Labels::new([("alertname", "MetricAnomalous"), ("metric", metric), ("path", "a\"b\n\u{1f514}")])
            .expect("labels"),
        annotations: vec![("summary".to_owned(), "z first".to_owned()), ("description".to_owned(), "a".to_owned())],
        generator_url: "http://127.0.0.1:9797/".to_owned(),
        starts_ms,
        ends_ms: None,
        peak_score: 1.5,
        pattern: Pattern::LevelShift,
    }
}

fn fired(episode: &Episode) -> Transition {
    Transition { at_ms: episode.starts_ms, change: Change::Fired, episode: episode.clone() }
}

fn resolved(episode: &Episode, ends_ms: i64) -> Transition {
    let episode = Episode { ends_ms: Some(ends_ms), peak_score: 4.0, ..episode.clone() };
    Transition { at_ms: ends_ms, change: Change::Resolved, episode }
}

async fn open(dir: &Path) -> Journal {
    Journal::open(dir).await.expect("open")
}

#[tokio::test]
async fn open_episodes_come_back_as_they_were() {
    let temp = tempfile::tempdir().expect("temp dir");
    let (first, second) = (episode("a", 1_000), episode("b", 2_000));
    let journal = open(temp.path()).await;
    journal.record(fired(&second));
    journal.record(fired(&first));
    journal.record(fired(&first));
    journal.close().await;

    let journal = open(temp.path()).await;
    assert_eq!(journal.open_episodes().await.expect("read"), [first.clone(), second.clone()]);
    journal.record(resolved(&first, 5_000));
    journal.flush().await;
    assert_eq!(journal.open_episodes().await.expect("read"), [second]);
    let ended = journal.resolved_since(5_000).await.expect("read");
    assert_eq!(ended, [resolved(&first, 5_000).episode]);
    assert!(journal.resolved_since(5_001).await.expect("read").is_empty());
    assert_eq!((journal.waiting(), journal.dropped(), journal.failures()), (0, 0, 0));

    let states: Vec<(i64, String)> =
        sqlx::query_as("SELECT at_ms, state FROM events JOIN episodes ON episodes.id = episode WHERE rule <> '' AND starts_ms = 1000 ORDER BY events.id")
            .fetch_all(&journal.pool)
            .await
            .expect("events");
    assert_eq!(
        states.iter().map(|(at, s)| (*at, s.as_str())).collect::<Vec<_>>(),
        [(1_000, "firing"), (1_000, "firing"), (5_000, "resolved")]
    );
}

fn feedback(said_ms: i64) -> Feedback {
    Feedback {
        said_ms,
        series: None,
        about_ms: said_ms,
        alert: None,
        rule: String::new(),
        host: String::new(),
        pattern: Pattern::None,
        peak_score: 0.0,
        judgement: crate::alerting::Judgement::Expected,
        comment: String::new(),
    }
}

#[tokio::test]
async fn pruning_keeps_what_fires() {
    let temp = tempfile::tempdir().expect("temp dir");
    let journal = open(temp.path()).await;
    for i in 0..2_500 {
        journal.record(resolved(&episode("old", i), i + 10));
    }
    journal.record(fired(&episode("open", 0)));
    journal.record(resolved(&episode("young", 0), 90_000));
    for said_ms in [19_000, 21_000] {
        journal.add_feedback(&feedback(said_ms)).await.expect("kept");
    }
    journal.prune(50_000, 20_000);
    journal.flush().await;
    let said = journal.feedback(i64::MIN, 10).await.expect("read");
    assert_eq!(said.iter().map(|said| said.said_ms).collect::<Vec<_>>(), [21_000]);
    let left = journal.history(i64::MAX, 10_000).await.expect("read");
    assert_eq!(left.iter().map(|e| e.labels.get("metric").expect("metric")).collect::<Vec<_>>(), ["young", "open"]);
    let events: i64 = sqlx::query_scalar("SELECT count(*) FROM events").fetch_one(&journal.pool).await.expect("count");
    assert_eq!(events, 2);
}

#[tokio::test]
async fn history_is_read_page_by_page() {
    let temp = tempfile::tempdir().expect("temp dir");
    let journal = open(temp.path()).await;
    for starts_ms in [10, 30, 20] {
        journal.record(fired(&episode("a", starts_ms)));
    }
    journal.flush().await;
    let starts = |page: Vec<Episode>| page.iter().map(|e| e.starts_ms).collect::<Vec<_>>();
    assert_eq!(starts(journal.history(i64::MAX, 2).await.expect("read")), [30, 20]);
    assert_eq!(starts(journal.history(20, 2).await.expect("read")), [10]);
}

#[tokio::test]
async fn a_file_that_is_no_database_is_named_and_left_alone() {
    let temp = tempfile::tempdir().expect("temp dir");
    let path = temp.path().join(FILE);
    let garbage = b"not a database at all, but long enough to be read as one ".repeat(40);
    fs::write(&path, &garbage).expect("write");
    let error = Journal::open(temp.path()).await.expect_err("damaged");
    assert!(matches!(error, JournalError::Damaged { .. }), "{error:?}");
    let text = error.to_string();
    assert!(text.contains("watchbell.db") && text.contains("move it"), "{text}");
    assert_eq!(fs::read(&path).expect("read"), garbage);
}

#[tokio::test]
async fn a_database_from_the_future_is_refused() {
    let temp = tempfile::tempdir().expect("temp dir");
    let journal = open(temp.path()).await;
    sqlx::query(
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
         VALUES (99, 'future', 1, x'00', 0)",
    )
    .execute(&journal.pool)
    .await
    .expect("insert");
    journal.close().await;
    let error = Journal::open(temp.path()).await.expect_err("newer").to_string();
    assert!(error.contains("newer watchbell (schema 99)"), "{error}");
}

#[tokio::test]
async fn a_locked_database_delays_nobody_and_loses_nothing() {
    let temp = tempfile::tempdir().expect("temp dir");
    let journal = open(temp.path()).await;
    let other = SqlitePool::connect(&format!("sqlite://{}", temp.path().join(FILE).display())).await.expect("connect");
    let mut lock = other.acquire().await.expect("acquire");
    sqlx::query("BEGIN IMMEDIATE").execute(&mut *lock).await.expect("lock");
    journal.record(fired(&episode("a", 1)));
    // Reading goes on beside a writer, and recording came back at once.
    assert!(journal.open_episodes().await.expect("read").is_empty());
    sqlx::query("ROLLBACK").execute(&mut *lock).await.expect("unlock");
    journal.flush().await;
    assert_eq!(journal.open_episodes().await.expect("read").len(), 1);
}

#[tokio::test]
async fn stopping_does_not_wait_for_a_disk_that_never_comes_back() {
    let temp = tempfile::tempdir().expect("temp dir");
    let journal = Journal::open_with(temp.path(), Duration::from_millis(10)).await.expect("open");
    let other = SqlitePool::connect(&format!("sqlite://{}", temp.path().join(FILE).display())).await.expect("connect");
    let mut lock = other.acquire().await.expect("acquire");
    sqlx::query("BEGIN IMMEDIATE").execute(&mut *lock).await.expect("lock");
    journal.record(fired(&episode("a", 1)));
    journal.record(fired(&episode("b", 1)));
    journal.flush().await;
    assert_eq!((journal.dropped(), journal.waiting()), (2, 0));
    assert!(journal.failures() > 0);
    sqlx::query("ROLLBACK").execute(&mut *lock).await.expect("unlock");
    journal.record(fired(&episode("c", 1)));
    journal.flush().await;
    assert_eq!(journal.open_episodes().await.expect("read").len(), 1, "and goes on when it does");
}

#[test]
fn locks_are_told_from_other_errors() {
    let path = Path::new("/data/watchbell.db");
    let text = JournalError::Locked(path.to_owned()).to_string();
    assert!(text.contains("/data/watchbell.db") && text.contains("stop that process"), "{text}");
    let other = JournalError::from_sqlx(path, sqlx::Error::PoolTimedOut);
    assert!(matches!(other, JournalError::Database { .. }));
}

#[tokio::test]
async fn a_strike_taken_back_stays_so_when_it_comes_to_be_applied() {
    let temp = tempfile::tempdir().expect("temp dir");
    let journal = open(temp.path()).await;
    let strike = |id, state| Strike {
        id,
        made_ms: 3,
        selectors: vec!["{host=\"web-1\"}".parse().expect("a selector")],
        start_ms: 1,
        end_ms: 2,
        reason: String::new(),
        state,
        series: 0,
        problem: String::new(),
    };
    let id = journal.add_strike(&strike(0, StrikeState::Pending)).await.expect("kept");
    for (set, is) in [
        (StrikeState::Applied, StrikeState::Applied),
        (StrikeState::Removing, StrikeState::Removing),
        (StrikeState::Applied, StrikeState::Removing),
        (StrikeState::Failed, StrikeState::Removing),
    ] {
        journal.set_strike(&strike(id, set)).await.expect("kept");
        assert_eq!(journal.strikes().await.expect("read")[0].state, is, "{set:?}");
    }
}

#[tokio::test]
async fn what_a_window_mutes_goes_on_over_a_restart_and_other_suppressed_episodes_end() {
    let temp = tempfile::tempdir().expect("temp dir");
    let journal = open(temp.path()).await;
    let (muted, budget) = (episode("a", 1_000), episode("b", 2_000));
    for (episode, reason) in [(&muted, Reason::Muted), (&budget, Reason::Budget)] {
        let change = Change::Suppressed(reason);
        journal.record(Transition { at_ms: episode.starts_ms, change, episode: episode.clone() });
    }
    journal.flush().await;
    journal.end_suppressed(5_000).await.expect("written");
    assert_eq!(journal.muted_episodes().await.expect("read"), [muted]);
    assert!(journal.open_episodes().await.expect("read").is_empty());
}

#[tokio::test]
async fn problems_of_a_source_end_together() {
    let temp = tempfile::tempdir().expect("temp dir");
    let journal = open(temp.path()).await;
    let problem = |source: &str, id: &str, ends_ms: Option<i64>| KeptProblem {
        source: source.to_owned(),
        problem: watchbell_series::ForeignProblem {
            id: id.to_owned(),
            subject: watchbell_series::Subject::All,
            starts_ms: 10,
            ends_ms,
            name: "High CPU".to_owned(),
            severity: 4,
            acknowledged: false,
        },
    };
    let all = [problem("old", "1", None), problem("old", "2", Some(20)), problem("there", "1", None)];
    journal.keep_problems(&all).await.expect("kept");
    assert_eq!(journal.sources_of_open_problems().await.expect("read"), ["old", "there"]);
    let open = [all[0].clone(), all[2].clone()];
    assert_eq!(journal.open_problems(10).await.expect("read"), open);
    assert_eq!(journal.open_problems(1).await.expect("read"), open[..1]);
    journal.end_problems("old", 99).await.expect("written");
    let wanted = [problem("old", "1", Some(99)), problem("old", "2", Some(20)), problem("there", "1", None)];
    assert_eq!(journal.problems(0, i64::MAX, 10).await.expect("read"), wanted);
}
