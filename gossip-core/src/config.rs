//! Settings of a node, one struct per mechanism. Knows no mechanism.
//!
//! Start from a preset and change what you need. [`Node::new`](crate::Node::new) refuses a value that cannot work; the
//! error names the field, the value and the bound. A file may name a preset and replace part of it:
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
mod file;
mod overlay;

use alloc::string::String;
use core::time::Duration;

use serde::{Deserialize, Serialize};

use overlay::{Overlay, Removed, settings};

pub use file::ConfigFile;
pub use overlay::RemovedSetting;

pub(crate) const MIN_DATAGRAM: usize = 512;
/// Longest time for which a death certificate is kept. Every entry that ends carries its writer's, so that all nodes keep it for
/// as long.
pub(crate) const LONGEST_CERTIFICATE: Duration = Duration::from_secs(90 * 86_400);

/// Direction of an exchange between two nodes (Demers et al., section 1.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Exchange {
    /// The caller sends what it has.
    Push,
    /// The caller asks for what its peer has.
    Pull,
    /// Both.
    PushPull,
}

impl Exchange {
    /// Returns true if the caller sends what it has.
    pub const fn pushes(self) -> bool {
        matches!(self, Self::Push | Self::PushPull)
    }

    /// Returns true if the caller asks for what its peer has.
    pub const fn pulls(self) -> bool {
        matches!(self, Self::Pull | Self::PushPull)
    }
}

/// Answers to a rumor: with or without a report that it was known already.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Response {
    /// The receiver reports it. Only contacts with a receiver that knew the rumor count towards the loss of interest.
    Feedback,
    /// The receiver does not report it. Every contact counts.
    Blind,
}

/// Rule by which a node loses interest in a rumor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LossOfInterest {
    /// After `k` contacts in a row that count.
    Counter,
    /// With probability `1/k` at every contact that counts.
    Coin,
}

/// Way in which news reaches everybody.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Relay {
    /// Along links with a few neighbours, most of which carry offers only: everybody receives a body once. What links
    /// cannot bring goes to random peers.
    Tree,
    /// To random peers: direct mail and rumor mongering as in Demers et al., sections 1.2 and 1.4.
    Random,
}

/// Source of the member list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Membership {
    /// The failure detector: nodes discover each other.
    Probed,
    /// The application, through [`Node::set_peers`](crate::Node::set_peers). No failure detector runs.
    Given,
}

settings! {
    /// All settings of a node. Nodes of a cluster may differ in every setting except [`label`](Self::label) and
    /// [`max_datagram`](Self::max_datagram).
    Config / ConfigOverlay {
        /// The cluster's name. Datagrams of another cluster are refused.
        label: String,
        /// The largest datagram sent or admitted, in bytes: at least 512 and the same in the whole cluster.
        max_datagram: usize,
        /// Source of the member list.
        membership: Membership,
        /// The failure detector.
        probe: Probe,
        /// Retries of dead members and of seeds.
        healing: Healing,
        /// Direct mail.
        mail: Mail,
        /// Rumor mongering.
        rumor: Policy,
        /// Links with neighbours.
        overlay: Links,
        /// Anti-entropy.
        anti_entropy: AntiEntropy,
        /// Times for which things are kept.
        lifetimes: Lifetimes,
        /// Upper bounds on what a node holds.
        limits: Limits,
    }
}

settings! {
    /// The failure detector: SWIM with Lifeguard.
    Probe / ProbeOverlay {
        /// Protocol period: one member is probed in each.
        period: Duration,
        /// Time that a ping waits for its ack before other members are asked to ping; less than `period`.
        timeout: Duration,
        /// Number of times that a ping is repeated within its period while nobody answers, at most 31: a lost datagram makes no
        /// suspicion then. The pauses follow measured round trips. 0: never, as in SWIM's paper.
        repeat: u32,
        /// Number of members asked to ping (`k` in SWIM, section 4.1).
        indirect: u32,
        /// Shortest suspicion, in units of `max(1, log10 n)` periods (`α` in Lifeguard).
        alpha: u32,
        /// Longest suspicion, in units of the shortest (`β` in Lifeguard).
        beta: u32,
        /// Number of independent confirmations that shorten a suspicion from the longest to the shortest (`K`, at most
        /// 8).
        confirmations: u32,
        /// Largest value of the local health multiplier; 0 switches it off, and with it that a node which has slept for more
        /// than a period ends no suspicion before it has read what waits.
        max_health: u32,
        /// Tells a suspect about the suspicion (Lifeguard's buddy system): with every ping, whenever it sends
        /// something, and from its accusers before the suspicion ends.
        buddy: bool,
        /// Answers a ping-req with a nack if its target stays silent.
        nack: bool,
        /// Begins periods at a random time, so that nodes do not probe in step. If false, they begin at multiples of
        /// the period, as in SWIM's analysis.
        random_phase: bool,
    }
}

settings! {
    /// Retries of members that died and of seeds that are not members, so that partitions heal.
    Healing / HealingOverlay {
        /// Time between two contacts of one dead member or seed.
        interval: Duration,
    }
}

settings! {
    /// Direct mail (Demers et al., section 1.2): sent at once, best effort.
    Mail / MailOverlay {
        /// Number of random peers to which the author of an update mails it: 0 to 32.
        fanout: u32,
    }
}

