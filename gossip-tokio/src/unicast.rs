//! Messages to one member. Knows the handle and the receipts that are waited for.

use std::sync::Arc;
use std::time::Duration;

use gossip_core::{Address, DeliveryId, NodeId, SendError};

use crate::error::DeliveryError;
use crate::gossip::Gossip;
use crate::shared::Shared;

impl<A: Address> Gossip<A> {
    /// Sends a message to one member, best effort: it may be lost, or come twice. The receiver gets
    /// [`Event::Unicast`](gossip_core::Event::Unicast).
    ///
    /// # Errors
    /// [`SendError`]: no living member, too large for a datagram, or this node has left; nothing was sent.
    pub fn send_to(&self, to: NodeId, payload: impl AsRef<[u8]>) -> Result<(), SendError> {
        self.shared.command(|state, now| state.node.send(now, to, payload.as_ref()))
    }

    /// Sends a message to one member, and waits until it has taken it in, which it does once. The message is repeated for as long
    /// as `within`, also if the wait is dropped.
    ///
    /// # Errors
    /// [`DeliveryError`]: it was not sent, or there is no receipt in time, and it may have arrived all the same.
    pub async fn send_to_acknowledged(
        &self,
        to: NodeId,
        payload: impl AsRef<[u8]>,
        within: Duration,
    ) -> Result<(), DeliveryError> {
        let id = self.shared.command(|state, now| {
            let id = state.node.send_acknowledged(now, to, payload.as_ref(), within)?;
            state.deliveries.insert(id, None);
            Ok::<_, SendError>(id)
        })?;
        let awaited = Awaited { shared: &self.shared, id };
        let end = self.shared.until(|| {
            let state = self.shared.lock();
            let end = state.deliveries.get(&awaited.id).copied().flatten();
            end.map(|received| if received { Ok(()) } else { Err(DeliveryError::NoReceipt { to }) })
                .or_else(|| state.end.is_some().then_some(Err(DeliveryError::Stopped)))
        });
        end.await
    }
}

/// Receipt that is waited for; forgotten with the wait.
struct Awaited<'a, A: Address> {
    shared: &'a Arc<Shared<A>>,
    id: DeliveryId,
}

impl<A: Address> Drop for Awaited<'_, A> {
    fn drop(&mut self) {
        self.shared.lock().deliveries.remove(&self.id);
    }
}
