//! Settings of a node as text: their names, values with which a cluster still works, and how they are set.

use std::str::FromStr;
use std::time::Duration;

use gossip_core::Config;
use serde::Deserialize;
use serde::de::value::{Error, StrDeserializer};

use crate::scenario::{Dice, seconds};

/// A value that can be read from a word.
trait Word: Sized {
    fn read(word: &str) -> Option<Self>;
}

impl Word for Duration {
    fn read(word: &str) -> Option<Self> {
        seconds(word)
    }
}

macro_rules! words {
    (parsed: $($parsed:ty),*; named: $($named:ident),*) => {
        $(impl Word for $parsed {
            fn read(word: &str) -> Option<Self> {
                Self::from_str(word).ok()
            }
        })*
        $(impl Word for gossip_core::$named {
            fn read(word: &str) -> Option<Self> {
                Self::deserialize(StrDeserializer::<Error>::new(word)).ok()
            }
        })*
    };
}

words!(parsed: bool, u32, usize; named: Relay, Exchange, Response, LossOfInterest);

macro_rules! settings {
    ($($section:ident . $field:ident: $($value:literal)+,)*) => {
        /// Every setting that is drawn, with the values that are: on both sides of the preset's, and as far from it as a scenario of
        /// a dozen nodes and commands within half a minute converges in time. Limits stay above what such a scenario fills.
        pub(crate) const SETTINGS: &[(&str, &[&str])] = &[
            $((concat!(stringify!($section), ".", stringify!($field)), &[$($value),+]),)*
        ];

        fn assign(config: &mut Config, name: &str, value: &str) -> Option<()> {
            $(if name == concat!(stringify!($section), ".", stringify!($field)) {
                config.$section.$field = Word::read(value)?;
                return Some(());
            })*
            None
        }
    };
}

settings! {
    probe.period: "0.6s" "2s" "5s",
    probe.timeout: "0.05s" "0.2s" "0.9s",
    probe.repeat: "0" "1" "31",
    probe.indirect: "0" "1" "16",
    probe.alpha: "1" "3",
    probe.beta: "1" "2" "8",
    probe.confirmations: "0" "1" "8",
    probe.max_health: "0" "2" "12",
    probe.buddy: "false",
    probe.nack: "false",
    probe.random_phase: "false",
    healing.interval: "1s" "10s" "20s",
    mail.fanout: "0" "1" "32",
    rumor.relay: "random",
    rumor.exchange: "pull" "push-pull",
    rumor.response: "blind",
    rumor.loss_of_interest: "coin",
    rumor.k: "1" "2" "255",
    rumor.fanout: "1" "8" "32",
    rumor.interval: "0.02s" "0.5s" "2s",
    rumor.relay_delay: "0s" "0.1s",
    rumor.lambda: "1" "2" "20",
    rumor.minimization: "true",
    rumor.offer_above: "0" "1000",
    overlay.degree: "2" "3" "7",
    overlay.near: "1" "4",
    anti_entropy.exchange: "push" "pull",
    anti_entropy.interval: "1s" "10s" "20s",
    lifetimes.broadcast: "20s" "300s",
    lifetimes.certificate: "600s" "7776000s",
    lifetimes.shrink: "0s" "20s",
    lifetimes.reap_after: "3600s" "2592000s",
    lifetimes.max_ahead: "20s" "30s",
    limits.members: "64",
    limits.entries: "64",
    limits.certificates: "64",
    limits.bytes: "1000000",
    limits.share: "30" "100",
    limits.parked: "0" "64",
    limits.work: "75" "200",
    limits.hot: "1" "16",
    limits.outbox: "16" "64",
    limits.undelivered: "1" "16",
    limits.max_value: "65536",
    limits.transfers: "1" "4",
    limits.transfer_bytes: "1048576",
}

/// Name of the setting that replaces all others by those of a preset.
const PRESET: &str = "preset";

/// A setting and a value for it, as often a preset as any one setting of a policy.
pub(crate) fn draw(dice: &mut Dice) -> Option<(String, String)> {
    let presets: &[&str] = &["local", "wan"];
    let at = dice.within(0..=SETTINGS.len() as u64) as usize;
    let (name, values) = SETTINGS.get(at).copied().unwrap_or((PRESET, presets));
    dice.pick(values).map(|value| (name.to_owned(), (*value).to_owned()))
}

/// The same configuration with another value for a setting; none if there is no such setting, or if it does not work with the others.
pub(crate) fn set(config: &Config, name: &str, value: &str) -> Option<Config> {
    let mut config = config.clone();
    if name == PRESET {
        let preset = match value {
            "local" => Config::local(),
            "lan" => Config::lan(),
            "wan" => Config::wan(),
            _ => return None,
        };
        // What a preset does not decide stays: bounds, as what all nodes share.
        let Config { label, max_datagram, membership, limits, .. } = config;
        config = Config { label, max_datagram, membership, limits, ..preset };
    } else {
        assign(&mut config, name, value)?;
    }
    config.check().is_ok().then_some(config)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_value_is_read_and_changes_something() {
        let lan = Config::lan();
        // These work only with a longer period, more links, shorter rumor rounds or longer broadcasts than the preset's.
        for (name, values) in SETTINGS {
            for value in *values {
                let mut config = lan.clone();
                assert_eq!(assign(&mut config, name, value), Some(()), "{name} {value}");
                assert_ne!(config, lan, "{name} {value}");
            }
        }
        for (name, value) in [("probe.period", "slow"), ("probe.perio", "1s"), ("rumor.relay", "trees")] {
            assert_eq!(set(&lan, name, value), None, "{name} {value}");
        }
        assert_eq!(set(&lan, "probe.timeout", "1s"), None, "as long as the period");
        assert_eq!(set(&lan, PRESET, "wan").map(|config| config.probe), Some(Config::wan().probe));
    }

    #[test]
    fn every_setting_of_every_policy_is_drawn() {
        fn leaves(prefix: &str, value: &serde_json::Value, found: &mut BTreeSet<String>) {
            match value {
                serde_json::Value::Object(fields) => fields.iter().for_each(|(name, value)| {
                    let dot = if prefix.is_empty() { "" } else { "." };
                    leaves(&format!("{prefix}{dot}{name}"), value, found);
                }),
                _ => _ = found.insert(prefix.to_owned()),
            }
        }
        let mut all = BTreeSet::new();
        leaves("", &serde_json::to_value(Config::lan()).unwrap(), &mut all);
        // The first two are the same in a whole cluster; shorter datagrams are a fault of their own, and given peers a sweep of their
        // own.
        for other in ["label", "max_datagram", "membership"] {
            assert!(all.remove(other), "{other}");
        }
        let mut dice = Dice::new(1);
        let drawn: BTreeSet<_> = (0..5_000).filter_map(|_| draw(&mut dice)).collect();
        let names: BTreeSet<String> =
            drawn.iter().map(|(name, _)| name.clone()).filter(|name| name != PRESET).collect();
        assert_eq!(names, all);
        let values: usize = SETTINGS.iter().map(|(_, values)| values.len()).sum();
        assert_eq!(drawn.len(), values + 2, "each of its values, and two presets");
    }
}
