// SPDX-License-Identifier: Apache-2.0

//! Metrics, and their text for Prometheus (exposition format 0.0.4).
//!
//! What is counted is kept in a [`Registry`]. Every family of series is bounded: of its label sets only the first
//! [`SERIES_MAX`] are kept apart, all others are counted together under `other`, so that no client can make it grow.
//!
//! ```
//! use enarx_chassis::metrics::Registry;
//!
//! let registry = Registry::new();
//! let served = registry.counters("example_served_total", "What was served.", ["kind"]);
//! served.with(["tea"]).add(2);
//! assert!(registry.render().contains("example_served_total{kind=\"tea\"} 2\n"));
//! ```

mod http;
mod process;
mod text;

pub(crate) use http::{Conclusion, HttpMetrics, method_name};

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use text::Text;

/// Media type of the exposition.
pub const MEDIA_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";
/// Most label sets of one family that are kept apart.
pub const SERIES_MAX: usize = 512;
/// Longest value of a label, in bytes; a longer one is cut.
pub const LABEL_BYTES_MAX: usize = 128;
/// Bounds of the buckets for times that people wait, in seconds.
pub const SECONDS: &[f64] =
    &[0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];
/// The value of every label of the series that all label sets beyond [`SERIES_MAX`] share.
const OTHER: &str = "other";

/// A number that only grows.
#[derive(Clone, Debug, Default)]
pub struct Counter(Arc<AtomicU64>);

impl Counter {
    /// One more.
    pub fn inc(&self) {
        self.add(1);
    }

