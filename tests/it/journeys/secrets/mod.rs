//! No secret gets into the log, into errors, metrics or health, nor into what commands print without being asked for it.
//!
//! A busy run of the program uses a secret of every kind, rightly and wrongly, with everything logged that can be; then all that it
//! has said, and what lies in its files, is searched for each of them, in every form ([`canaries`]). Where Misskey's API, or `webhooks show --reveal`, is there
//! to show a secret to its owner, the answer is not searched.
//!
//! **A new kind of secret**: make one in [`Scene::new`] with [`Canaries::text`] or [`Canaries::key`], put it where it belongs (the
//! settings, a webhook, a call), and use it wrongly too: in [`misuse`] for calls, in [`bad_settings`] for settings.
//!
//! Deliveries leave through a proxy that wants a password, HTTP over one queue and SOCKS5 over the other.

mod canaries;
mod echo;
mod outside;

use std::cell::RefCell;

use serde_json::json;

use self::canaries::Canaries;
use self::echo::Echo;
use self::outside::{Outside, text};
use crate::support::broker::Broker;
use crate::support::misskey::{Misskey, Mood};
use crate::support::program::{Home, Program, Ran, answer, declared, event, until};
use crate::support::proxies::Kind;
use crate::support::world::nobody;

const ALICE: &str = "9ks5o1w5k3x9alice";
/// What is no secret to whoever has the files.
const HELD: &str = "what an event holds";
/// Webhooks that fail, by what their receiver's path and host are; each makes one dead letter.
const FAILING: usize = 8;

/// What everything is done with.
struct Scene {
    canaries: Canaries,
    home: Home,
    misskey: Misskey,
    echo: Echo,
    outside: Outside,
    admin: String,
    alice: String,
    ingest: String,
    settings: String,
    /// What was said, by whom.
    said: RefCell<Vec<(String, String)>>,
    _nobody: tokio::net::TcpSocket,
}

impl Scene {
    /// Everything with secrets of its own; the settings begin with `settings`, and deliveries leave through a `proxy`.
    async fn new(canaries: Canaries, proxy: Kind, settings: &str) -> Self {
        let (misskey, echo) = (Misskey::start().await, Echo::start().await);
        let outside = Outside::start(proxy, &canaries).await;
        let (admin, ingest) =
            (canaries.text("the admin's token", "+/", "="), canaries.text("Misskey's secret", "", ""));
        let alice = misskey.world(|world| world.person(ALICE, "alice"));
        canaries.look_for("Alice's token", &alice);
        let (address, nobody) = nobody();
        let master = canaries.text("the master", "", "");
        let mut all = format!(
            "{settings}server.listen = \"127.0.0.1:0\"\nserver.admin_token = \"{admin}\"\nmisskey.url = \"{url}\"\n\
             misskey.token = \"{token}\"\nmisskey.ingest_url = \"https://hikyaku.example/ingest/misskey\"\nstore.encryption_key = \"{key}\"\nstore.previous_encryption_keys = [\"{old_key}\"]\n\
             {outside}delivery.retry_schedule_s = [0.05]\ndelivery.timeout_ms = 1500\nlog.level = \"trace\"\n\
             [[misskey.ingest]]\nsecret = \"{ingest}\"\nscope = \"any\"\n\
             [[misskey.ingest]]\nsource = \"others\"\nmaster = \"{master}\"\n",
            outside = outside.settings(),
            url = misskey.url(),
            token = canaries.text("the token for reconciling", "", ""),
            key = canaries.key("the store's key", ""),
            old_key = canaries.key("the store's old key", ""),
        );
        let secret = |what| canaries.text(what, "", "");
        let receivers = [
            ("good", echo.url("/200")),
            ("echo500", echo.url("/500")),
            ("echo404", echo.url("/404")),
            ("echo410", echo.url("/410")),
            ("redirect", echo.url("/302")),
            ("hang", echo.url("/hang")),
            ("tls", echo.url("/200").replace("http:", "https:")),
            ("nobody", format!("http://{address}/x")),
            ("nowhere", "http://no-such-name.invalid/x".to_owned()),
        ];
        assert_eq!(receivers.len(), FAILING + 1);
        for (id, url) in receivers {
            let (path, query) = (secret("a URL's path"), secret("a URL's query"));
            all += &format!(
                "[[webhooks]]\nid = \"{id}\"\nurl = \"{url}/{path}?token={query}\"\non = [\"userCreated\"]\nsecret = \"{}\"\n\
                 signing_secret = \"{}\"\nprevious_signing_secrets = [\"{}\"]\nsigning_key = \"{}\"\nprevious_signing_keys = [\"{}\"]\n",
                secret("a webhook's secret"),
                canaries.key("a signing secret", "whsec_"),
                canaries.key("an old signing secret", "whsec_"),
                canaries.key("a signing key", "whsk_"),
                canaries.key("an old signing key", "whsk_"),
            );
        }
        all += &outside.declared();
        let home = Home::bare(&all);
        Self {
            canaries,
            home,
            misskey,
            echo,
            outside,
            admin,
            alice,
            ingest,
            settings: all,
            said: RefCell::default(),
            _nobody: nobody,
        }
    }

