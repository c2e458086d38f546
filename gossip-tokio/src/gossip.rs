//! The handle of a running node. Knows the shared node and how to wait for it; must not know transports.

use std::fmt;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use async_channel::Sender;
use gossip_core::{
    AboutError, Address, Alert, BroadcastId, ConfigError, Distance, Instant, Member, Node, NodeId, PutOptions,
    RestoreError, SetAside, SmolStr, Snapshot, Stamp, Status, Tags, WriteError,
};
#[cfg(feature = "encryption")]
use gossip_core::{KeyError, Keyring};

use crate::error::{LeaveError, Stopped, TaskError};
use crate::events::Events;
use crate::runtime;
use crate::shared::Shared;
use crate::stats::Stats;
use crate::watch::{MemberLists, Subscription};

/// Interval at which is looked for what becomes true by time alone.
const LOOK: Duration = Duration::from_millis(100);

/// A running node. Clones are handles of the same node. When the last is dropped, the node stops without notice to its
/// peers.
///
/// Calls return at once and may be made from any thread, inside and outside of async code. Every future of this type
/// may be dropped at any time, which ends only the wait. After the node has [stopped](Self::stop), calls act on its
/// last state, and nothing is sent.
#[derive(Clone)]
pub struct Gossip<A: Address = SocketAddr> {
    pub(crate) shared: Arc<Shared<A>>,
    /// The driver runs until this is closed or its last clone is dropped.
    pub(crate) calls: Sender<()>,
}

impl<A: Address> Gossip<A> {
    // Membership.

    /// Returns this node's id.
    pub fn id(&self) -> NodeId {
        self.inspect(Node::id)
    }

    /// Returns the address by which others reach this node.
    pub fn address(&self) -> A {
        self.inspect(|node| node.address().clone())
    }

    /// Returns all members in the view of this node: itself, the live ones, and those that died or left and are still
    /// remembered.
    pub fn members(&self) -> Vec<Member<A>> {
        self.inspect(|node| node.members().collect())
    }

    /// Returns one member in the view of this node.
    pub fn member(&self, id: NodeId) -> Option<Member<A>> {
        self.inspect(|node| node.member(id))
    }

    /// Replaces the seeds. Repeating is harmless; after [`leave`](Self::leave) it joins again.
    pub fn join(&self, seeds: impl IntoIterator<Item = A>) {
        let seeds: Vec<A> = seeds.into_iter().collect();
        self.shared.command(|state, now| {
            state.reseeds = false;
            state.seeded = (!seeds.is_empty()).then_some(now);
            state.node.join(now, seeds);
        });
    }

    /// Replaces the list of peers, if the configuration says that membership is given.
    pub fn set_peers(&self, peers: impl IntoIterator<Item = A>) {
        self.shared.command(|state, now| state.node.set_peers(now, peers));
    }

    /// Sets the address by which others reach this node from now on.
    ///
    /// # Errors
    /// [`ConfigError`]: the address is too long or does not survive encoding; nothing has changed.
    pub fn set_address(&self, address: A) -> Result<(), ConfigError> {
        self.shared.command(|state, now| state.node.set_address(now, address))
    }

    /// Sets the name that others see of this member; an empty one is none. The id stays.
    ///
    /// # Errors
    /// [`AboutError`]: more than 64 bytes, or a control character in it; nothing has changed.
    pub fn set_name(&self, name: impl AsRef<str>) -> Result<(), AboutError> {
        self.shared.command(|state, now| state.node.set_name(now, name.as_ref()))
    }

    /// Sets the tags that others see of this member, in place of all before. Its boot and its own entries stay.
    ///
    /// # Errors
    /// [`AboutError`]: the configured `max_datagram` has no room for them; nothing has changed.
    pub fn set_tags(&self, tags: Tags) -> Result<(), AboutError> {
        self.shared.command(|state, now| state.node.set_tags(now, tags))
    }

