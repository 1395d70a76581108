//! The command line of `dead`, `deliveries` and `forget`, as clap reads it.

use std::path::PathBuf;

use clap::Subcommand;

use super::LimitArgs;

/// What to do with dead letters.
#[derive(Debug, Subcommand)]
pub enum DeadCommand {
    /// List dead letters, newest first
    List {
        /// Which.
        #[command(flatten)]
        filter: FilterArgs,
        /// How many.
        #[command(flatten)]
        limit: LimitArgs,
        /// Print a JSON array
        #[arg(long)]
        json: bool,
    },
    /// Show one dead letter with its event
    Show {
        /// The delivery's id
        id: String,
        /// Print a JSON document
        #[arg(long)]
        json: bool,
    },
    /// Put dead letters back to work
    Replay {
        /// Which.
        #[command(flatten)]
        filter: FilterArgs,
        /// Every dead letter
        #[arg(long)]
        all: bool,
        /// Only tell how many
        #[arg(long)]
        dry_run: bool,
    },
    /// Delete dead letters for good
    Purge {
        /// Which.
        #[command(flatten)]
        filter: FilterArgs,
        /// Every dead letter
        #[arg(long)]
        all: bool,
        /// Only tell how many
        #[arg(long)]
        dry_run: bool,
    },
    /// Write dead letters as NDJSON, with their bodies, newest first
    Export {
        /// Which; every one if nothing is said.
        #[command(flatten)]
        filter: FilterArgs,
        /// The file to write [default: standard output]
        #[arg(long, short, value_name = "FILE")]
        output: Option<PathBuf>,
    },
    /// Read dead letters from NDJSON, as `export` writes them; what is here already stays as it is
    Import {
        /// The file to read [default: standard input]
        file: Option<PathBuf>,
        /// Only look at the lines
        #[arg(long)]
        dry_run: bool,
        /// Print what came of it as a JSON document
        #[arg(long)]
        json: bool,
    },
}

/// Which dead letters.
#[derive(Debug, clap::Args)]
pub struct FilterArgs {
    /// Those of this webhook
    #[arg(long, value_name = "ID")]
    pub webhook: Option<String>,
    /// Those of this event type
    #[arg(long = "type", value_name = "TYPE")]
    pub kind: Option<String>,
    /// Those of this event
    #[arg(long, value_name = "ID")]
    pub event: Option<String>,
    /// Those given up for this reason
    #[arg(long)]
    pub reason: Option<String>,
    /// Those whose last attempt was answered with this HTTP status
    #[arg(long, value_name = "STATUS", value_parser = clap::value_parser!(u16).range(100..=999))]
    pub status: Option<u16>,
    /// Those that died at or after this moment: 2026-11-22T10:00:00Z, or an age such as 2h or 3days
    #[arg(long, value_name = "WHEN")]
    pub since: Option<String>,
    /// Those that died before this moment
    #[arg(long, value_name = "WHEN")]
    pub until: Option<String>,
    /// This delivery; may be given several times
    #[arg(long, value_name = "DELIVERY")]
    pub id: Vec<String>,
}

/// What to tell of deliveries.
#[derive(Debug, Subcommand)]
pub enum DeliveriesCommand {
    /// List deliveries, those taken in last first
    List {
        /// Which.
        #[command(flatten)]
        filter: DeliveryFilterArgs,
        /// How many.
        #[command(flatten)]
        limit: LimitArgs,
        /// Print a JSON array
        #[arg(long)]
        json: bool,
    },
    /// Show one delivery with its attempts
    Show {
        /// The delivery's id
        id: String,
        /// Print a JSON document
        #[arg(long)]
        json: bool,
    },
    /// Send again what was sent before, whatever came of it
    Resend(ResendArgs),
}

/// Arguments of `deliveries resend`.
#[derive(Debug, clap::Args)]
pub struct ResendArgs {
    /// These deliveries, by their ids
    #[arg(value_name = "DELIVERY")]
    pub ids: Vec<String>,
    /// Or which.
    #[command(flatten)]
    pub filter: DeliveryFilterArgs,
    /// Every delivery that the history has
    #[arg(long)]
    pub all: bool,
    /// Not what was put back to work at this moment or later [default: now]; to go on with what was broken off, when it began
    #[arg(long, value_name = "WHEN")]
    pub before: Option<String>,
    /// Only tell how many
    #[arg(long)]
    pub dry_run: bool,
}

/// Which deliveries.
#[derive(Debug, clap::Args)]
pub struct DeliveryFilterArgs {
    /// Those to this webhook
    #[arg(long, value_name = "ID")]
    pub webhook: Option<String>,
    /// Those of this event
    #[arg(long, value_name = "ID")]
    pub event: Option<String>,
    /// Those of this event type
    #[arg(long = "type", value_name = "TYPE")]
    pub kind: Option<String>,
    /// Those that are waiting, delivered, dead or dropped
    #[arg(long)]
    pub state: Option<String>,
    /// Those taken in at or after this moment: 2026-11-22T10:00:00Z, or an age such as 2h or 3days
    #[arg(long, value_name = "WHEN")]
    pub since: Option<String>,
    /// Those taken in before this moment
    #[arg(long, value_name = "WHEN")]
    pub until: Option<String>,
}

/// Arguments of `forget`.
#[derive(Debug, clap::Args)]
pub struct ForgetArgs {
    /// Which hikyaku.
    #[command(flatten)]
    pub remote: super::RemoteArgs,
    /// The user's id at Misskey
    #[arg(long, value_name = "ID")]
    pub user: String,
    /// Which Misskey
    #[arg(long, default_value = "default")]
    pub source: String,
    /// Print a JSON document
    #[arg(long)]
    pub json: bool,
}
