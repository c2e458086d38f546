//! A machine in somebody's own framing: encryption, compression, an envelope of another protocol.

use gossip_core::{Input, Instant};

use crate::address::Addr;
use crate::machine::{Boot, Expectations, Machine, Outgoing};
use crate::plan::Damage;
use crate::wrapper::Wrapper;

/// Framing around a machine's datagrams: put on on their way out, taken off on their way in. A process makes its own
/// when it starts, so it may keep state: counters, keys, a window against replays.
pub trait Framing: Default {
    /// By how many bytes a datagram grows at most. The framed one must fit into 65,536 bytes: a larger one is a panic.
    const OVERHEAD: usize;

    /// Appends to `frame` what is sent in place of `payload`.
    fn seal(&mut self, from: Addr, to: Addr, payload: &[u8], frame: &mut Vec<u8>);

    /// Appends to `payload` what was sealed.
    ///
    /// # Errors
    /// Why the frame is refused.
    fn open(&mut self, from: Addr, to: Addr, frame: &[u8], payload: &mut Vec<u8>) -> Result<(), String>;
}

/// A machine `M` whose datagrams travel in the frames of `F`. The invariants see the machine inside: what they look at
/// is what it holds; only its datagrams are the framed ones.
///
/// ```
/// use gossip_core::Node;
/// use gossip_testkit::{Addr, Framed, Framing, sweep};
///
/// /// The first byte says which protocol it is.
/// #[derive(Default)]
/// struct Tagged;
///
/// impl Framing for Tagged {
///     const OVERHEAD: usize = 1;
///
///     fn seal(&mut self, _from: Addr, _to: Addr, payload: &[u8], frame: &mut Vec<u8>) {
///         frame.push(b'g');
///         frame.extend_from_slice(payload);
///     }
///
///     fn open(&mut self, _from: Addr, _to: Addr, frame: &[u8], payload: &mut Vec<u8>) -> Result<(), String> {
///         payload.extend_from_slice(frame.strip_prefix(b"g").ok_or("of another protocol")?);
///         Ok(())
///     }
/// }
///
/// sweep::<Framed<Node<Addr>, Tagged>>(20)?;
/// # Ok::<(), gossip_testkit::Failure>(())
/// ```
#[derive(Debug)]
pub struct Framed<M, F> {
    inner: M,
    framing: F,
    addr: Addr,
    buffer: Vec<u8>,
}

impl<M, F> Framed<M, F> {
    /// The machine inside.
    pub const fn inner(&self) -> &M {
        &self.inner
    }
}

impl<M: Machine, F: Framing> Wrapper for Framed<M, F> {
    type Inner = M;
    type Config = M::Config;
    type Memory = M::Memory;

    fn inner(&self) -> &M {
        &self.inner
    }

    fn inner_mut(&mut self) -> &mut M {
        &mut self.inner
    }

    fn inner_config(config: &M::Config) -> &M::Config {
        config
    }

    fn boot(boot: &Boot<'_, M::Config>, memory: Option<M::Memory>) -> Self {
        Self { inner: M::boot(boot, memory), framing: F::default(), addr: boot.addr, buffer: Vec::new() }
    }

    fn into_memory(self) -> M::Memory {
        self.inner.into_memory()
    }

    fn expectations(config: &M::Config) -> Expectations {
        let mut expectations = M::expectations(config);
        expectations.max_datagram += F::OVERHEAD;
        if let Some(idle) = &mut expectations.idle {
            idle.bytes += idle.datagrams * F::OVERHEAD as f64;
        }
        expectations
    }

    fn remembers(boot: &Boot<'_, M::Config>, memory: &M::Memory) -> bool {
        M::remembers(boot, memory)
    }

    fn damaged(memory: M::Memory, damage: Damage) -> Option<M::Memory> {
        M::damaged(memory, damage)
    }

    fn set(config: &M::Config, name: &str, value: &str) -> Option<M::Config> {
        M::set(config, name, value)
    }

    fn shortened(config: &M::Config, max_datagram: usize) -> M::Config {
        M::shortened(config, max_datagram.saturating_sub(F::OVERHEAD))
    }

    fn handle(&mut self, now: Instant, input: Input<'_, Addr>) -> Result<(), String> {
        match input {
            Input::Datagram { from, payload } => {
                self.buffer.clear();
                self.framing.open(*from, self.addr, payload, &mut self.buffer)?;
                self.inner.handle(now, Input::Datagram { from, payload: &self.buffer })
            }
            other => self.inner.handle(now, other),
        }
    }

    fn poll_transmit(&mut self, buffer: &mut [u8]) -> Option<Outgoing> {
        let outgoing = self.inner.poll_transmit(buffer)?;
        self.buffer.clear();
        self.framing.seal(self.addr, outgoing.to, &buffer[..outgoing.len], &mut self.buffer);
        let (len, room) = (self.buffer.len(), buffer.len());
        assert!(
            len <= room,
            "a frame of {len} bytes around {} is larger than the {room} that can be sent",
            outgoing.len
        );
        buffer[..len].copy_from_slice(&self.buffer);
        Some(Outgoing { len, ..outgoing })
    }
}
