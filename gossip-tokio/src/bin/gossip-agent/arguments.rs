//! The command line of the agent and of `ctl`. Knows words; must not know what becomes of them.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use gossip_tokio::gossip_core::Status;
use tracing_subscriber::filter::LevelFilter;

/// A gossip node on this machine
///
/// Runs until it is told to leave, by the command `leave` or by Ctrl-C; a second Ctrl-C ends it at once. Takes
/// commands through its control socket, from `gossip-agent ctl`.
///
/// A flag wins over an environment variable, and that over the configuration file. SIGHUP reads all of them again.
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
    pub(crate) other: Option<Other>,
    #[command(flatten)]
    pub(crate) start: Start,
}

/// Tasks of the program beside running an agent.
#[derive(Debug, Subcommand)]
pub(crate) enum Other {
    /// Ask the agent that runs on this machine
    Ctl(Ctl),
    /// Print a new key, a line of 64 hex digits, for the key file
    Keygen,
    /// Print a completion script for a shell
    Completions {
        /// The shell
        shell: Shell,
    },
    /// Print the manual page, or write the pages of all commands into a directory
    Man {
        /// Directory for the pages
        directory: Option<PathBuf>,
    },
}

/// The client's side: which agent, which command, how the answer is printed.
#[derive(Debug, Args)]
pub(crate) struct Ctl {
    #[command(flatten)]
    pub(crate) control: Control,
    /// Print one JSON object per line, errors too
    #[arg(long, global = true)]
    pub(crate) json: bool,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Options of a start. Those not given are in the configuration file, or have a default.
#[derive(Debug, Clone, Args)]
pub(crate) struct Start {
    /// The configuration file, in TOML: everything that the flags say, and more
    #[arg(long, value_name = "FILE", env = "GOSSIP_AGENT_CONFIG")]
    pub(crate) config: Option<PathBuf>,
    /// Address to listen at; port 0 is a free one [default: 127.0.0.1:7000]
    #[arg(long, value_name = "HOST:PORT", env = "GOSSIP_AGENT_BIND")]
    pub(crate) bind: Option<String>,
    /// Address at which others reach this node, if not there: behind a translator, or with 0.0.0.0 bound
    #[arg(long, value_name = "HOST:PORT", env = "GOSSIP_AGENT_ADVERTISE")]
    pub(crate) advertise: Option<String>,
    /// A member to join through; may be repeated. Names are resolved again while nobody answers
    #[arg(long, value_name = "HOST:PORT", env = "GOSSIP_AGENT_JOIN", value_delimiter = ',')]
    pub(crate) join: Vec<String>,
    /// The node's name, unique in the cluster, at most 64 bytes [default: a random id]
    #[arg(long, env = "GOSSIP_AGENT_NAME")]
    pub(crate) name: Option<String>,
    /// A tag that others see of this node; may be repeated. All tags together have at most 512 bytes
    #[arg(long, value_name = "KEY=VALUE", env = "GOSSIP_AGENT_TAGS", value_delimiter = ',')]
    pub(crate) tag: Vec<String>,
    /// The cluster's name: nodes with another one are not heard
    #[arg(long, env = "GOSSIP_AGENT_LABEL")]
    pub(crate) label: Option<String>,
    /// Keys that all members share, a line of 64 hex digits each: the first one seals, all of them open.
    /// `gossip-agent keygen` makes one
    #[arg(long, value_name = "FILE", env = "GOSSIP_AGENT_KEYS")]
    pub(crate) key_file: Option<PathBuf>,
    /// File that keeps what the node knows across restarts
    #[arg(long, value_name = "FILE", env = "GOSSIP_AGENT_DATA")]
    pub(crate) data: Option<PathBuf>,
    /// Answer a write when it is on the disk: not even a machine that fails loses it
    #[arg(long, env = "GOSSIP_AGENT_SYNC")]
    pub(crate) sync: bool,
    /// Filter of the log on standard error: off, error, warn, info, debug, trace, or those by target [default: info]
    #[arg(long, value_name = "FILTER", env = "GOSSIP_AGENT_LOG")]
    pub(crate) log: Option<String>,
    /// Form of the lines of the log [default: text]
    #[arg(long, env = "GOSSIP_AGENT_LOG_FORMAT")]
    pub(crate) log_format: Option<LogFormat>,
    /// Also serve HTTP here: the page, metrics, /v1. Without a token on loopback only [default: not at all]
    #[arg(long, value_name = "ADDRESS:PORT", env = "GOSSIP_AGENT_HTTP")]
    pub(crate) http: Option<String>,
    /// A file whose first line is the token that HTTP requests have to carry
    #[arg(long, value_name = "FILE", env = "GOSSIP_AGENT_HTTP_TOKEN_FILE")]
    pub(crate) http_token_file: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) control: Control,
    /// Print what holds, of flags, environment, file and defaults together, and do not start
    #[arg(long)]
    pub(crate) check: bool,
    /// Print one JSON object per line
    #[arg(long)]
    pub(crate) json: bool,
}

