//! The epidemic of Demers et al., section 1.4: one rumor, until nobody is interested in it any more.
//!
//! Site 0 is infective at time 0. In each cycle infective sites (push) or all sites (pull, push-pull) call random
//! others; it ends when nobody is infective. What production adds (`lambda`, offers by hash, time) is not here.

use gossip_core::{Exchange, LossOfInterest, Policy, Response};
use rand::SeedableRng;
use rand::rngs::Xoshiro256PlusPlus;

use super::cycle::{Population, Rules};
use super::lines::MAX_FANOUT;
use super::trials::{Estimate, trials};

/// The largest population.
pub const MAX_NODES: u32 = 1_000_000;

/// A setting of an epidemic that cannot be; nothing was run.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{setting} {bound}")]
pub struct Impossible {
    /// The field, as it is written here.
    pub setting: &'static str,
    /// The bound that it must satisfy.
    pub bound: String,
}

impl Impossible {
    pub(super) fn unless(holds: bool, setting: &'static str, bound: impl Into<String>) -> Result<(), Self> {
        if holds { Ok(()) } else { Err(Self { setting, bound: bound.into() }) }
    }

    pub(super) fn population(nodes: u32, fanout: u32, connection_limit: Option<u8>) -> Result<(), Self> {
        let partners = nodes.saturating_sub(1).min(MAX_FANOUT as u32);
        Self::unless((2..=MAX_NODES).contains(&nodes), "nodes", format!("must be from 2 to {MAX_NODES}"))?;
        Self::unless((1..=partners).contains(&fanout), "fanout", format!("must be from 1 to {partners}"))?;
        Self::unless(connection_limit != Some(0), "connection_limit", "must be at least 1")
    }
}

/// One rumor in a population.
#[derive(Debug, Clone)]
pub struct Epidemic {
    /// Number of sites, from 2 to [`MAX_NODES`].
    pub nodes: u32,
    /// Exchange, response, loss of interest, `k`, fanout and minimization; the rest of it plays no part.
    pub policy: Policy,
    /// Number of calls that a site takes in a cycle (section 1.4, "Connection Limit"); it makes any number.
    pub connection_limit: Option<u8>,
    /// Number of other partners that a site tries when one has no line free ("Hunting").
    pub hunt: u32,
}

/// Result of one epidemic.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Outcome {
    /// The share of sites that never learned the update.
    pub residue: f64,
    /// Updates sent, per site.
    pub traffic: f64,
    /// The mean cycle in which those who learned the update did so.
    pub t_ave: f64,
    /// The last cycle in which somebody did.
    pub t_last: u32,
}

impl Outcome {
    pub(super) fn of(population: &Population<'_>, nodes: u32, t_last: u32) -> Self {
        Self {
            residue: f64::from(nodes - population.informed) / f64::from(nodes),
            traffic: population.sent as f64 / f64::from(nodes),
            t_ave: population.delay as f64 / f64::from(population.informed),
            t_last,
        }
    }
}

impl Epidemic {
    /// Without connection limit.
    pub fn new(nodes: u32, policy: Policy) -> Self {
        Self { nodes, policy, connection_limit: None, hunt: 0 }
    }

    /// Checks that this can be run.
    ///
    /// # Errors
    /// The first setting that cannot be, with its bound.
    pub fn check(&self) -> Result<(), Impossible> {
        let Policy { exchange, response, loss_of_interest, k, fanout, minimization, .. } = self.policy;
        Impossible::population(self.nodes, fanout, self.connection_limit)?;
        Impossible::unless((1..=255).contains(&k), "k", "must be from 1 to 255")?;
        let (push_pull, counters) = (
            exchange == Exchange::PushPull,
            response == Response::Feedback && loss_of_interest == LossOfInterest::Counter,
        );
        let bound = "needs push-pull, feedback and counter: it compares the counters of two who both know";
        Impossible::unless(!minimization || push_pull && counters, "minimization", bound)?;
        Impossible::unless(self.hunt == 0 || self.connection_limit.is_some(), "hunt", "needs a connection limit")
    }

