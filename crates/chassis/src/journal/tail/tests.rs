// SPDX-License-Identifier: Apache-2.0

//! Crashes, full disks and failing ones.

use std::fs;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::*;
use crate::journal::entry::tests::{SHAPE, record};
use crate::journal::verify::{self, Expected};

/// A size that every entry exceeds.
const SMALL: u64 = 500;

fn opener() -> Open {
    Arc::new(open_file)
}

fn recovered(dir: &Path) -> (Tail, u64) {
    Tail::recover(dir, SHAPE, opener(), SMALL).unwrap()
}

fn refused(dir: &Path) -> LogError {
    Tail::recover(dir, SHAPE, opener(), SMALL).err().unwrap()
}

fn commit(tail: &mut Tail, count: usize) -> Result<(), LogError> {
    let json = record();
    tail.commit(std::iter::repeat_n(json.as_str(), count))
}

/// How many entries a reader of the whole log sees.
fn entries(dir: &Path) -> u64 {
    verify::read(dir, SHAPE, Expected::default(), |_| Ok(())).unwrap().head.entries
}

fn last(dir: &Path) -> PathBuf {
    files::list(dir).unwrap().pop().unwrap().1
}

#[test]
fn a_log_grows_over_files_and_restarts() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    for round in 0..5 {
        let (mut tail, torn) = recovered(dir);
        assert_eq!((tail.link().next, torn), (round * 3, 0));
        commit(&mut tail, 2).unwrap();
        commit(&mut tail, 1).unwrap();
    }
    assert_eq!(entries(dir), 15);
    let starts: Vec<u64> = files::list(dir).unwrap().into_iter().map(|(index, _)| index).collect();
    assert_eq!(starts, [0, 2, 3, 5, 6, 8, 9, 11, 12, 14]);
}

#[test]
fn whatever_a_crash_leaves_of_an_entry_is_cut() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let (mut tail, _) = recovered(dir);
    commit(&mut tail, 1).unwrap();
    let link = tail.link();
    let path = last(dir);
    let one = fs::read(&path).unwrap();
    commit(&mut tail, 1).unwrap();
    drop(tail);
    // Also in a file of its own.
    let second = last(dir);
    assert_ne!(path, second);
    let two = fs::read(&second).unwrap();
    for length in 0..two.len() {
        OpenOptions::new().write(true).open(&second).unwrap().set_len(0).unwrap();
        open_file(&second).unwrap().append(&two[..length]).unwrap();
        let (tail, torn) = recovered(dir);
        assert_eq!((tail.link(), torn), (link, length as u64));
        assert_eq!(fs::metadata(&second).unwrap().len(), 0);
    }
    fs::remove_file(&second).unwrap();
    for length in 0..one.len() {
        durable::write(&path, &[&one[..], &two[..length]].concat(), 0o600).unwrap();
        let (tail, torn) = recovered(dir);
        assert_eq!((tail.link(), torn), (link, length as u64));
        assert_eq!(fs::read(&path).unwrap(), one);
    }
    // One byte more, and it is a whole entry, which is never cut.
    durable::write(&path, &[one, two].concat(), 0o600).unwrap();
    let (tail, torn) = recovered(dir);
    assert_eq!((tail.link().next, torn), (2, 0));
}

#[test]
fn whole_entries_that_are_wrong_are_not_cut() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let (mut tail, _) = recovered(dir);
    commit(&mut tail, 3).unwrap();
    drop(tail);
    let path = last(dir);
    let good = fs::read(&path).unwrap();
    let length = good.len() / 3;
    for at in (0..good.len()).step_by(97).chain([length - 1]) {
        let mut bad = good.clone();
        bad[at] ^= 1;
        durable::write(&path, &bad, 0o600).unwrap();
        assert!(matches!(refused(dir), LogError::Broken(..)), "byte {at}");
        assert_eq!(fs::read(&path).unwrap(), bad, "it is left as it is");
    }
    // A line without an end that is longer than an entry is no torn entry.
    let long = [good, vec![b'x'; limits::LOG_ENTRY_BYTES_MAX + 1]].concat();
    durable::write(&path, &long, 0o600).unwrap();
    assert!(matches!(refused(dir), LogError::Broken(_, 4, Flaw::Length)));
}

#[test]
fn missing_files_are_noticed() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let (mut tail, _) = recovered(dir);
    for _ in 0..3 {
        commit(&mut tail, 2).unwrap();
    }
    let link = tail.link();
    drop(tail);
    let second = files::path(dir, 2);
    let kept = fs::read(&second).unwrap();
    fs::remove_file(&second).unwrap();
    assert!(matches!(refused(dir), LogError::Misplaced(path, _) if path == files::path(dir, 4)));
    assert!(verify::read(dir, SHAPE, Expected::default(), |_| Ok(())).is_err());
    // Old files may be moved away, from the first on; the writer goes on, and a reader must be told what came before.
    fs::remove_file(files::path(dir, 0)).unwrap();
    let (tail, _) = recovered(dir);
    assert_eq!(tail.link(), link);
    drop(tail);
    assert!(verify::read(dir, SHAPE, Expected::default(), |_| Ok(())).is_err());
    let lines = String::from_utf8(kept).unwrap();
    let last = format!("{}\n", lines.lines().last().unwrap());
    let after = crate::journal::entry::parse(SHAPE, last.as_bytes()).unwrap().hash;
    let expected = Expected { after: Some(after), ..Expected::default() };
    let summary = verify::read(dir, SHAPE, expected, |_| Ok(())).unwrap();
    assert_eq!((summary.first, summary.head), (4, link.into()));
    let expected = Expected { after: Some(types::digest::Sha256::of(b"x")), ..expected };
    assert!(verify::read(dir, SHAPE, expected, |_| Ok(())).is_err());
}

