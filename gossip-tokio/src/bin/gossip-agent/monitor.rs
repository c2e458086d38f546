//! The log for whoever asks for it while the agent runs. Knows what is logged; must not know who reads it, or how.

use std::fmt::{self, Write as _};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_channel::{Receiver, Sender, bounded};
use serde_json::{Value, json};
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::Registry;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::{Context, Layer};
use tracing_subscriber::reload::Handle;

/// Lines that a reader may be behind. What comes on top is lost to it, and counted.
const BEHIND: usize = 1_024;

/// Readers of the log. Clones are the same.
#[derive(Clone, Default)]
pub(crate) struct Monitors {
    readers: Arc<Mutex<Vec<Reader>>>,
    /// Lets through what the most curious reader wants: nothing costs anything while there is none.
    level: Arc<Mutex<Option<Handle<LevelFilter, Registry>>>>,
}

struct Reader {
    level: LevelFilter,
    lines: Sender<Value>,
    missed: u64,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Monitors {
    /// Sets the filter in front of this layer.
    pub(crate) fn filter_by(&self, level: Handle<LevelFilter, Registry>) {
        *locked(&self.level) = Some(level);
    }

    /// Begins to read what is logged at this level and above.
    pub(crate) fn open(&self, level: LevelFilter) -> Receiver<Value> {
        let (lines, receiver) = bounded(BEHIND);
        locked(&self.readers).push(Reader { level, lines, missed: 0 });
        self.adjust();
        receiver
    }

    /// Forgets readers that have gone, and lets through what the others want.
    pub(crate) fn adjust(&self) {
        let mut readers = locked(&self.readers);
        readers.retain(|reader| !reader.lines.is_closed());
        let most = readers.iter().map(|reader| reader.level).max().unwrap_or(LevelFilter::OFF);
        // It logs that it was reloaded, which would come back here.
        drop(readers);
        if let Some(level) = &*locked(&self.level) {
            let _ = level.reload(most);
        }
    }
}

impl<S: Subscriber> Layer<S> for Monitors {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let metadata = event.metadata();
        let mut text = Text::default();
        event.record(&mut text);
        let line = json!({
            "event": "log", "level": metadata.level().as_str().to_lowercase(), "target": metadata.target(),
            "text": text.0,
        });
        for reader in locked(&self.readers).iter_mut().filter(|reader| *metadata.level() <= reader.level) {
            if reader.missed > 0 && reader.lines.try_send(json!({ "event": "missed", "count": reader.missed })).is_ok()
            {
                reader.missed = 0;
            }
            reader.missed += u64::from(reader.lines.try_send(line.clone()).is_err());
        }
    }
}

/// Message and fields of an event in a line.
#[derive(Default)]
struct Text(String);

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let gap = if self.0.is_empty() { "" } else { " " };
        // Nothing can go wrong with a string.
        let _ = match field.name() {
            "message" => write!(self.0, "{gap}{value:?}"),
            name => write!(self.0, "{gap}{name}={value:?}"),
        };
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.record_debug(field, &format_args!("{value}"));
    }
}

#[cfg(test)]
mod tests {
    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;

    #[test]
    fn a_reader_gets_what_it_asked_for_and_learns_what_it_missed() {
        let monitors = Monitors::default();
        let subscriber = tracing_subscriber::registry().with(monitors.clone());
        tracing::subscriber::with_default(subscriber, || {
            tracing::error!("nobody reads this");
            let all = monitors.open(LevelFilter::DEBUG);
            let few = monitors.open(LevelFilter::WARN);
            tracing::warn!(file = "x", count = 3, "it is full");
            tracing::debug!("detail");
            let line = few.try_recv().unwrap();
            assert_eq!((&line["level"], &line["text"]), (&"warn".into(), &"it is full file=x count=3".into()));
            assert!(few.is_empty() && all.len() == 2);
            for _ in 0..BEHIND {
                tracing::info!("more");
            }
            while all.try_recv().is_ok() {}
            tracing::info!("last");
            let (missed, last) = (all.try_recv().unwrap(), all.try_recv().unwrap());
            assert_eq!((&missed["count"], &last["text"]), (&2.into(), &"last".into()));
            drop((all, few));
            monitors.adjust();
            assert!(locked(&monitors.readers).is_empty());
        });
    }
}
