//! A span of `tracing` for each exchange with a peer. Knows addresses, and for what a datagram is sent; must not know what is in
//! it.

use std::collections::HashMap;
use std::time::Duration;

use gossip_core::{Address, Instant, TrafficClass};
use tracing::Span;

/// Time without a datagram of an exchange after which it has ended.
const QUIET: Duration = Duration::from_secs(1);
/// Exchanges that are followed at a time. There are seldom more than one or two.
const FOLLOWED: usize = 64;

/// Exchanges that are going on. Empty unless somebody reads debug spans.
pub(crate) struct Exchanges<A: Address>(HashMap<A, Exchange>);

struct Exchange {
    span: Span,
    begun: Instant,
    last: Instant,
    datagrams: u64,
    bytes: u64,
}

impl<A: Address> Exchanges<A> {
    /// Follows none yet.
    pub(crate) fn new() -> Self {
        Self(HashMap::new())
    }

    /// Takes note of a datagram of `len` bytes to a peer. The first of an exchange opens its span.
    pub(crate) fn note(&mut self, to: &A, class: TrafficClass, len: usize, now: impl FnOnce() -> Instant) {
        if !matches!(class, TrafficClass::AntiEntropy | TrafficClass::Bulk) || !tracing::enabled!(tracing::Level::DEBUG)
        {
            return;
        }
        let now = now();
        if !self.0.contains_key(to) {
            if self.0.len() >= FOLLOWED {
                return;
            }
            let span = tracing::debug_span!("exchange", peer = ?to);
            span.in_scope(|| tracing::debug!("an exchange begins"));
            self.0.insert(to.clone(), Exchange { span, begun: now, last: now, datagrams: 0, bytes: 0 });
        }
        if let Some(exchange) = self.0.get_mut(to) {
            exchange.last = now;
            exchange.datagrams += 1;
            exchange.bytes += len as u64;
        }
    }

    /// Closes the spans of those that are over.
    pub(crate) fn close(&mut self, now: impl FnOnce() -> Instant) {
        if self.0.is_empty() {
            return;
        }
        let now = now();
        self.0.retain(|_, exchange| {
            let goes_on = now < exchange.last + QUIET;
            if !goes_on {
                exchange.tell();
            }
            goes_on
        });
    }
}

impl Exchange {
    fn tell(&self) {
        let Self { span, begun, last, datagrams, bytes } = self;
        let took = last.since(*begun);
        span.in_scope(|| tracing::debug!(?took, datagrams, bytes, "the exchange is over"));
    }
}

impl<A: Address> Drop for Exchanges<A> {
    fn drop(&mut self) {
        self.0.values().for_each(Exchange::tell);
    }
}
