//! `hikyaku check`: what it is asked for, and how it tells what it found, to a person or, with `--json`, to a program.
//!
//! ```json
//! {"errors":1,"warnings":0,"findings":[{"level":"error","about":"queue","what":"...","mend":"..."}]}
//! ```

use std::net::SocketAddr;

use serde::Serialize;

use super::{CliError, Output};

/// Arguments of `check`.
#[derive(Clone, Debug, clap::Args)]
pub struct CheckArgs {
    /// Only ask the hikyaku that runs here whether it is alive; exit code 0 when it is, else 1
    #[arg(long, conflicts_with_all = ["ready", "json", "strict"])]
    pub health: bool,
    /// Only ask the hikyaku that runs here whether it is ready; exit code 0 when it is, else 1
    #[arg(long, conflicts_with_all = ["json", "strict"])]
    pub ready: bool,
    /// The address that it listens on, as given to serve, instead of server.listen
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub listen: Option<SocketAddr>,
    /// Print a JSON document
    #[arg(long)]
    pub json: bool,
    /// Exit code 1 for warnings too
    #[arg(long)]
    pub strict: bool,
}

/// How much something matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// As it should be.
    Ok,
    /// It works, and may not for long, or not as it could.
    Warning,
    /// It does not work.
    Error,
}

/// One thing that was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// How much it matters.
    pub level: Level,
    /// What it is about, in one word.
    pub about: &'static str,
    /// What was found.
    pub what: String,
    /// How to mend it, or what to know.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mend: Option<String>,
}

impl Finding {
    /// All is well.
    pub fn ok(about: &'static str, what: impl Into<String>) -> Self {
        Self { level: Level::Ok, about, what: what.into(), mend: None }
    }

    /// It works, but.
    pub fn warning(about: &'static str, what: impl Into<String>, mend: impl Into<String>) -> Self {
        Self { level: Level::Warning, about, what: what.into(), mend: Some(mend.into()) }
    }

    /// It does not work.
    pub fn error(about: &'static str, what: impl Into<String>, mend: impl Into<String>) -> Self {
        Self { level: Level::Error, about, what: what.into(), mend: Some(mend.into()) }
    }

    /// An error whose own words say how to mend it.
    pub fn of_error(about: &'static str, error: &(dyn std::error::Error + 'static)) -> Self {
        Self { level: Level::Error, about, what: crate::telemetry::chain(error), mend: None }
    }

    /// The same with a word beside it.
    #[must_use]
    pub fn hint(mut self, mend: impl Into<String>) -> Self {
        self.mend = Some(mend.into());
        self
    }
}

#[derive(Serialize)]
struct Document<'a> {
    errors: usize,
    warnings: usize,
    findings: &'a [Finding],
}

/// Tells what was found; whether that is good enough.
///
/// # Errors
/// When it cannot be written.
pub fn check(findings: &[Finding], args: &CheckArgs, output: &mut Output) -> Result<bool, CliError> {
    let count = |level| findings.iter().filter(|finding| finding.level == level).count();
    let (errors, warnings) = (count(Level::Error), count(Level::Warning));
    let is_good = errors == 0 && (warnings == 0 || !args.strict);
    if args.json {
        let document = Document { errors, warnings, findings };
        // Texts and numbers only.
        output.line(&serde_json::to_string(&document).unwrap_or_default())?;
        return Ok(is_good);
    }
    for finding in findings {
        let level = match finding.level {
            Level::Ok => "ok",
            Level::Warning => "warning",
            Level::Error => "error",
        };
        output.line(&format!("{level:<8} {:<9} {}", finding.about, finding.what))?;
        if let Some(mend) = &finding.mend {
            output.line(&format!("{:18} -> {mend}", ""))?;
        }
    }
    output.line("")?;
    output.line(&match (errors, warnings) {
        (0, 0) => "nothing is wrong".to_owned(),
        (errors, warnings) => format!("{}, {}", counted(errors, "error"), counted(warnings, "warning")),
    })?;
    Ok(is_good)
}

fn counted(count: usize, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(findings: &[Finding], json: bool, strict: bool) -> (bool, String) {
        let (mut output, kept) = Output::kept();
        let args = CheckArgs { health: false, ready: false, listen: None, json, strict };
        let is_good = check(findings, &args, &mut output).expect("written");
        (is_good, kept.lines().join("\n"))
    }

    #[test]
    fn only_errors_are_bad_and_when_strict_warnings_too() {
        let (ok, warning) = (Finding::ok("clock", "is right"), Finding::warning("store", "is small", "buy more"));
        let error = Finding::error("queue", "is away", "start it");
        for (findings, lax, strict) in [
            (vec![ok.clone()], true, true),
            (vec![ok.clone(), warning.clone()], true, false),
            (vec![ok, warning, error], false, false),
        ] {
            assert_eq!((told(&findings, false, false).0, told(&findings, true, true).0), (lax, strict), "{findings:?}");
        }
    }

    #[test]
    fn each_finding_has_a_line_and_how_to_mend_it_another() {
        let findings = [Finding::ok("clock", "is right"), Finding::error("queue", "is away", "start it")];
        let (_, text) = told(&findings, false, false);
        let expected = "ok       clock     is right\nerror    queue     is away\n                   -> start it\n\n1 error, 0 warnings";
        assert_eq!(text, expected);
        let (_, json) = told(&findings, true, false);
        let expected = r#"{"errors":1,"warnings":0,"findings":[{"level":"ok","about":"clock","what":"is right"},{"level":"error","about":"queue","what":"is away","mend":"start it"}]}"#;
        assert_eq!(json.trim_end(), expected);
    }
}