    /// Returns the smoothed round trip to a member that has answered a ping of this node's.
    pub fn round_trip(&self, id: NodeId) -> Option<Duration> {
        self.inspect(|node| node.round_trip(id))
    }

    /// Returns the round trip to a member: measured, or estimated by network coordinates. See [`Node::distance`].
    pub fn distance(&self, to: NodeId) -> Option<Distance> {
        self.inspect(|node| node.distance(to))
    }

    /// Estimates the round trip between any two members by their network coordinates.
    pub fn distance_between(&self, from: NodeId, to: NodeId) -> Option<Duration> {
        self.inspect(|node| node.distance_between(from, to))
    }

    /// Sorts members by their distance from this node, the nearest first, those of unknown distance last.
    pub fn sort_by_distance(&self, members: &mut [NodeId]) {
        self.inspect(|node| node.sort_by_distance(members));
    }

    /// Returns the members that are alive or suspected and have this tag with this value.
    pub fn members_with(&self, tag: impl AsRef<str>, value: impl AsRef<str>) -> Vec<Member<A>> {
        let wanted = |member: &Member<A>| {
            matches!(member.status, Status::Alive | Status::Suspect) && member.has_tag(tag.as_ref(), value.as_ref())
        };
        self.inspect(|node| node.members().filter(wanted).collect())
    }

    /// Tells the whole cluster that a member is gone for good: it is seen as left, and no member tries to reach it any
    /// more. If it is alive after all, it refutes that.
    pub fn forget(&self, id: NodeId) {
        self.shared.command(|state, now| state.node.forget(now, id));
    }

    /// Changes the keys with which datagrams are sealed: [`Keyring::add`], [`use_key`](Keyring::use_key),
    /// [`remove`](Keyring::remove), [`set_plain`](Keyring::set_plain). Takes effect with the next datagram.
    ///
    /// # Errors
    /// Those of `change`, and [`KeyError::NoKeyring`] if the builder was given no key. Changes that `change` made
    /// before it failed remain.
    #[cfg(feature = "encryption")]
    pub fn change_keys(&self, change: impl FnOnce(&mut Keyring) -> Result<(), KeyError>) -> Result<(), KeyError> {
        self.shared.command(|state, _| state.node.change_keys(change))
    }

    /// Returns true if this node has contact to no other.
    pub fn is_isolated(&self) -> bool {
        self.inspect(Node::is_isolated)
    }

    /// Lists what is wrong now, each since when and with what to do: empty at a healthy node. Besides what the
    /// [node](Node::health) itself detects, a node whose seeds are names that cannot be resolved is isolated.
    pub fn health(&self) -> Vec<Alert<A>> {
        let mut state = self.shared.lock();
        let now = state.now();
        state.health(now)
    }

    /// Returns true while this node was given seeds and sees nobody else alive. That is no [alert](Self::health) before three
    /// protocol periods have passed.
    pub fn is_joining(&self) -> bool {
        self.shared.lock().joining().is_some()
    }

    /// Returns true if this node has left the cluster.
    pub fn has_left(&self) -> bool {
        self.inspect(Node::has_left)
    }

    // Data.

    /// Writes an entry that all members share.
    ///
    /// # Errors
    /// [`WriteError`]: name or value too long, node full, or it has left; nothing has changed. The same for all
    /// writes.
    pub fn put(&self, name: impl AsRef<str>, value: impl AsRef<[u8]>) -> Result<Stamp, WriteError> {
        self.shared.command(|state, now| state.node.put(now, name.as_ref(), value.as_ref()))
    }

    /// Writes an entry of this member's own: its metadata, which disappears with the member.
    ///
    /// # Errors
    /// As [`put`](Self::put).
    pub fn put_own(&self, name: impl AsRef<str>, value: impl AsRef<[u8]>) -> Result<Stamp, WriteError> {
        self.shared.command(|state, now| state.node.put_own(now, name.as_ref(), value.as_ref()))
    }

