//! The commands that people type, one file each. `app` opens what a command needs and hands it over; a command reads its
//! arguments, does its work through the seams, and writes for a person or, with `--json`, for a program.

mod args;
mod bench_args;
mod check;
mod client_certificate;
mod connect;
mod dead;
mod deliveries;
mod delivery_args;
mod forget;
mod listing;
mod misskey;
mod operator;
mod option_args;
mod output;
mod publish;
mod rate_limit;
mod reconcile;
mod rejected;
mod remote;
mod resend;
mod shell;
mod shown;
mod signing;
mod status;
mod table;
mod test_webhook;
mod types;
mod webhooks;

pub use args::{Args, Command, DemoArgs, PublishArgs, RejectedArgs, RejectedCommand, Role, ServeArgs, WebhooksCommand};
pub use bench_args::BenchArgs;
pub use check::{CheckArgs, Finding, Level, check};
pub use connect::{Choices, ConnectArgs, Connecting, connect};
pub use dead::{DeadParts, dead};
pub use deliveries::deliveries;
pub use delivery_args::{DeadCommand, DeliveriesCommand, ForgetArgs, ResendArgs};
pub use forget::{forget, forget_at};
pub use listing::LimitArgs;
pub use misskey::{MisskeyCommand, misskey_secret};
pub use option_args::OptionArgs;
pub use output::{CliError, Output};
pub use publish::{Published, publish};
pub use reconcile::{ReconcileArgs, reconcile, token_of};
pub use rejected::rejected;
pub use remote::{
    Managing, Reading, Remote, RemoteArgs, RemoteError, TOKEN_VARIABLE, dead_of, deliveries_of, webhooks_of,
};
pub use resend::resend;
pub use shell::{CompletionsArgs, ManArgs, completions, man};
pub use status::{StatusArgs, status};
pub use table::Table;
pub use test_webhook::{TestArgs, test_webhook};
pub use webhooks::{Allowed, webhooks};

use operator::operator;
