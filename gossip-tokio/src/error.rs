//! Errors around a node. Errors inside a node are in `gossip-core`.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use gossip_core::{AboutError, ConfigError, NodeId, SendError};

/// A failed start: no node was started, and nothing of the attempt is left.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SpawnError {
    /// The text is not an address to bind, advertise or join.
    #[error("{0:?} is no address: it must be HOST:PORT with a port from 0 to 65535")]
    Address(String),
    /// The address has an IPv6 zone, which means something else on every machine.
    #[error("{0:?} has a zone, which means something else on every machine: use a global or unique local address")]
    Zone(String),
    /// None of the seeds can ever be reached from the address that is bound.
    #[error("no seed can be reached from {bound}: {reason}")]
    Seeds {
        /// Address that is bound.
        bound: SocketAddr,
        /// Reason for the first of them.
        reason: String,
    },
    /// The name to advertise cannot be resolved. (Seeds are resolved repeatedly instead.)
    #[error("{name:?} cannot be resolved")]
    Resolve {
        /// Name to advertise.
        name: String,
        /// Error of the resolver.
        source: io::Error,
    },
    /// The socket could not be bound.
    #[error("{given:?} cannot be bound")]
    Bind {
        /// Address or name to bind.
        given: String,
        /// Error of the system or of the resolver.
        source: io::Error,
    },
    /// The address to advertise is unspecified, and means "here" to every peer that reads it.
    #[error("{0} cannot be advertised: nobody can send to it; name the address that peers reach with `advertise`")]
    Unspecified(SocketAddr),
    /// The transport cannot carry the configured datagrams.
    #[error("max_datagram is {configured} bytes, this transport carries at most {carried}")]
    DatagramTooLarge {
        /// Configured size in bytes.
        configured: usize,
        /// Largest size that the transport carries, in bytes.
        carried: usize,
    },
    /// The configuration cannot work.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The node cannot have this name, or these tags.
    #[error(transparent)]
    About(#[from] AboutError),
    /// The text is not a network for [`allow`](crate::Builder::allow).
    #[error("{0:?} is no network: it must be an address, or one with a length such as 10.0.0.0/8")]
    Network(String),
    /// Two keys have the same number.
    #[cfg(feature = "encryption")]
    #[error(transparent)]
    Key(#[from] gossip_core::KeyError),
    /// The operating system supplied no random number.
    #[error("no random number from the operating system")]
    Random(#[from] getrandom::Error),
    /// The data cannot be read, or its file cannot be written.
    #[error("the data at {} cannot be used", .path.display())]
    Data {
        /// File.
        path: PathBuf,
        /// Error of the system.
        source: io::Error,
    },
    /// Another process has the data.
    #[error("the data at {} is in use by {}", .path.display(), .pid.map_or("another process".into(), |pid| format!("process {pid}")))]
    DataInUse {
        /// File.
        path: PathBuf,
        /// Process id of the other one, if it can be told.
        pid: Option<u32>,
    },
    /// No runtime runs that could run the node's task.
    #[error("no runtime runs here")]
    Runtime(#[source] io::Error),
}

/// An unexpected end of the node's task.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TaskError {
    /// It panicked: a bug in the node or in the transport.
    #[error("the node's task panicked")]
    Panicked,
    /// The runtime dropped it before it ended.
    #[error("the runtime has dropped the node's task")]
    Aborted,
}

/// The node's task has ended, so that the awaited condition cannot become true.
#[derive(Debug, Copy, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the node has stopped")]
pub struct Stopped;

/// Error of a wait with a time limit.
#[derive(Debug, Copy, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WaitError {
    /// The time limit was reached.
    #[error("it did not come within {0:?}")]
    TimedOut(Duration),
    /// The node's task has ended before.
    #[error(transparent)]
    Stopped(#[from] Stopped),
}

/// A message to one member without a receipt.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DeliveryError {
    /// It was not sent.
    #[error(transparent)]
    Send(#[from] SendError),
    /// The receiver died or left, or no receipt has come in time. The message may have arrived all the same.
    #[error("{to} has not acknowledged the message")]
    NoReceipt {
        /// Receiver.
        to: NodeId,
    },
    /// The node's task has ended before.
    #[error("the node has stopped")]
    Stopped,
}

/// A change of the cluster's key that is not done.
#[cfg(feature = "encryption")]
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RotationError {
    /// Not all members have confirmed a step in time.
    #[error("{} members have not confirmed the step {step:?}, {} of them have refused it", .missing.len(), .refused.len())]
    Unconfirmed {
        /// The step.
        step: gossip_core::RotationStep,
        /// Members that have not confirmed it.
        missing: Vec<NodeId>,
        /// Those of them that have refused it, with their reasons.
        refused: Vec<(NodeId, String)>,
    },
    /// This node was made without a key.
    #[error("this node has no keyring")]
    NoKeyring,
    /// The node's task has ended before.
    #[error("the node has stopped")]
    Stopped,
}

/// A leave of which the other members may not know.
#[derive(Debug, Copy, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LeaveError {
    /// It was not complete within the given time. It continues while the node runs.
    #[error("leaving was not done within {0:?}")]
    TimedOut(Duration),
    /// The task ended before the leave was complete.
    #[error(transparent)]
    Stopped(#[from] Stopped),
}

/// Events were dropped because this stream was read too slowly. The stream continues with the oldest event left.
///
/// Events are states: an application that has lost some reads members and entries again, and misses only broadcasts.
#[derive(Debug, Copy, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{missed} events were dropped, the stream was read too slowly")]
pub struct Lagged {
    /// Number of events dropped.
    pub missed: u64,
}