    fn secret(&self, what: &'static str) -> String {
        self.canaries.text(what, "", "")
    }

    fn note(&self, who: impl Into<String>, said: impl Into<String>) {
        self.said.borrow_mut().push((who.into(), said.into()));
    }

    /// Runs a command; all that it prints is searched.
    async fn cli(&self, args: &[&str]) -> Ran {
        let ran = self.home.cli(args).await;
        self.note(
            format!("hikyaku {} {}", args[0], args.get(1).unwrap_or(&"")),
            format!("{}{}", ran.stdout, ran.stderr),
        );
        ran
    }

    /// Sends a request that is refused; its whole answer is searched.
    async fn refused(&self, what: &str, request: reqwest::RequestBuilder, body: impl Into<String>) {
        let answer = request.body(body.into()).send().await.expect("an answer");
        let (status, headers) = (answer.status(), format!("{:?}", answer.headers()));
        assert!(status.is_client_error() || status.is_server_error(), "{what}: {status}");
        self.note(what, headers + &answer.text().await.expect("a body"));
    }

    /// No secret is in what was said.
    fn assert_kept(&self) {
        let said = self.said.borrow();
        let told = said.iter().map(|(who, said)| (who, self.canaries.found_in(said), said));
        let told: Vec<_> = told.filter(|(_, found, _)| !found.is_empty()).collect();
        assert!(told.is_empty(), "secrets are told; by whom, which, and where:\n{told:#?}");
    }
}

impl Scene {
    /// No secret lies open in the files of queue, store and history, where events do.
    fn assert_sealed(&self) {
        let names = std::fs::read_dir(self.home.path("")).expect("a folder");
        let names: Vec<_> =
            names.map(|entry| entry.expect("a file").file_name().into_string().expect("text")).collect();
        assert!(names.contains(&"history.db".to_owned()), "{names:?}");
        for name in names.iter().filter(|name| name.ends_with(".db") || name.ends_with(".db-wal")) {
            let content = String::from_utf8_lossy(&std::fs::read(self.home.path(name)).expect("readable")).into_owned();
            let found = self.canaries.found_in(&content);
            let found: Vec<_> = found.into_iter().filter(|what| *what != HELD).collect();
            assert!(found.is_empty(), "in {name} lie {found:?}");
        }
    }
}

