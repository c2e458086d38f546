//! What the command line stands for: files are read, the log and the control socket are opened. Knows arguments and
//! what may be wrong with them; no node.

use std::fs;
use std::io::{self, IsTerminal as _};
use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use gossip_tokio::gossip_core::{Config, Key};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::FormatTime;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::arguments::Start;
use crate::control::{self, ControlError, Listening};
use crate::failure::Failure;
use crate::output::time_of_day;
use crate::printer::Printer;

/// How many further agents find a control socket by themselves.
const OTHERS: usize = 100;

/// Sends the log to standard error, through the printer.
pub(crate) fn log(start: &Start, printer: Printer) {
    let layer = tracing_subscriber::fmt::layer().with_target(false).with_timer(TimeOfDay);
    let layer = layer.with_ansi(io::stderr().is_terminal()).with_writer(move || printer.clone());
    tracing_subscriber::registry().with(layer).with(start.log.clone()).init();
}

/// The day is known to whoever reads along, and to the collector of logs otherwise; a line has 80 columns.
struct TimeOfDay;

impl FormatTime for TimeOfDay {
    fn format_time(&self, writer: &mut Writer<'_>) -> std::fmt::Result {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        write!(writer, "{}", time_of_day(since.as_secs()))
    }
}

/// The settings: those of a local network, and what the file and the command line say.
pub(crate) fn configuration(start: &Start) -> Result<Config, Failure> {
    let mut config = Config::lan();
    if let Some(path) = &start.config {
        let refused = |error: &dyn std::fmt::Display| Failure::Usage(format!("{}: {error}", path.display()));
        let text = fs::read_to_string(path).map_err(|error| refused(&error))?;
        config = toml::from_str(&text).map_err(|error| refused(&error))?;
        config.check().map_err(|error| refused(&error))?;
    }
    if let Some(label) = &start.label {
        config.label.clone_from(label);
    }
    Ok(config)
}

/// The keys in their file, in its order.
pub(crate) fn keys(start: &Start) -> Result<Vec<Key>, Failure> {
    let Some(path) = &start.key_file else { return Ok(Vec::new()) };
    let refused = |what: &dyn std::fmt::Display| Failure::Usage(format!("{}: {what}", path.display()));
    let text = fs::read_to_string(path).map_err(|error| refused(&error))?;
    let open = fs::metadata(path).is_ok_and(|metadata| metadata.permissions().mode() & 0o077 != 0);
    if open {
        tracing::warn!("others on this machine can read {}", path.display());
    }
    let lines = text.lines().enumerate().map(|(number, line)| (number + 1, line.trim()));
    let keys = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
    let keys =
        keys.map(|(number, line)| line.parse().map_err(|error| refused(&format_args!("line {number}: {error}"))));
    match keys.collect::<Result<Vec<_>, _>>()? {
        keys if keys.is_empty() => Err(refused(&"no key is in it")),
        keys => Ok(keys),
    }
}

/// The control socket. Where nobody has chosen one, an agent that has the usual one is no reason not to run, and to be
/// reached: there is room beside it.
pub(crate) fn listen(start: &Start) -> Result<Option<Arc<Listening>>, Failure> {
    let Some(path) = start.control.path() else {
        tracing::warn!("no control socket: {}", control::NO_PATH);
        return Ok(None);
    };
    let mut end = control::listen(&path);
    let others = if start.control.is_given() { 0 } else { OTHERS };
    for number in 2..2 + others {
        let Err(ControlError::Taken { .. }) = end else { break };
        end = control::listen(&path.with_extension(format!("{number}.sock")));
    }
    let listening = end.map_err(|error| Failure::Failed(error.to_string()))?;
    if listening.path != path {
        let (taken, own) = (path.display(), listening.path.display());
        tracing::info!("another agent answers at {taken}; ask this one with gossip-agent ctl --control {own}");
    }
    Ok(Some(Arc::new(listening)))
}
