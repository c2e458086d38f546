//! The network: decides what becomes of each datagram. Knows no machine and no queue.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::hash::{BuildHasherDefault, Hasher};
use std::time::Duration;

use gossip_core::Instant;
use indexmap::IndexMap;

use crate::address::Addr;
use crate::coin::{self, below, exponential, fold, mix};
use crate::plan::{Fault, Links};

/// Latency of datagrams when nothing goes wrong: a fixed part and an exponential one.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub struct Latency {
    /// At least this.
    pub base: Duration,
    /// On average so much more.
    pub mean: Duration,
}

/// A local network: 0.3 ms + exponential 0.7 ms.
impl Default for Latency {
    fn default() -> Self {
        Self { base: Duration::from_micros(300), mean: Duration::from_micros(700) }
    }
}

/// A datagram on its way into the network.
#[derive(Debug, Copy, Clone)]
pub struct Datagram<'a> {
    /// Simulated time since the start.
    pub at: Duration,
    /// Its sender.
    pub from: Addr,
    /// Its receiver.
    pub to: Addr,
    /// Its bytes.
    pub payload: &'a [u8],
    /// Its sender's name for it.
    pub label: &'static str,
}

/// Effect of a rule on a datagram.
#[derive(Debug, Copy, Clone, PartialEq, Eq, Default)]
pub enum Verdict {
    /// Nothing.
    #[default]
    Pass,
    /// It is lost.
    Lose,
    /// It comes so much later.
    Delay(Duration),
    /// It comes twice.
    Duplicate,
    /// A bit of it is flipped.
    Corrupt,
}

/// Why a datagram did not arrive.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub(crate) enum Cause {
    Loss,
    Burst,
    Cut,
    Narrow,
    Exact,
    Rule,
}

/// Fate of a datagram.
#[derive(Debug, Default)]
pub(crate) struct Fate {
    pub(crate) lost: Option<Cause>,
    /// Under way for so many microseconds.
    pub(crate) latency: u64,
    /// So long is a copy of it.
    pub(crate) copy: Option<u64>,
    pub(crate) delayed: bool,
    /// Random bits that say which of its own are flipped.
    pub(crate) flip: Option<u64>,
    pub(crate) content: u64,
    /// Number of the same that went before on that link; not counted unless coins are keyed.
    pub(crate) occurrence: Option<u32>,
}

/// Contents are hashes already.
#[derive(Default)]
pub(crate) struct Already(u64);

impl Hasher for Already {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, _: &[u8]) {
        unreachable!("only 64-bit numbers are hashed");
    }
    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}

/// Position of a link in its succession of good and bad times.
#[derive(Debug)]
struct Weather {
    bad: bool,
    until: u64,
    spell: u64,
}

struct Active {
    fault: Fault,
    /// Tells the coins of two faults apart; a function of the fault alone, so that it stays when others go. Of several
    /// equal ones the first has this one, and each later one a coin of its own.
    salt: u64,
    weather: BTreeMap<(Addr, Addr), Weather>,
}

type Rule = Box<dyn FnMut(&Datagram<'_>) -> Verdict>;

/// The network. See the [module](self).
pub(crate) struct Network {
    seed: u64,
    latency: Latency,
    /// True if coins are functions of the datagram; otherwise they are drawn, which is faster and needs no memory.
    keyed: bool,
    drawn: u64,
    occurrences: IndexMap<u64, u32, BuildHasherDefault<Already>>,
    active: Vec<(u32, Active)>,
    exact: BTreeSet<(Addr, Addr, u64, u32)>,
    rules: Vec<(u32, Rule)>,
}

impl fmt::Debug for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Network").field("seed", &self.seed).field("latency", &self.latency).finish_non_exhaustive()
    }
}

const LATENCY: u64 = 1;
const LOSS: u64 = 2;
const DUPLICATE: u64 = 3;
const COPY: u64 = 4;
const DELAY: u64 = 5;
const BY: u64 = 6;
const CORRUPT: u64 = 7;
const BITS: u64 = 8;
const SPELL: u64 = 9;

impl Network {
    pub(crate) fn new(seed: u64, latency: Latency, keyed: bool) -> Self {
        Self {
            seed,
            latency,
            keyed,
            drawn: fold([seed, 0]),
            occurrences: IndexMap::default(),
            active: Vec::new(),
            exact: BTreeSet::new(),
            rules: Vec::new(),
        }
    }

    pub(crate) fn begin(&mut self, id: u32, fault: &Fault) {
        if let Fault::LoseExactly { from, to, content, occurrence } = fault {
            self.exact.insert((*from, *to, *content, *occurrence));
        } else {
            let content = coin::content(fault.to_string().as_bytes());
            let taken = |salt: u64| self.active.iter().any(|(_, active)| active.salt == salt);
            let equal = (0..).map(|before| if before == 0 { content } else { fold([content, before]) });
            let salt = equal.into_iter().find(|&salt| !taken(salt)).expect("there are fewer faults than numbers");
            self.active.push((id, Active { fault: fault.clone(), salt, weather: BTreeMap::new() }));
        }
    }

    pub(crate) fn end(&mut self, id: u32) {
        self.active.retain(|(other, _)| *other != id);
    }

    pub(crate) fn add_rule(&mut self, id: u32, rule: Rule) {
        self.rules.push((id, rule));
    }

    pub(crate) fn remove_rule(&mut self, id: u32) {
        self.rules.retain(|(other, _)| *other != id);
    }

