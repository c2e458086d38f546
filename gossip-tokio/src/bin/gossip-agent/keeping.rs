//! Times at which the data file is read and written. Knows the node and the file; must not know what is in it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use gossip_tokio::Gossip;
use gossip_tokio::gossip_core::Snapshot;

use crate::data::{Found, Store};
use crate::failure::Failure;
use crate::state::Agent;

/// Delay after which a change is written, and age that the file reaches without one.
const SAVE: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(3_600));

/// Reads the data file; one that is none is set aside.
pub(crate) fn restored(store: &Store) -> Result<Option<Snapshot<SocketAddr>>, Failure> {
    let file = store.path().display();
    match store.read().map_err(|error| Failure::Failed(format!("{file}: {error}")))? {
        Found::Nothing => Ok(None),
        Found::Snapshot(snapshot) => Ok(Some(snapshot)),
        Found::Foreign(reason) => refuse(store, &reason).map(|()| None),
    }
}

/// Gives it to the node; what the node refuses is set aside.
pub(crate) fn restore(gossip: &Gossip, store: &Store, snapshot: Snapshot<SocketAddr>) -> Result<(), Failure> {
    let updates = snapshot.len();
    match gossip.restore(snapshot) {
        Ok(()) => tracing::info!("{updates} updates read from {}", store.path().display()),
        Err(error) => refuse(store, &error.to_string())?,
    }
    Ok(())
}

/// Data that cannot be used is kept for whoever can: the node starts without.
fn refuse(store: &Store, reason: &str) -> Result<(), Failure> {
    let file = store.path().display();
    let aside = store.set_aside().map_err(|error| Failure::Failed(format!("{file}: {reason}; {error}")))?;
    tracing::warn!("{file} is not used: {reason}; it is now {}", aside.display());
    Ok(())
}

/// Writes the data file now.
pub(crate) async fn save(agent: &Agent, store: &Arc<Store>) -> Result<(), Failure> {
    agent.changed.store(false, Ordering::Relaxed);
    let (snapshot, store) = (agent.gossip.snapshot(), Arc::clone(store));
    // Disks take their time, and the protocol has none.
    let written = tokio::task::spawn_blocking(move || {
        store.write(&snapshot).map_err(|error| format!("{} cannot be written: {error}", store.path().display()))
    });
    written.await.unwrap_or_else(|error| Err(error.to_string())).map_err(Failure::Failed)
}

/// Writes the data file when something has changed, and now and then.
pub(crate) async fn keep(agent: Arc<Agent>, store: Arc<Store>) {
    let mut saved = Instant::now();
    loop {
        tokio::time::sleep(SAVE.0).await;
        if !agent.changed.load(Ordering::Relaxed) && saved.elapsed() < SAVE.1 {
            continue;
        }
        match save(&agent, &store).await {
            Ok(()) => saved = Instant::now(),
            Err(failure) => {
                agent.changed.store(true, Ordering::Relaxed);
                tracing::error!("{failure}");
            }
        }
    }
}
