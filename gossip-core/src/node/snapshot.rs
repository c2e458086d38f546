//! Snapshots: the knowledge of a node, kept beyond its process, and its restoration.
//!
//! Restoring is no copying: everything goes the way of an update that a peer sent, so what is older than what
//! is here already stays out, and nothing newer elsewhere is harmed. What has ended and is not forgotten is in it: a deletion
//! that ended while the process was away still has to end what it deleted.

use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use serde::{Deserialize, Serialize};

use super::Node;
use super::formats::reads;
use super::identity::Phase;
use super::learn::Source;
use super::lifecycle::shortest_memory;
use crate::absence::Contact;
use crate::address::Address;
use crate::error::RestoreError;
use crate::id::NodeId;
use crate::time::Instant;
use crate::update::{Entry, Record, Standing, Update};

/// Knowledge of a node, as serde data in any format. See [`Node::snapshot`].
///
/// It carries its version: deserializing one that this crate does not know is an error that names the version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(bound(serialize = "A: Serialize", deserialize = "A: Deserialize<'de>"))]
pub struct Snapshot<A>(Format<A>);

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(bound(serialize = "A: Serialize", deserialize = "A: Deserialize<'de>"))]
enum Format<A> {
    #[serde(rename = "1")]
    V1(V1<A>),
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(bound(serialize = "A: Serialize", deserialize = "A: Deserialize<'de>"))]
struct V1<A> {
    label: String,
    id: NodeId,
    incarnation: u64,
    boot: Instant,
    /// Agreed time.
    taken: Instant,
    /// The hybrid logical clock.
    clock: Instant,
    updates: Vec<Update<A>>,
    contact: Contact,
    /// Values that are set aside.
    aside: Vec<Update<A>>,
}

impl<A> Snapshot<A> {
    /// Returns the agreed time at which it was taken.
    pub fn taken(&self) -> Instant {
        let Format::V1(this) = &self.0;
        this.taken
    }

    /// Returns the id of its node.
    pub fn id(&self) -> NodeId {
        let Format::V1(this) = &self.0;
        this.id
    }

    /// Returns the number of updates in it: entries, death certificates, broadcasts, records of other members, and what is
    /// set aside.
    pub fn len(&self) -> usize {
        let Format::V1(this) = &self.0;
        this.updates.len() + this.aside.len()
    }

    /// Returns the label of its node's cluster.
    pub fn label(&self) -> &str {
        let Format::V1(this) = &self.0;
        &this.label
    }

    /// Dates it as late as another one of the same node: of parts that were stored one after the other, all are as
    /// trustworthy as the last, since the node knew them all until then.
    #[must_use]
    pub fn as_of(self, later: &Self) -> Self {
        let (Format::V1(this), Format::V1(later)) = (self.0, &later.0);
        let (incarnation, boot) = (this.incarnation.max(later.incarnation), this.boot.max(later.boot));
        let (taken, clock) = (this.taken.max(later.taken), this.clock.max(later.clock));
        let contact = this.contact.as_of(later.contact);
        Self(Format::V1(V1 { incarnation, boot, taken, clock, contact, ..this }))
    }

    /// Returns true if it contains no update.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl<A: Address> Node<A> {
    /// Returns this node's knowledge, to be stored beyond the life of the process: a new process that
    /// [`restore`](Self::restore)s it need not fetch everything again. This member's own entries and record are not in
    /// it: they end with its boot.
    pub fn snapshot(&self) -> Snapshot<A> {
        self.snapshot_of(self.replica.stored(), self.entries_set_aside())
    }

    /// Makes a snapshot of these updates, without those of this member itself, and of values that are set aside.
    pub(super) fn snapshot_of(
        &self,
        updates: impl IntoIterator<Item = Update<A>>,
        aside: impl IntoIterator<Item = Entry>,
    ) -> Snapshot<A> {
        let updates = updates.into_iter();
        Snapshot(Format::V1(V1 {
            label: self.config.label.clone(),
            id: self.identity.id,
            incarnation: self.identity.incarnation,
            boot: self.identity.boot,
            taken: self.agreed(),
            clock: self.clocks.hybrid(self.now),
            updates: updates.filter(|update| !is_of(self.identity.id, update)).collect(),
            contact: self.absence.contact(self.replica.reach()),
            aside: aside.into_iter().map(Update::Entry).collect(),
        }))
    }

