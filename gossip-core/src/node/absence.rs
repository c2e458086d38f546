//! Absence, seen from the node: contact with members, and the values that are set aside after an absence.

use alloc::collections::VecDeque;

use super::Node;
use crate::address::Address;
use crate::epidemic::anti_entropy::compose_page;
use crate::error::WriteError;
use crate::event::SetAside;
use crate::replica::{Cut, Range};
use crate::time::Instant;
use crate::update::{Entry, KeyHash, Stamp, Update, Whose};
use crate::wire::Message;

impl<A: Address> Node<A> {
    /// Lists the shared values, and the shares, that are set aside: others had forgotten deletions by the time that this node was back from an
    /// absence, and did not hold these. They were deleted meanwhile, or have never reached the others. They are invisible,
    /// and sent to nobody.
    pub fn set_aside(&self) -> impl Iterator<Item = SetAside> + '_ {
        self.aside.iter_from(0).filter_map(|(_, Entry { owner, name, stamp, value, .. })| {
            let owner = owner.map(|owner| owner.id);
            Some(SetAside { owner, name: name.clone(), value: value.clone()?, stamp: *stamp })
        })
    }

    /// Lists the entries that are set aside, for a snapshot.
    pub(super) fn entries_set_aside(&self) -> impl Iterator<Item = Entry> + '_ {
        self.aside.iter_from(0).map(|(_, entry)| entry.clone())
    }

    /// Writes a shared value anew that is [set aside](Self::set_aside). None if there is none of this name. A share is written anew
    /// by its owner, or by nobody.
    ///
    /// # Errors
    /// See [`put`](Self::put); it stays set aside then.
    pub fn readmit(&mut self, now: Instant, name: &str) -> Result<Option<Stamp>, WriteError> {
        let entry = self.aside.get(self.replica.hasher.entry(Whose::Everyone, name));
        let Some(value) = entry.and_then(|entry| entry.value.clone()) else { return Ok(None) };
        self.put(now, name, &value).map(Some)
    }

    /// Forgets all values that are [set aside](Self::set_aside).
    pub fn discard_set_aside(&mut self) {
        self.aside.clear();
    }

    /// The first life begins: nothing that was written before is known.
    pub(super) fn begin_contact(&mut self) {
        self.absence.start(self.agreed());
    }

    /// It is `now`. Between two calls this node may have been suspended.
    pub(super) fn pass_to(&mut self, now: Instant) {
        if self.now > Instant::ORIGIN {
            self.absence.note_pause(now.since(self.now));
        }
        self.now = self.now.max(now);
    }

    /// Takes note of an own write: the hash of the item, and its stamp.
    pub(super) fn note_own_write(&mut self, hash: u64, stamp: Instant) {
        self.absence.note_written(hash, stamp);
    }

    /// Returns whether what is held of a key may have been deleted without a word of that coming here.
    pub(super) fn doubts(&self, key: KeyHash) -> bool {
        self.absence.is_in_doubt() && self.replica.get(key).is_some_and(|held| self.absence.doubts(&held))
    }

    /// Takes note of a datagram from a member, before it is taken in.
    pub(super) fn note_intake(&mut self) {
        let agreed = self.agreed();
        if self.absence.hear(self.now, agreed) {
            // A witness settles the doubt.
            self.anti_entropy.look_again(self.now);
        }
    }

    /// Takes note that something was refused: this node does not hold all that others do.
    pub(super) fn note_incomplete(&mut self) {
        let agreed = self.agreed();
        self.absence.note_refused(agreed);
    }

    /// Returns whether others would tell this node what it does not remember, or there are none.
    pub(super) fn is_in_touch(&self) -> bool {
        !self.contacts.is_lonely() && !self.absence.is_in_doubt()
    }

    /// Sets aside what a witness lacks.
    pub(super) fn set_doubtful_aside(&mut self) {
        let mut count = 0;
        for hash in self.anti_entropy.take_doubtful() {
            let Some(Update::Entry(entry)) = self.replica.by_hash(hash) else { continue };
            if !self.aside.has_room(&entry) {
                self.stats.values_not_set_aside += 1;
            } else if let Some((key, entry)) = self.replica.take(hash) {
                self.aside.insert(key, hash, entry);
                self.changes.note(hash, None);
                count += 1;
            }
        }
        if count > 0 {
            self.stats.values_set_aside += count;
            self.events.set_aside(count);
            self.note_touched();
        }
    }

    /// Takes up a value that was set aside before the process was restarted. Returns whether there was room for it.
    pub(super) fn restore_aside(&mut self, update: &Update<A>) -> bool {
        let Update::Entry(entry) = update else { return false };
        let key = self.replica.hasher.key(update);
        let hash = self.replica.hasher.item(key, update);
        if !self.aside.has_room(entry) {
            return false;
        }
        self.replica.take_if(key, hash);
        if !self.replica.has(key) {
            self.aside.insert(key, hash, entry.clone());
            self.changes.note(hash, None);
        }
        true
    }

    /// Something has come here, perhaps of a name of which a value is set aside: that is over then.
    pub(super) fn note_returned(&mut self, hash: u64) {
        if self.aside.len() > 0
            && let Some(key) = self.replica.key_of(hash)
        {
            self.aside.remove(key);
        }
    }

    /// Composes the next page of a pull. `all`: with what is in doubt.
    pub(super) fn compose_page(
        &self,
        cut: Cut,
        ranges: &mut VecDeque<Range>,
        window: &mut u8,
        room: (usize, Option<usize>),
        all: bool,
    ) -> Option<Message<A>> {
        compose_page(&self.replica, cut, ranges, window, room, |update| !all && self.absence.doubts(update))
    }
}
