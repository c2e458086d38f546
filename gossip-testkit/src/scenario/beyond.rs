//! Draws of classes that are about a whole cluster: its settings, its distances, who comes and goes, and where its seeds are.

use std::time::Duration;

use super::Scenario;
use super::fit::after_joining;
use super::generate::{Draw, elsewhere};
use crate::address::Addr;
use crate::plan::{Fault, Links, Nodes, Window};

/// Longest time that a path takes one way, in milliseconds: round trips of five seconds, both ways.
const FARTHEST: u64 = 2_500;

impl Draw {
    /// Settings of all, or of some.
    pub(super) fn settings(&mut self) -> Vec<Fault> {
        let setting = |this: &mut Self| {
            let (name, value) = (this.setting)(&mut this.dice)?;
            let on = if this.dice.half() { Nodes::All } else { this.some() };
            Some(Fault::Set { on, name, value })
        };
        (0..self.dice.within(1..=6)).filter_map(|_| setting(self)).collect()
    }

    /// Long paths between all, or to and from some, half of the time for ever.
    pub(super) fn far(&mut self) -> Vec<Fault> {
        let window = self.window();
        let during = if self.dice.half() { Window::since(window.from) } else { window };
        let far = |this: &mut Self, on: Links, most: u64| Fault::Far { on, during, by: this.dice.millis(100..=most) };
        if self.dice.half() {
            return vec![far(self, Links::ALL, FARTHEST)];
        }
        let some = self.some();
        let there = Links { from: some.clone(), to: Nodes::All };
        let back = Links { from: Nodes::All, to: some };
        // Between two of them both count, each way.
        vec![far(self, there, FARTHEST / 2), far(self, back, FARTHEST / 2)]
    }

    /// Processes with ids of their own that live for some seconds, one after another, in the places of some nodes but the first. Half
    /// of the time the last of them stays. The cluster may know hardly more members than are there at one time.
    pub(super) fn churn(&mut self) -> Vec<Fault> {
        let (mut faults, mut next) = (Vec::new(), 0);
        let room = self.nodes + self.dice.within(0..=3) as u32;
        if let Some((name, value)) = (self.members)(room).filter(|_| self.dice.within(0..=3) > 0) {
            faults.push(Fault::Set { on: Nodes::All, name, value });
        }
        for node in (1..self.nodes).map(Addr) {
            if self.dice.half() {
                continue;
            }
            let mut at = self.dice.within(2_000..=self.end.max(2_000));
            while at < self.end {
                let end = at + self.dice.within(500..=8_000);
                let id = elsewhere(3, Addr(next));
                next += 1;
                let later = end + self.dice.within(100..=5_000);
                let stays = later >= self.end && self.dice.half();
                let to = (!stays).then_some(Duration::from_millis(end));
                faults.push(Fault::Guest { node, id, during: Window { from: Duration::from_millis(at), to } });
                at = later;
            }
        }
        faults
    }

    /// Lets the nodes through which all have joined come back at other addresses for good once all have met. Whoever is started
    /// after that asks at addresses where nobody is.
    pub(super) fn reseed<C>(&mut self, scenario: &mut Scenario<C>) {
        let seeds = if self.nodes > 2 { self.dice.within(1..=2) as u32 } else { 1 };
        let stays = Addr(self.nodes - 1);
        let begins = after_joining(scenario, seeds);
        scenario
            .plan
            .faults
            .retain(|fault| !matches!(fault, Fault::Crash { node, restart: None, .. } if *node == stays));
        let mut come_back = |node: Addr| {
            let from = begins + self.dice.millis(0..=self.end);
            Fault::Move { node, to: elsewhere(4, node), during: Window::since(from), restarts: true }
        };
        let faults: Vec<Fault> = (0..seeds).map(|node| come_back(Addr(node))).collect();
        scenario.plan.faults.splice(0..0, faults);
    }
}
