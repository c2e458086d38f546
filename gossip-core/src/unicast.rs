//! Unicast: messages to one member, a datagram each, repeated until there is a receipt.
//!
//! Every row of posts to one member has a random number, its *session*, and posts are numbered in it. The receiver keeps, for
//! each sender, the session, the highest number and which of the 64 before it came: so it takes each post in once. The
//! sender never has two posts without receipt that are further apart than that.
//!
//! Memory: posts without receipt at the sender, of which there are at most 1,024; 24 bytes a member at the
//! receiver. Knows ids and contents. Must not know addresses, or what a content means.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::time::Duration;

use rand::{Rng, RngExt};
use serde::{Deserialize, Serialize};

use crate::estimate::Backoff;
use crate::id::NodeId;
use crate::time::Instant;
use crate::wire::{Content, Post};

/// Posts without receipt to all members.
const POSTS: usize = 1_024;
/// Distance between two posts to one member without receipt, and the posts that a receiver remembers.
const WINDOW: u32 = 64;
/// Longest pause between two repetitions.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// Identifies an acknowledged message to a member, at the node that sent it.
#[derive(Debug, Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct DeliveryId(pub u64);

/// Bound that no further post fits in: posts without receipt, and how many there may be.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub(crate) struct Busy {
    pub(crate) held: usize,
    pub(crate) limit: usize,
}

/// Post without receipt.
#[derive(Debug)]
struct Waiting {
    to: NodeId,
    post: Post,
    /// Number by which the application knows it, if it is the application's.
    delivery: Option<DeliveryId>,
    again: Instant,
    backoff: Backoff,
    until: Instant,
}

/// Row of posts to one member.
#[derive(Debug)]
struct Sending {
    session: u32,
    next: u32,
}

/// Posts of one member that came.
#[derive(Debug)]
struct Received {
    session: u32,
    highest: u32,
    /// Bit *i*: the post that is *i* before the highest has come.
    came: u64,
}

impl Received {
    /// Returns whether the post has not come yet; none if it is too old to tell.
    const fn is_new(&self, number: u32) -> Option<bool> {
        match self.highest.checked_sub(number) {
            None => Some(true),
            Some(behind) if behind < WINDOW => Some(self.came >> behind & 1 == 0),
            Some(_) => None,
        }
    }

    fn note(&mut self, number: u32) {
        match number.checked_sub(self.highest) {
            Some(ahead) => {
                self.came = self.came.checked_shl(ahead).unwrap_or(0) | 1;
                self.highest = number;
            }
            None => self.came |= 1 << (self.highest - number),
        }
    }
}

/// Arrival of a post.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub(crate) enum Arrival {
    /// To be taken in, and then [noted](Unicasts::note).
    New,
    /// Taken in before.
    Repeated,
    /// So late that this cannot be told.
    TooLate,
}

/// Posts that are given up.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct GivenUp {
    /// Those of the application, with their receivers.
    pub(crate) deliveries: Vec<(DeliveryId, NodeId)>,
    /// Number of all.
    pub(crate) count: u64,
}

/// See the [module](self).
#[derive(Debug, Default)]
pub(crate) struct Unicasts {
    waiting: Vec<Waiting>,
    sending: BTreeMap<NodeId, Sending>,
    heard: BTreeMap<NodeId, Received>,
    /// Time of the next repetition, or earlier.
    due: Option<Instant>,
    deliveries: u64,
    /// Posts sent again.
    repeated: u64,
}

impl Unicasts {
    pub(crate) const fn due(&self) -> Option<Instant> {
        self.due
    }

    pub(crate) const fn repeated(&self) -> u64 {
        self.repeated
    }

    /// Returns a number for a delivery.
    pub(crate) const fn next_delivery(&mut self) -> DeliveryId {
        self.deliveries += 1;
        DeliveryId(self.deliveries)
    }

