// SPDX-License-Identifier: Apache-2.0

//! A decision as a line of JSON.

use chassis::log::json_in_ascii;
use evidence::Kind;
use serde::Serialize;

use super::Decided;

/// Longest detail of a check, in bytes; a longer one is cut.
const DETAIL_BYTES_MAX: usize = 1024;
/// Most checks in a line.
const CHECKS_MAX: usize = 64;

/// Members in the order of docs/FORMATS.md section 4.5. What is not known is left out.
#[derive(Debug, Serialize)]
pub(super) struct Line<'a> {
    time: String,
    verdict: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_of_bundle: Option<[usize; 2]>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    checks: Vec<Failed<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    evidence: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    policy: Option<String>,
    #[serde(flatten)]
    keep: Option<Keep<'a>>,
}

#[derive(Debug, Serialize)]
struct Failed<'a> {
    check: &'a str,
    detail: &'a str,
}

/// What was proved.
#[derive(Debug, Serialize)]
struct Keep<'a> {
    tee: &'static str,
    product: &'a str,
    simulated: bool,
    measurement: &'a str,
    #[serde(flatten)]
    made: Option<Made<'a>>,
}

/// What was made of it.
#[derive(Debug, Serialize)]
struct Made<'a> {
    status: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    workload: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    slug: Option<String>,
    serial: &'a str,
}

impl<'a> Line<'a> {
    pub(super) fn of(decided: &Decided<'a>) -> Self {
        let first = decided.problem.map(|problem| Failed {
            check: problem.check.as_deref().unwrap_or("steward.internal"),
            detail: cut(&problem.detail),
        });
        let others = decided
            .others
            .iter()
            .map(|failure| Failed { check: failure.check, detail: cut(&failure.detail) });
        let issued = decided.issued.map(|issued| {
            let facts = &issued.result.facts;
            let workload = facts.workload.as_ref();
            Keep {
                tee: facts.tee.name(),
                product: facts.tee.product(),
                simulated: facts.simulated,
                measurement: &facts.measurement,
                made: Some(Made {
                    status: issued.result.status().to_string(),
                    workload: workload.map(|workload| workload.digest.to_string()),
                    slug: workload.and_then(|w| w.slug.as_ref()).map(ToString::to_string),
                    serial: &issued.serial,
                }),
            }
        });
        let genuine = decided.genuine.map(|seen| Keep {
            tee: seen.kind.name(),
            product: &seen.product,
            simulated: seen.simulated,
            measurement: &seen.measurement,
            made: None,
        });
        Self {
            time: decided.time.to_string(),
            verdict: decided.verdict.name(),
            request_id: decided.caller.request_id.as_deref(),
            client: decided.caller.address.map(|address| address.to_string()),
            request_of_bundle: decided.place.map(|(place, of)| [place, of]),
            checks: first.into_iter().chain(others).take(CHECKS_MAX).collect(),
            evidence: decided.kind.map(Kind::name),
            policy: decided.policy.map(|policy| policy.to_string()),
            keep: issued.or(genuine),
        }
    }

    /// JSON of printable ASCII, with a line feed at its end.
    pub(super) fn to_ascii_json(&self) -> String {
        // Strings, numbers and lists of them always serialise.
        let mut json = json_in_ascii(&serde_json::to_string(self).unwrap_or_default());
        json.push('\n');
        json
    }
}

/// The start of `text`.
fn cut(text: &str) -> &str {
    text.get(..text.floor_char_boundary(DETAIL_BYTES_MAX)).unwrap_or(text)
}