    /// `n` more.
    pub fn add(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    /// How many there were.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A number that grows and shrinks.
#[derive(Clone, Debug, Default)]
pub struct Gauge(Arc<AtomicI64>);

impl Gauge {
    /// It is `value` now.
    pub fn set(&self, value: i64) {
        self.0.store(value, Ordering::Relaxed);
    }

    /// What it is now.
    pub fn get(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }

    /// One more, until the returned guard is dropped.
    pub fn enter(&self) -> Entered {
        self.0.fetch_add(1, Ordering::Relaxed);
        Entered(self.clone())
    }
}

/// One that a [`Gauge`] counts while this exists.
#[derive(Debug)]
pub struct Entered(Gauge);

impl Drop for Entered {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Times, counted by how long they were.
#[derive(Clone, Debug)]
pub struct Histogram(Arc<Buckets>);

#[derive(Debug)]
struct Buckets {
    /// Upper bounds in seconds, ascending.
    bounds: &'static [f64],
    /// One for each bound, and one for what is beyond all.
    counts: Vec<AtomicU64>,
    sum_nanoseconds: AtomicU64,
}

impl Histogram {
    fn new(bounds: &'static [f64]) -> Self {
        let counts = (0..=bounds.len()).map(|_| AtomicU64::new(0)).collect();
        Self(Arc::new(Buckets { bounds, counts, sum_nanoseconds: AtomicU64::new(0) }))
    }

    /// Counts one.
    pub fn observe(&self, time: Duration) {
        let seconds = time.as_secs_f64();
        let place = self.0.bounds.partition_point(|bound| *bound < seconds);
        if let Some(count) = self.0.counts.get(place) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        let nanoseconds = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        self.0.sum_nanoseconds.fetch_add(nanoseconds, Ordering::Relaxed);
    }

    /// How many there were.
    pub fn count(&self) -> u64 {
        self.0.counts.iter().map(|count| count.load(Ordering::Relaxed)).sum()
    }
}

/// One value for each set of labels.
#[derive(Debug)]
pub struct Family<M, const N: usize>(Arc<Series<M, N>>);

impl<M, const N: usize> Clone for Family<M, N> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

#[derive(Debug)]
struct Series<M, const N: usize> {
    labels: [&'static str; N],
    fresh: Fresh<M>,
    children: RwLock<BTreeMap<[String; N], M>>,
}

/// How a family makes a new member.
struct Fresh<M>(Box<dyn Fn() -> M + Send + Sync>);

impl<M> fmt::Debug for Fresh<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Fresh")
    }
}

impl<M: Clone, const N: usize> Family<M, N> {
    fn new(labels: [&'static str; N], fresh: impl Fn() -> M + Send + Sync + 'static) -> Self {
        let children = RwLock::new(BTreeMap::new());
        Self(Arc::new(Series { labels, fresh: Fresh(Box::new(fresh)), children }))
    }

    /// The member with these values of the labels; that of `other` if there are too many already.
    pub fn with(&self, values: [&str; N]) -> M {
        let key = values.map(|value| cut(value).to_owned());
        let known =
            self.0.children.read().unwrap_or_else(PoisonError::into_inner).get(&key).cloned();
        known.unwrap_or_else(|| {
            let mut children = self.0.children.write().unwrap_or_else(PoisonError::into_inner);
            let key = match children.len() {
                ..SERIES_MAX => key,
                _ if children.contains_key(&key) => key,
                _ => [OTHER; N].map(str::to_owned),
            };
            children.entry(key).or_insert_with(|| (self.0.fresh.0)()).clone()
        })
    }

    fn each(&self, mut visit: impl FnMut(&[(&str, &str)], &M)) {
        let children = self.0.children.read().unwrap_or_else(PoisonError::into_inner);
        for (values, member) in children.iter() {
            let labels: Vec<(&str, &str)> =
                self.0.labels.iter().copied().zip(values.iter().map(String::as_str)).collect();
            visit(&labels, member);
        }
    }
}

/// The start of `value`, not longer than a label may be.
fn cut(value: &str) -> &str {
    value.get(..value.floor_char_boundary(LABEL_BYTES_MAX)).unwrap_or(value)
}

/// Labels of one sample, names and values.
pub type Labels = Vec<(&'static str, String)>;

/// What one registered name writes.
type Write = Box<dyn Fn(&mut Text) + Send + Sync>;

struct Registered {
    name: &'static str,
    help: &'static str,
    kind: &'static str,
    write: Write,
}

/// All metrics of a program. Clones are the same registry.
#[derive(Clone, Default)]
pub struct Registry(Arc<Mutex<Vec<Registered>>>);

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registry").finish_non_exhaustive()
    }
}

impl Registry {
    /// An empty one.
    pub fn new() -> Self {
        Self::default()
    }

    /// A counter; `name` ends in `_total`.
    pub fn counter(&self, name: &'static str, help: &'static str) -> Counter {
        let counter = Counter::default();
        let shown = counter.clone();
        self.add(name, help, "counter", move |text| text.integer(name, &[], shown.get()));
        counter
    }

    /// Counters, one for each set of `labels`.
    pub fn counters<const N: usize>(
        &self,
        name: &'static str,
        help: &'static str,
        labels: [&'static str; N],
    ) -> Family<Counter, N> {
        let family = Family::new(labels, Counter::default);
        let shown = family.clone();
        self.add(name, help, "counter", move |text| {
            shown.each(|labels, counter| text.integer(name, labels, counter.get()));
        });
        family
    }

    /// A gauge.
    pub fn gauge(&self, name: &'static str, help: &'static str) -> Gauge {
        let gauge = Gauge::default();
        let shown = gauge.clone();
        self.add(name, help, "gauge", move |text| text.integer(name, &[], shown.get()));
        gauge
    }

    /// A gauge whose samples are made when somebody asks. A closure that says nothing shows nothing.
    pub fn gauge_of(
        &self,
        name: &'static str,
        help: &'static str,
        samples: impl Fn() -> Vec<(Labels, f64)> + Send + Sync + 'static,
    ) {
        self.add(name, help, "gauge", move |text| text.samples(name, &samples()));
    }

    /// The same for a counter that is kept elsewhere.
    pub fn counter_of(
        &self,
        name: &'static str,
        help: &'static str,
        samples: impl Fn() -> Vec<(Labels, f64)> + Send + Sync + 'static,
    ) {
        self.add(name, help, "counter", move |text| text.samples(name, &samples()));
    }

    /// Times in buckets with these bounds in seconds, ascending; `name` ends in `_seconds`.
    pub fn histogram(
        &self,
        name: &'static str,
        help: &'static str,
        bounds: &'static [f64],
    ) -> Histogram {
        let histogram = Histogram::new(bounds);
        let shown = histogram.clone();
        self.add(name, help, "histogram", move |text| text.histogram(name, &[], &shown));
        histogram
    }

    /// Histograms, one for each set of `labels`.
    pub fn histograms<const N: usize>(
        &self,
        name: &'static str,
        help: &'static str,
        labels: [&'static str; N],
        bounds: &'static [f64],
    ) -> Family<Histogram, N> {
        let family = Family::new(labels, move || Histogram::new(bounds));
        let shown = family.clone();
        self.add(name, help, "histogram", move |text| {
            shown.each(|labels, histogram| text.histogram(name, labels, histogram));
        });
        family
    }

    /// Registers `name`. A name that is taken is not shown a second time: a scrape would fail as a whole.
    fn add(
        &self,
        name: &'static str,
        help: &'static str,
        kind: &'static str,
        write: impl Fn(&mut Text) + Send + Sync + 'static,
    ) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if all.iter().any(|known| known.name == name) {
            tracing::error!(metric = name, "a metric was registered twice; the first one is shown");
            return;
        }
        all.push(Registered { name, help, kind, write: Box::new(write) });
    }

    /// Everything, as Prometheus reads it.
    pub fn render(&self) -> String {
        let mut text = Text::default();
        for family in self.0.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            text.head(family.name, family.help, family.kind);
            (family.write)(&mut text);
        }
        text.into_string()
    }
}

#[cfg(test)]
mod tests;
