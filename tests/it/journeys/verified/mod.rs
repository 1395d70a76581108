//! Real deliveries, checked by the reference libraries of Standard Webhooks and by other implementations of ed25519: the examples
//! of `docs/signatures.md`, run as they stand there. Each takes what was sent, and nothing of which a byte was flipped.

mod receiver;

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{SystemTime, UNIX_EPOCH};

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use serde_json::json;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

use crate::support::journey_receiver::{Behaviour, Receiver};
use crate::support::npm::Package;
use crate::support::patience::soon;
use crate::support::program::Home;
use crate::support::pypi::Requirements;
use crate::support::python::{PYTHON, repository};
use crate::support::signed::{Sent, signed_by};

const USER: &str = "9ks5o1w5k3x90001";
/// Those of now, and those before: of RFC 8032, section 7.1, tests 1 and 2.
const KEYS: [&str; 2] =
    ["whsk_nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A=", "whsk_TM0Imyj/ltqdtsNG7BFOD1uKMZ81q6Yk2oz27U+4pvs="];
const SECRETS: [&str; 2] = ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"];
/// What receivers know, in the order of the signatures: the secrets, and the public keys.
const TRUSTED: [&str; 4] = [
    SECRETS[0],
    SECRETS[1],
    "whpk_11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=",
    "whpk_PUAXw+hDiVqStwqnTRt+vJyYLM8uxJaMwM1V8Sr0Zgw=",
];
/// What nothing here signs with; the key is that of the RFC's test 3.
const STRANGERS: [&str; 2] =
    ["whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYX", "whpk_/FHNjmIYoaONpH7QAjDwWAgW7RO6MwOsXeuRFUiQgCU="];
/// Every so many bytes of a body one is flipped, and the last.
const FLIPPED_EVERY: usize = 3;

static NPM: Package = Package::new("standardwebhooks", &[]);
static PYPI: Requirements = Requirements::new("standardwebhooks");

/// A request as it came, in parts that can be altered.
#[derive(Clone)]
struct Captured {
    id: Vec<u8>,
    timestamp: Vec<u8>,
    /// By each of [`TRUSTED`].
    signatures: Vec<Vec<u8>>,
    body: Vec<u8>,
}

impl Captured {
    fn signature(&self) -> Vec<u8> {
        self.signatures.join(&b' ')
    }

    /// Copies with a flipped bit each, and what was flipped; of the signatures, in the one at `of`.
    fn altered(&self, of: usize) -> Vec<(String, Self)> {
        let mut altered = Vec::new();
        let mut flip = |what: &str, count: usize, every: usize, part: &dyn Fn(&mut Self) -> &mut Vec<u8>| {
            for at in (0..count).step_by(every).chain([count - 1]) {
                let mut copy = self.clone();
                part(&mut copy)[at] ^= 1;
                altered.push((format!("byte {at} of the {what}"), copy));
            }
        };
        flip("id", self.id.len(), 1, &|copy| &mut copy.id);
        flip("timestamp", self.timestamp.len(), 1, &|copy| &mut copy.timestamp);
        flip("body", self.body.len(), FLIPPED_EVERY, &|copy| &mut copy.body);
        // The lowest bits of base64's last digit stand for nothing, and PyPI's library does not look at them.
        let digits = self.signatures[of].iter().position(|byte| *byte == b'=').expect("filled up") - 1;
        flip("signature", digits, 1, &|copy| &mut copy.signatures[of]);
        altered
    }
}

