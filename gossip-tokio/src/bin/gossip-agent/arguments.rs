//! What may be said on the command line, at the console, and through the control socket. Knows words; must not know
//! what becomes of them.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use gossip_tokio::gossip_core::NodeId;
use serde::{Deserialize, Serialize};
use tracing_subscriber::filter::Targets;

/// A gossip node on this machine
///
/// Runs until it is told to leave, by the command `leave` or by Ctrl-C; a second Ctrl-C ends it at once. Takes
/// commands from its standard input, and through its control socket from `gossip-agent ctl`.
#[derive(Debug, Parser)]
#[command(
    name = "gossip-agent",
    version,
    max_term_width = 80,
    args_conflicts_with_subcommands = true,
    after_help = "Two nodes on one machine:\n  \
        gossip-agent --name a\n  \
        gossip-agent --name b --bind 127.0.0.1:7001 --join 127.0.0.1:7000\n\n\
        In the background, give it no terminal to read: gossip-agent --name a </dev/null &"
)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) ctl: Option<Other>,
    #[command(flatten)]
    pub(crate) start: Start,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Other {
    Ctl(Ctl),
}

/// Asks the agent that runs on this machine
#[derive(Debug, Args)]
pub(crate) struct Ctl {
    #[command(flatten)]
    pub(crate) control: Control,
    /// Print one JSON object per line
    #[arg(long, global = true)]
    pub(crate) json: bool,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// How a node is started.
#[derive(Debug, Args)]
pub(crate) struct Start {
    /// Where to listen; port 0 is a free one
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:7000")]
    pub(crate) bind: String,
    /// Where the others reach this node, if not there: behind a translator, or with 0.0.0.0 bound
    #[arg(long, value_name = "HOST:PORT")]
    pub(crate) advertise: Option<String>,
    /// A member to join through; may be repeated. Names are resolved again while nobody answers
    #[arg(long, value_name = "HOST:PORT")]
    pub(crate) join: Vec<String>,
    /// The node's name, unique in the cluster [default: a random id]
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// The cluster's name: nodes with another one are not heard
    #[arg(long)]
    pub(crate) label: Option<String>,
    /// Keys that all members share, a line of 64 hex digits each: the first one seals, all of them open.
    /// `openssl rand -hex 32` makes one
    #[arg(long, value_name = "FILE")]
    pub(crate) key_file: Option<PathBuf>,
    /// Settings that differ from the defaults, as TOML
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Where to keep what the node knows across restarts
    #[arg(long, value_name = "FILE")]
    pub(crate) data: Option<PathBuf>,
    /// What to log to standard error: off, error, warn, info, debug, trace, or those by target
    #[arg(long, value_name = "FILTER", default_value = "info")]
    pub(crate) log: Targets,
    #[command(flatten)]
    pub(crate) control: Control,
    /// Print one JSON object per line
    #[arg(long)]
    pub(crate) json: bool,
}

/// Where agent and `ctl` meet.
#[derive(Debug, Args)]
pub(crate) struct Control {
    /// The agent's control socket [default: gossip-agent.sock in XDG_RUNTIME_DIR, or .gossip-agent.sock in HOME; while
    /// another agent has that, gossip-agent.2.sock, and so on]
    #[arg(long = "control", id = "control", value_name = "SOCKET", env = "GOSSIP_AGENT_CONTROL")]
    given: Option<PathBuf>,
}

impl Control {
    /// The socket's path; none if nothing says where it may be.
    pub(crate) fn path(&self) -> Option<PathBuf> {
        let directory = |variable| std::env::var_os(variable).filter(|path| !path.is_empty()).map(PathBuf::from);
        let default = || {
            let runtime = directory("XDG_RUNTIME_DIR").map(|path| path.join("gossip-agent.sock"));
            runtime.or_else(|| directory("HOME").map(|path| path.join(".gossip-agent.sock")))
        };
        self.given.clone().or_else(default)
    }

    /// Whether the user has chosen it.
    pub(crate) fn is_given(&self) -> bool {
        self.given.is_some()
    }
}

/// What can be asked of a running agent.
#[derive(Debug, Clone, PartialEq, Eq, Subcommand, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Command {
    /// Show who is there
    Members,
    /// Show the value of an entry
    Get {
        /// Its name
        name: String,
    },
    /// Write an entry
    Put {
        /// Its name
        name: String,
        /// Its value; words are joined by spaces
        #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
        value: Vec<String>,
    },
    /// Delete an entry
    Delete {
        /// Its name
        name: String,
    },
    /// Show the entries
    List {
        /// Only those whose names begin so
        #[arg(default_value = "")]
        prefix: String,
    },
    /// Send a message to all members
    Broadcast {
        /// The message; words are joined by spaces
        #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
        message: Vec<String>,
    },
    /// Say that a member is gone for good: it is seen as left, and not tried any more
    Forget {
        /// Its id, as `members` shows it
        id: NodeId,
    },
    /// Show what happens, until Ctrl-C; at the console, until `watch` is said again
    Watch,
    /// Show what was counted since the start
    Stats,
    /// Leave the cluster and end the agent
    Leave,
}

/// A line at the console.
#[derive(Debug, Parser)]
#[command(multicall = true, max_term_width = 80, disable_help_flag = true, help_template = "{subcommands}{after-help}")]
#[command(after_help = "Words are quoted as in a shell: get 'a name'")]
pub(crate) struct Line {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn clap_finds_no_contradiction() {
        Arguments::command().debug_assert();
        Line::command().debug_assert();
    }

    #[test]
    fn a_value_may_look_like_a_flag_and_consist_of_words() {
        let line = Line::try_parse_from(["put", "limit", "-5", "--json", "x"]).unwrap();
        let value = ["-5", "--json", "x"].map(String::from).to_vec();
        assert_eq!(line.command, Command::Put { name: "limit".into(), value });
    }
}
