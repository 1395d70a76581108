//! The command line, as clap reads it.

use std::path::PathBuf;

use clap::{Parser, Subcommand};

use super::types::AnyTypeArgs;
use super::{
    BenchArgs, CheckArgs, CompletionsArgs, DeadCommand, DeliveriesCommand, ForgetArgs, LimitArgs, ManArgs, Managing,
    MisskeyCommand, OptionArgs, Reading, ReconcileArgs, RemoteArgs, StatusArgs, TestArgs,
};

/// hikyaku delivers Misskey's webhooks durably: it takes every event over, and does not let go of it until the receiver
/// has it or a person can see why not.
#[derive(Debug, Parser)]
#[command(version, propagate_version = true, arg_required_else_help = true)]
pub struct Args {
    /// The settings file [default: hikyaku.toml, if it is there]
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Take events in and deliver them: the sidecar
    Serve(ServeArgs),
    /// Show the whole job with built-in receivers and sample events, no set-up
    Demo(DemoArgs),
    /// Publish events from NDJSON (one event a line) to the queue
    Publish(PublishArgs),
    /// Manage webhooks, here or, with --url, those of a running hikyaku (before create, update and test, which have another)
    Webhooks(Managing<WebhooksCommand>),
    /// Dead letters: deliveries that were given up
    Dead(Reading<DeadCommand>),
    /// What became of deliveries, with every attempt
    Deliveries(Reading<DeliveriesCommand>),
    /// How it is: queue, store, workers, webhooks that fail, dead letters; exit code 1 when something is wrong
    Status(StatusArgs),
    /// What is wrong with settings, queue, store, Misskey and this machine, and how to mend it; exit code 1 for errors
    Check(CheckArgs),
    /// What was published to RabbitMQ and was no event, or poison
    #[command(subcommand)]
    Rejected(RejectedCommand),
    /// Misskey's own webhooks that point here
    #[command(subcommand)]
    Misskey(MisskeyCommand),
    /// Take in what Misskey gave up sending here while hikyaku was away
    Reconcile(ReconcileArgs),
    /// Erase a person: webhooks, history, dead letters, and what is still queued as it comes by
    Forget(ForgetArgs),
    /// Measure this machine: deliveries per second against bare POSTs
    Bench(BenchArgs),
    /// Print what a shell completes for hikyaku
    Completions(CompletionsArgs),
    /// Write the manual pages
    Man(ManArgs),
}

/// Arguments of `serve`.
#[derive(Debug, clap::Args)]
pub struct ServeArgs {
    /// The address to listen on, instead of server.listen
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub listen: Option<std::net::SocketAddr>,
    /// What to do, with commas between [default: both]
    #[arg(long, value_enum, value_delimiter = ',', value_name = "ROLES")]
    pub role: Vec<Role>,
}

/// What one process of several may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Role {
    /// Takes events in, and manages webhooks by Misskey's API
    Ingest,
    /// Delivers
    Worker,
}

/// Arguments of `demo`.
#[derive(Debug, clap::Args)]
pub struct DemoArgs {
    /// Print the summary as one JSON document
    #[arg(long)]
    pub json: bool,
    /// Go on running, with the addresses printed, until interrupted
    #[arg(long)]
    pub keep: bool,
    /// Show it over RabbitMQ, amqp://user:password@host:5672/vhost, in queues of its own that it deletes at the end
    #[arg(long, value_name = "URL")]
    pub queue: Option<String>,
}

/// Arguments of `publish`.
#[derive(Debug, clap::Args)]
pub struct PublishArgs {
    /// The file to read [default: standard input]
    pub file: Option<PathBuf>,
    /// The queue, instead of queue.url
    #[arg(long, value_name = "URL")]
    pub queue: Option<String>,
    /// Print what became of each line as a JSON document of its own
    #[arg(long)]
    pub json: bool,
}

/// What to do with webhooks.
#[derive(Debug, Subcommand)]
pub enum WebhooksCommand {
    /// List webhooks
    List {
        /// Only this user's
        #[arg(long, value_name = "ID", conflicts_with = "system")]
        user: Option<String>,
        /// Only system webhooks
        #[arg(long)]
        system: bool,
        /// Only those of this source
        #[arg(long)]
        source: Option<String>,
        /// Print a JSON array
        #[arg(long)]
        json: bool,
        /// Which hikyaku.
        #[command(flatten)]
        remote: RemoteArgs,
    },
    /// Show one webhook
    Show {
        /// The webhook's id
        id: String,
        /// Print the secrets too
        #[arg(long)]
        reveal: bool,
        /// Print a JSON document
        #[arg(long)]
        json: bool,
        /// Which hikyaku.
        #[command(flatten)]
        remote: RemoteArgs,
    },
    /// Register a webhook
    Create(Box<CreateArgs>),
    /// Change a webhook; what is not given stays
    Update(Box<UpdateArgs>),
    /// Delete a webhook; what is under way to it is dropped and counted
    Delete {
        /// The webhook's id
        id: String,
        /// Which hikyaku.
        #[command(flatten)]
        remote: RemoteArgs,
    },
    /// Send a dummy event to a webhook, once, whatever its status and types; exit code 1 when it is not taken
    Test(TestArgs),
}

