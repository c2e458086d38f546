//! Waits with a time limit. Knows the handle and the clock of the runtime.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use gossip_core::Address;

use crate::error::{Stopped, WaitError};
use crate::gossip::Gossip;
use crate::runtime;

/// The waits of a [`Gossip`] with a time limit for each, from [`within`](Gossip::within).
#[derive(Debug)]
pub struct Within<'a, A: Address> {
    gossip: &'a Gossip<A>,
    limit: Duration,
}

impl<A: Address> Gossip<A> {
    /// Gives the waits a time limit: `gossip.within(limit).wait_for("name")`.
    pub fn within(&self, limit: Duration) -> Within<'_, A> {
        Within { gossip: self, limit }
    }
}

impl<A: Address> Within<'_, A> {
    /// Waits for a shared entry, and gives its value.
    ///
    /// # Errors
    /// [`WaitError`]: the limit is reached, or the node has stopped. The same for the others.
    pub async fn wait_for(&self, name: impl AsRef<str>) -> Result<Arc<[u8]>, WaitError> {
        self.limited(self.gossip.wait_for(name)).await
    }

    /// Waits until this node sees at least `count` members alive or suspected, itself included.
    ///
    /// # Errors
    /// As [`wait_for`](Self::wait_for).
    pub async fn wait_members(&self, count: usize) -> Result<(), WaitError> {
        self.limited(self.gossip.wait_members(count)).await
    }

    /// Waits until a condition is true, as [`Gossip::wait_until`] does.
    ///
    /// # Errors
    /// As [`wait_for`](Self::wait_for).
    pub async fn wait_until(&self, condition: impl FnMut(&Gossip<A>) -> bool) -> Result<(), WaitError> {
        self.limited(self.gossip.wait_until(condition)).await
    }

    async fn limited<R>(&self, wait: impl Future<Output = Result<R, Stopped>>) -> Result<R, WaitError> {
        let waited = runtime::timeout(self.limit, wait).await;
        Ok(waited.map_err(|_| WaitError::TimedOut(self.limit))??)
    }
}
