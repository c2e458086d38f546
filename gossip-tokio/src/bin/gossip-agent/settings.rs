//! Everything that can be chosen about an agent: from the configuration file, the environment and the flags, in rising
//! order. Knows texts and files; no node.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use gossip_tokio::gossip_core::{Config, ConfigFile, Key, MAX_MEMBER_NAME, Tags};
use serde::{Deserialize, Serialize};
use tracing_subscriber::filter::{LevelFilter, Targets};

use crate::arguments::{LogFormat, Start};
use crate::failure::Failure;

/// Target under which the library logs its events.
const DRIVER: &str = "gossip_tokio::driver";

/// Settings of an agent.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Settings {
    pub(crate) name: Option<String>,
    pub(crate) bind: String,
    pub(crate) advertise: Option<String>,
    pub(crate) join: Vec<String>,
    pub(crate) label: Option<String>,
    /// The file with the keys.
    pub(crate) keys: Option<PathBuf>,
    pub(crate) data: Option<PathBuf>,
    /// Answers a write when it is on the disk.
    pub(crate) sync: bool,
    pub(crate) control: Option<PathBuf>,
    pub(crate) http: Option<SocketAddr>,
    /// The file with the token.
    pub(crate) http_token: Option<PathBuf>,
    pub(crate) log: String,
    pub(crate) log_format: LogFormat,
    pub(crate) tags: Tags,
    pub(crate) handlers: Vec<Handler>,
    pub(crate) protocol: Config,
    /// Texts about settings in the file that are not used any more.
    #[serde(skip)]
    pub(crate) removed: Vec<String>,
}

/// A program to be run when something happens.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Handler {
    /// The kinds of events, as `watch --json` names them: `member`, `entry`, `broadcast` and so on; all if empty.
    #[serde(default)]
    pub(crate) on: Vec<String>,
    /// The names of members or entries that it is run for; * stands for any characters.
    #[serde(default)]
    pub(crate) name: Option<String>,
    /// The program and its arguments.
    pub(crate) run: Vec<String>,
    /// Time after which it is killed.
    #[serde(default = "Handler::timeout", with = "text_duration")]
    pub(crate) timeout: Duration,
}

impl Handler {
    const fn timeout() -> Duration {
        Duration::from_secs(30)
    }
}

/// A duration as people write it.
mod text_duration {
    use std::time::Duration;

    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

    pub(super) fn serialize<S: Serializer>(time: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&humantime::format_duration(*time))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        let text = String::deserialize(deserializer)?;
        humantime::parse_duration(&text).map_err(|error| D::Error::custom(format_args!("{text:?} is no time: {error}")))
    }
}

/// The kinds of events that a handler may name.
const KINDS: [&str; 19] = [
    "member",
    "reaped",
    "entry",
    "broadcast",
    "unicast",
    "delivered",
    "query",
    "catch-up",
    "isolated",
    "identity-conflict",
    "clock-wrong",
    "unreachable",
    "narrow-path",
    "full",
    "foreign-cluster",
    "unknown-key",
    "unknown-version",
    "larger-datagrams",
    "left",
];

impl Default for Settings {
    fn default() -> Self {
        Self {
            name: None,
            bind: "127.0.0.1:7000".into(),
            advertise: None,
            join: Vec::new(),
            label: None,
            keys: None,
            data: None,
            sync: false,
            control: None,
            http: None,
            http_token: None,
            log: "info".into(),
            log_format: LogFormat::Text,
            tags: Tags::EMPTY,
            handlers: Vec::new(),
            protocol: Config::lan(),
            removed: Vec::new(),
        }
    }
}

impl Settings {
    /// Reads the file that is named, and lays over it what was said in the environment and on the command line.
    ///
    /// # Errors
    /// A file that cannot be read or understood, a value that cannot be: with its name, and the bound.
    pub(crate) fn of(start: &Start) -> Result<Self, Failure> {
        let mut settings = start.config.as_deref().map_or_else(|| Ok(Self::default()), Self::read)?;
        let given = start.clone();
        replace(&mut settings.bind, given.bind);
        replace(&mut settings.log, given.log);
        replace(&mut settings.log_format, given.log_format);
        settings.advertise = given.advertise.or(settings.advertise);
        settings.name = given.name.or(settings.name);
        settings.label = given.label.or(settings.label);
        settings.keys = given.key_file.or(settings.keys);
        settings.data = given.data.or(settings.data);
        settings.sync |= given.sync;
        settings.control = given.control.given.or(settings.control);
        settings.http_token = given.http_token_file.or(settings.http_token);
        if !given.join.is_empty() {
            settings.join = given.join;
        }
        for tag in &given.tag {
            let (key, value) = pair(tag).map_err(|error| Failure::Usage(format!("--tag: {error}")))?;
            let set = settings.tags.insert(key, value);
            set.map_err(|error| Failure::Usage(format!("--tag: {error}")))?;
        }
        if let Some(http) = given.http {
            let address = http.parse().map_err(|error| Failure::Usage(format!("--http: {http:?}: {error}")))?;
            settings.http = Some(address);
        }
        if let Some(label) = &settings.label {
            settings.protocol.label.clone_from(label);
        }
        settings.check()?;
        Ok(settings)
    }

