// SPDX-License-Identifier: Apache-2.0

//! Bodies of requests, bounded in size and time, and bodies of answers, counted until they are sent.

use std::fmt;
use std::future::Future as _;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::{Body, Bytes};
use hyper::body::{Body as HttpBody, Frame, Incoming, SizeHint};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, Sleep, sleep_until};

use crate::connection::Busy;
use crate::limits::Limits;
use crate::metrics::{Counter, Entered};

/// Why a body ended early.
#[derive(Debug)]
pub(crate) enum BodyError {
    TooLarge,
    TooSlow,
    Broken(hyper::Error),
}

impl fmt::Display for BodyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLarge => f.write_str("the body is larger than allowed"),
            Self::TooSlow => f.write_str("the body came too slowly"),
            Self::Broken(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for BodyError {}

/// What became of a request's body, for whoever answers.
#[derive(Default)]
pub(crate) struct Outcome {
    too_large: AtomicBool,
    too_slow: AtomicBool,
    /// What the handler left unread.
    rest: Mutex<Option<Incoming>>,
}

impl Outcome {
    pub(crate) fn too_large(&self) -> bool {
        self.too_large.load(Ordering::Acquire)
    }

    pub(crate) fn too_slow(&self) -> bool {
        self.too_slow.load(Ordering::Acquire)
    }

    pub(crate) fn take_rest(&self) -> Option<Incoming> {
        self.rest.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// A request's body that fails when it is too large or too slow.
pub(crate) struct RequestBody {
    inner: Option<Incoming>,
    outcome: Arc<Outcome>,
    size_max: u64,
    idle_max: Duration,
    rate_min: u64,
    started: Instant,
    received: u64,
    received_in_all: Counter,
    timer: Pin<Box<Sleep>>,
}

impl RequestBody {
    pub(crate) fn new(
        inner: Incoming,
        limits: &Limits,
        outcome: Arc<Outcome>,
        received_in_all: Counter,
    ) -> Self {
        let started = Instant::now();
        Self {
            inner: Some(inner),
            outcome,
            size_max: limits.body_bytes_max,
            idle_max: limits.body_idle,
            rate_min: limits.body_rate_min_bytes_per_second.max(1),
            started,
            received: 0,
            received_in_all,
            timer: Box::pin(sleep_until(started + limits.body_idle)),
        }
    }

    /// Both the pause since the last byte and the pace since the first one are bounded.
    fn deadline(&self, now: Instant) -> Instant {
        let paced = self.idle_max + Duration::from_secs(self.received / self.rate_min);
        (now + self.idle_max).min(self.started + paced)
    }

    fn fail(&mut self, error: BodyError) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match error {
            BodyError::TooLarge => self.outcome.too_large.store(true, Ordering::Release),
            BodyError::TooSlow => {
                self.outcome.too_slow.store(true, Ordering::Release);
                // Nobody waits for the rest of this one.
                self.inner = None;
            }
            BodyError::Broken(_) => {}
        }
        Poll::Ready(Some(Err(error)))
    }
}

impl HttpBody for RequestBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let Some(inner) = self.inner.as_mut() else {
            return Poll::Ready(None);
        };
        let frame = match Pin::new(inner).poll_frame(cx) {
            Poll::Ready(frame) => frame,
            Poll::Pending => {
                ready!(self.timer.as_mut().poll(cx));
                return self.fail(BodyError::TooSlow);
            }
        };
        match frame {
            None => {
                self.inner = None;
                Poll::Ready(None)
            }
            Some(Err(error)) => self.fail(BodyError::Broken(error)),
            Some(Ok(frame)) => {
                let length = frame.data_ref().map_or(0, |data| data.len() as u64);
                self.received = self.received.saturating_add(length);
                self.received_in_all.add(length);
                if self.received > self.size_max {
                    return self.fail(BodyError::TooLarge);
                }
                let deadline = self.deadline(Instant::now());
                self.timer.as_mut().reset(deadline);
                Poll::Ready(Some(Ok(frame)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.inner.as_ref().is_none_or(HttpBody::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.as_ref().map_or(SizeHint::with_exact(0), HttpBody::size_hint)
    }
}

impl Drop for RequestBody {
    fn drop(&mut self) {
        if let Some(inner) = self.inner.take().filter(|inner| !inner.is_end_stream()) {
            *self.outcome.rest.lock().unwrap_or_else(PoisonError::into_inner) = Some(inner);
        }
    }
}

/// Reads what is left of a body, up to `bytes_max` and `time_max`.
///
/// A client that is still sending would otherwise see its connection reset before it reads the answer.
pub(crate) async fn drain(mut rest: Incoming, bytes_max: u64, time_max: Duration) {
    let drained = async {
        let mut left = bytes_max;
        loop {
            let frame = std::future::poll_fn(|cx| Pin::new(&mut rest).poll_frame(cx)).await;
            let Some(Ok(frame)) = frame else { break };
            let length = frame.data_ref().map_or(0, |data| data.len() as u64);
            let Some(remaining) = left.checked_sub(length) else {
                break;
            };
            left = remaining;
        }
    };
    let _ = tokio::time::timeout(time_max, drained).await;
}

/// What an answer holds until its body is sent or given up.
pub(crate) struct Held {
    pub(crate) _busy: Busy,
    pub(crate) _permit: Option<OwnedSemaphorePermit>,
    pub(crate) _in_flight: Entered,
    pub(crate) sent_in_all: Counter,
}

/// An answer's body, which counts as work in progress until it is sent or given up.
pub(crate) struct AnswerBody {
    inner: Body,
    held: Held,
}

impl AnswerBody {
    pub(crate) fn new(inner: Body, held: Held) -> Self {
        Self { inner, held }
    }
}

impl HttpBody for AnswerBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let frame = ready!(Pin::new(&mut self.inner).poll_frame(cx));
        if let Some(data) = frame.as_ref().and_then(|frame| frame.as_ref().ok()?.data_ref()) {
            self.held.sent_in_all.add(data.len() as u64);
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
