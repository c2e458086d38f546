//! Keys of a whole cluster: questions about them, which nodes answer by themselves, and the exchange of the key.
//!
//! A key travels sealed with the key that is in use. So what replicas and files keep of the question opens nothing to those who
//! do not hold that one.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::num::NonZeroU8;
use core::time::Duration;

use rand::RngExt;
use serde::{Deserialize, Serialize};

use super::Node;
use crate::address::Address;
use crate::error::SendError;
use crate::event::Status;
use crate::id::NodeId;
use crate::keyring::{Key, KeyBytes, KeyError, Keyring};
use crate::query::{Answer, QueryId, Reply};
use crate::time::Instant;
use crate::update::{Asks, Filter, Payload, Topic};

/// Members that are named one by one in a question; more are asked all together.
const NAMED: usize = 32;
/// Periods that the answers to one question of a rotation are waited for.
const PERIODS: u32 = 10;

/// Change of the keys of members, or the question which they have.
#[derive(Debug, Clone)]
pub enum KeyChange {
    /// Nothing: the answer lists the keys.
    List,
    /// [`Keyring::add`] of a key of these bytes.
    Add(KeyBytes),
    /// [`Keyring::use_key`].
    Use(NonZeroU8),
    /// [`Keyring::remove`].
    Remove(NonZeroU8),
    /// [`Keyring::keep_only`].
    KeepOnly(NonZeroU8),
}

/// The same as it travels.
#[derive(Serialize, Deserialize)]
enum Said {
    List,
    Add(Vec<u8>),
    Use(NonZeroU8),
    Remove(NonZeroU8),
    KeepOnly(NonZeroU8),
}

/// Answer of a member to a [`KeyChange`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct KeyAnswer {
    /// Numbers of its keys afterwards, that of the sealing one first; none if it has no keyring.
    pub keys: Vec<NonZeroU8>,
    /// Reason why the change was not made.
    pub error: Option<String>,
}

impl KeyAnswer {
    /// Reads the answer in a response.
    pub fn read(payload: &Payload) -> Option<Self> {
        postcard::from_bytes(payload).ok()
    }
}

/// Step of a [`Rotation`].
#[derive(Debug, Copy, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum RotationStep {
    /// All accept the new key.
    Add,
    /// All seal with it.
    Use,
    /// All forget the others.
    Remove,
    /// All have only the new key.
    Done,
}

/// Exchange of the cluster's key: the new one is added everywhere, then used everywhere, then the others are removed everywhere.
///
/// Each step waits until every member has confirmed it that has not left or been [forgotten](Node::forget). One that is dead may be cut off
/// only, and would be locked out for ever: it is asked when it is back. A rotation that was interrupted is resumed by
/// another one with the same key, at any node.
#[derive(Debug)]
pub struct Rotation {
    key: KeyBytes,
    id: NonZeroU8,
    step: RotationStep,
    confirmed: BTreeSet<NodeId>,
    refused: BTreeMap<NodeId, String>,
    query: Option<QueryId>,
    again: Instant,
}

impl Rotation {
    /// Makes a rotation to a key of these bytes, to be [advanced](Node::advance_rotation).
    pub fn new(key: KeyBytes) -> Self {
        let id = Key::new(*key.0).id();
        let (confirmed, refused) = (BTreeSet::new(), BTreeMap::new());
        Self { key, id, step: RotationStep::Add, confirmed, refused, query: None, again: Instant::ORIGIN }
    }

    /// Returns the step that is under way.
    pub const fn step(&self) -> RotationStep {
        self.step
    }

    /// Returns the time at which it wants to be advanced again, besides whenever a query has answers.
    pub const fn due(&self) -> Instant {
        self.again
    }

    /// Lists the members that have refused the step, with their reasons.
    pub fn refused(&self) -> impl Iterator<Item = (NodeId, &str)> {
        self.refused.iter().map(|(id, reason)| (*id, &**reason))
    }
}

impl<A: Address> Node<A> {
    /// Asks the members that `filter` chooses to change their keys, this one included if it does. Each answers with a
    /// [`KeyAnswer`]; see [`query`](Self::query).
    ///
    /// # Errors
    /// [`SendError`]; nobody was asked then.
    pub fn query_keys(
        &mut self,
        now: Instant,
        change: &KeyChange,
        filter: &Filter,
        timeout: Duration,
    ) -> Result<QueryId, SendError> {
        let said = match change {
            KeyChange::List => Said::List,
            KeyChange::Add(key) => {
                let nonce = self.rng.random();
                Said::Add(self.envelope.keyring().ok_or(SendError::NoKeyring)?.wrap(&key.0, nonce))
            }
            KeyChange::Use(id) => Said::Use(*id),
            KeyChange::Remove(id) => Said::Remove(*id),
            KeyChange::KeepOnly(id) => Said::KeepOnly(*id),
        };
        // None of its parts fails to serialize.
        let payload = postcard::to_allocvec(&said).unwrap_or_default();
        self.ask(now, &payload, Asks { filter: filter.clone(), topic: Topic::Keys }, timeout)
    }

