// SPDX-License-Identifier: Apache-2.0

//! Waiting for time and for descriptors.

use std::time::Duration;

use types::limits;

use crate::poll::Interest;
use crate::vfs::Object;

use super::abi::{Errno, clocks};
use super::context::Context;
use super::memory::Memory;

/// Bytes of a subscription.
const SUBSCRIPTION: u32 = 48;
/// Bytes of an event.
const EVENT: u32 = 32;
/// Flag of an event: the other end is gone.
const HANGUP: u16 = 1;
/// Flag of a clock: the time is a moment, not a span.
const ABSOLUTE: u16 = 1;

/// One thing to wait for.
#[derive(Clone, Copy, Debug)]
struct Subscription {
    user: u64,
    what: What,
}

#[derive(Clone, Copy, Debug)]
enum What {
    /// Until this moment of [`Moment`].
    Clock(Moment),
    Descriptor {
        fd: u32,
        interest: Interest,
    },
    /// Cannot be waited for: the kind of event, and why.
    Never(u8, Errno),
}

/// A moment, nanoseconds.
#[derive(Clone, Copy, Debug)]
enum Moment {
    Realtime(u64),
    Monotonic(u64),
}

/// `poll_oneoff`: waits until at least one of the subscriptions has something to tell, and tells all that have.
pub(super) fn poll_oneoff(
    context: &mut Context,
    memory: &mut Memory<'_>,
    subscriptions: u32,
    events: u32,
    count: u32,
    result: u32,
) -> Result<(), Errno> {
    let bounded = usize::try_from(count).is_ok_and(|n| n <= limits::GUEST_SUBSCRIPTIONS_MAX);
    if count == 0 || !bounded {
        return Err(Errno::Invalid);
    }
    let events = memory.buffer(events, count * EVENT)?;
    memory.buffer(result, 4)?;
    let bytes = memory.bytes(memory.buffer(subscriptions, count * SUBSCRIPTION)?);
    let parsed: Vec<Subscription> = bytes
        .as_chunks::<{ SUBSCRIPTION as usize }>()
        .0
        .iter()
        .map(|bytes| parse(context, bytes))
        .collect::<Result<_, _>>()?;
    let told = loop {
        context.table.progress();
        let told: Vec<_> = parsed.iter().filter_map(|one| event(context, one)).collect();
        if !told.is_empty() {
            break told;
        }
        let timeout = parsed.iter().filter_map(|one| remaining(context, one)).min();
        let wanted = parsed.iter().filter_map(|one| match one.what {
            What::Descriptor { fd, interest } => Some((fd, interest)),
            What::Clock(_) | What::Never(..) => None,
        });
        context.table.wait(wanted, timeout)?;
    };
    let buffer = memory.bytes_mut(events);
    for (to, event) in buffer.as_chunks_mut::<{ EVENT as usize }>().0.iter_mut().zip(&told) {
        *to = *event;
    }
    memory.write_len(result, told.len())
}

fn parse(
    context: &mut Context,
    bytes: &[u8; SUBSCRIPTION as usize],
) -> Result<Subscription, Errno> {
    let (words, _none) = bytes.as_chunks::<8>();
    let [user, tag, word2, word3, _precision, word5] = words else {
        return Err(Errno::Invalid);
    };
    let id = u32::from_le_bytes([word2[0], word2[1], word2[2], word2[3]]);
    let what = match tag[0] {
        0 => {
            let time = u64::from_le_bytes(*word3);
            let absolute = u16::from_le_bytes([word5[0], word5[1]]) & ABSOLUTE != 0;
            let moment = |now: u64| {
                if absolute { time } else { now.saturating_add(time) }
            };
            match id {
                // A span of time passes whatever is done to the time of day.
                clocks::REALTIME if absolute => What::Clock(Moment::Realtime(time)),
                clocks::REALTIME | clocks::MONOTONIC => {
                    What::Clock(Moment::Monotonic(moment(context.monotonic())))
                }
                clocks::PROCESS_CPU | clocks::THREAD_CPU => What::Never(0, Errno::NotSupported),
                _ => What::Never(0, Errno::Invalid),
            }
        }
        kind @ 1 | kind @ 2 => {
            let interest = if kind == 1 { Interest::READ } else { Interest::WRITE };
            match context.table.get(id) {
                Ok(_) => What::Descriptor { fd: id, interest },
                Err(errno) => What::Never(kind, errno),
            }
        }
        _ => return Err(Errno::Invalid),
    };
    Ok(Subscription { user: u64::from_le_bytes(*user), what })
}

/// Time until a clock has something to tell.
fn remaining(context: &mut Context, subscription: &Subscription) -> Option<Duration> {
    let nanoseconds = match subscription.what {
        What::Clock(Moment::Realtime(moment)) => moment.saturating_sub(context.now()),
        What::Clock(Moment::Monotonic(moment)) => moment.saturating_sub(context.monotonic()),
        What::Descriptor { .. } | What::Never(..) => return None,
    };
    Some(Duration::from_nanos(nanoseconds))
}

/// The event of a subscription, if there is something to tell.
fn event(context: &mut Context, subscription: &Subscription) -> Option<[u8; EVENT as usize]> {
    let mut count = 0;
    let mut flags = 0;
    let (kind, errno) = match subscription.what {
        What::Never(kind, errno) => (kind, errno as u8),
        What::Clock(_) if remaining(context, subscription)? == Duration::ZERO => (0, 0),
        What::Clock(_) => return None,
        What::Descriptor { fd, interest } => {
            let descriptor = context.table.get(fd).ok()?;
            if !descriptor.ready(interest) {
                return None;
            }
            let kind = if interest.read { 1 } else { 2 };
            if interest.read {
                count = descriptor.available();
                // Readable without a byte: the end, or an error.
                let ended = matches!(descriptor.object, Object::Connection(_)) && count == 0;
                flags = if ended { HANGUP } else { 0 };
            }
            (kind, 0)
        }
    };
    let mut event = [0; EVENT as usize];
    event[..8].copy_from_slice(&subscription.user.to_le_bytes());
    event[8] = errno;
    event[10] = kind;
    event[16..24].copy_from_slice(&count.to_le_bytes());
    event[24..26].copy_from_slice(&flags.to_le_bytes());
    Some(event)
}
