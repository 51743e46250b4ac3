// SPDX-License-Identifier: Apache-2.0

//! Problem documents: how services say no (RFC 9457).

use serde::{Deserialize, Serialize};

/// Media type of a problem document.
pub const MEDIA_TYPE: &str = "application/problem+json";

/// An error as a service tells it to a client.
///
/// `check`, `hint` and `request_id` are extension members: the failed check by its stable name, how to mend it, and what
/// to look for in the service's log.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// A URI that names the kind of problem; `about:blank` if the status says it all.
    #[serde(rename = "type", default = "about_blank")]
    pub kind: String,
    /// One short sentence, the same for every problem of this kind.
    pub title: String,
    /// The HTTP status code.
    pub status: u16,
    /// What was wrong this time.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub detail: String,
    /// The stable name of the check that failed, for programs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub check: Option<String>,
    /// What to do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// The request, as the service's log names it: 32 hex digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
}

fn about_blank() -> String {
    "about:blank".to_owned()
}

impl Problem {
    /// A problem with this status (HTTP), title and detail.
    pub fn new(status: u16, title: impl Into<String>, detail: impl Into<String>) -> Self {
        Self {
            kind: about_blank(),
            title: title.into(),
            status,
            detail: detail.into(),
            check: None,
            hint: None,
            request_id: None,
        }
    }

    /// The same, with the name of the failed check.
    #[must_use]
    pub fn check(mut self, check: impl Into<String>) -> Self {
        self.check = Some(check.into());
        self
    }

    /// The same, with a next step.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.title)?;
        if !self.detail.is_empty() {
            write!(f, ": {}", self.detail)?;
        }
        if let Some(check) = &self.check {
            write!(f, " [{check}]")?;
        }
        Ok(())
    }
}

impl std::error::Error for Problem {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_members_are_those_of_the_rfc() {
        let problem = Problem::new(400, "Evidence refused", "debug is allowed")
            .check("snp.policy.debug")
            .hint("start the Keep without debug");
        let json = serde_json::to_string(&problem).unwrap();
        assert_eq!(
            json,
            r#"{"type":"about:blank","title":"Evidence refused","status":400,"detail":"debug is allowed","check":"snp.policy.debug","hint":"start the Keep without debug"}"#
        );
        assert_eq!(serde_json::from_str::<Problem>(&json).unwrap(), problem);
    }
}
