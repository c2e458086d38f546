//! Bounds of every setting. An error names the field, the value and the bound.

use alloc::format;
use alloc::string::String;
use core::fmt::Display;
use core::ops::RangeInclusive;
use core::time::Duration;

use super::{Config, LONGEST_CERTIFICATE, MIN_DATAGRAM};
use crate::error::ConfigError;

fn within<T: PartialOrd + Display>(
    field: &'static str,
    value: T,
    bounds: RangeInclusive<T>,
) -> Result<(), ConfigError> {
    if bounds.contains(&value) {
        return Ok(());
    }
    Err(refuse(field, format!("{value}"), format!("from {} to {}", bounds.start(), bounds.end())))
}

fn span(field: &'static str, value: Duration, bounds: RangeInclusive<Duration>) -> Result<(), ConfigError> {
    if bounds.contains(&value) {
        return Ok(());
    }
    Err(refuse(field, format!("{value:?}"), format!("from {:?} to {:?}", bounds.start(), bounds.end())))
}

fn refuse(field: &'static str, value: String, bound: String) -> ConfigError {
    ConfigError::OutOfBounds { field, value, bound }
}

impl Config {
    /// Checks that a node can run with this configuration.
    ///
    /// # Errors
    /// The first field whose value cannot work, with its bound.
    pub fn check(&self) -> Result<(), ConfigError> {
        const MS: Duration = Duration::from_millis(1);
        const HOUR: Duration = Duration::from_secs(3_600);
        const YEAR: Duration = Duration::from_secs(365 * 24 * 3_600);
        let Self { probe, mail, rumor, lifetimes, limits, .. } = self;

        within("label (bytes)", self.label.len(), 0..=255)?;
        within("max_datagram", self.max_datagram, MIN_DATAGRAM..=65_507)?;
        span("probe.period", probe.period, 2 * MS..=HOUR)?;
        span("probe.timeout", probe.timeout, MS..=probe.period - MS)?;
        within("probe.repeat", probe.repeat, 0..=31)?;
        within("probe.indirect", probe.indirect, 0..=16)?;
        within("probe.alpha", probe.alpha, 1..=100)?;
        within("probe.beta", probe.beta, 1..=100)?;
        within("probe.confirmations", probe.confirmations, 0..=8)?;
        within("probe.max_health", probe.max_health, 0..=64)?;
        span("healing.interval", self.healing.interval, MS..=HOUR)?;
        within("mail.fanout", mail.fanout, 0..=32)?;
        within("rumor.k", rumor.k, 1..=255)?;
        within("rumor.fanout", rumor.fanout, 1..=32)?;
        span("rumor.interval", rumor.interval, MS..=HOUR)?;
        span("rumor.relay_delay", rumor.relay_delay, Duration::ZERO..=rumor.interval)?;
        within("rumor.lambda", rumor.lambda, 1..=100)?;
        within("overlay.degree", self.overlay.degree, 2..=7)?;
        within("overlay.near", self.overlay.near, 0..=self.overlay.degree - 1)?;
        span("anti_entropy.interval", self.anti_entropy.interval, MS..=HOUR)?;
        span("lifetimes.max_ahead", lifetimes.max_ahead, MS..=HOUR)?;
        // Clocks may differ by this much: an update kept for less would have expired when it arrives.
        span("lifetimes.broadcast", lifetimes.broadcast, 2 * lifetimes.max_ahead..=YEAR)?;
        span("lifetimes.certificate", lifetimes.certificate, 2 * lifetimes.max_ahead..=LONGEST_CERTIFICATE)?;
        span("lifetimes.shrink", lifetimes.shrink, Duration::ZERO..=lifetimes.certificate)?;
        span("lifetimes.reap_after", lifetimes.reap_after, 2 * lifetimes.max_ahead..=100 * YEAR)?;
        within("limits.members", limits.members, 1..=1 << 30)?;
        within("limits.entries", limits.entries, 0..=1 << 30)?;
        within("limits.certificates", limits.certificates, 0..=1 << 30)?;
        within("limits.bytes", limits.bytes as u64, 0..=1 << 40)?;
        within("limits.share", limits.share, 1..=100)?;
        within("limits.work", limits.work, self.max_datagram.div_ceil(16)..=1 << 20)?;
        within("limits.parked", limits.parked, 0..=1 << 30)?;
        within("limits.hot", limits.hot, 1..=1 << 20)?;
        within("limits.outbox", limits.outbox, 16..=1 << 20)?;
        within("limits.undelivered", limits.undelivered, 1..=1 << 20)?;
        within("limits.max_value", limits.max_value, 1..=1 << 26)?;
        within("limits.transfers", limits.transfers, 1..=1 << 20)?;
        within("limits.transfer_bytes", limits.transfer_bytes as u64, limits.max_value as u64..=1 << 34)
    }
}
