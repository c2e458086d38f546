//! The loop between a transport and a node. Knows both, and when to stop; must not know what the bytes mean.
//!
//! It waits for datagrams, for calls of the application, and for the node's deadline. It hands the node its input,
//! sends the node's datagrams, and publishes its events. A turn does a bounded amount of work and then yields to other
//! tasks, whatever arrives.

use std::collections::HashSet;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;

use async_broadcast::Sender;
use async_channel::Receiver;
use futures_util::future::BoxFuture;
use futures_util::{FutureExt as _, Stream as _};
use gossip_core::{Address, Change, Event, Input, Instant, Member, Transmit};

use crate::exchanges::Exchanges;
#[cfg(feature = "metrics")]
use crate::metrics::Reporter;
use crate::runtime;
use crate::shared::{Ending, Shared};
use crate::transport::Transport;

/// Datagrams received, datagrams sent, or events published in one turn before other tasks run.
const BATCH: usize = 64;
/// Failures to send that are remembered, so that each is logged once.
const FAILURES: usize = 1_024;
/// Pause after an error of `recv`: the first, and the longest after doubling with every further error.
const PAUSES: (Duration, Duration) = (Duration::from_millis(1), Duration::from_millis(100));
/// Shortest wait for a deadline. A deadline that a tick leaves in the past would make the loop spin. (No node does
/// that.)
const LEAST: Duration = Duration::from_millis(1);

/// Drives the node until it is told to stop. Whatever ends it, the transport is dropped first and the ending last.
pub(crate) async fn drive<T: Transport>(ending: Ending<T::Address>, transport: T) {
    let (shared, events) = (&*ending.shared, &ending.events);
    let size = shared.lock().node.config().max_datagram;
    let (transport, calls, outgoing) = (&transport, Box::pin(ending.calls.clone()), vec![0; size]);
    let mut driver = Driver {
        transport,
        shared,
        calls,
        events,
        outgoing,
        timer: None,
        failures: HashSet::new(),
        exchanges: Exchanges::new(),
        unflushed: 0,
    };
    #[cfg(feature = "metrics")]
    let mut reporter = Reporter::new(shared.lock().node.id());
    // One byte more than a datagram may have, to recognise a longer one.
    let mut buffer = vec![0; size + 1];
    let mut pause = Duration::ZERO;
    driver.flush();
    loop {
        let receive = async {
            if !pause.is_zero() {
                runtime::sleep(pause).await;
            }
            transport.recv(&mut buffer).await
        };
        #[cfg(feature = "metrics")]
        reporter.turn(shared);
        let received = driver.next(pin!(receive)).await;
        match received {
            None => break,
            Some(Ok((length, from))) => {
                pause = Duration::ZERO;
                driver.unflushed += 1;
                driver.handle(Input::Datagram { from: &from, payload: &buffer[..length.min(buffer.len())] });
            }
            Some(Err(error)) => {
                if pause.is_zero() {
                    tracing::warn!(%error, "receiving failed");
                }
                pause = (2 * pause).clamp(PAUSES.0, PAUSES.1);
                shared.lock().counters.receives_failed += 1;
            }
        }
    }
    tracing::debug!("stopped");
}

struct Driver<'a, T: Transport> {
    transport: &'a T,
    shared: &'a Shared<T::Address>,
    calls: Pin<Box<Receiver<()>>>,
    events: &'a Sender<Event<T::Address>>,
    outgoing: Vec<u8>,
    /// Timer with the deadline it was set for.
    timer: Option<(BoxFuture<'static, ()>, Instant)>,
    /// Failures to send that were logged.
    failures: HashSet<(T::Address, io::ErrorKind)>,
    exchanges: Exchanges<T::Address>,
    /// Inputs since the last flush. At `BATCH` there is a flush; a call and a timer that is due set it to that, to flush at once.
    unflushed: usize,
}

