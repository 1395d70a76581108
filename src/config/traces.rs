//! `[traces]`: whether it is told which steps an event goes through, and to whom.

use std::time::Duration;

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use url::Url;

use super::reader::Section;
use super::server::unless_empty;
use crate::traces::TRACES_PATH;

/// Headers that a collector may ask for: one has the token, another the tenant.
const HEADERS_MAX: usize = 16;
/// Headers that say how a request goes: with others it would not be understood.
const NOT_TO_BE_SET: [&str; 9] = [
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "host",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];
/// Characters of a service's name.
const SERVICE_CHARS_MAX: usize = 128;

/// Whether it is told which steps an event goes through, and to whom.
#[derive(Clone, PartialEq)]
pub struct Traces {
    /// `otlp_url`: the collector that takes OTLP over HTTP, such as `http://127.0.0.1:4318`; `/v1/traces` is put behind it unless it
    /// ends so. Empty, the default: there are no traces.
    pub otlp_url: Option<Url>,
    /// `headers`: what each request to the collector has, `name=value` with commas between, values with percent escapes. A secret.
    /// Default none.
    pub headers: HeaderMap,
    /// `service_name`: what this is called in traces, 1 to 128 characters. Default `hikyaku`.
    pub service_name: String,
    /// `sample_ratio`: the share of traces that are recorded, 0 to 1, of those that begin here: one that a producer began is
    /// recorded if the producer says so. Default 1: whoever switches traces on wants to see some.
    pub sample_ratio: f64,
    /// `timeout_ms`: milliseconds that a request to the collector may take, 100 to 60000. Default 10000, as OpenTelemetry has it.
    pub timeout: Duration,
    /// `send_traceparent`: whether receivers are told which trace a request belongs to. Default false: they are strangers.
    pub send_traceparent: bool,
}

impl Default for Traces {
    fn default() -> Self {
        Self {
            otlp_url: None,
            headers: HeaderMap::new(),
            service_name: "hikyaku".to_owned(),
            sample_ratio: 1.0,
            timeout: Duration::from_secs(10),
            send_traceparent: false,
        }
    }
}

impl std::fmt::Debug for Traces {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let headers: Vec<(&str, &str)> = self.headers.keys().map(|name| (name.as_str(), "***")).collect();
        f.debug_struct("Traces")
            .field("otlp_url", &self.otlp_url.as_ref().map(Url::as_str))
            .field("headers", &headers)
            .field("service_name", &self.service_name)
            .field("sample_ratio", &self.sample_ratio)
            .field("timeout", &self.timeout)
            .field("send_traceparent", &self.send_traceparent)
            .finish()
    }
}

impl Traces {
    pub(super) fn read(section: &mut Section<'_, '_>) -> Self {
        let default = Self::default();
        Self {
            otlp_url: section.text("otlp_url", |text| unless_empty(text, collector)).flatten(),
            headers: section.text("headers", headers).unwrap_or_default(),
            service_name: section.text("service_name", service).unwrap_or(default.service_name),
            sample_ratio: section.number("sample_ratio", 0.0..=1.0).unwrap_or(default.sample_ratio),
            timeout: section.millis("timeout_ms", 100..=60_000).unwrap_or(default.timeout),
            send_traceparent: section.flag("send_traceparent").unwrap_or(default.send_traceparent),
        }
    }
}

fn collector(text: &str) -> Result<Url, String> {
    const EXPECTED: &str = "it must be the http or https address of a collector, such as http://127.0.0.1:4318";
    let mut url = Url::parse(text).map_err(|error| format!("{EXPECTED} ({error})"))?;
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
        return Err(format!("{EXPECTED}, and its scheme is {:?}", url.scheme()));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(format!("{EXPECTED}, without a user name or password: give those in traces.headers"));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(format!("{EXPECTED}, with nothing after the path"));
    }
    if url.port() == Some(4317) {
        return Err(
            "port 4317 is where collectors take OTLP over gRPC, which hikyaku does not speak; OTLP over HTTP is at \
                    4318 as a rule"
                .to_owned(),
        );
    }
    let path = url.path().trim_end_matches('/').to_owned();
    let path = if path.ends_with(TRACES_PATH) { path } else { path + TRACES_PATH };
    url.set_path(&path);
    Ok(url)
}

