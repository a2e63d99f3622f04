use watchbell_detect::{CivilTime, JudgeConfig};
use watchbell_normalize::{Limits, Rules, Shard as ShardOf};
use watchbell_series::{Labels, MetricKind, RawBatch, RawSample};

use super::super::handle::{ShardMeta, ShardThread};
use super::super::shard::{Shard, ShardReceipt};
use super::*;
use crate::clock::SystemClock;

const T: i64 = 1_700_000_000_000;

struct Fixture {
    checkpointer: Checkpointer,
    shard: ShardHandle,
    _thread: ShardThread,
}

async fn start(data_dir: &Path) -> Fixture {
    let rules = Arc::new(Rules::built_in().expect("rules"));
    let make = move || {
        let normalizer = Normalizer::new(Arc::clone(&rules), ShardOf { index: 0, count: 1 }, Limits::default());
        let judge = Judge::new(JudgeConfig::default(), CivilTime::utc());
        Shard::new(ShardMeta::new(0, 1), normalizer, judge, None, mpsc::channel(1).0, 86_400_000)
    };
    let (shard, thread) = ShardHandle::start(0, make).expect("thread");
    let shards: Arc<[ShardHandle]> = vec![shard.clone()].into();
    let clock = Arc::new(SystemClock);
    let checkpointer = Checkpointer::open(data_dir, shards, clock, Metrics::default()).expect("open");
    checkpointer.restore().await.expect("restore");
    Fixture { checkpointer, shard, _thread: thread }
}

impl Fixture {
    /// One sample of each of three series; the last comes from a sender that does not sort its labels.
    async fn ingest(&self, step: i64) -> ShardReceipt {
        let (ts_ms, value) = (T + step * 15_000, (step * step % 7) as f64);
        let mut batch = RawBatch { received_ms: ts_ms, ..RawBatch::default() };
        for job in ["a", "b", "c"] {
            let labels = Labels::series([("__name__", "m"), ("job", job)]).expect("valid");
            batch.push(&labels, MetricKind::Gauge, &[RawSample { ts_ms, value }]);
        }
        batch.series[2].key = !batch.series[2].key;
        self.shard.call(move |shard| shard.ingest(&batch, &[0, 1, 2])).await.expect("judged")
    }

    async fn fail(&self) {
        assert!(self.shard.call(|_| panic!("wanted")).await.is_err());
        // The next work runs on the shard that took its place.
        self.shard.call(|_| ()).await.expect("a new shard");
    }

    async fn state(&self) -> Vec<u8> {
        self.shard.call(|shard| shard.save_segment(0)).await.expect("state")
    }
}

#[tokio::test]
async fn a_shard_that_failed_comes_back_to_the_bit() {
    let temp = tempfile::tempdir().expect("temp dir");
    let fixture = start(temp.path()).await;
    for step in 0..50 {
        assert_eq!(fixture.ingest(step).await.part.accepted, 3);
        if step == 20 {
            fixture.checkpointer.save().await.expect("saved");
        }
    }
    let before = fixture.state().await;
    fixture.fail().await;
    // Else the series of this batch would be known, and their saved state be refused.
    assert!(fixture.ingest(50).await.refused);
    fixture.checkpointer.recover(0).await;
    assert_eq!(fixture.state().await, before);
    assert_eq!(fixture.ingest(50).await.part.accepted, 3);
    // What came after the recovery is in the log, too.
    let before = fixture.state().await;
    fixture.fail().await;
    fixture.checkpointer.recover(0).await;
    assert_eq!(fixture.state().await, before);
}

#[tokio::test]
async fn a_checkpoint_never_saves_a_shard_that_lost_its_state() {
    let temp = tempfile::tempdir().expect("temp dir");
    let fixture = start(temp.path()).await;
    for step in 0..30 {
        fixture.ingest(step).await;
    }
    fixture.checkpointer.save().await.expect("saved");
    let before = fixture.state().await;
    fixture.fail().await;
    fixture.checkpointer.save().await.expect("saved");
    drop(fixture);
    let again = start(temp.path()).await;
    assert_eq!(again.state().await, before);
}

#[tokio::test]
async fn a_kill_loses_nothing_that_was_logged() {
    let temp = tempfile::tempdir().expect("temp dir");
    let fixture = start(temp.path()).await;
    for step in 0..40 {
        fixture.ingest(step).await;
        if step == 20 {
            fixture.checkpointer.save().await.expect("saved");
        }
    }
    let before = fixture.state().await;
    drop(fixture);
    assert_eq!(start(temp.path()).await.state().await, before);
}

#[test]
fn a_part_of_the_state_does_not_pass_for_all_of_it() {
    let temp = tempfile::tempdir().expect("temp dir");
    let versions = StateVersions { normalize: 1, judge: 1 };
    let checkpoints = RwLock::new(Checkpoints::open(temp.path(), versions).expect("open"));
    let id = |segment| SegmentId { shard: 0, segment };
    let write = |pieces: Vec<Piece>| {
        let (to_write, mut pieces_in) = mpsc::channel(pieces.len());
        pieces.into_iter().for_each(|piece| to_write.try_send(piece).expect("room"));
        drop(to_write);
        write_all(&checkpoints, true, &mut pieces_in).expect("written")
    };
    let whole = vec![Piece::Write(id(0), vec![1]), Piece::Write(id(1), vec![2]), Piece::Complete];
    assert_eq!(write(whole).expect("committed").written, 2);
    assert_eq!(write(vec![Piece::Write(id(0), vec![3])]), None);
    let held = checkpoints.read().expect("not poisoned").segments().expect("segments");
    assert_eq!(held, [id(0), id(1)]);
}