/// The form of the log.
#[derive(Debug, Copy, Clone, Default, PartialEq, Eq, ValueEnum, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum LogFormat {
    /// Lines for people
    #[default]
    Text,
    /// One JSON object per line
    Json,
}

/// Socket at which agent and `ctl` meet.
#[derive(Debug, Clone, Args)]
pub(crate) struct Control {
    /// The agent's control socket [default: gossip-agent.sock in XDG_RUNTIME_DIR, or .gossip-agent.sock in HOME; while
    /// another agent has that, gossip-agent.2.sock, and so on]
    #[arg(long = "control", id = "control", value_name = "SOCKET", env = "GOSSIP_AGENT_CONTROL")]
    pub(crate) given: Option<PathBuf>,
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
}

/// A time such as `90s`, `5m` or `1h 30m`.
fn duration(text: &str) -> Result<Duration, humantime::DurationError> {
    humantime::parse_duration(text)
}

fn status(text: &str) -> Result<Status, String> {
    let all = [Status::Alive, Status::Suspect, Status::Dead, Status::Left];
    let found = all.into_iter().find(|status| status.to_string() == text);
    found.ok_or_else(|| "a status is one of alive, suspect, dead, left".into())
}

/// A command to a running agent.
#[derive(Debug, Clone, PartialEq, Eq, Subcommand)]
pub(crate) enum Command {
    /// Show this node: its health, what to do about it, and what it holds
    Info {
        /// Wait until the node is healthy, at most so long; fail if it is not
        #[arg(long, value_name = "TIME", num_args = 0..=1, default_missing_value = "30s", value_parser = duration)]
        wait_healthy: Option<Duration>,
    },
    /// Show who is there, by name
    Members {
        /// Only those with this status; may be repeated
        #[arg(long, value_parser = status)]
        status: Vec<Status>,
        /// Only those with this name; * stands for any characters, ? for one
        #[arg(long)]
        name: Option<String>,
        /// Only those with this tag, or with any value of it; may be repeated, and all must be there
        #[arg(long, value_name = "KEY[=VALUE]")]
        tag: Vec<String>,
        /// With tags, start and incarnation
        #[arg(long)]
        detailed: bool,
    },
    /// Show whom this node does not reach: its members that are suspect or dead. Fails if there is one
    Reachability {
        /// Ask all agents, each for whom it does not reach
        #[arg(long)]
        all: bool,
    },
    /// Show the round trip between this node, or another one, and a member, as its pings have measured it; else an estimate, which says that it is one
    Rtt {
        /// Its name or id, as `members` shows it
        member: String,
        /// The member to which the first one is asked for it [default: this node is]
        to: Option<String>,
    },
    /// Show the value of an entry
    Get {
        /// Its name
        name: String,
        /// The member, by name or id, whose own entry it is [default: an entry that all share]
        #[arg(long, value_name = "MEMBER")]
        of: Option<String>,
        /// The share of that member, or of this one
        #[arg(long)]
        share: bool,
        /// Print the bytes of the value and nothing else
        #[arg(long)]
        raw: bool,
    },
    /// Write an entry
    Put {
        /// An entry of this member's own, gone when it is
        #[arg(long)]
        own: bool,
        /// This member's share: it stays when this member restarts, dies or leaves, until it is deleted or the member is forgotten. After a start this waits until others have told what it was before
        #[arg(long, conflicts_with = "own")]
        share: bool,
        /// Nobody has to be asked: this member has not written any shares before, or holds them all
        #[arg(long, requires = "share")]
        claim: bool,
        /// Time that it lives, such as 90s or 5m [default: for ever]
        #[arg(long, value_name = "TIME", value_parser = duration)]
        ttl: Option<Duration>,
        /// The file that holds the value; - is standard input
        #[arg(long, conflicts_with = "value")]
        file: Option<PathBuf>,
        /// Its name
        name: String,
        /// Its value; words are joined by spaces
        #[arg(required_unless_present = "file", trailing_var_arg = true, allow_hyphen_values = true)]
        value: Vec<OsString>,
    },
    /// Delete an entry
    Delete {
        /// An entry of this member's own
        #[arg(long)]
        own: bool,
        /// This member's share
        #[arg(long, conflicts_with = "own")]
        share: bool,
        /// Its name
        name: String,
    },
    /// Show the entries
    List {
        /// The member, by name or id, whose own entry of exactly this name is shown; * is all members
        #[arg(long, value_name = "MEMBER")]
        of: Option<String>,
        /// The shares of that member whose names begin so; of all members, and without --of, those of exactly this name
        #[arg(long)]
        share: bool,
        /// Only those whose names begin so
        #[arg(default_value = "")]
        prefix: String,
    },
    /// Send a message to all members
    Broadcast {
        /// A name by which handlers choose it
        #[arg(long)]
        name: Option<String>,
        /// The message; words are joined by spaces
        #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
        message: Vec<OsString>,
    },
    /// Ask all agents, or some. Each answers with what its handler for the query prints. Fails if one does not answer
    Query {
        /// Only these members, by name or id; may be repeated
        #[arg(long, value_name = "MEMBER")]
        to: Vec<String>,
        /// Only those with this tag; may be repeated, and all must be there
        #[arg(long, value_name = "KEY=VALUE")]
        tag: Vec<String>,
        /// Time to wait for answers [default: ten protocol periods]
        #[arg(long, value_name = "TIME", value_parser = duration)]
        timeout: Option<Duration>,
        /// The name by which handlers choose it
        name: String,
        /// What is asked; words are joined by spaces
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        message: Vec<OsString>,
    },
    /// Send a message to one member, and wait until it has it
    Send {
        /// Its name or id, as `members` shows it
        member: String,
        /// The message; words are joined by spaces
        #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
        message: Vec<OsString>,
    },
    /// Join through other members; those of the configuration are not tried any more
    Join {
        /// Addresses of the seeds
        #[arg(required = true, value_name = "HOST:PORT")]
        seeds: Vec<String>,
    },
    /// Say that a member is gone for good: it is seen as left, and not tried any more
    Forget {
        /// Its name or id, as `members` shows it
        member: String,
    },
    /// Show what is there and then what happens, until Ctrl-C or until the node leaves
    Watch {
        /// Only entries whose names begin so
        prefix: Option<String>,
    },
    /// Show or change the tags of this node, until it is started again
    Tags {
        #[command(subcommand)]
        action: Option<TagsAction>,
    },
    /// Show what is logged from now on, whatever the agent itself shows, until Ctrl-C
    Monitor {
        /// error, warn, info, debug or trace
        #[arg(long, value_name = "LEVEL", default_value = "info")]
        log_level: LevelFilter,
    },
    /// Change the keys of this node, or of all, while they run
    Keys {
        /// Of all agents, with a table of who did; fails if one did not
        #[arg(long, global = true)]
        all: bool,
        #[command(subcommand)]
        action: Keys,
    },
    /// Show what was counted since the start
    Stats,
    /// Leave the cluster and end the agent
    Leave,
}

