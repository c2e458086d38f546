//! The stream of events. Knows how to report lost events to a slow reader; knows nothing of the node.

use std::pin::Pin;
use std::task::{Context, Poll};

use futures_util::{Stream, StreamExt};
use gossip_core::Event;

use crate::error::Lagged;

/// Stream of events at a node, from the call of [`events`](crate::Gossip::events) on. Ends when the node's task does.
///
/// A reader that falls behind by more than the builder's `events` loses the oldest and receives their number. Dropping
/// a wait for the next event and waiting again loses nothing.
#[derive(Debug)]
pub struct Events<A> {
    pub(crate) receiver: async_broadcast::Receiver<Event<A>>,
}

impl<A: Clone> Events<A> {
    /// Waits for the next event; none after the last. Same as `StreamExt::next`, without that trait.
    pub async fn next(&mut self) -> Option<Result<Event<A>, Lagged>> {
        StreamExt::next(self).await
    }
}

impl<A: Clone> Stream for Events<A> {
    type Item = Result<Event<A>, Lagged>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        Pin::new(&mut self.receiver).poll_recv(cx).map(|next| match next? {
            Ok(event) => Some(Ok(event)),
            Err(async_broadcast::RecvError::Overflowed(missed)) => Some(Err(Lagged { missed })),
            Err(async_broadcast::RecvError::Closed) => None,
        })
    }
}
