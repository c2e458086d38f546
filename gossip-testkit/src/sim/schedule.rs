//! Faults of a plan as actions: what begins when, and what ends it.

use gossip_core::Instant;
use std::time::Duration;

use super::Simulator;
use super::action::Action;
use crate::machine::Machine;
use crate::plan::Fault;

impl<M: Machine> Simulator<M> {
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
            Fault::Skew { node, during, offset, drift_ppm, .. } => {
                self.plan(at(during.from), Action::Skew { node: *node, offset: *offset, drift_ppm: *drift_ppm });
                if let Some(to) = during.to {
                    self.plan(at(to), Action::Skew { node: *node, offset: 0, drift_ppm: 0 });
                }
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
