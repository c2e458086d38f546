//! Seeds by name, resolved repeatedly, since names outlive the addresses behind them. Knows names and the node's
//! isolation; must not know how a node joins.

use std::collections::BTreeSet;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use gossip_core::Node;

use crate::runtime;
use crate::shared::Shared;
use crate::udp;

/// Intervals at which names are resolved.
pub(crate) struct Pace {
    calm: Duration,
    /// Interval while no member answers: the first and the longest.
    alone: (Duration, Duration),
}

pub(crate) const PACE: Pace =
    Pace { calm: Duration::from_secs(300), alone: (Duration::from_secs(1), Duration::from_secs(10)) };

/// Seeds in the application's words: addresses and names.
#[derive(Debug)]
pub(crate) struct Seeds {
    /// Texts that were checked to be addresses or names.
    pub(crate) given: Vec<String>,
    pub(crate) bound: SocketAddr,
    /// Own address, left out of every result: a name for all members names this one, too.
    pub(crate) own: SocketAddr,
}

impl Seeds {
    /// Returns the seeds that need no resolver.
    pub(crate) fn literal(&self) -> BTreeSet<SocketAddr> {
        self.usable(self.given.iter().filter_map(|seed| seed.parse().ok()))
    }

    /// Returns the reasons for which seeds that need no resolver can never be reached.
    pub(crate) fn obstacles(&self) -> Vec<String> {
        let literal = self.given.iter().filter_map(|seed| seed.parse().ok()).filter(|seed| *seed != self.own);
        literal.filter_map(|seed| udp::obstacle(self.bound, seed)).collect()
    }

    pub(crate) fn has_names(&self) -> bool {
        self.given.iter().any(|seed| seed.parse::<SocketAddr>().is_err())
    }

    fn usable(&self, addresses: impl IntoIterator<Item = SocketAddr>) -> BTreeSet<SocketAddr> {
        let usable = |address: &_| *address != self.own && udp::obstacle(self.bound, *address).is_none();
        addresses.into_iter().filter(usable).collect()
    }
}

/// Resolves the seeds at once, while no member answers, and at intervals after that, until the node stops, leaves, or
/// is given other seeds.
pub(crate) async fn refresh<F: Future<Output = io::Result<Vec<SocketAddr>>>>(
    seeds: Seeds,
    shared: Arc<Shared<SocketAddr>>,
    pace: Pace,
    resolve: impl Fn(String) -> F,
) {
    // A node that knows no other is not isolated in its own view, but the names of its seeds may not have existed yet.
    let alone = |node: &Node<SocketAddr>| node.live_members() < 2;
    let (mut known, mut pause) = (BTreeSet::new(), pace.alone.0);
    while shared.lock().reseeds {
        let mut found = Vec::new();
        for seed in &seeds.given {
            match resolve(seed.clone()).await {
                Ok(addresses) => found.extend(addresses),
                Err(error) => tracing::warn!(seed, %error, "a seed cannot be resolved now"),
            }
        }
        let found = seeds.usable(found);
        // An empty result is a fault of the resolver rather than news about the seeds.
        if !found.is_empty() && found != known {
            known.clone_from(&found);
            shared.command(|state, now| {
                if state.reseeds {
                    state.node.join(now, found);
                }
            });
        }
        let was_alone = alone(&shared.lock().node);
        let news = shared.until(|| {
            let state = shared.lock();
            (!state.reseeds || (!was_alone && alone(&state.node))).then_some(())
        });
        // Resolves again after a while even if nothing changes.
        let _ = runtime::timeout(if was_alone { pause } else { pace.calm }, news).await;
        pause = if was_alone { (2 * pause).min(pace.alone.1) } else { pace.alone.0 };
    }
}

#[cfg(test)]
mod tests {
    use std::future::ready;
    use std::pin::pin;
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures_util::future::{join, select};

    use super::*;
    use crate::{Gossip, bind};
    use gossip_core::{Config, Status};

