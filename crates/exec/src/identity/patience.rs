// SPDX-License-Identifier: Apache-2.0

//! Patience with a Steward that is busy: it says when to come back (`Retry-After`), and the Keep does, a few times.

use std::thread;
use std::time::Duration;

/// Most times that something is asked.
const ATTEMPTS_MAX: u32 = 5;
/// Least pause after the first attempt; after each next one it is twice as long.
const PAUSE_FIRST: Duration = Duration::from_millis(250);
/// Longest pause that Steward may ask for. A Steward that wants more is as good as away: whoever started the Keep is
/// better told so than kept waiting.
const PAUSE_MAX: Duration = Duration::from_secs(10);

/// Why there is no answer, and whether to ask again.
#[derive(Debug)]
pub(super) struct No<E> {
    pub(super) error: E,
    /// How long Steward wants to be left alone, if asking again may help.
    pub(super) after: Option<Duration>,
}

impl<E> From<E> for No<E> {
    /// Asking again does not help.
    fn from(error: E) -> Self {
        Self { error, after: None }
    }
}

/// Asks, several times if need be.
///
/// # Errors
/// The last attempt's.
pub(super) fn patiently<T, E>(ask: impl FnMut() -> Result<T, No<E>>) -> Result<T, E> {
    patiently_with(ask, random, thread::sleep)
}

fn patiently_with<T, E>(
    mut ask: impl FnMut() -> Result<T, No<E>>,
    mut random: impl FnMut() -> u8,
    mut sleep: impl FnMut(Duration),
) -> Result<T, E> {
    let mut attempt = 1;
    loop {
        let No { error, after } = match ask() {
            Ok(answer) => return Ok(answer),
            Err(no) => no,
        };
        match after.filter(|after| *after <= PAUSE_MAX && attempt < ATTEMPTS_MAX) {
            Some(after) => sleep(pause(attempt, after, random())),
            None => return Err(error),
        }
        attempt += 1;
    }
}

/// How long to wait after this attempt (the first is 1): never less than Steward asks for, and up to half as much more, so
/// that Keeps which were turned away together do not come back together. At most one and a half [`PAUSE_MAX`].
fn pause(attempt: u32, after: Duration, random: u8) -> Duration {
    let own = PAUSE_FIRST.saturating_mul(1 << attempt.saturating_sub(1).min(16)).min(PAUSE_MAX);
    let least = after.max(own);
    least + least / 2 * u32::from(random) / 255
}

fn random() -> u8 {
    let mut byte = [128];
    // Without randomness Keeps may come back together, which is no harm to this one.
    let _ = aws_lc_rs::rand::fill(&mut byte);
    u8::from_ne_bytes(byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What comes of answers that are these, one after the other: the outcome, and the pauses.
    fn run(
        mut answers: Vec<Result<u8, No<&'static str>>>,
        random: u8,
    ) -> (Result<u8, &'static str>, Vec<Duration>, usize) {
        let mut pauses = Vec::new();
        let left = &mut answers;
        left.reverse();
        let outcome = patiently_with(|| left.pop().unwrap(), || random, |time| pauses.push(time));
        (outcome, pauses, answers.len())
    }

    fn busy(milliseconds: u64) -> Result<u8, No<&'static str>> {
        Err(No { error: "busy", after: Some(Duration::from_millis(milliseconds)) })
    }

    const fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_busy_steward_is_asked_again_when_it_says() {
        assert_eq!(run(vec![Ok(7)], 0), (Ok(7), vec![], 0));
        let (outcome, pauses, _) = run(vec![busy(1000), busy(3000), Ok(7)], 0);
        assert_eq!((outcome, pauses), (Ok(7), vec![seconds(1), seconds(3)]));
        let (outcome, pauses, _) = run(vec![busy(1000), Ok(7)], 255);
        assert_eq!((outcome, pauses), (Ok(7), vec![Duration::from_millis(1500)]));
    }

    #[test]
    fn attempts_are_bounded_and_pauses_grow() {
        let (outcome, pauses, left) = run((0..9).map(|_| busy(0)).collect(), 0);
        let grown = [250, 500, 1000, 2000].map(Duration::from_millis);
        assert_eq!((outcome, pauses.as_slice(), left), (Err("busy"), &grown[..], 4));
        let (_, pauses, _) = run((0..9).map(|_| busy(10_000)).collect(), 255);
        assert_eq!(pauses, vec![seconds(15); 4]);
        assert_eq!(pause(u32::MAX, seconds(0), 0), PAUSE_MAX);
    }

    #[test]
    fn nobody_waits_for_a_no_or_for_long() {
        let no = || Err(No::from("no"));
        assert_eq!(run(vec![no(), Ok(7)], 0), (Err("no"), vec![], 1));
        assert_eq!(run(vec![busy(10_001), Ok(7)], 0), (Err("busy"), vec![], 1));
        let (outcome, pauses, left) = run(vec![busy(0), no(), Ok(7)], 0);
        assert_eq!((outcome, pauses.len(), left), (Err("no"), 1, 1));
    }
}
