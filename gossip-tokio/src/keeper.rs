//! Keeping a node's data: reads the journal at the start, and writes what changes in a thread of its own. Knows the shared
//! node and the journal; must not know transports.
//!
//! The node is locked for one portion at a time, never while anything is encoded or written.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant as Time};

use event_listener::Listener as _;
use gossip_core::{Address, Instant, Node, NodeId, Portion, RestoreError, Snapshot};

use crate::error::SpawnError;
use crate::journal::{self, Found, Journal, Kind, Reader};
use crate::lock::Lock;
use crate::shared::Shared;

/// Items for which the node is locked at a time.
const PORTION: usize = 64;
/// Time after a change for which more are awaited before they are written together.
const GATHER: Duration = Duration::from_millis(20);
/// Longest time between a write and its way to the disk, for what survives a machine that fails.
const SYNC: Duration = Duration::from_secs(1);
/// Pause after an error of the disk.
const RETRY: Duration = Duration::from_secs(1);
/// Time after which the file is looked for, although nothing is to be written. Looking every second took a fifth of an idle
/// agent's processor time.
const LOOK: Duration = Duration::from_secs(10);
/// Portions of a new file that are written before changes have their turn again.
const PORTIONS_AT_ONCE: usize = 16;

/// A place for data that was looked at.
pub(crate) struct Opened {
    path: PathBuf,
    /// Held as long as the data is this process's; none where nothing can be written, so that nobody else can either.
    lock: Option<Lock>,
    found: Option<Reader>,
    /// Frames that were lost.
    lost: u64,
    /// Reason for which the file that is there is set aside when its replacement is whole.
    damage: Option<String>,
}

fn failed(path: &Path) -> impl Fn(io::Error) -> SpawnError + '_ {
    move |source| SpawnError::Data { path: path.to_owned(), source }
}

/// Locks and reads the data at `path`, of whichever node if `id` is none. What cannot be used is set aside. Data that can
/// be read is used also where nothing can be written.
///
/// # Errors
/// [`SpawnError`]: another process has it, or it can be neither read nor replaced.
pub(crate) fn open(path: PathBuf, id: Option<NodeId>) -> Result<Opened, SpawnError> {
    let lock = match Lock::take(&path) {
        Err(error @ SpawnError::DataInUse { .. }) => return Err(error),
        lock => lock,
    };
    let reader = match journal::find(&path).map_err(failed(&path))? {
        Found::Journal(reader) if id.is_none_or(|id| id == reader.id()) => reader,
        other => {
            // There is nothing to start from, so there has to be a place to write to.
            let lock = Some(lock?);
            let reason = match other {
                Found::Nothing => return Ok(Opened { path, lock, found: None, lost: 0, damage: None }),
                Found::Foreign(reason) => reason,
                Found::Journal(reader) => format!("it is of node {}", reader.id()),
            };
            set_aside(&path, &reason).map_err(failed(&path))?;
            return Ok(Opened { path, lock, found: None, lost: 1, damage: None });
        }
    };
    let file = path.display();
    let (mut lost, mut damage) = (0, None);
    if let Some(found) = reader.damage() {
        tracing::warn!(%file, reason = found.reason, "the data is damaged; what can be read is used");
        (lost, damage) = (found.frames, Some(found.reason.clone()));
    } else if reader.torn() > 0 {
        tracing::info!(%file, bytes = reader.torn(), "an unfinished write is left out");
    }
    Ok(Opened { path, lock: lock.ok(), found: Some(reader), lost, damage })
}

fn set_aside(path: &Path, reason: &str) -> io::Result<()> {
    let aside = journal::set_aside(path)?;
    tracing::warn!(file = %path.display(), reason, aside = %aside.display(), "the data is set aside");
    Ok(())
}

/// Error while a journal is handed to a node.
enum Refused {
    Read(io::Error),
    Restore(RestoreError),
}

impl From<RestoreError> for Refused {
    fn from(error: RestoreError) -> Self {
        Self::Restore(error)
    }
}

impl Opened {
    /// Returns the id of the node whose data is here.
    pub(crate) fn id(&self) -> Option<NodeId> {
        self.found.as_ref().map(Reader::id)
    }

