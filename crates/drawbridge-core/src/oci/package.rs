// SPDX-License-Identifier: Apache-2.0

//! Packages as manifests, and manifests as packages.

use std::collections::BTreeMap;

use serde::Serialize;
use types::limits;

use super::{
    DIGEST, DOCKER_IMAGE, Descriptor, EMPTY, IMAGE, Manifest, ManifestError, PACKAGE, TITLE,
    UNPACK, WASM_CONFIG,
};
use crate::{ContentDigest, Entry, MAIN_MODULE, media, parse_path};

/// The first bytes of a component (WebAssembly component model, binary format).
const COMPONENT: [u8; 8] = *b"\0asm\x0d\0\x01\0";

/// What a manifest is, for somebody who wants to run it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Shape<'a> {
    /// One module without anything else.
    Module(&'a Descriptor),
    /// Files by their paths, `main.wasm` among them.
    Files(Vec<(&'a str, &'a Descriptor)>),
    /// No package; why.
    Other(&'static str),
}

/// What a manifest is: files if each layer has a title that is a path and one of them is `main.wasm`; a bare module if there is
/// one layer only, of type `application/wasm`.
pub fn shape(manifest: &Manifest) -> Shape<'_> {
    if ![IMAGE, DOCKER_IMAGE].contains(&manifest.media_type.as_str()) {
        return Shape::Other("an index is no package");
    }
    let titled = |layer: &Descriptor| layer.annotation(TITLE) == Some(MAIN_MODULE);
    if !manifest.layers.iter().any(titled) {
        return match &manifest.layers[..] {
            [layer] if layer.media_type == media::WASM => Shape::Module(layer),
            _ => Shape::Other("no layer has the title main.wasm"),
        };
    }
    let mut files = Vec::with_capacity(manifest.layers.len());
    for layer in &manifest.layers {
        let Some(title) = layer.annotation(TITLE) else {
            return Shape::Other("a layer has no title, which is a file's path in a package");
        };
        if layer.annotation(UNPACK) == Some("true") {
            return Shape::Other("a layer is a packed directory; push its files one by one");
        }
        if title.is_empty() || parse_path(title).is_err() {
            return Shape::Other("a layer's title is no path that a package may have");
        }
        files.push((title, layer));
    }
    Shape::Files(files)
}

/// A package for clients of OCI: two documents. The same package gives the same bytes, in any registry at any time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packed {
    /// The manifest, of type [`IMAGE`].
    pub manifest: Vec<u8>,
    /// The configuration that it names.
    pub config: Vec<u8>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Config<'a> {
    created: &'static str,
    architecture: &'static str,
    os: &'static str,
    layer_digests: Vec<&'a str>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Image<'a> {
    schema_version: u8,
    media_type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    artifact_type: Option<&'static str>,
    config: Descriptor,
    layers: &'a [Descriptor],
    annotations: BTreeMap<&'static str, String>,
}

