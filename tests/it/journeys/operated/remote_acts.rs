//! What changes something, by `--url`: the same is done and said as beside queue and store.

use serde_json::{Value, json};

use crate::journeys::dead_letters::until_dead;
use crate::support::journey_receiver::{Arrived, Behaviour, Receiver};
use crate::support::program::{Home, Program, Ran, TOKEN, declared, events, until};

const READER: &str = "a-token-for-the-dashboard";
const EVENTS: usize = 12;

/// A server that is asked over the network, with a receiver of its own.
struct World {
    receiver: Receiver,
    home: Home,
    program: Program,
}

impl World {
    async fn answering(status: u16) -> Self {
        let receiver = Receiver::start(Behaviour::Answer(status)).await;
        let reader = format!("[[server.tokens]]\nname = \"dashboard\"\ntoken = \"{READER}\"\naccess = \"read\"\n");
        let home = Home::new(&(reader + &declared("hook", &receiver.url("/"), "note")));
        home.write("token", TOKEN);
        home.write("reader", READER);
        let program = home.serve().await;
        Self { receiver, home, program }
    }

    /// A server with a dead letter of each event.
    async fn with_letters() -> Self {
        let world = Self::answering(404).await;
        assert_eq!(world.program.post(events("note", "e", EVENTS)).await.0, 200);
        until_dead(&world.home, EVENTS).await;
        world
    }

    /// Runs a command that asks the server.
    async fn ask(&self, args: &[&str]) -> Ran {
        self.ask_as("token", args).await
    }