    fn rules(&self) -> Rules {
        let Policy { exchange, fanout, .. } = self.policy;
        Rules {
            nodes: self.nodes,
            exchange,
            fanout,
            loss: Some(self.policy.clone()),
            all_call: exchange.pulls(),
            limit: self.connection_limit,
            hunt: self.hunt,
        }
    }

    /// One epidemic from beginning to end.
    ///
    /// # Errors
    /// See [`check`](Self::check).
    pub fn run(&self, seed: u64) -> Result<Outcome, Impossible> {
        self.check()?;
        let (rules, mut rng) = (self.rules(), Xoshiro256PlusPlus::seed_from_u64(seed));
        let (mut population, mut t_last) = (Population::new(&rules, false), 0);
        while population.infective() > 0 {
            let before = population.informed;
            population.cycle(&mut rng);
            if population.informed > before {
                t_last = population.time;
            }
        }
        Ok(Outcome::of(&population, self.nodes, t_last))
    }

    /// The expected residue, by one marked site that fate keeps from the update.
    ///
    /// All sites but the first are alike, so the residue is the probability that a given one of them escapes: that no
    /// cycle reaches it, given that none before did. The others are simulated under that condition (nobody pushes to
    /// the marked site), the chances of the cycles multiplied. The mean over runs is exact, and a residue of 10⁻⁶ needs
    /// a thousand runs where counting who was missed needs a hundred million.
    ///
    /// None with a connection limit, where a call to the marked site takes a line from others.
    ///
    /// # Errors
    /// See [`check`](Self::check).
    pub fn expected_residue(&self, seed: u64) -> Result<Option<f64>, Impossible> {
        self.check()?;
        if self.connection_limit.is_some() {
            return Ok(None);
        }
        let (rules, mut rng) = (self.rules(), Xoshiro256PlusPlus::seed_from_u64(seed));
        let mut population = Population::new(&rules, true);
        let mut escaped = 1.0 - 1.0 / f64::from(self.nodes);
        while population.infective() > 0 {
            escaped *= population.chance_to_escape();
            if escaped == 0.0 {
                break; // Nobody else is left to call.
            }
            population.cycle(&mut rng);
        }
        Ok(Some(escaped))
    }
}

/// The means over many epidemics.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Measured {
    /// The share of sites that never learned the update: [`Epidemic::expected_residue`] where there is one.
    pub residue: Estimate,
    /// Updates sent, per site.
    pub traffic: Estimate,
    /// The mean cycle in which a site learned the update.
    pub t_ave: Estimate,
    /// The last such cycle.
    pub t_last: Estimate,
}

impl Measured {
    /// Measures `count` epidemics with seeds drawn from `seed`, on all processors; `done` is called after each.
    ///
    /// # Errors
    /// See [`Epidemic::check`].
    pub fn of(
        epidemic: &Epidemic,
        count: u32,
        seed: u64,
        done: &(impl Fn() + Sync + ?Sized),
    ) -> Result<Self, Impossible> {
        epidemic.check()?;
        let runs = trials(count, seed, done, |seed| {
            let outcome = epidemic.run(seed)?;
            Ok((outcome, epidemic.expected_residue(seed)?))
        });
        let runs: Vec<(Outcome, Option<f64>)> = runs.into_iter().collect::<Result<_, _>>()?;
        let of = |value: fn(&(Outcome, Option<f64>)) -> f64| Estimate::of(runs.iter().map(value));
        Ok(Self {
            residue: of(|(outcome, expected)| expected.unwrap_or(outcome.residue)),
            traffic: of(|(outcome, _)| outcome.traffic),
            t_ave: of(|(outcome, _)| outcome.t_ave),
            t_last: of(|(outcome, _)| outcome.t_last.into()),
        })
    }
}

#[cfg(test)]
mod tests;
