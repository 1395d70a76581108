//! What Misskey gave up sending here is fetched from it: by `hikyaku reconcile`, and by `hikyaku serve`.

mod by_command;
mod by_command_on_rabbitmq;
mod by_serve;

use crate::support::journey_receiver::{Behaviour, Receiver};
use crate::support::misskey::{GivenUp, Misskey, World};
use crate::support::program::Home;

/// A person of the stand-in's whose webhook points here, and a moderator.
const ALICE: &str = "9ks5o1w5k3x90001";
const MODERATOR: &str = "9gt9mv85k3x90004";
/// Under which address Misskey reaches us. Nothing is sent there.
const OURS: &str = "http://172.28.0.10:8787/ingest/misskey";
const SECRET: &str = "a-secret-of-alices";
const SYSTEM_SECRET: &str = "a-secret-of-the-systems";

/// A Misskey, hikyaku's settings for it, and a receiver to which Alice's and the system's webhooks here lead.
struct Scene {
    misskey: Misskey,
    /// The moderator's app's, which may read the queue.
    token: String,
    receiver: Receiver,
    home: Home,
}

/// `token` tells what `misskey.token` is set to, given the moderator's; empty: nothing.
async fn scene(more: &str, token: impl FnOnce(&str) -> String) -> Scene {
    let misskey = Misskey::start().await;
    let moderators = misskey.world(|world| {
        world.person(ALICE, "alice");
        world.person(MODERATOR, "moderator");
        world.change(MODERATOR, |moderator| moderator.is_moderator = true);
        world.app_token(MODERATOR, &["read:admin:queue"])
    });
    let receiver = Receiver::start(Behaviour::Answer(200)).await;
    let (url, set) = (misskey.url(), token(&moderators));
    let home = Home::new(&format!(
        "misskey.url = \"{url}\"\nmisskey.ingest_url = \"{OURS}\"\nmisskey.token = \"{set}\"\n{more}\
         [[misskey.ingest]]\nsecret = \"{SECRET}\"\nscope = \"user:{ALICE}\"\n\
         [[misskey.ingest]]\nsecret = \"{SYSTEM_SECRET}\"\nscope = \"system\"\n\
         [[misskey.ingest]]\nsource = \"second\"\nsecret = \"{SECRET}\"\nscope = \"any\"\n\
         [[webhooks]]\nid = \"alices\"\nuser_id = \"{ALICE}\"\nurl = \"{to}\"\non = [\"note\"]\n\
         [[webhooks]]\nid = \"seconds\"\nsource = \"second\"\nuser_id = \"{ALICE}\"\nurl = \"{to}\"\non = [\"note\"]\n\
         [[webhooks]]\nid = \"systems\"\nurl = \"{to}\"\non = [\"userCreated\"]\n",
        to = receiver.url("/hook")
    ));
    Scene { misskey, token: moderators, receiver, home }
}

/// With `misskey.token` set.
async fn scene_with_token() -> Scene {
    scene("", str::to_owned).await
}

/// What Misskey has of a note of Alice's that it gave up sending to `to` with `secret`.
fn note<'a>(event: &'a str, to: &'a str, secret: &'a str) -> GivenUp<'a> {
    GivenUp { kind: "note", hook: "ajbar5w5k3x90008", user: Some(ALICE), event, to, secret, content: "{}" }
}

/// Has notes of Alice's given up, `count` of them, their ids the prefix and a number from 0.
fn give_up_notes(world: &mut World, prefix: &str, count: usize) {
    for number in 0..count {
        world.give_up(&note(&format!("{prefix}{number}"), OURS, SECRET));
    }
}
