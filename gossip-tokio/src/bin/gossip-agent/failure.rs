//! Failures, which end the program early: one line for people or one object for programs, and an exit code for scripts.

use std::error::Error;
use std::process::ExitCode;

use clap::error::ErrorKind;
use serde_json::json;

use crate::output::shown;

/// Why it ended.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// Invalid request: exit code 2, as for a command line that is not understood.
    #[error("{}", .0.trim_end())]
    Usage(String),
    /// It went wrong: exit code 1.
    #[error("{0}")]
    Failed(String),
}

impl Failure {
    /// Tells it on standard error.
    pub(crate) fn report(&self, json: bool) -> ExitCode {
        use std::io::Write as _;

        let code = match self {
            Self::Usage(_) => 2,
            Self::Failed(_) => 1,
        };
        // If nobody reads any more there is nobody to tell.
        let _ = match json {
            true => writeln!(std::io::stderr(), "{}", json!({ "error": harmless(&self.to_string()), "exit": code })),
            false => writeln!(std::io::stderr(), "gossip-agent: {}", harmless(&self.to_string())),
        };
        ExitCode::from(code)
    }
}

/// Lines without what would command a terminal: a word or a path that is refused is repeated in its message.
fn harmless(text: &str) -> String {
    let lines: Vec<String> = text.trim_end().lines().map(|line| shown(line.as_bytes())).collect();
    lines.join("\n")
}

/// Tells why a command line is refused, or shows the help that it asks for.
pub(crate) fn refuse(error: &clap::Error, json: bool) -> ExitCode {
    use std::io::Write as _;

    let is_plain = |word: std::ffi::OsString| !word.to_string_lossy().chars().any(char::is_control);
    if !error.use_stderr() || (!json && std::env::args_os().all(is_plain)) {
        // If nobody reads any more there is nobody to tell.
        let _ = error.print();
        return ExitCode::from(if error.use_stderr() { 2 } else { 0 });
    }
    let text = error.render().to_string();
    if !json {
        let _ = writeln!(std::io::stderr(), "{}", harmless(&text));
        return ExitCode::from(2);
    }
    // This one is the whole help.
    let reason = match error.kind() {
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => "a command is missing: see --help",
        _ => text.lines().next().unwrap_or_default().trim_start_matches("error: "),
    };
    Failure::Usage(reason.to_owned()).report(true)
}

/// An error with what caused it, in a line.
pub(crate) fn chain(error: &(dyn Error + 'static)) -> String {
    let causes = std::iter::successors(Some(error), |error| (*error).source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
