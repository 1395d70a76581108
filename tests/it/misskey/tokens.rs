//! People's tokens: worth here what they are worth there, remembered for a minute, and never a burden to Misskey.

use std::sync::Arc;
use std::time::Duration;

use hikyaku::clock::{ManualClock, SharedClock};
use hikyaku::misskey::{Need, People, PeopleError};
use hikyaku::model::{Peer, Source, Timestamp, UserId};
use hikyaku::record::{DeadLetters, Forgotten, Retention};
use tokio::task::JoinSet;

use super::{ALICE, client, secret};
use crate::support::misskey::{Misskey, Mood};
use crate::support::patience::never;
use crate::support::program::until;

struct World {
    misskey: Misskey,
    clock: Arc<ManualClock>,
    people: People,
    /// Alice's login's own token.
    native: String,
}

fn peer(number: u32) -> Peer {
    Peer::of(std::net::Ipv4Addr::from_bits(number).into())
}

async fn world() -> World {
    let misskey = Misskey::start().await;
    let native = misskey.world(|world| world.person(ALICE, "alice"));
    let clock = Arc::new(ManualClock::new(Timestamp::from_millis(1_774_960_496_789), 0.5));
    let people = People::new(client(&misskey), Arc::clone(&clock) as SharedClock);
    World { misskey, clock, people, native }
}

impl World {
    /// Whose the token is, when it is good for `need`.
    async fn check(&self, token: &str, need: Need) -> Result<String, PeopleError> {
        self.people.check(peer(1), &secret(token), need).await.map(|account| account.id.to_string())
    }

    fn app_token(&self, permissions: &[&str]) -> String {
        self.misskey.world(|world| world.app_token(ALICE, permissions))
    }
}

#[track_caller]
fn assert_denied(result: &Result<String, PeopleError>, status: u16, code: &str) {
    match result {
        Err(PeopleError::Denied(refusal)) => assert_eq!((refusal.status, refusal.code.as_str()), (status, code)),
        other => panic!("not denied: {other:?}"),
    }
}

#[track_caller]
fn assert_away(result: &Result<String, PeopleError>) {
    assert!(matches!(result, Err(PeopleError::Away { .. })), "{result:?}");
}

#[tokio::test]
async fn a_token_is_good_for_what_misskey_lets_it_do() {
    let world = world().await;
    let alice = Ok(ALICE.to_owned());
    for need in [Need::Identity, Need::Write, Need::ReadSecrets] {
        assert_eq!(world.check(&world.native, need).await, alice, "{need:?}");
    }
    let (reading, writing) = (world.app_token(&["read:account"]), world.app_token(&["read:account", "write:account"]));
    assert_eq!(world.check(&reading, Need::ReadSecrets).await, alice);
    assert_denied(&world.check(&reading, Need::Write).await, 403, "PERMISSION_DENIED");
    assert_eq!(world.check(&writing, Need::Write).await, alice);
    // Whose it is can only be told with `read:account`.
    let blind = world.app_token(&["write:account"]);
    assert_denied(&world.check(&blind, Need::Write).await, 403, "PERMISSION_DENIED");
}

#[tokio::test]
async fn system_webhooks_are_for_a_moderators_own_login() {
    let world = world().await;
    assert_denied(&world.check(&world.native, Need::SystemWebhooks).await, 403, "ROLE_PERMISSION_DENIED");
    world.misskey.world(|world| world.change(ALICE, |alice| alice.is_moderator = true));
    let app = world.app_token(&["read:account", "write:account", "read:admin:system-webhook"]);
    assert_denied(&world.check(&app, Need::SystemWebhooks).await, 400, "ACCESS_DENIED");
    world.clock.advance(Duration::from_secs(60));
    assert_eq!(world.check(&world.native, Need::SystemWebhooks).await, Ok(ALICE.to_owned()));
}

#[tokio::test]
async fn a_token_that_nobody_has_is_wrong_and_one_that_cannot_be_is_not_even_asked_about() {
    let world = world().await;
    assert_eq!(world.check("nobodys0nobodys0", Need::Identity).await, Err(PeopleError::WrongToken));
    assert_eq!(world.misskey.calls().len(), 1);
    assert_eq!(world.check("not a token", Need::Identity).await, Err(PeopleError::WrongToken));
    assert_eq!(world.check("", Need::Write).await, Err(PeopleError::WrongToken));
    assert_eq!(world.misskey.calls().len(), 1);
}

