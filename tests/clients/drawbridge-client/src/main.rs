// SPDX-License-Identifier: Apache-2.0

//! A round trip by the original's published client: `published-client URL CA-DER TOKEN-FILE DIRECTORY VERSION`.
//!
//! Registers the user and the repository `ann/old`, publishes the directory, reads everything back, and publishes it once
//! more. Prints the tags and the root's digest as JSON. Any surprise is an error.

#![forbid(unsafe_code)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use drawbridge_client::types::{RepositoryConfig, TagEntry, TreeEntry, UserRecord};
use drawbridge_client::{Client, Url};
use rustls::RootCertStore;
use rustls_pki_types::CertificateDer;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [url, ca, token, directory, version] = arguments.try_into().ok().context("five arguments")?;
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from(std::fs::read(ca)?))?;
    let client: Client = Client::builder(url.parse::<Url>()?)
        .roots(roots)
        .token(std::fs::read_to_string(token)?)
        .build()?;

    let user = client.user(&"ann".parse()?);
    let record = UserRecord { subject: "ann".into() };
    let _new = user.create(&record)?;
    ensure!(user.get()? == record, "the user's record is another one");

    let repository = user.repository(&"old".parse()?);
    let config = RepositoryConfig { public: false };
    ensure!(repository.create(&config)?, "the repository was there");
    ensure!(!repository.create(&config)?, "the repository was made twice");
    ensure!(repository.get()? == config, "the repository's record is another one");
    ensure!(repository.tags()?.is_empty(), "there are tags");

    let tag = repository.tag(&version.parse()?);
    let (new, nodes) = tag.create_from_path_unsigned(&directory)?;
    ensure!(new && nodes.values().all(|new| *new), "something was there: {nodes:?}");
    let (new, nodes) = tag.create_from_path_unsigned(&directory)?;
    ensure!(!new && nodes.values().all(|new| !new), "something was made twice: {nodes:?}");

    let TagEntry::Unsigned(TreeEntry { meta, .. }) = tag.get()? else {
        anyhow::bail!("the tag is signed");
    };
    let mut files = BTreeMap::new();
    read(Path::new(&directory), Path::new(""), &mut files)?;
    for (path, bytes) in &files {
        let name = path.to_str().context("a path")?.parse()?;
        let (meta, found) = tag.path(&name).get_bytes(u64::MAX)?;
        ensure!(found == *bytes && meta.size == bytes.len() as u64, "{name} is another file");
    }
    let tags: Vec<String> = repository.tags()?.iter().map(ToString::to_string).collect();
    println!("{{\"tags\":{tags:?},\"files\":{},\"root\":\"{}\"}}", files.len(), meta.hash);
    Ok(())
}

fn read(base: &Path, below: &Path, files: &mut BTreeMap<PathBuf, Vec<u8>>) -> Result<()> {
    for entry in std::fs::read_dir(base.join(below))? {
        let entry = entry?;
        let path = below.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            read(base, &path, files)?;
        } else {
            files.insert(path.clone(), std::fs::read(base.join(path))?);
        }
    }
    Ok(())
}