    /// Writes an entry of any kind, which may expire.
    ///
    /// # Errors
    /// As [`put`](Self::put); a time to live that is too short.
    pub fn put_with(
        &self,
        name: impl AsRef<str>,
        value: impl AsRef<[u8]>,
        options: PutOptions,
    ) -> Result<Stamp, WriteError> {
        self.shared.command(|state, now| state.node.put_with(now, name.as_ref(), value.as_ref(), options))
    }

    /// Deletes a shared entry.
    ///
    /// # Errors
    /// As [`put`](Self::put).
    pub fn delete(&self, name: impl AsRef<str>) -> Result<Stamp, WriteError> {
        self.shared.command(|state, now| state.node.delete(now, name.as_ref()))
    }

    /// Deletes an entry of this member's own.
    ///
    /// # Errors
    /// As [`put`](Self::put).
    pub fn delete_own(&self, name: impl AsRef<str>) -> Result<Stamp, WriteError> {
        self.shared.command(|state, now| state.node.delete_own(now, name.as_ref()))
    }

    /// Writes this member's share of something that all fold: no other can write it, and it stays when this member restarts, dies or
    /// leaves, until it is deleted or this member is [forgotten](Self::forget). See [`Node::put_share`].
    ///
    /// # Errors
    /// As [`put`](Self::put); [`WriteError::ShareUnknown`] for some moments after a start, until
    /// [`wait_shares`](Self::wait_shares) returns.
    pub fn put_share(&self, name: impl AsRef<str>, value: impl AsRef<[u8]>) -> Result<Stamp, WriteError> {
        self.shared.command(|state, now| state.node.put_share(now, name.as_ref(), value.as_ref()))
    }

    /// Deletes a share of this member.
    ///
    /// # Errors
    /// As [`put_share`](Self::put_share).
    pub fn delete_share(&self, name: impl AsRef<str>) -> Result<Stamp, WriteError> {
        self.shared.command(|state, now| state.node.delete_share(now, name.as_ref()))
    }

    /// Waits until this node knows what it has written of its shares before it was started: others tell it. Where nobody is there to
    /// ask this waits until somebody is, unless [`claim_shares`](Self::claim_shares) says that there is nothing to learn. See
    /// [`Node::knows_shares`].
    ///
    /// # Errors
    /// [`Stopped`]: the node stopped first.
    pub async fn wait_shares(&self) -> Result<(), Stopped> {
        let knows = || self.wait_until(|gossip| gossip.inspect(Node::knows_shares));
        loop {
            // It becomes true by time as well, without an event.
            if let Ok(known) = runtime::timeout(LOOK, knows()).await {
                return known;
            }
        }
    }

    /// Takes what this node holds for all that it has ever written of its shares: see [`Node::claim_shares`].
    pub fn claim_shares(&self) {
        self.shared.command(|state, _| state.node.claim_shares());
    }

    /// Returns a member's share of a name, whether or not the member is there.
    pub fn get_share(&self, owner: NodeId, name: impl AsRef<str>) -> Option<Arc<[u8]>> {
        self.inspect(|node| node.get_share(owner, name.as_ref()))
    }

    /// Returns every member's share of this name, by owner: fold them.
    pub fn shares_named(&self, name: impl AsRef<str>) -> Vec<(NodeId, Arc<[u8]>)> {
        self.inspect(|node| node.shares_named(name.as_ref()).collect())
    }

    /// Returns the shares of a member, by name.
    pub fn shares_of(&self, owner: NodeId) -> Vec<(SmolStr, Arc<[u8]>)> {
        self.inspect(|node| node.shares_of(owner).collect())
    }

    /// Sends a message to all members, each of which receives it at most once.
    ///
    /// # Errors
    /// As [`put`](Self::put).
    pub fn broadcast(&self, payload: impl AsRef<[u8]>) -> Result<BroadcastId, WriteError> {
        self.shared.command(|state, now| state.node.broadcast(now, payload.as_ref()))
    }