/// As `OTEL_EXPORTER_OTLP_HEADERS` has them (W3C Baggage without properties). The words never quote a value.
fn headers(text: &str) -> Result<HeaderMap, String> {
    let mut headers = HeaderMap::new();
    for (place, pair) in text.split(',').map(str::trim).filter(|pair| !pair.is_empty()).enumerate() {
        let number = place + 1;
        let (name, value) = pair
            .split_once('=')
            .ok_or_else(|| format!("number {number} of them is no name=value with an equals sign"))?;
        let name: HeaderName =
            name.trim().parse().map_err(|_| format!("the name of number {number} of them is no header's name"))?;
        if NOT_TO_BE_SET.contains(&name.as_str()) {
            return Err(format!("{name} is not to be set: it says how a request goes, and each has its own"));
        }
        let value = percent_encoding::percent_decode_str(value.trim()).collect::<Vec<u8>>();
        let mut value = HeaderValue::from_bytes(&value)
            .map_err(|_| format!("the value of {name} has a character that no header carries"))?;
        value.set_sensitive(true);
        headers.insert(name, value);
    }
    if headers.len() > HEADERS_MAX {
        return Err(format!("there are {} of them, and {HEADERS_MAX} are allowed", headers.len()));
    }
    Ok(headers)
}

fn service(text: &str) -> Result<String, String> {
    let chars = text.chars().count();
    if !(1..=SERVICE_CHARS_MAX).contains(&chars) || text.chars().any(char::is_control) {
        return Err(format!("it must have 1 to {SERVICE_CHARS_MAX} characters, none of them a control character"));
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_collectors_path_gets_the_one_for_traces_unless_it_has_it() {
        for (given, posted_to) in [
            ("http://127.0.0.1:4318", "http://127.0.0.1:4318/v1/traces"),
            ("http://127.0.0.1:4318/", "http://127.0.0.1:4318/v1/traces"),
            ("https://otlp.example/otlp/", "https://otlp.example/otlp/v1/traces"),
            ("https://otlp.example/x/v1/traces", "https://otlp.example/x/v1/traces"),
        ] {
            assert_eq!(collector(given).expect(given).as_str(), posted_to);
        }
        for (bad, words) in [
            ("127.0.0.1:4318", "must be the http"),
            ("grpc://c:4318", "its scheme is \"grpc\""),
            ("http://u:hunter2@c:4318", "traces.headers"),
            ("http://c:4318/?token=hunter2", "nothing after the path"),
            ("http://c:4317", "gRPC"),
        ] {
            let message = collector(bad).expect_err(bad);
            assert!(message.contains(words) && !message.contains("hunter2"), "{bad}: {message}");
        }
    }

    #[test]
    fn headers_are_read_as_opentelemetry_has_them_and_never_shown() {
        let read = headers("authorization=Bearer%20hunter2, X-Scope-OrgID = 7 ,").expect("headers");
        assert_eq!(
            (read["authorization"].as_bytes(), read["x-scope-orgid"].as_bytes()),
            (&b"Bearer hunter2"[..], &b"7"[..])
        );
        let shown = format!("{:?}", Traces { headers: read, ..Traces::default() });
        assert!(shown.contains("authorization") && !shown.contains("hunter2"), "{shown}");
        for bad in ["hunter2", "a b=hunter2", "a=hunter2%00", "Content-Length=hunter2"] {
            let message = headers(bad).expect_err(bad);
            assert!(!message.contains("hunter2"), "{message}");
        }
    }
}
