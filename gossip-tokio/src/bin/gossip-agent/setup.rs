//! Setup after the settings: the log and the control socket are opened. Knows settings and what may be wrong with
//! them; no node.

use std::io::{self, IsTerminal as _, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use tracing_appender::non_blocking::{ErrorCounter, NonBlocking, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::FormatTime;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::reload::{self, Handle};
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{Layer as _, Registry};

use crate::arguments::{LogFormat, Start};
use crate::control::{self, ControlError, Listening};
use crate::failure::Failure;
use crate::monitor::Monitors;
use crate::output::{Form, time};
use crate::settings::Settings;

/// Lines of the log that wait to be written. What comes on top is lost and counted: a terminal that stands still, or a
/// reader that has gone away, must not hold up the protocol.
const QUEUE: usize = 1_024;
/// Number of further agents that find a control socket by themselves.
const OTHERS: usize = 100;

/// The log: its filter, which can be changed, and those who read it.
pub(crate) struct Log {
    filter: Handle<Targets, Registry>,
    /// Number of lines that were lost.
    pub(crate) lost: ErrorCounter,
    pub(crate) monitors: Monitors,
}

impl Log {
    /// Logs what these let through, from now on.
    ///
    /// # Errors
    /// The log has ended.
    pub(crate) fn reload(&self, targets: Targets) -> Result<(), reload::Error> {
        self.filter.reload(targets)
    }
}

/// Destination of the log: each line is written whole by a thread of its own, and after lines that were lost, their number.
#[derive(Clone)]
struct Lines {
    queue: NonBlocking,
    lost: ErrorCounter,
    /// Number of lost lines that the log tells of.
    told: Arc<AtomicUsize>,
}

impl Write for Lines {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        let (lost, told) = (self.lost.dropped_lines(), self.told.load(Ordering::Relaxed));
        if lost > told {
            let missing = lost - told;
            self.queue
                .write_all(format!("{missing} lines of the log are lost: it was written too slowly\n").as_bytes())?;
            if self.lost.dropped_lines() == lost {
                self.told.store(lost, Ordering::Relaxed);
            }
        }
        self.queue.write(text)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.queue.flush()
    }
}

/// Sends the log to standard error. What waits when the guard is dropped is still written, if that takes no second.
///
/// # Errors
/// The filter is none.
pub(crate) fn log(settings: &Settings) -> Result<(Log, WorkerGuard), Failure> {
    let queue = NonBlockingBuilder::default().buffered_lines_limit(QUEUE).lossy(true).thread_name("gossip-log");
    let (queue, writing) = queue.finish(io::stderr());
    let lost = queue.error_counter();
    let lines = Lines { queue, lost: lost.clone(), told: Arc::default() };
    let terminal = io::stderr().is_terminal();
    let timer = Dated(if terminal { Form::Terminal(0) } else { Form::Plain });
    let layer = tracing_subscriber::fmt::layer().with_target(false).with_timer(timer);
    let layer = layer.with_ansi(terminal).with_writer(move || lines.clone());
    let layer = match settings.log_format {
        LogFormat::Text => layer.boxed(),
        LogFormat::Json => layer.json().with_target(true).boxed(),
    };
    let (targets, filter) = reload::Layer::new(settings.targets()?);
    let monitors = Monitors::default();
    let (level, handle) = reload::Layer::new(LevelFilter::OFF);
    monitors.filter_by(handle);
    let layers = vec![layer.with_filter(targets).boxed(), monitors.clone().with_filter(level).boxed()];
    tracing_subscriber::registry().with(layers).init();
    Ok((Log { filter, lost, monitors }, writing))
}

/// Date and time, UTC.
struct Dated(Form);

impl FormatTime for Dated {
    fn format_time(&self, writer: &mut Writer<'_>) -> std::fmt::Result {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        write!(writer, "{}", time(u64::try_from(since.as_micros()).unwrap_or(u64::MAX), self.0))
    }
}

/// The control socket. Where nobody has chosen one, an agent that has the usual one is no reason not to run, and to be
/// reached: there is room beside it.
pub(crate) fn listen(start: &Start, settings: &Settings) -> Result<Option<Arc<Listening>>, Failure> {
    let Some(path) = settings.control.clone().or_else(|| start.control.path()) else {
        tracing::warn!("no control socket: {}", control::NO_PATH);
        return Ok(None);
    };
    let mut end = control::listen(&path);
    let others = if settings.control.is_some() { 0 } else { OTHERS };
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
