//! `hikyaku completions` and `hikyaku man`: what a shell completes, and manual pages, both made of the command line as clap reads it.
//!
//! The Debian package has what they write; whoever installs the program by hand runs them. They need no settings.

use std::path::{Path, PathBuf};

use clap::CommandFactory;
use clap_complete::Shell;

use super::{Args, CliError, Output};

/// Arguments of `completions`.
#[derive(Debug, clap::Args)]
pub struct CompletionsArgs {
    /// The shell
    #[arg(value_enum)]
    pub shell: Shell,
}

/// Arguments of `man`.
#[derive(Debug, clap::Args)]
pub struct ManArgs {
    /// The folder to write them to; it is made if it is absent
    #[arg(long, value_name = "FOLDER")]
    pub dir: PathBuf,
}

/// `hikyaku completions`: a script for the shell, on standard output.
///
/// # Errors
/// When it cannot be written.
pub fn completions(args: &CompletionsArgs, output: &mut Output) -> Result<(), CliError> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Args::command(), "hikyaku", &mut script);
    output.line(String::from_utf8_lossy(&script).trim_end())
}

/// `hikyaku man`: a page for hikyaku and for each of its commands.
///
/// # Errors
/// When one cannot be written; some may be.
pub fn man(args: &ManArgs, output: &mut Output) -> Result<(), CliError> {
    let unwritable = |error: std::io::Error| CliError::Io { what: told(&args.dir), error };
    std::fs::create_dir_all(&args.dir).map_err(unwritable)?;
    // Whatever the clock says, the same program writes the same pages.
    let command = Args::command().flatten_help(false);
    clap_mangen::generate_to(command, &args.dir).map_err(unwritable)?;
    output.note(&told(&args.dir));
    Ok(())
}

fn told(dir: &Path) -> String {
    format!("manual pages in {}", dir.display())
}