impl<T: Transport> Driver<'_, T> {
    /// Serves everything but the transport until that has received something. Returns none if the node is to stop.
    async fn next<R>(&mut self, mut receive: Pin<&mut impl Future<Output = R>>) -> Option<R> {
        loop {
            let received = poll_fn(|cx| self.poll_turn(cx, receive.as_mut())).await;
            if self.calls.is_closed() {
                return None;
            }
            if (received.is_none() || self.unflushed >= BATCH) && self.flush() {
                runtime::yield_now().await;
            }
            if received.is_some() {
                return received;
            }
        }
    }

    /// Polls calls, the deadline and the transport. Each that is ready is served in this turn, so that none can starve
    /// another.
    fn poll_turn<R>(&mut self, cx: &mut Context<'_>, receive: Pin<&mut impl Future<Output = R>>) -> Poll<Option<R>> {
        self.shared.lock().counters.turns += 1;
        let called = self.calls.as_mut().poll_next(cx).is_ready();
        let due = self.timer.as_mut().is_some_and(|(timer, _)| timer.as_mut().poll(cx).is_ready());
        if due {
            self.timer = None;
            self.handle(Input::Tick);
        }
        if called || due {
            self.unflushed = BATCH;
        }
        match receive.poll(cx) {
            Poll::Ready(received) => Poll::Ready(Some(received)),
            Poll::Pending if self.unflushed > 0 => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    }

    fn handle(&self, input: Input<'_, T::Address>) {
        let mut state = self.shared.lock();
        let now = state.now();
        let result = state.node.handle(now, input);
        drop(state);
        if let Err(error) = result {
            // The node has counted it. It is logged at the lowest level only, since any sender can cause it.
            tracing::trace!(%error, "refused a datagram");
        }
    }

    /// Sends the node's datagrams, publishes its events, sets the timer. Returns true if other tasks should run now.
    fn flush(&mut self) -> bool {
        let full = self.unflushed >= BATCH;
        let more = self.send_all() | self.publish_all();
        self.unflushed = usize::from(more);
        self.arm();
        more || full
    }

    /// Returns true if there are more to send.
    fn send_all(&mut self) -> bool {
        for _ in 0..BATCH {
            // A separate statement: in one with the next, the lock would be held while sending.
            let transmit = self.shared.lock().transmit(&mut self.outgoing);
            let Some(Transmit { to, len, class, .. }) = transmit else { return false };
            self.exchanges.note(&to, class, len, || self.shared.lock().clock.now());
            match self.transport.send(&to, &self.outgoing[..len]) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.shared.lock().counters.sends_dropped += 1;
                }
                Err(error) => {
                    if self.is_news(&to, error.kind()) {
                        tracing::warn!(?to, %error, "sending fails; the same is not told again for this address");
                    } else {
                        tracing::trace!(?to, %error, "sending failed");
                    }
                    self.shared.lock().counters.sends_failed += 1;
                    self.handle(Input::Unreachable { to: &to });
                }
            }
        }
        true
    }

    /// Returns true for the first failure of its kind to send to an address. Many of them are forgotten together.
    fn is_news(&mut self, to: &T::Address, kind: io::ErrorKind) -> bool {
        if self.failures.len() >= FAILURES {
            self.failures.clear();
        }
        self.failures.insert((to.clone(), kind))
    }

    /// Returns true if there are more to publish, or an answer to send.
    fn publish_all(&self) -> bool {
        let mut answered = false;
        for _ in 0..BATCH {
            let mut state = self.shared.lock();
            let event = state.node.poll_event();
            answered |= event.as_ref().is_some_and(|event| state.note(event));
            drop(state);
            let Some(event) = event else { return answered };
            log(&event);
            // A reader that is too slow loses the oldest event, and its stream reports that.
            if let Ok(Some(_oldest)) = self.events.try_broadcast(event) {
                self.shared.lock().counters.events_dropped += 1;
            }
            self.shared.changed.notify(usize::MAX);
        }
        true
    }

    /// Sets the timer to the node's deadline, unless it has not changed.
    fn arm(&mut self) {
        let mut state = self.shared.lock();
        self.exchanges.close(|| state.clock.now());
        if state.node.has_changes() {
            // Not every change is an event, and whoever writes them waits.
            self.shared.changed.notify(usize::MAX);
        }
        let wanted = state.node.poll_timeout();
        if wanted == self.timer.as_ref().map(|(_, armed)| *armed) {
            return;
        }
        self.timer = wanted.map(|wanted| {
            state.counters.timers_set += 1;
            (runtime::sleep(wanted.since(state.clock.now()).max(LEAST)).boxed(), wanted)
        });
    }
}

/// Logs an event: a change of the list of members at info, an alert to the operator at warn, all else at debug. Values
/// are shown by their length.
fn log<A: Address>(event: &Event<A>) {
    match event {
        Event::Member { was, member } => {
            let Member { id, address, status, .. } = member;
            tracing::info!(member = %id, ?address, ?was, "member is {status}");
        }
        Event::Entry { owner, name, change: Change::Written { value, .. } } => {
            tracing::debug!(owner = owner.map(tracing::field::display), %name, bytes = value.len(), "entry is written");
        }
        Event::Entry { owner, name, .. } => {
            tracing::debug!(owner = owner.map(tracing::field::display), %name, "entry is gone");
        }
        Event::Broadcast { payload, .. } => tracing::debug!(bytes = payload.len(), "broadcast arrived"),
        Event::Unicast { from, payload } => tracing::debug!(%from, bytes = payload.len(), "message arrived"),
        Event::Query { id, payload } => tracing::debug!(from = %id.0.node, bytes = payload.len(), "query arrived"),
        Event::Isolated(true) => tracing::warn!("nobody answers"),
        Event::Isolated(false) => tracing::info!("somebody answers again"),
        Event::IdentityConflict { .. }
        | Event::ClockWrong { .. }
        | Event::SetAside { .. }
        | Event::Full { .. }
        | Event::Unreachable { .. }
        | Event::NarrowPath { .. }
        | Event::ForeignCluster { .. }
        | Event::UnknownKey { .. }
        | Event::UnknownVersion { .. }
        | Event::Incompatible { .. }
        | Event::LargerDatagrams { .. } => tracing::warn!(?event),
        Event::Left => tracing::info!("left the cluster"),
        event => tracing::debug!(?event),
    }
}
