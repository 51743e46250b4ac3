// SPDX-License-Identifier: Apache-2.0

//! `drawbridge gc`.

use anyhow::bail;
use chassis::clock::Clock;
use clap::Args;

use super::scrub::bytes;
use crate::store::{Location, Store};
use crate::upkeep::gc::{Amount, GRACE_SECONDS_MIN, Options, collect};

pub(super) const EXAMPLE: &str = "\
It removes content that no tag and no manifest needs, tags that were announced and never completed, uploads that nobody
went on with, and files of dead processes. It may run while registries serve the store, from a timer on any host.

Nothing goes at once: what nothing needs is marked, and removed by a later run, if for the whole grace period nothing came
to need it. So the first run removes little. What is named again meanwhile, by an upload, a tag, a manifest, or by a client
that asks for it before a push, stays.

The exit code is 0 if all is well, and 1 if something kept it from looking at all of the store.

Example:
  drawbridge gc --store /var/lib/drawbridge --grace 7d";

#[derive(Args, Debug)]
pub(super) struct GcOptions {
    /// The registry's store, as it is served.
    #[arg(long, env = "DRAWBRIDGE_STORE", value_name = "DIR|URL")]
    store: Location,
    /// For how long nothing must have needed what is removed, for example 12h or 7d; an hour at least. Clients that push for
    /// longer than that may have to begin again.
    #[arg(long, value_name = "TIME", default_value = "7d", value_parser = seconds)]
    grace: u64,
    /// Only say what would be done.
    #[arg(long)]
    dry_run: bool,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(options: &GcOptions) -> anyhow::Result<()> {
    let store = Store::beside_to_change(&options.store)?;
    let how = Options { grace: options.grace, dry_run: options.dry_run };
    let report = collect(&store, how, &|| Clock::System.now())?;
    let text = if options.json {
        let mut object = serde_json::to_value(&report)?;
        if let Some(object) = object.as_object_mut() {
            object.insert("dry_run".to_owned(), options.dry_run.into());
            object.insert("ok".to_owned(), report.skipped.is_empty().into());
        }
        format!("{object}\n")
    } else {
        let (would, is) = if options.dry_run { ("would be ", "would be") } else { ("", "is") };
        let line = |what: &str, amount: Amount| {
            format!("{what:>34}  {} objects, {}\n", amount.count, bytes(amount.bytes))
        };
        let mut text = line("needed", report.needed);
        text += &line(&format!("{would}removed"), report.removed);
        text += &line(
            &format!("{would}marked, and goes in {}", Spell(options.grace)),
            report.condemned,
        );
        text += &line("marked before", report.waiting);
        text += &line(&format!("uploads that were left, {would}removed"), report.uploads);
        text += &line(&format!("files of the dead, {would}removed"), report.staging);
        text += &format!("{:>34}  {}\n", "announced tags forgotten", report.announcements);
        for (repo, why) in &report.skipped {
            text += &format!("{repo} {is} left alone: {why}\n");
        }
        text
    };
    super::print(text.as_bytes())?;
    match report.skipped.len() {
        0 => Ok(()),
        1 => bail!("one repository was left alone"),
        skipped => bail!("{skipped} repositories were left alone"),
    }
}

/// `90m`, `12h`, `7d`, in seconds.
fn seconds(text: &str) -> Result<u64, String> {
    let units = [('s', 1), ('m', 60), ('h', 3600), ('d', 86_400)];
    let found = units.iter().find_map(|(unit, size)| Some((text.strip_suffix(*unit)?, size)));
    let number = found.and_then(|(number, size)| {
        let digits = !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit());
        digits.then(|| number.parse::<u64>().ok()?.checked_mul(*size)).flatten()
    });
    match number {
        None => Err("wanted a whole number with its unit, s, m, h or d, for example 7d".to_owned()),
        Some(short) if short < GRACE_SECONDS_MIN => Err("an hour (1h) is the least".to_owned()),
        Some(seconds) => Ok(seconds),
    }
}

/// Seconds as people say them.
struct Spell(u64);

impl std::fmt::Display for Spell {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            days if days % 86_400 == 0 => write!(f, "{}d", days / 86_400),
            hours if hours % 3600 == 0 => write!(f, "{}h", hours / 3600),
            seconds => write!(f, "{seconds}s"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grace_periods_have_units() {
        assert_eq!(seconds("7d"), Ok(604_800));
        assert_eq!(seconds("60m"), Ok(3600));
        assert_eq!(Spell(seconds("36h").unwrap()).to_string(), "36h");
        for bad in ["", "7", "d", "-1d", "59m", "7w", "+8h", "99999999999999999999d", "1e9s"] {
            assert!(seconds(bad).is_err(), "{bad}");
        }
    }
}
