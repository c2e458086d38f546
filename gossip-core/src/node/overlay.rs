//! The node's part of the overlay: what is spread along links, what came over them, and whom to have links with.

use alloc::vec::Vec;

use super::Node;
use super::large::Described;
use super::learn::{Source, Spread, subject};
use super::transmit::Packed;
use crate::address::Address;
use crate::config::{Membership, Relay};
use crate::epidemic::rumor::Subject;
use crate::epidemic::transfer::{carried_within, wire_len};
use crate::event::Status;
use crate::id::NodeId;
use crate::members::Seen;
use crate::outbox::{HotKey, Intent, TrafficClass};
use crate::overlay::{Answer, Haste};
use crate::time::Instant;
use crate::update::KeyHash;
use crate::wire::{Item, Message, OTHERS, Overlay as Said, Suspicion, Writer, encoded_len};

// Spreading.
impl<A: Address> Node<A> {
    /// Returns whether news goes along links.
    pub(super) fn floods(&self) -> bool {
        self.config.rumor.relay == Relay::Tree && self.overlay.is_linked()
    }

    /// Spreads news along the links, or by rumor mongering where there are none.
    pub(super) fn spread(&mut self, what: Spread) {
        let Spread { key, subject, hash, len, haste } = what;
        let linked =
            self.config.rumor.relay == Relay::Tree && self.overlay.news(self.now, hash, key, haste, &mut self.rng);
        if linked {
            // What is hot under this key is outdated.
            self.rumors.cool(&key);
        } else {
            self.rumors.heat(self.now, key, subject, hash, len + 1, &mut self.rng);
        }
    }

    /// Urgency of news of a key.
    pub(super) fn haste(&self, key: KeyHash, source: Source) -> Haste {
        match (source, key.member()) {
            // Most have it by now.
            (Source::Repair | Source::CatchUp, _) => Haste::Offered,
            // A refutation overtakes the suspicion, which is gathered.
            (_, Some(id)) if self.detector.members().get(id).is_some_and(|seen| seen.status == Status::Suspect) => {
                Haste::Prompt
            }
            (_, Some(id)) => self.haste_about(id),
            _ => Haste::Prompt,
        }
    }

    /// Urgency of news of a member: what is about this node or a neighbour does not wait for company.
    pub(super) fn haste_about(&self, id: NodeId) -> Haste {
        if id == self.identity.id || self.overlay.is_taken(id) { Haste::Prompt } else { Haste::Gathered }
    }

    /// An item is here, perhaps in the place of another, which is not to be spread any more.
    pub(super) fn note_merged(&mut self, hash: u64, replaced: Option<u64>) {
        self.overlay.got(hash);
        self.changes.note(hash, replaced);
        self.note_returned(hash);
        if let Some(replaced) = replaced {
            self.overlay.cool(replaced);
        }
    }

    /// Spreads a suspicion. If this node raised it, more members may be silent, and neighbours among them.
    pub(super) fn spread_suspicion(&mut self, suspicion: Suspicion) {
        if suspicion.accuser == self.identity.id {
            self.overlay.check_links(self.now);
        }
        let (key, len) = (HotKey::Opinion(suspicion), encoded_len(&suspicion));
        let haste = self.haste_about(suspicion.about);
        self.spread(Spread { key, subject: Subject::Membership, hash: suspicion.item_hash(), len, haste });
    }

    /// A suspicion is settled, and not to be spread any more.
    pub(super) fn cool_suspicion(&mut self, suspicion: Suspicion) {
        self.overlay.cool(suspicion.item_hash());
        self.rumors.cool(&HotKey::Opinion(suspicion));
    }

    /// Returns whether what is held of a key is on its way to a neighbour.
    pub(super) fn is_flooding(&self, key: KeyHash) -> bool {
        self.replica.hash_of(key).is_some_and(|hash| self.overlay.is_spreading(hash))
    }

    pub(super) fn schedule_links(&mut self) {
        self.overlay.schedule(self.now, &mut self.outbox);
    }

    pub(super) fn pack_link(&mut self, to: &A, writer: &mut Writer<'_>) -> Packed<A> {
        let Self { replica, overlay, now, .. } = self;
        let narrow = writer.narrow_room();
        let body = |hash, key: Option<HotKey>| match key {
            Some(HotKey::Opinion(suspicion)) => Some(Item::Suspicion(suspicion)),
            Some(HotKey::Fact(key)) => replica.get_if(key, hash).map(|update| carried_within(replica, update, narrow)),
            None => replica.by_hash(hash).map(|update| carried_within(replica, update, narrow)),
        };
        if overlay.compose(to, *now, body, writer) { Packed::Rest(Intent::Link) } else { Packed::Whole }
    }

