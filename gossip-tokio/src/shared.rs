//! What the handles and the driver's task have in common: the node behind a lock, and the ways to wake each other.
//!
//! Knows the node, its clock and who waits; must not know transports. The lock is held for one call of the node at a
//! time, never across an await and never while sending.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_channel::{Receiver, Sender, WeakSender};
use gossip_core::{Address, Event, Instant, Node};

use crate::clock::Clock;
use crate::error::TaskError;
use crate::stats::DriverStats;

pub(crate) struct Shared<A: Address> {
    state: Mutex<State<A>>,
    /// Tells the driver that there was a call, as long as there are handles.
    calls: WeakSender<()>,
    /// Notified whenever a condition that somebody waits for may have come true.
    pub(crate) changed: event_listener::Event,
    /// What readers come from; keeps the channel open while there is none.
    pub(crate) events: async_broadcast::InactiveReceiver<Event<A>>,
}

/// What is behind the lock.
pub(crate) struct State<A: Address> {
    pub(crate) node: Node<A>,
    pub(crate) clock: Clock,
    pub(crate) counters: DriverStats,
    /// Grows with every event about a member.
    pub(crate) member_changes: u64,
    /// Whether the builder's seeds are still wanted: until the application joins through others, or leaves, or the end.
    pub(crate) reseeds: bool,
    pub(crate) end: Option<Result<(), TaskError>>,
}

impl<A: Address> Shared<A> {
    /// `events`: how many a reader may be behind. The sender stops the driver when it is closed, or the last of its clones
    /// dropped.
    pub(crate) fn start(node: Node<A>, clock: Clock, events: usize) -> (Sender<()>, Ending<A>) {
        let (sender, calls) = async_channel::bounded(1);
        let (mut events, receiver) = async_broadcast::broadcast(events.max(1));
        events.set_overflow(true);
        let shared = Self {
            state: Mutex::new(State {
                node,
                clock,
                counters: DriverStats::default(),
                member_changes: 0,
                reseeds: true,
                end: None,
            }),
            calls: sender.downgrade(),
            changed: event_listener::Event::new(),
            events: receiver.deactivate(),
        };
        (sender, Ending { shared: Arc::new(shared), calls, events })
    }

    /// A node whose call panicked stays readable: the panic was reported where it happened.
    pub(crate) fn lock(&self) -> MutexGuard<'_, State<A>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Calls the node on behalf of the application, and has the driver see to what comes of it.
    pub(crate) fn command<R>(&self, call: impl FnOnce(&mut State<A>, Instant) -> R) -> R {
        let mut state = self.lock();
        let now = state.clock.now();
        let result = call(&mut state, now);
        drop(state);
        // One that is waiting there is enough, and nobody need be there any more.
        let _ = self.calls.upgrade().map(|calls| calls.try_send(()));
        self.changed.notify(usize::MAX);
        result
    }

    /// Waits until there is something to be found: looks now and after every change.
    pub(crate) async fn until<R>(&self, mut look: impl FnMut() -> Option<R>) -> R {
        loop {
            // Before looking, or a change in between would be missed.
            let changed = self.changed.listen();
            if let Some(found) = look() {
                return found;
            }
            changed.await;
        }
    }
}

/// Held by the driver's task: whatever ends it, those who wait learn it, and then those who read events.
pub(crate) struct Ending<A: Address> {
    pub(crate) shared: Arc<Shared<A>>,
    pub(crate) calls: Receiver<()>,
    pub(crate) events: async_broadcast::Sender<Event<A>>,
}

impl<A: Address> Drop for Ending<A> {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.reseeds = false;
        state.end = Some(match self.calls.is_closed() {
            _ if std::thread::panicking() => Err(TaskError::Panicked),
            true => Ok(()),
            false => Err(TaskError::Aborted),
        });
        drop(state);
        self.shared.changed.notify(usize::MAX);
    }
}