/// What arrives of a note, signed by two secrets and two keys: those of now, and those before.
async fn captured() -> Captured {
    let receiver = Receiver::start(Behaviour::Answer(200)).await;
    let home = Home::new("");
    let program = home.serve().await;
    let create = json!({"userId": USER, "name": "n", "url": receiver.url("/"), "on": ["note"],
        "signingSecret": SECRETS[1], "signingKey": KEYS[1]});
    let (status, webhook) = program.call("i/webhooks/create", create).await;
    assert_eq!(status, 200, "{webhook}");
    let update = json!({"webhookId": webhook["id"], "signingSecret": SECRETS[0], "signingKey": KEYS[0]});
    assert_eq!(program.call("i/webhooks/update", update).await.0, 204);
    let body = r#"{"note":{"id":"9","text":"h\u00e9 \ud83d 🦊 é", "big": 12345678901234567890.10, "z": 1, "a": [ ]}}"#;
    let note = format!(r#"{{"type":"note","userId":"{USER}","eventId":"e","body":{body}}}"#);
    assert_eq!(program.post(note).await.0, 200);
    receiver.until("the note arrives", |book| !book.arrived.is_empty()).await;
    program.stop().await;
    let arrived = receiver.book().arrived[0].clone();
    assert!(String::from_utf8_lossy(&arrived.body).contains(body), "it has the event's bytes");
    assert_eq!(signed_by(&arrived, &TRUSTED), TRUSTED);
    let bytes = |name: &str| arrived.header(name).as_bytes().to_vec();
    Captured {
        id: bytes("webhook-id"),
        timestamp: bytes("webhook-timestamp"),
        signatures: bytes("webhook-signature").split(|byte| *byte == b' ').map(<[u8]>::to_vec).collect(),
        body: arrived.body.to_vec(),
    }
}

/// The page's blocks of code in `language`.
fn examples(language: &str) -> Vec<String> {
    let page = std::fs::read_to_string(repository("docs/signatures.md")).expect("the page");
    let mut blocks = Vec::new();
    let mut block: Option<String> = None;
    for line in page.lines() {
        match (block.as_mut(), line.trim_start().strip_prefix("```")) {
            (None, Some(of)) if of == language => block = Some(String::new()),
            (Some(_), Some("")) => blocks.extend(block.take()),
            (Some(text), _) => *text += &format!("{line}\n"),
            (None, _) => {}
        }
    }
    blocks
}

/// The page's only example in `language` with, or without, the reference library.
fn example(language: &str, with_library: bool) -> String {
    let mut found = examples(language);
    found.retain(|block| block.contains("standardwebhooks") == with_library);
    assert_eq!(found.len(), 1, "examples in {language}");
    found.remove(0)
}

/// A receiver of the page, running; killed when dropped.
struct Example {
    _child: Child,
    address: String,
}

impl Example {
    /// Starts `program` on `script`, where it trusts `trusted`.
    async fn start(program: &Path, script: &Path, trusted: &str) -> Self {
        let mut child = Command::new(program)
            .arg(script)
            .envs([("SIGNING_SECRET", trusted), ("TRUSTED", trusted), ("PORT", "0")])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("it starts; tests/run installs it");
        let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        let line = soon("the example listens", lines.next_line()).await.expect("read").expect("a line");
        let port = line.strip_prefix("listening on ").unwrap_or_else(|| panic!("it said {line:?}"));
        Self { _child: child, address: format!("127.0.0.1:{port}") }
    }

    /// The status with which it answers `captured`.
    async fn answers(&self, captured: &Captured) -> u16 {
        let mut request = b"POST / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n".to_vec();
        for (name, value) in [
            ("webhook-id", &captured.id),
            ("webhook-timestamp", &captured.timestamp),
            ("webhook-signature", &captured.signature()),
            ("content-length", &captured.body.len().to_string().into_bytes()),
        ] {
            request.extend([name.as_bytes(), b": ", value, b"\r\n"].concat());
        }
        request.extend([b"\r\n", &captured.body[..]].concat());
        let exchange = async {
            let mut answer = Vec::new();
            let mut stream = TcpStream::connect(&self.address).await?;
            stream.write_all(&request).await?;
            stream.read_to_end(&mut answer).await.map(|_| answer)
        };
        let answer = soon("the example answers", exchange).await.expect("an answer");
        let answer = String::from_utf8_lossy(&answer);
        let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok());
        status.unwrap_or_else(|| panic!("no answer: {answer:?}"))
    }

    /// Checks that it takes what was sent, and nothing in which a byte was flipped; `of` is the signature that it looks at.
    async fn takes_only(&self, captured: &Captured, of: usize) {
        assert_eq!(self.answers(captured).await, 204, "what was sent");
        for (what, altered) in captured.altered(of) {
            assert_eq!(self.answers(&altered).await, 401, "{what} was flipped");
        }
        assert_eq!(self.answers(captured).await, 204, "what was sent, after all that");
    }
}

/// Checks an example that knows the first so many of [`TRUSTED`], one by one.
async fn check(program: &Path, script: &Path, known: usize) {
    let captured = captured().await;
    for (of, trusted) in TRUSTED.into_iter().enumerate().take(known) {
        Example::start(program, script, trusted).await.takes_only(&captured, of).await;
    }
    let stranger = Example::start(program, script, STRANGERS[0]).await;
    assert_eq!(stranger.answers(&captured).await, 401, "signed by somebody else");
}

/// Checks an example that trusts several.
async fn check_several(program: &Path, script: &Path) {
    let captured = captured().await;
    let strangers = STRANGERS.join(" ");
    let example = Example::start(program, script, &strangers).await;
    assert_eq!(example.answers(&captured).await, 401, "signed by somebody else");
    let example = Example::start(program, script, &format!("{strangers} {}", TRUSTED[3])).await;
    assert_eq!(example.answers(&captured).await, 204, "one of those that it trusts");
}

/// `text` in a file that is called as JavaScript wants it, in `folder`.
fn script(folder: &Path, text: &str) -> PathBuf {
    let path = folder.join("receiver.mjs");
    std::fs::write(&path, text).expect("written");
    path
}