    /// Gives the data to the node, which records its changes from then on, and makes the journal ready to be written. One
    /// that cannot be written now is replaced when that is possible.
    ///
    /// # Errors
    /// [`SpawnError::Data`]: the file cannot be read to its end, or there is none and none can be made.
    pub(crate) fn restore<A: Address>(mut self, node: &mut Node<A>, now: Instant) -> Result<Keeper<A>, SpawnError> {
        let journal = match self.found.take() {
            Some(reader) => self.hand_over(reader, node, now)?,
            None => Some(Journal::create(self.path.clone(), node.id()).map_err(failed(&self.path))?),
        };
        node.note_loss(now, self.lost);
        node.record_changes();
        let now = Time::now();
        let Self { path, lock, damage, .. } = self;
        let (pending, rewriting, dirty, gone, failing) = (None, None, false, false, false);
        Ok(Keeper { path, lock, damage, journal, rewriting, pending, dirty, synced: now, looked: now, gone, failing })
    }

    /// Gives a journal to the node. Returns it for appending, unless it has to be replaced.
    fn hand_over<A: Address>(
        &mut self,
        mut reader: Reader,
        node: &mut Node<A>,
        now: Instant,
    ) -> Result<Option<Journal>, SpawnError> {
        let mut items = 0;
        let mut count = |part: &Snapshot<A>| items += part.len();
        let parts = reader.parts().map(|part| part.map_err(Refused::Read));
        // Nobody listens yet, and whoever will reads the state first.
        let end = node.restore_all(now, parts.map(|part| part.inspect(&mut count)));
        let reason = match end {
            Ok(()) => None,
            Err(Refused::Restore(error)) => Some(error.to_string()),
            Err(Refused::Read(error)) if error.kind() == io::ErrorKind::InvalidData => Some(error.to_string()),
            Err(Refused::Read(error)) => return Err(failed(&self.path)(error)),
        };
        let file = self.path.display();
        tracing::info!(%file, items, "data restored");
        if let (Some(reason), None) = (reason, &self.damage) {
            tracing::warn!(%file, reason, "the data cannot be used to its end");
            self.lost += 1;
            self.damage = Some(reason);
        }
        if self.damage.is_some() || self.lock.is_none() {
            return Ok(None);
        }
        // Whoever cannot write it is told by the first attempt to replace it.
        Ok(reader.resume().ok())
    }
}

/// Outcome of a turn of writing.
struct Turn {
    /// There is more to write, for which no change has to be awaited.
    more: bool,
    /// Everything that was asked for is on the disk.
    saved: bool,
}

/// A new file that is being written beside the old one.
struct Rewriting {
    journal: Journal,
    next: Option<Portion>,
}

/// Writes the journal.
pub(crate) struct Keeper<A> {
    path: PathBuf,
    /// Held until the last byte is written; none until something can be written.
    lock: Option<Lock>,
    /// Reason for which the file that is there is set aside when its replacement is whole.
    damage: Option<String>,
    /// File that is appended to; none until the first one is whole.
    journal: Option<Journal>,
    rewriting: Option<Rewriting>,
    /// Taken from the node, and not in the file yet.
    pending: Option<Snapshot<A>>,
    /// True if something was written that may not be on the disk.
    dirty: bool,
    synced: Time,
    /// Time at which the file was looked for last, and whether it was gone.
    looked: Time,
    gone: bool,
    /// True after an error.
    failing: bool,
}

impl<A: Address + Send + Sync + 'static> Keeper<A> {
    /// Begins to write what changes, in a thread.
    ///
    /// # Errors
    /// The system has no thread.
    pub(crate) fn start(self, shared: Arc<Shared<A>>) -> Result<(), SpawnError> {
        shared.lock().storage.keeps = Some(true);
        let span = tracing::info_span!("data", file = %self.path.display());
        let work = move || {
            // However it ends, nobody waits for it then, and nobody is told before the lock is released.
            let _end = End(&shared);
            span.in_scope(|| self.run(&shared));
        };
        thread::Builder::new().name("gossip-data".into()).spawn(work).map(drop).map_err(SpawnError::Runtime)
    }
}

impl<A: Address> Keeper<A> {
    /// Writes until the node's task has ended.
    fn run(mut self, shared: &Shared<A>) {
        loop {
            let listener = shared.changed.listen();
            let (wanted, ended) = {
                let state = shared.lock();
                (state.storage.wanted, state.end.is_some())
            };
            let done = self.turn(shared, wanted, ended);
            self.report(shared, wanted, &done);
            match done.map(|turn| turn.more) {
                // The last changes are in, and nobody has asked for more since.
                Ok(false) if ended && shared.lock().storage.wanted == wanted => return,
                Ok(more) if more || ended => {}
                Ok(_) => {
                    let urgent = || shared.lock().storage.wanted > wanted;
                    // Whoever changes something notifies.
                    let longest = if self.dirty { SYNC } else { LOOK };
                    if listener.wait_timeout(longest).is_some() && !urgent() {
                        thread::sleep(GATHER);
                    }
                }
                Err(_) if ended => return,
                Err(_) => thread::sleep(RETRY),
            }
        }
    }