    fn read(path: &Path) -> Result<Self, Failure> {
        let refused = |error: &dyn std::fmt::Display| Failure::Usage(format!("{}: {error}", path.display()));
        let text = fs::read_to_string(path).map_err(|error| refused(&error))?;
        let mut settings: Self = toml::from_str(&text).map_err(|error| refused(&error))?;
        settings.removed = removed(&text).map(|setting| format!("{}: {setting}", path.display())).collect();
        settings.protocol.check().map_err(|error| refused(&format_args!("protocol.{error}")))?;
        Ok(settings)
    }

    fn check(&self) -> Result<(), Failure> {
        let refused = |text: String| Err(Failure::Usage(text));
        if let Some(name) = &self.name {
            check_name("the node's name", name)?;
            if name.len() > MAX_MEMBER_NAME {
                return refused(format!(
                    "the node's name has {} bytes, at most {MAX_MEMBER_NAME} are admitted",
                    name.len()
                ));
            }
        }
        if self.sync && self.data.is_none() {
            return refused("sync: there is no data file, see --data".into());
        }
        for handler in &self.handlers {
            if handler.run.first().is_none_or(String::is_empty) {
                return refused("handlers: `run` names no program".into());
            }
            if let Some(kind) = handler.on.iter().find(|kind| !KINDS.contains(&kind.as_str())) {
                return refused(format!("handlers: `on` has {kind:?}, there are {}", KINDS.join(", ")));
            }
        }
        if let Some(http) = self.http.filter(|http| !http.ip().is_loopback() && self.http_token.is_none()) {
            return refused(format!(
                "http: {http} can be reached from outside: it needs a token, see --http-token-file"
            ));
        }
        self.targets().map(drop)
    }

    /// Returns the filter of the log.
    ///
    /// # Errors
    /// `log` is no filter.
    pub(crate) fn targets(&self) -> Result<Targets, Failure> {
        let targets: Targets =
            self.log.parse().map_err(|error| Failure::Usage(format!("--log: {:?}: {error}", self.log)))?;
        // The agent says the same with the members' names.
        let wanted = self.log.contains(DRIVER) || ["debug", "trace"].iter().any(|level| self.log.contains(level));
        Ok(if wanted { targets } else { targets.with_target(DRIVER, LevelFilter::ERROR) })
    }

    /// The keys in their file, in its order; none without a file.
    ///
    /// # Errors
    /// A file that cannot be read, or a line that is no key.
    pub(crate) fn keys(&self) -> Result<Vec<Key>, Failure> {
        let Some(path) = &self.keys else { return Ok(Vec::new()) };
        let refused = |what: &dyn std::fmt::Display| Failure::Usage(format!("{}: {what}", path.display()));
        let text = secret(path)?;
        let lines = text.lines().enumerate().map(|(number, line)| (number + 1, line.trim()));
        let keys = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
        let keys =
            keys.map(|(number, line)| line.parse().map_err(|error| refused(&format_args!("line {number}: {error}"))));
        match keys.collect::<Result<Vec<_>, _>>()? {
            keys if keys.is_empty() => Err(refused(&"no key is in it")),
            keys => Ok(keys),
        }
    }

    /// The token that HTTP requests have to carry; none without a file.
    ///
    /// # Errors
    /// A file that cannot be read, or is empty.
    pub(crate) fn token(&self) -> Result<Option<String>, Failure> {
        let Some(path) = &self.http_token else { return Ok(None) };
        match secret(path)?.lines().next().map(str::trim) {
            Some(token) if !token.is_empty() => Ok(Some(token.to_owned())),
            _ => Err(Failure::Usage(format!("{}: no token is in its first line", path.display()))),
        }
    }

    /// All of them, as a configuration file would say it. Keys and the token are named by their files alone.
    ///
    /// # Errors
    /// Files whose content cannot be used.
    pub(crate) fn shown(&self) -> Result<String, Failure> {
        let keys = self.keys()?;
        self.token()?;
        let text = toml::to_string(self).map_err(|error| Failure::Failed(error.to_string()))?;
        let ids: Vec<_> = keys.iter().map(|key| key.id().to_string()).collect();
        let keys = if ids.is_empty() { "no key: nothing is sealed".into() } else { format!("keys {}", ids.join(", ")) };
        let removed: String = self.removed.iter().map(|text| format!("# {text}\n")).collect();
        // TOML leaves those of a second set as they are, and a terminal obeys them as well.
        let escape = |c: char| match c {
            '\u{80}'..='\u{9f}' => format!("\\u{:04X}", u32::from(c)),
            c => c.to_string(),
        };
        Ok(format!("# {keys}\n{removed}{}", text.chars().map(escape).collect::<String>()))
    }

