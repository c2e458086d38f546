//! Requests of a client, as they stand in the body of an HTTP request. Knows bytes of values and where a client
//! finds them; must not know what the agent does.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::Path;
use std::time::Duration;

use gossip_tokio::gossip_core::Status;
use serde::{Deserialize, Serialize};

use crate::arguments::{Command, Keys, TagsAction};
use crate::failure::Failure;
use crate::output::{bytes, data};

/// The most that a file may hold that becomes a value or a key, in bytes: more than any node admits.
const LARGEST: u64 = 16 << 20;

/// The bytes of a value or of a message: text where it is text, hex digits otherwise.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Payload {
    /// Text.
    Value(String),
    /// Hex digits, two for each byte.
    Hex(String),
}

impl Payload {
    pub(crate) fn new(bytes: &[u8]) -> Self {
        match data(bytes) {
            ("value", text) => Self::Value(text),
            (_, digits) => Self::Hex(digits),
        }
    }

    /// # Errors
    /// The digits are none.
    pub(crate) fn bytes(self) -> Result<Vec<u8>, String> {
        match self {
            Self::Value(text) => Ok(text.into_bytes()),
            Self::Hex(digits) => bytes(&digits),
        }
    }
}

/// A request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", rename_all_fields = "kebab-case", deny_unknown_fields)]
pub(crate) enum Request {
    Info {
        /// Seconds to wait until the node is healthy.
        wait: Option<u64>,
    },
    Members {
        status: Vec<Status>,
        name: Option<String>,
        /// `KEY=VALUE`, or `KEY` for any value.
        #[serde(default)]
        tags: Vec<String>,
    },
    /// Sets tags (`KEY=VALUE`) and deletes others.
    Tags {
        set: Vec<String>,
        delete: Vec<String>,
    },
    Reachability {
        #[serde(default)]
        all: bool,
    },
    Rtt {
        member: String,
        #[serde(default)]
        to: Option<String>,
    },
    Query {
        name: String,
        payload: Payload,
        /// Names or ids; all members if there is none.
        #[serde(default)]
        to: Vec<String>,
        /// `KEY=VALUE`.
        #[serde(default)]
        tags: Vec<String>,
        /// In milliseconds.
        #[serde(default)]
        timeout: Option<u64>,
    },
    Send {
        member: String,
        payload: Payload,
    },
    Get {
        name: String,
        of: Option<String>,
        /// The share of `of`, or of this member.
        #[serde(default)]
        share: bool,
    },
    Put {
        name: String,
        payload: Payload,
        own: bool,
        #[serde(default)]
        share: bool,
        /// Nobody has to be asked what the share was before.
        #[serde(default)]
        claim: bool,
        /// In milliseconds.
        ttl: Option<u64>,
    },
    Delete {
        name: String,
        own: bool,
        #[serde(default)]
        share: bool,
    },
    List {
        prefix: String,
        of: Option<String>,
        #[serde(default)]
        share: bool,
    },
    Broadcast {
        #[serde(default)]
        name: Option<String>,
        payload: Payload,
    },
    Monitor {
        level: String,
    },
    Join {
        seeds: Vec<String>,
    },
    Forget {
        member: String,
    },
    Watch {
        prefix: Option<String>,
    },
    KeysList {
        #[serde(default)]
        all: bool,
    },
    KeysAdd {
        key: String,
        #[serde(default)]
        all: bool,
    },
    KeysUse {
        id: std::num::NonZeroU8,
        #[serde(default)]
        all: bool,
    },
    KeysRemove {
        id: std::num::NonZeroU8,
        #[serde(default)]
        all: bool,
    },
    KeysRotate {
        key: String,
        /// In milliseconds.
        timeout: u64,
    },
    Stats,
    Leave,
}

/// Form of the printed answer, beyond what the request says.
#[derive(Debug, Copy, Clone, Default, PartialEq, Eq)]
pub(crate) struct View {
    pub(crate) raw: bool,
    pub(crate) detailed: bool,
}

