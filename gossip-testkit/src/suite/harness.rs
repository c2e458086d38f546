//! The face of an adapter that the suite calls. Blocking, so that it is of no runtime.

use gossip_core::{Address, Config, Member};

/// Error of a harness that cannot do what it was asked to.
pub type Error = Box<dyn std::error::Error + Send + Sync>;

/// Starts nodes of one's own kind, hands them commands, looks at them, and disturbs them.
///
/// The nodes run by themselves, between the calls and during them. A call may block while it works, and not for what
/// other nodes have to do: waiting is the suite's.
pub trait Harness {
    /// Address of a node.
    type Address: Address;
    /// A running node.
    type Node;

    /// Starts a node whose id is [`NodeId::from_name(name)`](gossip_core::NodeId::from_name), at an address of its
    /// own. Names are used again, after a stop: that is a restart without memory, and the address shall be another.
    ///
    /// # Errors
    /// Whatever keeps it from running; the scenario fails.
    fn start(&mut self, name: &str, config: Config, seeds: &[Self::Address]) -> Result<Self::Node, Error>;

    /// Stops a node without a word, as a crash would. Its address is free when this returns.
    fn stop(&mut self, node: Self::Node);

    /// Returns the address of a node.
    fn address(&self, node: &Self::Node) -> Self::Address;

    /// Writes a shared entry.
    ///
    /// # Errors
    /// The write was refused; the scenario fails. The same for the other commands.
    fn put(&mut self, node: &Self::Node, name: &str, value: &[u8]) -> Result<(), Error>;

    /// Deletes a shared entry.
    ///
    /// # Errors
    /// As [`put`](Self::put).
    fn delete(&mut self, node: &Self::Node, name: &str) -> Result<(), Error>;

    /// Sends a message to all.
    ///
    /// # Errors
    /// As [`put`](Self::put).
    fn broadcast(&mut self, node: &Self::Node, payload: &[u8]) -> Result<(), Error>;

    /// Leaves the cluster; may return before that is done.
    ///
    /// # Errors
    /// As [`put`](Self::put).
    fn leave(&mut self, node: &Self::Node) -> Result<(), Error>;

    /// The value of a shared entry, as this node has it.
    fn get(&self, node: &Self::Node, name: &str) -> Option<Vec<u8>>;

    /// All members as this node sees them, itself included.
    fn members(&self, node: &Self::Node) -> Vec<Member<Self::Address>>;

    /// The broadcasts that this node received since the last call, or since its start.
    fn heard(&mut self, node: &mut Self::Node) -> Vec<Vec<u8>>;

    /// From now on, every datagram between the nodes is lost with this probability, 0 to 1. All nodes are meant,
    /// those that run and those still to be started. The suite finds out a harness that does nothing here.
    fn lose(&mut self, share: f64);

    /// Sends bytes to an address as a stranger would, past all nodes.
    ///
    /// # Errors
    /// They could not be sent; the scenario fails.
    fn inject(&mut self, to: &Self::Address, bytes: &[u8]) -> Result<(), Error>;
}