    /// A probe shows that there is a link: one that only one side believes in is found out by that.
    pub(super) fn note_link(&self, to: &A, writer: &mut Writer<'_>) {
        if self.overlay.has_link(to) {
            // Not if there is no room.
            writer.push::<A>(&Message::Overlay(Said::Neighbour));
        }
    }
}

// Upkeep.
impl<A: Address> Node<A> {
    /// A member is seen in another way than before.
    pub(super) fn note_status(&mut self, id: NodeId, was: Option<Status>) {
        match (was, self.detector.members().get(id).map(|seen| seen.status)) {
            (_, Some(Status::Dead)) => self.overlay.note_dead(self.now, id),
            (_, None | Some(Status::Left)) => self.overlay.note_gone(id),
            (Some(Status::Dead), _) => self.overlay.note_back(self.now, id),
            _ => {}
        }
    }

    pub(super) fn forget_links(&mut self) {
        self.overlay.clear();
    }

    fn keeps_links(&self) -> bool {
        self.config.rumor.relay == Relay::Tree && self.identity.is_running()
    }

    fn possible_neighbours(&self) -> usize {
        if self.keeps_links() { self.detector.members().peers() } else { 0 }
    }

    pub(super) fn overlay_due(&self) -> Option<Instant> {
        self.overlay.due(self.possible_neighbours())
    }

    pub(super) fn tick_overlay(&mut self) {
        self.overlay.tick(self.now);
        for key in self.overlay.take_orphans() {
            self.mongers(key);
        }
        let peers = self.possible_neighbours();
        let wanted = self.overlay.seeks(self.now, peers, &mut self.outbox, &mut self.rng);
        for _ in 0..wanted {
            let Some((id, address, random)) = self.candidate() else { break };
            self.overlay.ask(self.now, (id, &address, random), &mut self.outbox, &mut self.rng);
        }
        self.schedule_links();
    }

    /// Hands what links could not bring to rumor mongering.
    fn mongers(&mut self, key: HotKey) {
        let (subject, hash, len) = match key {
            HotKey::Opinion(suspicion) => (Subject::Membership, suspicion.item_hash(), encoded_len(&suspicion)),
            HotKey::Fact(fact) => {
                let (Some(update), Some(hash)) = (self.replica.get(fact), self.replica.hash_of(fact)) else { return };
                (subject(&update), hash, wire_len(&self.replica, &update))
            }
        };
        if !self.rumors.is_hot(&key) {
            self.rumors.heat(self.now, key, subject, hash, len + 1, &mut self.rng);
        }
    }

    /// A member to ask for a link, and whether it was drawn among all: a near one if one is lacked, one named by another
    /// if there is, else a random one that is not suspected.
    fn candidate(&mut self) -> Option<(NodeId, A, bool)> {
        let near = self.overlay.near_candidates(&mut self.rng);
        if let Some((id, address)) = near.into_iter().find_map(|id| Some((id, self.may_link(id)?))) {
            return Some((id, address, false));
        }
        self.random_candidate().map(|(id, address)| (id, address, true))
    }

    fn random_candidate(&mut self) -> Option<(NodeId, A)> {
        const DRAWS: usize = 8;
        if self.config.membership == Membership::Given {
            // Ids are learned on contact: those who answered are members.
            let known = self.detector.members().random(DRAWS, &mut self.rng).find(|id| !self.overlay.is_taken(*id))?;
            return self.replica.member(known).map(|record| (known, record.address.clone()));
        }
        while let Some(tip) = self.overlay.tip() {
            if let Some(address) = self.may_link(tip) {
                return Some((tip, address));
            }
        }
        let drawn: Vec<NodeId> = self.detector.members().random(DRAWS, &mut self.rng).collect();
        drawn.into_iter().find_map(|id| Some((id, self.may_link(id)?)))
    }

    /// Address of a member that can be asked for a link.
    fn may_link(&self, id: NodeId) -> Option<A> {
        let alive = self.detector.members().get(id).is_some_and(|seen| seen.status == Status::Alive);
        let address = self.replica.member(id).map(|record| record.address.clone());
        // Of two members with one address, one has taken the place of the other.
        let free = |address: &A| !self.overlay.has_link(address) && *address != self.identity.address;
        address.filter(|address| alive && !self.overlay.is_taken(id) && free(address))
    }
}