    /// Lists the values that are set aside after an absence: see [`Node::set_aside`].
    pub fn set_aside(&self) -> Vec<SetAside> {
        self.inspect(|node| node.set_aside().collect())
    }

    /// Writes a shared value anew that is set aside: see [`Node::readmit`].
    ///
    /// # Errors
    /// As [`put`](Self::put).
    pub fn readmit(&self, name: impl AsRef<str>) -> Result<Option<Stamp>, WriteError> {
        self.shared.command(|state, now| state.node.readmit(now, name.as_ref()))
    }

    /// Forgets the values that are set aside: see [`Node::discard_set_aside`].
    pub fn discard_set_aside(&self) {
        self.shared.lock().node.discard_set_aside();
    }

    /// Returns the value of a shared entry.
    pub fn get(&self, name: impl AsRef<str>) -> Option<Arc<[u8]>> {
        self.inspect(|node| node.get(name.as_ref()))
    }

    /// Returns the value of a member's own entry.
    pub fn get_own(&self, owner: NodeId, name: impl AsRef<str>) -> Option<Arc<[u8]>> {
        self.inspect(|node| node.get_own(owner, name.as_ref()))
    }

    /// Returns the shared entries whose names begin with `prefix`, by name.
    pub fn entries(&self, prefix: impl AsRef<str>) -> Vec<(SmolStr, Arc<[u8]>)> {
        self.inspect(|node| node.entries(prefix.as_ref()).collect())
    }

    /// Returns every member's own entry of this name, by owner.
    pub fn entries_named(&self, name: impl AsRef<str>) -> Vec<(NodeId, Arc<[u8]>)> {
        self.inspect(|node| node.entries_named(name.as_ref()).collect())
    }

    /// Waits until everything that was written before is on the disk, if the builder was given a place for
    /// [data](crate::Builder::data). While the disk fails this waits for it; [`health`](Self::health) tells that. After
    /// [`stop`](Self::stop) it waits until the file is free for another node.
    ///
    /// # Errors
    /// [`Stopped`]: the node has stopped, and its last changes could not be written.
    pub async fn saved(&self) -> Result<(), Stopped> {
        let wanted = {
            let mut state = self.shared.lock();
            state.storage.wanted += 1;
            state.storage.wanted
        };
        self.shared.changed.notify(usize::MAX);
        let end = self.shared.until(|| {
            let storage = &self.shared.lock().storage;
            match storage.keeps {
                // There is nothing to lose.
                None => Some(Ok(())),
                Some(false) => Some(if storage.met >= wanted { Ok(()) } else { Err(Stopped) }),
                Some(true) if storage.met >= wanted && !self.calls.is_closed() => Some(Ok(())),
                Some(true) => None,
            }
        });
        end.await
    }

    /// Returns the node's knowledge, to be stored beyond the life of the process. See [`restore`](Self::restore).
    pub fn snapshot(&self) -> Snapshot<A> {
        self.inspect(Node::snapshot)
    }

    /// Merges the knowledge of a node, usually of this one before its restart. Best called right after the start.
    ///
    /// # Errors
    /// [`RestoreError`]: too old, from the future, or of another cluster; nothing has changed.
    pub fn restore(&self, snapshot: Snapshot<A>) -> Result<(), RestoreError> {
        self.shared.command(|state, now| state.node.restore(now, snapshot))
    }

    // Inspection.

    /// Returns the counters since the start.
    pub fn stats(&self) -> Stats {
        let state = self.shared.lock();
        Stats { node: state.node.stats(), driver: state.counters }
    }

    /// Returns the time that the members agree on: UNIX time by this machine's clock, unless most of the others say that
    /// it is wrong. It may step back.
    pub fn now(&self) -> Instant {
        let mut state = self.shared.lock();
        let now = state.now();
        state.node.clock(now)
    }

