//! Stage of a scenario: its nodes by number, and the two ways to look at them over time. Knows the harness; must
//! not know what is played.

use std::collections::BTreeMap;
use std::time::Duration;

use gossip_core::{Config, NodeId, Status};

use super::Problem;
use super::clock::{Stopwatch, pause};
use super::harness::{Error, Harness};

/// Result of a look: the difference at this moment, nothing if all is well.
pub(super) type Verdict = Result<(), String>;

pub(super) struct Stage<'a, H: Harness> {
    pub(super) harness: &'a mut H,
    pub(super) config: Config,
    patience: Duration,
    /// In the order of their start; those that were stopped have gone from here.
    nodes: BTreeMap<usize, H::Node>,
    /// Messages that each heard and how often, from its start on.
    heard: BTreeMap<usize, Vec<Vec<u8>>>,
}

impl<'a, H: Harness> Stage<'a, H> {
    pub(super) fn new(harness: &'a mut H, config: Config, patience: Duration) -> Self {
        Self { harness, config, patience, nodes: BTreeMap::new(), heard: BTreeMap::new() }
    }

    /// Stops whatever still runs, and repairs the network.
    pub(super) fn clear(&mut self) {
        self.harness.lose(0.0);
        while let Some((_, node)) = self.nodes.pop_first() {
            self.harness.stop(node);
        }
    }

    /// `a`, `b`, `c`, …
    pub(super) fn name(number: usize) -> String {
        let letter = u8::try_from(number).ok().and_then(|number| b'a'.checked_add(number));
        char::from(letter.expect("a scenario has a handful of nodes")).to_string()
    }

    pub(super) fn id(number: usize) -> NodeId {
        NodeId::from_name(&Self::name(number))
    }

    pub(super) fn running(&self) -> Vec<usize> {
        self.nodes.keys().copied().collect()
    }

    /// Starts the node with this number. It joins through the one given, if that is not itself.
    pub(super) fn start(&mut self, number: usize, through: usize) -> Result<(), Problem> {
        let name = Self::name(number);
        let seed = self.nodes.get(&through).map(|node| self.harness.address(node));
        let seeds = seed.as_slice();
        let node = self.harness.start(&name, self.config.clone(), seeds);
        let node = node.map_err(|error| Problem::Refused { action: format!("starting {name}"), error })?;
        self.nodes.insert(number, node);
        self.heard.insert(number, Vec::new());
        Ok(())
    }

    /// Starts the first `count` nodes, each of which joins through the one before, and waits until all see all.
    pub(super) fn start_all(&mut self, count: usize) -> Result<(), Problem> {
        for number in 0..count {
            self.start(number, number.saturating_sub(1))?;
        }
        self.wait("all to see all alive", |stage| stage.all_see_all())
    }

    /// Stops a node without a word, and says where it was.
    pub(super) fn stop(&mut self, number: usize) -> H::Address {
        let node = self.nodes.remove(&number).expect("scenarios stop nodes that run");
        let address = self.harness.address(&node);
        self.harness.stop(node);
        address
    }

    pub(super) fn address(&self, number: usize) -> H::Address {
        self.harness.address(&self.nodes[&number])
    }

    /// Has a node do something.
    pub(super) fn command(
        &mut self,
        number: usize,
        action: &str,
        command: impl FnOnce(&mut H, &H::Node) -> Result<(), Error>,
    ) -> Result<(), Problem> {
        command(self.harness, &self.nodes[&number])
            .map_err(|error| Problem::Refused { action: format!("{action} at {}", Self::name(number)), error })
    }

    pub(super) fn put(&mut self, number: usize, name: &str, value: &[u8]) -> Result<(), Problem> {
        self.command(number, &format!("writing {name:?}"), |harness, node| harness.put(node, name, value))
    }

    /// Waits until a condition is true.
    pub(super) fn wait(
        &mut self,
        awaited: &str,
        mut condition: impl FnMut(&mut Self) -> Verdict,
    ) -> Result<(), Problem> {
        let watch = Stopwatch::start();
        loop {
            // The clock first: what is true at the very end was true in time.
            let waited = watch.elapsed();
            match condition(self) {
                Ok(()) => return Ok(()),
                Err(missing) if waited >= self.patience => {
                    return Err(Problem::TimedOut { awaited: awaited.to_owned(), waited, missing });
                }
                Err(_) => pause(),
            }
        }
    }

