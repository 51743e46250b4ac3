// SPDX-License-Identifier: Apache-2.0

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::route::Route;

const SNAPSHOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/openapi.json");

/// A path with something for each name in it.
fn example(path: &str) -> String {
    let part = |part: &str| match part {
        "{owner}" => "ann".to_owned(),
        "{repo}" => "app".to_owned(),
        "{tag}" => "1.0.0".to_owned(),
        "{id}" => "0".repeat(16),
        "{version}" => "1".to_owned(),
        "{path}" => "main".to_owned(),
        other => other.to_owned(),
    };
    path.split('/').map(part).collect::<Vec<_>>().join("/")
}

#[test]
fn every_route_is_in_the_document_with_its_methods_and_nothing_else() {
    let mut methods: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (path, item) in DOCUMENT["paths"].as_object().unwrap() {
        let of = item.as_object().unwrap().keys().filter(|key| *key != "parameters");
        methods.insert(path.clone(), of.map(|method| method.to_uppercase()).collect());
    }
    let mut templates = BTreeSet::new();
    for (path, methods) in &methods {
        let route = Route::parse(&example(path)).unwrap_or_else(|e| panic!("{path}: {e:?}"));
        templates.insert(route.template());
        let taken: BTreeSet<String> = route.methods().split(", ").map(str::to_owned).collect();
        assert_eq!(methods, &taken, "{path}");
    }
    // The routes as they are written, so that a new one cannot be forgotten.
    let source = include_str!("../route.rs");
    let source = source.split("fn template").nth(1).unwrap().split("fn methods").next().unwrap();
    let routes: BTreeSet<&str> =
        source.lines().filter_map(|line| line.split_once("=> \"")?.1.split('"').next()).collect();
    assert!(routes.len() > 20, "{routes:?}");
    assert_eq!(templates, routes);
}

#[test]
fn all_that_is_referred_to_is_there() {
    let text = text();
    for reference in text.split("\"#/").skip(1).map(|rest| rest.split('"').next().unwrap()) {
        assert!(DOCUMENT.pointer(&format!("/{reference}")).is_some(), "{reference}");
    }
    let ids: Vec<&str> = OPERATIONS.iter().map(|operation| operation.id).collect();
    assert_eq!(ids.len(), ids.iter().collect::<BTreeSet<_>>().len());
}

#[test]
fn the_snapshot_is_this_document() {
    if std::env::var_os("BLESS").is_some() {
        chassis::durable::write(std::path::Path::new(SNAPSHOT), text().as_bytes(), 0o644).unwrap();
        return;
    }
    let snapshot = std::fs::read_to_string(SNAPSHOT).unwrap();
    assert!(snapshot == text(), "docs/openapi.json is of another time: run this test with BLESS=1");
}
