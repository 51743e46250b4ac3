// SPDX-License-Identifier: Apache-2.0

//! Queries of the Drawbridge API: what is asked of a list.

use super::refusal::Refusal;

/// The parameters of a request, as they were written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Query(Vec<(String, String)>);

/// Reads the query of a request.
pub(crate) fn read(query: Option<&str>) -> Query {
    let pair = |pair: &str| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        (name.to_owned(), value.to_owned())
    };
    Query(query.unwrap_or_default().split('&').map(pair).collect())
}

impl Query {
    /// Whether a parameter is `true`; without it, it is not.
    pub(crate) fn is_set(&self, name: &str) -> Result<bool, Refusal> {
        let mut values = self.0.iter().filter(|(n, _)| n == name).map(|(_, value)| value.as_str());
        match (values.next(), values.next()) {
            (None | Some("false"), None) => Ok(false),
            (Some("true"), None) => Ok(true),
            _ => {
                let detail = format!("the parameter {name} is true or false");
                Err(Refusal::bad(detail, "query"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn switches_are_true_or_false() {
        let set = |text| read(text).is_set("yanked").map_err(|refusal| refusal.status());
        for off in [None, Some(""), Some("x=y"), Some("yanked=false")] {
            assert_eq!(set(off), Ok(false), "{off:?}");
        }
        assert_eq!(set(Some("x&yanked=true")), Ok(true));
        for bad in ["yanked", "yanked=1", "yanked=true&yanked=true"] {
            assert_eq!(set(Some(bad)), Err(400), "{bad}");
        }
    }
}
