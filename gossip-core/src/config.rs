//! Everything that can be chosen, one struct per mechanism. Knows no mechanism.
//!
//! Start from a preset and change what you must; [`Node::new`](crate::Node::new) refuses what cannot work, naming the
//! field, the value and the bound. A file may name a preset and overlay part of it:
//!
//! ```
//! # use std::time::Duration;
//! let config: gossip_core::Config = toml::from_str(r#"
//!     preset = "wan"
//!     label = "blue"
//!     [rumor]
//!     interval = "250ms"
//! "#)?;
//! assert_eq!(config.rumor.interval, Duration::from_millis(250));
//! assert_eq!(config.probe.period, Duration::from_secs(5)); // from the preset
//! # Ok::<(), toml::de::Error>(())
//! ```

mod check;
mod overlay;

use alloc::string::String;
use core::time::Duration;

use serde::{Deserialize, Serialize};

use overlay::{Overlay, settings};

pub(crate) const MIN_DATAGRAM: usize = 512;

/// Who asks and who tells when two nodes meet (Demers et al., section 1.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Exchange {
    /// The caller sends what it has.
    Push,
    /// The caller asks for what the other has.
    Pull,
    /// Both.
    PushPull,
}

impl Exchange {
    /// Whether the caller sends what it has.
    pub const fn pushes(self) -> bool {
        matches!(self, Self::Push | Self::PushPull)
    }

    /// Whether the caller asks for what the other has.
    pub const fn pulls(self) -> bool {
        matches!(self, Self::Pull | Self::PushPull)
    }
}

/// Whether the receiver of a rumor says if it knew it already.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Response {
    /// It does; only contacts that were useless count towards the loss of interest.
    Feedback,
    /// It does not; every contact counts.
    Blind,
}

/// How a node loses interest in a rumor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LossOfInterest {
    /// After `k` contacts in a row that count.
    Counter,
    /// With probability `1/k` at every contact that counts.
    Coin,
}

/// Where the member list comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Membership {
    /// From the failure detector: nodes find out by themselves who is there.
    Probed,
    /// From the application, by [`Node::set_peers`](crate::Node::set_peers): no failure detector runs.
    Given,
}

settings! {
    /// All settings of a node. Nodes of a cluster may differ in everything but [`label`](Self::label) and
    /// [`max_datagram`](Self::max_datagram).
    Config / ConfigOverlay {
        /// The cluster's name. Datagrams of another cluster are refused.
        label: String,
        /// The largest datagram sent or admitted, in bytes: at least 512 and the same in the whole cluster.
        max_datagram: usize,
        /// Where the member list comes from.
        membership: Membership,
        /// The failure detector.
        probe: Probe,
        /// How the dead and the seeds are tried again.
        healing: Healing,
        /// Direct mail.
        mail: Mail,
        /// Rumor mongering.
        rumor: Policy,
        /// Anti-entropy.
        anti_entropy: AntiEntropy,
        /// How long things are kept.
        lifetimes: Lifetimes,
        /// What a node holds at most.
        limits: Limits,
    }
}

settings! {
    /// The failure detector: SWIM with Lifeguard.
    Probe / ProbeOverlay {
        /// The protocol period: one member is probed in each.
        period: Duration,
        /// How long a ping waits for its ack before others are asked to try; less than `period`.
        timeout: Duration,
        /// How many others are asked (`k` in SWIM, section 4.1).
        indirect: u32,
        /// The shortest suspicion, in units of `max(1, log10 n)` periods (`α` in Lifeguard).
        alpha: u32,
        /// The longest suspicion, in units of the shortest (`β` in Lifeguard).
        beta: u32,
        /// How many independent confirmations bring a suspicion from the longest to the shortest (`K`, at most 8).
        confirmations: u32,
        /// The largest value of the local health multiplier; 0 switches it off.
        max_health: u32,
        /// Whether a suspect is told of the suspicion (Lifeguard's buddy system): with every ping, whenever it speaks, and
        /// by its accusers before the suspicion ends.
        buddy: bool,
        /// Whether a ping-req is answered with a nack when its target stays silent.
        nack: bool,
        /// Whether periods begin at random, so that nodes do not probe in step; if not, at multiples of the period, as
        /// in SWIM's analysis.
        random_phase: bool,
    }
}

