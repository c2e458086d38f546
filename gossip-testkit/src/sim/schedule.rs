//! Faults of a plan as actions: what begins when, and what ends it.

use gossip_core::Instant;
use std::time::Duration;

use super::Simulator;
use super::action::Action;
use crate::address::Addr;
use crate::machine::{Expectations, Machine};
use crate::plan::{Fault, Nodes};

impl<M: Machine> Simulator<M> {
    /// Configures the processes of a node for datagrams of so many per cent of the others' length.
    fn shorten(&mut self, node: Addr, percent: u8) {
        let longest = self.limits.max_datagram * usize::from(percent) / 100;
        let slot = &mut self.slots[node.index()];
        slot.config = Some(M::shortened(slot.config.as_ref().unwrap_or(&self.config), longest));
        self.counters.shortened += 1;
    }

    /// Gives a setting of some nodes another value. From then on as much is expected of a run as of the one of these that promises
    /// least.
    fn set(&mut self, on: &Nodes, name: &str, value: &str) {
        for &node in self.present.iter().filter(|node| on.contains(**node)) {
            let slot = &mut self.slots[node.index()];
            match M::set(slot.config.as_ref().unwrap_or(&self.config), name, value) {
                Some(config) => {
                    slot.config = Some(config);
                    self.counters.set += 1;
                }
                None => self.counters.set_refused += 1,
            }
        }
        let of = |node: &Addr| M::expectations(self.slots[node.index()].config.as_ref().unwrap_or(&self.config));
        self.limits = self.present.iter().map(of).reduce(Expectations::least).unwrap_or_else(|| self.limits.clone());
    }

    /// Plans the actions that a fault consists of: its beginning and, if it ends, its end.
    pub(crate) fn plan_fault(&mut self, id: u32, fault: &Fault) {
        let at = |time: Duration| Instant::ORIGIN + time;
        match fault {
            Fault::Crash { node, at: when, restart } => {
                self.plan(at(*when), Action::Crash(*node));
                if let Some(restart) = restart {
                    self.plan(at(restart.at), Action::Boot { node: *node, memory: restart.memory });
                }
            }
            Fault::Pause { node, during } => {
                self.plan(at(during.from), Action::Pause(*node));
                if let Some(to) = during.to {
                    self.plan(at(to), Action::Resume(*node));
                }
            }
            Fault::Twin { node, of, during, stays } => {
                self.plan(at(during.from), Action::Replace { node: *node, id: *of });
                if let Some(to) = during.to {
                    let end = if *stays { Action::Crash(*of) } else { Action::Replace { node: *node, id: *node } };
                    self.plan(at(to), end);
                }
            }
            Fault::Guest { node, id, during } => {
                self.plan(at(during.from), Action::Replace { node: *node, id: *id });
                if let Some(to) = during.to {
                    self.plan(at(to), Action::Replace { node: *node, id: *node });
                }
            }
            Fault::Skew { node, during, offset, drift_ppm, .. } => {
                self.plan(at(during.from), Action::Skew { node: *node, offset: *offset, drift_ppm: *drift_ppm });
                if let Some(to) = during.to {
                    self.plan(at(to), Action::Skew { node: *node, offset: 0, drift_ppm: 0 });
                }
            }
            Fault::Move { node, to, during, restarts } => {
                let restarts = *restarts;
                self.plan(at(during.from), Action::Move { node: *node, to: Some(*to), restarts });
                if let Some(end) = during.to {
                    self.plan(at(end), Action::Move { node: *node, to: None, restarts });
                }
            }
            Fault::Misplace { node, at: told, during } => {
                self.plan(at(during.from), Action::Misplace { node: *node, at: Some(*told) });
                if let Some(end) = during.to {
                    self.plan(at(end), Action::Misplace { node: *node, at: None });
                }
            }
            // Before anybody starts.
            Fault::Shorten { node, percent } => self.shorten(*node, *percent),
            Fault::Set { on, name, value } => self.set(on, name, value),
            Fault::Damage { node, at: when, restart, harm } => {
                self.plan(at(*when), Action::Crash(*node));
                self.plan(at(*restart), Action::BootDamaged { node: *node, harm: *harm });
            }
            Fault::LoseExactly { .. } => self.network.begin(id, fault),
            _ => {
                let during = fault.window().expect("every other fault has a window");
                self.plan(at(during.from), Action::Begin { id, fault: fault.clone() });
                if let Some(to) = during.to {
                    self.plan(at(to), Action::End { id });
                }
            }
        }
    }
}