// Messages.
impl<A: Address> Node<A> {
    pub(super) fn on_overlay(&mut self, sender: NodeId, from: &A, said: Said<A>) {
        let linked = match said {
            Said::Link { first, alone } => {
                self.on_link(sender, from, first, alone);
                true
            }
            Said::Linked { first } => {
                self.overlay.on_linked(self.now, (sender, from), first, &mut self.outbox);
                true
            }
            Said::Full { others } => {
                self.overlay.on_full(self.now, from, &others);
                true
            }
            Said::Unlink => {
                self.overlay.on_unlink(self.now, from);
                true
            }
            Said::Part => !self.overlay.on_part(from),
            Said::Neighbour => !self.overlay.on_neighbour(from),
            Said::Flood { number, hops, items } => self.on_flood(from, (number, hops), items),
            Said::Offers { hops, hashes } => self.on_offers(from, &hashes.0, Some(hops)),
            Said::Again { number, hashes } => {
                self.overlay.on_number(self.now, from, number).is_some() && self.on_offers(from, &hashes.0, None)
            }
            Said::Confirm { newest, missing } => {
                let confirmed = |item| self.absence.note_confirmed(item);
                self.overlay.on_confirm(self.now, from, (newest, missing), confirmed)
            }
            Said::Graft { hashes } => self.overlay.on_graft(self.now, from, &hashes.0),
            Said::Prune => self.overlay.on_prune(from),
        };
        if !linked {
            self.outbox.message(TrafficClass::Rumor, from.clone(), Message::Overlay(Said::Unlink));
        }
    }

    fn on_link(&mut self, sender: NodeId, from: &A, first: u16, alone: bool) {
        let is_live = |seen: Seen| matches!(seen.status, Status::Alive | Status::Suspect);
        let answer = if self.keeps_links() && self.detector.members().get(sender).is_some_and(is_live) {
            self.overlay.on_link(self.now, (sender, from), (first, alone), &mut self.outbox, &mut self.rng)
        } else {
            Answer::Full
        };
        let said = match answer {
            Answer::Linked { first } => Said::Linked { first },
            Answer::Full => {
                let others = self.detector.members().random(OTHERS + 1, &mut self.rng).filter(|id| *id != sender);
                Said::Full { others: others.take(OTHERS).collect() }
            }
        };
        self.outbox.message(TrafficClass::Rumor, from.clone(), Message::Overlay(said));
    }

    /// Takes bodies in, whether or not there is a link; returns whether there is.
    fn on_flood(&mut self, from: &A, (number, hops): (u16, u8), items: Vec<Item<A>>) -> bool {
        let fresh = self.overlay.on_number(self.now, from, number);
        for item in items {
            let (hash, news, seen);
            match item {
                Item::Update(update) => {
                    let key = self.replica.hasher.key(&update);
                    hash = self.replica.hasher.item(key, &update);
                    seen = self.overlay.on_body(self.now, from, hash, hops);
                    news = self.learn(update, Source::Rumor, Some(from)).is_some();
                }
                Item::Large(descriptor) => {
                    let key = self.replica.hasher.entry(descriptor.owner.into(), &descriptor.name);
                    hash = self.replica.hasher.item(key, &descriptor.outline::<A>(key));
                    seen = self.overlay.on_body(self.now, from, hash, hops);
                    news = self.hear_of(descriptor, Source::Rumor, from) == Described::Fetched;
                }
                Item::Suspicion(suspicion) => {
                    hash = suspicion.item_hash();
                    seen = self.overlay.on_body(self.now, from, hash, hops);
                    news = self.on_suspicion(suspicion, Some(from));
                }
                // Not sound.
                Item::Offer(_) => continue,
            }
            if news {
                self.overlay.on_useful(from);
            } else if seen && fresh == Some(true) {
                self.overlay.on_duplicate(self.now, from, hash);
            }
        }
        fresh.is_some()
    }

    fn on_offers(&mut self, from: &A, hashes: &[u64], hops: Option<u8>) -> bool {
        for hash in hashes {
            let missing =
                !self.replica.has_hash(*hash) && !self.is_fetching(*hash, from) && !self.overlay.has_seen(*hash);
            self.overlay.on_offer(self.now, from, *hash, missing, hops);
        }
        self.overlay.has_link(from)
    }
}