#[test]
fn an_earlier_head_is_found_again() {
    let dir = tempfile::tempdir().unwrap();
    let (mut tail, _) = recovered(dir.path());
    commit(&mut tail, 2).unwrap();
    let noted = tail.link().prev;
    commit(&mut tail, 2).unwrap();
    let passed = |through| {
        let expected = Expected { through: Some(through), ..Expected::default() };
        verify::read(dir.path(), SHAPE, expected, |_| Ok(())).unwrap().passed_through
    };
    assert!(passed(noted) && passed(tail.link().prev) && passed(crate::journal::GENESIS));
    assert!(!passed(types::digest::Sha256::of(b"another history")));
}

/// What the disk is to do wrong.
#[derive(Default)]
struct Faults {
    /// How many bytes of the next write are written before it fails.
    write: AtomicUsize,
    write_fails: AtomicBool,
    sync_fails: AtomicBool,
    cut_fails: AtomicBool,
}

struct Faulty(Box<dyn Medium>, Arc<Faults>);

fn fails(flag: &AtomicBool) -> io::Result<()> {
    if flag.load(Ordering::SeqCst) { Err(io::Error::other("the test says so")) } else { Ok(()) }
}

impl Medium for Faulty {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.1.write_fails.load(Ordering::SeqCst) {
            let room = self.1.write.load(Ordering::SeqCst).min(bytes.len());
            self.0.append(&bytes[..room])?;
            return Err(io::Error::from(io::ErrorKind::StorageFull));
        }
        self.0.append(bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        fails(&self.1.sync_fails)?;
        self.0.sync()
    }

    fn cut(&mut self, length: u64) -> io::Result<()> {
        fails(&self.1.cut_fails)?;
        self.0.cut(length)
    }
}

fn faulty(faults: &Arc<Faults>) -> Open {
    let faults = faults.clone();
    Arc::new(move |path| Ok(Box::new(Faulty(open_file(path)?, faults.clone()))))
}

#[test]
fn a_full_disk_passes() {
    let dir = tempfile::tempdir().unwrap();
    let faults = Arc::new(Faults::default());
    let (mut tail, _) = Tail::recover(dir.path(), SHAPE, faulty(&faults), u64::MAX).unwrap();
    commit(&mut tail, 1).unwrap();
    faults.write_fails.store(true, Ordering::SeqCst);
    for room in [0, 10, 100_000] {
        faults.write.store(room, Ordering::SeqCst);
        assert!(matches!(commit(&mut tail, 2), Err(LogError::Io("write", ..))));
        assert_eq!((entries(dir.path()), tail.is_closed()), (1, false), "nothing is left of it");
    }
    faults.write_fails.store(false, Ordering::SeqCst);
    commit(&mut tail, 1).unwrap();
    assert_eq!(entries(dir.path()), 2);
}

#[test]
fn a_failed_sync_is_never_taken_for_a_success() {
    let dir = tempfile::tempdir().unwrap();
    let faults = Arc::new(Faults::default());
    let (mut tail, _) = Tail::recover(dir.path(), SHAPE, faulty(&faults), u64::MAX).unwrap();
    commit(&mut tail, 1).unwrap();
    let link = tail.link();
    faults.sync_fails.store(true, Ordering::SeqCst);
    assert!(matches!(commit(&mut tail, 1), Err(LogError::Io("sync", ..))));
    faults.sync_fails.store(false, Ordering::SeqCst);
    assert!(matches!(commit(&mut tail, 1), Err(LogError::Closed(_))), "not by itself");
    assert_eq!((entries(dir.path()), tail.link()), (1, link));
    tail.reopen().unwrap();
    commit(&mut tail, 1).unwrap();
    assert_eq!(entries(dir.path()), 2);
}

#[test]
fn a_log_that_cannot_be_mended_stays_closed() {
    let dir = tempfile::tempdir().unwrap();
    let faults = Arc::new(Faults::default());
    let (mut tail, _) = Tail::recover(dir.path(), SHAPE, faulty(&faults), u64::MAX).unwrap();
    commit(&mut tail, 2).unwrap();
    for flag in [&faults.write_fails, &faults.cut_fails] {
        flag.store(true, Ordering::SeqCst);
    }
    faults.write.store(10, Ordering::SeqCst);
    assert!(matches!(commit(&mut tail, 1), Err(LogError::Io("write", ..))));
    assert!(tail.is_closed());
    assert!(matches!(tail.reopen(), Err(LogError::Io("cut", ..))));
    for flag in [&faults.write_fails, &faults.cut_fails] {
        flag.store(false, Ordering::SeqCst);
    }
    // Somebody took an entry away meanwhile.
    let path = last(dir.path());
    let bytes = fs::read(&path).unwrap();
    durable::write(&path, &bytes[..bytes.len() / 2 - 20], 0o600).unwrap();
    assert!(tail.reopen().is_err());
    assert!(matches!(commit(&mut tail, 1), Err(LogError::Closed(_))));
}
