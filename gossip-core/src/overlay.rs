//! Links to a few neighbours, and the flood of news along them: an optimisation that is never trusted.
//!
//! Every node keeps about `degree` symmetric links. News goes whole over *eager* links and by its hash over *lazy* ones; a
//! duplicate makes a link lazy, an offer of what is missing makes it eager. So the eager links become a tree (Plumtree,
//! Leitão et al. 2007), and every node receives a body once. Datagrams are lost, so bodies are numbered and confirmed; what
//! is not confirmed is offered again. What a link cannot bring, rumor mongering and anti-entropy do.
//!
//! Knows hashes of items and addresses of neighbours. Must not know what an item says, nor who the members are.

mod distance;
mod evidence;
mod flood;
mod link;
mod links;
mod near;
mod recent;
mod wanted;

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::time::Duration;

use crate::address::Address;
use crate::config;
use crate::estimate::RoundTrip;
use crate::event::Neighbour;
use crate::id::NodeId;
use crate::outbox::{HotKey, Intent, Outbox, TrafficClass};
use crate::time::Instant;
use crate::wire::{Message, Overlay as Said};
use distance::Distances;
use evidence::Evidence;
use link::Link;
use links::{Asked, Lost, Seek};
use near::NearSeek;
use recent::Recents;
use wanted::Wanted;

pub(crate) use links::Answer;

/// Members that may have room for a link, named by those that have none.
const TIPS: usize = 8;
/// Latest items that are handed to rumor mongering when a neighbour is silent.
const RESCUED: usize = 256;
/// At most this often all links are checked.
const CHECK_PAUSE: Duration = Duration::from_secs(2);

/// All times of the overlay, in units of the relay delay: 5 ms in a local network.
#[derive(Debug, Clone)]
struct Times {
    unit: Duration,
    /// Bodies that follow one another this closely share a datagram; a confirmation waits this long for company.
    gather: Duration,
    /// News about members is not urgent: it is gathered for longer.
    gather_members: Duration,
    /// An offer leaves between these two after the news, so that the body comes first.
    offer: [Duration; 2],
    /// Time after the news at which offers leave in a lossy network; they leave once more `offer_again` later.
    offer_lossy: Duration,
    offer_again: Duration,
    /// Time over which offers to far neighbours are spread: one that has offered is not offered to.
    offer_far: Duration,
    /// Shortest time from the first offer of a missing item to the request for it.
    patience: Duration,
    /// Round trip of a link until one is measured.
    first_timeout: Duration,
    /// An intent that is not polled for this long was dropped by the outbox.
    lost_intent: Duration,
}

impl Times {
    fn new(relay_delay: Duration) -> Self {
        let unit = relay_delay.max(Duration::from_millis(1));
        Self {
            unit,
            gather: unit * 2 / 5,
            gather_members: unit * 10,
            offer: [unit * 4 / 5, unit * 12 / 5],
            offer_lossy: unit * 8 / 5,
            offer_again: unit * 8,
            offer_far: unit * 8,
            patience: unit,
            first_timeout: unit * 4,
            lost_intent: unit * 20,
        }
    }
}

/// Manner in which news travels along links.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Haste {
    /// Bodies at once.
    Prompt,
    /// Bodies, gathered for longer.
    Gathered,
    /// Offers only: most have it.
    Offered,
}

/// Counters of the overlay.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Counted {
    /// Links ended because the neighbour was silent.
    pub(crate) ended: u64,
    /// Datagrams over links that were not confirmed in time, and repeated as offers.
    pub(crate) repeated: u64,
    /// Items not sent over a link because too many waited for it.
    pub(crate) dropped: u64,
}

/// See the [module](self).
#[derive(Debug)]
pub(crate) struct Overlay<A> {
    settings: config::Links,
    times: Times,
    links: Vec<Link<A>>,
    asked: Vec<Asked<A>>,
    lost: VecDeque<Lost<A>>,
    tips: VecDeque<NodeId>,
    seek: Seek,
    near_seek: NearSeek,
    recents: Recents,
    wanted: Wanted,
    evidence: Evidence,
    distances: Distances,
    /// Round trips of probes, whoever answered.
    probed: RoundTrip,
    /// The item for which a link was made lazy last, and when.
    last_prune: Option<(u64, Instant)>,
    /// All links were checked before this.
    next_check: Instant,
    /// News that links could not bring: for rumor mongering.
    orphans: Vec<HotKey>,
    /// Peers whose links were ended here, and which are not told yet.
    ended: Vec<A>,
    counted: Counted,
}

