//! The member view of this node: statuses, random peers, probe order.
//!
//! The replica holds facts about members, this holds opinions: a member may be suspected here while its record says
//! alive. Every operation is O(1) in the number of members.

use alloc::vec::Vec;
use core::time::Duration;

use rand::{Rng, RngExt, seq};

use crate::coordinate::{Packed, is_surer};
use crate::event::Status;
use crate::id::NodeId;
use crate::table::Table;
use crate::time::micros;

/// A member in the view of this node.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) id: NodeId,
    pub(crate) incarnation: u64,
    pub(crate) status: Status,
    /// Position among the peers, or in the list of the dead.
    place: u32,
    /// Smoothed round trip in microseconds; 0 is unknown.
    trip: u32,
    /// Refutations since it answered a ping here.
    refuted: u8,
    /// Probes from here in vain since it answered one.
    missed: u8,
    /// Probes from here in vain since anything was heard from it.
    unheard: u8,
}

/// Refutations without an answer to a ping in between, from which on a member is doubted here.
const REFUTED: u8 = 3;
/// The same of a member that has never answered here.
const REFUTED_UNKNOWN: u8 = 2;
/// Probes of such a member in vain, with nothing heard from it in between, after which it is accused all the same. Each speaks
/// to each other about once in a round of probes.
const DEAF: u8 = 4;

impl Seen {
    /// Returns true if it denies being dead and has answered no ping meanwhile: what it denies next is not believed here before it
    /// has answered one.
    pub(crate) const fn is_doubted(&self) -> bool {
        self.refuted >= if self.trip == 0 { REFUTED_UNKNOWN } else { REFUTED }
    }

    /// Returns true if it is *held* as suspect until it answers a ping.
    pub(crate) fn is_held(&self) -> bool {
        self.is_doubted() && self.status == Status::Suspect
    }

    /// Returns true if nothing was heard from it for so many probes that it is probably gone.
    pub(crate) const fn is_silent(&self) -> bool {
        self.unheard >= DEAF
    }

    /// Returns its smoothed round trip, if it has answered here.
    pub(crate) fn trip(self) -> Option<Duration> {
        (self.trip > 0).then(|| Duration::from_micros(self.trip.into()))
    }

    /// Returns true if it has never answered a probe from here, or not the last one.
    pub(crate) const fn is_unreached(&self) -> bool {
        self.trip == 0 || self.missed > 0
    }
}

/// See the [module](self). Contains every known member except this node.
#[derive(Debug)]
pub(crate) struct Members {
    seen: Table<Seen>,
    hasher: IdHasher,
    /// Members alive or suspected, by row in `seen`. Those before `cursor` have been probed in this round.
    peers: Vec<u32>,
    cursor: usize,
    /// Members declared dead, by row in `seen`. The latest is last, except for the gaps that revived members left.
    dead: Vec<u32>,
    /// The dead before this place are still to be contacted in this round.
    next_dead: usize,
    /// Coordinates of members that this node has heard, by row in `seen`.
    coordinates: Vec<Option<Heard>>,
    /// Departed. Few are ever looked for, so they have no places.
    left: usize,
}

/// Coordinate of a member.
#[derive(Debug, Copy, Clone)]
struct Heard {
    coordinate: Packed,
    /// True if the member itself said it.
    own_word: bool,
}

/// No dead member has been contacted yet.
const NOT_BEGUN: usize = usize::MAX;

impl Default for Members {
    fn default() -> Self {
        let (seen, peers, dead) = (Table::default(), Vec::new(), Vec::new());
        let hasher = IdHasher { keys: [0x9e37_79b9_7f4a_7c15, 0xd1b5_4a32_d192_ed03] };
        let coordinates = Vec::new();
        Self { seen, hasher, peers, cursor: 0, dead, next_dead: NOT_BEGUN, coordinates, left: 0 }
    }
}

/// Hashes ids by one multiplication: it is done for every datagram. Keyed, so that nobody makes ids that collide.
#[derive(Debug, Clone, Copy)]
struct IdHasher {
    keys: [u64; 2],
}

