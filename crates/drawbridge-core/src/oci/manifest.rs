// SPDX-License-Identifier: Apache-2.0

//! Manifests and indexes, read with bounds.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use types::limits;

use super::{DOCKER_IMAGE, DOCKER_LIST, IMAGE, INDEX, TITLE, UNPACK};

/// Something that a manifest names. Members that mean nothing to a registry are skipped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    /// Media type of the content.
    pub media_type: String,
    /// Digest of the content, as `sha256:<hex>`.
    pub digest: String,
    /// Length of the content in bytes.
    pub size: u64,
    /// What kind of artifact the content is, if it is a manifest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
    /// What else is said of it; of what a manifest names, only what means something to a registry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub annotations: Option<BTreeMap<String, String>>,
}

impl Descriptor {
    /// An annotation.
    pub fn annotation(&self, name: &str) -> Option<&str> {
        self.annotations.as_ref()?.get(name).map(String::as_str)
    }
}

/// A manifest or an index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    /// Media type of the manifest itself.
    pub media_type: String,
    /// What kind of artifact it says it is.
    pub artifact_type: Option<String>,
    /// Its configuration; an index has none.
    pub config: Option<Descriptor>,
    /// Its layers.
    pub layers: Vec<Descriptor>,
    /// The manifests of an index.
    pub manifests: Vec<Descriptor>,
    /// The manifest that it says something about.
    pub subject: Option<Descriptor>,
    /// What else is said of it.
    pub annotations: BTreeMap<String, String>,
}

/// Why bytes are no manifest that a registry takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ManifestError {
    /// Larger than a manifest may be.
    TooLarge,
    /// Not of a media type that is known.
    Type(String),
    /// Not the JSON that it has to be.
    Json(String),
    /// A member is missing, too many, or not as it has to be.
    Member(&'static str),
}

impl fmt::Display for ManifestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLarge => f.write_str("a manifest is larger than 4 MiB"),
            Self::Type(found) => write!(
                f,
                "`{}` is no type of a manifest; OCI image manifests and indexes are taken, and Docker's of schema 2",
                found.escape_debug()
            ),
            Self::Json(error) => write!(f, "the manifest is not as specified: {error}"),
            Self::Member(what) => f.write_str(what),
        }
    }
}

impl std::error::Error for ManifestError {}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Wire {
    schema_version: u64,
    media_type: Option<String>,
    artifact_type: Option<String>,
    config: Option<Named>,
    layers: Option<Vec<Named>>,
    manifests: Option<Vec<Named>>,
    subject: Option<Named>,
    annotations: Option<Annotations>,
}

/// A descriptor as it comes. Of its annotations those are kept that mean something here: there may be hundreds of thousands,
/// and each takes many times its text in memory.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Named {
    media_type: String,
    digest: String,
    size: u64,
    artifact_type: Option<String>,
    annotations: Option<Meaning>,
}

impl From<Named> for Descriptor {
    fn from(named: Named) -> Self {
        let Named { media_type, digest, size, artifact_type, annotations } = named;
        let annotations = annotations.map(|Meaning(map)| map).filter(|map| !map.is_empty());
        Self { media_type, digest, size, artifact_type, annotations }
    }
}

struct Meaning(BTreeMap<String, String>);

/// At most [`limits::OCI_ANNOTATIONS_MAX`].
struct Annotations(BTreeMap<String, String>);

/// A text that nobody keeps.
struct Text;

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Skip;
        impl Visitor<'_> for Skip {
            type Value = Text;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_str<E>(self, _: &str) -> Result<Text, E> {
                Ok(Text)
            }
        }
        deserializer.deserialize_str(Skip)
    }
}

/// Reads annotations: those that `keep` wants, at most so many.
struct Keep {
    keep: fn(&str) -> bool,
    max: usize,
}

impl<'de> Visitor<'de> for Keep {
    type Value = BTreeMap<String, String>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of strings")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Self::Value, A::Error> {
        let mut map = BTreeMap::new();
        while let Some(name) = access.next_key::<String>()? {
            if !(self.keep)(&name) {
                access.next_value::<Text>()?;
                continue;
            }
            map.insert(name, access.next_value()?);
            if map.len() > self.max {
                return Err(serde::de::Error::custom("there are more than 1000 annotations"));
            }
        }
        Ok(map)
    }
}