impl WebhooksCommand {
    /// Which hikyaku stands behind what to do.
    pub fn remote(&self) -> RemoteArgs {
        match self {
            Self::List { remote, .. } | Self::Show { remote, .. } | Self::Delete { remote, .. } => remote.clone(),
            Self::Create(_) | Self::Update(_) | Self::Test(_) => RemoteArgs::default(),
        }
    }
}

/// Arguments of `webhooks create`.
#[derive(Debug, clap::Args)]
pub struct CreateArgs {
    /// Where events go
    #[arg(long)]
    pub url: String,
    /// Event types, comma-separated, e.g. note,mention
    #[arg(long, value_delimiter = ',', required = true)]
    pub on: Vec<String>,
    /// Whether types may be named that are not known.
    #[command(flatten)]
    pub any: AnyTypeArgs,
    /// Whose events it gets [default: a system webhook]
    #[arg(long, value_name = "ID")]
    pub user: Option<String>,
    /// Which Misskey's events it gets
    #[arg(long, default_value = "default")]
    pub source: String,
    /// What to call it
    #[arg(long, default_value = "")]
    pub name: String,
    /// The webhook's id [default: a new one]
    #[arg(long)]
    pub id: Option<String>,
    /// Sent in clear text as X-Misskey-Hook-Secret; `-` reads it from standard input
    #[arg(long, default_value = "")]
    pub secret: String,
    /// Register it paused
    #[arg(long)]
    pub paused: bool,
    /// How its deliveries differ from the settings.
    #[command(flatten)]
    pub options: OptionArgs,
    /// Print a JSON document
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `webhooks update`.
#[derive(Debug, clap::Args)]
pub struct UpdateArgs {
    /// The webhook's id
    pub id: String,
    /// Where events go
    #[arg(long)]
    pub url: Option<String>,
    /// Event types, comma-separated
    #[arg(long, value_delimiter = ',')]
    pub on: Option<Vec<String>>,
    /// Whether types may be named that are not known.
    #[command(flatten)]
    pub any: AnyTypeArgs,
    /// What to call it
    #[arg(long)]
    pub name: Option<String>,
    /// Sent in clear text as X-Misskey-Hook-Secret; `-` reads it from standard input
    #[arg(long)]
    pub secret: Option<String>,
    /// true: it gets events, also after it was deactivated; false: it is paused
    #[arg(long)]
    pub active: Option<bool>,
    /// How its deliveries differ from the settings.
    #[command(flatten)]
    pub options: OptionArgs,
    /// Print a JSON document
    #[arg(long)]
    pub json: bool,
}

/// What to do with messages that were rejected.
#[derive(Debug, Subcommand)]
pub enum RejectedCommand {
    /// List them, oldest first
    List {
        /// Which.
        #[command(flatten)]
        filter: RejectedArgs,
        /// How many.
        #[command(flatten)]
        limit: LimitArgs,
        /// Print a JSON array, with the bodies
        #[arg(long)]
        json: bool,
    },
    /// Put them back to where they came from, those that can be read there now
    Requeue {
        /// Which.
        #[command(flatten)]
        filter: RejectedArgs,
        /// Every one
        #[arg(long)]
        all: bool,
        /// Only tell how many
        #[arg(long)]
        dry_run: bool,
    },
    /// Delete them for good
    Purge {
        /// Which.
        #[command(flatten)]
        filter: RejectedArgs,
        /// Every one
        #[arg(long)]
        all: bool,
        /// Only tell how many
        #[arg(long)]
        dry_run: bool,
    },
}

/// Which rejected messages.
#[derive(Debug, clap::Args)]
pub struct RejectedArgs {
    /// This one, by its id in the list or by its message_id; may be given several times
    #[arg(long, value_name = "ID")]
    pub id: Vec<String>,
    /// Those from this queue or exchange, e.g. work or hikyaku.work
    #[arg(long, value_name = "NAME")]
    pub from: Option<String>,
    /// Those with these words in their reason
    #[arg(long, value_name = "WORDS")]
    pub reason: Option<String>,
}
