//! A secret is worth what its scope says, and the path says whose Misskey it is.

use super::{MASTER, OTHER, SECRET, USER, arrivals, ingest, server, small, webhook};
use crate::support::misskey_wire::post;

const USERS_SECRET: &str = "the-secret-of-one-user";
const SYSTEMS_SECRET: &str = "the-secret-of-the-system";

#[tokio::test]
async fn a_users_secret_cannot_post_for_another_user_or_forge_a_system_event() {
    let settings = format!("{}[[misskey.ingest]]\nmaster = \"{MASTER}\"\n", {
        ingest("default", USERS_SECRET, &format!("user:{USER}"))
    });
    let (receiver, home, program) = server(&settings).await;
    let derived = home.cli(&["misskey", "secret", "--user", USER]).await.ok();
    let derived = derived.trim_end();
    for (secret, refusal) in [(USERS_SECRET, "scope"), (derived, "wrong")] {
        let own = small("note", USER, &format!("own-{refusal}"));
        assert_eq!(post(&program.address, "/ingest/misskey", secret, &own).await.status, 204);
        for forged in [small("note", OTHER, "forged"), small("abuseReport", "", "forged"), small("note", "", "forged")]
        {
            let answer = post(&program.address, "/ingest/misskey", secret, &forged).await;
            answer.refused(401, &[if refusal == "scope" && forged.contains("userId") { OTHER } else { refusal }]);
        }
    }
    receiver.until_distinct(2).await;
    program.metric_is("hikyaku_queue_depth{queue=\"work\"}", 0.0).await;
    let own = ["own-scope", "own-wrong"].map(|id| ("/user".to_owned(), id.to_owned()));
    assert_eq!(arrivals(&receiver), own, "nothing that was forged arrived");
    assert!((program.metric("hikyaku_ingest_refused_total{reason=\"out_of_scope\"}").await - 3.0).abs() < 0.1);
    assert!((program.metric("hikyaku_ingest_refused_total{reason=\"wrong_secret\"}").await - 3.0).abs() < 0.1);
    program.stop().await;
}

#[tokio::test]
async fn a_user_who_sends_anothers_ids_first_keeps_nothing_of_the_others_out() {
    let systems = ingest("default", SYSTEMS_SECRET, "system");
    let others = ingest("default", "the-secret-of-another-user", &format!("user:{OTHER}"));
    let settings = format!("{}{others}{systems}", ingest("default", USERS_SECRET, &format!("user:{USER}")));
    let (receiver, _home, program) = server(&settings).await;
    for (secret, kind, user) in [
        (USERS_SECRET, "note", USER),
        ("the-secret-of-another-user", "note", OTHER),
        (SYSTEMS_SECRET, "userCreated", ""),
    ] {
        let event = small(kind, user, "one-id");
        assert_eq!(post(&program.address, "/ingest/misskey", secret, &event).await.status, 204);
    }
    receiver.until("each has arrived", |book| book.arrived.len() >= 3).await;
    let mut paths: Vec<_> = arrivals(&receiver).into_iter().map(|(path, _)| path).collect();
    paths.sort();
    assert_eq!(paths, ["/other", "/system", "/user"]);
    program.stop().await;
}

#[tokio::test]
async fn the_systems_secret_brings_system_events_and_no_users() {
    let (receiver, _home, program) = server(&ingest("default", SYSTEMS_SECRET, "system")).await;
    let answer = post(&program.address, "/ingest/misskey", SYSTEMS_SECRET, &small("note", USER, "forged")).await;
    answer.refused(401, &["scope", USER]);
    let report = small("abuseReport", "", "report");
    assert_eq!(post(&program.address, "/ingest/misskey", SYSTEMS_SECRET, &report).await.status, 204);
    receiver.until_distinct(1).await;
    assert_eq!(arrivals(&receiver), [("/system".to_owned(), "report".to_owned())]);
    program.stop().await;
}

#[tokio::test]
async fn the_source_is_the_paths_and_what_the_body_says_of_it_is_not_believed() {
    let other = "the-secret-of-another-misskey";
    let settings = format!("{}{}", ingest("default", SECRET, "any"), ingest("other.example", other, "any"));
    let (receiver, home, program) = server(&settings).await;
    program.stop().await;
    let webhooks = webhook("elsewhere", USER, "other.example", &receiver.url("/elsewhere"));
    home.write("hikyaku.toml", &(std::fs::read_to_string(home.path("hikyaku.toml")).expect("settings") + &webhooks));
    let program = home.serve().await;

    let claims = |id: &str, source: &str| small("note", USER, id).replacen('{', &format!("{{\"source\":{source},"), 1);
    for (path, secret, event) in [
        ("/ingest/misskey", SECRET, claims("a", "\"other.example\"")),
        ("/ingest/misskey/default", SECRET, claims("b", "7")),
        ("/ingest/misskey/other.example", other, claims("c", "\"default\"")),
    ] {
        let answer = post(&program.address, path, secret, &event).await;
        assert_eq!(answer.status, 204, "{path}: {answer:?}");
    }
    for (path, secret) in [("/ingest/misskey", other), ("/ingest/misskey/other.example", SECRET)] {
        post(&program.address, path, secret, &small("note", USER, "d")).await.refused(401, &["wrong"]);
    }
    receiver.until_distinct(3).await;
    let expected = [("/user", "a"), ("/user", "b"), ("/elsewhere", "c")];
    assert_eq!(arrivals(&receiver), expected.map(|(path, id)| (path.to_owned(), id.to_owned())));
    program.stop().await;
}

#[tokio::test]
async fn the_command_prints_no_secret_where_there_is_no_master() {
    let (_receiver, home, program) = server(&ingest("default", SECRET, "any")).await;
    let ran = home.cli(&["misskey", "secret", "--user", USER]).await;
    ran.failed(2, &["source default", "`master`"]);
    home.cli(&["misskey", "secret", "--user", ""]).await.failed(2, &["--user", "it is empty"]);
    program.stop().await;
}
