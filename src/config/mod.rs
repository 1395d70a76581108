//! The settings: read once at start from `hikyaku.toml` and the variables `HIKYAKU__SECTION__KEY`, checked as a whole.
//!
//! Later ways win over earlier ones: the defaults in code, the file, credentials of systemd, the variables, then flags, which their owner
//! writes into the public fields and checks with [`Settings::check`]. A name that nobody knows is an error, and every
//! problem is reported at once. `sources` merges file and variables into one tree, `reader` walks it, and one file per
//! section says what the section holds and allows. `hikyaku.example.toml` shows every setting; tests keep it equal to
//! this code.
//!
//! Nothing is opened, bound or connected to here: only the settings file is read, and files of certificates that it names. Modules take small policy types of
//! their own, never these structs.

mod changes;
mod check;
mod client_certificate;
mod credentials;
mod dead_letters;
mod delivery;
mod filters;
mod history;
mod ingest;
mod ingest_url;
mod log;
mod misskey;
mod misskey_ingest;
mod outbound;
mod problem;
mod queue;
mod reader;
mod server;
mod signing;
mod sources;
mod store;
mod tokens;
mod traces;
mod values;
mod webhooks;

#[cfg(test)]
mod example_tests;
#[cfg(test)]
mod outbound_tests;
#[cfg(test)]
mod tests;

use std::path::Path;

use crate::model::Webhook;

pub use changes::Changes;
pub use dead_letters::DeadLetters;
pub use delivery::Delivery;
pub use history::History;
pub use ingest::Ingest;
pub use ingest_url::IngestUrl;
pub use log::{Log, LogFormat};
pub use misskey::Misskey;
pub use misskey_ingest::MisskeyIngest;
pub use outbound::Outbound;
pub use problem::{Problem, SettingsError};
pub use queue::{Queue, QueueUrl};
pub use server::Server;
pub use store::{Store, StoreUrl};
pub use tokens::NamedToken;
pub use traces::Traces;

use reader::Section;

/// Everything that can be set. `Debug` prints no secret.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// Where we listen, who may ask, and how we stop.
    pub server: Server,
    /// Where accepted events wait.
    pub queue: Queue,
    /// Where registrations and dead letters are kept.
    pub store: Store,
    /// The Misskey beside us.
    pub misskey: Misskey,
    /// What may come in.
    pub ingest: Ingest,
    /// How deliveries are made.
    pub delivery: Delivery,
    /// How requests leave.
    pub outbound: Outbound,
    /// How long given-up deliveries are kept.
    pub dead_letters: DeadLetters,
    /// What is kept of deliveries and attempts, and for how long.
    pub history: History,
    /// Whether it is told which steps an event goes through, and to whom.
    pub traces: Traces,
    /// What is logged, and how.
    pub log: Log,
    /// The webhooks declared in the file, each `[[webhooks]]`. Default none: registrations usually come by API or CLI.
    pub webhooks: Vec<Webhook>,
}

impl Settings {
    /// Reads the settings.
    ///
    /// `file` is the one given with `--config` and must be there; without it `hikyaku.toml` in the working directory is
    /// read when it is there. `env` is the process's variables; only names that begin with `HIKYAKU__` are ours, and
    /// `CREDENTIALS_DIRECTORY`. `Ok`
    /// promises that every value is within its limits and that [`Settings::check`] finds nothing.
    ///
    /// # Errors
    /// Everything that is wrong, at once. The caller prints it and ends with exit code 2.
    pub fn load(file: Option<&Path>, env: impl IntoIterator<Item = (String, String)>) -> Result<Self, SettingsError> {
        Self::load_in(Path::new(""), file, env)
    }

    fn load_in(
        folder: &Path,
        file: Option<&Path>,
        env: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, SettingsError> {
        let sources = sources::gather(file, folder, env);
        let reading = reader::read(&sources.tree, &sources.file, Self::read);
        let settings = reading.outcome;
        let mut problems = sources.problems;
        problems.extend(reading.problems);
        if sources.file_is_whole {
            // A setting that could not be read has its default by now; what that clashes with is nobody's mistake.
            let wrong: Vec<String> = problems.iter().flat_map(|problem| problem.keys().to_vec()).collect();
            let clashes = settings.check().into_iter();
            problems.extend(clashes.filter(|clash| !clash.keys().iter().any(|key| wrong.contains(key))));
        }
        for problem in &mut problems {
            problem.name_origin(|variable| sources.credentials.name_of(variable));
        }
        if problems.is_empty() { Ok(settings) } else { Err(SettingsError::new(problems)) }
    }

    fn read(root: &mut Section<'_, '_>) -> Self {
        Self {
            server: root.section("server", Server::read),
            queue: root.section("queue", Queue::read),
            store: root.section("store", Store::read),
            misskey: root.section("misskey", Misskey::read),
            ingest: root.section("ingest", Ingest::read),
            delivery: root.section("delivery", Delivery::read),
            outbound: root.section("outbound", Outbound::read),
            dead_letters: root.section("dead_letters", DeadLetters::read),
            history: root.section("history", History::read),
            traces: root.section("traces", Traces::read),
            log: root.section("log", Log::read),
            webhooks: webhooks::read(root),
        }
    }
}