impl IdHasher {
    const fn hash(self, id: NodeId) -> u64 {
        let [first, second] = self.keys;
        let wide = (id.get() ^ first) as u128 * (second | 1) as u128;
        (wide >> 64) as u64 ^ wide as u64
    }
}

impl Members {
    /// Keyed at random.
    pub(crate) fn new(rng: &mut impl Rng) -> Self {
        Self { hasher: IdHasher { keys: [rng.random(), rng.random()] }, ..Self::default() }
    }

    pub(crate) fn get(&self, id: NodeId) -> Option<Seen> {
        self.seen.get(self.row(id)?).copied()
    }

    fn row(&self, id: NodeId) -> Option<u32> {
        self.seen.find(self.hasher.hash(id), |seen| seen.id == id)
    }

    fn update(&mut self, id: NodeId, update: impl FnOnce(&mut Seen)) {
        if let Some(seen) = self.row(id).and_then(|row| self.seen.get_mut(row)) {
            update(seen);
        }
    }

    /// Records that a member has denied being suspect or dead.
    pub(crate) fn note_refuted(&mut self, id: NodeId) {
        self.update(id, |seen| seen.refuted = seen.refuted.saturating_add(1));
    }

    /// Records that a member did not answer a probe from here.
    pub(crate) fn note_missed(&mut self, id: NodeId) {
        self.update(id, |seen| {
            seen.missed = seen.missed.saturating_add(1);
            seen.unheard = seen.unheard.saturating_add(1);
        });
    }

    /// Records that a member has sent something.
    pub(crate) fn note_heard(&mut self, id: NodeId) {
        self.update(id, |seen| seen.unheard = 0);
    }

    /// Records that a member has answered at its address.
    pub(crate) fn note_reached(&mut self, id: NodeId) {
        self.update(id, |seen| (seen.refuted, seen.missed, seen.unheard) = (0, 0, 0));
    }

    /// Takes a round trip in: it changes the estimate by an eighth (RFC 6298, section 2).
    pub(crate) fn note_trip(&mut self, id: NodeId, trip: Duration) {
        self.update(id, |seen| {
            let trip = u32::try_from(micros(trip)).unwrap_or(u32::MAX).max(1);
            seen.trip = if seen.trip == 0 { trip } else { seen.trip - seen.trip / 8 + trip / 8 }.max(1);
        });
    }

    /// Returns the smoothed round trip of a member that has answered here.
    pub(crate) fn trip(&self, id: NodeId) -> Option<Duration> {
        self.get(id)?.trip()
    }

    /// Remembers the coordinate of a member. What others say of it (`own_word` is false) replaces only what others have said that are
    /// less sure, never what it has said itself.
    pub(crate) fn note_coordinate(&mut self, id: NodeId, coordinate: Packed, own_word: bool) {
        let Some(row) = self.row(id) else { return };
        let row = row as usize;
        if row >= self.coordinates.len() {
            // As the table does: a vector that doubles is a quarter empty on average.
            self.coordinates.reserve_exact(row + 1 + row / 8 - self.coordinates.len());
            self.coordinates.resize(row + 1, None);
        }
        let held = &mut self.coordinates[row];
        if own_word || held.is_none_or(|held| !held.own_word && is_surer(&coordinate, &held.coordinate)) {
            *held = Some(Heard { coordinate, own_word });
        }
    }

    /// Returns the coordinate of a member that was heard last.
    pub(crate) fn coordinate(&self, id: NodeId) -> Option<Packed> {
        let heard = self.coordinates.get(self.row(id)? as usize).copied().flatten();
        heard.map(|heard| heard.coordinate)
    }

