//! What the handles and the driver's task have in common: the node behind a lock, and the ways to wake each other.
//!
//! Knows the node, its clock and who waits; must not know transports. The lock is held for one call of the node at a
//! time, never across an await and never while sending.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::Context;

use futures_util::task::AtomicWaker;
use gossip_core::{Address, Event, Instant, Node};

use crate::clock::Clock;
use crate::error::TaskError;
use crate::events::Events;
use crate::stats::DriverStats;

pub(crate) struct Shared<A: Address> {
    node: Mutex<Node<A>>,
    pub(crate) clock: Clock,
    counters: Mutex<DriverStats>,
    /// The driver's waker, and why it was woken.
    driver: AtomicWaker,
    woken: AtomicBool,
    stopping: AtomicBool,
    /// Notified whenever a condition that somebody waits for may have come true.
    changed: event_listener::Event,
    events: async_broadcast::Sender<Event<A>>,
    /// Keeps the channel open while nobody reads.
    _nobody: async_broadcast::InactiveReceiver<Event<A>>,
    end: OnceLock<Result<(), TaskError>>,
    /// Whether the builder's seeds are still wanted: until the application joins through others, or leaves. Changed
    /// with the node locked.
    pub(crate) reseeds: AtomicBool,
}

impl<A: Address> Shared<A> {
    pub(crate) fn new(node: Node<A>, clock: Clock, events: usize) -> Self {
        let (mut sender, receiver) = async_broadcast::broadcast(events.max(1));
        sender.set_overflow(true);
        Self {
            node: Mutex::new(node),
            clock,
            counters: Mutex::default(),
            driver: AtomicWaker::new(),
            woken: AtomicBool::new(false),
            stopping: AtomicBool::new(false),
            changed: event_listener::Event::new(),
            events: sender,
            _nobody: receiver.deactivate(),
            end: OnceLock::new(),
            reseeds: AtomicBool::new(true),
        }
    }

    /// A node whose call panicked stays readable: the panic was reported where it happened.
    pub(crate) fn lock(&self) -> MutexGuard<'_, Node<A>> {
        self.node.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Calls the node on behalf of the application, and has the driver see to what comes of it.
    pub(crate) fn command<R>(&self, call: impl FnOnce(&mut Node<A>, Instant) -> R) -> R {
        let result = call(&mut self.lock(), self.clock.now());
        self.wake();
        self.notify();
        result
    }

    pub(crate) fn count<R>(&self, count: impl FnOnce(&mut DriverStats) -> R) -> R {
        count(&mut self.counters.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn wake(&self) {
        self.woken.store(true, Ordering::Release);
        self.driver.wake();
    }

    pub(crate) fn stop(&self) {
        self.stopping.store(true, Ordering::Release);
        self.wake();
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }

    /// For the driver alone: whether it was woken since it last asked; if not, it will be.
    pub(crate) fn poll_woken(&self, cx: &Context<'_>) -> bool {
        self.driver.register(cx.waker());
        self.woken.swap(false, Ordering::AcqRel)
    }

    /// Tells the readers of events. Those who are too slow lose the oldest and will be told.
    pub(crate) fn publish(&self, event: Event<A>) {
        if let Ok(Some(_oldest)) = self.events.try_broadcast(event) {
            self.count(|counters| counters.events_dropped += 1);
        }
    }

    pub(crate) fn notify(&self) {
        self.changed.notify(usize::MAX);
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

    pub(crate) fn events(&self) -> Events<A> {
        Events { receiver: self.events.new_receiver() }
    }

    pub(crate) fn end(&self) -> Option<&Result<(), TaskError>> {
        self.end.get()
    }
}

/// Held by the driver's task: whatever ends it, those who wait learn it.
pub(crate) struct Ending<A: Address>(pub(crate) Arc<Shared<A>>);

impl<A: Address> Drop for Ending<A> {
    fn drop(&mut self) {
        let unasked = if std::thread::panicking() { TaskError::Panicked } else { TaskError::Aborted };
        let asked = self.0.is_stopping() && unasked == TaskError::Aborted;
        // Nobody else sets it.
        let _ = self.0.end.set(if asked { Ok(()) } else { Err(unasked) });
        self.0.events.close();
        self.0.notify();
    }
}