fn folder() -> TempDir {
    tempfile::tempdir().expect("a folder")
}

#[tokio::test]
async fn pypis_library_takes_what_is_sent_and_nothing_with_a_flipped_byte() {
    let folder = folder();
    let script = script(folder.path(), &example("python", true));
    check(&PYPI.python().await, &script, SECRETS.len()).await;
}

#[tokio::test]
async fn npms_library_takes_what_is_sent_and_nothing_with_a_flipped_byte() {
    // Where Node.js finds the library.
    let script = script(NPM.installed().await, &example("js", true));
    check(Path::new("node"), &script, SECRETS.len()).await;
}

#[tokio::test]
async fn the_example_in_python_checks_secrets_and_keys_without_the_library() {
    let folder = folder();
    let script = script(folder.path(), &example("python", false));
    check(Path::new(PYTHON), &script, TRUSTED.len()).await;
    check_several(Path::new(PYTHON), &script).await;
}

#[tokio::test]
async fn the_example_in_node_checks_secrets_and_keys_without_the_library() {
    let folder = folder();
    let script = script(folder.path(), &example("js", false));
    check(Path::new("node"), &script, TRUSTED.len()).await;
    check_several(Path::new("node"), &script).await;
}

fn header_map(captured: &Captured) -> HeaderMap {
    let headers = [
        ("webhook-id", captured.id.clone()),
        ("webhook-timestamp", captured.timestamp.clone()),
        ("webhook-signature", captured.signature()),
    ];
    let header = |(name, value): (&'static str, Vec<u8>)| {
        (HeaderName::from_static(name), HeaderValue::from_bytes(&value).expect("a value"))
    };
    headers.into_iter().map(header).collect()
}

#[tokio::test]
async fn the_crate_and_the_example_in_rust_take_what_is_sent_and_nothing_with_a_flipped_byte() {
    let example = examples("rust").remove(0);
    let here = std::fs::read_to_string(repository("tests/it/journeys/verified/receiver.rs")).expect("the example");
    assert!(here.ends_with(&format!("\n\n{example}")), "the page has another example than receiver.rs");
    let captured = captured().await;
    #[expect(clippy::disallowed_methods, reason = "the crate looks at the system's clock too")]
    let now_s = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
    let takes = |trusted: &str, captured: &Captured| {
        let headers = header_map(captured);
        match trusted.starts_with("whsec_") {
            true => receiver::is_genuine(trusted, &headers, &captured.body),
            false => receiver::is_genuine_by_key(trusted, &headers, &captured.body, now_s),
        }
    };
    for (of, trusted) in TRUSTED.into_iter().enumerate() {
        assert!(takes(trusted, &captured), "{trusted}");
        for (what, altered) in captured.altered(of) {
            assert!(!takes(trusted, &altered), "{trusted}: {what} was flipped");
        }
    }
    for stranger in STRANGERS {
        assert!(!takes(stranger, &captured), "{stranger}");
    }
    let later = receiver::is_genuine_by_key(TRUSTED[2], &header_map(&captured), &captured.body, now_s + 400);
    assert!(!later, "too old");
}

#[test]
fn the_pages_request_is_signed_as_it_says() {
    let page = std::fs::read_to_string(repository("docs/signatures.md")).expect("the page");
    let known: Vec<&str> = page.split('`').filter(|word| word.len() > 30 && word.starts_with("wh")).collect();
    let request = examples("http").remove(0);
    let (head, body) = request.split_once("\n\n").expect("a body");
    let header =
        |name: &str| head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": ")).expect("a header");
    let (id, timestamp) = (header("webhook-id"), header("webhook-timestamp"));
    let sent = Sent { id, timestamp, signatures: header("webhook-signature"), body: body.trim_end().as_bytes() };
    assert_eq!(signed_by(sent, &known), [TRUSTED[1], TRUSTED[2]]);
}

#[tokio::test]
async fn the_pages_commands_run() {
    let home = Home::new("");
    let mut count = 0;
    for line in examples("sh").join("").lines() {
        let Some(command) = line.trim().strip_prefix("hikyaku ") else { continue };
        let command = command.split(" #").next().unwrap_or_default();
        // What is made is called as the others call it.
        let made = if command.contains("create") { " --id ID" } else { "" };
        home.cli(&format!("{command}{made}").split_whitespace().collect::<Vec<_>>()).await.ok();
        count += 1;
    }
    assert_eq!(count, 4, "commands");
    let webhook = home.cli(&["webhooks", "show", "ID", "--json"]).await.json();
    assert_eq!((&webhook["signingSecret"], &webhook["sendSecret"]), (&json!("***"), &json!(false)));
    assert!(webhook["signingPublicKey"].as_str().is_some_and(|key| key.starts_with("whpk_")), "{webhook}");
}
