//! The links of a cluster at rest, and the tree that puts have made of them.

use std::collections::VecDeque;

use super::Progress;
use super::agenda::pass;
use super::spread::{Sightings, Spread, at_rest};
use super::{Observed, Unfinished};
use crate::address::Addr;
use crate::cluster::Cluster;
use crate::scenario::Dice;

/// Puts that make the tree.
const PUTS: u32 = 10;

/// Links, seen from the node that put something last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tree {
    /// That node.
    pub root: u32,
    /// Per node, its parent along eager links, and the number of links between the root and it; none where only lazy links lead.
    pub nodes: Vec<Option<(u32, u32)>>,
    /// Links: from, to, and whether either side is eager.
    pub links: Vec<(u32, u32, bool)>,
}

impl Tree {
    /// Number of nodes at each depth.
    pub fn depths(&self) -> Vec<usize> {
        let mut depths = Vec::new();
        for (_, depth) in self.nodes.iter().flatten() {
            let depth = *depth as usize;
            depths.resize(depths.len().max(depth + 1), 0);
            depths[depth] += 1;
        }
        depths
    }

    fn of(cluster: &Cluster<Observed>, root: u32) -> Self {
        let neighbours = |node: u32| {
            let machine = cluster.get(node).into_iter();
            machine.flat_map(|machine| machine.node().neighbours()).map(|link| (link.id.get() as u32, link.eager))
        };
        let mut nodes = vec![None; cluster.nodes().len()];
        nodes[root as usize] = Some((root, 0));
        let mut next = VecDeque::from([(root, 0)]);
        while let Some((node, depth)) = next.pop_front() {
            for (other, eager) in neighbours(node) {
                if eager && nodes[other as usize].is_none() {
                    nodes[other as usize] = Some((node, depth + 1));
                    next.push_back((other, depth + 1));
                }
            }
        }
        let eager = |from: u32, to: u32| neighbours(from).any(|(other, eager)| other == to && eager);
        let all = cluster.nodes().iter().flat_map(|&Addr(from)| neighbours(from).map(move |(to, _)| (from, to)));
        let links = all.filter(|(from, to)| from < to).map(|(from, to)| (from, to, eager(from, to) || eager(to, from)));
        Self { root, nodes, links: links.collect() }
    }
}

impl Spread {
    /// Returns the links after ten puts of random nodes.
    ///
    /// # Errors
    /// See [`check`](Self::check); a cluster that does not come to rest before the first put.
    pub fn tree(&self, seed: u64, progress: Progress<'_>) -> Result<Tree, Unfinished> {
        self.check()?;
        let mut cluster = at_rest(self, seed, progress)?;
        let sightings = Sightings::watch(&mut cluster);
        let mut dice = Dice::new(seed);
        let mut root = 0;
        for number in 0..PUTS {
            root = sightings.put(&mut cluster, number, self.nodes, &mut dice);
            pass(&mut cluster, self.config.probe.period, progress);
        }
        Ok(Tree::of(&cluster, root))
    }
}
