//! Commands of the application.

use alloc::sync::Arc;
use core::time::Duration;

use super::identity::Phase;
use super::{EntryKind, Node, PutOptions, check_address};
use crate::address::Address;
use crate::config::Config;
use crate::epidemic::direct_mail;
use crate::error::{AboutError, ConfigError, WriteError};
use crate::event::{BroadcastId, Status};
use crate::id::NodeId;
use crate::time::Instant;
use crate::update::{
    About, Asks, Broadcast, End, Entry, KeyHash, LATEST, LONGEST_LIFE, MAX_NAME, Owner, Record, Stamp, Standing, Tags,
    Until, Update, check_member_name,
};
use crate::wire::{OVERHEAD, encoded_len};

/// Bytes of a message besides an update: at most the head of a page.
const MESSAGE: usize = 26;

/// Bytes by which a record grows during a life: incarnation and end.
const GROWS: usize = 20;

impl<A: Address> Node<A> {
    /// Joins the cluster of one of `seeds`. They are tried until one answers, under any loss, and again whenever they
    /// are not members. Replaces the seeds; may be repeated. After [`leave`](Self::leave) it begins a new boot.
    pub fn join(&mut self, now: Instant, seeds: impl IntoIterator<Item = A>) {
        self.advance(now);
        if matches!(self.identity.phase, Phase::Leaving { .. } | Phase::Left) {
            self.start();
        }
        self.contacts.set_seeds(self.now, seeds);
        self.await_answers();
        self.note_isolation();
        self.tick_contacts();
    }

    /// Sets the peers, if [`Membership::Given`](crate::Membership::Given) says that the application gives them. Their
    /// ids are learned on contact. Replaces those given before: one that is not given for
    /// [`reap_after`](crate::Lifetimes::reap_after) is declared gone, as by [`forget`](Self::forget).
    pub fn set_peers(&mut self, now: Instant, peers: impl IntoIterator<Item = A>) {
        self.advance(now);
        self.contacts.set_given(self.now, peers);
        self.await_answers();
        self.note_isolation();
        self.tick_contacts();
    }

    /// Sets the address by which others reach this node from now on.
    ///
    /// # Errors
    /// An address that cannot work; the old one stays.
    pub fn set_address(&mut self, now: Instant, address: A) -> Result<(), ConfigError> {
        check_address(&address)?;
        self.advance(now);
        if address != self.identity.address {
            self.identity.address = address;
            if self.identity.is_running() {
                self.identity.refute(0);
                self.publish_self(Standing::Alive);
            }
        }
        Ok(())
    }

    /// Sets the name that others see of this member; an empty one is none. It need not be unique, travels with the member's
    /// record, and may change at any time without a new boot. At most [`MAX_MEMBER_NAME`](crate::MAX_MEMBER_NAME) bytes.
    ///
    /// # Errors
    /// [`AboutError`]: too long, or a control character in it; nothing was changed then.
    pub fn set_name(&mut self, now: Instant, name: &str) -> Result<(), AboutError> {
        check_member_name(name)?;
        self.set_about(now, About::named(self.identity.about.as_ref(), name))
    }

    /// Sets the tags that others see of this member, in place of all before. They travel with the member's record, and may
    /// change at any time without a new boot.
    ///
    /// # Errors
    /// [`AboutError::TooLarge`]: `max_datagram` has no room for them; nothing was changed then.
    pub fn set_tags(&mut self, now: Instant, tags: Tags) -> Result<(), AboutError> {
        self.set_about(now, About::tagged(self.identity.about.as_ref(), tags))
    }

    fn set_about(&mut self, now: Instant, about: Option<About>) -> Result<(), AboutError> {
        if about == self.identity.about {
            return Ok(());
        }
        let record = Record { about: about.clone(), ..self.identity.record(Standing::Dead, Until::NEVER) };
        let (size, largest) = (encoded_len(&Update::Member(record)) + GROWS, self.largest_update());
        if size > largest {
            return Err(AboutError::TooLarge { size, largest });
        }
        self.identity.about = about;
        if self.identity.is_running() {
            self.advance(now);
            self.identity.refute(0);
            self.publish_self(Standing::Alive);
            self.events.member(self.identity.id, Some(Status::Alive), true);
        }
        Ok(())
    }

