//! Seeds by name, resolved again and again: names outlive the addresses behind them. Knows names and the node's
//! isolation; must not know how a node joins.

use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::future::select;

use crate::error::SpawnError;
use crate::runtime;
use crate::shared::Shared;
use crate::udp;

/// How often names are resolved again.
const REFRESH: Duration = Duration::from_secs(300);
/// How often while nobody answers: at first, and at last.
const ISOLATED: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(10));

/// Seeds as the application wrote them.
#[derive(Debug)]
pub(crate) struct Seeds {
    addresses: Vec<SocketAddr>,
    names: Vec<String>,
    bound: SocketAddr,
    own: SocketAddr,
}

impl Seeds {
    /// Sorts addresses from names. `own` is left out wherever it turns up: a name for all members names this one, too.
    pub(crate) fn parse(given: Vec<String>, bound: SocketAddr, own: SocketAddr) -> Result<Self, SpawnError> {
        let mut seeds = Self { addresses: Vec::new(), names: Vec::new(), bound, own };
        for seed in given {
            if let Ok(address) = seed.parse() {
                seeds.addresses.push(address);
            } else if udp::is_name(&seed) {
                seeds.names.push(seed);
            } else {
                return Err(SpawnError::Address { given: seed });
            }
        }
        Ok(seeds)
    }

    /// Those that need no resolver.
    pub(crate) fn literal(&self) -> Vec<SocketAddr> {
        self.usable(self.addresses.clone())
    }

    pub(crate) fn has_names(&self) -> bool {
        !self.names.is_empty()
    }

    fn usable(&self, mut addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
        addresses.retain(|&address| address != self.own && udp::reaches(self.bound, address));
        addresses.sort_unstable();
        addresses.dedup();
        addresses
    }

    async fn resolve(&self) -> Vec<SocketAddr> {
        let mut addresses = self.addresses.clone();
        for name in &self.names {
            match runtime::resolve(name).await {
                Ok(found) => addresses.extend(found),
                Err(error) => tracing::warn!(name, %error, "a seed cannot be resolved now"),
            }
        }
        self.usable(addresses)
    }
}

/// Resolves the seeds now, while nobody answers, and every five minutes; until the node stops,
/// leaves, or is given other seeds.
pub(crate) async fn refresh(seeds: Seeds, shared: Arc<Shared<SocketAddr>>) {
    let mut known = Vec::new();
    let mut age = REFRESH;
    let mut pause = ISOLATED.0;
    while shared.end().is_none() && shared.reseeds.load(Ordering::Relaxed) {
        let isolated = shared.lock().is_isolated();
        if isolated || age >= REFRESH {
            age = Duration::ZERO;
            let found = seeds.resolve().await;
            // Nothing found says more about the resolver than about the seeds.
            if !found.is_empty() && found != known {
                known.clone_from(&found);
                shared.command(|node, now| {
                    if shared.reseeds.load(Ordering::Relaxed) {
                        node.join(now, found);
                    }
                });
            }
        }
        pause = if isolated { (2 * pause).min(ISOLATED.1) } else { ISOLATED.0 };
        let rest = if isolated { pause } else { ISOLATED.1 };
        age += rest;
        select(pin!(runtime::sleep(rest)), pin!(ended(&shared))).await;
    }
}

async fn ended(shared: &Shared<SocketAddr>) {
    loop {
        let changed = shared.listen();
        if shared.end().is_some() {
            return;
        }
        changed.await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_are_sorted_by_what_they_need() {
        let own = "127.0.0.1:1".parse().unwrap();
        let given = ["127.0.0.1:2", "db-1:7000", "127.0.0.1:1", "[::1]:2", "127.0.0.1:2"];
        let seeds = Seeds::parse(given.map(String::from).to_vec(), own, own).unwrap();
        assert_eq!(seeds.literal(), ["127.0.0.1:2".parse().unwrap()], "not itself, not another family, not twice");
        assert_eq!(seeds.names, ["db-1:7000"]);
        let error = Seeds::parse(vec!["db-1".into()], own, own).unwrap_err();
        assert_eq!(error.to_string(), "\"db-1\" is no address: it must be HOST:PORT with a port from 0 to 65535");
    }
}
