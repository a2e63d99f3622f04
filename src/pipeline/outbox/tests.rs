use std::collections::VecDeque;
use std::sync::Mutex;
use std::sync::atomic::{AtomicI64, Ordering};

use tokio::sync::mpsc;
use watchbell_adapter_api::{BoxFuture, DeliveryError};
use watchbell_series::{AlertState, Labels};

use super::*;

const LONG: Duration = Duration::from_secs(20);

struct FixedClock(AtomicI64);

impl Clock for FixedClock {
    fn now_ms(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A sink that answers as told, then with success, and shows what it was given.
struct Fake {
    name: &'static str,
    answers: Mutex<VecDeque<Answer>>,
    given: mpsc::Sender<Vec<Alert>>,
    resend: Option<Duration>,
}

enum Answer {
    Retry,
    Rejected,
    Panic,
    Hang,
}

impl AlertSink for Fake {
    fn instance(&self) -> &str {
        self.name
    }

    fn batch(&self) -> usize {
        2
    }

    fn resend(&self) -> Option<Duration> {
        self.resend
    }

    fn deliver<'a>(&'a self, alerts: &'a [Alert]) -> BoxFuture<'a, Result<(), DeliveryError>> {
        Box::pin(async move {
            self.given.try_send(alerts.to_vec()).expect("the test listens");
            let answer = self.answers.lock().expect("lock").pop_front();
            match answer {
                None => Ok(()),
                Some(Answer::Retry) => {
                    Err(DeliveryError::Retry { message: "busy".to_owned(), after: Some(Duration::from_millis(1)) })
                }
                Some(Answer::Rejected) => Err(DeliveryError::Rejected("bad".to_owned())),
                Some(Answer::Panic) => panic!("a broken sink"),
                Some(Answer::Hang) => std::future::pending().await,
            }
        })
    }
}

fn fake(name: &'static str, answers: Vec<Answer>) -> (Arc<dyn AlertSink>, mpsc::Receiver<Vec<Alert>>) {
    let (given, receiver) = mpsc::channel(256);
    (Arc::new(Fake { name, answers: Mutex::new(answers.into()), given, resend: None }), receiver)
}

fn outbox() -> Outbox {
    Outbox::new(Arc::new(FixedClock(AtomicI64::new(1_000))), Metrics::default(), Failures::default())
}

fn alert(name: &str) -> Alert {
    Alert {
        labels: Labels::new([("alertname", name)]).expect("labels"),
        annotations: Vec::new(),
        state: AlertState::Firing,
        starts_ms: 5,
        ends_ms: 5,
        generator_url: String::new(),
    }
}

fn names(alerts: &[Alert]) -> Vec<&str> {
    alerts.iter().map(|alert| alert.labels.get("alertname").unwrap_or_default()).collect()
}

async fn next(receiver: &mut mpsc::Receiver<Vec<Alert>>) -> Vec<Alert> {
    tokio::time::timeout(LONG, receiver.recv()).await.expect("in time").expect("delivered")
}

#[tokio::test]
async fn delivers_in_batches_and_again_after_a_failure() {
    let mut outbox = outbox();
    let (sink, mut given) = fake("am", vec![Answer::Retry, Answer::Retry]);
    outbox.add("am", vec![sink]);
    outbox.send(&[alert("a"), alert("b"), alert("c")]);
    for _ in 0..3 {
        assert_eq!(names(&next(&mut given).await), ["a", "b"]);
    }
    let last = next(&mut given).await;
    assert_eq!((names(&last), last[0].starts_ms, last[0].ends_ms), (vec!["c"], 5, 241_000));
    outbox.finish(LONG).await;
    assert_eq!(outbox.failures.all(), [("am".into(), vec![])], "well again");
    assert!((outbox.metrics.counter(&FAILURES, &["am"]).get() - 2.0).abs() < 0.5);
    assert!(outbox.metrics.gauge(&QUEUE_LENGTH, &["am"]).get() < 0.5);
    assert!(outbox.metrics.counter(&DROPPED, &["am"]).get() < 0.5);
}

#[tokio::test]
async fn what_is_refused_or_breaks_the_sink_is_not_tried_again() {
    let mut outbox = outbox();
    let (sink, mut given) = fake("am", vec![Answer::Rejected, Answer::Panic, Answer::Rejected]);
    outbox.add("am", vec![sink]);
    outbox.send(&[alert("a"), alert("b"), alert("c"), alert("d"), alert("e")]);
    for want in [vec!["a", "b"], vec!["c", "d"], vec!["e"]] {
        assert_eq!(names(&next(&mut given).await), want);
    }
    outbox.finish(LONG).await;
    assert!(given.recv().await.is_none(), "nothing more");
    assert!((outbox.metrics.counter(&DROPPED, &["am"]).get() - 5.0).abs() < 0.5);
    let failing = outbox.failures.all();
    assert_eq!((failing[0].1.len(), failing[0].1[0].since_ms), (1, 1_000), "{failing:?}");
    outbox.remove("am", LONG).await;
    assert_eq!(outbox.failures.all(), []);
}

#[tokio::test]
async fn a_jam_in_one_instance_never_delays_another() {
    let mut outbox = outbox();
    let (stuck, mut stuck_given) = fake("http://one", vec![Answer::Hang]);
    let (fine, mut fine_given) = fake("http://two", vec![]);
    outbox.add("am", vec![stuck, fine]);
    for name in ["a", "b", "c"] {
        outbox.send(&[alert(name)]);
        assert_eq!(names(&next(&mut fine_given).await), [name]);
    }
    assert_eq!(names(&next(&mut stuck_given).await), ["a"]);
    let (metrics, key) = (outbox.metrics.clone(), "am:http://one");
    assert!((metrics.gauge(&QUEUE_LENGTH, &[key]).get() - 3.0).abs() < 0.5);
    outbox.finish(Duration::from_millis(10)).await;
    assert!((metrics.counter(&DROPPED, &[key]).get() - 3.0).abs() < 0.5, "what is lost at the end is counted");
}

#[tokio::test]
async fn stopping_delivers_what_waits() {
    let mut outbox = outbox();
    let (sink, mut given) = fake("am", vec![]);
    outbox.add("am", vec![sink]);
    outbox.send(&[alert("a"), alert("b"), alert("c")]);
    outbox.finish(LONG).await;
    let mut all = Vec::new();
    while let Some(batch) = given.recv().await {
        all.extend(batch);
    }
    assert_eq!(names(&all), ["a", "b", "c"]);
}

#[tokio::test]
async fn firing_alerts_are_sent_again_until_the_sink_is_removed() {
    let clock = Arc::new(FixedClock(AtomicI64::new(0)));
    let mut outbox = Outbox::new(clock.clone(), Metrics::default(), Failures::default());
    let (given, mut receiver) = mpsc::channel(256);
    let resend = Some(Duration::from_secs(60));
    outbox.add("am", vec![Arc::new(Fake { name: "am", answers: Mutex::default(), given, resend })]);
    outbox.send_to("am", &[alert("a")]);
    outbox.send_to("other", &[alert("x")]);
    assert_eq!(next(&mut receiver).await[0].ends_ms, 240_000);
    // `a` counts as sent only after its delivery came back, which may be a moment later: so each new alert
    // wakes the lane a minute later than the one before, until `a` comes again.
    let mut again = Vec::new();
    while !names(&again).contains(&"a") {
        clock.0.fetch_add(60_000, Ordering::Relaxed);
        outbox.send(&[alert("b")]);
        again = next(&mut receiver).await;
    }
    assert!(again.iter().all(|alert| alert.ends_ms > 240_000 && alert.starts_ms == 5));
    outbox.remove("am", LONG).await;
    receiver.close();
    assert_eq!(format!("{outbox:?}"), "{}");
}