/// The manifest of a tree: its root's entry, its files by their paths in the order of the bytes of these, and how its module
/// begins.
///
/// # Errors
/// [`ManifestError::TooLarge`].
pub fn of_tree(
    root: &Entry,
    files: &[(String, Entry)],
    module: Option<&[u8]>,
) -> Result<Packed, ManifestError> {
    let layer = |entry: &Entry, title: Option<&str>| Descriptor {
        media_type: entry.media_type.clone(),
        digest: entry.digest.sha256().to_string(),
        size: entry.length,
        artifact_type: None,
        annotations: title.map(|title| BTreeMap::from([(TITLE.to_owned(), title.to_owned())])),
    };
    let layers: Vec<Descriptor> = if root.is_directory() {
        files.iter().map(|(path, entry)| layer(entry, Some(path))).collect()
    } else {
        vec![layer(root, None)]
    };
    let config = match module {
        // The time is the same for all, or the bytes would not be.
        Some(start) => serde_json::to_vec(&Config {
            created: "1970-01-01T00:00:00Z",
            architecture: "wasm",
            os: if start.starts_with(&COMPONENT) { "wasip2" } else { "wasip1" },
            layer_digests: layers.iter().map(|layer| layer.digest.as_str()).collect(),
        })
        // Texts always serialise.
        .unwrap_or_default(),
        None => b"{}".to_vec(),
    };
    let image = Image {
        schema_version: 2,
        media_type: IMAGE,
        artifact_type: module.is_none().then_some(PACKAGE),
        config: Descriptor {
            media_type: if module.is_some() { WASM_CONFIG } else { EMPTY }.to_owned(),
            digest: ContentDigest::of(&config).sha256().to_string(),
            size: config.len() as u64,
            artifact_type: None,
            annotations: None,
        },
        layers: &layers,
        annotations: BTreeMap::from([(DIGEST, root.digest.sha256().to_string())]),
    };
    let manifest = serde_json::to_vec(&image).unwrap_or_default();
    if manifest.len() > limits::OCI_MANIFEST_BYTES_MAX {
        return Err(ManifestError::TooLarge);
    }
    Ok(Packed { manifest, config })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Tree;

    const CORE: &[u8] = b"\0asm\x01\0\0\0";

    fn files_of(tree: &Tree) -> Vec<(String, Entry)> {
        let files = tree.nodes().filter(|(_, node)| !node.entry.is_directory());
        files.map(|(path, node)| (path.to_owned(), node.entry.clone())).collect()
    }

    fn tree() -> Tree {
        let file = |path: &str, bytes: &[u8]| (path.to_owned(), bytes.to_vec());
        Tree::from_files(vec![
            file("main.wasm", CORE),
            file("Enarx.toml", b""),
            file("static/a.html", b"<p>"),
        ])
        .unwrap()
    }

    fn packed(tree: &Tree, module: Option<&[u8]>) -> Manifest {
        let packed = of_tree(&tree.root().entry, &files_of(tree), module).unwrap();
        Manifest::parse(IMAGE, &packed.manifest).unwrap()
    }

    #[test]
    fn a_package_survives_the_way_there_and_back() {
        let tree = tree();
        let manifest = packed(&tree, Some(CORE));
        assert_eq!(manifest.annotations[DIGEST], tree.digest().to_string());
        let Shape::Files(files) = shape(&manifest) else { panic!("no files") };
        let back = files.iter().map(|(path, layer)| {
            let entry = tree.nodes().find(|(p, _)| p == path).unwrap().1.entry.clone();
            assert_eq!(layer.digest, entry.digest.sha256().to_string());
            assert_eq!((layer.size, &layer.media_type), (entry.length, &entry.media_type));
            ((*path).to_owned(), entry)
        });
        let directories = crate::directories(back.collect()).unwrap();
        assert_eq!(directories[""].entry, tree.root().entry);
    }

    #[test]
    fn the_bytes_are_known() {
        let module = Tree::from_module(CORE.to_vec()).unwrap();
        let packed = of_tree(&module.root().entry, &[], Some(CORE)).unwrap();
        assert_eq!(
            String::from_utf8(packed.config).unwrap(),
            r#"{"created":"1970-01-01T00:00:00Z","architecture":"wasm","os":"wasip1","layerDigests":["sha256:93a44bbb96c751218e4c00d479e4c14358122a389acca16205b1e4d0dc5f9476"]}"#
        );
        let text = String::from_utf8(packed.manifest).unwrap();
        assert!(text.starts_with(r#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{"mediaType":"application/vnd.wasm.config.v0+json","digest":"sha256:"#), "{text}");
        assert!(text.ends_with(r#""layers":[{"mediaType":"application/wasm","digest":"sha256:93a44bbb96c751218e4c00d479e4c14358122a389acca16205b1e4d0dc5f9476","size":8}],"annotations":{"dev.enarx.package.digest":"sha256:93a44bbb96c751218e4c00d479e4c14358122a389acca16205b1e4d0dc5f9476"}}"#), "{text}");
    }

    #[test]
    fn modules_and_components() {
        let module = Tree::from_module(CORE.to_vec()).unwrap();
        let manifest = packed(&module, Some(CORE));
        assert!(matches!(shape(&manifest), Shape::Module(_)));
        let config = |start: &[u8]| {
            let packed = of_tree(&module.root().entry, &[], Some(start)).unwrap();
            String::from_utf8(packed.config).unwrap()
        };
        assert!(config(&COMPONENT).contains(r#""os":"wasip2""#));
        assert!(config(b"").contains(r#""os":"wasip1""#));
        let bare = packed(&module, None);
        assert_eq!(bare.kind(), Some(PACKAGE));
        assert_eq!(bare.config.unwrap().media_type, EMPTY);
    }

    #[test]
    fn what_is_no_package() {
        let good = packed(&tree(), Some(CORE));
        let annotate = |manifest: &mut Manifest, at: usize, name: &str, value: &str| {
            let annotations = manifest.layers[at].annotations.get_or_insert_default();
            annotations.insert(name.to_owned(), value.to_owned());
        };
        assert!(matches!(shape(&good), Shape::Files(files) if files.len() == 3));
        for (at, name, value) in [
            (0, TITLE, ""),
            (0, TITLE, "../x"),
            (0, TITLE, "/x"),
            (0, TITLE, "a b"),
            (1, TITLE, "other.wasm"),
            (0, UNPACK, "true"),
        ] {
            let mut bad = good.clone();
            annotate(&mut bad, at, name, value);
            assert!(matches!(shape(&bad), Shape::Other(_)), "{name} {value}");
        }
        let mut untitled = good.clone();
        untitled.layers[0].annotations = None;
        assert!(matches!(shape(&untitled), Shape::Other(_)));
        let index = Manifest { media_type: super::super::INDEX.to_owned(), ..good };
        assert!(matches!(shape(&index), Shape::Other(_)));
    }
}
