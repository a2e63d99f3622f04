use std::collections::BTreeMap;

use super::*;

const VERSIONS: StateVersions = StateVersions { normalize: 1, judge: 1 };

fn open(data_dir: &Path) -> Checkpoints {
    Checkpoints::open(data_dir, VERSIONS).expect("open")
}

fn load(checkpoints: &Checkpoints) -> (BTreeMap<(u32, u32), Vec<u8>>, LoadReport) {
    let mut got = BTreeMap::new();
    let report = checkpoints.load(&checkpoints.segments().expect("segments"), |id, versions, payload| {
        assert_eq!(versions, VERSIONS);
        got.insert((id.shard, id.segment), payload.to_vec());
        Ok(())
    });
    (got, report)
}

/// A first generation with two shards of two segments.
fn first(data_dir: &Path) -> Checkpoints {
    let mut checkpoints = open(data_dir);
    let mut writer = checkpoints.begin().expect("begin");
    for (shard, segment) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
        writer.write(shard, segment, format!("first {shard} {segment}").as_bytes()).expect("write");
    }
    let committed = writer.commit().expect("commit");
    assert_eq!((committed.generation, committed.written, committed.kept), (1, 4, 0));
    checkpoints
}

#[test]
fn what_is_written_is_read_after_a_restart() {
    let temp = tempfile::tempdir().expect("temp dir");
    drop(first(temp.path()));
    let checkpoints = open(temp.path());
    let (got, report) = load(&checkpoints);
    assert_eq!(got[&(1, 0)], b"first 1 0");
    assert_eq!((got.len(), report.segments, report.bytes), (4, 4, 36));
    assert!(report.set_aside.is_empty() && checkpoints.set_aside_at_open().is_empty());
}

#[test]
fn unchanged_segments_stay_and_removed_ones_go() {
    let temp = tempfile::tempdir().expect("temp dir");
    let mut checkpoints = first(temp.path());
    let mut writer = checkpoints.begin().expect("begin");
    writer.write(0, 1, b"second").expect("write");
    writer.remove(1, 1);
    let committed = writer.commit().expect("commit");
    assert_eq!((committed.generation, committed.written, committed.kept), (2, 1, 2));
    let (got, _) = load(&open(temp.path()));
    assert_eq!(got.keys().copied().collect::<Vec<_>>(), [(0, 0), (0, 1), (1, 0)]);
    assert_eq!((&got[&(0, 0)][..], &got[&(0, 1)][..]), (&b"first 0 0"[..], &b"second"[..]));
    assert!(!temp.path().join("checkpoint/gen-1").exists(), "the old generation is gone");
}

#[test]
fn a_full_generation_keeps_nothing() {
    let temp = tempfile::tempdir().expect("temp dir");
    let mut checkpoints = first(temp.path());
    let mut writer = checkpoints.begin_full().expect("begin");
    writer.write(0, 0, b"alone").expect("write");
    writer.commit().expect("commit");
    assert_eq!(load(&checkpoints).0, BTreeMap::from([((0, 0), b"alone".to_vec())]));
}

#[test]
fn a_kill_before_the_commit_leaves_the_old_generation() {
    let temp = tempfile::tempdir().expect("temp dir");
    let mut checkpoints = first(temp.path());
    let mut writer = checkpoints.begin().expect("begin");
    writer.write(0, 0, b"half").expect("write");
    // As after a kill: no destructor runs.
    std::mem::forget(writer);
    assert!(temp.path().join("checkpoint/gen-2").exists());
    let mut checkpoints = open(temp.path());
    assert!(!temp.path().join("checkpoint/gen-2").exists(), "the unfinished generation is removed");
    assert_eq!(load(&checkpoints).0[&(0, 0)], b"first 0 0");
    let writer = checkpoints.begin().expect("begin again");
    drop(writer);
    assert!(!temp.path().join("checkpoint/gen-2").exists(), "a dropped writer cleans up");
}

#[test]
fn damaged_segments_are_set_aside_and_the_others_load() {
    let temp = tempfile::tempdir().expect("temp dir");
    drop(first(temp.path()));
    let dir = temp.path().join("checkpoint/gen-1");
    let (cut, flipped) = (dir.join("shard-0-0.wbc"), dir.join("shard-0-1.wbc"));
    let bytes = fs::read(&cut).expect("read");
    fs::write(&cut, &bytes[..bytes.len() - 3]).expect("cut");
    let mut bytes = fs::read(&flipped).expect("read");
    *bytes.last_mut().expect("not empty") ^= 1;
    fs::write(&flipped, bytes).expect("flip");
    fs::write(dir.join("shard-1-00.wbc"), b"not one of ours").expect("write");

    let checkpoints = open(temp.path());
    let (got, report) = load(&checkpoints);
    assert_eq!(got.keys().copied().collect::<Vec<_>>(), [(1, 0), (1, 1)]);
    let why: Vec<&str> = report.set_aside.iter().map(|(_, why)| why.as_str()).collect();
    assert_eq!(why.len(), 2);
    assert!(why[0].contains("6 bytes of 9") && why[1].contains("checksum"), "{why:?}");
    for (path, _) in &report.set_aside {
        assert!(path.starts_with(temp.path().join(SET_ASIDE)) && path.exists(), "{}", path.display());
    }
    assert!(load(&checkpoints).1.set_aside.is_empty(), "set aside once");
}

#[test]
fn newer_and_refused_state_is_kept_for_whoever_can_read_it() {
    let temp = tempfile::tempdir().expect("temp dir");
    let newer = StateVersions { judge: 9, ..VERSIONS };
    let mut checkpoints = Checkpoints::open(temp.path(), newer).expect("open");
    let mut writer = checkpoints.begin().expect("begin");
    writer.write(0, 0, b"from the future").expect("write");
    writer.commit().expect("commit");
    let (got, report) = load(&open(temp.path()));
    assert!(got.is_empty());
    assert!(report.set_aside[0].1.contains("version 9 is newer than 1"), "{report:?}");

    let mut checkpoints = first(&temp.path().join("other"));
    let report = checkpoints.load(&checkpoints.segments().expect("segments"), |id, _, _| {
        if id.segment == 1 { Err("slot 7 makes no sense".to_owned()) } else { Ok(()) }
    });
    assert_eq!((report.segments, report.set_aside.len()), (2, 2));
    assert_eq!(report.set_aside[0].1, "slot 7 makes no sense");
    checkpoints.begin().expect("begin").commit().expect("commit");
    assert_eq!(checkpoints.segments().expect("segments").len(), 2);
}

#[test]
fn a_senseless_current_sets_all_aside() {
    for content in [Some("gen-7"), Some("\u{0}\u{0}\u{0}"), None] {
        let temp = tempfile::tempdir().expect("temp dir");
        drop(first(temp.path()));
        let current = temp.path().join("checkpoint").join(CURRENT);
        match content {
            Some(text) => fs::write(&current, text).expect("write"),
            None => fs::remove_file(&current).expect("remove"),
        }
        let mut checkpoints = open(temp.path());
        assert!(!checkpoints.exists() && checkpoints.segments().expect("segments").is_empty());
        let aside = checkpoints.set_aside_at_open();
        let generation = aside.iter().find(|(path, _)| path.ends_with("checkpoint-gen-1")).expect("gen-1 is kept");
        assert!(generation.0.join("shard-0-0.wbc").exists() && generation.1.contains(CURRENT), "{aside:?}");
        checkpoints.begin().expect("begin").commit().expect("a new start");
    }
}
