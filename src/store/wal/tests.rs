use proptest::prelude::*;

use super::*;

fn read(data_dir: &Path) -> (Vec<(u32, Vec<u8>)>, ReplayReport) {
    let mut got = Vec::new();
    let files = files(data_dir).expect("files");
    let report = replay(data_dir, &files, |shard, record| got.push((shard, record.to_vec()))).expect("replay");
    (got, report)
}

fn records(data_dir: &Path) -> Vec<Vec<u8>> {
    read(data_dir).0.into_iter().map(|(_, record)| record).collect()
}

fn only_file(data_dir: &Path) -> PathBuf {
    let all = files(data_dir).expect("files");
    assert_eq!(all.len(), 1);
    all[0].path.clone()
}

#[test]
fn what_is_appended_is_replayed_in_order() {
    let temp = tempfile::tempdir().expect("temp dir");
    assert!(records(temp.path()).is_empty(), "no log yet");
    let mut one = Wal::open(temp.path(), 1).expect("open");
    let mut zero = Wal::open(temp.path(), 0).expect("open");
    one.append(b"a").expect("append");
    zero.append(b"").expect("append");
    assert_eq!(one.rotate().expect("rotate"), SegmentNo(1));
    one.append(b"b").expect("append");
    // As after a kill: neither is closed.
    let (got, report) = read(temp.path());
    assert_eq!(got, [(0, b"".to_vec()), (1, b"a".to_vec()), (1, b"b".to_vec())]);
    assert_eq!((report.records, report.bytes, report.torn), (3, 2, 0));
    let mut again = Wal::open(temp.path(), 1).expect("open again");
    again.append(b"c").expect("append");
    assert_eq!(records(temp.path()).last().expect("c"), b"c");
}

#[test]
fn a_checkpoint_frees_what_was_before_it() {
    let temp = tempfile::tempdir().expect("temp dir");
    let mut wal = Wal::open(temp.path(), 0).expect("open");
    let mut other = Wal::open(temp.path(), 3).expect("open");
    other.append(b"other").expect("append");
    wal.append(b"old").expect("append");
    let segment = wal.rotate().expect("rotate");
    wal.append(b"new").expect("append");
    wal.remove_before(segment).expect("remove");
    assert_eq!(records(temp.path()), [b"new".to_vec(), b"other".to_vec()]);
    assert_eq!(wal.bytes(), 8 + 12 + 3);
    remove_shards_from(temp.path(), 2).expect("remove");
    assert_eq!(records(temp.path()), [b"new".to_vec()]);
}

#[test]
fn damage_in_the_middle_sets_the_rest_aside_and_goes_on() {
    let temp = tempfile::tempdir().expect("temp dir");
    let mut wal = Wal::open(temp.path(), 0).expect("open");
    for record in ["first", "second", "third"] {
        wal.append(record.as_bytes()).expect("append");
    }
    let path = only_file(temp.path());
    wal.rotate().expect("rotate");
    wal.append(b"later").expect("append");
    let mut bytes = fs::read(&path).expect("read");
    let at = 8 + 12 + 5;
    bytes[at + 12] ^= 1;
    fs::write(&path, &bytes).expect("write");
    for _ in 0..2 {
        let (got, report) = read(temp.path());
        assert_eq!(got, [(0, b"first".to_vec()), (0, b"later".to_vec())]);
        assert_eq!(report.set_aside.len(), 1);
        let (copy, message) = &report.set_aside[0];
        assert!(message.contains("at byte 25: a wrong checksum"), "{message}");
        assert_eq!(fs::read(copy).expect("copy"), bytes[at..]);
    }
    assert_eq!(fs::read_dir(temp.path().join(crate::store::SET_ASIDE)).expect("dir").count(), 1);
}

#[test]
fn an_impossible_length_allocates_nothing() {
    let temp = tempfile::tempdir().expect("temp dir");
    let mut wal = Wal::open(temp.path(), 0).expect("open");
    wal.append(b"x").expect("append");
    let path = only_file(temp.path());
    let mut bytes = fs::read(&path).expect("read");
    bytes[8..12].copy_from_slice(&u32::MAX.to_le_bytes());
    fs::write(&path, &bytes).expect("write");
    let (got, report) = read(temp.path());
    assert!(got.is_empty() && report.set_aside[0].1.contains("impossible length"));
}

#[test]
fn a_failed_write_breaks_the_log_until_its_next_file() {
    let temp = tempfile::tempdir().expect("temp dir");
    let mut wal = Wal::open(temp.path(), 0).expect("open");
    wal.append(b"kept").expect("append");
    // A file that is open for reading only refuses to be written, like a disk that is full.
    wal.file = Some(File::open(only_file(temp.path())).expect("open"));
    wal.append(b"lost").expect_err("refused");
    assert!(wal.is_broken());
    let error = wal.append(b"lost too").expect_err("broken").to_string();
    assert!(error.contains("broken"), "{error}");
    assert_eq!(wal.failures(), 2);
    wal.rotate().expect("mended");
    wal.append(b"after").expect("append");
    assert_eq!(records(temp.path()), [b"kept".to_vec(), b"after".to_vec()]);
}

#[test]
fn a_record_too_long_is_refused_and_the_log_goes_on() {
    let temp = tempfile::tempdir().expect("temp dir");
    let mut wal = Wal::open(temp.path(), 0).expect("open");
    wal.append(&vec![0; MAX_RECORD + 1]).expect_err("too long");
    wal.append(b"fine").expect("append");
    assert!(!wal.is_broken());
    assert_eq!(records(temp.path()), [b"fine".to_vec()]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn cut_anywhere_the_whole_records_survive(all in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 1..6), cut in any::<prop::sample::Index>()) {
        let temp = tempfile::tempdir().expect("temp dir");
        let mut wal = Wal::open(temp.path(), 0).expect("open");
        for record in &all {
            wal.append(record).expect("append");
        }
        let path = only_file(temp.path());
        let bytes = fs::read(&path).expect("read");
        let cut = cut.index(bytes.len() + 1);
        fs::write(&path, &bytes[..cut]).expect("cut");
        let mut end = MAGIC.len();
        let whole = all.iter().take_while(|r| { end += RECORD_HEADER + r.len(); end <= cut }).cloned().collect::<Vec<_>>();
        let (got, report) = read(temp.path());
        prop_assert!(report.set_aside.is_empty());
        prop_assert_eq!(got.into_iter().map(|(_, r)| r).collect::<Vec<_>>(), whole);
    }

    #[test]
    fn any_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..200), ours in any::<bool>()) {
        let temp = tempfile::tempdir().expect("temp dir");
        fs::create_dir(temp.path().join("wal")).expect("dir");
        let start: &[u8] = if ours { MAGIC } else { b"" };
        fs::write(temp.path().join("wal/shard-0-0.wal"), [start, &bytes[..]].concat()).expect("write");
        let (got, report) = read(temp.path());
        prop_assert!(got.len() <= 16 && report.set_aside.len() <= 1);
    }
}
