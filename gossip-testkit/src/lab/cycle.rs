//! A population and what a cycle does to it: everyone acts on what was so when the cycle began.
//!
//! Knows production's `Interest` and the lines. Must not know what is measured, or how many runs there are.

use gossip_core::rumor::{Contact, Interest};
use gossip_core::{Exchange, Policy};
use rand::Rng;
use rand::seq::SliceRandom;

use super::lines::{Lines, MAX_FANOUT};

/// Rules by which one update spreads.
#[derive(Debug, Clone)]
pub(super) struct Rules {
    pub(super) nodes: u32,
    pub(super) exchange: Exchange,
    pub(super) fanout: u32,
    /// Loss of interest; a simple epidemic knows no removed sites.
    pub(super) loss: Option<Policy>,
    /// True if sites without the update call too. It matters where they pull, or take up others' lines.
    pub(super) all_call: bool,
    pub(super) limit: Option<u8>,
    pub(super) hunt: u32,
}

#[derive(Debug, Clone, Copy, Default)]
struct Site {
    /// None while susceptible.
    interest: Option<Interest>,
    /// Sum of this cycle's contacts, where they count as one.
    contact: Option<Contact>,
}

impl Site {
    fn infective(&self) -> bool {
        self.interest.is_some_and(|interest| interest.is_hot())
    }
}

#[derive(Debug)]
pub(super) struct Population<'a> {
    rules: &'a Rules,
    sites: Vec<Site>,
    infective: Vec<u32>,
    /// Told in this cycle, perhaps more than once.
    told: Vec<u32>,
    callers: Vec<u32>,
    lines: Lines,
    /// The last site is one that fate keeps from the update: [`chance_to_escape`](Self::chance_to_escape).
    marked: bool,
    pub(super) time: u32,
    /// Sites that know, and the sum over them of the cycles in which they learned it.
    pub(super) informed: u32,
    pub(super) delay: u64,
    /// Updates sent.
    pub(super) sent: u64,
}

impl<'a> Population<'a> {
    /// Everyone susceptible but site 0.
    pub(super) fn new(rules: &'a Rules, marked: bool) -> Self {
        let mut sites = vec![Site::default(); rules.nodes as usize];
        sites[0].interest = Some(Interest::new());
        let callers = if rules.all_call { (0..rules.nodes - u32::from(marked)).collect() } else { Vec::new() };
        let lines = Lines::new(rules.nodes, rules.limit, rules.hunt);
        let (infective, told) = (vec![0], Vec::new());
        Self { rules, sites, infective, told, callers, lines, marked, time: 0, informed: 1, delay: 0, sent: 0 }
    }

    pub(super) fn infective(&self) -> usize {
        self.infective.len()
    }

    /// One cycle: calls, then their consequences.
    pub(super) fn cycle(&mut self, rng: &mut impl Rng) {
        self.time += 1;
        let mut callers = std::mem::take(&mut self.callers);
        if !self.rules.all_call {
            callers.clone_from(&self.infective);
        }
        if self.lines.limited() {
            callers.shuffle(rng);
        }
        for &caller in &callers {
            self.call(caller, rng);
        }
        self.callers = callers;
        self.lines.hang_up();
        self.settle(rng);
    }

    fn call(&mut self, caller: u32, rng: &mut impl Rng) {
        // As the cycle began: a push that turns out useless does not call back those of the same cycle.
        let pushing = self.rules.exchange.pushes() && (!self.rules.all_call || self.site(caller).infective());
        let among = self.rules.nodes - u32::from(self.marked && pushing);
        let (mut partners, mut reached) = ([0; MAX_FANOUT], 0);
        for _ in 0..self.rules.fanout {
            let Some(partner) = self.lines.call(caller, &partners[..reached], among, rng) else { continue };
            partners[reached] = partner;
            reached += 1;
            if pushing {
                self.sent += 1;
                self.tell(caller, partner, rng);
            }
            if self.rules.exchange.pulls() && self.site(partner).infective() {
                // It sends whether needed or not, unless the caller's push has just shown that it knows.
                self.sent += u64::from(!pushing);
                self.tell(partner, caller, rng);
            }
        }
    }

    fn site(&self, site: u32) -> &Site {
        &self.sites[site as usize]
    }

    /// The update meets one who perhaps does not know it.
    fn tell(&mut self, from: u32, to: u32, rng: &mut impl Rng) {
        let contact = match self.site(to).interest {
            None => {
                self.told.push(to);
                Contact::Useful
            }
            Some(theirs) if self.counts(from, theirs) => Contact::Useless,
            Some(_) => return,
        };
        self.note(from, contact, rng);
    }

    /// Returns whether a contact with a site that knows counts.
    fn counts(&self, site: u32, theirs: Interest) -> bool {
        let minimization = self.rules.loss.as_ref().is_some_and(|policy| policy.minimization);
        !minimization || self.site(site).interest.is_some_and(|mine| mine.moves(theirs.counter()))
    }

    /// With push every contact is one; where sites are asked, those of a cycle count as one, at its end.
    fn note(&mut self, site: u32, contact: Contact, rng: &mut impl Rng) {
        let Some(policy) = &self.rules.loss else { return };
        let site = &mut self.sites[site as usize];
        if self.rules.exchange.pulls() {
            site.contact = site.contact.max(Some(contact));
        } else if let Some(interest) = &mut site.interest {
            interest.contact(policy, contact, rng);
        }
    }

    fn settle(&mut self, rng: &mut impl Rng) {
        if let Some(policy) = &self.rules.loss {
            let sites = &mut self.sites;
            self.infective.retain(|&site| {
                let site = &mut sites[site as usize];
                if let (Some(contact), Some(interest)) = (site.contact.take(), &mut site.interest) {
                    interest.contact(policy, contact, rng);
                }
                site.infective()
            });
        }
        for site in self.told.drain(..) {
            let interest = &mut self.sites[site as usize].interest;
            if interest.is_none() {
                *interest = Some(Interest::new());
                self.infective.push(site);
                self.informed += 1;
                self.delay += u64::from(self.time);
            }
        }
    }

    /// The probability that the marked site hears nothing in the coming cycle. No line may be limited.
    pub(super) fn chance_to_escape(&self) -> f64 {
        let (others, fanout) = (f64::from(self.rules.nodes - 1), self.rules.fanout);
        let mut chance = 1.0;
        if self.rules.exchange.pushes() {
            chance *= power(1.0 - f64::from(fanout) / others, self.infective.len());
        }
        if self.rules.exchange.pulls() {
            let infective = self.infective.len() as f64;
            // None of `fanout` different partners is infective.
            chance *= (0..fanout).map(|i| (1.0 - infective / (others - f64::from(i))).max(0.0)).product::<f64>();
        }
        chance
    }
}

/// By multiplication alone, which is the same on every machine; `powi` and `powf` are not.
fn power(mut base: f64, mut exponent: usize) -> f64 {
    let mut product = 1.0;
    while exponent > 0 {
        if exponent % 2 == 1 {
            product *= base;
        }
        base *= base;
        exponent /= 2;
    }
    product
}
