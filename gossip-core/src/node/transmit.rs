//! Sending: intents become messages, messages become a datagram, hot rumors fill it.

use super::identity::Phase;
use super::{Node, Transmit};
use crate::address::Address;
use crate::epidemic::transfer::{carried_within, compose_chunk};
use crate::outbox::{Intent, TrafficClass};
use crate::update::KeyHash;
use crate::wire::{Echo, Item, Message, PREAMBLE, Path, Repair, Rumor, Trust, Writer, encoded_len};

/// Outcome of packing an intent.
pub(super) enum Packed<A> {
    Whole,
    /// Rest that goes into the next datagram.
    Rest(Intent<A>),
}

impl<A: Address> Node<A> {
    /// Writes the next datagram into `buffer`. It may be dropped, since the network loses datagrams as well.
    ///
    /// # Panics
    /// If `buffer` is smaller than [`Config::max_datagram`](crate::Config::max_datagram).
    pub fn poll_transmit(&mut self, buffer: &mut [u8]) -> Option<Transmit<A>> {
        let longest = self.config.max_datagram;
        assert!(buffer.len() >= longest, "a buffer of {} bytes, max_datagram is {longest}", buffer.len());
        if matches!(self.identity.phase, Phase::Unborn | Phase::Left) {
            return None;
        }
        loop {
            let (class, to, intent) = self.outbox.pop()?;
            let body = self.envelope.body();
            let shorter = self.paths.shorter_by(&to);
            let bare = matches!(intent, Intent::Bare(_));
            let alone = bare || matches!(intent, Intent::Alone(_) | Intent::Echo { .. });
            let mut writer = if shorter > 0 && !alone {
                Writer::narrow(&mut buffer[body.start..body.end - shorter])
            } else {
                Writer::new(&mut buffer[body.clone()])
            };
            let answers = matches!(intent, Intent::Introduction { .. });
            let pass = if bare { None } else { self.pass_of(&to) };
            let introduces = pass.is_none() && !bare;
            if introduces {
                writer.reserve(PREAMBLE);
            }
            let packed = match self.pack(&to, intent, &mut writer) {
                Packed::Rest(rest) if writer.used() == 0 && writer.narrow_room().is_some() => {
                    // What has no parts goes out all the same: perhaps the path has changed.
                    writer = Writer::new(&mut buffer[body]);
                    writer.reserve(if introduces { PREAMBLE } else { 0 });
                    self.pack(&to, rest, &mut writer)
                }
                packed => packed,
            };
            match packed {
                Packed::Whole if alone => {}
                Packed::Whole => self.fill(&to, &mut writer),
                Packed::Rest(_) if writer.used() == 0 => {
                    // No admitted update is too large for a datagram of its own.
                    self.stats.outbox_unsendable += 1;
                    continue;
                }
                Packed::Rest(rest) => self.outbox.put_back(class, to.clone(), rest),
            }
            // Not on an ack, which is the shortest datagram there is when it is alone.
            if !alone && class == TrafficClass::Probe {
                self.note_link(&to, &mut writer);
                #[cfg(feature = "next")]
                self.note_next(&to, &mut writer);
            }
            if writer.used() == 0 {
                // Its subject is gone.
                continue;
            }
            // Not on rumor messages: their rounds and answers would carry the hot list a second time.
            if !alone && !matches!(class, TrafficClass::Rumor | TrafficClass::Bulk) {
                self.ride_along(&mut writer);
            }
            if introduces && !answers {
                self.introduce(&to, &mut writer);
            }
            let used = writer.used();
            let header = self.identity.header(self.clocks.wall(self.now));
            let len = self.envelope.seal(&header, buffer, used, pass);
            self.stats.datagrams_sent += 1;
            self.stats.bytes_sent += len as u64;
            return Some(Transmit { to, len, class });
        }
    }

    /// Adds other intents for the same peer while there is room.
    fn fill(&mut self, to: &A, writer: &mut Writer<'_>) {
        while let Some((class, intent)) = self.outbox.pop_for(to) {
            if matches!(intent, Intent::Bare(_) | Intent::Alone(_) | Intent::Echo { .. }) {
                self.outbox.put_back(class, to.clone(), intent);
                return;
            }
            if let Packed::Rest(rest) = self.pack(to, intent, writer) {
                self.outbox.put_back(class, to.clone(), rest);
                return;
            }
        }
    }

    fn max_sends(&self) -> u32 {
        // ⌈ln(n + 1)⌉, at most one more than that.
        let bits = (self.detector.members().len() + 2).ilog2() + 1;
        self.config.rumor.lambda * (bits * 6_931).div_ceil(10_000)
    }

    fn ride_along(&mut self, writer: &mut Writer<'_>) {
        if self.rumors.len() == 0 {
            return;
        }
        let max_sends = self.max_sends();
        let room = writer.room();
        self.rumors.ride_along((&self.replica, max_sends), room, |message| writer.push(message));
    }

