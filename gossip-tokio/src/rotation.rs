//! Keys of the whole cluster (feature `encryption`). Knows the handle, and when to look again.

use std::time::Duration;

use gossip_core::{
    Address, Filter, Instant, KeyAnswer, KeyBytes, KeyChange, NodeId, Progress, Reply, Rotation, RotationStep,
    SendError,
};

use crate::error::RotationError;
use crate::gossip::Gossip;
use crate::query::Answers;
use crate::runtime;

/// Answers of the members to a change of their keys, from [`Gossip::change_all_keys`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct KeyAnswers {
    /// Members that have answered, with the keys that they have now, and why they have not changed them.
    pub answers: Vec<(NodeId, KeyAnswer)>,
    /// Members that have not answered in time, or are gone.
    pub missing: Vec<NodeId>,
}

impl<A: Address + Send + Sync + 'static> Gossip<A> {
    /// Changes the keys of the members that `filter` chooses, or lists them, and waits for their answers. The bytes of a new key travel
    /// sealed with the key that is in use.
    ///
    /// # Errors
    /// [`SendError`]; nobody was asked.
    pub async fn change_all_keys(
        &self,
        change: &KeyChange,
        filter: &Filter,
        timeout: Duration,
    ) -> Result<KeyAnswers, SendError> {
        let id = self.shared.command(|state, now| state.node.query_keys(now, change, filter, timeout))?;
        let mut answers = Answers::of(self, id);
        let mut all = KeyAnswers::default();
        while let Some(answer) = answers.next().await {
            if let Reply::Given(payload) = &answer.reply
                && let Some(said) = KeyAnswer::read(payload)
            {
                all.answers.push((answer.from, said));
            }
        }
        let Progress { missing, .. } = answers.progress();
        all.missing = missing;
        Ok(all)
    }

    /// Exchanges the key of the whole cluster: adds it everywhere, then uses it everywhere, then removes all others everywhere. Each
    /// step waits for every member that has not left or been [forgotten](Self::forget): one that is dead may be cut off only,
    /// and is asked when it is back. Called again with the same key, at any node, it goes on where it was interrupted.
    ///
    /// # Errors
    /// [`RotationError`]: a step was not confirmed by all within `timeout`. Until all have confirmed it, no later step has begun.
    pub async fn rotate_key(&self, key: KeyBytes, timeout: Duration) -> Result<(), RotationError> {
        if self.inspect(|node| node.keyring().is_none()) {
            return Err(RotationError::NoKeyring);
        }
        let mut rotation = Rotation::new(key);
        let end = self.shared.lock().now() + timeout;
        loop {
            let (missing, now) = self.shared.command(|state, now| {
                let missing = state.node.advance_rotation(now, &mut rotation);
                (missing, now)
            });
            if rotation.step() == RotationStep::Done {
                return Ok(());
            }
            if now >= end {
                let refused = rotation.refused().map(|(id, reason)| (id, reason.to_owned())).collect();
                return Err(RotationError::Unconfirmed { step: rotation.step(), missing, refused });
            }
            // An event, or the next time to ask.
            let pause = self.pause(now, end, rotation.due());
            let changed = self.shared.changed.listen();
            let _ = runtime::timeout(pause, changed).await;
            if self.shared.lock().end.is_some() {
                return Err(RotationError::Stopped);
            }
        }
    }

    /// Returns the time for which nothing but an event changes anything.
    fn pause(&self, now: Instant, end: Instant, due: Instant) -> Duration {
        let period = self.inspect(|node| node.config().probe.period);
        let due = if due > now { due.since(now) } else { period };
        due.min(period).min(end.since(now)).max(Duration::from_millis(1))
    }
}