/// Registers webhooks in every way, and calls the API as it should be.
async fn manage(scene: &Scene, program: &Program) {
    let url = |scene: &Scene| format!("{}/{}", scene.echo.url("/200"), scene.secret("a URL's path"));
    let (secret, signing) = (scene.secret("a webhook's secret"), scene.canaries.key("a signing secret", "whsec_"));
    let key = scene.canaries.key("a signing key", "whsk_");
    for token in [&scene.admin, &scene.alice] {
        let mut params = json!({
            "i": token, "name": "made", "url": url(scene), "secret": secret, "on": ["note"], "signingSecret": signing, "signingKey": key,
        });
        if token == &scene.admin {
            params["userId"] = json!(ALICE);
        }
        let client = scene.outside.issue(&scene.canaries, "made");
        params["clientCertificate"] = json!(text(&client.certificate));
        params["clientKey"] = json!(text(&client.key));
        let (status, made) = program.call("i/webhooks/create", params).await;
        assert_eq!(status, 200, "{made}");
        let mut told = made.clone();
        for shown_to_its_owner in ["url", "secret", "signingSecret"] {
            told.as_object_mut().expect("an object").remove(shown_to_its_owner);
        }
        scene.note("i/webhooks/create", told.to_string());
        let test = json!({"i": token, "webhookId": made["id"], "type": "note"});
        assert_eq!(program.call("i/webhooks/test", test).await.0, 204);
    }
    let (secret, signing) = (scene.secret("a webhook's secret"), scene.canaries.key("a signing secret", "whsec_"));
    let url = url(scene);
    let create = ["webhooks", "create", "--id", "cli", "--url", &url, "--on", "userCreated", "--secret", &secret];
    let client = scene.outside.issue(&scene.canaries, "cli");
    let [certificate, client_key] = [&client.certificate, &client.key].map(|path| path.display().to_string());
    let client = ["--client-certificate", &certificate, "--client-key", &client_key];
    let ran = scene.home.cli(&[&create[..], &client[..], &["--signing-secret", &signing, "--json"]].concat()).await;
    // A webhook's URL is shown to admins; its secrets are not.
    scene.note("hikyaku webhooks create", without_urls(&ran.ok()));
    for args in [["webhooks", "list", "--json"], ["webhooks", "show", "cli"], ["webhooks", "show", "good"]] {
        scene.note(args.join(" "), without_urls(&scene.home.cli(&args).await.ok()));
    }
}

/// What is printed about webhooks, without their addresses.
fn without_urls(printed: &str) -> String {
    let is_address = |word: &&str| word.contains("://");
    printed.split(['"', ' ', '\n']).filter(|word| !is_address(word)).collect::<Vec<_>>().join(" ")
}

