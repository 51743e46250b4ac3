// SPDX-License-Identifier: Apache-2.0

//! The Drawbridge API as an OpenAPI document (3.1): what `/api/openapi.json` answers and `docs/openapi.json` keeps.
//!
//! It is made of one table, [`table::OPERATIONS`], which a test holds against the routes: a new route without a row fails.

mod table;

use std::sync::LazyLock;

use drawbridge_core::API_VERSION;
use serde_json::{Map, Value, json};
use table::{Body, OPERATIONS, Operation};

/// Schemas of documents, by name.
const SCHEMAS: &str = include_str!("schemas.json");

/// The document. Members of objects are sorted.
static DOCUMENT: LazyLock<Value> = LazyLock::new(document);

/// The document as text, with line breaks.
pub(crate) fn text() -> String {
    serde_json::to_string_pretty(&*DOCUMENT).unwrap_or_default() + "\n"
}

fn document() -> Value {
    let mut paths = Map::new();
    for operation in OPERATIONS {
        let path = paths.entry(operation.path()).or_insert_with(|| {
            let names = operation
                .names()
                .map(|name| json!({"$ref": format!("#/components/parameters/{name}")}));
            let names: Vec<Value> = names.collect();
            if names.is_empty() { json!({}) } else { json!({ "parameters": names }) }
        });
        path[operation.method] = described(operation);
        if operation.method == "get" {
            // The same without content.
            path["head"] =
                described(&Operation { id: "", answers: &[(200, Body::None)], ..*operation });
            path["head"]["operationId"] = json!(format!("{}Head", operation.id));
        }
    }
    let schemas: Value = serde_json::from_str(SCHEMAS).unwrap_or_default();
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Drawbridge",
            "version": API_VERSION.to_string(),
            "description": "A registry of workloads for Keeps. docs/FORMATS.md section 2 is normative; the same packages are at /v2/ by OCI distribution 1.1, which has its own specification.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "parameters": parameters(),
            "responses": refusals(),
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer", "description": "Of the people's issuer, of the registry's own, or of an issuer that owners trust."},
            },
        },
    })
}

fn described(operation: &Operation) -> Value {
    let mut responses = Map::new();
    for (status, body) in operation.answers {
        responses.insert(status.to_string(), answer(*status, body));
    }
    if operation.id.is_empty() {
        let refused = "Refused as GET is, without content.";
        responses.insert("default".to_owned(), json!({ "description": refused }));
    } else {
        for (status, _) in operation.refusals() {
            let reference = format!("#/components/responses/{status}");
            responses.insert(status.to_string(), json!({ "$ref": reference }));
        }
    }
    let mut described = json!({
        "operationId": operation.id,
        "summary": operation.summary,
        "responses": responses,
    });
    if operation.credentials {
        // What is public is for everybody; what else there is wants a token.
        described["security"] = json!([{"token": []}, {}]);
    }
    let parameters: Vec<Value> = operation
        .parameters
        .iter()
        .map(|name| json!({"$ref": format!("#/components/parameters/{name}")}))
        .collect();
    if !parameters.is_empty() {
        described["parameters"] = json!(parameters);
    }
    if !operation.bodies.is_empty() {
        let content: Map<String, Value> = operation.bodies.iter().filter_map(content).collect();
        described["requestBody"] = json!({"required": true, "content": content});
    }
    described
}

fn content(body: &Body) -> Option<(String, Value)> {
    match body {
        Body::None => None,
        Body::Of(media_type, schema) => {
            let schema = json!({"$ref": format!("#/components/schemas/{schema}")});
            Some(((*media_type).to_owned(), json!({ "schema": schema })))
        }
        Body::Bytes(media_type) => Some(((*media_type).to_owned(), json!({}))),
    }
}

fn answer(status: u16, body: &Body) -> Value {
    let what = match status {
        200 => "It is there.",
        201 => "It is new.",
        204 => "It is gone.",
        _ => "",
    };
    match content(body) {
        Some((media_type, content)) => {
            json!({"description": what, "content": {media_type: content}})
        }
        None => json!({"description": what}),
    }
}

/// How requests are refused, by status.
fn refusals() -> Value {
    let refusals = OPERATIONS.iter().flat_map(Operation::refusals).map(|(status, what)| {
        let schema = json!({"schema": {"$ref": "#/components/schemas/Problem"}});
        let content = json!({ "application/problem+json": schema });
        (status.to_string(), json!({"description": what, "content": content}))
    });
    Value::Object(refusals.collect())
}

fn parameters() -> Value {
    let path = |name: &str, pattern: &str, example: &str, what: &str| {
        json!({
            "name": name, "in": "path", "required": true, "description": what, "example": example,
            "schema": {"type": "string", "pattern": pattern},
        })
    };
    let query = |name: &str, schema: Value, what: &str| json!({"name": name, "in": "query", "description": what, "schema": schema});
    let header = |name: &str, required: bool, pattern: &str, what: &str| json!({"name": name, "in": "header", "required": required, "description": what, "schema": {"type": "string", "pattern": pattern}});
    json!({
        "owner": path("owner", "^[0-9A-Za-z]{1,64}$", "ann", "A user or an organisation."),
        "repo": path("repo", "^[0-9A-Za-z-]{1,64}$", "app", "A repository of the owner."),
        "tag": path("tag", "^(0|[1-9][0-9]{0,3})\\.(0|[1-9][0-9]{0,3})\\.(0|[1-9][0-9]{0,3})$", "1.0.0", "A semantic version; pre-releases and build metadata are taken as well."),
        "path": path("path", "^[0-9A-Za-z_:-][0-9A-Za-z_.:-]{0,254}$", "main.wasm", "A path in the tree: up to 16 names with / between them, each of 1 to 255 of [0-9A-Za-z_.:-], and neither . nor .."),
        "id": path("id", "^[0-9a-f]{16}$", "0123456789abcdef", "The id of a token."),
        "version": path("version", "^[1-9][0-9]{0,7}$", "1", "The number of a policy's version."),
        "limit": query("limit", json!({"type": "integer", "minimum": 1, "maximum": types::limits::LIST_PAGE_MAX}), "Most items on the page."),
        "after": query("after", json!({"type": "string"}), "What the page is after: from the header Link of the page before."),
        "q": query("q", json!({"type": "string", "maxLength": types::limits::SEARCH_BYTES_MAX}), "Words that must all be in `owner/repo`; at most 256 bytes."),
        "yanked": query("yanked", json!({"type": "boolean"}), "Whether yanked versions are listed as well."),
        "If-Match": header("If-Match", false, "^\"[0-9a-z]{1,64}\"$", "The entity tag of what is replaced."),
        "If-None-Match": header("If-None-Match", false, "^\\*$", "Only if there is none yet."),
        "Content-Digest": header("Content-Digest", true, "^sha-256=:[0-9A-Za-z+/]{43}=:$", "RFC 9530: sha-256, and sha-224, sha-384, sha-512 as well."),
    })
}

#[cfg(test)]
mod tests;
