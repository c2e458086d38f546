//! The handle of a running node. Knows the shared node and how to wait for it; must not know transports.

use std::fmt;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use async_channel::Sender;
use gossip_core::{
    Address, BroadcastId, ConfigError, Instant, Member, Node, NodeId, PutOptions, RestoreError, SmolStr, Snapshot,
    Stamp, WriteError,
};
#[cfg(feature = "encryption")]
use gossip_core::{KeyError, Keyring};

use crate::error::{LeaveError, Stopped, TaskError};
use crate::events::Events;
use crate::runtime;
use crate::shared::Shared;
use crate::stats::Stats;
use crate::watch::{MemberLists, Subscription};
use crate::within::Within;

/// A running node. Clones are the same node; when the last is dropped, the node stops without a word.
///
/// The calls answer at once and may be made from any thread, inside and outside of async code. Every future of this
/// type may be dropped at any time: nothing but the wait ends. After the node has [stopped](Self::stop), calls act on
/// what it held then, and nobody hears of it.
#[derive(Clone)]
pub struct Gossip<A: Address = SocketAddr> {
    pub(crate) shared: Arc<Shared<A>>,
    /// The driver goes on until this is closed, or the last clone of it dropped.
    pub(crate) calls: Sender<()>,
}

impl<A: Address> Gossip<A> {
    // Membership.

    /// This node's id.
    pub fn id(&self) -> NodeId {
        self.inspect(Node::id)
    }

    /// Where the others reach this node.
    pub fn address(&self) -> A {
        self.inspect(|node| node.address().clone())
    }

    /// All members as this node sees them, itself included, also those that died or left and are remembered.
    pub fn members(&self) -> Vec<Member<A>> {
        self.inspect(|node| node.members().collect())
    }

    /// One member as this node sees it.
    pub fn member(&self, id: NodeId) -> Option<Member<A>> {
        self.inspect(|node| node.member(id))
    }

    /// Replaces the seeds. Repeating is harmless; after [`leave`](Self::leave) it joins again.
    pub fn join(&self, seeds: impl IntoIterator<Item = A>) {
        self.shared.command(|state, now| {
            state.reseeds = false;
            state.node.join(now, seeds);
        });
    }

    /// Replaces the list of peers, where the configuration says that membership is given.
    pub fn set_peers(&self, peers: impl IntoIterator<Item = A>) {
        self.shared.command(|state, now| state.node.set_peers(now, peers));
    }

    /// The node can be reached elsewhere from now on.
    ///
    /// # Errors
    /// [`ConfigError`]: the address is too long or does not survive encoding; nothing has changed.
    pub fn set_address(&self, address: A) -> Result<(), ConfigError> {
        self.shared.command(|state, now| state.node.set_address(now, address))
    }

    /// Tells the whole cluster that a member is gone for good: it is seen as left, and nobody tries to reach it any more.
    /// If it lives after all, it says so.
    pub fn forget(&self, id: NodeId) {
        self.shared.command(|state, now| state.node.forget(now, id));
    }

    /// Changes the keys with which datagrams are sealed: [`Keyring::add`], [`use_key`](Keyring::use_key),
    /// [`remove`](Keyring::remove), [`set_plain`](Keyring::set_plain). Takes effect with the next datagram.
    ///
    /// # Errors
    /// Those of `change`, and [`KeyError::NoKeyring`] if the builder was given no key. What `change` did before it failed is
    /// done.
    #[cfg(feature = "encryption")]
    pub fn change_keys(&self, change: impl FnOnce(&mut Keyring) -> Result<(), KeyError>) -> Result<(), KeyError> {
        self.shared.command(|state, _| state.node.change_keys(change))
    }

    /// Whether this node hears from nobody.
    pub fn is_isolated(&self) -> bool {
        self.inspect(Node::is_isolated)
    }

    /// Whether this node has left the cluster.
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

    /// Writes an entry of this member's own: its metadata, gone when it is.
    ///
    /// # Errors
    /// As [`put`](Self::put).
    pub fn put_own(&self, name: impl AsRef<str>, value: impl AsRef<[u8]>) -> Result<Stamp, WriteError> {
        self.shared.command(|state, now| state.node.put_own(now, name.as_ref(), value.as_ref()))
    }

