//! A machine around another one: a framing, an observer, another configuration.

use std::fmt;

use gossip_core::{Input, Instant, Status};

use crate::address::Addr;
use crate::machine::{Boot, Expectations, Machine, Note, Outgoing, View};
use crate::plan::Damage;

/// A machine that contains another one and changes some of its calls. Whoever implements it has a [`Machine`]: every call
/// that is not overridden here goes to the machine inside.
///
/// ```
/// use gossip_core::{Config, Input, Instant, Node};
/// use gossip_testkit::{Addr, Boot, Machine, Wrapper, sweep};
///
/// /// A node whose socket refuses what is larger than its buffer.
/// struct Buffered(Node<Addr>);
///
/// impl Wrapper for Buffered {
///     type Inner = Node<Addr>;
///     type Config = Config;
///     type Memory = <Node<Addr> as Machine>::Memory;
///
///     fn inner(&self) -> &Node<Addr> {
///         &self.0
///     }
///
///     fn inner_mut(&mut self) -> &mut Node<Addr> {
///         &mut self.0
///     }
///
///     fn inner_config(config: &Config) -> &Config {
///         config
///     }
///
///     fn boot(boot: &Boot<'_, Config>, memory: Option<Self::Memory>) -> Self {
///         Self(Machine::boot(boot, memory))
///     }
///
///     fn into_memory(self) -> Self::Memory {
///         self.0.into_memory()
///     }
///
///     fn handle(&mut self, now: Instant, input: Input<'_, Addr>) -> Result<(), String> {
///         match input {
///             Input::Datagram { payload, .. } if payload.len() > 1_200 => Err("larger than the buffer".to_owned()),
///             input => Machine::handle(&mut self.0, now, input),
///         }
///     }
/// }
///
/// sweep::<Buffered>(5)?;
/// # Ok::<(), gossip_testkit::Failure>(())
/// ```
pub trait Wrapper: Sized {
    /// The machine inside.
    type Inner: Machine;
    /// The configuration that all nodes of a cluster have in common.
    type Config: Clone + fmt::Debug;
    /// The state that survives a crash.
    type Memory;

    /// Returns the machine inside.
    fn inner(&self) -> &Self::Inner;

    /// Returns the machine inside, to be called.
    fn inner_mut(&mut self) -> &mut Self::Inner;

    /// Returns the part of the configuration that the machine inside is started with.
    fn inner_config(config: &Self::Config) -> &<Self::Inner as Machine>::Config;

    /// Starts a process. See [`Machine::boot`]; [`Boot::with_config`] makes the inner machine's `boot`.
    fn boot(boot: &Boot<'_, Self::Config>, memory: Option<Self::Memory>) -> Self;

    /// Reduces a crashed process to its memory. See [`Machine::into_memory`].
    fn into_memory(self) -> Self::Memory;

    /// Returns what may be expected: the inner machine's expectations unless overridden.
    fn expectations(config: &Self::Config) -> Expectations {
        Self::Inner::expectations(Self::inner_config(config))
    }

    /// Returns true if a process that starts like this makes use of `memory`; always true unless overridden.
    fn remembers(_boot: &Boot<'_, Self::Config>, _memory: &Self::Memory) -> bool {
        true
    }

    /// Returns what is left of a damaged memory. See [`Machine::damaged`]; none unless overridden.
    fn damaged(_memory: Self::Memory, _damage: Damage) -> Option<Self::Memory> {
        None
    }

    /// Returns the configuration for shorter datagrams. See [`Machine::shortened`]; the same unless overridden.
    fn shortened(config: &Self::Config, _max_datagram: usize) -> Self::Config {
        config.clone()
    }

    /// Returns the configuration in which a setting has another value. See [`Machine::set`]; none unless overridden.
    fn set(_config: &Self::Config, _name: &str, _value: &str) -> Option<Self::Config> {
        None
    }

    /// Carries out a user's command.
    ///
    /// # Errors
    /// The reason for refusing it.
    fn command(&mut self, now: Instant, command: &<Self::Inner as Machine>::Command) -> Result<(), String> {
        self.inner_mut().command(now, command)
    }

    /// Takes in the time or a datagram.
    ///
    /// # Errors
    /// The reason for refusing the datagram.
    fn handle(&mut self, now: Instant, input: Input<'_, Addr>) -> Result<(), String> {
        self.inner_mut().handle(now, input)
    }

    /// Writes the next datagram to the beginning of `buffer`.
    fn poll_transmit(&mut self, buffer: &mut [u8]) -> Option<Outgoing> {
        self.inner_mut().poll_transmit(buffer)
    }
}

impl<W: Wrapper> Machine for W {
    type Config = <W as Wrapper>::Config;
    type Command = <W::Inner as Machine>::Command;
    type Event = <W::Inner as Machine>::Event;
    type Memory = <W as Wrapper>::Memory;

    fn expectations(config: &Self::Config) -> Expectations {
        <W as Wrapper>::expectations(config)
    }

    fn boot(boot: &Boot<'_, Self::Config>, memory: Option<Self::Memory>) -> Self {
        <W as Wrapper>::boot(boot, memory)
    }

    fn remembers(boot: &Boot<'_, Self::Config>, memory: &Self::Memory) -> bool {
        <W as Wrapper>::remembers(boot, memory)
    }

    fn damaged(memory: Self::Memory, damage: Damage) -> Option<Self::Memory> {
        <W as Wrapper>::damaged(memory, damage)
    }

    fn shortened(config: &Self::Config, max_datagram: usize) -> Self::Config {
        <W as Wrapper>::shortened(config, max_datagram)
    }

    fn set(config: &Self::Config, name: &str, value: &str) -> Option<Self::Config> {
        <W as Wrapper>::set(config, name, value)
    }

    fn into_memory(self) -> Self::Memory {
        Wrapper::into_memory(self)
    }

    fn set_wall_clock(&mut self, now: Instant, wall: Instant) {
        self.inner_mut().set_wall_clock(now, wall);
    }

    fn command(&mut self, now: Instant, command: &Self::Command) -> Result<(), String> {
        Wrapper::command(self, now, command)
    }

    fn handle(&mut self, now: Instant, input: Input<'_, Addr>) -> Result<(), String> {
        Wrapper::handle(self, now, input)
    }

    fn poll_transmit(&mut self, buffer: &mut [u8]) -> Option<Outgoing> {
        Wrapper::poll_transmit(self, buffer)
    }

    fn poll_event(&mut self) -> Option<Self::Event> {
        self.inner_mut().poll_event()
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.inner().poll_timeout()
    }

    fn clock(&self, now: Instant) -> Instant {
        self.inner().clock(now)
    }

    fn view(&self, cut: Instant) -> View {
        self.inner().view(cut)
    }

    fn fingerprint(&self, cut: Instant) -> u64 {
        self.inner().fingerprint(cut)
    }

    fn opinion(&self, of: Addr) -> Option<Status> {
        self.inner().opinion(of)
    }

    fn incarnation(&self) -> Option<u64> {
        self.inner().incarnation()
    }

    fn written(&self, command: &Self::Command) -> Option<(String, Option<Vec<u8>>)> {
        self.inner().written(command)
    }

    fn has_left(&self) -> bool {
        self.inner().has_left()
    }

    fn held(&self) -> Option<usize> {
        self.inner().held()
    }

    fn paths_compared(&self) -> u64 {
        self.inner().paths_compared()
    }

    fn note(event: &Self::Event) -> Note {
        W::Inner::note(event)
    }
}
