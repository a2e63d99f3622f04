//! The hot path with whatever a sender makes up: decode, normalise, judge, twice over.
#![no_main]

use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use watchbell_detect::{CivilTime, Judge, JudgeConfig};
use watchbell_normalize::{Limits, Normalized, Normalizer, Rules, Shard};
use watchbell_prometheus::proto::{self, Version};

thread_local! {
    static RULES: Arc<Rules> = Arc::new(Rules::built_in().expect("the built-in rules are right"));
}

fuzz_target!(|body: &[u8]| {
    let limits = proto::Limits { body_bytes: 1 << 20, label_bytes: 4 << 10, samples: 10_000 };
    let Ok(decoded) = proto::decode(Version::V1, body.to_vec(), &limits) else { return };
    let mut batch = decoded.batch;
    let which: Vec<u32> = (0..batch.series.len() as u32).collect();
    let mut normalizer = Normalizer::new(RULES.with(Arc::clone), Shard::default(), Limits::default());
    let mut judge = Judge::new(JudgeConfig { warmup_s: 0.0, warmup_samples: 1, ..JudgeConfig::default() }, CivilTime::utc());
    let (mut out, mut verdicts) = (Normalized::default(), Vec::new());
    for received_ms in [1_760_000_000_000, 1_760_000_015_000] {
        batch.received_ms = received_ms;
        out.clear();
        normalizer.normalize(&batch, &which, &mut out);
        for admission in &out.admitted {
            judge.admit(admission.slot, &admission.spec, admission.entity);
        }
        for slot in &out.restarted {
            judge.reset(*slot);
        }
        assert!(out.samples.iter().all(|sample| sample.value.is_finite()));
        judge.judge(&out.samples, &mut verdicts);
        for (slot, ts_ms) in &out.ended {
            judge.end(*slot, *ts_ms);
        }
        for slot in &out.released {
            judge.release(*slot);
        }
        for sample in &mut batch.samples {
            sample.ts_ms = sample.ts_ms.saturating_add(15_000);
        }
    }
    assert!(verdicts.iter().all(|verdict| verdict.score.is_finite()));
});
