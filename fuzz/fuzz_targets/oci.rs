// SPDX-License-Identifier: Apache-2.0
#![no_main]

use drawbridge_core::oci::{IMAGE, INDEX, Manifest, Shape, of_tree, shape};
use drawbridge_core::{Entry, directories, media};
use libfuzzer_sys::fuzz_target;

// A manifest that names files makes a tree, or a reason; the tree's own manifest names the same files.
fuzz_target!(|bytes: &[u8]| {
    let _ = Manifest::parse(INDEX, bytes);
    let Ok(manifest) = Manifest::parse(IMAGE, bytes) else { return };
    let Shape::Files(files) = shape(&manifest) else { return };
    let entry = |path: &str, digest: &str| Entry::of(digest.as_bytes(), media::of_file(path));
    let mut entries: Vec<(String, Entry)> =
        files.iter().map(|(path, l)| ((*path).to_owned(), entry(path, &l.digest))).collect();
    entries.sort_by(|(a, _), (b, _)| a.cmp(b));
    let Ok(nodes) = directories(entries.clone()) else { return };
    let packed = of_tree(&nodes[""].entry, &entries, Some(b"")).expect("it is not larger");
    let again = Manifest::parse(IMAGE, &packed.manifest).expect("we read what we write");
    let Shape::Files(again) = shape(&again) else { panic!("the files are gone") };
    assert_eq!(again.len(), entries.len());
    assert!(again.iter().zip(&entries).all(|((a, _), (b, _))| a == b));
});