    fn pack(&mut self, to: &A, intent: Intent<A>, writer: &mut Writer<'_>) -> Packed<A> {
        match intent {
            Intent::Message(message) => {
                if writer.push(&message) {
                    Packed::Whole
                } else {
                    Packed::Rest(Intent::Message(message))
                }
            }
            Intent::Alone(message) => {
                if writer.push(&message) {
                    Packed::Whole
                } else {
                    Packed::Rest(Intent::Alone(message))
                }
            }
            Intent::Echo { seq, length } => {
                let room = writer.room().saturating_sub(self.config.max_datagram - length);
                writer.push::<A>(&Path::Echo(Echo::filling(seq, room)).into());
                Packed::Whole
            }
            Intent::Bare(messages) => {
                // A few of the smallest messages.
                for message in &messages {
                    writer.push(message);
                }
                Packed::Whole
            }
            Intent::Introduction { cookie } => {
                // First in its datagram, and small.
                writer.push::<A>(&Trust::Proof { cookie }.into());
                self.pack_fact(self.own_key(), writer)
            }
            Intent::Fact(key) => self.pack_fact(key, writer),
            Intent::Rumors { rumors, next, bodies, pull } => {
                let max_sends = self.max_sends();
                let what = (&*rumors, next, bodies, pull);
                let from = (&self.replica, max_sends);
                let room = (writer.room(), writer.narrow_room());
                let (message, next) = self.rumors.compose(to, what, room, from, &mut self.rng);
                let done = next >= rumors.len();
                if let Some(message) = message
                    && !writer.push(&message)
                {
                    // It was composed to fit; its rumors stay hot.
                    self.stats.outbox_unsendable += 1;
                }
                if done { Packed::Whole } else { Packed::Rest(Intent::Rumors { rumors, next, bodies, pull: false }) }
            }
            Intent::Link => self.pack_link(to, writer),
            Intent::Items { hashes, mail, next } => self.pack_items(hashes, mail, next, writer),
            Intent::Chunks { item, mut missing, mut window } => {
                match compose_chunk(&self.replica, item, &mut missing, &mut window, writer.room()) {
                    Some(chunk) if writer.push(&chunk) => {}
                    _ if missing.is_empty() => return Packed::Whole,
                    _ => return Packed::Rest(Intent::Chunks { item, missing, window }),
                }
                if missing.is_empty() || window == 0 {
                    Packed::Whole
                } else {
                    Packed::Rest(Intent::Chunks { item, missing, window })
                }
            }
            Intent::Pages { cut, mut ranges, mut window, all } => {
                let room = (writer.room(), writer.narrow_room());
                match self.compose_page(cut, &mut ranges, &mut window, room, all) {
                    Some(page) if writer.push(&page) => {}
                    _ => return Packed::Rest(Intent::Pages { cut, ranges, window, all }),
                }
                if ranges.is_empty() || window == 0 {
                    Packed::Whole
                } else {
                    Packed::Rest(Intent::Pages { cut, ranges, window, all })
                }
            }
        }
    }

    fn pack_fact(&self, key: KeyHash, writer: &mut Writer<'_>) -> Packed<A> {
        let narrow = writer.narrow_room();
        let message = self
            .replica
            .get(key)
            .map(|update| Message::Rumor(Rumor::Mail(carried_within(&self.replica, update, narrow))));
        if message.is_none_or(|message| writer.push(&message)) {
            Packed::Whole
        } else {
            Packed::Rest(Intent::Fact(key))
        }
    }

    /// Packs updates by hash. `mail`: as rumors, which the receiver relays.
    fn pack_items(
        &self,
        hashes: alloc::vec::Vec<u64>,
        mail: bool,
        mut next: usize,
        writer: &mut Writer<'_>,
    ) -> Packed<A> {
        // Tag and count, of the one and of the other.
        let mut room = writer.room().saturating_sub(2 * 3);
        let narrow = writer.narrow_room();
        let (mut updates, mut large) = (alloc::vec::Vec::new(), alloc::vec::Vec::new());
        while let Some(hash) = hashes.get(next) {
            if let Some(update) = self.replica.by_hash(*hash) {
                if mail {
                    if !writer.push(&Message::Rumor(Rumor::Mail(carried_within(&self.replica, update, narrow)))) {
                        break;
                    }
                } else {
                    let item = carried_within(&self.replica, update, narrow);
                    // A tag less.
                    let len = encoded_len(&item) - 1;
                    if len > room {
                        break;
                    }
                    room -= len;
                    match item {
                        Item::Update(update) => updates.push(update),
                        Item::Large(descriptor) => large.push(descriptor),
                        Item::Suspicion(_) | Item::Offer(_) => {}
                    }
                }
            }
            next += 1;
        }
        // Composed to fit.
        let fits = (updates.is_empty() || writer.push(&Message::Repair(Repair::Updates(updates))))
            && (large.is_empty() || writer.push::<A>(&Message::Repair(Repair::Large(large))));
        debug_assert!(fits, "composed to fit");
        if next < hashes.len() { Packed::Rest(Intent::Items { hashes, mail, next }) } else { Packed::Whole }
    }
}