    /// Answers a question about keys.
    pub(super) fn answer_about_keys(&mut self, payload: &[u8]) -> Option<Vec<u8>> {
        let said = postcard::from_bytes(payload).ok()?;
        let result = self.change_keys(|keyring| change(keyring, said));
        let keys = self.keyring().into_iter().flat_map(Keyring::ids).collect();
        let error = result.err().map(|error| error.to_string());
        postcard::to_allocvec(&KeyAnswer { keys, error }).ok()
    }

    /// Advances a rotation: takes the answers in, asks again whom it has to, and goes to the next step. Returns the members that have not
    /// confirmed the present step. To be called when the node has [`Answers`](crate::Event::Answers), when it is
    /// [due](Rotation::due), and when a member's status has changed.
    pub fn advance_rotation(&mut self, now: Instant, rotation: &mut Rotation) -> Vec<NodeId> {
        self.advance(now);
        loop {
            if let Some(query) = rotation.query {
                while let Some(Answer { from, reply, .. }) = self.poll_answer(query) {
                    rotation.take(from, &reply);
                }
                if self.query_progress(query).is_none_or(|progress| progress.ended) {
                    self.forget_query(query);
                    rotation.query = None;
                }
            }
            let missing: Vec<NodeId> = (self.members())
                .filter(|member| member.status != Status::Left && !rotation.confirmed.contains(&member.id))
                .map(|member| member.id)
                .collect();
            if missing.is_empty() && rotation.step < RotationStep::Done {
                if let Some(query) = rotation.query.take() {
                    self.forget_query(query);
                }
                rotation.next_step();
                continue;
            }
            if rotation.step < RotationStep::Done && rotation.query.is_none() && rotation.again <= self.now {
                rotation.again = self.now + self.config.probe.period;
                self.ask_for_rotation(rotation, &missing);
                continue;
            }
            return missing;
        }
    }

    fn ask_for_rotation(&mut self, rotation: &mut Rotation, missing: &[NodeId]) {
        let own = self.identity.id;
        let live: Vec<NodeId> =
            missing.iter().copied().filter(|id| *id == own || self.correspondent(*id).is_some()).collect();
        if live.is_empty() {
            return;
        }
        let filter = if live.len() <= NAMED { Filter::ALL.ids(live) } else { Filter::ALL };
        let change = match rotation.step {
            RotationStep::Add => KeyChange::Add(rotation.key.clone()),
            RotationStep::Use => KeyChange::Use(rotation.id),
            RotationStep::Remove | RotationStep::Done => KeyChange::KeepOnly(rotation.id),
        };
        let timeout = PERIODS * self.config.probe.period;
        // Where there is no room now there is some later.
        rotation.query = self.query_keys(self.now, &change, &filter, timeout).ok();
    }
}

impl Rotation {
    fn take(&mut self, from: NodeId, reply: &Reply) {
        let Reply::Given(payload) = reply else { return };
        let Some(answer) = KeyAnswer::read(payload) else { return };
        let done = match self.step {
            RotationStep::Add => answer.keys.contains(&self.id) && answer.error.is_none(),
            RotationStep::Use => answer.keys.first() == Some(&self.id),
            RotationStep::Remove | RotationStep::Done => answer.keys == [self.id],
        };
        if done {
            self.refused.remove(&from);
            self.confirmed.insert(from);
        } else if let Some(error) = answer.error {
            self.refused.insert(from, error);
        }
    }

    fn next_step(&mut self) {
        self.step = match self.step {
            RotationStep::Add => RotationStep::Use,
            RotationStep::Use => RotationStep::Remove,
            RotationStep::Remove | RotationStep::Done => RotationStep::Done,
        };
        self.again = Instant::ORIGIN;
        self.refused.clear();
        if self.step != RotationStep::Done {
            self.confirmed.clear();
        }
    }
}

/// Makes a change; one that was made before is no error.
fn change(keyring: &mut Keyring, said: Said) -> Result<(), KeyError> {
    match said {
        Said::List => Ok(()),
        Said::Add(wrapped) => {
            let key = keyring.unwrap_key(&wrapped).ok_or(KeyError::NotOpened)?;
            if keyring.holds(&key) { Ok(()) } else { keyring.add(key) }
        }
        Said::Use(id) => keyring.use_key(id),
        Said::Remove(id) => match keyring.remove(id) {
            Err(KeyError::Unknown { .. }) => Ok(()),
            result => result,
        },
        Said::KeepOnly(id) => keyring.keep_only(id),
    }
}
