//! Errors that end a command early: one line for people, and an exit code for scripts.

use std::io;
use std::process::ExitCode;

use clap::error::ErrorKind;
use gossip_testkit::ParseError;
use gossip_testkit::lab::Impossible;
use gossip_testkit::lab::real::{Unfinished, Unsettled};

/// An error that ends a command.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// The command line was not understood, or asked for help.
    #[error("{}", one_line(.0))]
    CommandLine(#[from] clap::Error),
    /// A flag's value cannot be; nothing was run.
    #[error("error: --{flag} {bound}")]
    Flag { flag: String, bound: String },
    /// A scenario that is none; nothing was run.
    #[error("error: {file}: {reason}")]
    Scenario { file: String, reason: ParseError },
    /// A file cannot be read.
    #[error("error: {file}: {reason}")]
    File { file: String, reason: io::Error },
    /// A configuration file that does not parse; nothing was run.
    #[error("error: --config {file}: line {line}: {reason}")]
    Config { file: String, line: usize, reason: String },
    /// A cluster did not get where the experiment begins.
    #[error("error: {0}")]
    Unsettled(#[from] Unsettled),
    /// An invariant did not hold, or nothing does what was asked; it has been said on standard output.
    #[error("{0}")]
    Shown(String),
    /// Standard output cannot be written.
    #[error("error: standard output: {0}")]
    Output(#[from] io::Error),
    /// The page cannot be written.
    #[error("error: --html {file}: {reason}")]
    Page { file: String, reason: io::Error },
    /// The picture cannot be written.
    #[error("error: --svg {file}: {reason}")]
    Picture { file: String, reason: String },
}

impl Failure {
    /// Prints the error and returns the exit code: 2 if the command line is at fault, 1 for everything else.
    pub(crate) fn report(&self) -> ExitCode {
        match self {
            Self::CommandLine(error) if !error.use_stderr() => {
                // Help and version; if nobody can read them there is nobody to tell.
                _ = error.print();
                ExitCode::SUCCESS
            }
            Self::CommandLine(error) if error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
                _ = error.print();
                ExitCode::from(2)
            }
            // The reader has seen enough: `| head` is no failure.
            Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
            Self::CommandLine(_)
            | Self::Flag { .. }
            | Self::Scenario { .. }
            | Self::File { .. }
            | Self::Config { .. } => {
                eprintln!("{self}");
                ExitCode::from(2)
            }
            Self::Output(_) | Self::Page { .. } | Self::Picture { .. } | Self::Unsettled(_) | Self::Shown(_) => {
                eprintln!("{self}");
                ExitCode::FAILURE
            }
        }
    }
}

/// The laboratory speaks of fields; their flags have the same names, written with hyphens.
impl From<Impossible> for Failure {
    fn from(Impossible { setting, bound }: Impossible) -> Self {
        Self::Flag { flag: setting.replace('_', "-"), bound }
    }
}

impl From<Unfinished> for Failure {
    fn from(unfinished: Unfinished) -> Self {
        match unfinished {
            Unfinished::Impossible(impossible) => impossible.into(),
            Unfinished::Unsettled(unsettled) => Self::Unsettled(unsettled),
            other => Self::Shown(format!("error: {other}")),
        }
    }
}

/// Returns the part of clap's message before usage and advice, on one line.
fn one_line(error: &clap::Error) -> String {
    let text = error.to_string();
    let words = text.lines().take_while(|line| !line.is_empty()).flat_map(str::split_whitespace);
    words.collect::<Vec<_>>().join(" ")
}