/// Uses every kind of secret wrongly, and right ones in requests that are refused for another reason.
async fn misuse(scene: &Scene, program: &Program) {
    let api = |endpoint: &str| program.api(endpoint);
    let wrong = |what| scene.secret(what);
    scene.refused("a wrong token as i", api("i/webhooks/list"), json!({"i": wrong("a wrong token")}).to_string()).await;
    scene.refused("a wrong bearer", api("i/webhooks/list").bearer_auth(wrong("a wrong token")), "{}").await;
    scene.refused("a wrong bearer", program.request().bearer_auth(wrong("a wrong token")), "{}").await;
    scene.refused("a wrong scheme", program.request().header("authorization", &scene.admin), "{}").await;
    let posted = program.asking(reqwest::Method::POST, &format!("{}/ingest/misskey", program.address));
    let post = |secret: String| posted.try_clone().expect("no body").header("x-misskey-hook-secret", secret);
    scene.refused("a wrong secret of Misskey", post(wrong("a wrong secret of Misskey")), "{}").await;
    scene.refused("no event", post(scene.ingest.clone()), format!("{{\"type\":\"{}\"}}", wrong(HELD))).await;
    let id = program.call("i/webhooks/list", json!({"i": scene.alice})).await.1[0]["id"].clone();
    for (name, value) in [
        ("url", json!(format!("https://me:{}@a.example/", wrong("a URL's password")))),
        ("url", json!(format!("a.example/{}", wrong("a URL's path")))),
        ("url", json!(format!("https://a b/{}?{}", wrong("a URL's path"), wrong("a URL's query")))),
        ("url", json!(format!("http://10.0.0.1:1/{}?{}", wrong("a URL's path"), wrong("a URL's query")))),
        ("secret", json!(format!("{}\n", wrong("a webhook's secret")))),
        ("secret", json!([wrong("a webhook's secret")])),
        ("secret", json!(wrong("a webhook's secret").repeat(40))),
        ("signingSecret", json!(wrong("a signing secret"))),
        ("signingSecret", json!(scene.canaries.key("a signing key", "whsk_"))),
        ("signingKey", json!(wrong("a signing key"))),
        ("signingKey", json!(scene.canaries.key("a signing secret", "whsec_"))),
        ("signing_secret", json!(wrong("a signing secret"))),
    ] {
        let mut params = json!({"i": scene.alice, "webhookId": id});
        params[name] = value;
        scene.refused(name, api("i/webhooks/update"), params.to_string()).await;
    }
    let client = scene.outside.mismatched(&scene.canaries);
    let [certificate, key] = [&client.certificate, &client.key].map(|path| text(path));
    for mut params in [
        json!({"clientKey": key}),
        json!({"clientKey": [key]}),
        json!({"client_key": key}),
        json!({"clientCertificate": key}),
        json!({"clientCertificate": key, "clientKey": key}),
        json!({"clientCertificate": certificate.clone() + &key, "clientKey": key}),
        json!({"clientCertificate": certificate, "clientKey": key}),
        json!({"clientCertificate": certificate, "clientKey": key.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY")}),
        json!({"clientCertificate": certificate, "clientKey": key.replace("\n-----END", "=\n-----END")}),
        json!({"clientCertificate": certificate, "clientKey": key.replace("-----", "")}),
    ] {
        let what = params.to_string();
        params["i"] = json!(scene.alice);
        params["webhookId"] = id.clone();
        scene
            .refused(
                &format!("a wrong client certificate: {}", &what[..22]),
                api("i/webhooks/update"),
                params.to_string(),
            )
            .await;
    }
    for body in [format!("{{\"i\":\"{}", scene.alice), format!("{}{}", "[".repeat(500), scene.alice)] {
        scene.refused("broken JSON", api("i/webhooks/list"), body).await;
    }
    scene.misskey.behave(Mood::BreaksOff);
    scene.refused("Misskey is away", api("i/webhooks/list"), json!({"i": wrong("a token")}).to_string()).await;
    scene.misskey.release();
    for (flag, value) in [
        ("--signing-secret", wrong("a signing secret")),
        ("--signing-key", wrong("a signing key")),
        ("--secret", format!("{}\u{1}", wrong("a webhook's secret"))),
        ("--url", format!("a.example/{}", wrong("a URL's path"))),
    ] {
        scene.cli(&["webhooks", "update", "cli", flag, &value]).await.failed(2, &[]);
    }
    let [certificate_file, key_file] = [&client.certificate, &client.key].map(|path| path.display().to_string());
    for [chain, of] in [
        [&certificate_file, &key_file],
        [&key_file, &key_file],
        [&certificate_file, &key],
        [&key, &key_file],
        [&certificate_file, &certificate_file],
    ] {
        let args = ["webhooks", "update", "cli", "--client-certificate", chain, "--client-key", of];
        scene.cli(&args).await.failed(2, &[]);
    }
}

/// Starts with settings that are wrong, each with a secret in the wrong place.
async fn bad_settings(scene: &Scene) {
    let wrong = |what| scene.secret(what);
    let client = scene.outside.mismatched(&scene.canaries);
    let (key_file, key) = (&client.key, text(&client.key));
    let certified = format!(
        "[[webhooks]]\nid = \"w\"\non = [\"note\"]\nurl = \"https://a.example\"\nclient_certificate_file = {:?}\n",
        client.certificate
    );
    for settings in [
        format!("server.admin_token = \"{} {}\"\n", wrong("an admin's token"), scene.admin),
        format!("server.admin_token = \"sha256:{}\"\n", wrong("an admin's token")),
        format!("server.admin_tokne = \"{}\"\n", wrong("an admin's token")),
        format!("server.admin_token = [\"{}\"]\n", wrong("an admin's token")),
        format!("server.admin_token = \"{}\n", wrong("an admin's token")),
        format!("store.encryption_key = \"{}\"\n", wrong("a store's key")),
        format!("store.previous_encryption_keys = \"{}\"\n", wrong("a store's key")),
        format!("queue.url = \"amqp://me:{}@here:port/\"\n", wrong("a broker's password")),
        format!("queue.url = \"amqps://me:{}@here?cacertfil=x\"\n", wrong("a broker's password")),
        format!("queue.url = \"http://me:{}@here\"\n", wrong("a broker's password")),
        format!("store.url = \"postgres://me:{}@here:port/\"\n", wrong("a database's password")),
        format!("outbound.proxy = \"https://me:{}@here\"\n", wrong("a proxy's password")),
        format!("outbound.proxy = \"http://me:{}@here/there\"\n", wrong("a proxy's password")),
        format!("outbound.proxy = \"http://me:{}%zz@here\"\n", wrong("a proxy's password")),
        format!("outbound.proxy = \"http://me:{}@here:port\"\n", wrong("a proxy's password")),
        format!("outbound.proxy = \"socks5://:{}@here\"\n", wrong("a proxy's password")),
        format!("outbound.proxy = [\"http://me:{}@here\"]\n", wrong("a proxy's password")),
        format!("outbound.poxy = \"http://me:{}@here\"\n", wrong("a proxy's password")),
        format!("outbound.ca_files = ['''{key}''']\n"),
        format!("outbound.ca_files = [{key_file:?}]\n"),
        format!("{certified}client_key_file = '''{key}'''\n"),
        format!("{certified}client_key_file = {key_file:?}\n"),
        format!("{certified}client_key = '''{key}'''\n"),
        format!("misskey.url = \"https://me:{}@m.example\"\n", wrong("a URL's password")),
        format!("misskey.token = \"{} x\"\n", wrong("a moderator's token")),
        format!("[[misskey.ingest]]\nsecret = \"{}\"\nscope = \"every\"\n", wrong("Misskey's secret")),
        format!("[[misskey.ingest]]\nmaster = \"{}\"\nscope = \"any\"\n", wrong("a master")),
        format!("[[misskey.ingest]]\nsecert = \"{}\"\n", wrong("Misskey's secret")),
        format!(
            "[[webhooks]]\nid = \"w\"\non = [\"note\"]\nurl = \"https://me:{}@a.example\"\n",
            wrong("a URL's password")
        ),
        format!("[[webhooks]]\nid = \"w\"\non = [\"note\"]\nurl = \"a.example/{}\"\n", wrong("a URL's path")),
        format!(
            "[[webhooks]]\nid = \"w\"\non = [\"note\"]\nurl = \"https://a.example\"\nsecret = \"\\u0001{}\"\n",
            wrong("a secret")
        ),
        format!(
            "[[webhooks]]\nid = \"w\"\non = [\"note\"]\nurl = \"https://a.example\"\nsigning_secret = \"{}\"\nsigning_key = \"{}\"\n",
            wrong("a signing secret"),
            wrong("a signing key")
        ),
    ] {
        let home = Home::bare(&settings);
        let said = home.cli(&["serve"]).await.failed(2, &[]);
        scene.note(format!("serve with {}", settings.split('=').next().unwrap_or_default()), said);
    }
    let variables = format!(
        "HIKYAKU__SERVER__ADMIN_TOKN={} HIKYAKU__QUEUE__URL=amqp://me:{}@ HIKYAKU__OUTBOUND__PROXY=http://me:{}@",
        wrong("a token"),
        wrong("a password"),
        wrong("a proxy's password")
    );
    let ran = scene.home.shell(&format!("env {variables} \"$HIKYAKU\" serve")).await;
    scene.note("serve with wrong variables", ran.failed(2, &["HIKYAKU__SERVER__ADMIN_TOKN"]));
}

/// Lets events come, be delivered, fail in every way, be looked at and be replayed.
async fn deliver(scene: &Scene, program: &Program) {
    let held = scene.secret(HELD);
    let publish = async |id: &str| {
        let event = json!({"type": "userCreated", "eventId": id, "body": {"text": held}}).to_string();
        let answer = program.request().bearer_auth(&scene.admin).body(event).send().await.expect("an answer");
        assert_eq!(answer.status().as_u16(), 200);
    };
    publish("e1").await;
    program.metric_is("hikyaku_dead_letters", FAILING as f64).await;
    // What an event holds, and what a receiver answers, is in dead letters, which are for admins; it is not in their listing.
    for args in [vec!["dead", "list"], vec!["dead", "list", "--json"], vec!["dead", "replay", "--all"]] {
        scene.cli(&args).await.ok();
    }
    program.metric_is("hikyaku_dead_letters", FAILING as f64).await;
    let posted = program.asking(reqwest::Method::POST, &format!("{}/ingest/misskey", program.address));
    let event = json!({"server": "https://m.example", "hookId": "h", "userId": ALICE, "eventId": "m1", "createdAt": 1, "type": "note", "body": {"text": held}});
    let posted = posted.header("x-misskey-hook-secret", &scene.ingest).body(event.to_string()).send().await;
    assert_eq!(posted.expect("an answer").status().as_u16(), 204);
    scene.echo.got("e1").await;
    scene.echo.got("m1").await;
    scene.outside.assert_used().await;
}

/// Delivers with a wrong password of the proxy, which is told, and costs nothing.
async fn with_wrong_proxy_password(scene: &Scene) {
    let wrong = scene.outside.url_with(&scene.secret("a wrong password of the proxy"));
    // A queue and a store of its own, in another folder.
    let settings = format!(
        "server.listen = \"127.0.0.1:0\"\nserver.admin_token = \"{}\"\nlog.level = \"trace\"\noutbound.proxy = \"{wrong}\"\n",
        scene.admin
    );
    let home = Home::bare(&(settings + &declared("w", &scene.echo.url("/200"), "userCreated")));
    let mut program = home.serve_after("export RUST_LOG=trace RUST_BACKTRACE=full").await;
    let event = event("userCreated", "p1");
    let answer = program.request().bearer_auth(&scene.admin).body(event).send().await.expect("an answer");
    assert_eq!(answer.status().as_u16(), 200);
    program.line("an attempt could not be made here").await;
    for path in ["/metrics", "/healthz", "/readyz"] {
        scene.note(format!("{path} with a wrong password of the proxy"), program.get(path).await.1);
    }
    program.signal("TERM").await;
    scene.note("serve with a wrong password of the proxy", program.ended().await.1);
}

/// Looks at what the history has of it all. Receivers have answered with what they got, so that has what an event holds, for
/// admins who look at one delivery; it has nothing else, wherever in the file it might lie.
async fn look_back(scene: &Scene, program: &Program) {
    let get = |path: &str| {
        let request = program.asking(reqwest::Method::GET, &format!("{}{path}", program.address));
        request.bearer_auth(&scene.admin)
    };
    let (status, listed) = answer(get("/v1/deliveries?limit=1000")).await.expect("an answer");
    assert_eq!(status, 200, "{listed}");
    scene.note("GET /v1/deliveries", listed.to_string());
    scene.cli(&["deliveries", "list"]).await.ok();
    scene.cli(&["deliveries", "list", "--json"]).await.ok();
    let held = ["what an event holds"];
    let mut answers = 0;
    for delivery in listed["deliveries"].as_array().expect("deliveries") {
        let id = delivery["id"].as_str().expect("an id");
        let (status, shown) = answer(get(&format!("/v1/deliveries/{id}"))).await.expect("an answer");
        assert_eq!(status, 200, "{shown}");
        answers += usize::from(shown["attempts"][0]["response"].as_str().is_some_and(|response| response.len() > 500));
        let found = scene.canaries.found_in(&shown.to_string());
        assert!(found.iter().all(|what| held.contains(what)), "{found:?} in {shown}");
    }
    assert!(answers > 3, "receivers have answered with all that they got: {listed}");
    for name in ["history.db", "history.db-wal"] {
        let bytes = std::fs::read(scene.home.path(name)).expect("it is there");
        let found = scene.canaries.found_in(&String::from_utf8_lossy(&bytes));
        assert!(found.iter().all(|what| held.contains(what)), "{found:?} in {name}");
    }
    let wrong = program.asking(reqwest::Method::GET, &format!("{}/v1/deliveries", program.address));
    scene.refused("a wrong token of operators", wrong.bearer_auth(scene.secret("a wrong token")), "").await;
}

/// The whole run.
async fn assert_no_secret_is_told(scene: Scene) {
    let program = scene.home.serve_after("export RUST_LOG=trace RUST_BACKTRACE=full").await;
    manage(&scene, &program).await;
    deliver(&scene, &program).await;
    look_back(&scene, &program).await;
    misuse(&scene, &program).await;
    bad_settings(&scene).await;
    with_wrong_proxy_password(&scene).await;
    scene.cli(&["reconcile"]).await;
    for path in ["/metrics", "/healthz", "/readyz"] {
        scene.note(path, program.get(path).await.1);
    }
    program.signal("TERM").await;
    let (code, said) = program.ended().await;
    assert_eq!(code, Some(0), "{said}");
    for line in ["dead-lettered", "answered", "was refused", "will be tried again", "delivered"] {
        assert!(said.contains(line), "the run was not as busy as it should be, there is no {line:?}:\n{said}");
    }
    scene.note("the log", said);
    scene.assert_kept();
    scene.assert_sealed();
}

#[tokio::test]
async fn a_busy_run_tells_no_secret() {
    let scene = Scene::new(Canaries::default(), Kind::Tinyproxy, "log.format = \"json\"\n").await;
    assert_no_secret_is_told(scene).await;
}

#[tokio::test]
async fn a_busy_run_over_rabbitmq_tells_no_secret() {
    let canaries = Canaries::default();
    let broker = Broker::start().await;
    let (user, password) = ("courier", canaries.text("the broker's password", "p@ss/", "%"));
    broker.control(&["add_user", user, &password]).await;
    broker.control(&["set_permissions", user, ".*", ".*", ".*"]).await;
    let url = |password: &str| {
        let encoded: String = password
            .bytes()
            .map(
                |byte| if byte.is_ascii_alphanumeric() { char::from(byte).to_string() } else { format!("%{byte:02X}") },
            )
            .collect();
        format!("amqp://{user}:{encoded}@{}", broker.address())
    };
    let settings = format!("queue.url = \"{}\"\nqueue.single_host = true\n", url(&password));
    let scene = Scene::new(canaries, Kind::Microsocks, &settings).await;

    let wrong = url(&scene.secret("a wrong password of the broker"));
    let event = json!({"type": "note", "body": {}}).to_string();
    let ran = scene.home.cli_with(&["publish", "--queue", &wrong], &event).await;
    scene.note("publish with a wrong password", ran.stdout.clone() + &ran.failed(1, &["RabbitMQ"]));
    let home = Home::bare(&scene.settings.replace(&url(&password), &wrong));
    let refused = home.start(&["serve"]);
    let said = async || Some(refused.said()).filter(|said| said.contains("RabbitMQ"));
    let said = until("it is told that RabbitMQ refuses it", said).await;
    refused.kill().await;
    scene.note("serve with a wrong password", said);

    assert_no_secret_is_told(scene).await;
}
