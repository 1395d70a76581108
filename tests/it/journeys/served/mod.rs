//! How the program serves HTTP, whatever is asked: names of requests, browsers of other origins, clients that are slow, and
//! bytes that mean one thing to a proxy and another to a server.

mod framing;
mod names;
mod origins;
mod slow_clients;

use crate::support::program::{Home, Program};

const SECRET: &str = "a-secret-that-misskey-sends";

/// A server with every way in; `settings` come first.
async fn server(settings: &str) -> (Home, Program) {
    let home = Home::new(&format!("{settings}[[misskey.ingest]]\nsecret = \"{SECRET}\"\nscope = \"any\"\n"));
    let program = home.serve().await;
    (home, program)
}
