//! Scenarios made from others, for a search that is guided by what they reached.

use std::time::Duration;

use super::fit::apart;
use super::generate::{Dice, Draw, Swarm, Workload};
use super::{Scenario, Write};
use crate::address::Addr;
use crate::plan::{Chance, Fault};

impl Swarm {
    /// The same swarm with scenarios that are small and cheap: at stage 0 of two or three nodes within a few seconds, and
    /// larger at every later stage, up to its own bounds. They have as many commands as the others: those cost little.
    pub(crate) fn small(&self, stage: u32) -> Self {
        let nodes = &self.nodes;
        Self {
            nodes: *nodes.start()..=nodes.start().saturating_add(1 + stage).min(*nodes.end()),
            seconds: self.seconds.min(10 + 4 * stage),
            ..self.clone()
        }
    }

    /// Changes one to three things of a scenario. Faults may come from `other`.
    pub(crate) fn mutate<C: Workload + Clone>(
        &self,
        scenario: &Scenario<C>,
        other: &Scenario<C>,
        dice: &mut Dice,
    ) -> Scenario<C> {
        let mut scenario = scenario.clone();
        let nodes = scenario.nodes.len() as u32;
        let latest = scenario.quiet_at().max(Duration::from_secs(5)).as_millis() as u64;
        let mut draw = Draw::of::<C>(self, dice.clone(), nodes, latest);
        for _ in 0..draw.dice.within(1..=3) {
            let faults = scenario.plan.faults.len() as u64;
            let writes = scenario.writes.len() as u64;
            match draw.dice.within(0..=8) {
                0 | 1 => scenario.seed = draw.dice.bits(),
                2 => {
                    let class = draw.dice.pick(&self.classes).copied();
                    scenario.plan.faults.extend(class.map_or_else(Vec::new, |class| draw.faults(class)));
                }
                3 if faults > 0 => _ = scenario.plan.faults.remove(draw.dice.within(0..=faults - 1) as usize),
                4 if faults > 0 => {
                    let at = draw.dice.within(0..=faults - 1) as usize;
                    let fault = scenario.plan.faults.remove(at);
                    scenario.plan.faults.extend(match fault.window() {
                        Some(_) => Some(fault.with_window(draw.window())),
                        None => draw.fault(fault.class()),
                    });
                }
                5 if writes < u64::from(*self.writes.end()) => {
                    let at = near(&mut draw.dice, &scenario, latest);
                    let (node, command) = (draw.node(), C::random(&mut draw.dice));
                    scenario.writes.push(Write { at, node, command });
                }
                6 if writes > u64::from(*self.writes.start()) => {
                    scenario.writes.remove(draw.dice.within(0..=writes - 1) as usize);
                }
                7 if writes > 0 => {
                    let at = near(&mut draw.dice, &scenario, latest);
                    scenario.writes[draw.dice.within(0..=writes - 1) as usize].at = at;
                }
                8 => {
                    let fault = draw.dice.pick(&other.plan.faults).cloned();
                    let fits = (nodes..other.nodes.len() as u32)
                        .map(Addr)
                        .try_fold(fault, |fault, gone| fault.map(|fault| fault.without(gone)));
                    scenario.plan.faults.extend(fits.flatten());
                }
                _ => {}
            }
        }
        *dice = draw.dice;
        scenario.writes.sort_by_key(|write| write.at);
        apart(&mut scenario.plan);
        scenario
    }
}

/// Draws a time: half of the time one within a second of the beginning or the end of a fault.
fn near<C>(dice: &mut Dice, scenario: &Scenario<C>, latest: u64) -> Duration {
    let any = Duration::from_millis(dice.within(0..=latest));
    let fault = dice.pick(&scenario.plan.faults);
    let Some(fault) = fault.filter(|_| dice.chance(Chance::percent(50))) else { return any };
    let begin = match fault {
        Fault::Crash { at, .. } | Fault::Damage { at, .. } => *at,
        fault => fault.window().map_or(any, |window| window.from),
    };
    let edge = if dice.chance(Chance::percent(50)) { begin } else { fault.heals_at() };
    edge.saturating_sub(Duration::from_millis(500)) + Duration::from_millis(dice.within(0..=1_000))
}
