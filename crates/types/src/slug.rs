// SPDX-License-Identifier: Apache-2.0

//! Slugs: the names of workloads in a registry.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::digest::Sha256;
use crate::limits;

/// `host[:port]/user/repo:tag[@sha256:…]`, the name of a workload (docs/FORMATS.md 1.1).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slug {
    /// Host of the registry, lower case, with its port where it has one.
    pub host: String,
    /// User or organisation.
    pub user: String,
    /// Repository.
    pub repo: String,
    /// Tag.
    pub tag: semver::Version,
    /// The digest that the tag must stand for, if the name pins it.
    pub digest: Option<Sha256>,
}

/// Text that is no slug, with the part that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseSlugError(pub &'static str);

impl fmt::Display for ParseSlugError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}; a workload is named host/user/repo:tag, for example store.example.com/team/app:1.2.0, optionally with @sha256:…",
            self.0
        )
    }
}

impl std::error::Error for ParseSlugError {}

impl Slug {
    /// `repo:tag`.
    pub fn name(&self) -> String {
        format!("{}:{}", self.repo, self.tag)
    }

    /// `https://host/user/repo:tag`, without the digest.
    pub fn uri(&self) -> String {
        format!("https://{}/{}/{}:{}", self.host, self.user, self.repo, self.tag)
    }

    /// Reads what [`Self::uri`] writes.
    ///
    /// # Errors
    /// Another scheme, or what [`Self::from_str`] refuses.
    pub fn from_uri(uri: &str) -> Result<Self, ParseSlugError> {
        let slug: Self = uri
            .strip_prefix("https://")
            .ok_or(ParseSlugError("the scheme is not https"))?
            .parse()?;
        if slug.digest.is_some() {
            return Err(ParseSlugError("a workload's URI carries no digest"));
        }
        Ok(slug)
    }

    /// The same name without its digest.
    #[must_use]
    pub fn without_digest(mut self) -> Self {
        self.digest = None;
        self
    }
}

/// Whether `host` is a DNS name or an IP address, in the one spelling we take, with or without a port.
pub fn valid_host(host: &str) -> bool {
    let (name, port) = match host.strip_prefix('[') {
        Some(rest) => match rest.split_once(']') {
            Some((ip, tail)) if ip.parse::<Ipv6Addr>().is_ok() => {
                (None, tail.strip_prefix(':').or(if tail.is_empty() { None } else { Some("") }))
            }
            _ => return false,
        },
        None => match host.split_once(':') {
            Some((name, port)) => (Some(name), Some(port)),
            None => (Some(host), None),
        },
    };
    let port_ok = port.is_none_or(|p| {
        !p.starts_with('0') && p.bytes().all(|b| b.is_ascii_digit()) && p.parse::<u16>().is_ok()
    });
    port_ok && name.is_none_or(valid_name)
}

fn valid_name(name: &str) -> bool {
    if name.parse::<Ipv4Addr>().is_ok() {
        return true;
    }
    let label = |l: &str| {
        (1..=63).contains(&l.len())
            && !l.starts_with('-')
            && !l.ends_with('-')
            && l.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
    };
    // A name whose last label is a number would be read as an address by others.
    (1..=253).contains(&name.len())
        && name.split('.').all(label)
        && !name.split('.').next_back().is_some_and(|l| l.bytes().all(|b| b.is_ascii_digit()))
}

/// Whether `user` is a registry's user name: `[0-9A-Za-z]{1,64}`.
pub fn valid_user(user: &str) -> bool {
    (1..=limits::NAME_BYTES_MAX).contains(&user.len())
        && user.bytes().all(|b| b.is_ascii_alphanumeric())
}

/// Whether `repo` is a repository's name: `[0-9A-Za-z-]{1,64}`.
pub fn valid_repo(repo: &str) -> bool {
    (1..=limits::NAME_BYTES_MAX).contains(&repo.len())
        && repo.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
}

