// SPDX-License-Identifier: Apache-2.0

//! Lists page by page, for both protocols: what the client asks for, a page of it, the link to the next one.

use types::limits;

use super::refusal::Refusal;
use crate::query::{Query, encode};

/// The part of a list that somebody asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Paging {
    /// Most items; as many as there are if nothing is said.
    pub(crate) limit: Option<usize>,
    /// The item before the first one.
    pub(crate) after: Option<String>,
}

/// A page of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Page<T> {
    pub(crate) items: Vec<T>,
    /// What the next page is after, if there is one.
    pub(crate) next: Option<String>,
}

impl Paging {
    /// Reads `limit` and `after`.
    pub(super) fn read(query: &Query) -> Result<Self, Refusal> {
        let limit = match query.get("limit") {
            None => None,
            Some(text) => match text.parse() {
                Ok(limit) if (1..=limits::LIST_PAGE_MAX).contains(&limit) => Some(limit),
                _ => {
                    let what = format!(
                        "the parameter limit is no number from 1 to {}",
                        limits::LIST_PAGE_MAX
                    );
                    return Err(Refusal::bad(what, "query.limit"));
                }
            },
        };
        Ok(Self { limit, after: query.get("after").map(str::to_owned) })
    }

    /// Whether it is about a page at all.
    pub(super) const fn asked(&self) -> bool {
        self.limit.is_some() || self.after.is_some()
    }
}

impl<T> Page<T> {
    /// The first `limit` of all that there is from here on.
    pub(crate) fn of(
        mut items: impl Iterator<Item = T>,
        limit: usize,
        name: impl Fn(&T) -> String,
    ) -> Self {
        let page: Vec<T> = items.by_ref().take(limit).collect();
        let more = items.next().is_some();
        let next = page.last().filter(|_| more).map(name);
        Self { items: page, next }
    }
}

/// Whether a parameter is `true`; without it, it is not.
pub(super) fn switch(query: &Query, name: &str) -> Result<bool, Refusal> {
    let mut values = query.values(name);
    match (values.next(), values.next()) {
        (None | Some("false"), None) => Ok(false),
        (Some("true"), None) => Ok(true),
        _ => Err(Refusal::bad(format!("the parameter {name} is true or false"), "query")),
    }
}

/// The value of the header `Link` for the next page (RFC 8288), as OCI distribution has it.
pub(crate) fn next_link(path: &str, parameters: &[(&str, &str)]) -> String {
    let pairs = parameters.iter().map(|(name, value)| format!("{name}={}", encode(value)));
    format!("<{path}?{}>; rel=\"next\"", pairs.collect::<Vec<_>>().join("&"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for() {
        let read = |query: &str| Paging::read(&Query::parse(Some(query)));
        assert_eq!(read("").unwrap(), Paging::default());
        assert!(!read("n=1").unwrap().asked());
        let both = read("limit=1000&after=a%2Bb").unwrap();
        assert_eq!(both, Paging { limit: Some(1000), after: Some("a+b".into()) });
        assert!(both.asked());
        for bad in ["limit=0", "limit=1001", "limit=", "limit=-1", "limit=1.0", "limit=x"] {
            assert_eq!(read(bad).unwrap_err().status(), 400, "{bad}");
        }
    }

    #[test]
    fn switches_are_true_or_false() {
        let set = |text| switch(&Query::parse(text), "yanked").map_err(|refusal| refusal.status());
        for off in [None, Some(""), Some("x=y"), Some("yanked=false")] {
            assert_eq!(set(off), Ok(false), "{off:?}");
        }
        assert_eq!(set(Some("x&yanked=true")), Ok(true));
        for bad in ["yanked", "yanked=1", "yanked=true&yanked=true"] {
            assert_eq!(set(Some(bad)), Err(400), "{bad}");
        }
    }

    #[test]
    fn pages_end_where_the_list_ends() {
        let page = |limit| Page::of(1..=3, limit, ToString::to_string);
        assert_eq!(page(2), Page { items: vec![1, 2], next: Some("2".into()) });
        assert_eq!(page(3), Page { items: vec![1, 2, 3], next: None });
        assert_eq!(page(0), Page { items: vec![], next: None });
    }

    #[test]
    fn links_are_encoded() {
        let link = next_link("/a", &[("limit", "2"), ("after", "1.0.0+b>&x")]);
        assert_eq!(link, "</a?limit=2&after=1.0.0%2Bb%3E%26x>; rel=\"next\"");
    }
}