/// Changes of this node's tags.
#[derive(Debug, Clone, PartialEq, Eq, Subcommand)]
pub(crate) enum TagsAction {
    /// Set tags; the others stay
    Set {
        /// The tags
        #[arg(required = true, value_name = "KEY=VALUE")]
        tags: Vec<String>,
    },
    /// Delete tags
    Delete {
        /// Their keys
        #[arg(required = true, value_name = "KEY")]
        keys: Vec<String>,
    },
}

/// Commands on keys. A key is named by a number, the same everywhere.
#[derive(Debug, Clone, PartialEq, Eq, Subcommand)]
pub(crate) enum Keys {
    /// Show the keys' numbers; the first one seals
    List,
    /// Accept what is sealed with another key
    Add {
        /// The file that holds the key, 64 hex digits; - is standard input
        #[arg(long)]
        file: PathBuf,
    },
    /// Seal with a key that was added before
    Use {
        /// Its number
        id: std::num::NonZeroU8,
    },
    /// Forget a key that is not in use
    Remove {
        /// Its number
        id: std::num::NonZeroU8,
    },
    /// Give all agents a new key: add it everywhere, use it everywhere, then remove all others. Goes on where it was interrupted; waits
    /// for members that are dead until they are back or forgotten
    Rotate {
        /// The file that holds the key, 64 hex digits; - is standard input
        #[arg(long)]
        file: PathBuf,
        /// Time to wait for all members
        #[arg(long, value_name = "TIME", value_parser = duration, default_value = "1m")]
        timeout: Duration,
    },
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn clap_finds_no_contradiction() {
        Arguments::command().debug_assert();
    }

    fn command(words: &[&str]) -> Result<Command, clap::Error> {
        match Arguments::try_parse_from([&["gossip-agent", "ctl"], words].concat())?.other {
            Some(Other::Ctl(ctl)) => Ok(ctl.command),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_value_may_look_like_a_flag_and_consist_of_words() {
        let value = ["-5", "--json", "x"].map(OsString::from).to_vec();
        let put =
            Command::Put { own: false, share: false, claim: false, ttl: None, file: None, name: "limit".into(), value };
        assert_eq!(command(&["put", "limit", "-5", "--json", "x"]).unwrap(), put);
    }

    #[test]
    fn a_time_and_a_status_are_read_and_junk_is_refused() {
        let put = command(&["put", "--ttl", "1m 30s", "x", "1"]).unwrap();
        assert!(matches!(put, Command::Put { ttl: Some(time), .. } if time == Duration::from_secs(90)));
        let info = command(&["info", "--wait-healthy"]).unwrap();
        assert_eq!(info, Command::Info { wait_healthy: Some(Duration::from_secs(30)) });
        for junk in [&["members", "--status", "gone"][..], &["put", "--ttl", "soon", "x", "1"], &["keys", "use", "0"]] {
            assert!(command(junk).is_err(), "{junk:?}");
        }
    }
}
