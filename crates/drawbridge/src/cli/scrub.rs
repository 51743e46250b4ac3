// SPDX-License-Identifier: Apache-2.0

//! `drawbridge scrub`.

use std::io::{IsTerminal as _, Write as _};
use std::num::NonZero;
use std::time::{Duration, Instant};

use anyhow::bail;
use clap::Args;

use crate::store::{Location, Store};
use crate::upkeep::scrub::scrub;

/// How often progress is shown.
const SHOWN: Duration = Duration::from_millis(200);

pub(super) const EXAMPLE: &str = "\
It reads every blob and every record, changes nothing, and may run while registries serve the store. What is wrong is
one line each: `damaged` is not what was put there, `misplaced` is not where it belongs, `incomplete` needs something that
is missing. Whoever still has content mends it by uploading it again; records come from a backup.

The exit code is 0 if all is well, and 1 if something is wrong or cannot be read.

Example:
  drawbridge scrub --store /var/lib/drawbridge --bytes-per-second 50000000";

#[derive(Args, Debug)]
pub(super) struct ScrubOptions {
    /// The registry's store, as it is served.
    #[arg(long, env = "DRAWBRIDGE_STORE", value_name = "DIR|URL")]
    store: Location,
    /// Read no more than this in a second, so that those who are served do not wait; as fast as it goes if not given.
    #[arg(long, value_name = "N")]
    bytes_per_second: Option<NonZero<u64>>,
    /// Print one JSON object with all that was found.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(options: &ScrubOptions) -> anyhow::Result<()> {
    let store = Store::beside(&options.store)?;
    let mut pace = Pace::new(options.bytes_per_second);
    let report = scrub(&store, &mut |bytes| pace.took(bytes))?;
    pace.end();
    if options.json {
        let mut object = serde_json::to_value(&report)?;
        if let Some(object) = object.as_object_mut() {
            object.insert("ok".to_owned(), report.findings.is_empty().into());
        }
        super::print(format!("{object}\n").as_bytes())?;
    } else {
        let mut text = String::new();
        for finding in &report.findings {
            text += &format!("{finding}\n");
        }
        text += &format!(
            "{}: {} blobs of {}, {} records, {} tags looked at; {} on their way.\n",
            options.store,
            report.blobs,
            bytes(report.bytes),
            report.records,
            report.tags,
            report.unfinished
        );
        super::print(text.as_bytes())?;
    }
    match report.findings.len() {
        0 => Ok(()),
        1 => bail!("one thing is wrong in {}", options.store),
        wrong => bail!("{wrong} things are wrong in {}", options.store),
    }
}

/// Keeps to a rate, and shows how far it is on a terminal.
struct Pace {
    began: Instant,
    rate: Option<NonZero<u64>>,
    done: u64,
    shown: Option<Instant>,
    terminal: bool,
}

impl Pace {
    fn new(rate: Option<NonZero<u64>>) -> Self {
        let terminal = std::io::stderr().is_terminal();
        Self { began: Instant::now(), rate, done: 0, shown: None, terminal }
    }

    fn took(&mut self, count: u64) {
        self.done = self.done.saturating_add(count);
        if let Some(rate) = self.rate {
            std::thread::sleep(due(self.done, rate).saturating_sub(self.began.elapsed()));
        }
        if self.terminal && self.shown.is_none_or(|shown| shown.elapsed() >= SHOWN) {
            self.shown = Some(Instant::now());
            let seconds = self.began.elapsed().as_secs().max(1);
            let rate = bytes(self.done / seconds);
            let _ = write!(std::io::stderr(), "\r\x1b[K{} read, {rate}/s", bytes(self.done));
        }
    }

    fn end(&self) {
        if self.shown.is_some() {
            let _ = write!(std::io::stderr(), "\r\x1b[K");
        }
    }
}

/// When so many bytes may have been read, from the beginning on.
fn due(bytes: u64, rate: NonZero<u64>) -> Duration {
    let micros = u128::from(bytes) * 1_000_000 / u128::from(rate.get());
    Duration::from_micros(u64::try_from(micros).unwrap_or(u64::MAX))
}

/// Bytes as people write them.
pub(super) fn bytes(count: u64) -> String {
    let units = [("GB", 1_000_000_000), ("MB", 1_000_000), ("kB", 1000)];
    match units.into_iter().find(|(_, size)| count >= *size) {
        Some((unit, size)) => format!("{}.{} {unit}", count / size, count % size * 10 / size),
        None => format!("{count} bytes"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_and_sizes() {
        let rate = NonZero::new(1000).unwrap();
        assert_eq!(due(0, rate), Duration::ZERO);
        assert_eq!(due(1500, rate), Duration::from_millis(1500));
        assert!(due(u64::MAX, rate) > Duration::from_secs(1_000_000));
        assert_eq!(
            [999, 1000, 1_550_000, 2_000_000_000].map(bytes),
            ["999 bytes", "1.0 kB", "1.5 MB", "2.0 GB"]
        );
    }
}