settings! {
    /// How members that died and seeds that are not members are tried again, so that partitions heal.
    Healing / HealingOverlay {
        /// How often one dead member or seed may be contacted.
        interval: Duration,
    }
}

settings! {
    /// Direct mail (Demers et al., section 1.2): at once, best effort.
    Mail / MailOverlay {
        /// To how many random peers an update is mailed where it is born: 0 to 32.
        fanout: u32,
    }
}

settings! {
    /// Rumor mongering (Demers et al., section 1.4).
    Policy / PolicyOverlay {
        /// Who asks and who tells.
        exchange: Exchange,
        /// Whether contacts are answered.
        response: Response,
        /// How interest is lost.
        loss_of_interest: LossOfInterest,
        /// How many contacts in a row (counter), or with which inverse probability (coin); 1 to 255.
        k: u32,
        /// To how many random peers a rumor goes in a round; 1 to 32.
        fanout: u32,
        /// The time between rounds.
        interval: Duration,
        /// How long after it was learned an update goes on for the first time.
        relay_delay: Duration,
        /// A rumor is sent at most `lambda · ⌈ln(n + 1)⌉` times, whatever was answered (`λ` in SWIM, section 4.1).
        lambda: u32,
        /// Whether only the smaller of two counters moves when both sides knew (push-pull only).
        minimization: bool,
        /// Updates whose encoding is larger are offered by hash after their first round, in bytes. Where very many are
        /// hot, smaller ones are as well.
        offer_above: usize,
    }
}

settings! {
    /// Anti-entropy (Demers et al., section 1.3): repairs whatever was lost.
    AntiEntropy / AntiEntropyOverlay {
        /// Who asks and who tells.
        exchange: Exchange,
        /// How often this node starts an exchange with one random peer; for a short while after its start, and after a
        /// partition, sooner.
        interval: Duration,
    }
}

settings! {
    /// How long things are kept.
    Lifetimes / LifetimesOverlay {
        /// How long a broadcast is carried.
        broadcast: Duration,
        /// How long a death certificate is kept (`τ` in Demers et al., section 2.1). A node that was away for longer may
        /// bring back what was deleted meanwhile: choose it longer than that.
        certificate: Duration,
        /// After how long a death certificate shrinks to a hash (`τ1`).
        shrink: Duration,
        /// How long a dead or departed member is remembered.
        reap_after: Duration,
        /// How far apart clocks may be that count as right. What is further off is told, and does not count.
        max_ahead: Duration,
    }
}

settings! {
    /// What a node holds at most. What does not fit is refused and counted.
    Limits / LimitsOverlay {
        /// Member records.
        members: usize,
        /// Entries, death certificates and broadcasts.
        entries: usize,
        /// Bytes of their values and payloads.
        bytes: usize,
        /// What one member may have of `entries` and of `bytes`, in percent: one that writes without end leaves room for
        /// the others.
        share: u32,
        /// Owned entries kept for members that are not known yet.
        parked: usize,
        /// Updates, ranges and the like that are looked at in one datagram: at least a sixteenth of `max_datagram`, which
        /// no honest one exceeds.
        work: usize,
        /// Hot rumors.
        hot: usize,
        /// Messages that wait to be sent, per class.
        outbox: usize,
        /// Broadcasts that wait for the application.
        undelivered: usize,
        /// The largest value of an entry, in bytes; at most 64 MiB, and best the same in the whole cluster: one that
        /// is larger is refused here even if others hold it. What does not fit a datagram is fetched in parts.
        max_value: usize,
        /// Values being fetched in parts, those that wait for their turn included.
        transfers: usize,
        /// Bytes of half-fetched values, at least `max_value`.
        transfer_bytes: usize,
    }
}

