//! State shared by the handles and the driver's task: the node behind a lock, and the ways to wake each other.
//!
//! Knows the node, its clock and the waiting tasks; must not know transports. The lock is held for one call of the node
//! at a time, never across an await and never while sending.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_channel::{Receiver, Sender, WeakSender};
use gossip_core::{Address, Alert, DeliveryId, Event, Instant, Node, Payload, Problem, QueryId, Transmit};

use crate::clock::{self, Clock};
use crate::error::TaskError;
use crate::stats::DriverStats;
use crate::storage::Storage;

/// Protocol periods for which seeds may be without an address before that is an alert.
const UNRESOLVED: u32 = 3;
/// Questions that wait for one who listens: as many as the node keeps open.
const QUESTIONS: usize = 256;

pub(crate) struct Shared<A: Address> {
    state: Mutex<State<A>>,
    /// Wakes the driver after a call, as long as there are handles.
    calls: WeakSender<()>,
    /// Notified whenever an awaited condition may have become true.
    pub(crate) changed: event_listener::Event,
    /// Source of readers; keeps the channel open while there is none.
    pub(crate) events: async_broadcast::InactiveReceiver<Event<A>>,
}

/// State behind the lock.
pub(crate) struct State<A: Address> {
    pub(crate) node: Node<A>,
    pub(crate) clock: Clock,
    pub(crate) counters: DriverStats,
    /// Number of events about members so far.
    pub(crate) member_changes: u64,
    /// True while the builder's seeds are in use: until the application joins through others, or leaves, or the task
    /// ends.
    pub(crate) reseeds: bool,
    /// State of the stored data.
    pub(crate) storage: Storage,
    /// Time at which seeds were given, if any were.
    pub(crate) seeded: Option<Instant>,
    /// Receipts that are waited for; what became of them.
    pub(crate) deliveries: HashMap<DeliveryId, Option<bool>>,
    /// Number of those that listen to questions, and the questions that none of them has taken.
    pub(crate) listeners: usize,
    pub(crate) questions: VecDeque<(QueryId, Payload)>,
    pub(crate) end: Option<Result<(), TaskError>>,
}

impl<A: Address> State<A> {
    /// Reads both clocks: tells the node the wall clock and returns the monotonic one.
    pub(crate) fn now(&mut self) -> Instant {
        let now = self.clock.now();
        self.node.set_wall_clock(now, clock::wall());
        now
    }

    /// Returns the time since which a join waits for an answer, if it does.
    pub(crate) fn joining(&self) -> Option<Instant> {
        self.seeded.filter(|_| self.node.live_members() < 2 && !self.node.has_left())
    }

    /// Writes the next datagram into `buffer`, and counts it by its purpose.
    pub(crate) fn transmit(&mut self, buffer: &mut [u8]) -> Option<Transmit<A>> {
        let transmit = self.node.poll_transmit(buffer)?;
        self.counters.count(transmit.class, transmit.len);
        Some(transmit)
    }

    /// Takes note of what those who wait for it look for. Returns whether there is something to send.
    pub(crate) fn note(&mut self, event: &Event<A>) -> bool {
        match event {
            Event::Member { .. } | Event::Reaped { .. } => self.member_changes += 1,
            Event::Delivered { id, received, .. } => {
                if let Some(end) = self.deliveries.get_mut(id) {
                    *end = Some(*received);
                }
            }
            Event::Query { id, .. } if self.listeners == 0 => {
                let now = self.now();
                // It may be over.
                return self.node.answer(now, *id, None).is_ok();
            }
            Event::Query { id, payload } => {
                if self.questions.len() == QUESTIONS {
                    // The node does not wait for its answer any more.
                    self.questions.pop_front();
                }
                self.questions.push_back((*id, payload.clone()));
            }
            _ => {}
        }
        false
    }

    /// Lists what is wrong at `now`.
    pub(crate) fn health(&self, now: Instant) -> Vec<Alert<A>> {
        let mut alerts = self.node.health(now);
        // The node knows only of seeds that have an address.
        if let Some(since) = self.joining()
            && now >= since + UNRESOLVED * self.node.config().probe.period
            && alerts.iter().all(|alert| alert.problem != Problem::Isolated)
        {
            alerts.insert(0, Alert::new(Problem::Isolated, self.node.clock(now) - now.since(since)));
        }
        if let Some((error, since)) = self.storage.failure.clone() {
            alerts.push(Alert::new(Problem::Storage { error }, self.node.clock(now) - now.since(since)));
        }
        alerts
    }
}

impl<A: Address> Shared<A> {
    /// Shares a node. `events`: number of events that a reader may be behind. The sender stops the driver when it is
    /// closed or its last clone is dropped.
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
                storage: Storage::default(),
                seeded: None,
                deliveries: HashMap::new(),
                listeners: 0,
                questions: VecDeque::new(),
                end: None,
            }),
            calls: sender.downgrade(),
            changed: event_listener::Event::new(),
            events: receiver.deactivate(),
        };
        (sender, Ending { shared: Arc::new(shared), calls, events })
    }

    /// Locks the state. A node whose call panicked stays readable: the panic was reported where it happened.
    pub(crate) fn lock(&self) -> MutexGuard<'_, State<A>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Calls the node on behalf of the application, and wakes the driver to send the result.
    pub(crate) fn command<R>(&self, call: impl FnOnce(&mut State<A>, Instant) -> R) -> R {
        let mut state = self.lock();
        let now = state.now();
        let result = call(&mut state, now);
        drop(state);
        // One pending wake-up is enough, and the driver may have ended.
        let _ = self.calls.upgrade().map(|calls| calls.try_send(()));
        self.changed.notify(usize::MAX);
        result
    }

    /// Waits until `look` finds something: calls it now and after every change.
    pub(crate) async fn until<R>(&self, mut look: impl FnMut() -> Option<R>) -> R {
        loop {
            // Listens before looking, or a change in between would be missed.
            let changed = self.changed.listen();
            if let Some(found) = look() {
                return found;
            }
            changed.await;
        }
    }
}

/// Held by the driver's task. However the task ends, waiting callers learn it, and after them the readers of events.
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