/// Reads a tag: a semantic version of at most 128 bytes.
pub fn parse_tag(tag: &str) -> Option<semver::Version> {
    if tag.len() > limits::TAG_BYTES_MAX { None } else { semver::Version::parse(tag).ok() }
}

impl fmt::Display for Slug {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}:{}", self.host, self.user, self.repo, self.tag)?;
        if let Some(digest) = &self.digest {
            write!(f, "@{digest}")?;
        }
        Ok(())
    }
}

impl FromStr for Slug {
    type Err = ParseSlugError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.len() > limits::SLUG_BYTES_MAX {
            return Err(ParseSlugError("the name is longer than 512 bytes"));
        }
        let (name, digest) = match text.split_once('@') {
            Some((name, digest)) => {
                let digest = digest
                    .parse()
                    .map_err(|_| ParseSlugError("after the @ stands no sha256:<64 hex digits>"))?;
                (name, Some(digest))
            }
            None => (text, None),
        };
        let mut parts = name.splitn(3, '/');
        let (Some(host), Some(user), Some(rest)) = (parts.next(), parts.next(), parts.next())
        else {
            return Err(ParseSlugError("the name has not the three parts host, user and repo:tag"));
        };
        let (repo, tag) = rest.split_once(':').ok_or(ParseSlugError("the tag is missing"))?;
        if !valid_host(host) {
            return Err(ParseSlugError("the host is no DNS name or address in lower case"));
        }
        if !valid_user(user) {
            return Err(ParseSlugError("the user may have only letters and digits, at most 64"));
        }
        if !valid_repo(repo) {
            return Err(ParseSlugError(
                "the repository may have only letters, digits and -, at most 64",
            ));
        }
        let tag =
            parse_tag(tag).ok_or(ParseSlugError("the tag is no semantic version such as 1.2.0"))?;
        Ok(Self {
            host: host.to_owned(),
            user: user.to_owned(),
            repo: repo.to_owned(),
            tag,
            digest,
        })
    }
}

impl Serialize for Slug {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Slug {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trips() {
        let digest = Sha256::of(b"");
        for text in [
            "store.example.com/team/app:1.2.0".to_owned(),
            "127.0.0.1:8443/Team1/my-app:0.1.0-rc.1+b5".to_owned(),
            "[::1]:8443/a/b:0.0.1".to_owned(),
            "[::1]/a/b:0.0.1".to_owned(),
            format!("localhost/a/b:1.0.0@{digest}"),
        ] {
            let slug: Slug = text.parse().unwrap();
            assert_eq!(slug.to_string(), text);
            let bare = slug.without_digest();
            assert_eq!(Slug::from_uri(&bare.uri()), Ok(bare));
        }
    }

    #[test]
    fn refuses_what_is_no_name() {
        for text in [
            "",
            "app:1.0.0",
            "team/app:1.0.0",
            "h/team/app",
            "h/team/app:1",
            "h/team/app:latest",
            "h/te am/app:1.0.0",
            "h/team/a/b:1.0.0",
            "H.com/t/a:1.0.0",
            "h..com/t/a:1.0.0",
            "-h/t/a:1.0.0",
            "1.2.3.999/t/a:1.0.0",
            "h:0/t/a:1.0.0",
            "h:080/t/a:1.0.0",
            "h:70000/t/a:1.0.0",
            "[::1/t/a:1.0.0",
            "[::1]x/t/a:1.0.0",
            "[::1]:/t/a:1.0.0",
            "h:/t/a:1.0.0",
            "h/t/a:1.0.0@sha256:12",
            "h/t/a:1.0.0@",
            "h/t/a_b:1.0.0",
            "h/t/../a:1.0.0",
        ] {
            assert!(text.parse::<Slug>().is_err(), "{text}");
        }
        let long = format!("h/t/a:1.0.0-{}", "x".repeat(limits::TAG_BYTES_MAX));
        assert!(long.parse::<Slug>().is_err());
        assert!(Slug::from_uri("http://h/t/a:1.0.0").is_err());
    }
}
