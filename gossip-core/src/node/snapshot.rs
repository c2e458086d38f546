//! What outlives a process: a snapshot of what it knew, and the way back in.
//!
//! Restoring is no copying: everything goes the way of an update that a peer sent, so what is past its time, or older
//! than what is here already, stays out, and nothing newer elsewhere is harmed.

use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use serde::{Deserialize, Serialize};

use super::Node;
use super::absence::{Contact, is_of};
use super::identity::Phase;
use super::learn::Source;
use crate::address::Address;
use crate::error::RestoreError;
use crate::id::NodeId;
use crate::replica::Range;
use crate::time::Instant;
use crate::update::Update;

/// What a node knew, as serde data of any format. See [`Node::snapshot`].
///
/// The format carries its version: one that this crate does not know is an error of deserialization that names it.
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
    taken: Instant,
    clock: Instant,
    contact: Option<Contact>,
    updates: Vec<Update<A>>,
}

impl<A> Snapshot<A> {
    /// When it was taken, by its node's clock.
    pub fn taken(&self) -> Instant {
        let Format::V1(this) = &self.0;
        this.taken
    }

    /// Whose it is.
    pub fn id(&self) -> NodeId {
        let Format::V1(this) = &self.0;
        this.id
    }

    /// How many updates it holds: entries, death certificates, broadcasts, and records of other members.
    pub fn len(&self) -> usize {
        let Format::V1(this) = &self.0;
        this.updates.len()
    }

    /// Whether it holds no update.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl<A: Address> Node<A> {
    /// What this node knows, to be kept where it outlives the process: a new one that [`restore`](Self::restore)s it
    /// need not fetch everything again. What this member owns is not in it, nor its own record: they end with its life.
    pub fn snapshot(&self) -> Snapshot<A> {
        let updates = self.replica.in_range(Range::ALL, Instant::ORIGIN).map(|(_, update)| update);
        Snapshot(Format::V1(V1 {
            label: self.config.label.clone(),
            id: self.identity.id,
            incarnation: self.identity.incarnation,
            boot: self.identity.boot,
            taken: self.now,
            clock: self.clock.now(self.now),
            contact: self.contact,
            updates: updates.filter(|update| !is_of(self.identity.id, update)).collect(),
        }))
    }

    /// Takes in what a node, usually this one before its restart, knew. Best before [`join`](Self::join); at any time
    /// it harms nothing: the newer wins here and everywhere.
    ///
    /// Broadcasts count as delivered. If that node had no contact for longer than death certificates are kept, only
    /// what it wrote since is taken in: of all else nobody might remember that it is deleted.
    ///
    /// # Errors
    /// See [`RestoreError`]; nothing was changed then.
    pub fn restore(&mut self, now: Instant, snapshot: Snapshot<A>) -> Result<(), RestoreError> {
        let Format::V1(snapshot) = snapshot.0;
        let now = now.max(self.now);
        let (tau, bound) = (self.config.lifetimes.certificate, self.config.lifetimes.max_ahead);
        if snapshot.label != self.config.label {
            return Err(RestoreError::ForeignLabel { label: snapshot.label });
        }
        let age = now.since(snapshot.taken);
        if age > tau {
            return Err(RestoreError::TooOld { age, oldest: tau });
        }
        // What it observed may be ahead of its own clock by the bound, and so may this clock be behind that one.
        let ahead = snapshot.taken.since(now).max(snapshot.clock.since(now));
        if ahead > 2 * bound {
            return Err(RestoreError::FromTheFuture { ahead, furthest: 2 * bound });
        }
        if self.identity.phase == Phase::Unborn && snapshot.id == self.identity.id {
            // The first life of this process is later than every one before it, whatever has become of the clock.
            (self.identity.incarnation, self.identity.boot) = (snapshot.incarnation, snapshot.boot);
        }
        self.advance(now);
        if snapshot.id == self.identity.id && snapshot.boot >= self.identity.boot {
            self.outlive(snapshot.boot);
        }
        // One more: what counter it had is not known.
        self.clock.observe(snapshot.clock + Duration::from_micros(1), 0);
        let away = snapshot.contact.map(|contact| contact.away(now));
        let estranged = snapshot.contact.filter(|contact| contact.away(now) > tau);
        // Members that all others have forgotten by now would be new to them.
        let members = away.is_none_or(|away| away <= self.config.lifetimes.reap_after);
        // Not counted from now: the clock may have been set back since.
        let (own, horizon) = (self.identity.id, snapshot.clock + bound);
        let (records, others): (Vec<_>, Vec<_>) =
            snapshot.updates.into_iter().partition(|update| matches!(update, Update::Member(_)));
        // Members first: what they own would have to wait for them.
        for update in records.into_iter().chain(others) {
            let fit = match (&update, estranged) {
                (Update::Member(record), _) if !members || estranged.is_some() => {
                    self.contacts.remember(record);
                    false
                }
                (_, Some(contact)) => contact.precedes(snapshot.id, &update),
                _ => true,
            };
            if fit && !is_of(own, &update) && update.written() <= horizon {
                self.learn(update, Source::Restored, None);
            }
        }
        match estranged {
            Some(contact) => self.events.came_back(contact.away(now)),
            None => self.contact = self.contact.max(snapshot.contact),
        }
        self.note_isolation();
        Ok(())
    }
}
