//! Alerts of this node: what is wrong now, since when, and what to do. Knows the node's events and state; must not know
//! who asks.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use gossip_tokio::Gossip;
use gossip_tokio::gossip_core::{Event, Instant as Time};
use serde::Serialize;

/// How long an alert stands whose end no event tells.
const STANDS: Duration = Duration::from_secs(600);
/// The same for strangers, of whom the node tells once an hour.
const FOREIGN: Duration = Duration::from_secs(3_700);

/// Something that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Alert {
    pub(crate) kind: &'static str,
    /// In microseconds since 1970.
    pub(crate) since: Time,
    pub(crate) text: String,
    pub(crate) remedy: &'static str,
}

/// What was told by events; what can be asked of the node is asked when it is wanted.
#[derive(Debug, Default)]
pub(crate) struct Alerts {
    told: BTreeMap<&'static str, (Alert, Instant)>,
    isolated: Option<Time>,
}

impl Alerts {
    /// Takes in an event that happened at `now`.
    pub(crate) fn note(&mut self, event: &Event<SocketAddr>, now: Time) {
        let (kind, text, remedy, stands) = match event {
            Event::Isolated(isolated) => {
                self.isolated = isolated.then_some(now);
                return;
            }
            Event::IdentityConflict { address } => (
                "identity-conflict",
                format!("another node with this node's name or id runs at {address}"),
                "stop one of the two: a copied data file, or a name used twice",
                STANDS,
            ),
            Event::ClockWrong { peers, own } => (
                "clock-wrong",
                format!("this machine's clock differs from the others' by {:?}", peers.abs_diff(*own)),
                "set the clock; keep NTP running",
                STANDS,
            ),
            Event::Full { bound } => (
                "full",
                format!("{bound} is reached: what is new is refused"),
                "raise the bound, or find who writes so much",
                STANDS,
            ),
            Event::ForeignCluster { address } => (
                "foreign-cluster",
                format!("datagrams of another cluster arrive from {address}"),
                "look for a wrong label or address there or here",
                FOREIGN,
            ),
            _ => return,
        };
        let since = self.told.get(kind).map_or(now, |(alert, _)| alert.since);
        self.told.insert(kind, (Alert { kind, since, text, remedy }, Instant::now() + stands));
    }

    /// Everything that is wrong now. `seeds`: whether the node was told to join somebody.
    pub(crate) fn now(&mut self, gossip: &Gossip, seeds: bool) -> Vec<Alert> {
        self.told.retain(|_, (_, until)| *until > Instant::now());
        let (alone, catching_up) = gossip.inspect(|node| (node.live_members() < 2, node.catching_up()));
        let since = self.isolated.unwrap_or_else(|| gossip.now());
        let isolated = (gossip.is_isolated() || (seeds && alone)).then(|| Alert {
            kind: "isolated",
            since,
            text: "nobody answers".into(),
            remedy: "look at the network, the port, the label, the keys, the seeds",
        });
        let behind = catching_up.map(|(received, expected)| Alert {
            kind: "catching-up",
            since: gossip.now(),
            text: format!("{received} of some {expected} items are here"),
            remedy: "wait until it is done before you trust that a name has no value",
        });
        let told = self.told.values().map(|(alert, _)| alert.clone());
        isolated.into_iter().chain(behind).chain(told).collect()
    }
}