impl Config {
    /// For a local network: round trips of a millisecond, up to thousands of nodes.
    pub fn lan() -> Self {
        let (second, hour) = (Duration::from_secs(1), Duration::from_secs(3_600));
        Self {
            label: String::new(),
            max_datagram: 1_200,
            membership: Membership::Probed,
            probe: Probe {
                period: second,
                timeout: Duration::from_millis(500),
                indirect: 3,
                alpha: 2,
                beta: 6,
                confirmations: 3,
                max_health: 8,
                buddy: true,
                nack: true,
                random_phase: true,
            },
            healing: Healing { interval: 5 * second },
            mail: Mail { fanout: 8 },
            rumor: Policy {
                exchange: Exchange::Push,
                response: Response::Feedback,
                loss_of_interest: LossOfInterest::Counter,
                k: 8,
                fanout: 3,
                interval: Duration::from_millis(100),
                relay_delay: Duration::from_millis(5),
                lambda: 4,
                minimization: false,
                offer_above: 32,
            },
            anti_entropy: AntiEntropy { exchange: Exchange::PushPull, interval: 5 * second },
            lifetimes: Lifetimes {
                broadcast: 60 * second,
                certificate: 7 * 24 * hour,
                shrink: hour,
                reap_after: 24 * hour,
                max_ahead: 10 * second,
            },
            limits: Limits {
                members: 100_000,
                entries: 4_000_000,
                bytes: 1 << 30,
                share: 50,
                parked: 65_536,
                work: 4_096,
                hot: 4_096,
                outbox: 4_096,
                undelivered: 1_024,
                max_value: 1 << 20,
                transfers: 1_024,
                transfer_bytes: 16 << 20,
            },
        }
    }

    /// For one machine: every interval and time-out a fifth of [`lan`](Self::lan)'s.
    pub fn local() -> Self {
        let mut config = Self::lan();
        config.probe.period = Duration::from_millis(200);
        config.probe.timeout = Duration::from_millis(100);
        config.healing.interval = Duration::from_secs(1);
        config.rumor.interval = Duration::from_millis(20);
        config.rumor.relay_delay = Duration::from_millis(1);
        config.anti_entropy.interval = Duration::from_secs(1);
        config
    }

    /// For the internet: round trips of hundreds of milliseconds.
    pub fn wan() -> Self {
        let mut config = Self::lan();
        config.probe.period = Duration::from_secs(5);
        config.probe.timeout = Duration::from_secs(3);
        config.healing.interval = Duration::from_secs(20);
        config.rumor.interval = Duration::from_millis(500);
        config.rumor.relay_delay = Duration::from_millis(50);
        config.anti_entropy.interval = Duration::from_secs(20);
        config
    }

    /// This configuration with a part of it replaced by what `document` says, in any self-describing serde
    /// format: the same field names, durations as `"200ms"`.
    ///
    /// # Errors
    /// An unknown field, by its name; a value of the wrong type.
    pub fn overlay<'de, D: serde::Deserializer<'de>>(mut self, document: D) -> Result<Self, D::Error> {
        Overlay::apply(&mut self, ConfigOverlay::deserialize(document)?);
        Ok(self)
    }
}

/// [`Config::lan`].
impl Default for Config {
    fn default() -> Self {
        Self::lan()
    }
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "kebab-case")]
enum Preset {
    Local,
    #[default]
    Lan,
    Wan,
}

/// A `preset` (`"lan"` if none is named) and what is to be different.
impl<'de> Deserialize<'de> for Config {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut document = ConfigOverlay::deserialize(deserializer)?;
        let mut config = match document.preset.take().unwrap_or_default() {
            Preset::Local => Self::local(),
            Preset::Lan => Self::lan(),
            Preset::Wan => Self::wan(),
        };
        Overlay::apply(&mut config, document);
        Ok(config)
    }
}

#[cfg(test)]
mod tests;