    /// Sees to it that a condition stays true for some time.
    pub(super) fn watch(
        &mut self,
        time: Duration,
        mut condition: impl FnMut(&mut Self) -> Verdict,
    ) -> Result<(), Problem> {
        let watch = Stopwatch::start();
        loop {
            let over = watch.elapsed() >= time;
            condition(self).map_err(Problem::Wrong)?;
            if over {
                return Ok(());
            }
            pause();
        }
    }

    /// Long enough for whatever is still under way to arrive: a rumor's last rounds, and an exchange of every node.
    pub(super) fn aftermath(&self) -> Duration {
        20 * self.config.rumor.interval + self.config.anti_entropy.interval
    }

    // What can be true of the nodes that run.

    /// All that run see all that run alive, where they are.
    pub(super) fn all_see_all(&self) -> Verdict {
        self.running().into_iter().try_for_each(|other| self.all_see(other, Status::Alive))
    }

    /// All that run, but for itself, see this one like that; and where it is, if it runs.
    pub(super) fn all_see(&self, other: usize, status: Status) -> Verdict {
        let address = self.nodes.get(&other).map(|node| self.harness.address(node));
        for (number, node) in &self.nodes {
            if *number == other && status != Status::Alive {
                continue;
            }
            let members = self.harness.members(node);
            let seen = members.iter().find(|member| member.id == Self::id(other));
            let (number, other) = (Self::name(*number), Self::name(other));
            match seen {
                None => return Err(format!("{number} does not know {other}")),
                Some(seen) if seen.status != status => {
                    return Err(format!("{number} sees {other} {}", seen.status));
                }
                Some(seen) if address.as_ref().is_some_and(|address| *address != seen.address) => {
                    return Err(format!("{number} sees {other} at {:?}, it is elsewhere", seen.address));
                }
                Some(_) => {}
            }
        }
        Ok(())
    }

    /// All that run know this many members, dead or alive.
    pub(super) fn all_know(&self, count: usize) -> Verdict {
        for (number, node) in &self.nodes {
            let known = self.harness.members(node).len();
            if known != count {
                return Err(format!("{} knows {known} members, there were {count}", Self::name(*number)));
            }
        }
        Ok(())
    }

    /// All that run have this entry, or none of them has one.
    pub(super) fn all_have(&self, name: &str, wanted: Option<&[u8]>) -> Verdict {
        for (number, node) in &self.nodes {
            let found = self.harness.get(node, name);
            if found.as_deref() != wanted {
                let (number, found) = (Self::name(*number), shown(found.as_deref()));
                return Err(format!("{number} has {found} as {name:?}, not {}", shown(wanted)));
            }
        }
        Ok(())
    }

    /// Everybody that runs, but for who sent it, has heard this; and nobody has heard anything twice.
    pub(super) fn all_heard(&mut self, from: usize, payload: &[u8]) -> Verdict {
        self.listen();
        for number in self.running() {
            if number != from && !self.heard[&number].iter().any(|heard| heard == payload) {
                return Err(format!("{} has not heard {}", Self::name(number), shown(Some(payload))));
            }
        }
        Ok(())
    }

    pub(super) fn none_heard_twice(&mut self) -> Verdict {
        self.listen();
        for (number, heard) in &self.heard {
            let mut heard = heard.clone();
            heard.sort_unstable();
            if let Some(twice) = heard.windows(2).find(|two| two[0] == two[1]) {
                return Err(format!("{} has heard {} twice", Self::name(*number), shown(Some(&twice[0]))));
            }
        }
        Ok(())
    }

    fn listen(&mut self) {
        for (number, node) in &mut self.nodes {
            self.heard.entry(*number).or_default().extend(self.harness.heard(node));
        }
    }
}

/// A value for people: text where it is text, and not more of it than is needed to recognise it.
fn shown(value: Option<&[u8]>) -> String {
    match value {
        None => "nothing".to_owned(),
        Some(value) if value.len() > 40 => format!("{} bytes", value.len()),
        Some(value) => format!("{:?}", String::from_utf8_lossy(value)),
    }
}
