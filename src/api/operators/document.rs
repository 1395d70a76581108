//! `GET /openapi.json`: what the operators' API is, as OpenAPI 3.1, made of the code that answers.
//!
//! Each handler says what it takes and gives (`#[utoipa::path]`) and stands in the list below; shapes are the types that are
//! written, and what a parameter may be is said by `model::described`. Problems, which any path may answer, are added here. It
//! needs no token: it tells nothing of this installation but its version.

use std::sync::{Arc, LazyLock};

use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use utoipa::openapi::path::Operation;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{ContentBuilder, Ref, RefOr, ResponseBuilder};
use utoipa::{Modify, OpenApi};

use super::problem::ProblemShape;
use super::routes::Routes;
use super::{
    OperatorsParts, by, dead_letters, deliveries, endpoints, forgetting, log_level, queues, resending, status, stream,
    webhooks,
};
use crate::deliver::Happening;

/// Where it is.
const PATH: &str = "/openapi.json";
/// Where events come in.
const EVENTS_PATH: &str = "/v1/events";
/// Every path below that of the API, as routes.
pub(super) const EVERY_PATH: [&str; 3] = ["/v1", "/v1/", "/v1/{*unknown}"];
/// How the document calls the token.
const TOKEN: &str = "token";

/// The document. Whoever adds a route adds its handler to `paths`; a test sees to it.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "hikyaku",
        description = "What operators of hikyaku, a webhook delivery worker beside Misskey, look at and do. \
                       docs/operators-api.md says it in words."
    ),
    paths(
        crate::ingest::take_events,
        deliveries::list,
        deliveries::show,
        resending::resend,
        resending::resend_one,
        stream::listen,
        dead_letters::looking::list,
        dead_letters::looking::show,
        dead_letters::acting::replay,
        dead_letters::acting::replay_one,
        dead_letters::acting::purge,
        dead_letters::acting::delete,
        dead_letters::files::export,
        dead_letters::files::import,
        endpoints::list,
        webhooks::list,
        webhooks::show,
        queues::show,
        status::workers,
        status::show,
        forgetting::forget,
        log_level::show,
        log_level::set
    ),
    components(schemas(ProblemShape, Happening)),
    tags(
        (name = "events", description = "Events come in."),
        (name = "deliveries", description = "What became of events: deliveries and their attempts."),
        (name = "dead letters", description = "Deliveries that were given up: looked at, put back to work, deleted, kept in files."),
        (name = "endpoints", description = "How webhooks stand with a worker."),
        (name = "webhooks", description = "The registrations with their state."),
        (name = "people", description = "Persons of whom hikyaku has something."),
        (name = "health", description = "How queue, store and workers are.")
    ),
    modifiers(&EveryPath)
)]
struct Document;

/// What all paths have in common.
struct EveryPath;

/// The problems that any path may answer, but for [`OF_CHANGES`] and [`OF_EVENTS`].
const PROBLEMS: [(&str, &str, &str); 9] = [
    (
        "400",
        "BadRequest",
        "What is asked for is wrong; `errors` names each parameter. Or there is a body where none is taken.",
    ),
    ("401", "Unauthorized", "No token, or a wrong one."),
    ("403", "Forbidden", "The token is for looking only, and this changes something."),
    ("404", "NotFound", "There is no such thing."),
    ("408", "TooSlow", "The request's body did not arrive in time."),
    ("413", "TooLarge", "The request is larger than `ingest.request_bytes_max`, or has too many events."),
    ("415", "Compressed", "The request's body is compressed."),
    ("500", "Damaged", "What is asked for is there and cannot be read."),
    ("503", "Unavailable", "What it needs does not answer now; asking again may do."),
];

/// Those that only what changes something may.
const OF_CHANGES: [&str; 2] = ["403", "408"];
/// Those that only [`EVENTS_PATH`] may; an import says itself what it may answer.
const OF_EVENTS: [&str; 2] = ["413", "415"];

impl Modify for EveryPath {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let components = document.components.get_or_insert_default();
        let scheme = HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .description(Some("server.admin_token, or one of [[server.tokens]]; with access = \"read\" for GET only."))
            .build();
        components.add_security_scheme(TOKEN, SecurityScheme::Http(scheme));
        for (_, name, description) in PROBLEMS {
            let content = ContentBuilder::new().schema(Some(Ref::from_schema_name("Problem"))).build();
            let response = ResponseBuilder::new().description(description).content("application/problem+json", content);
            components.responses.insert(name.to_owned(), RefOr::T(response.build()));
        }
        document.security = Some(vec![SecurityRequirement::new::<_, [&str; 0], &str>(TOKEN, [])]);
        for (path, item) in &mut document.paths.paths {
            let has = |status: &str| path == EVENTS_PATH || !OF_EVENTS.contains(&status);
            let changing = [&mut item.post, &mut item.put, &mut item.delete].into_iter().flatten();
            changing.for_each(|operation| add_problems(operation, has));
            let has = |status: &str| has(status) && !OF_CHANGES.contains(&status);
            item.get.iter_mut().for_each(|operation| add_problems(operation, has));
        }
    }
}

