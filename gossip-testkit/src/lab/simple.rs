//! The simple epidemic: nobody ever loses interest (Demers et al., section 1.3; anti-entropy is one).

use gossip_core::Exchange;
use rand::SeedableRng;
use rand::rngs::Xoshiro256PlusPlus;

use super::cycle::{Population, Rules};
use super::epidemic::{Impossible, Outcome};

/// One update in a population in which every site that knows it passes it on in every cycle, until all know.
#[derive(Debug, Clone)]
pub struct SimpleEpidemic {
    /// Number of sites, from 2 to [`MAX_NODES`](super::MAX_NODES).
    pub nodes: u32,
    /// Direction of an exchange: push, pull or both.
    pub exchange: Exchange,
    /// Number of others that a site calls in a cycle.
    pub fanout: u32,
    /// Number of calls that a site takes in a cycle. All call, also those that have nothing to tell: so anti-entropy does.
    pub connection_limit: Option<u8>,
}

impl SimpleEpidemic {
    /// Checks that this can be run.
    ///
    /// # Errors
    /// The first setting that cannot be, with its bound.
    pub fn check(&self) -> Result<(), Impossible> {
        Impossible::population(self.nodes, self.fanout, self.connection_limit)
    }

    /// One epidemic until all know.
    ///
    /// # Errors
    /// See [`check`](Self::check).
    pub fn run(&self, seed: u64) -> Result<Outcome, Impossible> {
        self.watch(seed, |_| ())
    }

    /// One epidemic's course: how many sites know when it begins, and after each cycle.
    ///
    /// # Errors
    /// See [`check`](Self::check).
    pub fn course(&self, seed: u64) -> Result<Vec<u32>, Impossible> {
        let mut course = vec![1];
        self.watch(seed, |informed| course.push(informed))?;
        Ok(course)
    }

    fn watch(&self, seed: u64, mut watch: impl FnMut(u32)) -> Result<Outcome, Impossible> {
        self.check()?;
        let rules = Rules {
            nodes: self.nodes,
            exchange: self.exchange,
            fanout: self.fanout,
            loss: None,
            all_call: self.exchange.pulls() || self.connection_limit.is_some(),
            limit: self.connection_limit,
            hunt: 0,
        };
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
        let mut population = Population::new(&rules, false);
        while population.informed < self.nodes {
            population.cycle(&mut rng);
            watch(population.informed);
        }
        Ok(Outcome::of(&population, self.nodes, population.time))
    }
}
