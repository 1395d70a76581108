//! `hikyaku check`: what it is asked for on the command line.

use std::net::SocketAddr;

/// Arguments of `check`.
#[derive(Clone, Debug, clap::Args)]
pub struct CheckArgs {
    /// Only ask the hikyaku that runs here whether it is alive; exit code 0 when it is, else 1
    #[arg(long, conflicts_with = "ready")]
    pub health: bool,
    /// Only ask the hikyaku that runs here whether it is ready; exit code 0 when it is, else 1
    #[arg(long)]
    pub ready: bool,
    /// The address that it listens on, as given to serve, instead of server.listen
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub listen: Option<SocketAddr>,
}