    async fn node() -> Gossip {
        bind("127.0.0.1:0").config(Config::local()).spawn().await.unwrap()
    }

    fn seeds<const N: usize>(given: [&str; N], own: SocketAddr) -> Seeds {
        Seeds { given: given.map(String::from).to_vec(), bound: own, own }
    }

    async fn sees(node: &Gossip, other: &Gossip, status: Status) {
        let seen = |node: &Gossip| node.member(other.id()).is_some_and(|member| member.status == status);
        node.wait_until(seen).await.unwrap();
    }

    #[test]
    fn a_name_that_nobody_knew_at_the_start_is_not_left_alone_for_long() {
        runtime::block_on(async {
            let (first, second) = (node().await, node().await);
            let asked = AtomicUsize::new(0);
            let resolve = |_| {
                let fails = asked.fetch_add(1, Ordering::Relaxed) < 3;
                ready(if fails { Err(io::ErrorKind::NotFound.into()) } else { Ok(vec![first.address()]) })
            };
            let seeds = seeds(["db-1:7000"], second.address());
            let (calm, soon) = (Duration::from_secs(3_600), Duration::from_millis(20));
            let refreshing = refresh(seeds, Arc::clone(&second.shared), Pace { calm, alone: (soon, soon) }, resolve);
            let met = async {
                select(pin!(sees(&second, &first, Status::Alive)), pin!(runtime::sleep(Duration::from_secs(30)))).await;
            };
            select(pin!(refreshing), pin!(met)).await;
            assert_eq!(second.members().len(), 2);
        });
    }

    #[test]
    fn names_are_resolved_again_while_nobody_answers_and_now_and_then_when_somebody_does() {
        runtime::block_on(async {
            let (first, second) = (node().await, node().await);
            let (asked, place) = (AtomicUsize::new(0), Mutex::new(first.address()));
            let asked_in = async |time| {
                let before = asked.load(Ordering::Relaxed);
                runtime::sleep(time).await;
                asked.load(Ordering::Relaxed) - before
            };
            let resolve = |name| {
                assert_eq!(name, "db-1:7000");
                let fails = asked.fetch_add(1, Ordering::Relaxed) < 5;
                ready(if fails { Err(io::ErrorKind::NotFound.into()) } else { Ok(vec![*place.lock().unwrap()]) })
            };
            let seeds = seeds(["db-1:7000"], second.address());
            let pace =
                Pace { calm: Duration::from_millis(300), alone: (Duration::from_millis(5), Duration::from_millis(20)) };
            let refreshing = refresh(seeds, Arc::clone(&second.shared), pace, resolve);
            let story = async {
                // The node started before the name existed.
                sees(&second, &first, Status::Alive).await;
                runtime::sleep(Duration::from_millis(100)).await;
                let calm = asked_in(Duration::from_millis(1_500)).await;
                assert!((1..=6).contains(&calm), "{calm}");
                // The member behind the name is gone, and another gets the name.
                first.stop();
                sees(&second, &first, Status::Dead).await;
                let alone = asked_in(Duration::from_millis(1_500)).await;
                assert!(alone > 10, "{alone}");
                let third = node().await;
                *place.lock().unwrap() = third.address();
                sees(&second, &third, Status::Alive).await;
                second.leave(Duration::from_secs(30)).await.unwrap();
            };
            // Leaving ends it.
            join(refreshing, story).await;
        });
    }

    #[test]
    fn seeds_are_sorted_by_what_they_need() {
        let own = "127.0.0.1:1".parse().unwrap();
        let given = seeds(["127.0.0.1:2", "db-1:7000", "127.0.0.1:1", "[::1]:2", "127.0.0.1:2"], own);
        let expected = BTreeSet::from(["127.0.0.1:2".parse().unwrap()]);
        assert_eq!(given.literal(), expected, "not itself, not another family, not twice");
        assert!(given.has_names() && !seeds(["127.0.0.1:2"], own).has_names());
    }
}