    /// Writes what has changed, and some portions of a new file. Returns whether there is more of that.
    fn turn(&mut self, shared: &Shared<A>, wanted: u64, ends: bool) -> io::Result<Turn> {
        match &mut self.lock {
            Some(lock) => lock.sign(),
            None => {
                let lock = Lock::take(&self.path).map_err(|error| match error {
                    SpawnError::Data { source, .. } => source,
                    error => io::Error::other(error),
                });
                self.lock = Some(lock?);
            }
        }
        let met = shared.lock().storage.met;
        if self.journal.is_none() || wanted > met || self.failing || self.looked.elapsed() > LOOK {
            (self.looked, self.gone) = (Time::now(), self.journal.as_ref().is_none_or(Journal::is_gone));
            if self.gone && self.rewriting.is_none() {
                if self.journal.is_some() {
                    tracing::warn!("the data file is gone, and is written anew");
                }
                self.rewrite(shared)?;
            }
        }
        loop {
            if self.pending.is_none() {
                self.pending = shared.lock().node.take_changes(PORTION);
            }
            let Some(part) = &self.pending else { break };
            let new = self.rewriting.as_mut().map(|new| &mut new.journal);
            for journal in self.journal.as_mut().into_iter().chain(new) {
                journal.append(Kind::Change, part)?;
            }
            self.dirty = true;
            self.pending = None;
        }
        self.go_on(shared)?;
        if let Some(journal) = &self.journal
            && (wanted > met || (self.dirty && (ends || self.synced.elapsed() > SYNC)))
        {
            journal.sync()?;
            (self.dirty, self.synced) = (false, Time::now());
        }
        if !ends && self.rewriting.is_none() && self.journal.as_ref().is_some_and(Journal::is_worn) {
            self.rewrite(shared)?;
        }
        // A new file that is not whole yet is left behind where the old one has everything.
        let more = self.rewriting.is_some() && (self.gone || !ends);
        Ok(Turn { more, saved: !self.gone })
    }

    /// Begins a new file.
    fn rewrite(&mut self, shared: &Shared<A>) -> io::Result<()> {
        let id = shared.lock().node.id();
        let journal = Journal::create(journal::beside(&self.path, "new"), id)?;
        self.rewriting = Some(Rewriting { journal, next: Some(Portion::default()) });
        Ok(())
    }

    /// Writes some portions of the new file, and puts it in place when it is whole.
    fn go_on(&mut self, shared: &Shared<A>) -> io::Result<()> {
        for _ in 0..PORTIONS_AT_ONCE {
            let Some(new) = &mut self.rewriting else { return Ok(()) };
            if let Some(from) = new.next {
                let (part, next) = shared.lock().node.snapshot_portion(from, PORTION);
                new.journal.append(Kind::Base, &part)?;
                new.next = next;
            } else {
                if let Some(reason) = &self.damage {
                    set_aside(&self.path, reason)?;
                    self.damage = None;
                }
                new.journal.install(&self.path)?;
                if let Some(new) = self.rewriting.take() {
                    self.journal = Some(new.journal);
                    self.gone = false;
                    (self.dirty, self.synced) = (false, Time::now());
                }
            }
        }
        Ok(())
    }

    /// Tells whoever waits, and the operator.
    fn report(&mut self, shared: &Shared<A>, wanted: u64, done: &io::Result<Turn>) {
        self.failing = done.is_err();
        let mut state = shared.lock();
        let now = state.clock.now();
        let news = match done {
            Err(error) => {
                // What was begun may be what fails: the next attempt begins it again.
                self.rewriting = None;
                if state.storage.failure.is_none() {
                    tracing::warn!(%error, "the data cannot be stored; it is tried again");
                }
                let since = state.storage.failure.take().map_or(now, |(_, since)| since);
                state.storage.failure = Some((error.to_string(), since));
                false
            }
            Ok(Turn { saved: false, .. }) => false,
            Ok(_) => {
                if state.storage.failure.take().is_some() {
                    tracing::info!("the data is stored again");
                }
                let news = wanted > state.storage.met;
                state.storage.met = wanted.max(state.storage.met);
                news
            }
        };
        drop(state);
        if news {
            shared.changed.notify(usize::MAX);
        }
    }
}

/// Tells waiting callers when the thread has ended.
struct End<'a, A: Address>(&'a Shared<A>);

impl<A: Address> Drop for End<'_, A> {
    fn drop(&mut self) {
        self.0.lock().storage.keeps = Some(false);
        self.0.changed.notify(usize::MAX);
    }
}
