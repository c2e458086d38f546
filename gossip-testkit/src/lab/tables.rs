//! Tables 1 to 3 of Demers et al. (1987): a rumor among a thousand sites.

use gossip_core::Config;
use gossip_core::{Exchange, LossOfInterest, Policy, Response};

use super::Epidemic;

/// A table of the paper.
#[derive(Debug, Clone, Copy)]
pub struct Table {
    /// The variation in short: `push-feedback-counter`.
    pub name: &'static str,
    /// Its number in the paper.
    pub number: u8,
    exchange: Exchange,
    response: Response,
    loss_of_interest: LossOfInterest,
    /// The paper's figures, from `k = 1`.
    pub paper: &'static [Printed],
}

/// A row as the paper prints it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Printed {
    /// The share of sites never reached.
    pub residue: f64,
    /// Updates sent per site.
    pub traffic: f64,
    /// The mean delay. In the push tables it contradicts `t_last` under the paper's own definition.
    pub t_ave: f64,
    /// The delay of the last site reached.
    pub t_last: f64,
}

const fn row(residue: f64, traffic: f64, t_ave: f64, t_last: f64) -> Printed {
    Printed { residue, traffic, t_ave, t_last }
}

/// Tables 1, 2 and 3.
pub const TABLES: [Table; 3] = [
    Table {
        name: "push-feedback-counter",
        number: 1,
        exchange: Exchange::Push,
        response: Response::Feedback,
        loss_of_interest: LossOfInterest::Counter,
        paper: &[
            row(0.18, 1.7, 11.0, 16.8),
            row(0.037, 3.3, 12.1, 16.9),
            row(0.011, 4.5, 12.5, 17.4),
            row(0.0036, 5.6, 12.7, 17.5),
            row(0.0012, 6.7, 12.8, 17.7),
        ],
    },
    Table {
        name: "push-blind-coin",
        number: 2,
        exchange: Exchange::Push,
        response: Response::Blind,
        loss_of_interest: LossOfInterest::Coin,
        paper: &[
            row(0.96, 0.04, 19.0, 38.0),
            row(0.20, 1.6, 17.0, 33.0),
            row(0.060, 2.8, 15.0, 32.0),
            row(0.021, 3.9, 14.1, 32.0),
            row(0.008, 4.9, 13.8, 32.0),
        ],
    },
    Table {
        name: "pull-feedback-counter",
        number: 3,
        exchange: Exchange::Pull,
        response: Response::Feedback,
        loss_of_interest: LossOfInterest::Counter,
        paper: &[row(3.1e-2, 2.7, 9.97, 17.6), row(5.8e-4, 4.5, 10.07, 15.4), row(4.0e-6, 6.1, 10.08, 14.0)],
    },
];

impl Table {
    /// The epidemic of the row for `k`.
    pub fn epidemic(&self, k: u32) -> Epidemic {
        let Self { exchange, response, loss_of_interest, .. } = *self;
        let policy =
            Policy { exchange, response, loss_of_interest, k, fanout: 1, minimization: false, ..Config::lan().rumor };
        Epidemic::new(1_000, policy)
    }
}
