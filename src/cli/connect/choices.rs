//! What a person chooses: by flags, or asked at a terminal.

use std::io::BufRead;

use super::ConnectArgs;
use crate::cli::{CliError, Output};

/// A person's choices.
#[derive(Debug)]
pub struct Choices {
    import: Option<bool>,
    pause: Option<bool>,
    can_ask: bool,
}

impl Choices {
    /// Those that `args` make; the others are asked for if there is a terminal to ask at.
    pub fn new(args: &ConnectArgs, can_ask: bool) -> Self {
        let choice = |yes: bool, no: bool| if no { Some(false) } else { (yes || args.yes).then_some(true) };
        Self { import: choice(args.import, args.no_import), pause: choice(args.pause, args.no_pause), can_ask }
    }

    /// Whether the webhooks that were told are to be taken over.
    pub(super) fn import(&self, output: &mut Output) -> Result<bool, CliError> {
        let question = "Take them over into hikyaku, each with its URL, secret, types, name and state?";
        self.choose(self.import, question, "--import takes them over", output)
    }

    /// Whether the webhooks that were told are to be switched off on Misskey.
    pub(super) fn pause(&self, output: &mut Output) -> Result<bool, CliError> {
        let question = "Switch them off on Misskey, so that their receivers do not get everything twice?";
        self.choose(self.pause, question, "--pause switches them off", output)
    }

    fn choose(&self, chosen: Option<bool>, question: &str, flag: &str, output: &mut Output) -> Result<bool, CliError> {
        match chosen {
            Some(chosen) => Ok(chosen),
            None if self.can_ask => ask(question, output),
            None => {
                output.line(&format!("{question} No: there is no terminal to ask at; {flag}."))?;
                Ok(false)
            }
        }
    }
}

/// Yes is only what begins with y.
fn ask(question: &str, output: &mut Output) -> Result<bool, CliError> {
    output.ask(&format!("{question} [y/N] "));
    let mut typed = String::new();
    let read = std::io::stdin().lock().read_line(&mut typed);
    read.map_err(|error| CliError::Io { what: "the answer cannot be read".to_owned(), error })?;
    Ok(typed.trim_start().starts_with(['y', 'Y']))
}
