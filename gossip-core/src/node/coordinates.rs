//! Network coordinates: asked for on pings, given on acks; distances between members.

use alloc::vec::Vec;
use core::time::Duration;

use super::Node;
use crate::address::Address;
use crate::coordinate::Coordinate;
use crate::estimate::RoundTrips;
use crate::event::Distance;
use crate::id::NodeId;
use crate::outbox::TrafficClass;
use crate::wire::{Coordinates, Message};

/// First probes of a node, each of which asks for coordinates, also for those that the other has heard of.
const FIRST: u64 = 24;
/// Coordinates of others that each of those carries, and its answer.
const FIRST_OTHERS: usize = 3;
/// Number of later probes of which one asks.
const EVERY: u64 = 24;

impl<A: Address> Node<A> {
    /// Asks the member that has been pinged just now for its coordinate, now and then.
    pub(super) fn ask_coordinate(&mut self) {
        let begun = self.detector.probes_begun();
        // Those that started together do not ask together.
        let turn = begun.wrapping_add(self.identity.id.get());
        if begun > FIRST && !turn.is_multiple_of(EVERY) {
            return;
        }
        let Some(address) = self.detector.pinged().cloned() else { return };
        let most = if begun > FIRST { 0 } else { FIRST_OTHERS };
        let message = self.coordinates(true, most, None);
        self.outbox.message(TrafficClass::Probe, address, message);
    }

    /// This node's coordinate, and up to `most` of those that it has heard of.
    fn coordinates(&mut self, asks: bool, most: usize, except: Option<NodeId>) -> Message<A> {
        let members = self.detector.members();
        let drawn = if most == 0 { 0 } else { 2 * most };
        let known = members.random(drawn, &mut self.rng).filter(|id| Some(*id) != except);
        let others: Vec<_> = known.filter_map(|id| Some((id, members.coordinate(id)?))).take(most).collect();
        Coordinates { asks, own: self.position.coordinate().pack(), others }.into()
    }

    /// Takes coordinates in. The sender's moves this node's own, if its round trip is known.
    pub(super) fn on_coordinates(&mut self, sender: NodeId, from: &A, message: Coordinates) {
        let Coordinates { asks, own, others } = message;
        self.stats.coordinates_received += 1;
        let wanted = others.len();
        for (id, coordinate) in others {
            self.detector.note_coordinate(id, coordinate, false);
        }
        self.detector.note_coordinate(sender, own, true);
        if let (Some(trip), Some(other)) = (self.detector.members().trip(sender), Coordinate::unpack(&own)) {
            self.position.observe(&other, trip, &mut self.rng);
        }
        if asks {
            // As many as came: an answer is no longer than its question.
            let answer = self.coordinates(false, wanted, Some(sender));
            self.outbox.message(TrafficClass::Ack, from.clone(), answer);
        }
    }

    /// Returns the smoothed round trip to a member, of the pings that it has answered here; none before the first. Each member
    /// is probed once in as many periods as there are members.
    pub fn round_trip(&self, id: NodeId) -> Option<Duration> {
        self.detector.members().trip(id)
    }

    /// Returns the round trips of all pings that were answered here within their period.
    pub const fn round_trips(&self) -> &RoundTrips {
        &self.round_trips
    }

    /// Returns the network coordinate of a member: this node's own, or the one that this node has heard last.
    pub fn coordinate(&self, id: NodeId) -> Option<Coordinate> {
        if id == self.identity.id {
            return Some(self.position.coordinate());
        }
        self.detector.members().coordinate(id).as_ref().and_then(Coordinate::unpack)
    }

    /// Returns the round trip to a member: measured, or estimated by the coordinates of both. None of a member of which this node
    /// has heard neither, and of this node itself.
    ///
    /// Coordinates ride on pings: on each of a node's first 24, and on every 24th later. Where the application gives the members
    /// ([`Membership::Given`](crate::Membership::Given)) there are none.
    pub fn distance(&self, to: NodeId) -> Option<Distance> {
        if to == self.identity.id {
            return None;
        }
        let measured = self.round_trip(to).map(Distance::Measured);
        measured.or_else(|| self.distance_between(self.identity.id, to).map(Distance::Estimated))
    }

    /// Estimates the round trip between any two members by their coordinates.
    pub fn distance_between(&self, from: NodeId, to: NodeId) -> Option<Duration> {
        Some(self.coordinate(from)?.distance_to(&self.coordinate(to)?))
    }

    /// Sorts members by their distance from this node, the nearest first: this node itself, and last those whose distance is
    /// not known, in the order in which they were.
    pub fn sort_by_distance(&self, members: &mut [NodeId]) {
        members.sort_by_cached_key(|id| {
            let distance = self.distance(*id).map(|distance| distance.round_trip());
            let own = *id == self.identity.id;
            distance.unwrap_or(if own { Duration::ZERO } else { Duration::MAX })
        });
    }
}