#[tokio::test]
async fn a_suspended_persons_token_is_refused_as_misskey_refuses_it() {
    let world = world().await;
    world.misskey.world(|world| world.change(ALICE, |alice| alice.is_suspended = true));
    assert_denied(&world.check(&world.native, Need::Identity).await, 403, "YOUR_ACCOUNT_SUSPENDED");
}

#[tokio::test]
async fn what_misskey_has_said_is_believed_for_a_minute_and_only_what_is_needed_is_asked() {
    let world = world().await;
    for _ in 0..3 {
        world.check(&world.native, Need::Write).await.expect("hers");
        world.check(&world.native, Need::Identity).await.expect("hers");
    }
    let counts = || {
        let endpoints = ["i", "i/webhooks/update", "i/webhooks/list", "admin/system-webhook/list"];
        endpoints.map(|endpoint| world.misskey.count(endpoint))
    };
    assert_eq!(counts(), [1, 1, 0, 0]);
    world.clock.advance(Duration::from_millis(59_999));
    world.check(&world.native, Need::Write).await.expect("hers");
    assert_eq!(counts(), [1, 1, 0, 0]);
    world.clock.advance(Duration::from_millis(1));
    world.misskey.world(|misskey| misskey.revoke(&world.native));
    assert_eq!(world.check(&world.native, Need::Write).await, Err(PeopleError::WrongToken), "a minute is over");
    assert_eq!(counts(), [2, 1, 0, 0]);
}

#[tokio::test]
async fn a_no_is_believed_for_ten_seconds() {
    let world = world().await;
    let token = "nobodys0nobodys0";
    for _ in 0..3 {
        assert_eq!(world.check(token, Need::Identity).await, Err(PeopleError::WrongToken));
    }
    assert_eq!(world.misskey.count("i"), 1);
    world.clock.advance(Duration::from_secs(10));
    assert_eq!(world.check(token, Need::Identity).await, Err(PeopleError::WrongToken));
    assert_eq!(world.misskey.count("i"), 2);
}

#[tokio::test]
async fn while_misskey_is_away_no_token_is_called_wrong_and_afterwards_it_is_good_again() {
    let world = world().await;
    let moods = [Mood::Answers(502, ""), Mood::Answers(404, "<html>"), Mood::BreaksOff, Mood::Redirects];
    for mood in moods {
        world.misskey.behave(mood);
        assert_away(&world.check(&world.native, Need::Write).await);
        world.clock.advance(Duration::from_secs(2));
    }
    world.misskey.release();
    assert_eq!(world.check(&world.native, Need::Write).await, Ok(ALICE.to_owned()));
}

#[tokio::test]
async fn a_clock_that_is_set_back_makes_no_answer_young_again() {
    let misskey = Misskey::start().await;
    let native = misskey.world(|world| world.person(ALICE, "alice"));
    let clock = |ms| Arc::new(ManualClock::new(Timestamp::from_millis(ms), 0.5)) as SharedClock;
    #[derive(Debug)]
    struct Jumps(std::sync::Mutex<SharedClock>);
    impl hikyaku::clock::Clock for Jumps {
        fn now(&self) -> Timestamp {
            self.0.lock().unwrap().now()
        }
        fn elapsed(&self) -> Duration {
            Duration::ZERO
        }
        fn sleep_until(&self, at: Timestamp) -> hikyaku::clock::Wait {
            self.0.lock().unwrap().sleep_until(at)
        }
        fn jitter(&self) -> f64 {
            0.5
        }
    }
    let jumps = Arc::new(Jumps(std::sync::Mutex::new(clock(1_774_960_496_789))));
    let people = People::new(client(&misskey), Arc::clone(&jumps) as SharedClock);
    people.check(peer(1), &secret(&native), Need::Identity).await.expect("hers");
    *jumps.0.lock().unwrap() = clock(1_000_000_000_000);
    misskey.world(|world| world.revoke(&native));
    assert_eq!(people.check(peer(1), &secret(&native), Need::Identity).await, Err(PeopleError::WrongToken));
}