    /// Says in the log which settings of the file are not used any more, and what to write instead.
    pub(crate) fn warn(&self) {
        for text in &self.removed {
            tracing::warn!("{text}");
        }
    }
}

/// The settings of a file that are not used any more, and what to write instead.
fn removed(text: &str) -> impl Iterator<Item = String> {
    #[derive(Deserialize, Default)]
    struct Protocol {
        #[serde(default)]
        protocol: ConfigFile,
    }

    let file: Protocol = toml::from_str(text).unwrap_or_default();
    file.protocol.removed.into_iter().map(|setting| format!("protocol.{setting}"))
}

/// Refuses a name that is empty, or would command a terminal.
///
/// # Errors
/// A name that is empty or has control characters.
pub(crate) fn check_name(what: &str, name: &str) -> Result<(), Failure> {
    match name {
        "" => Err(Failure::Usage(format!("{what} is empty"))),
        name if name.chars().any(char::is_control) => {
            Err(Failure::Usage(format!("{what} {name:?} has control characters")))
        }
        _ => Ok(()),
    }
}

/// Splits `KEY=VALUE`.
///
/// # Errors
/// There is no `=`.
pub(crate) fn pair(text: &str) -> Result<(&str, &str), String> {
    text.split_once('=').ok_or_else(|| format!("{text:?} is no tag: it must be KEY=VALUE"))
}

/// The text of a file that nobody else should read.
fn secret(path: &Path) -> Result<String, Failure> {
    let text = fs::read_to_string(path).map_err(|error| Failure::Usage(format!("{}: {error}", path.display())))?;
    if fs::metadata(path).is_ok_and(|metadata| metadata.permissions().mode() & 0o077 != 0) {
        tracing::warn!("others on this machine can read {}", path.display());
    }
    Ok(text)
}

fn replace<T>(setting: &mut T, given: Option<T>) {
    if let Some(given) = given {
        *setting = given;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_can_be_read_again() {
        let text = "name = \"a\"\njoin = [\"b:1\"]\n[tags]\nrole = \"db\"\n[[handlers]]\non = [\"member\"]\n\
            run = [\"true\"]\ntimeout = \"5s\"\n[protocol]\npreset = \"local\"\n";
        let settings: Settings = toml::from_str(text).unwrap();
        settings.check().unwrap();
        let shown = settings.shown().unwrap();
        assert!(shown.starts_with("# no key: nothing is sealed\n"), "{shown}");
        let again: Settings = toml::from_str(&shown).unwrap();
        assert_eq!(again.shown().unwrap(), shown);
        assert_eq!(again.protocol, Config::local());
    }

    /// The core has a removed setting in builds with its feature `next`, as those of the whole workspace are.
    #[test]
    fn a_removed_setting_is_told_with_what_to_write_instead() {
        let text = "[protocol.rumor]\nheat = 3\n";
        let Ok(mut settings) = toml::from_str::<Settings>(text) else { return };
        settings.removed = removed(text).collect();
        let shown = settings.shown().unwrap();
        assert!(shown.contains("\n# protocol.rumor.heat is not used any more: write rumor.k\n"), "{shown}");
        assert_eq!(removed("[protocol.rumor]\nk = 3\n").count(), 0);
    }

    #[test]
    fn what_cannot_be_is_refused_with_its_bound() {
        let long = format!("name = \"{}\"", "n".repeat(65));
        let tags = format!("[tags]\na = \"{}\"", "x".repeat(600));
        let cases = [
            ("name = \"a\\nb\"", "control characters"),
            ("name = \"\"", "empty"),
            (&*long, "65 bytes, at most 64"),
            ("http = \"0.0.0.0:80\"", "needs a token"),
            ("log = \"a=very\"", "a=very"),
            ("[[handlers]]\nrun = []", "no program"),
            ("[[handlers]]\nrun = [\"x\"]\non = [\"nosuch\"]", "nosuch"),
        ];
        for (text, reason) in cases {
            let settings: Settings = toml::from_str(text).unwrap();
            let refused = settings.check().unwrap_err().to_string();
            assert!(refused.contains(reason), "{refused}");
        }
        for (text, reason) in [(&*tags, "601 bytes, at most 512"), ("[tags]\na = \"\\u001b\"", "control character")] {
            let refused = toml::from_str::<Settings>(text).unwrap_err().to_string();
            assert!(refused.contains(reason), "{refused}");
        }
        let error = toml::from_str::<Settings>("[[handlers]]\nrun = [\"x\"]\ntimeout = \"soon\"").unwrap_err();
        assert!(error.to_string().contains("soon"), "{error}");
    }
}
