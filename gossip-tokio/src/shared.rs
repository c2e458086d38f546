//! What the handles and the driver's task have in common: the node behind a lock, and the ways to wake each other.
//!
//! Knows the node, its clock and who waits; must not know transports. The lock is held for one call of the node at a
//! time, never across an await and never while sending.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_broadcast::{InactiveReceiver, Sender};
use futures_util::task::AtomicWaker;
use gossip_core::{Address, Event, Instant, Node};

use crate::clock::Clock;
use crate::error::TaskError;
use crate::stats::DriverStats;

pub(crate) struct Shared<A: Address> {
    state: Mutex<State<A>>,
    /// The driver's waker.
    pub(crate) driver: AtomicWaker,
    /// Notified whenever a condition that somebody waits for may have come true.
    pub(crate) changed: event_listener::Event,
    /// What readers come from; keeps the channel open while there is none.
    pub(crate) events: InactiveReceiver<Event<A>>,
}

/// What is behind the lock.
pub(crate) struct State<A: Address> {
    pub(crate) node: Node<A>,
    pub(crate) clock: Clock,
    pub(crate) counters: DriverStats,
    /// Whether there was a call since the driver last asked.
    pub(crate) called: bool,
    pub(crate) stopping: bool,
    /// Whether the builder's seeds are still wanted: until the application joins through others, or leaves, or the end.
    pub(crate) reseeds: bool,
    pub(crate) end: Option<Result<(), TaskError>>,
}

impl<A: Address> Shared<A> {
    /// `events`: how many a reader may be behind.
    pub(crate) fn start(node: Node<A>, clock: Clock, events: usize) -> Ending<A> {
        let (mut sender, receiver) = async_broadcast::broadcast(events.max(1));
        sender.set_overflow(true);
        let counters = DriverStats::default();
        let state = State { node, clock, counters, called: false, stopping: false, reseeds: true, end: None };
        let shared = Self {
            state: Mutex::new(state),
            driver: AtomicWaker::new(),
            changed: event_listener::Event::new(),
            events: receiver.deactivate(),
        };
        Ending { shared: Arc::new(shared), events: sender }
    }

    /// A node whose call panicked stays readable: the panic was reported where it happened.
    pub(crate) fn lock(&self) -> MutexGuard<'_, State<A>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Calls the node on behalf of the application, and has the driver see to what comes of it.
    pub(crate) fn command<R>(&self, call: impl FnOnce(&mut State<A>, Instant) -> R) -> R {
        let mut state = self.lock();
        state.called = true;
        let now = state.clock.now();
        let result = call(&mut state, now);
        drop(state);
        self.driver.wake();
        self.changed.notify(usize::MAX);
        result
    }

    pub(crate) fn stop(&self) {
        self.command(|state, _| state.stopping = true);
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
    pub(crate) events: Sender<Event<A>>,
}

impl<A: Address> Drop for Ending<A> {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.reseeds = false;
        state.end = Some(match state.stopping {
            _ if std::thread::panicking() => Err(TaskError::Panicked),
            true => Ok(()),
            false => Err(TaskError::Aborted),
        });
        drop(state);
        self.shared.changed.notify(usize::MAX);
    }
}
