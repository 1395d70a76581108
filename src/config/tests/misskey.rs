//! What Misskey's webhooks to us carry, and what it gave up.

use super::*;

#[test]
fn what_misskey_gave_up_is_looked_at_every_ten_minutes_unless_told_otherwise() {
    let every = |file: &str| load(file, &[]).expect("valid").misskey.reconcile_every;
    assert_eq!(every(""), Some(Duration::from_secs(600)));
    assert_eq!(every("[misskey]\nreconcile_every_s = 30"), Some(Duration::from_secs(30)));
    assert_eq!(every("[misskey]\nreconcile_every_s = 0"), None, "at the start only");
}

#[test]
fn what_misskeys_webhooks_carry_is_a_secret_with_a_scope_or_a_master() {
    let file = r#"
        [[misskey.ingest]]
        secret = "hunter2hunter2hunter2"
        scope = "user:9ks5o1w5k3x90001"
        [[misskey.ingest]]
        source = "other"
        master = "hunter2hunter2hunter2hunter2hunter2"
    "#;
    let settings = load(file, &[]).expect("valid");
    let [first, second] = settings.misskey.ingest.as_slice() else { panic!("{:?}", settings.misskey) };
    assert_eq!((first.source.as_str(), second.source.as_str()), ("default", "other"));
    let Credential::Secret { secret, scope } = &first.credential else { panic!("{first:?}") };
    assert_eq!(secret.expose(), "hunter2hunter2hunter2");
    assert_eq!(*scope, IngestScope::User(UserId::new("9ks5o1w5k3x90001").expect("an id")));
    assert!(matches!(second.credential, Credential::Master(_)), "{second:?}");
    assert!(!format!("{settings:?}").contains("hunter2"));
}

#[test]
fn problems_of_what_misskeys_webhooks_carry_are_all_told_and_quote_no_secret() {
    let file = r#"
        [[misskey.ingest]]
        secret = "hunter2"
        scope = "everyone"
        [[misskey.ingest]]
        secret = "hunter2hunter2 hunter2"
        [[misskey.ingest]]
        source = ""
        [[misskey.ingest]]
        secret = "hunter2hunter2hunter2"
        master = "hunter2hunter2hunter2"
        scope = "user:"
        [[misskey.ingest]]
        master = "hunter2hunter2hunter2hünter2hunter2"
        scope = "any"
        [[misskey.ingest]]
        secret = 5
        scope = "any"
        scopes = "any"
    "#;
    let told = problems(file, &[]);
    let expected = [
        "misskey.ingest[0].secret: it has 7 characters, and 16 to 1024 are allowed",
        "misskey.ingest[0].scope: it must be \"any\", \"system\", or \"user:\"",
        "misskey.ingest[1].secret: it has a character that is no visible ASCII",
        "misskey.ingest[1].scope: it is missing",
        "misskey.ingest[2].source: it is empty",
        "misskey.ingest[2].secret: it is missing, and so is `master`",
        "misskey.ingest[3].master: it has 21 characters, and 32 to 1024 are allowed",
        "misskey.ingest[3].scope: what follows `user:` must be",
        "misskey.ingest[3].master: there is a secret beside it",
        "misskey.ingest[4].master: it has a character that is no visible ASCII",
        "misskey.ingest[4].scope: a master has none",
        "misskey.ingest[5].secret: must be a text, and this is a whole number",
        "misskey.ingest[5].scopes: unknown setting; did you mean `scope`?",
    ];
    assert_eq!(told.len(), expected.len(), "{told:#?}");
    for (told, expected) in told.iter().zip(expected) {
        assert!(told.contains(expected) && !told.contains("hunter2") && !told.contains("hünter"), "{told}");
    }
}
