//! The members as they are, and the entries under a prefix: first the state, then what changes. Knows how to compare what
//! was told with what is; must not know what makes it change.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::stream::{BoxStream, unfold};
use futures_util::{Stream, StreamExt as _};
use gossip_core::{Address, Event, Member, SmolStr};

use crate::error::Lagged;
use crate::events::Events;
use crate::shared::Shared;

/// Lists of all members, from [`watch_members`](crate::Gossip::watch_members): the present one at once, then the newest
/// one whenever a member has changed. Ends when the node's task does.
///
/// A slow reader misses lists, never the newest. Dropping a wait for the next one loses nothing.
pub struct MemberLists<A> {
    lists: BoxStream<'static, Vec<Member<A>>>,
}

impl<A: Address + Send + Sync + 'static> MemberLists<A> {
    pub(crate) fn new(shared: Arc<Shared<A>>) -> Self {
        let next = async |(shared, seen): (Arc<Shared<A>>, Option<u64>)| {
            let newest = shared.until(|| {
                let state = shared.lock();
                if seen != Some(state.member_changes) {
                    return Some(Some((state.node.members().collect(), state.member_changes)));
                }
                state.end.is_some().then_some(None)
            });
            let (list, seen) = newest.await?;
            Some((list, (shared, Some(seen))))
        };
        Self { lists: unfold((shared, None), next).boxed() }
    }

    /// The newest list, as soon as it is another than the last one; none after the end.
    pub async fn next(&mut self) -> Option<Vec<Member<A>>> {
        self.lists.next().await
    }
}

impl<A> Stream for MemberLists<A> {
    type Item = Vec<Member<A>>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.lists.poll_next_unpin(cx)
    }
}

impl<A> fmt::Debug for MemberLists<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemberLists").finish_non_exhaustive()
    }
}

/// The state of a shared entry, from a [`Subscription`].
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct EntryState {
    /// The name.
    pub name: SmolStr,
    /// The value; none if the entry is gone.
    pub value: Option<Arc<[u8]>>,
}

/// Shows the value as text where it is text.
impl fmt::Debug for EntryState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.value.as_ref().map(|value| value.escape_ascii().to_string());
        f.debug_struct("EntryState").field("name", &self.name).field("value", &text).finish()
    }
}

/// The shared entries whose names begin with a prefix, from [`subscribe`](crate::Gossip::subscribe): first each entry
/// that is there, by name, then each that has another value or is gone. Ends when the node's task does.
///
/// Nothing is missed between the two, and nothing is told that is older than what was told before. A slow reader gets
/// the newest value of each entry, and not those in between. Dropping a wait for the next one loses nothing.
pub struct Subscription<A: Address> {
    shared: Arc<Shared<A>>,
    events: Events<A>,
    prefix: SmolStr,
    told: BTreeMap<SmolStr, Arc<[u8]>>,
    waiting: VecDeque<EntryState>,
    /// Number of waiting entries that belong to the state at the beginning.
    remaining: usize,
}

impl<A: Address> Subscription<A> {
    /// `events` begin before the state is read.
    pub(crate) fn new(shared: Arc<Shared<A>>, events: Events<A>, prefix: &str) -> Self {
        let (told, waiting) = (BTreeMap::new(), VecDeque::new());
        let mut subscription = Self { shared, events, prefix: prefix.into(), told, waiting, remaining: 0 };
        subscription.compare();
        subscription.remaining = subscription.waiting.len();
        subscription
    }

    /// Returns the number of entries of the initial state that are still to come: after that many, changes follow.
    pub fn remaining(&self) -> usize {
        self.remaining
    }

    /// The next entry; none after the end.
    pub async fn next(&mut self) -> Option<EntryState> {
        loop {
            if let Some(next) = self.waiting.pop_front() {
                self.remaining = self.remaining.saturating_sub(1);
                return Some(next);
            }
            match self.events.next().await? {
                Ok(Event::Entry { owner: None, name, .. }) if name.starts_with(&*self.prefix) => {
                    let value = self.shared.lock().node.get(&name);
                    self.tell(name, value);
                }
                Ok(_) => {}
                // The state has what the lost events said.
                Err(Lagged { .. }) => self.compare(),
            }
        }
    }

    /// Tells whatever is different from what was told.
    fn compare(&mut self) {
        let held: BTreeMap<_, _> = self.shared.lock().node.entries(&self.prefix).collect();
        let gone: Vec<_> = self.told.keys().filter(|name| !held.contains_key(*name)).cloned().collect();
        for name in gone {
            self.tell(name, None);
        }
        for (name, value) in held {
            self.tell(name, Some(value));
        }
    }

    fn tell(&mut self, name: SmolStr, value: Option<Arc<[u8]>>) {
        let before = match &value {
            Some(value) => self.told.insert(name.clone(), Arc::clone(value)),
            None => self.told.remove(&name),
        };
        if before != value {
            self.waiting.push_back(EntryState { name, value });
        }
    }
}

impl<A: Address> fmt::Debug for Subscription<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscription").field("prefix", &self.prefix).finish_non_exhaustive()
    }
}
