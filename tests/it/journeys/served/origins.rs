//! No browser's page of another origin may read what is answered here: there are no CORS headers at all.

use super::server;
use crate::support::program::{TOKEN, event};

const PATHS: [&str; 10] = [
    "/",
    "/healthz",
    "/readyz",
    "/metrics",
    "/v1/events",
    "/v1/endpoints",
    "/v1/deliveries",
    "/ingest/misskey",
    "/api/i/webhooks/list",
    "/api/admin/system-webhook/list",
];

#[tokio::test]
async fn no_answer_lets_a_page_of_another_origin_read_it_and_a_preflight_is_refused() {
    let (_home, program) = server("").await;
    for path in PATHS {
        for (method, asked) in [("OPTIONS", "POST"), ("OPTIONS", "GET"), ("GET", ""), ("POST", "")] {
            for origin in ["https://evil.example", "null", &program.address] {
                let method: reqwest::Method = method.parse().expect("a method");
                let mut request = program.asking(method.clone(), &format!("{}{path}", program.address));
                request = request.header("origin", origin).bearer_auth(TOKEN);
                if !asked.is_empty() {
                    request = request
                        .header("access-control-request-method", asked)
                        .header("access-control-request-headers", "authorization, content-type")
                        .header("access-control-request-private-network", "true");
                }
                let answer = request.body(event("note", "e")).send().await.expect("an answer");
                let what = format!("{method} {path} from {origin}: {answer:?}");
                let allowing = |name: &reqwest::header::HeaderName| name.as_str().starts_with("access-control");
                assert!(!answer.headers().keys().any(allowing), "{what}");
                if !asked.is_empty() {
                    assert!([404, 405].contains(&answer.status().as_u16()), "{what}");
                }
            }
        }
    }
    program.stop().await;
}