impl<A: Address> Overlay<A> {
    /// `relay_delay`: the unit of its times; `hot`: items that are remembered as being spread.
    pub(crate) fn new(settings: config::Links, relay_delay: Duration, hot: usize) -> Self {
        let times = Times::new(relay_delay);
        Self {
            seek: Seek::new(&times),
            settings,
            times,
            near_seek: NearSeek::default(),
            links: Vec::new(),
            asked: Vec::new(),
            lost: VecDeque::new(),
            tips: VecDeque::new(),
            recents: Recents::new(hot),
            wanted: Wanted::default(),
            evidence: Evidence::default(),
            distances: Distances::default(),
            probed: RoundTrip::default(),
            last_prune: None,
            next_check: Instant::ORIGIN,
            orphans: Vec::new(),
            ended: Vec::new(),
            counted: Counted::default(),
        }
    }

    pub(crate) const fn counted(&self) -> Counted {
        self.counted
    }

    /// The neighbours.
    pub(crate) fn neighbours(&self) -> impl Iterator<Item = Neighbour> + '_ {
        self.links.iter().map(|link| Neighbour { id: link.id, eager: link.eager, doubted: link.doubted })
    }

    /// Returns whether there is a link to flood along.
    pub(crate) fn is_linked(&self) -> bool {
        self.links.iter().any(|link| !link.doubted)
    }

    /// Forgets everything but the counters.
    pub(crate) fn clear(&mut self) {
        self.links.clear();
        self.asked.clear();
        self.lost.clear();
        self.tips.clear();
        self.seek = Seek::new(&self.times);
        self.near_seek = NearSeek::default();
        self.recents.clear();
        self.wanted = Wanted::default();
        self.distances = Distances::default();
        self.orphans.clear();
        self.ended.clear();
    }

    /// Returns the time of the next thing to do, with `peers` to have links with.
    pub(crate) fn due(&self, peers: usize) -> Option<Instant> {
        let links = self.links.iter().filter_map(|link| link.due(&self.times));
        links.chain(self.wanted.due()).chain(self.upkeep_due(peers)).min()
    }

    /// Does what is due, but for [upkeep](Self::seeks).
    pub(crate) fn tick(&mut self, now: Instant) {
        self.recents.expire(now);
        let mut found_silent = false;
        let doubt_after = self.evidence.tries_until_doubt();
        for link in &mut self.links {
            let (bit, recents) = (link.bit(), &self.recents);
            let (unanswered, exhausted) = link.expire(now, |item| recents.is_settled(item, bit));
            self.counted.repeated += u64::from(unanswered);
            (0..unanswered).for_each(|_| self.evidence.note(false));
            if link.silent >= doubt_after && !link.doubted {
                link.doubted = true;
                found_silent = true;
                self.orphans.extend(link.unsettled().filter_map(|item| recents.key(item)));
            }
            if exhausted && link.silent > link::MOST_TRIES {
                link.ended = true;
            }
        }
        let ended: Vec<usize> = (0..self.links.len()).rev().filter(|at| self.links[*at].ended).collect();
        for at in ended {
            self.counted.ended += 1;
            let link = self.remove(at);
            self.remember_lost(now, link.id, link.peer, true);
        }
        if found_silent {
            self.check_links(now);
            // Where many are gone at once, some have no living neighbour: only others can reach them.
            self.orphans.extend(self.recents.latest(RESCUED).map(|(_, key)| key));
        }
        self.tick_wanted(now);
    }

    /// Asks all neighbours whether they are there, since somebody was found silent: where one is gone, more may be.
    pub(crate) fn check_links(&mut self, now: Instant) {
        if now < self.next_check {
            return;
        }
        self.next_check = now + CHECK_PAUSE;
        for link in &mut self.links {
            link.check();
        }
    }

    /// Returns the news that links could not bring since the last call.
    pub(crate) fn take_orphans(&mut self) -> Vec<HotKey> {
        let mut orphans = core::mem::take(&mut self.orphans);
        orphans.sort_unstable();
        orphans.dedup();
        orphans
    }

    /// Puts an intent in the outbox for every link over which something is to be sent now.
    pub(crate) fn schedule(&mut self, now: Instant, outbox: &mut Outbox<A>) {
        for peer in self.ended.drain(..) {
            outbox.message(TrafficClass::Rumor, peer, Message::Overlay(Said::Unlink));
        }
        for link in &mut self.links {
            if link.scheduled.is_some_and(|since| now < since + self.times.lost_intent) {
                continue;
            }
            link.scheduled = None;
            if link.is_ready(now) {
                link.scheduled = Some(now);
                outbox.push(TrafficClass::Rumor, link.peer.clone(), Intent::Link);
            }
        }
    }

    fn position(&self, peer: &A) -> Option<usize> {
        self.links.iter().position(|link| link.peer == *peer)
    }
}

#[cfg(test)]
mod tests;