    /// Makes a post that is repeated after `pause`, then in growing pauses until it has a receipt or `within` is over.
    ///
    /// # Errors
    /// [`Busy`]: too many wait for their receipts, to this member or to all.
    pub(crate) fn post(
        &mut self,
        now: Instant,
        to: NodeId,
        content: Content,
        delivery: Option<DeliveryId>,
        (pause, within): (Duration, Duration),
        rng: &mut impl Rng,
    ) -> Result<Post, Busy> {
        if self.waiting.len() >= POSTS {
            return Err(Busy { held: self.waiting.len(), limit: POSTS });
        }
        let row = self.sending.entry(to).or_insert_with(|| Sending { session: rng.random(), next: 0 });
        let oldest = self.waiting.iter().filter(|waiting| waiting.to == to).map(|waiting| waiting.post.number).min();
        if oldest.is_some_and(|oldest| row.next - oldest >= WINDOW) {
            return Err(Busy { held: WINDOW as usize, limit: WINDOW as usize });
        }
        if row.next == u32::MAX {
            // The receiver begins anew with a session that it does not know.
            *row = Sending { session: rng.random(), next: 0 };
        }
        let post = Post { session: row.session, number: row.next, content };
        row.next += 1;
        let mut backoff = Backoff::new(pause, LONGEST_PAUSE, u32::MAX);
        let (again, until) = (now + backoff.next().unwrap_or(LONGEST_PAUSE), now + within);
        self.waiting.push(Waiting { to, post: post.clone(), delivery, again, backoff, until });
        self.due = self.due.into_iter().chain([again, until]).min();
        Ok(post)
    }

    /// Takes a receipt in. Returns the delivery that it ends, if that is the application's.
    pub(crate) fn on_receipt(&mut self, from: NodeId, session: u32, number: u32) -> Option<DeliveryId> {
        let is_it =
            |waiting: &Waiting| waiting.to == from && waiting.post.session == session && waiting.post.number == number;
        let at = self.waiting.iter().position(is_it)?;
        let waiting = self.waiting.remove(at);
        if self.waiting.is_empty() {
            self.due = None;
            self.waiting.shrink_to(0);
        }
        waiting.delivery
    }

    /// Returns what is to be sent again, and what is given up.
    pub(crate) fn tick(&mut self, now: Instant) -> (Vec<(NodeId, Post)>, GivenUp) {
        if self.due.is_none_or(|due| now < due) {
            return Default::default();
        }
        let given_up = self.give_up(|waiting| waiting.until <= now);
        let mut again = Vec::new();
        for waiting in self.waiting.iter_mut().filter(|waiting| waiting.again <= now) {
            waiting.again = now + waiting.backoff.next().unwrap_or(LONGEST_PAUSE);
            again.push((waiting.to, waiting.post.clone()));
        }
        self.repeated += again.len() as u64;
        self.due = self.waiting.iter().map(|waiting| waiting.again.min(waiting.until)).min();
        (again, given_up)
    }

    /// Gives up what waits for a member that is gone.
    pub(crate) fn note_gone(&mut self, id: NodeId) -> GivenUp {
        self.give_up(|waiting| waiting.to == id)
    }

    /// Forgets a member.
    pub(crate) fn forget(&mut self, id: NodeId) -> GivenUp {
        self.sending.remove(&id);
        self.heard.remove(&id);
        self.note_gone(id)
    }

    /// Gives everything up: this node has left.
    pub(crate) fn clear(&mut self) -> GivenUp {
        self.due = None;
        self.give_up(|_| true)
    }

    fn give_up(&mut self, ends: impl Fn(&Waiting) -> bool) -> GivenUp {
        let mut given_up = GivenUp::default();
        for waiting in self.waiting.extract_if(.., |waiting| ends(waiting)) {
            given_up.count += 1;
            given_up.deliveries.extend(waiting.delivery.map(|id| (id, waiting.to)));
        }
        given_up
    }

    /// Returns what a post that arrives is.
    pub(crate) fn arrival(&self, from: NodeId, session: u32, number: u32) -> Arrival {
        let heard = self.heard.get(&from).filter(|heard| heard.session == session);
        match heard.map_or(Some(true), |heard| heard.is_new(number)) {
            Some(true) => Arrival::New,
            Some(false) => Arrival::Repeated,
            None => Arrival::TooLate,
        }
    }