impl<'de> Deserialize<'de> for Meaning {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let keep = Keep { keep: |name| [TITLE, UNPACK].contains(&name), max: usize::MAX };
        deserializer.deserialize_map(keep).map(Self)
    }
}

impl<'de> Deserialize<'de> for Annotations {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let keep = Keep { keep: |_| true, max: limits::OCI_ANNOTATIONS_MAX };
        deserializer.deserialize_map(keep).map(Self)
    }
}

/// Whether this is a digest as OCI writes it, of any algorithm.
fn valid_digest(digest: &str) -> bool {
    let Some((algorithm, value)) = digest.split_once(':') else {
        return false;
    };
    let hex = |length| {
        value.len() == length && value.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
    };
    match algorithm {
        "sha256" => hex(64),
        "sha384" => hex(96),
        "sha512" => hex(128),
        _ => false,
    }
}

/// RFC 6838 section 4.2, and parameters, which some write.
fn valid_type(media_type: &str) -> bool {
    (1..=limits::OCI_TYPE_BYTES_MAX).contains(&media_type.len())
        && media_type.contains('/')
        && media_type.bytes().all(|b| b.is_ascii_graphic() || b == b' ')
}

fn check(descriptor: &Descriptor) -> Result<(), ManifestError> {
    if !valid_digest(&descriptor.digest) {
        return Err(ManifestError::Member(
            "a digest is written sha256:<64 hex>, sha384:<96 hex> or sha512:<128 hex>",
        ));
    }
    if !valid_type(&descriptor.media_type) {
        return Err(ManifestError::Member("a media type is missing or none"));
    }
    // What clients in Go can read.
    if descriptor.size > i64::MAX as u64 {
        return Err(ManifestError::Member("a size is larger than 2^63"));
    }
    Ok(())
}

impl Manifest {
    /// Whether manifests of this type are lists of others.
    pub fn is_index(media_type: &str) -> bool {
        matches!(media_type, INDEX | DOCKER_LIST)
    }

    /// Reads a manifest that was said to be of this media type.
    ///
    /// # Errors
    /// See [`ManifestError`].
    pub fn parse(media_type: &str, bytes: &[u8]) -> Result<Self, ManifestError> {
        if bytes.len() > limits::OCI_MANIFEST_BYTES_MAX {
            return Err(ManifestError::TooLarge);
        }
        let index = match media_type {
            IMAGE | DOCKER_IMAGE => false,
            INDEX | DOCKER_LIST => true,
            other => return Err(ManifestError::Type(other.chars().take(100).collect())),
        };
        let wire: Wire =
            serde_json::from_slice(bytes).map_err(|e| ManifestError::Json(e.to_string()))?;
        let member = |what| Err(ManifestError::Member(what));
        if wire.schema_version != 2 {
            return member("schemaVersion is not 2");
        }
        if wire.media_type.as_deref().is_some_and(|inner| inner != media_type) {
            return member("mediaType is not the type that was announced");
        }
        // One text must not be two documents.
        let (layers, manifests) = match (index, wire.layers, wire.manifests) {
            (false, Some(layers), None) => (layers, Vec::new()),
            (true, None, Some(manifests)) => (Vec::new(), manifests),
            (false, ..) => return member("a manifest has layers, and an index only has manifests"),
            (true, ..) => return member("an index has manifests, and a manifest only has layers"),
        };
        if wire.config.is_none() != index {
            return member("a manifest has a config, and an index has none");
        }
        if layers.len().max(manifests.len()) > limits::OCI_DESCRIPTORS_MAX {
            return member("there are more than 4096 layers or manifests");
        }
        let all = |named: Vec<Named>| named.into_iter().map(Descriptor::from).collect::<Vec<_>>();
        let (layers, manifests) = (all(layers), all(manifests));
        let (config, subject) =
            (wire.config.map(Descriptor::from), wire.subject.map(Descriptor::from));
        for descriptor in config.iter().chain(&layers).chain(&manifests).chain(&subject) {
            check(descriptor)?;
        }
        let artifact_type = wire.artifact_type.filter(|kind| !kind.is_empty());
        if artifact_type.as_deref().is_some_and(|kind| !valid_type(kind)) {
            return member("artifactType is no media type");
        }
        let annotations = wire.annotations.map(|Annotations(map)| map).unwrap_or_default();
        let text = annotations.iter().fold(0, |sum, (k, v)| sum + k.len() + v.len());
        if subject.is_some() && text > limits::OCI_REFERRER_BYTES_MAX {
            return member("the annotations of a manifest with a subject are larger than 16 KiB");
        }
        Ok(Self {
            media_type: media_type.to_owned(),
            artifact_type,
            config,
            layers,
            manifests,
            subject,
            annotations,
        })
    }

