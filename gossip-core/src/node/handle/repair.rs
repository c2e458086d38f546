//! Messages of anti-entropy, the first of an exchange among them.

use super::Node;
use crate::address::Address;
use crate::id::NodeId;
use crate::node::learn::Source;
use crate::time::Instant;
use crate::wire::{Repair, Symbols};

impl<A: Address> Node<A> {
    pub(in crate::node) fn begin_exchange(&mut self, with: &A) {
        self.stats.exchanges += 1;
        self.renew_relays();
        let (anti_entropy, mut context) = self.anti_entropy();
        anti_entropy.begin(with, &mut context);
    }

    /// `clock`: the sender's wall clock.
    pub(super) fn on_repair(&mut self, (sender, clock): (NodeId, Instant), from: &A, message: Repair<A>) {
        match message {
            Repair::Updates(updates) => {
                for update in updates {
                    self.learn(update, Source::Repair, Some(from));
                }
            }
            Repair::Large(large) => {
                for descriptor in large {
                    self.hear_of(descriptor, Source::Repair, from);
                }
            }
            Repair::Summary(summary) => {
                let known = self.is_known(sender, from);
                let (anti_entropy, mut context) = self.anti_entropy();
                let trip = anti_entropy.on_summary(from, summary, known, &mut context);
                if let Some(trip) = trip {
                    self.note_reading(sender, clock, trip);
                }
            }
            Repair::Sketch(symbols) => self.on_sketch(from, &symbols),
            Repair::Split(split) => {
                let (anti_entropy, mut context) = self.anti_entropy();
                anti_entropy.on_split(from, split, &mut context);
            }
            Repair::Decoded(decoded) => {
                let (anti_entropy, mut context) = self.anti_entropy();
                anti_entropy.on_decoded(from, &decoded, &mut context);
                self.set_doubtful_aside();
            }
            Repair::Want(want) => {
                let (anti_entropy, mut context) = self.anti_entropy();
                anti_entropy.on_want(from, &want, &mut context);
            }
        }
    }

    fn on_sketch(&mut self, from: &A, symbols: &Symbols) {
        // Repairs of this exchange are as new here as those of one begun here. It begins with the first range.
        if symbols.range.first() == 0 {
            self.renew_relays();
        }
        let (anti_entropy, mut context) = self.anti_entropy();
        anti_entropy.on_sketch(from, symbols, &mut context);
    }
}