settings! {
    /// Rumor mongering (Demers et al., section 1.4).
    Policy / PolicyOverlay {
        /// Way in which news reaches everybody. With [`Relay::Tree`] everything else here applies to what links cannot bring.
        relay: Relay,
        /// Direction in which rumors travel.
        exchange: Exchange,
        /// Answers to a rumor.
        response: Response,
        /// Rule by which interest is lost.
        loss_of_interest: LossOfInterest,
        /// Parameter of that rule, 1 to 255: contacts in a row (counter), or inverse probability (coin).
        k: u32,
        /// Number of random peers to which a rumor is sent in a round: 1 to 32.
        fanout: u32,
        /// Time between rounds.
        interval: Duration,
        /// Time between learning an update and relaying it for the first time.
        relay_delay: Duration,
        /// Bound on sends: a rumor is sent at most `lambda · ⌈ln(n + 1)⌉` times, whatever was answered (`λ` in SWIM,
        /// section 4.1).
        lambda: u32,
        /// Moves only the smaller of two counters if both sides knew the rumor (push-pull only).
        minimization: bool,
        /// Size in bytes above which updates are offered by hash after their first round. Smaller ones are offered as
        /// well when very many are hot.
        offer_above: usize,
    } removed {
        #[cfg(feature = "next")]
        heat: "rumor.heat" => "write rumor.k",
    }
}

settings! {
    /// Links with neighbours, along which news travels where [`Policy::relay`] is [`Relay::Tree`].
    Links / LinksOverlay {
        /// Number of links that a node keeps: 2 to 7.
        degree: u32,
        /// Number of them that go to near members, as round trips show: less than `degree`. 0: distance does not matter.
        near: u32,
    }
}

settings! {
    /// Anti-entropy (Demers et al., section 1.3): repairs every loss.
    AntiEntropy / AntiEntropyOverlay {
        /// Direction of an exchange.
        exchange: Exchange,
        /// Time between exchanges that this node starts, each with one random peer. They follow sooner for a short
        /// while after a start and after a partition.
        interval: Duration,
    }
}

settings! {
    /// Times for which things are kept.
    Lifetimes / LifetimesOverlay {
        /// Time for which a broadcast is carried.
        broadcast: Duration,
        /// Time for which a death certificate is kept (`τ` in Demers et al., section 2.1), at most 90 days; that of its writer
        /// counts. A node that was away for longer may bring back what was deleted meanwhile. Choose more than the longest
        /// absence.
        certificate: Duration,
        /// Age at which a death certificate shrinks to a hash (`τ1`).
        shrink: Duration,
        /// Longest time for which a dead or departed member is remembered. One that lived for less is remembered for about as
        /// long as it lived, and at least for a 32nd of this.
        reap_after: Duration,
        /// Bound on how far apart clocks may be that count as right. A clock further off is reported, and does not count.
        max_ahead: Duration,
    }
}

settings! {
    /// Upper bounds on what a node holds. What does not fit is refused and counted.
    Limits / LimitsOverlay {
        /// Member records.
        members: usize,
        /// Entries and broadcasts.
        entries: usize,
        /// Death certificates: over this, those go that would be kept the shortest. A node that was away for longer than those may
        /// bring back what they deleted.
        certificates: usize,
        /// Bytes of their values and payloads.
        bytes: usize,
        /// Share of `entries` and of `bytes` that one member may take, in percent: a member that writes without end
        /// leaves room for the others.
        share: u32,
        /// Owned entries kept for members that are not known yet. They count for `entries` and `bytes`, and give way to all
        /// others.
        parked: usize,
        /// Updates, ranges and other items processed in one datagram. At least a sixteenth of `max_datagram`, which no
        /// honest datagram exceeds.
        work: usize,
        /// Hot rumors.
        hot: usize,
        /// Messages waiting to be sent, per class.
        outbox: usize,
        /// Broadcasts waiting for the application.
        undelivered: usize,
        /// Largest value of an entry, in bytes; at most 64 MiB. Best the same in the whole cluster: a larger value is
        /// refused here even if others hold it. A value that does not fit a datagram is fetched in parts.
        max_value: usize,
        /// Values being fetched in parts, including those that wait for their turn.
        transfers: usize,
        /// Bytes of partly fetched values; at least `max_value`.
        transfer_bytes: usize,
    }
}

impl Config {
    /// Preset for a local network: round trips of a millisecond, up to thousands of nodes.
    pub fn lan() -> Self {
        let (second, hour) = (Duration::from_secs(1), Duration::from_secs(3_600));
        Self {
            label: String::new(),
            max_datagram: 1_200,
            membership: Membership::Probed,
            probe: Probe {
                period: second,
                timeout: Duration::from_millis(500),
                repeat: 16,
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
                relay: Relay::Tree,
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
            overlay: Links { degree: 5, near: 0 },
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
                certificates: 1_000_000,
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

    /// Preset for one machine: every interval and timeout is a fifth of [`lan`](Self::lan)'s.
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

    /// Preset for the internet: round trips of hundreds of milliseconds.
    pub fn wan() -> Self {
        let mut config = Self::lan();
        config.probe.period = Duration::from_secs(5);
        config.probe.timeout = Duration::from_secs(3);
        config.healing.interval = Duration::from_secs(20);
        config.rumor.interval = Duration::from_millis(500);
        config.rumor.relay_delay = Duration::from_millis(50);
        config.overlay.near = 4;
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

    /// The preset that a document names, with the rest of the document laid over it.
    fn of(mut document: ConfigOverlay) -> Self {
        let mut config = match document.preset.take().unwrap_or_default() {
            Preset::Local => Self::local(),
            Preset::Lan => Self::lan(),
            Preset::Wan => Self::wan(),
        };
        Overlay::apply(&mut config, document);
        config
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

/// Reads a `preset` (`"lan"` if none is named) and the settings that differ from it.
impl<'de> Deserialize<'de> for Config {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        ConfigOverlay::deserialize(deserializer).map(Self::of)
    }
}

#[cfg(test)]
mod tests;
