//! Surroundings of a machine with bugs that only show where addresses change, limits differ or memories are damaged.

use std::collections::{BTreeMap, BTreeSet};

use gossip_core::{Input, Instant};
use gossip_testkit::{Addr, Boot, Damage, Expectations, Machine, Outgoing, Wrapper};

use super::{Config, Mini};

/// A transport that takes in only what comes from the addresses in its configuration.
pub(crate) struct Listed(Mini, BTreeSet<Addr>);

/// Bytes of an address in front of a datagram: its number, and that once more with all bits flipped, against damage.
const ADDRESS: usize = 8;

/// A transport that says in each datagram at which address its sender receives, and believes the first that is not the one
/// from which a peer's datagrams come, for ever.
pub(crate) struct Advertised {
    inner: Mini,
    own: Addr,
    believed: BTreeMap<Addr, Addr>,
    buffer: Vec<u8>,
}

/// A transport whose buffer is as long as the longest datagram that it may send itself.
pub(crate) struct ShortBuffer(Mini, usize);

/// Configuration with the longest datagram.
#[derive(Debug, Clone)]
pub(crate) struct Longest {
    inner: Config,
    longest: usize,
}

impl Default for Longest {
    fn default() -> Self {
        Self { inner: Config::default(), longest: usize::MAX }
    }
}

/// A memory that is read without a look at whether it is whole.
pub(crate) struct Unchecked(Mini);

macro_rules! around {
    ($inner:tt, $config:ty, |$of:ident| $part:expr) => {
        type Inner = Mini;
        type Config = $config;
        type Memory = Mini;

        fn inner(&self) -> &Mini {
            &self.$inner
        }

        fn inner_mut(&mut self) -> &mut Mini {
            &mut self.$inner
        }

        fn inner_config($of: &$config) -> &Config {
            $part
        }

        fn into_memory(self) -> Mini {
            self.$inner
        }
    };
}

impl Wrapper for Listed {
    around!(0, Config, |config| config);

    fn boot(boot: &Boot<'_, Config>, memory: Option<Mini>) -> Self {
        Self(Machine::boot(boot, memory), boot.nodes.iter().copied().collect())
    }

    fn handle(&mut self, now: Instant, input: Input<'_, Addr>) -> Result<(), String> {
        match input {
            Input::Datagram { from, .. } if !self.1.contains(from) => Err("from nobody that it knows".to_owned()),
            input => Machine::handle(&mut self.0, now, input),
        }
    }
}

impl Wrapper for Advertised {
    around!(inner, Config, |config| config);

    fn boot(boot: &Boot<'_, Config>, memory: Option<Mini>) -> Self {
        let inner = Machine::boot(boot, memory);
        Self { inner, own: boot.addr, believed: BTreeMap::new(), buffer: Vec::new() }
    }

    fn expectations(config: &Config) -> Expectations {
        let mut expectations = Mini::expectations(config);
        expectations.max_datagram += ADDRESS;
        if let Some(idle) = &mut expectations.idle {
            idle.bytes += idle.datagrams * ADDRESS as f64;
        }
        expectations
    }

    fn handle(&mut self, now: Instant, input: Input<'_, Addr>) -> Result<(), String> {
        let Input::Datagram { from, payload } = input else { return Machine::handle(&mut self.inner, now, input) };
        let (address, payload) = payload.split_first_chunk::<ADDRESS>().ok_or("too short")?;
        let number = u64::from_le_bytes(*address);
        let says = Addr(number as u32);
        if number >> 32 != u64::from(!says.0) {
            return Err("damaged".to_owned());
        }
        if says != *from {
            self.believed.entry(*from).or_insert(says);
        }
        Machine::handle(&mut self.inner, now, Input::Datagram { from, payload })
    }

    fn poll_transmit(&mut self, buffer: &mut [u8]) -> Option<Outgoing> {
        self.buffer.resize(buffer.len() - ADDRESS, 0);
        let outgoing = self.inner.poll_transmit(&mut self.buffer)?;
        let (address, rest) = buffer.split_at_mut(ADDRESS);
        address.copy_from_slice(&(u64::from(!self.own.0) << 32 | u64::from(self.own.0)).to_le_bytes());
        rest[..outgoing.len].copy_from_slice(&self.buffer[..outgoing.len]);
        let to = self.believed.get(&outgoing.to).copied().unwrap_or(outgoing.to);
        Some(Outgoing { to, len: outgoing.len + ADDRESS, ..outgoing })
    }
}

impl Wrapper for ShortBuffer {
    around!(0, Longest, |config| &config.inner);

    fn boot(boot: &Boot<'_, Longest>, memory: Option<Mini>) -> Self {
        Self(Machine::boot(&boot.with_config(&boot.config.inner), memory), boot.config.longest)
    }

    fn shortened(config: &Longest, longest: usize) -> Longest {
        Longest { longest, ..config.clone() }
    }

    fn handle(&mut self, now: Instant, input: Input<'_, Addr>) -> Result<(), String> {
        match input {
            Input::Datagram { payload, .. } if payload.len() > self.1 => Err("longer than the buffer".to_owned()),
            input => Machine::handle(&mut self.0, now, input),
        }
    }
}

impl Wrapper for Unchecked {
    around!(0, Config, |config| config);

    fn boot(boot: &Boot<'_, Config>, memory: Option<Mini>) -> Self {
        Self(Machine::boot(boot, memory))
    }

    fn damaged(memory: Mini, damage: Damage) -> Option<Mini> {
        Some(memory.reread(damage))
    }
}