    /// Writes a shared entry. `name`: at most 255 bytes of UTF-8; the newest write of a name wins. `value`: at most
    /// [`Limits::max_value`](crate::Limits::max_value) bytes; a value larger than a datagram appears at others when
    /// they have fetched all of it.
    ///
    /// # Errors
    /// See [`WriteError`]; nothing was changed then.
    pub fn put(&mut self, now: Instant, name: &str, value: &[u8]) -> Result<Stamp, WriteError> {
        self.put_with(now, name, value, PutOptions::default())
    }

    /// Writes an entry of this member's own: no other can write it, and it disappears with this member.
    ///
    /// # Errors
    /// See [`put`](Self::put).
    pub fn put_own(&mut self, now: Instant, name: &str, value: &[u8]) -> Result<Stamp, WriteError> {
        self.put_with(now, name, value, PutOptions::default().own())
    }

    /// Writes an entry with options.
    ///
    /// # Errors
    /// See [`put`](Self::put).
    pub fn put_with(
        &mut self,
        now: Instant,
        name: &str,
        value: &[u8],
        options: PutOptions,
    ) -> Result<Stamp, WriteError> {
        let lives = options.time_to_live;
        if let Some(given) = lives
            && given < self.config.lifetimes.max_ahead
        {
            return Err(WriteError::TooShortLived { given, shortest: self.config.lifetimes.max_ahead });
        }
        if let Some(given) = lives.filter(|given| *given > LONGEST_LIFE) {
            return Err(WriteError::TooLongLived { given, longest: LONGEST_LIFE });
        }
        let owner = match options.kind {
            EntryKind::Shared => None,
            EntryKind::Own => Some(self.owner_now(now)),
            EntryKind::Share => return self.write_share(now, name, Some(value), lives),
        };
        self.write(now, owner, name, Some(value), lives)
    }

    /// Deletes a shared entry: its death certificate takes its place, everywhere.
    ///
    /// # Errors
    /// See [`put`](Self::put).
    pub fn delete(&mut self, now: Instant, name: &str) -> Result<Stamp, WriteError> {
        self.write(now, None, name, None, None)
    }

    /// Deletes an entry of this member's own.
    ///
    /// # Errors
    /// See [`put`](Self::put).
    pub fn delete_own(&mut self, now: Instant, name: &str) -> Result<Stamp, WriteError> {
        let owner = self.owner_now(now);
        self.write(now, Some(owner), name, None, None)
    }

    /// Returns the owner of what ends with this boot.
    fn owner_now(&mut self, now: Instant) -> Owner {
        self.advance(now);
        Owner { id: self.identity.id, boot: self.identity.boot }
    }

    /// Sends a message to all others: delivered once to everybody who is a member within the broadcast window. `payload`: what
    /// fits a datagram, some hundred bytes less than [`Config::max_datagram`](crate::Config::max_datagram).
    ///
    /// # Errors
    /// See [`put`](Self::put).
    pub fn broadcast(&mut self, now: Instant, payload: &[u8]) -> Result<BroadcastId, WriteError> {
        self.spread_message(now, payload, None).map(BroadcastId)
    }

    /// Sends a message to all others. `asks`: those that are to answer it.
    pub(super) fn spread_message(
        &mut self,
        now: Instant,
        payload: &[u8],
        asks: Option<Arc<Asks>>,
    ) -> Result<Stamp, WriteError> {
        self.may_write(now)?;
        let stamp = self.clocks.stamp(self.now, self.identity.id, None);
        let until = Until::at(stamp.time + self.config.lifetimes.broadcast);
        let size = payload.len();
        let update = Update::Broadcast(Broadcast { stamp, until, asks, payload: Arc::from(payload) });
        let (len, room) = (encoded_len(&update), self.largest_update());
        if len > room {
            let frame = len - size - encoded_len(&size);
            return Err(WriteError::TooLarge { size, largest: largest_body(room.saturating_sub(frame)) });
        }
        self.publish(update, stamp)?;
        Ok(stamp)
    }

    /// Leaves the cluster: spreads that, and is silent when it has spread or some time has passed.
    /// [`Event::Left`](crate::Event::Left) reports the end.
    pub fn leave(&mut self, now: Instant) {
        self.advance(now);
        if !self.identity.is_running() {
            return;
        }
        let patience = (2 * self.config.probe.period).max(10 * self.config.rumor.interval);
        self.identity.leave(self.now + patience);
        self.publish_self(Standing::Left);
        self.note_isolation();
        if self.lacks_peers() {
            self.contacts.set_next(self.now);
            self.tick_contacts();
        }
        self.tick_leaving();
    }