    async fn ask_as(&self, token: &str, args: &[&str]) -> Ran {
        let remote = ["--url", self.program.address.as_str(), "--token-file", token];
        self.home.cli(&[&args[..1], &remote[..], &args[1..]].concat()).await
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn letters_are_put_back_to_work_and_deleted_over_the_network_and_nothing_by_a_token_that_looks() {
    let world = World::with_letters().await;
    let letters = until_dead(&world.home, EVENTS).await;
    let ids: Vec<&str> = letters[..3].iter().map(|letter| letter["id"].as_str().expect("an id")).collect();
    let refused = world.ask_as("reader", &["dead", "replay", "--all"]).await;
    refused.failed(1, &["answered 403", "dashboard"]);
    world.ask(&["dead", "replay"]).await.failed(2, &["say which dead letters"]);
    world.ask(&["dead", "purge", "--reason", "bored"]).await.failed(2, &["--reason", "none of gone"]);
    let dry = world.ask(&["dead", "replay", "--all", "--dry-run"]).await.ok();
    assert_eq!(dry, format!("{EVENTS} dead letters would be replayed\n"));
    assert_eq!(world.receiver.book().repeats(), 0);

    world.receiver.behave(Behaviour::Answer(200));
    let by_ids = world.ask(&["dead", "replay", "--id", ids[0], "--id", ids[1]]).await.ok();
    assert_eq!(by_ids, "2 dead letters put back to work\n");
    world.receiver.until("both arrive again", |book| book.repeats() == 2).await;
    let shown = until("the history has it", async || {
        let ran = world.ask(&["deliveries", "show", ids[0], "--json"]).await;
        (ran.code == Some(0)).then(|| ran.json())
    })
    .await;
    assert_eq!(shown["replays"][0]["by"], "admin", "{shown}");
    assert_eq!(world.ask(&["dead", "purge", "--id", ids[2]]).await.ok(), "1 dead letter deleted\n");
    let filtered = world.ask(&["dead", "purge", "--event", "e0", "--webhook", "hook", "--since", "1h"]).await.ok();
    assert!(filtered.ends_with(" deleted\n"), "{filtered}");
    let left = until("the last are counted", async || {
        let told = world.home.cli(&["dead", "replay", "--all", "--dry-run"]).await.ok();
        told.split(' ').next().and_then(|count| count.parse::<usize>().ok())
    })
    .await;
    assert_eq!(world.ask(&["dead", "replay", "--all"]).await.ok(), format!("{left} dead letters put back to work\n"));
    world.receiver.until("all of them arrive again", |book| book.repeats() == 2 + left).await;
    until_dead(&world.home, 0).await;
    assert_eq!(world.ask(&["dead", "purge", "--all"]).await.ok(), "0 dead letters deleted\n");
    world.program.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn letters_go_to_a_file_and_come_back_over_the_network_and_a_line_that_is_none_is_told() {
    let world = World::with_letters().await;
    world.home.cli(&["dead", "export", "--output", "here.ndjson"]).await.ok();
    world.ask(&["dead", "export", "--output", "there.ndjson"]).await.ok();
    let read = |name: &str| std::fs::read_to_string(world.home.path(name)).expect("a file");
    let lines = read("here.ndjson");
    assert_eq!((read("there.ndjson"), lines.lines().count()), (lines.clone(), EVENTS));
    let printed = world.ask(&["dead", "export", "--event", "e3"]).await;
    assert!(printed.stderr.contains("1 dead letter exported"), "{printed:?}");
    assert_eq!(printed.ok().lines().count(), 1);

    world.home.write("broken.ndjson", &format!("{lines}nonsense\n"));
    let told = world.ask(&["dead", "import", "broken.ndjson", "--dry-run", "--json"]).await;
    assert_eq!(told.code, Some(1), "{told:?}");
    assert_eq!(told.stdout, world.home.cli(&["dead", "import", "broken.ndjson", "--dry-run", "--json"]).await.stdout);
    world.ask(&["dead", "purge", "--all"]).await.ok();
    let ran = world.ask(&["dead", "import", "broken.ndjson"]).await;
    let line = format!("broken.ndjson line {}: it is no dead letter", EVENTS + 1);
    assert!(ran.stdout.starts_with(&format!("{EVENTS} dead letters imported, 0 here already")), "{ran:?}");
    ran.failed(1, &[&line]);
    until_dead(&world.home, EVENTS).await;
    let again = world.ask(&["dead", "import", "there.ndjson"]).await.ok();
    assert!(again.starts_with(&format!("0 dead letters imported, {EVENTS} here already")), "{again}");
    world.home.write("none.ndjson", "nonsense\n");
    for args in
        [["dead", "import", "none.ndjson"], ["dead", "import", "nowhere.ndjson"], ["dead", "import", "/dev/null"]]
    {
        let (here, there) = (world.home.cli(&args).await, world.ask(&args).await);
        assert_eq!((there.code, &there.stderr), (here.code, &here.stderr), "{args:?}");
        there.failed(1, &["ndjson:"].map(|words| if args[2] == "/dev/null" { "no line in it" } else { &words[..6] }));
    }
    world.program.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_sent_is_sent_again_over_the_network_and_a_person_is_forgotten() {
    let world = World::answering(200).await;
    let World { receiver, home, program } = &world;
    let user = "9ks5o1w5k3x90001";
    let url = receiver.url("/of-a-person");
    home.cli(&["webhooks", "create", "--url", &url, "--on", "note", "--user", user]).await.ok();
    let of_user = format!("{{\"type\":\"note\",\"userId\":\"{user}\",\"eventId\":\"u1\",\"body\":{{}}}}\n");
    assert_eq!(program.post(of_user + &events("note", "e", EVENTS)).await.0, 200);
    until("all are in the history", async || {
        let (_, page) = program.operate("/v1/deliveries?state=delivered&limit=1000").await;
        (page["deliveries"].as_array()?.len() == EVENTS + 1).then_some(())
    })
    .await;
    // Not that of e3, which is sent again below: then it might still be on its way.
    let is_meant = |arrived: &&Arrived| arrived.path == "/" && arrived.event_id() != "e3";
    let id = receiver.book().arrived.iter().find(is_meant).expect("one").id().to_owned();
    let told = world.ask(&["deliveries", "resend", &id]).await.ok();
    assert_eq!(told, format!("{id} sent again, as generation 1\n"));
    receiver.until("it arrives again", |book| book.repeats() == 1).await;
    let unknown = format!("msg_{}", "a".repeat(32));
    world.ask(&["deliveries", "resend", &unknown]).await.failed(1, &["the history has no delivery"]);
    world.ask(&["deliveries", "resend", &id, "--dry-run"]).await.failed(2, &["--dry-run"]);
    let dry = ["deliveries", "resend", "--webhook", "hook", "--since", "2h", "--dry-run"];
    assert_eq!(world.ask(&dry).await.ok(), home.cli(&dry).await.ok());
    let told = world.ask(&["deliveries", "resend", "--webhook", "hook", "--since", "2h", "--event", "e3"]).await.ok();
    assert_eq!(told, "1 delivery sent again; 0 on their way already; 0 without a body\n");
    receiver.until("that one arrives", |book| book.repeats() == 2).await;

    let report = world.ask(&["forget", "--user", user, "--json"]).await.json();
    let expected = json!({
        "user": user, "source": "default", "webhooks": 1, "declaredWebhooks": [], "deliveries": 1, "attempts": 1, "bodies": 1,
        "deadLetters": 0, "queueTrouble": null,
    });
    assert_eq!(report, expected);
    let again = world.ask(&["forget", "--user", user]).await.ok();
    assert!(again.contains("  0 webhooks") && again.contains("dropped as it comes by"), "{again}");
    world.ask_as("reader", &["forget", "--user", user]).await.failed(1, &["answered 403"]);
    world.program.stop().await;
}

/// A webhook as it is shown, but for what no two have alike.
async fn registered(home: &Home, id: &str) -> Value {
    let mut shown = home.cli(&["webhooks", "show", id, "--reveal", "--json"]).await.json();
    shown["id"].take();
    shown
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn webhooks_are_made_changed_and_tested_over_the_network_as_beside_the_store() {
    let world = World::answering(200).await;
    let (home, url) = (&world.home, world.receiver.url("/made"));
    let filter = r#"{"path":"/note/visibility","equals":"public"}"#;
    let options = [
        "--secret",
        "s3cr3t",
        "--signing-secret",
        "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD",
        "--retry-schedule",
        "1,2.5",
        "--max-age",
        "3600",
        "--timeout",
        "1500",
        "--rate-limit",
        "5/s",
        "--rate-burst",
        "9",
        "--filter",
        filter,
        "--format",
        "cloudevents",
        "--send-secret",
        "false",
    ];
    for owner in [&["--user", "u1"][..], &[]] {
        let kind = if owner.is_empty() { "abuseReport" } else { "note" };
        let create =
            [&["webhooks", "create", "--url", &url, "--on", kind, "--name", "a bot", "--json"], owner, &options]
                .concat();
        let [here, there] = [home.cli(&create).await.json(), world.ask(&create).await.json()]
            .map(|made| made["id"].as_str().expect("an id").to_owned());
        assert_eq!(registered(home, &there).await, registered(home, &here).await, "{owner:?}");
        let update = [
            "webhooks",
            "update",
            "--name",
            "renamed",
            "--no-filters",
            "--rate-burst",
            "3",
            "--max-age",
            "default",
            "--active",
            "false",
        ];
        for (id, ran) in [
            (&here, home.cli(&[&update[..], &[&here]].concat()).await),
            (&there, world.ask(&[&update[..], &[&there]].concat()).await),
        ] {
            assert!(ran.ok().contains("renamed"), "{id}");
        }
        let changed = registered(home, &there).await;
        assert_eq!(changed, registered(home, &here).await, "{owner:?}");
        assert_eq!((&changed["active"], &changed["rateLimit"]["burst"]), (&json!(false), &json!(3)));

        let told = world.ask(&["webhooks", "test", &there, "--type", kind, "--json"]).await.json();
        assert_eq!((&told["outcome"], &told["status"]), (&json!("delivered"), &json!(200)), "{told}");
        let made = world.ask(&["webhooks", "update", &there, "--generate-signing-secret", "--json"]).await.json();
        assert_eq!(made["signingSecret"], registered(home, &there).await["signingSecret"], "it is shown this once");
        let behind = ["webhooks", "delete", &there, "--url", &world.program.address, "--token-file", "token"];
        assert_eq!(home.cli(&behind).await.ok(), format!("deleted {there}\n"));
    }
    for (args, words) in [
        (&["webhooks", "create", "--url", &url, "--on", "note"][..], "--name: it is missing"),
        (&["webhooks", "create", "--url", &url, "--on", "note", "--name", "x", "--id", "mine"], "--id: over --url"),
        (&["webhooks", "create", "--url", &url, "--on", "note", "--name", "x", "--any-type"], "misskey.extra_types"),
        (&["webhooks", "create", "--url", "nowhere", "--on", "abuseReport", "--name", "x"], "url: "),
        (&["webhooks", "create", "--url", &url, "--on", "notes", "--name", "x"], "on[0]: "),
        (&["webhooks", "update", "hook"], "nothing to change"),
        (&["webhooks", "test", "hook", "--type", "nonsense"], "type: "),
    ] {
        world.ask(args).await.failed(2, &[words]);
    }
    world.ask(&["webhooks", "update", "hook", "--name", "x"]).await.failed(1, &["declared in the settings file"]);
    world.ask_as("reader", &["webhooks", "test", "hook", "--type", "note"]).await.failed(1, &["answered 403"]);
    world.program.stop().await;
}

#[tokio::test]
async fn what_is_no_hikyaku_or_has_another_role_is_told_so_in_a_sentence() {
    let receiver = Receiver::start(Behaviour::Answer(200)).await;
    let home = Home::new("");
    home.write("token", TOKEN);
    let other = receiver.url("/");
    for command in [
        &["status"][..],
        &["dead", "list"],
        &["dead", "export"],
        &["dead", "purge", "--all"],
        &["deliveries", "list"],
        &["webhooks", "list"],
        &["forget", "--user", "u1"],
    ] {
        let remote = ["--url", other.as_str(), "--token-file", "token"];
        home.cli(&[command, &remote[..]].concat()).await.failed(1, &["is that hikyaku"]);
    }
    let worker = home.serve_as("worker").await;
    let create = ["webhooks", "--url", &worker.address, "--token-file", "token", "create"];
    let create = [&create[..], &["--url", "https://bot.example/", "--on", "note", "--name", "x"]].concat();
    home.cli(&create).await.failed(1, &["this process serves no management API", "serve --role"]);
    worker.stop().await;
}