    /// Decides the fate of a datagram.
    pub(crate) fn judge(&mut self, now: Instant, datagram: &Datagram<'_>) -> Fate {
        let Datagram { from, to, payload, .. } = *datagram;
        let link = u64::from(from.0) << 32 | u64::from(to.0);
        let content = coin::content(payload);
        let mut fate = Fate { content, ..Fate::default() };
        let key = if self.keyed {
            let count = self.occurrences.entry(fold([link, content])).or_insert(0);
            let occurrence = *count;
            fate.occurrence = Some(occurrence);
            *count += 1;
            fold([self.seed, link, content, u64::from(occurrence)])
        } else {
            self.drawn = self.drawn.wrapping_add(0x9e37_79b9_7f4a_7c15);
            mix(self.drawn)
        };
        let Latency { base, mean } = self.latency;
        let under_way =
            |coin: u64| base.as_micros() as u64 + (exponential(mix(key ^ coin)) * mean.as_micros() as f64 + 0.5) as u64;
        fate.latency = under_way(LATENCY);
        if fate.occurrence.is_some_and(|occurrence| self.exact.contains(&(from, to, content, occurrence))) {
            fate.lost = Some(Cause::Exact);
            return fate;
        }
        for (_, active) in &mut self.active {
            let salt = active.salt;
            let coin = |what: u64| fold([key, salt, what]);
            match &active.fault {
                Fault::Loss { on, chance, .. } if on.contains(from, to) && chance.comes_up(coin(LOSS)) => {
                    fate.lost = fate.lost.or(Some(Cause::Loss));
                }
                Fault::Burst { on, chance, bad, good, .. } if on.contains(from, to) => {
                    let weather = active.weather.entry((from, to)).or_insert(Weather { bad: true, until: 0, spell: 0 });
                    weather.pass(now, fold([self.seed, link, salt]), *bad, *good);
                    if weather.bad && chance.comes_up(coin(LOSS)) {
                        fate.lost = fate.lost.or(Some(Cause::Burst));
                    }
                }
                Fault::Narrow { on, longest, .. } if on.contains(from, to) && payload.len() > usize::from(*longest) => {
                    fate.lost = fate.lost.or(Some(Cause::Narrow));
                }
                Fault::Cut { on, both_ways, .. } if cuts(on, *both_ways, from, to) => fate.lost = Some(Cause::Cut),
                Fault::Duplicate { on, chance, .. } if on.contains(from, to) && chance.comes_up(coin(DUPLICATE)) => {
                    fate.copy = Some(below(coin(COPY), 50_000));
                }
                Fault::Delay { on, chance, by, .. } if on.contains(from, to) && chance.comes_up(coin(DELAY)) => {
                    fate.latency += below(coin(BY), by.as_micros() as u64);
                    fate.delayed = true;
                }
                Fault::Far { on, by, .. } if on.contains(from, to) => fate.latency += by.as_micros() as u64,
                Fault::Corrupt { on, chance, .. } if on.contains(from, to) && chance.comes_up(coin(CORRUPT)) => {
                    fate.flip = Some(coin(BITS));
                }
                _ => {}
            }
        }
        for (_, rule) in &mut self.rules {
            match rule(datagram) {
                Verdict::Pass => {}
                Verdict::Lose => fate.lost = fate.lost.or(Some(Cause::Rule)),
                Verdict::Delay(by) => {
                    fate.latency += by.as_micros() as u64;
                    fate.delayed = true;
                }
                Verdict::Duplicate => fate.copy = Some(0),
                Verdict::Corrupt => fate.flip = Some(mix(key ^ BITS)),
            }
        }
        fate.copy = fate.copy.map(|later| later + under_way(COPY));
        fate
    }
}

fn cuts(on: &Links, both_ways: bool, from: Addr, to: Addr) -> bool {
    on.contains(from, to) || (both_ways && on.contains(to, from))
}

impl Weather {
    /// Goes through the spells until now. They are drawn from time 0, in a good one, and by their number, so they depend
    /// neither on what was sent nor on when the fault began: that may be in a bad one.
    fn pass(&mut self, now: Instant, key: u64, bad: Duration, good: Duration) {
        while self.until <= now.as_micros() {
            self.bad = !self.bad;
            self.spell += 1;
            let mean = if self.bad { bad } else { good };
            let spell = exponential(fold([key, SPELL, self.spell])) * mean.as_micros() as f64;
            // At least a millisecond, or a mean of nothing would never pass.
            self.until += (spell as u64).max(1_000);
        }
    }
}

/// Flips one to four bits, chosen by random ones.
pub(crate) fn damage(payload: &mut [u8], mut bits: u64) {
    if payload.is_empty() {
        return;
    }
    for _ in 0..=(bits & 3) {
        bits = mix(bits);
        let at = below(bits, payload.len() as u64 * 8) as usize;
        payload[at / 8] ^= 1 << (at % 8);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{Chance, Window};

    #[test]
    fn two_equal_faults_have_coins_of_their_own() {
        for keyed in [false, true] {
            let mut network = Network::new(1, Latency::default(), keyed);
            let during = Window::since(Duration::ZERO);
            let fault = Fault::Loss { on: Links::ALL, during, chance: Chance::percent(50) };
            let lost = |network: &mut Network| {
                let lost = |_: &u32| {
                    let datagram =
                        Datagram { at: Duration::ZERO, from: Addr(0), to: Addr(1), payload: b"", label: "datagram" };
                    network.judge(Instant::ORIGIN, &datagram).lost.is_some()
                };
                (0..10_000).filter(lost).count()
            };
            network.begin(1, &fault);
            network.begin(2, &fault);
            assert!((7_300..7_700).contains(&lost(&mut network)));
            // The first one goes, another comes: still two of them.
            network.end(1);
            network.begin(3, &fault);
            assert!((7_300..7_700).contains(&lost(&mut network)));
            network.end(2);
            assert!((4_800..5_200).contains(&lost(&mut network)));
        }
    }
}
