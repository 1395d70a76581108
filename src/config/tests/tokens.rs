//! Who may come with which token, and that no secret is printed.

use super::*;

/// A `[[server.tokens]]`.
fn token(name: &str, token: &str, access: &str) -> String {
    format!("[[server.tokens]]\nname = \"{name}\"\ntoken = \"{token}\"\naccess = \"{access}\"\n")
}

#[test]
fn named_tokens_tell_who_comes_and_what_they_may_do() {
    let file = format!(
        "[server]\nadmin_token = \"0123456789abcdef\"\n{}{}",
        token("board", "hunter2hunter2hunter2", "read"),
        token("carol", "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad", "full")
    );
    let settings = load(&file, &[]).expect("valid");
    let operators = settings.server.operators();
    let who = |token: &str| operators.who(token).map(|operator| (operator.name.to_string(), operator.access));
    assert_eq!(who("0123456789abcdef"), Some((ADMIN.to_owned(), Access::Full)));
    assert_eq!(who("hunter2hunter2hunter2"), Some(("board".to_owned(), Access::Read)));
    assert_eq!(who("abc"), Some(("carol".to_owned(), Access::Full)));
    assert_eq!(who("abcd"), None);
    assert!(!format!("{settings:?}").contains("hunter2"));
    let open = load(&format!("[server]\nlisten = \"0.0.0.0:0\"\n{}", token("a", "0123456789abcdef", "read")), &[]);
    assert_eq!(open.expect("valid").server.is_open(), None, "there is somebody who may look, and nobody else");
}

#[test]
fn tokens_that_are_weak_or_equal_are_refused_in_words_that_do_not_quote_them() {
    let admin = "[server]\nadmin_token = \"hunter2hunter2hunter2\"\n";
    let good = token("board", "0123456789abcdef", "read");
    for (tokens, expected) in [
        (token("a", "hunter2", "read"), "server.tokens[0].token: it has 7 characters, and 16 to 1024 are allowed"),
        (token("a", "xxxxxxxxxxxxxxxx", "read"), "server.tokens[0].token: it is made of no more than 1 different"),
        (token("a", "hunter2hunter2hunter2", "read"), "server.tokens[0].token: it is the token of admin too"),
        (
            good.clone() + &token("b", "0123456789abcdef", "full"),
            "server.tokens[1].token: it is the token of board too",
        ),
        (good + &token("board", "0123456789abcdeg", "full"), "server.tokens[1].name: another token has the name"),
        (
            token("admin", "0123456789abcdef", "full"),
            "server.tokens[0].name: `admin` is whoever has server.admin_token",
        ),
        (token("a b", "0123456789abcdef", "full"), "server.tokens[0].name: it has the character ' '"),
        (
            token("a", "0123456789abcdef", "write"),
            "server.tokens[0].access: it is \"write\", and allowed are `read`, `full`",
        ),
        (
            "[[server.tokens]]\nname = \"a\"\ntoken = \"0123456789abcdef\"\n".to_owned(),
            "server.tokens[0].access: it is missing",
        ),
    ] {
        let told = problems(&format!("{admin}{tokens}"), &[]);
        assert!(told.len() == 1 && told[0].contains(expected), "{tokens}: {told:?}");
        assert!(!told[0].contains("hunter2") && !told[0].contains("0123456789"), "{told:?}");
    }
    let many: String = (0..=100).map(|n| token(&format!("t{n}"), &format!("0123456789abcdef{n}"), "read")).collect();
    let told = problems(&many, &[]);
    assert!(told.len() == 1 && told[0].contains("more than 100 tokens"), "{told:?}");
}

#[test]
fn printing_the_settings_prints_no_secret() {
    let file = r#"
        [server]
        admin_token = "hunter2hunter2hunter2"
        [[webhooks]]
        id = "wh1"
        url = "https://bot.example/hook"
        secret = "hunter2"
        signing_secret = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"
        previous_signing_secrets = ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"]
        signing_key = "whsk_nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A="
        previous_signing_keys = ["whsk_TM0Imyj/ltqdtsNG7BFOD1uKMZ81q6Yk2oz27U+4pvs="]
        on = ["note"]
    "#;
    let printed = format!("{:?}", load(file, &[]).expect("valid"));
    assert!(printed.contains("wh1"), "{printed}");
    for secret in ["hunter2", "C2FVsBQ", "MfKQ9r8", "nWGxne", "TM0Imyj"] {
        assert!(!printed.contains(secret), "{secret}: {printed}");
    }
}
