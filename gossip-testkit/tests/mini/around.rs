//! Surroundings of a machine, each with a bug: a framing and a transport.

use std::collections::BTreeSet;

use gossip_testkit::{Addr, Boot, Framing, Machine, Outgoing, Wrapper};

use super::{Config, Mini};

/// A frame with the payload's length in one byte.
#[derive(Default)]
pub(crate) struct ShortLength;

impl Framing for ShortLength {
    const OVERHEAD: usize = 1;

    fn seal(&mut self, _from: Addr, _to: Addr, payload: &[u8], frame: &mut Vec<u8>) {
        frame.push(payload.len() as u8);
        frame.extend_from_slice(payload);
    }

    fn open(&mut self, _from: Addr, _to: Addr, frame: &[u8], payload: &mut Vec<u8>) -> Result<(), String> {
        let (&length, rest) = frame.split_first().ok_or("empty")?;
        payload.extend_from_slice(rest.get(..length.into()).ok_or("too short")?);
        Ok(())
    }
}

/// A frame that is always as long as the longest.
#[derive(Default)]
pub(crate) struct Padded;

impl Framing for Padded {
    const OVERHEAD: usize = 1_200;

    fn seal(&mut self, _from: Addr, _to: Addr, payload: &[u8], frame: &mut Vec<u8>) {
        frame.extend_from_slice(payload);
        frame.resize(payload.len() + Self::OVERHEAD, 0);
    }

    fn open(&mut self, _from: Addr, _to: Addr, frame: &[u8], payload: &mut Vec<u8>) -> Result<(), String> {
        let length = frame.len().checked_sub(Self::OVERHEAD).ok_or("too short")?;
        payload.extend_from_slice(&frame[..length]);
        Ok(())
    }
}

/// Over a transport that sends no datagram twice, since it takes the second for a copy of the first.
pub(crate) struct NoCopies(Mini, BTreeSet<(Addr, Vec<u8>)>);

impl Wrapper for NoCopies {
    type Inner = Mini;
    type Config = Config;
    type Memory = Mini;

    fn inner(&self) -> &Mini {
        &self.0
    }

    fn inner_mut(&mut self) -> &mut Mini {
        &mut self.0
    }

    fn inner_config(config: &Config) -> &Config {
        config
    }

    fn boot(boot: &Boot<'_, Config>, memory: Option<Mini>) -> Self {
        Self(Machine::boot(boot, memory), BTreeSet::new())
    }

    fn into_memory(self) -> Mini {
        self.0
    }

    fn poll_transmit(&mut self, buffer: &mut [u8]) -> Option<Outgoing> {
        loop {
            let outgoing = self.0.poll_transmit(buffer)?;
            if self.1.insert((outgoing.to, buffer[..outgoing.len].to_vec())) {
                return Some(outgoing);
            }
        }
    }
}