    /// Calls `look` with the node, for everything that has no call here. The node waits meanwhile. A call of this
    /// handle from within `look` never returns.
    pub fn inspect<R>(&self, look: impl FnOnce(&Node<A>) -> R) -> R {
        look(&self.shared.lock().node)
    }

    // Waiting.

    /// Returns the events from now on. To start from a known state, call this first and then read the state.
    pub fn events(&self) -> Events<A> {
        Events { receiver: self.shared.events.activate_cloned() }
    }

    /// Watches the list of all members: the present one, then the newest whenever it has changed.
    pub fn watch_members(&self) -> MemberLists<A>
    where
        A: Send + Sync + 'static,
    {
        MemberLists::new(Arc::clone(&self.shared))
    }

    /// Subscribes to the shared entries whose names begin with `prefix`: first those that are there, then every change,
    /// with no gap between.
    pub fn subscribe(&self, prefix: impl AsRef<str>) -> Subscription<A> {
        Subscription::new(Arc::clone(&self.shared), self.events(), prefix.as_ref())
    }

    /// Waits for a shared entry, and returns its value.
    ///
    /// # Errors
    /// [`Stopped`]: the node stopped first.
    pub async fn wait_for(&self, name: impl AsRef<str>) -> Result<Arc<[u8]>, Stopped> {
        let name = name.as_ref();
        self.until(|| self.get(name)).await
    }

    /// Waits until this node sees at least `count` members alive or suspected, itself included.
    ///
    /// # Errors
    /// [`Stopped`]: the node stopped first.
    pub async fn wait_members(&self, count: usize) -> Result<(), Stopped> {
        self.wait_until(|gossip| gossip.inspect(Node::live_members) >= count).await
    }

    /// Waits until a condition is true. Evaluates it at once and after every event or call that may have changed it. A
    /// change without an event, such as that of a counter in [`stats`](Self::stats), does not cause an evaluation.
    ///
    /// # Errors
    /// [`Stopped`]: the node stopped first.
    pub async fn wait_until(&self, mut condition: impl FnMut(&Self) -> bool) -> Result<(), Stopped> {
        self.until(|| condition(self).then_some(())).await
    }

    async fn until<R>(&self, mut look: impl FnMut() -> Option<R>) -> Result<R, Stopped> {
        let shared = &self.shared;
        shared.until(|| look().map(Ok).or_else(|| shared.lock().end.as_ref().map(|_| Err(Stopped)))).await
    }

    // The end.

    /// Tells the others that this node leaves, and waits until that has spread: they then see it as left, not as dead.
    /// The node answers no peer any more, until [`join`](Self::join). Dropping the wait, or a timeout, does not cancel
    /// the leave.
    ///
    /// # Errors
    /// [`LeaveError`]: it took longer than `timeout`, or the node stopped first.
    pub async fn leave(&self, timeout: Duration) -> Result<(), LeaveError> {
        self.shared.command(|state, now| {
            state.reseeds = false;
            state.node.leave(now);
        });
        let left = runtime::timeout(timeout, self.wait_until(Self::has_left)).await;
        Ok(left.map_err(|_| LeaveError::TimedOut(timeout))??)
    }

    /// Stops the node and all its handles without notice to its peers, as a crash would. The transport is dropped soon
    /// after; to wait for that, see [`stopped`](Self::stopped).
    pub fn stop(&self) {
        self.calls.close();
    }

    /// Waits for the end of the node's task, which has dropped the transport by then. The future is not a handle: it
    /// does not keep the node running.
    ///
    /// # Errors
    /// [`TaskError`]: it ended otherwise than by [`stop`](Self::stop) or by the drop of the last handle.
    pub fn stopped(&self) -> impl Future<Output = Result<(), TaskError>> + use<A> {
        let shared = Arc::clone(&self.shared);
        async move { shared.until(|| shared.lock().end.clone()).await }
    }
}

impl<A: Address> fmt::Debug for Gossip<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gossip").field("id", &self.id()).field("address", &self.address()).finish_non_exhaustive()
    }
}
