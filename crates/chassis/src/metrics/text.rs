// SPDX-License-Identifier: Apache-2.0

//! The text format of Prometheus, version 0.0.4.

use std::fmt::{Display, Write as _};
use std::sync::atomic::Ordering;

use super::{Histogram, Labels};

const NANOSECONDS: f64 = 1e9;

/// The text as it grows. Writing to a string does not fail.
#[derive(Default)]
pub(super) struct Text(String);

impl Text {
    pub(super) fn into_string(self) -> String {
        self.0
    }

    pub(super) fn head(&mut self, name: &str, help: &str, kind: &str) {
        let help = help.replace('\\', "\\\\").replace('\n', "\\n");
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    pub(super) fn integer(&mut self, name: &str, labels: &[(&str, &str)], value: impl Display) {
        self.line(name, labels, None, value);
    }

    pub(super) fn samples(&mut self, name: &str, samples: &[(Labels, f64)]) {
        for (labels, value) in samples {
            let labels: Vec<(&str, &str)> =
                labels.iter().map(|(label, value)| (*label, value.as_str())).collect();
            self.line(name, &labels, None, Number(*value));
        }
    }

    pub(super) fn histogram(&mut self, name: &str, labels: &[(&str, &str)], times: &Histogram) {
        let bucket = format!("{name}_bucket");
        let bounds = times.0.bounds.iter().copied().chain([f64::INFINITY]);
        let mut count = 0;
        for (bound, in_bucket) in bounds.zip(&times.0.counts) {
            count += in_bucket.load(Ordering::Relaxed);
            self.line(&bucket, labels, Some(Number(bound)), count);
        }
        #[allow(clippy::cast_precision_loss, reason = "a sum of times need not be exact")]
        let sum = times.0.sum_nanoseconds.load(Ordering::Relaxed) as f64 / NANOSECONDS;
        self.line(&format!("{name}_sum"), labels, None, Number(sum));
        self.line(&format!("{name}_count"), labels, None, count);
    }

    fn line(
        &mut self,
        name: &str,
        labels: &[(&str, &str)],
        bound: Option<Number>,
        value: impl Display,
    ) {
        self.0.push_str(name);
        if !labels.is_empty() || bound.is_some() {
            let mut before = '{';
            for (label, value) in labels {
                let _ = write!(self.0, "{before}{label}=\"");
                for c in value.chars() {
                    match c {
                        '\\' => self.0.push_str("\\\\"),
                        '"' => self.0.push_str("\\\""),
                        '\n' => self.0.push_str("\\n"),
                        c => self.0.push(c),
                    }
                }
                self.0.push('"');
                before = ',';
            }
            if let Some(bound) = bound {
                let _ = write!(self.0, "{before}le=\"{bound}\"");
            }
            self.0.push('}');
        }
        let _ = writeln!(self.0, " {value}");
    }
}

/// A number as the format wants it.
struct Number(f64);

impl Display for Number {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            f64::INFINITY => f.write_str("+Inf"),
            f64::NEG_INFINITY => f.write_str("-Inf"),
            number => write!(f, "{number}"),
        }
    }
}