/// The request that a command stands for; files are read here, where the user is.
///
/// # Errors
/// A file that cannot be read, or is too large.
pub(crate) fn prepare(command: Command) -> Result<(Request, View), Failure> {
    let mut view = View::default();
    let request = match command {
        Command::Info { wait_healthy } => Request::Info { wait: wait_healthy.map(|time| time.as_secs().max(1)) },
        Command::Members { status, name, tag, detailed } => {
            view.detailed = detailed;
            Request::Members { status, name, tags: tag }
        }
        Command::Tags { action: None } => Request::Tags { set: Vec::new(), delete: Vec::new() },
        Command::Tags { action: Some(TagsAction::Set { tags }) } => Request::Tags { set: tags, delete: Vec::new() },
        Command::Tags { action: Some(TagsAction::Delete { keys }) } => Request::Tags { set: Vec::new(), delete: keys },
        Command::Reachability { all } => Request::Reachability { all },
        Command::Rtt { member, to } => Request::Rtt { member, to },
        Command::Query { to, tag, timeout, name, message } => Request::Query {
            name,
            payload: Payload::new(&joined(&message)),
            to,
            tags: tag,
            timeout: timeout.map(millis),
        },
        Command::Send { member, message } => Request::Send { member, payload: Payload::new(&joined(&message)) },
        Command::Get { name, of, share, raw } => {
            view.raw = raw;
            Request::Get { name, of, share }
        }
        Command::Put { own, share, claim, ttl, file, name, value } => {
            let bytes = file.map_or_else(|| Ok(joined(&value)), |file| read(&file))?;
            let ttl = ttl.map(millis);
            Request::Put { name, payload: Payload::new(&bytes), own, share, claim, ttl }
        }
        Command::Delete { own, share, name } => Request::Delete { name, own, share },
        Command::List { of, share, prefix } => Request::List { prefix, of, share },
        Command::Broadcast { name, message } => Request::Broadcast { name, payload: Payload::new(&joined(&message)) },
        Command::Monitor { log_level } => Request::Monitor { level: log_level.to_string() },
        Command::Join { seeds } => Request::Join { seeds },
        Command::Forget { member } => Request::Forget { member },
        Command::Watch { prefix } => Request::Watch { prefix },
        Command::Keys { all, action } => match action {
            Keys::List => Request::KeysList { all },
            Keys::Add { file } => Request::KeysAdd { key: key(&file)?, all },
            Keys::Use { id } => Request::KeysUse { id, all },
            Keys::Remove { id } => Request::KeysRemove { id, all },
            Keys::Rotate { file, timeout } => Request::KeysRotate { key: key(&file)?, timeout: millis(timeout) },
        },
        Command::Stats => Request::Stats,
        Command::Leave => Request::Leave,
    };
    Ok((request, view))
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

fn key(file: &Path) -> Result<String, Failure> {
    let text = String::from_utf8(read(file)?);
    let text = text.map_err(|_| Failure::Usage(format!("{}: it is no text", file.display())))?;
    Ok(text.trim().to_owned())
}

fn joined(words: &[OsString]) -> Vec<u8> {
    words.join(std::ffi::OsStr::from_bytes(b" ")).into_vec()
}

fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    let failed = |what: String| Failure::Usage(format!("{}: {what}", path.display()));
    let mut bytes = Vec::new();
    let read = if path.as_os_str() == "-" {
        io::stdin().lock().take(LARGEST + 1).read_to_end(&mut bytes)
    } else {
        File::open(path).and_then(|file| file.take(LARGEST + 1).read_to_end(&mut bytes))
    };
    match read.map_err(|error| failed(error.to_string()))? as u64 {
        0..=LARGEST => Ok(bytes),
        _ => Err(failed(format!("it has more than {LARGEST} bytes"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_travel_as_text_where_they_are_text() {
        let put = |bytes: &[u8]| {
            let payload = Payload::new(bytes);
            let request = Request::Put { name: "x".into(), payload, own: false, share: false, claim: false, ttl: None };
            let text = serde_json::to_string(&request).unwrap();
            assert_eq!(serde_json::from_str::<Request>(&text).unwrap(), request);
            let Request::Put { payload, .. } = request else { unreachable!("it was one") };
            assert_eq!(payload.bytes().unwrap(), bytes);
            text
        };
        assert!(put(b"text").contains(r#"{"value":"text"}"#));
        assert!(put(&[0xff, 0]).contains(r#"{"hex":"ff00"}"#));
        for junk in ["f", "zz", "+f", "é"] {
            assert!(Payload::Hex(junk.into()).bytes().is_err(), "{junk}");
        }
    }
}
