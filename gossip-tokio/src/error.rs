//! What can go wrong around a node. What can go wrong inside is in `gossip-core`.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use gossip_core::ConfigError;

/// No node was started. Nothing of the attempt is left.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SpawnError {
    /// A text that is no address to bind, to advertise, or to join.
    #[error("{0:?} is no address: it must be HOST:PORT with a port from 0 to 65535")]
    Address(String),
    /// A name to advertise that could not be resolved. (Seeds are resolved again and again instead.)
    #[error("{name:?} cannot be resolved")]
    Resolve {
        /// The name.
        name: String,
        /// What the resolver said.
        source: io::Error,
    },
    /// The socket could not be bound.
    #[error("{given:?} cannot be bound")]
    Bind {
        /// The address, or its name.
        given: String,
        /// What the system, or the resolver, said.
        source: io::Error,
    },
    /// The address that peers would be told means "here" wherever it is read.
    #[error("{0} cannot be advertised: nobody can send to it; name the address that peers reach with `advertise`")]
    Unspecified(SocketAddr),
    /// The transport does not carry the configured datagrams.
    #[error("max_datagram is {configured} bytes, this transport carries at most {carried}")]
    DatagramTooLarge {
        /// The configured size in bytes.
        configured: usize,
        /// What the transport carries, in bytes.
        carried: usize,
    },
    /// The configuration cannot work.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A text that is no network to [`allow`](crate::Builder::allow).
    #[error("{0:?} is no network: it must be an address, or one with a length such as 10.0.0.0/8")]
    Network(String),
    /// Two keys have the same number.
    #[cfg(feature = "encryption")]
    #[error(transparent)]
    Key(#[from] gossip_core::KeyError),
    /// The operating system gave no random number.
    #[error("no random number from the operating system")]
    Random(#[from] getrandom::Error),
    /// There is no runtime to run the node's task.
    #[error("no runtime runs here")]
    Runtime(#[source] io::Error),
}

/// The node's task has ended without having been asked to.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TaskError {
    /// It panicked: a bug, in the node or in the transport.
    #[error("the node's task panicked")]
    Panicked,
    /// The runtime dropped it before its end.
    #[error("the runtime has dropped the node's task")]
    Aborted,
}

/// What was waited for cannot come any more: the node's task has ended.
#[derive(Debug, Copy, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the node has stopped")]
pub struct Stopped;

/// A wait with a time limit has ended without what it waited for.
#[derive(Debug, Copy, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WaitError {
    /// It did not come in the time that was given.
    #[error("it did not come within {0:?}")]
    TimedOut(Duration),
    /// It cannot come any more: the task has ended.
    #[error(transparent)]
    Stopped(#[from] Stopped),
}

/// The node may not have told the others that it leaves.
#[derive(Debug, Copy, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LeaveError {
    /// It was not done in the time that was given. It goes on as long as the node runs.
    #[error("leaving was not done within {0:?}")]
    TimedOut(Duration),
    /// The task has ended before it was done.
    #[error(transparent)]
    Stopped(#[from] Stopped),
}

/// Events were dropped because this stream was read too slowly. The stream goes on with the oldest that is left.
///
/// Events are states: whoever has lost some reads members and entries again and misses nothing but broadcasts.
#[derive(Debug, Copy, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{missed} events were dropped, the stream was read too slowly")]
pub struct Lagged {
    /// How many.
    pub missed: u64,
}