#[tokio::test]
async fn many_checks_of_one_token_at_once_are_one_question() {
    let world = world().await;
    world.misskey.behave(Mood::Held);
    let mut checks = JoinSet::new();
    for _ in 0..50 {
        let (people, token) = (world.people.clone(), secret(&world.native));
        checks.spawn(async move { people.check(peer(1), &token, Need::Identity).await });
    }
    world.misskey.wait_for("i", 1).await;
    world.misskey.release();
    let results = checks.join_all().await;
    assert!(results.iter().all(Result::is_ok), "{results:?}");
    assert_eq!(world.misskey.count("i"), 1);
}

#[tokio::test]
async fn who_asks_first_and_goes_away_takes_nobodys_answer_with_him() {
    let world = world().await;
    world.misskey.behave(Mood::Held);
    let check = || {
        let (people, token) = (world.people.clone(), secret(&world.native));
        tokio::spawn(async move { people.check(peer(1), &token, Need::Identity).await })
    };
    let first = check();
    world.misskey.wait_for("i", 1).await;
    let second = check();
    first.abort();
    world.misskey.wait_for("i", 2).await;
    world.misskey.release();
    assert!(second.await.expect("it ends").is_ok());
}

#[tokio::test]
async fn strangers_tokens_do_not_become_a_crowd_at_misskeys_door() {
    let world = world().await;
    world.misskey.behave(Mood::Held);
    let mut checks = JoinSet::new();
    for number in 0..100 {
        let people = world.people.clone();
        checks.spawn(async move {
            people.check(peer(number), &secret(&format!("strange{number:09}")), Need::Identity).await
        });
    }
    world.misskey.wait_for("i", 16).await;
    never("a seventeenth is asked before one is answered", world.misskey.wait_for("i", 17)).await;
    world.misskey.release();
    let results = checks.join_all().await;
    assert!(results.iter().all(|result| *result == Err(PeopleError::WrongToken)), "{results:?}");
    assert_eq!(world.misskey.count("i"), 100);
}

#[tokio::test]
async fn a_stranger_with_many_tokens_at_a_slow_misskey_leaves_room_for_others() {
    let world = world().await;
    world.misskey.behave(Mood::Held);
    let mut strange = JoinSet::new();
    for number in 0..100 {
        let people = world.people.clone();
        strange
            .spawn(async move { people.check(peer(9), &secret(&format!("strange{number:09}")), Need::Identity).await });
    }
    world.misskey.wait_for("i", 8).await;
    never("a ninth of one peer is asked at once", world.misskey.wait_for("i", 9)).await;
    let (people, token) = (world.people.clone(), secret(&world.native));
    let hers = tokio::spawn(async move { people.check(peer(1), &token, Need::Identity).await });
    world.misskey.wait_for("i", 9).await;
    world.misskey.release();
    assert!(hers.await.expect("it ends").is_ok());
    strange.abort_all();
}

#[tokio::test]
async fn a_token_whose_person_is_forgotten_is_asked_about_anew_and_those_of_others_are_not() {
    let World { misskey, clock, people, native } = world().await;
    let folder = tempfile::tempdir().expect("a folder");
    let retention = Retention { age: Duration::from_secs(86_400), count_max: 1000 };
    let letters =
        DeadLetters::open(&folder.path().join("store.db"), retention, Arc::clone(&clock) as SharedClock).await;
    let letters = Arc::new(letters.expect("opens"));
    let (tell, heard) = tokio::sync::watch::channel(());
    let forgotten = Forgotten::following(Arc::clone(&letters), heard).await;
    let people = people.forgetting(&forgotten);
    let world = World { misskey, clock, people, native };
    let bobs = world.misskey.world(|world| world.person("9ks5o1w5k3x90002", "bob"));
    for token in [&world.native, &bobs, &world.native, &bobs] {
        world.check(token, Need::Identity).await.expect("theirs");
    }
    assert_eq!(world.misskey.count("i"), 2, "each is believed");

    world.misskey.world(|misskey| misskey.revoke(&world.native));
    let alice = UserId::new(ALICE).expect("an id");
    letters.note_forgotten(&Source::default(), &alice).await.expect("noted");
    tell.send(()).expect("heard");
    until("hers is asked about", async || {
        let said = world.check(&world.native, Need::Identity).await;
        (said == Err(PeopleError::WrongToken)).then_some(())
    })
    .await;
    assert_eq!(world.check(&bobs, Need::Identity).await.as_deref(), Ok("9ks5o1w5k3x90002"));
    assert_eq!(world.misskey.count("i"), 3, "his is believed still");
}
