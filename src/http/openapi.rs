//! `GET /openapi.json`: the description of the API.
//!
//! The operations are described in `openapi.json` beside this file; aliases, methods and roles come from
//! the route table. A test holds the two together.

use super::endpoint::Call;
use super::error::ApiError;
use super::reply;
use super::routes::route_infos;
use axum::body::Body;
use axum::http::{Response, StatusCode};
use bytes::Bytes;
use serde_json::{Map, Value};

const TEMPLATE: &str = include_str!("openapi.json");

pub(super) async fn get(call: Call) -> Result<Response<Body>, ApiError> {
    Ok(reply::json_bytes(StatusCode::OK, call.state.openapi.clone()))
}

/// The whole document.
pub(super) fn document() -> Bytes {
    let Ok(Value::Object(mut document)) = serde_json::from_str(TEMPLATE) else {
        return Bytes::from_static(TEMPLATE.as_bytes());
    };
    if let Some(Value::Object(info)) = document.get_mut("info") {
        info.insert("version".into(), super::health::VERSION.into());
    }
    let described = match document.remove("paths") {
        Some(Value::Object(it)) => it,
        _ => Map::new(),
    };
    document.insert("paths".into(), Value::Object(paths(&described)));
    Value::Object(document).to_string().into()
}

fn paths(described: &Map<String, Value>) -> Map<String, Value> {
    let mut res = Map::new();
    for info in route_infos() {
        let method = info.method.to_ascii_lowercase();
        let operation = described.get(info.canonical).and_then(|it| it.get(&method));
        let mut operation = match operation {
            Some(Value::Object(it)) => it.clone(),
            _ => Map::new(),
        };
        let summary = if info.path == info.canonical {
            info.summary.to_owned()
        } else {
            format!("{} (another spelling of {})", info.summary, info.canonical)
        };
        operation.insert("summary".into(), summary.into());
        if let Some(role) = info.role {
            operation.insert("x-role".into(), role.as_str().into());
        } else {
            operation.insert("security".into(), Value::Array(Vec::new()));
        }
        let path = res.entry(info.path).or_insert_with(|| Value::Object(Map::new()));
        if let Value::Object(path) = path {
            path.insert(method, Value::Object(operation));
        }
    }
    res
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn operations(document: &Value) -> BTreeSet<(String, String)> {
        let paths = document["paths"].as_object().unwrap();
        let methods = |(path, item): (&String, &Value)| {
            let methods: Vec<_> = item.as_object().unwrap().keys().cloned().collect();
            methods.into_iter().map(|it| (path.clone(), it)).collect::<Vec<_>>()
        };
        paths.iter().flat_map(methods).collect()
    }

    #[test]
    fn lists_exactly_the_routes() {
        let document: Value = serde_json::from_slice(&document()).unwrap();
        let routes = route_infos().map(|it| (it.path.to_owned(), it.method.to_lowercase()));
        assert_eq!(operations(&document), routes.collect());
        assert_eq!(document["info"]["version"], env!("CARGO_PKG_VERSION"));
    }

    #[test]
    fn describes_exactly_the_canonical_routes() {
        let template: Value = serde_json::from_str(TEMPLATE).unwrap();
        let canonical = route_infos().map(|it| (it.canonical.to_owned(), it.method.to_lowercase()));
        assert_eq!(operations(&template), canonical.collect());
    }

    #[test]
    fn every_reference_leads_somewhere() {
        let document: Value = serde_json::from_slice(&document()).unwrap();
        let text = document.to_string();
        let targets: BTreeSet<_> =
            text.split("\"$ref\":\"#").skip(1).filter_map(|it| it.split('"').next()).collect();
        assert!(targets.len() > 5);
        for target in targets {
            assert!(document.pointer(target).is_some(), "{target}");
        }
    }

    #[test]
    fn every_operation_has_answers() {
        let document: Value = serde_json::from_slice(&document()).unwrap();
        for (path, method) in operations(&document) {
            let answers = document["paths"][&path][&method]["responses"].as_object();
            assert!(answers.is_some_and(|it| !it.is_empty()), "{method} {path}");
        }
    }
}
