//! The node's part of narrow paths: comparisons are sent and answered, and peers are told what arrives.

use super::Node;
use crate::address::Address;
use crate::outbox::{Intent, TrafficClass};
use crate::path_mtu::Step;
use crate::time::Instant;
use crate::wire::{Echo, Path};

impl<A: Address> Node<A> {
    pub(super) fn on_path(&mut self, from: &A, message: Path) {
        match message {
            // As long as the question.
            Path::Echo(echo) => {
                self.outbox.push(TrafficClass::Ack, from.clone(), Intent::Alone(Path::Echoed(echo).into()));
            }
            Path::Echoed(Echo { seq, .. }) => self.paths.on_echoed(self.now, from, seq),
            Path::Narrow { longest } => {
                if self.is_of_member(from) {
                    self.paths.on_told(self.now, from, longest.into());
                }
            }
        }
    }

    /// Returns true if a member says that this is its address. Where one was only seen, a datagram that it sent before it moved may
    /// have come late, and nobody answers there.
    fn is_of_member(&self, address: &A) -> bool {
        self.replica.members_at(address).next().is_some()
    }

    /// A datagram is longer than this node is configured for: the member that it came from goes on in shorter ones.
    pub(super) fn note_too_long(&mut self, now: Instant, from: &A) {
        if self.identity.is_running() && self.is_of_member(from) {
            self.paths.note_too_long(now.max(self.now), from);
        }
    }

    /// Sends what comparisons need, and tells the application of a narrow path.
    pub(super) fn tick_paths(&mut self) {
        while let Some(step) = self.paths.step(self.now, &mut self.rng) {
            match step {
                Step::Compare { peer, .. } | Step::Tell { peer, .. }
                    if !self.is_of_member(&peer) || self.pass_of(&peer).is_none() =>
                {
                    // It is gone, or has moved or restarted: nothing is known of a new one.
                    self.paths.forget(&peer);
                }
                Step::Compare { peer, seq, length } => {
                    let short = Path::Echo(Echo::filling(seq, 0));
                    self.outbox.push(TrafficClass::Probe, peer.clone(), Intent::Alone(short.into()));
                    self.outbox.push(TrafficClass::Probe, peer, Intent::Echo { seq: seq + 1, length });
                }
                Step::Tell { peer, longest } => {
                    // No datagram is longer than 65,507 bytes.
                    let longest = u16::try_from(longest).unwrap_or(u16::MAX);
                    self.outbox.message(TrafficClass::Probe, peer, Path::Narrow { longest });
                }
            }
        }
        if let Some((address, longest)) = self.paths.take_news() {
            self.events.narrow_path(address, longest);
        }
    }
}
