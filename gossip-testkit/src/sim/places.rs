//! Addresses of nodes: where others see and reach them, and what they are told that it is. Mostly their numbers.

use std::collections::BTreeMap;

use crate::address::Addr;

/// See the [module](self).
#[derive(Debug, Default)]
pub(super) struct Places {
    /// Nodes at addresses that are not their own.
    nodes: BTreeMap<Addr, Addr>,
    /// The other addresses of nodes that are not at their own.
    moved: BTreeMap<Addr, Addr>,
    /// The addresses that nodes are told, if these are not their own.
    told: BTreeMap<Addr, Addr>,
}

impl Places {
    /// Delivers what is sent to `address` at `node`, besides what is sent to its own.
    pub(super) fn forward(&mut self, address: Addr, node: Addr) {
        self.nodes.insert(address, node);
    }

    /// Gives a node another address in place of its own, or that again.
    pub(super) fn move_to(&mut self, node: Addr, to: Option<Addr>) {
        if let Some(before) = self.moved.remove(&node)
            && self.nodes.get(&before) == Some(&node)
        {
            self.nodes.remove(&before);
        }
        if let Some(to) = to {
            self.moved.insert(node, to);
            self.nodes.insert(to, node);
        }
    }

    /// Tells the processes of a node this address from now on, or their own.
    pub(super) fn tell(&mut self, node: Addr, address: Option<Addr>) {
        match address {
            Some(address) => _ = self.told.insert(node, address),
            None => _ = self.told.remove(&node),
        }
    }

    /// Returns the node that receives at this address: none if it is that of a node which is elsewhere.
    pub(super) fn receiver(&self, address: Addr) -> Option<Addr> {
        let own = || (!self.moved.contains_key(&address)).then_some(address);
        self.nodes.get(&address).copied().or_else(own)
    }

    /// Returns the address from which the datagrams of a node come.
    pub(super) fn seen(&self, node: Addr) -> Addr {
        self.moved.get(&node).copied().unwrap_or(node)
    }

    /// Returns the address that a process of a node is told.
    pub(super) fn told(&self, node: Addr) -> Addr {
        self.told.get(&node).copied().unwrap_or(node)
    }
}