    /// Takes note that a post was taken in.
    pub(crate) fn note(&mut self, from: NodeId, session: u32, number: u32) {
        let first = || Received { session, highest: number, came: 1 };
        let heard = self.heard.entry(from).or_insert_with(first);
        if heard.session == session {
            heard.note(number);
        } else {
            *heard = first();
        }
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand::rngs::Xoshiro256PlusPlus;

    use super::*;

    const NOW: Instant = Instant::from_secs(1);
    const TIMES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));
    const PEER: NodeId = NodeId::new(7);

    fn content(number: u8) -> Content {
        Content::Payload([number].into())
    }

    fn rng() -> Xoshiro256PlusPlus {
        Xoshiro256PlusPlus::seed_from_u64(1)
    }

    #[test]
    fn a_post_is_repeated_until_its_receipt_or_its_time() {
        let (mut sender, mut rng) = (Unicasts::default(), rng());
        let id = sender.next_delivery();
        let post = sender.post(NOW, PEER, content(1), Some(id), TIMES, &mut rng).unwrap();
        let mut times = Vec::new();
        while let Some(due) = sender.due().filter(|due| *due < NOW + 3 * LONGEST_PAUSE) {
            let (again, given_up) = sender.tick(due);
            assert_eq!((again, given_up), (alloc::vec![(PEER, post.clone())], GivenUp::default()));
            times.push(due.since(NOW).as_millis());
        }
        assert_eq!(times, [100, 300, 700, 1_500, 2_500]);
        assert_eq!(sender.on_receipt(NodeId::new(8), post.session, post.number), None, "of another member");
        assert_eq!(sender.on_receipt(PEER, post.session ^ 1, post.number), None, "guessed");
        assert_eq!(sender.on_receipt(PEER, post.session, post.number), Some(id));
        assert_eq!(sender.due(), None);
        let id = sender.next_delivery();
        sender.post(NOW, PEER, content(2), Some(id), TIMES, &mut rng).unwrap();
        let (again, given_up) = sender.tick(NOW + TIMES.1);
        assert_eq!((again.len(), given_up.deliveries, given_up.count), (0, alloc::vec![(id, PEER)], 1));
        assert_eq!(sender.due(), None);
    }

    #[test]
    fn whatever_order_they_come_in_each_post_is_taken_in_once() {
        let mut receiver = Unicasts::default();
        // Every number three times, out of order within the window.
        let mut taken = [0; 600];
        for number in 0..600_u32 {
            for late in [0, 63, 20] {
                let Some(number) = number.checked_sub(late) else { continue };
                if receiver.arrival(PEER, 5, number) == Arrival::New {
                    receiver.note(PEER, 5, number);
                    taken[number as usize] += 1;
                }
            }
        }
        assert!(taken.iter().all(|times| *times == 1));
        assert_eq!(receiver.arrival(PEER, 5, 500), Arrival::TooLate);
        assert_eq!(receiver.arrival(PEER, 6, 500), Arrival::New, "of another start of the sender");
    }

    #[test]
    fn what_waits_is_bounded_for_a_member_and_for_all() {
        let (mut sender, mut rng) = (Unicasts::default(), rng());
        let mut post =
            |to: u64, sender: &mut Unicasts| sender.post(NOW, NodeId::new(to), content(0), None, TIMES, &mut rng);
        let first = post(1, &mut sender).unwrap();
        (1..WINDOW).for_each(|_| drop(post(1, &mut sender).unwrap()));
        assert_eq!(post(1, &mut sender), Err(Busy { held: 64, limit: 64 }));
        sender.on_receipt(NodeId::new(1), first.session, 30);
        assert!(post(1, &mut sender).is_err(), "the oldest still waits");
        sender.on_receipt(NodeId::new(1), first.session, first.number);
        assert!(post(1, &mut sender).is_ok());
        let room = (2..100).flat_map(|to| [to; 40]).take_while(|to| post(*to, &mut sender).is_ok()).count();
        assert_eq!((room, sender.waiting.len()), (POSTS - 63, POSTS));
        sender.forget(NodeId::new(1));
        assert_eq!(sender.waiting.len(), POSTS - 63);
    }
}