    /// Writes an entry that is the member's own, expires, or both.
    ///
    /// # Errors
    /// As [`put`](Self::put); a time to live that is too short.
    pub fn put_with(&self, name: impl AsRef<str>, value: impl AsRef<[u8]>, options: PutOptions) -> Result<Stamp, WriteError> {
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

    /// Sends a message to all members, each of which gets it at most once.
    ///
    /// # Errors
    /// As [`put`](Self::put).
    pub fn broadcast(&self, payload: impl AsRef<[u8]>) -> Result<BroadcastId, WriteError> {
        self.shared.command(|state, now| state.node.broadcast(now, payload.as_ref()))
    }

    /// The value of a shared entry.
    pub fn get(&self, name: impl AsRef<str>) -> Option<Arc<[u8]>> {
        self.inspect(|node| node.get(name.as_ref()))
    }

    /// The value of a member's own entry.
    pub fn get_own(&self, owner: NodeId, name: impl AsRef<str>) -> Option<Arc<[u8]>> {
        self.inspect(|node| node.get_own(owner, name.as_ref()))
    }

    /// The shared entries whose name begins with `prefix`, by name.
    pub fn entries(&self, prefix: impl AsRef<str>) -> Vec<(SmolStr, Arc<[u8]>)> {
        self.inspect(|node| node.entries(prefix.as_ref()).collect())
    }

    /// Every member's own entry of this name, by owner.
    pub fn entries_named(&self, name: impl AsRef<str>) -> Vec<(NodeId, Arc<[u8]>)> {
        self.inspect(|node| node.entries_named(name.as_ref()).collect())
    }

    /// What this node knows, to be kept where it outlives the process. See [`restore`](Self::restore).
    pub fn snapshot(&self) -> Snapshot<A> {
        self.inspect(Node::snapshot)
    }

    /// Takes in what a node, usually this one before its restart, knew: best at once after the start.
    ///
    /// # Errors
    /// [`RestoreError`]: too old, from the future, or of another cluster; nothing has changed.
    pub fn restore(&self, snapshot: Snapshot<A>) -> Result<(), RestoreError> {
        self.shared.command(|state, now| state.node.restore(now, snapshot))
    }

    // Looking inside.

    /// What was counted since the start.
    pub fn stats(&self) -> Stats {
        let state = self.shared.lock();
        Stats { node: state.node.stats(), driver: state.counters }
    }

    /// The node's time: microseconds of UNIX time, never backwards.
    pub fn now(&self) -> Instant {
        self.shared.lock().clock.now()
    }

    /// Everything else that a node can tell. The node stands still meanwhile, and calling this handle from within
    /// `look` never returns.
    pub fn inspect<R>(&self, look: impl FnOnce(&Node<A>) -> R) -> R {
        look(&self.shared.lock().node)
    }

    // Waiting.

    /// What happens from now on. To start from a known state, call this first and read the state then.
    pub fn events(&self) -> Events<A> {
        Events { receiver: self.shared.events.activate_cloned() }
    }

    /// The list of all members, now and whenever it has changed.
    pub fn watch_members(&self) -> MemberLists<A>
    where
        A: Send + Sync + 'static,
    {
        MemberLists::new(Arc::clone(&self.shared))
    }

    /// The shared entries whose names begin with `prefix`: first those that are there, then what changes, with no gap
    /// between.
    pub fn subscribe(&self, prefix: impl AsRef<str>) -> Subscription<A> {
        Subscription::new(Arc::clone(&self.shared), self.events(), prefix.as_ref())
    }

    /// The waits below with a time limit: `gossip.within(limit).wait_for("name")`.
    pub fn within(&self, limit: Duration) -> Within<'_, A> {
        Within { gossip: self, limit }
    }

    /// Waits for a shared entry, and gives its value.
    ///
    /// # Errors
    /// [`Stopped`]: the node has stopped before.
    pub async fn wait_for(&self, name: impl AsRef<str>) -> Result<Arc<[u8]>, Stopped> {
        let name = name.as_ref();
        self.until(|| self.get(name)).await
    }

    /// Waits until this node sees at least `count` members alive or suspected, itself included.
    ///
    /// # Errors
    /// [`Stopped`]: the node has stopped before.
    pub async fn wait_members(&self, count: usize) -> Result<(), Stopped> {
        self.wait_until(|gossip| gossip.inspect(Node::live_members) >= count).await
    }

    /// Waits until a condition is true. It is looked at now and after whatever an event or a call may have changed;
    /// what changes without an event, as the numbers in [`stats`](Self::stats) do, is not noticed by itself.
    ///
    /// # Errors
    /// [`Stopped`]: the node has stopped before.
    pub async fn wait_until(&self, mut condition: impl FnMut(&Self) -> bool) -> Result<(), Stopped> {
        self.until(|| condition(self).then_some(())).await
    }

    async fn until<R>(&self, mut look: impl FnMut() -> Option<R>) -> Result<R, Stopped> {
        let shared = &self.shared;
        shared.until(|| look().map(Ok).or_else(|| shared.lock().end.as_ref().map(|_| Err(Stopped)))).await
    }

    // The end.

    /// Tells the others that this node leaves, and waits until that is done: they then see it as left, not as dead.
    /// The node answers nobody any more, until [`join`](Self::join). A wait that is dropped or timed out does not
    /// call it back.
    ///
    /// # Errors
    /// [`LeaveError`]: it took longer than `timeout`, or the node has stopped before.
    pub async fn leave(&self, timeout: Duration) -> Result<(), LeaveError> {
        self.shared.command(|state, now| {
            state.reseeds = false;
            state.node.leave(now);
        });
        let left = runtime::timeout(timeout, self.wait_until(Self::has_left)).await;
        Ok(left.map_err(|_| LeaveError::TimedOut(timeout))??)
    }

    /// Stops the node without a word, as a crash would, for all clones. The transport is dropped soon after; to wait
    /// for that, see [`stopped`](Self::stopped).
    pub fn stop(&self) {
        self.calls.close();
    }

    /// The end of the node's task, which has dropped the transport by then. The future is no handle: it does not keep
    /// the node running.
    ///
    /// # Errors
    /// [`TaskError`]: it ended otherwise than by [`stop`](Self::stop) or because all handles are gone.
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