fn add_problems(operation: &mut Operation, has: impl Fn(&str) -> bool) {
    for (status, name, _) in PROBLEMS.into_iter().filter(|(status, _, _)| has(status)) {
        let answers = &mut operation.responses.responses;
        answers.entry(status.to_owned()).or_insert_with(|| RefOr::Ref(Ref::from_response_name(name)));
    }
}

/// The document as JSON.
static JSON: LazyLock<String> = LazyLock::new(|| Document::openapi().to_json().unwrap_or_default());

/// The routes, with those of the document and of what is not there.
pub(super) fn described(routes: Routes) -> axum::Router<Arc<OperatorsParts>> {
    let tell = async || -> Response { ([(CONTENT_TYPE, "application/json")], JSON.as_str()).into_response() };
    let mut router = routes.router.route(PATH, get(tell)).method_not_allowed_fallback(by::wrong_method);
    for unknown in EVERY_PATH {
        router = router.route(unknown, axum::routing::any(by::unknown_path));
    }
    router
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::Value;

    use super::*;

    fn document() -> Value {
        serde_json::from_str(&JSON).expect("JSON")
    }

    #[test]
    fn every_route_is_described_and_nothing_else_is() {
        let document = document();
        let paths = document["paths"].as_object().expect("paths");
        let operations = paths.iter().flat_map(|(path, item)| {
            let methods = item.as_object().expect("operations").keys();
            methods.map(move |method| (method.clone(), path.clone()))
        });
        // Of `ingest`, which has its route.
        let events = ("post".to_owned(), "/v1/events".to_owned());
        let described: BTreeSet<_> = operations.filter(|operation| *operation != events).collect();
        let routes = super::super::routes().known;
        let routes: BTreeSet<_> =
            routes.iter().map(|(method, path)| ((*method).to_owned(), (*path).to_owned())).collect();
        assert_eq!(described, routes);
        assert!(paths.contains_key("/v1/events"));
    }

    #[test]
    fn it_is_openapi_3_1_every_reference_leads_somewhere_and_everything_is_told_in_words() {
        let document = document();
        assert!(document["openapi"].as_str().is_some_and(|version| version.starts_with("3.1.")), "{document}");
        let text = document.to_string();
        for reference in text.split("\"$ref\":\"#").skip(1) {
            let pointer = reference.split('"').next().expect("a pointer");
            assert!(document.pointer(pointer).is_some(), "{pointer} leads nowhere");
        }
        for (path, item) in document["paths"].as_object().expect("paths") {
            for (method, operation) in item.as_object().expect("operations") {
                let what = format!("{method} {path}");
                assert!(operation["summary"].is_string() && operation["operationId"].is_string(), "{what}");
                assert!(operation["responses"]["401"].is_object(), "{what} asks for a token");
                assert_eq!(operation["responses"]["403"].is_object(), method != "get", "{what}");
                assert_eq!(operation["responses"]["413"].is_object(), path == EVENTS_PATH, "{what}");
                for parameter in operation["parameters"].as_array().into_iter().flatten() {
                    assert!(parameter["description"].is_string(), "{what}: {parameter}");
                }
                let answer = &operation["responses"]["200"]["content"];
                let content = answer.as_object().expect("an answer").values().next().expect("a content");
                assert!(content["example"].is_object() || path == "/v1/stream", "{what} has no example");
            }
        }
    }

    #[test]
    fn every_field_is_told_in_words() {
        let document = document();
        let mut untold = Vec::new();
        for (name, schema) in document["components"]["schemas"].as_object().expect("schemas") {
            let parts = schema["allOf"].as_array().into_iter().flatten().chain([schema]);
            for (field, property) in parts.filter_map(|part| part["properties"].as_object()).flatten() {
                // A reference leads to what has words of its own.
                let is_reference = property["$ref"].is_string() || property["oneOf"].is_array();
                if !property["description"].is_string() && !is_reference {
                    untold.push(format!("{name}.{field}"));
                }
            }
        }
        assert!(untold.is_empty(), "{untold:?}");
    }
}
