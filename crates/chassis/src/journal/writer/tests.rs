// SPDX-License-Identifier: Apache-2.0

//! Many at once, and a disk that is slow or fails.

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::super::entry::tests::{SHAPE, record};
use super::super::tail::{Medium, open_file};
use super::super::verify::{self, Expected};
use super::*;

fn entries(dir: &Path) -> u64 {
    verify::read(dir, SHAPE, Expected::default(), |_| Ok(())).unwrap().head.entries
}

#[test]
fn everything_waited_for_is_there() {
    let dir = tempfile::tempdir().unwrap();
    let log = Journal::open(dir.path(), SHAPE).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..10 {
                    log.append(vec![record(), record()]).unwrap().wait().unwrap();
                }
            });
        }
    });
    let head = log.head();
    assert_eq!((head.entries, entries(dir.path())), (160, 160));
    drop(log);
    let again = Journal::open(dir.path(), SHAPE).unwrap();
    assert_eq!(again.head(), head);
}

#[test]
fn only_one_process_writes() {
    let dir = tempfile::tempdir().unwrap();
    let log = Journal::open(dir.path(), SHAPE).unwrap();
    assert!(matches!(Journal::open(dir.path(), SHAPE), Err(LogError::Locked(_))));
    drop(log);
    Journal::open(dir.path(), SHAPE).unwrap();
}

#[test]
fn records_are_bounded() {
    let dir = tempfile::tempdir().unwrap();
    let log = Journal::open(dir.path(), SHAPE).unwrap();
    let large = format!("{{\"what\":\"{}\"}}", "A".repeat(limits::LOG_ENTRY_BYTES_MAX));
    assert!(matches!(log.append(vec![large]), Err(LogError::TooLong(_))));
}

/// A disk whose syncs wait for the test, and are counted.
struct Slow(Box<dyn Medium>, Arc<Mutex<()>>, Arc<AtomicUsize>);

impl Medium for Slow {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.append(bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.2.fetch_add(1, Ordering::SeqCst);
        drop(self.1.lock().unwrap());
        self.0.sync()
    }

    fn cut(&mut self, length: u64) -> io::Result<()> {
        self.0.cut(length)
    }
}

#[test]
fn what_comes_while_the_disk_is_busy_shares_one_sync_and_the_queue_is_bounded() {
    let dir = tempfile::tempdir().unwrap();
    let (gate, syncs) = (Arc::new(Mutex::new(())), Arc::new(AtomicUsize::new(0)));
    let (for_gate, for_syncs) = (gate.clone(), syncs.clone());
    let open: tail::Open = Arc::new(move |path| {
        Ok(Box::new(Slow(open_file(path)?, for_gate.clone(), for_syncs.clone())))
    });
    let log = Journal::open_with(dir.path(), SHAPE, open, u64::MAX).unwrap();
    let held = gate.lock().unwrap();
    let mut receipts = vec![log.append(vec![record()]).unwrap()];
    while syncs.load(Ordering::SeqCst) == 0 {
        std::thread::yield_now();
    }
    let full = loop {
        match log.append(vec![record()]) {
            Ok(receipt) => receipts.push(receipt),
            Err(error) => break error,
        }
    };
    assert!(matches!(full, LogError::Busy));
    assert_eq!(receipts.len(), 1 + WAITING_MAX);
    assert_eq!(log.head().entries, 0, "nothing is promised before it is on the disk");
    drop(held);
    for receipt in receipts {
        receipt.wait().unwrap();
    }
    assert_eq!(log.head().entries, 1 + WAITING_MAX as u64);
    let syncs = syncs.load(Ordering::SeqCst);
    assert!(syncs <= 3, "{syncs} syncs for {} entries", 1 + WAITING_MAX);
}

/// A disk that fails once.
struct Fails(Box<dyn Medium>, Arc<AtomicUsize>);

impl Medium for Fails {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.append(bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        match self.1.fetch_add(1, Ordering::SeqCst) {
            0 => Err(io::Error::other("the test says so")),
            _ => self.0.sync(),
        }
    }

    fn cut(&mut self, length: u64) -> io::Result<()> {
        self.0.cut(length)
    }
}

#[test]
fn after_a_failure_it_goes_on_when_told_to() {
    let dir = tempfile::tempdir().unwrap();
    let syncs = Arc::new(AtomicUsize::new(0));
    let counter = syncs.clone();
    let open: tail::Open =
        Arc::new(move |path| Ok(Box::new(Fails(open_file(path)?, counter.clone()))));
    let log = Journal::open_with(dir.path(), SHAPE, open, u64::MAX).unwrap();
    let append = || log.append(vec![record()]).unwrap().wait();
    assert!(matches!(*append().unwrap_err(), LogError::Io("sync", ..)));
    assert!(matches!(*append().unwrap_err(), LogError::Closed(_)));
    assert_eq!(entries(dir.path()), 0);
    assert_eq!(log.reopen().unwrap().entries, 0);
    append().unwrap();
    assert_eq!((entries(dir.path()), log.head().entries), (1, 1));
}
