//! The state of an agent around its node: alerts, recent events. Knows the node's handle; must not know commands or
//! connections.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use async_channel::Sender;
use gossip_tokio::Gossip;
use gossip_tokio::gossip_core::{Alert, Event, Instant as Time, Member, Node, NodeId, Status};
use serde_json::{Value, json};
use tracing_appender::non_blocking::ErrorCounter;

use crate::events::line;
use crate::handlers::Handlers;
use crate::monitor::Monitors;
use crate::output::shown;
use crate::refusal::{Code, Refusal};
use crate::settings::Settings;
use crate::setup::Log;

/// Events that are kept for whoever opens the page.
const RECENT: usize = 100;
/// Age at which the reconciled set is compared: all of it has spread by then.
const SETTLED: Duration = Duration::from_secs(20);

/// State shared by all who serve commands.
pub(crate) struct Agent {
    pub(crate) gossip: Gossip,
    pub(crate) handlers: Handlers,
    recent: Mutex<VecDeque<(u64, Value)>>,
    /// Grows with every change of the members or of what they say of themselves.
    pub(crate) generation: AtomicU64,
    pub(crate) monitors: Monitors,
    /// Number of lines of the log that were lost.
    log_lost: ErrorCounter,
    /// True if a write is answered when it is on the disk.
    pub(crate) sync: bool,
    name: Option<String>,
    label: String,
    started: Instant,
    quit: Sender<()>,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Agent {
    /// Makes the state around a node that runs.
    pub(crate) fn new(gossip: Gossip, settings: &Settings, log: &Log, quit: Sender<()>) -> Self {
        Self {
            gossip,
            handlers: Handlers::start(settings.handlers.clone()),
            recent: Mutex::default(),
            generation: AtomicU64::new(1),
            monitors: log.monitors.clone(),
            log_lost: log.lost.clone(),
            sync: settings.sync,
            name: settings.name.clone(),
            label: settings.protocol.label.clone(),
            started: Instant::now(),
            quit,
        }
    }

    /// Returns the name of a member, if it is known.
    pub(crate) fn name(&self, id: NodeId) -> Option<String> {
        let member = self.gossip.member(id)?;
        member.name().map(str::to_owned)
    }

    /// The same for somebody who must be called something.
    pub(crate) fn called(&self, id: NodeId) -> String {
        self.name(id).unwrap_or_else(|| id.to_string())
    }

    /// Returns the member that is meant by a name or an id.
    ///
    /// # Errors
    /// There is none, or more than one.
    pub(crate) fn find(&self, member: &str) -> Result<NodeId, Refusal> {
        let members = self.gossip.members();
        let named = |found: &&Member<SocketAddr>| found.name() == Some(member) || member.parse() == Ok(found.id);
        let mut found = members.iter().filter(named).map(|found| found.id);
        let what = shown(member.as_bytes());
        match (found.next(), found.next()) {
            (Some(id), None) => Ok(id),
            (None, _) => Err(Code::NotFound.says(format!("there is no member {what}"))),
            (Some(_), Some(_)) => Err(Code::Invalid.says(format!("several members are called {what}: use the id"))),
        }
    }

    /// Returns the member of this name or id. `gone`: or one that is no member any more, whose shares are there.
    pub(crate) fn find_owner(&self, member: &str, gone: bool) -> Result<NodeId, Refusal> {
        let shares = |id: &NodeId| gone && !self.gossip.shares_of(*id).is_empty();
        self.find(member).or_else(|refusal| member.parse().ok().filter(shares).ok_or(refusal))
    }

    /// Returns the time at which the reconciled sets of all can be compared: all of it has spread.
    pub(crate) fn cut(&self) -> Time {
        let settled = self.gossip.now().as_micros().saturating_sub(SETTLED.as_micros() as u64);
        Time::from_micros(settled).floor_to(Duration::from_secs(10))
    }

    /// Everything that is wrong now.
    pub(crate) fn alerts(&self) -> Vec<Alert<SocketAddr>> {
        self.gossip.health()
    }

    /// Events that were told after the one with this number, with their numbers.
    pub(crate) fn recent(&self, after: u64) -> Vec<Value> {
        locked(&self.recent).iter().filter(|(number, _)| *number > after).map(|(_, event)| event.clone()).collect()
    }

    /// This node in an object.
    pub(crate) fn info(&self) -> Value {
        let gossip = &self.gossip;
        let alerts = self.alerts();
        let mut members = BTreeMap::from([("alive", 0), ("suspect", 0), ("dead", 0), ("left", 0)]);
        for member in gossip.members() {
            let key = match member.status {
                Status::Alive => "alive",
                Status::Suspect => "suspect",
                Status::Dead => "dead",
                Status::Left => "left",
            };
            *members.entry(key).or_default() += 1;
        }
        let own = gossip.member(gossip.id());
        let now = gossip.now();
        let cut = self.cut();
        let (agreed, hot, transfers) =
            gossip.inspect(|node| (node.reconciled(cut), node.hot_rumors(), node.transfers()));
        json!({
            "version": env!("CARGO_PKG_VERSION"), "id": gossip.id(), "name": self.name, "label": self.label,
            "address": gossip.address(), "boot": own.as_ref().map(|own| own.boot),
            "status": own.as_ref().map(|own| own.status), "tags": own.as_ref().map(Member::tags),
            "uptime_seconds": self.started.elapsed().as_secs(), "now": now,
            "healthy": alerts.is_empty(), "alerts": alerts, "members": members,
            "entries": gossip.inspect(Node::entry_count),
            "cut": cut, "reconciled": agreed.count, "fingerprint": format!("{:016x}", agreed.fingerprint),
            "hot_rumors": hot, "transfers": { "values": transfers.0, "bytes": transfers.1 },
        })
    }

    /// All counters in an object.
    pub(crate) fn stats(&self) -> Value {
        let mut stats = json!(self.gossip.stats());
        stats["agent"] = json!({ "log_lines_lost": self.log_lost.dropped_lines() });
        stats
    }

    /// Ends the agent.
    pub(crate) fn quit(&self) {
        // When one is waiting there, that is enough.
        let _ = self.quit.try_send(());
    }

    /// Takes in an event.
    pub(crate) fn note(&self, event: &Event<SocketAddr>) {
        if matches!(event, Event::Member { .. } | Event::Reaped { .. }) {
            self.generation.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Keeps an event for whoever opens the page.
    pub(crate) fn remember(&self, mut event: Value) {
        let mut recent = locked(&self.recent);
        let number = recent.back().map_or(0, |(number, _)| *number) + 1;
        event["number"] = number.into();
        event["time"] = self.gossip.now().as_micros().into();
        event["line"] = line(&event).chars().take(200).collect::<String>().into();
        // Values may be large, and the line has what is wanted of them.
        for key in ["value", "hex"] {
            event.as_object_mut().map(|event| event.remove(key));
        }
        recent.push_back((number, event));
        if recent.len() > RECENT {
            recent.pop_front();
        }
    }
}