    /// Declares that a member is gone for good, as somebody who knows. It is contacted as rarely as one that has left: where
    /// nobody else is left, and now and then where nobody is dead. Its shares end, as far as they are known here. If it lives
    /// after all, it says so.
    pub fn forget(&mut self, now: Instant, id: NodeId) {
        self.advance(now);
        if id == self.identity.id {
            return;
        }
        if let Some(record) = self.replica.member(id)
            && record.standing != Standing::Left
        {
            let record = Record { standing: Standing::Left, until: self.reaped_at(record.boot), ..record.clone() };
            self.learn(Update::Member(record), super::learn::Source::Own, None);
        }
        self.end_shares(id);
    }

    pub(super) fn may_write(&mut self, now: Instant) -> Result<(), WriteError> {
        self.advance(now);
        if matches!(self.identity.phase, Phase::Leaving { .. } | Phase::Left) { Err(WriteError::Left) } else { Ok(()) }
    }

    pub(super) fn write(
        &mut self,
        now: Instant,
        owner: Option<Owner>,
        name: &str,
        value: Option<&[u8]>,
        lives: Option<Duration>,
    ) -> Result<Stamp, WriteError> {
        if name.len() > MAX_NAME {
            return Err(WriteError::NameTooLong { length: name.len(), longest: MAX_NAME });
        }
        let largest = self.config.limits.max_value;
        if let Some(size) = value.map(<[u8]>::len).filter(|size| *size > largest) {
            return Err(WriteError::TooLarge { size, largest });
        }
        self.may_write(now)?;
        let held = self.replica.get(self.replica.hasher.entry(owner.into(), name));
        // Taken only when the entry is written: a refused write changes nothing.
        let stamp = self.clocks.stamp(self.now, self.identity.id, held.as_ref().and_then(Update::stamp));
        let agreed = self.agreed();
        let at = lives.map(|lives| agreed + lives).or(value.is_none().then_some(agreed));
        let ends = at.map(|at| {
            let mut end = End::new(at, self.config.lifetimes.certificate);
            if held.is_none() && value.is_none() {
                // Somebody may hold a value of this name that has not come here.
                end.cover(Until::NEVER);
            }
            end
        });
        let value = value.map(Arc::from);
        // What it replaces here is covered by the merge.
        #[cfg(not(feature = "next"))]
        let extra = None;
        #[cfg(feature = "next")]
        let extra = self.next.extra();
        self.publish(Update::Entry(Entry { owner, name: name.into(), stamp, ends, value, extra }), stamp)?;
        Ok(stamp)
    }

    /// Returns the room in a datagram beside everything else that may be in it.
    pub(super) const fn largest_update(&self) -> usize {
        largest_update(&self.config)
    }

    /// Merges, mails and makes hot an update that was written here.
    fn publish(&mut self, update: Update<A>, stamp: Stamp) -> Result<(), WriteError> {
        if stamp.time > LATEST {
            return Err(WriteError::TooLate { time: stamp.time, latest: LATEST });
        }
        if let Some(exceeded) = self.exceeds(self.replica.hasher.key(&update), &update, update.body_len()) {
            return Err(exceeded.into());
        }
        self.clocks.observe(self.now, stamp.time, stamp.counter);
        if let Some(key) = self.learn(update, super::learn::Source::Own, None) {
            self.mail(key);
        }
        self.schedule_links();
        Ok(())
    }

    pub(super) fn mail(&mut self, key: KeyHash) {
        if self.floods() {
            // The first flood is the mail.
            return;
        }
        let peers = self.random_peers(self.config.mail.fanout as usize);
        direct_mail::mail(key, peers, &mut self.outbox);
    }
}

/// Returns the length of the longest update that is sent whole.
pub(super) const fn largest_update(config: &Config) -> usize {
    config.max_datagram - OVERHEAD - MESSAGE
}

/// Returns the largest body that fits into `room` bytes together with its length.
pub(super) fn largest_body(room: usize) -> usize {
    (room.saturating_sub(3)..=room).rev().find(|size| size + encoded_len(size) <= room).unwrap_or(0)
}