    /// Lists every member seen and not forgotten.
    pub(crate) fn iter(&self) -> impl Iterator<Item = Seen> + '_ {
        self.seen.iter().map(|(_, seen)| *seen)
    }

    /// Returns the number of members not forgotten.
    pub(crate) fn len(&self) -> usize {
        self.seen.len()
    }

    /// Returns the number of members alive or suspected.
    pub(crate) fn peers(&self) -> usize {
        self.peers.len()
    }

    /// Returns the number of dead members.
    pub(crate) fn dead(&self) -> usize {
        self.dead.len()
    }

    /// Number of departed members.
    pub(crate) const fn left(&self) -> usize {
        self.left
    }

    /// Returns a departed member at random. Looks at all members.
    pub(crate) fn random_left(&self, rng: &mut impl Rng) -> Option<NodeId> {
        let mut left = self.iter().filter(|seen| seen.status == Status::Left);
        left.nth(rng.random_range(0..self.left.max(1))).map(|seen| seen.id)
    }

    /// Sets a member's status and incarnation.
    pub(crate) fn see(&mut self, id: NodeId, status: Status, incarnation: u64, rng: &mut impl Rng) {
        let seen = self.row(id).and_then(|row| Some((row, self.seen.get(row)?.status)));
        let list = |status| match status {
            Status::Alive | Status::Suspect => Some(true),
            Status::Dead => Some(false),
            Status::Left => None,
        };
        let (from, to) = (seen.and_then(|(_, was)| list(was)), list(status));
        let row = match seen {
            Some((row, _)) => row,
            None => {
                self.left += usize::from(status == Status::Left);
                let seen = Seen { id, incarnation, status, place: 0, trip: 0, refuted: 0, missed: 0, unheard: 0 };
                let hasher = self.hasher;
                self.seen.insert(hasher.hash(id), seen, |seen| hasher.hash(seen.id))
            }
        };
        if from != to {
            match from {
                Some(true) => self.remove_peer(row),
                Some(false) => self.remove_dead(row),
                None => {}
            }
            match to {
                Some(true) => self.insert_peer(row, rng),
                Some(false) => {
                    self.set_place(row, self.dead.len());
                    self.dead.push(row);
                }
                None => {}
            }
        }
        if let Some(seen) = self.seen.get_mut(row) {
            self.left -= usize::from(seen.status == Status::Left);
            self.left += usize::from(status == Status::Left);
            (seen.status, seen.incarnation) = (status, incarnation);
        }
    }

    /// Forgets a member.
    pub(crate) fn forget(&mut self, id: NodeId) -> Option<Seen> {
        let row = self.row(id)?;
        match self.seen.get(row)?.status {
            Status::Alive | Status::Suspect => self.remove_peer(row),
            Status::Dead => self.remove_dead(row),
            Status::Left => self.left -= 1,
        }
        if let Some(coordinate) = self.coordinates.get_mut(row as usize) {
            *coordinate = None;
        }
        self.seen.remove(self.hasher.hash(id), row)
    }

    /// Returns the next member to probe: each once per round, in an order shuffled anew for every round (SWIM, 4.3).
    /// Each call takes one step of the shuffle.
    pub(crate) fn next_probe(&mut self, rng: &mut impl Rng) -> Option<NodeId> {
        if self.cursor >= self.peers.len() {
            self.cursor = 0;
        }
        let rest = self.cursor..self.peers.len();
        let next = (!rest.is_empty()).then(|| rng.random_range(rest))?;
        self.swap_peers(self.cursor, next);
        self.cursor += 1;
        self.seen.get(self.peers[self.cursor - 1]).map(|seen| seen.id)
    }

    /// Returns up to `count` different peers, chosen at random.
    pub(crate) fn random<R: Rng>(&self, count: usize, rng: &mut R) -> impl Iterator<Item = NodeId> + use<'_, R> {
        let count = count.min(self.peers.len());
        let picked = seq::index::sample(rng, self.peers.len(), count).into_iter();
        picked.filter_map(|at| self.seen.get(self.peers[at]).map(|seen| seen.id))
    }

    /// Returns one of the `recent` members that died last, at random.
    pub(crate) fn recently_dead(&self, recent: usize, rng: &mut impl Rng) -> Option<NodeId> {
        let first = self.dead.len().saturating_sub(recent);
        let row = (first < self.dead.len()).then(|| self.dead[rng.random_range(first..self.dead.len())])?;
        self.seen.get(row).map(|seen| seen.id)
    }

    /// Returns the next dead member: each once in a round, the latest first. The first round begins at a random place, so that
    /// not all nodes contact the same.
    pub(crate) fn next_dead(&mut self, rng: &mut impl Rng) -> Option<NodeId> {
        let dead = self.dead.len();
        if self.next_dead == NOT_BEGUN && dead > 0 {
            self.next_dead = rng.random_range(1..=dead);
        }
        if self.next_dead == 0 || self.next_dead > dead {
            self.next_dead = dead;
        }
        self.next_dead = self.next_dead.checked_sub(1)?;
        self.seen.get(self.dead[self.next_dead]).map(|seen| seen.id)
    }

    /// Gives a dead member up: it is not tried again.
    pub(crate) fn give_up(&mut self, id: NodeId) {
        if let Some(row) = self.row(id)
            && self.seen.get(row).is_some_and(|seen| seen.status == Status::Dead)
        {
            self.remove_dead(row);
        }
    }

    fn set_place(&mut self, row: u32, place: usize) {
        if let Some(seen) = self.seen.get_mut(row) {
            // No list is longer than the table, whose rows are counted in 32 bits.
            seen.place = place as u32;
        }
    }

    fn place(&self, row: u32) -> usize {
        self.seen.get(row).map_or(0, |seen| seen.place as usize)
    }

    fn swap_peers(&mut self, a: usize, b: usize) {
        self.peers.swap(a, b);
        for at in [a, b] {
            self.set_place(self.peers[at], at);
        }
    }

    /// Puts a newcomer at a random position of the whole round (SWIM, section 4.3). A position among those still to
    /// come would be unfair: members that die and come back repeatedly would take every position towards the end of a
    /// round, and no other member would be probed.
    fn insert_peer(&mut self, row: u32, rng: &mut impl Rng) {
        let last = self.peers.len();
        if last == self.peers.capacity() {
            self.peers.reserve_exact(last / 8 + 4);
        }
        self.peers.push(row);
        self.set_place(row, last);
        if rng.random_range(0..=last) < self.cursor {
            // Treated as if it had been probed in this round.
            self.swap_peers(last, self.cursor);
            self.cursor += 1;
        }
    }

    fn remove_peer(&mut self, row: u32) {
        let mut at = self.place(row);
        if at < self.cursor {
            // The last member that was probed closes the gap, so that none is probed twice.
            self.cursor -= 1;
            self.swap_peers(at, self.cursor);
            at = self.cursor;
        }
        self.swap_peers(at, self.peers.len() - 1);
        self.peers.pop();
    }

    fn remove_dead(&mut self, row: u32) {
        let at = self.place(row);
        if self.dead.get(at) != Some(&row) {
            // Given up before.
            return;
        }
        self.dead.swap_remove(at);
        if let Some(moved) = self.dead.get(at) {
            self.set_place(*moved, at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;
    use rand::rngs::Xoshiro256PlusPlus;
    use std::collections::BTreeSet;

    fn id(number: u64) -> NodeId {
        NodeId::new(number)
    }

    #[test]
    fn everybody_is_probed_once_a_round_whatever_comes_and_goes() {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(1);
        let mut members = Members::default();
        for n in 0..20 {
            members.see(id(n), Status::Alive, 1, &mut rng);
        }
        let mut probed: Vec<NodeId> = (0..7).filter_map(|_| members.next_probe(&mut rng)).collect();
        members.see(probed[2], Status::Dead, 1, &mut rng);
        members.forget(probed[4]);
        members.see(id(99), Status::Suspect, 1, &mut rng);
        // Two members that were probed are gone, and the newcomer has been probed or not.
        while members.cursor < members.peers.len() {
            probed.extend(members.next_probe(&mut rng));
        }
        let distinct: BTreeSet<_> = probed.iter().copied().collect();
        assert_eq!(probed.len(), distinct.len());
        assert!((0..20).all(|n| distinct.contains(&id(n))));
        let next: BTreeSet<_> = (0..19).filter_map(|_| members.next_probe(&mut rng)).collect();
        assert!(next.len() == 19 && next.contains(&id(99)), "a newcomer has its turn in the next round at the latest");
    }

    #[test]
    fn those_who_come_and_go_do_not_keep_the_others_from_their_turn() {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(4);
        let mut members = Members::default();
        for n in 0..40 {
            members.see(id(n), Status::Alive, 1, &mut rng);
        }
        let mut last = [0_usize; 40];
        for period in 1..4_000 {
            for n in 0..8 {
                members.see(id(n), Status::Dead, 1, &mut rng);
                members.see(id(n), Status::Alive, 1, &mut rng);
            }
            let probed = members.next_probe(&mut rng).unwrap();
            last[usize::try_from(probed.get()).unwrap()] = period;
            let longest = last[8..].iter().map(|at| period - at).max();
            assert!(longest < Some(3 * 40), "{longest:?} periods without a probe");
        }
    }

    #[test]
    fn no_member_waits_more_than_two_rounds() {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(2);
        let mut members = Members::default();
        for n in 0..10 {
            members.see(id(n), Status::Alive, 1, &mut rng);
        }
        let mut last = [0_usize; 10];
        for period in 1..2_000 {
            let probed = members.next_probe(&mut rng).unwrap();
            let at = usize::try_from(probed.get()).unwrap();
            assert!(period - last[at] < 2 * 10, "SWIM, section 4.3");
            last[at] = period;
        }
    }

    #[test]
    fn random_peers_are_different_ones_and_never_the_dead() {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(3);
        let mut members = Members::default();
        for n in 0..10 {
            members.see(id(n), if n < 5 { Status::Alive } else { Status::Dead }, 1, &mut rng);
        }
        for _ in 0..50 {
            let picked: BTreeSet<_> = members.random(3, &mut rng).collect();
            assert!(picked.len() == 3 && picked.iter().all(|peer| peer.get() < 5));
        }
        assert_eq!(members.random(99, &mut rng).count(), 5);
        assert!((0..50).all(|_| members.recently_dead(2, &mut rng).is_some_and(|peer| peer.get() >= 8)));
    }

    #[test]
    fn each_of_the_dead_has_its_turn_whatever_comes_and_goes() {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(5);
        let mut members = Members::default();
        assert_eq!(members.next_dead(&mut rng), None);
        for n in 0..20 {
            members.see(id(n), Status::Dead, 1, &mut rng);
        }
        for _ in 0..3 {
            let round: BTreeSet<_> = (0..20).filter_map(|_| members.next_dead(&mut rng)).collect();
            assert_eq!(round.len(), 20);
        }
        // Some come back, some die meanwhile: two rounds are enough for those that stay.
        let mut met = BTreeSet::new();
        for n in 0..40 {
            members.see(id(n % 5), if n % 2 == 0 { Status::Alive } else { Status::Dead }, 2, &mut rng);
            met.extend(members.next_dead(&mut rng));
        }
        assert!((5..20).all(|n| met.contains(&id(n))), "{met:?}");
    }

    #[test]
    fn a_round_trip_is_smoothed_and_stays_with_its_member() {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(7);
        let (mut members, ms) = (Members::default(), Duration::from_millis);
        members.note_trip(id(1), ms(1));
        assert_eq!(members.trip(id(1)), None, "nobody knows it");
        members.see(id(1), Status::Alive, 1, &mut rng);
        assert_eq!(members.trip(id(1)), None);
        members.note_trip(id(1), ms(80));
        members.note_trip(id(1), ms(160));
        members.see(id(1), Status::Suspect, 2, &mut rng);
        assert_eq!(members.trip(id(1)), Some(ms(90)));
        (0..200).for_each(|_| members.note_trip(id(1), ms(20)));
        assert!(members.trip(id(1)).is_some_and(|trip| trip.abs_diff(ms(20)) < ms(1)));
        members.note_trip(id(1), Duration::MAX);
        assert!(members.trip(id(1)).is_some_and(|trip| trip > ms(20)));
    }

    #[test]
    fn the_departed_are_counted_and_found() {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(6);
        let mut members = Members::default();
        assert_eq!(members.random_left(&mut rng), None);
        for (n, status) in
            [(1, Status::Left), (2, Status::Alive), (3, Status::Left), (3, Status::Alive), (2, Status::Left)]
        {
            members.see(id(n), status, 1, &mut rng);
        }
        assert_eq!(members.left(), 2);
        let found: BTreeSet<_> = (0..50).filter_map(|_| members.random_left(&mut rng)).collect();
        assert_eq!(found, BTreeSet::from([id(1), id(2)]));
        members.forget(id(1));
        assert_eq!((members.left(), members.random_left(&mut rng)), (1, Some(id(2))));
    }
}