    /// What kind of artifact it is, as lists of referrers say it.
    pub fn kind(&self) -> Option<&str> {
        let config = self.config.as_ref().map(|config| config.media_type.as_str());
        self.artifact_type.as_deref().or(config)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn good() -> Value {
        let digest = format!("sha256:{}", "0".repeat(64));
        json!({
            "schemaVersion": 2,
            "mediaType": IMAGE,
            "config": {"mediaType": "a/b", "digest": digest, "size": 2},
            "layers": [{"mediaType": "c/d", "digest": digest, "size": 3, "urls": ["x"],
                "annotations": {"k": "v", TITLE: "x"}}],
            "subject": {"mediaType": IMAGE, "digest": digest, "size": 4},
            "annotations": {"a": "b"},
        })
    }

    fn parse(kind: &str, value: &Value) -> Result<Manifest, ManifestError> {
        Manifest::parse(kind, value.to_string().as_bytes())
    }

    #[test]
    fn manifests_and_indexes() {
        let manifest = parse(IMAGE, &good()).unwrap();
        assert_eq!(manifest.layers[0].annotation(TITLE), Some("x"));
        assert_eq!(manifest.layers[0].annotation("k"), None);
        assert_eq!(manifest.kind(), Some("a/b"));
        assert_eq!(manifest.annotations["a"], "b");
        let mut index = good();
        let members = index.as_object_mut().unwrap();
        members.remove("config");
        members.remove("mediaType");
        let layers = members.remove("layers").unwrap();
        members.insert("manifests".into(), layers);
        members.insert("artifactType".into(), json!("x/y"));
        let index = parse(INDEX, &index).unwrap();
        assert_eq!((index.manifests.len(), index.kind()), (1, Some("x/y")));
    }

    #[test]
    fn what_is_none() {
        let many = Value::Array(vec![good()["config"].clone(); limits::OCI_DESCRIPTORS_MAX + 1]);
        let long = "x".repeat(limits::OCI_REFERRER_BYTES_MAX);
        for (pointer, value) in [
            ("/schemaVersion", json!(1)),
            ("/schemaVersion", json!("2")),
            ("/mediaType", json!(INDEX)),
            ("/config", json!(null)),
            ("/config", json!([])),
            ("/config/size", json!(-1)),
            ("/config/size", json!(1u64 << 63)),
            ("/config/mediaType", json!("")),
            ("/config/mediaType", json!("a/b\r\nc: d")),
            ("/config/digest", json!("sha256:0")),
            ("/config/digest", json!(format!("sha256:{}", "G".repeat(64)))),
            ("/config/digest", json!(format!("md5:{}", "0".repeat(32)))),
            ("/layers", json!(null)),
            ("/layers", many),
            ("/layers/0/digest", json!("../../x")),
            ("/subject/digest", json!("")),
            ("/annotations", json!({"a": 1})),
            ("/annotations", json!({"a": long})),
        ] {
            let mut bad = good();
            *bad.pointer_mut(pointer).unwrap() = value;
            assert!(parse(IMAGE, &bad).is_err(), "{pointer}");
        }
        assert!(parse(INDEX, &good()).is_err());
        assert!(matches!(parse("text/html", &good()), Err(ManifestError::Type(_))));
        let mut both = good();
        both["manifests"] = json!([]);
        assert!(parse(IMAGE, &both).is_err());
        let large = vec![b' '; limits::OCI_MANIFEST_BYTES_MAX + 1];
        assert_eq!(Manifest::parse(IMAGE, &large), Err(ManifestError::TooLarge));
        let deep = format!("{{\"x\":{}", "[".repeat(1_000_000));
        assert!(Manifest::parse(IMAGE, deep.as_bytes()).is_err());
    }
}