    /// Takes in what a node, usually this one before its restart, knew. Best before [`join`](Self::join); at any time
    /// it harms nothing: the newer wins here and everywhere.
    ///
    /// Broadcasts count as delivered. A snapshot may be of any age.
    ///
    /// # Errors
    /// See [`RestoreError`]; nothing was changed then.
    pub fn restore(&mut self, now: Instant, snapshot: Snapshot<A>) -> Result<(), RestoreError> {
        self.defer_indexes(&snapshot);
        let end = self.take_in(now, snapshot);
        self.replica.index_all();
        end
    }

    /// Takes in the parts of what a node knew, one after the other, as [`restore`](Self::restore) does. A million items take
    /// half of the time so, since they are put in order once, at the end. Events about them are left out, as by
    /// [`discard_events`](Self::discard_events).
    ///
    /// # Errors
    /// The first one among the parts, or of [`RestoreError`]: what came before it was taken in, nothing after it.
    pub fn restore_all<E: From<RestoreError>>(
        &mut self,
        now: Instant,
        parts: impl IntoIterator<Item = Result<Snapshot<A>, E>>,
    ) -> Result<(), E> {
        let end = parts.into_iter().try_for_each(|part| {
            let part = part?;
            self.defer_indexes(&part);
            self.take_in(now, part)?;
            // Before there are as many as items.
            self.discard_events();
            Ok(())
        });
        self.replica.index_all();
        end
    }

    /// Gives up the large indexes until all is in, unless what comes is little beside what is here.
    fn defer_indexes(&mut self, snapshot: &Snapshot<A>) {
        let (members, others) = self.replica.counts();
        if snapshot.len() > members + others {
            self.replica.defer_indexes();
        }
    }

    fn take_in(&mut self, now: Instant, snapshot: Snapshot<A>) -> Result<(), RestoreError> {
        let Format::V1(snapshot) = snapshot.0;
        let now = now.max(self.now);
        if snapshot.label != self.config.label {
            return Err(RestoreError::ForeignLabel { label: snapshot.label });
        }
        if self.identity.phase == Phase::Unborn && snapshot.id == self.identity.id {
            // The first boot of this process is later than every earlier one, even if the clock was set back.
            (self.identity.incarnation, self.identity.boot) = (snapshot.incarnation, snapshot.boot);
        }
        self.advance(now);
        if snapshot.id == self.identity.id && snapshot.boot >= self.identity.boot {
            self.outlive(snapshot.boot);
        }
        self.absence.restore(snapshot.contact);
        // One more, since its counter is not known.
        self.clocks.observe(now, snapshot.clock + Duration::from_micros(1), 0);
        // A member that the others have forgotten would be new to them.
        let (age, reap_after) = (self.agreed().since(snapshot.taken), self.config.lifetimes.reap_after);
        let remembered = |record: &Record<A>| age <= shortest_memory(snapshot.taken.since(record.boot), reap_after);
        let own = self.identity.id;
        let (mut records, others): (Vec<_>, Vec<_>) =
            snapshot.updates.into_iter().partition(|update| matches!(update, Update::Member(_)));
        // The addresses of those who lived are the better ones to try, and few are kept.
        records.sort_by_key(|update| !matches!(update, Update::Member(Record { standing: Standing::Alive, .. })));
        let (refused, mut beyond) = (self.refusals(), 0);
        // Members first: their own entries would have to wait for them.
        for update in records.into_iter().chain(others) {
            match &update {
                Update::Member(record) if !remembered(record) => self.contacts.remember(record),
                update if is_of(own, update) => {}
                // Written before this node went back to an older version.
                update if update.beyond(reads(&self.identity)).is_some() => beyond += 1,
                _ => {
                    self.learn(update, Source::Restored, None);
                }
            }
        }
        let aside = snapshot.aside.into_iter().filter(|update| !self.restore_aside(update)).count();
        self.note_touched();
        let lost = self.refusals() - refused + beyond + aside as u64;
        self.note_loss(now, lost);
        self.note_isolation();
        Ok(())
    }

    /// Returns the number of updates that were refused although they are of this time.
    fn refusals(&self) -> u64 {
        let stats = &self.stats;
        stats.updates_full
            + stats.updates_full_bytes
            + stats.updates_full_share
            + stats.updates_oversized
            + stats.updates_not_admitted
    }
}

/// Returns whether it is this member's record, or what it owns.
fn is_of<A: Address>(id: NodeId, update: &Update<A>) -> bool {
    match update {
        Update::Member(record) => record.id == id,
        _ => update.owner().is_some_and(|owner| owner.id == id),
    }
}
