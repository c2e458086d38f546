//! Links as a picture: the tree of eager links around the node that put something, and the lazy links between.

use std::f64::consts::TAU;
use std::path::Path;

use gossip_testkit::lab::real::Tree;
use plotters::prelude::*;

use crate::canvas::{self, COLOURS, Painted, Root};
use crate::failure::Failure;

const CENTRE: (f64, f64) = (450.0, 335.0);
const RADIUS: f64 = 290.0;

/// Draws the tree into a file.
pub(crate) fn draw(tree: &Tree, file: &Path) -> Result<(), Failure> {
    canvas::draw(file, |root| paint(tree, root))
}

fn paint(tree: &Tree, root: &Root<'_>) -> Painted<()> {
    let places = places(tree);
    let place = |node: u32| places[node as usize];
    let is_branch = |from: u32, to: u32| {
        let parent = |node: u32| tree.nodes[node as usize].map(|(parent, _)| parent);
        parent(to) == Some(from) || parent(from) == Some(to)
    };
    for (from, to, eager) in &tree.links {
        let style = match (is_branch(*from, *to), eager) {
            (true, _) => COLOURS[0].stroke_width(2),
            (false, true) => COLOURS[1].stroke_width(1),
            (false, false) => BLACK.mix(0.1).stroke_width(1),
        };
        root.draw(&PathElement::new(vec![place(*from), place(*to)], style))?;
    }
    for (node, reached) in (0..).zip(&tree.nodes) {
        let colour = match reached {
            Some((_, 0)) => COLOURS[1],
            Some(_) => COLOURS[0],
            None => COLOURS[7],
        };
        root.draw(&Circle::new(place(node), if colour == COLOURS[0] { 3 } else { 6 }, colour.filled()))?;
    }
    let deepest = tree.depths().len().saturating_sub(1);
    let [eager, lazy] = [true, false].map(|eager| tree.links.iter().filter(|link| link.2 == eager).count());
    let text = format!("{} nodes, {eager} eager links, {lazy} lazy ones (grey), depth {deepest}", tree.nodes.len());
    root.draw(&Text::new(text, (20, 8), ("sans-serif", 19)))?;
    Ok(())
}

/// A circle for each depth; a node stands in the middle of those below it.
fn places(tree: &Tree) -> Vec<(i32, i32)> {
    let mut children = vec![Vec::new(); tree.nodes.len()];
    for (node, reached) in (0..).zip(&tree.nodes) {
        if let Some((parent, 1..)) = reached {
            children[*parent as usize].push(node);
        }
    }
    let deepest = tree.depths().len().saturating_sub(1).max(1) as f64;
    let mut angles = vec![0.0; tree.nodes.len()];
    let leaves = tree.nodes.iter().zip(&children).filter(|(reached, below)| reached.is_some() && below.is_empty());
    let step = TAU / leaves.count().max(1) as f64;
    let mut next = 0.0;
    let mut stack = vec![(tree.root, false)];
    while let Some((node, done)) = stack.pop() {
        let below: &Vec<u32> = &children[node as usize];
        if below.is_empty() {
            angles[node as usize] = next;
            next += step;
        } else if done {
            angles[node as usize] = below.iter().map(|child| angles[*child as usize]).sum::<f64>() / below.len() as f64;
        } else {
            stack.push((node, true));
            stack.extend(below.iter().map(|child| (*child, false)));
        }
    }
    let place = |(node, reached): (usize, &Option<(u32, u32)>)| {
        // Nodes to which only lazy links lead stand outside.
        let depth = reached.map_or(deepest + 0.4, |(_, depth)| f64::from(depth));
        let angle: f64 = if reached.is_some() { angles[node] } else { node as f64 };
        let radius = RADIUS * depth / deepest;
        ((CENTRE.0 + radius * angle.cos()) as i32, (CENTRE.1 + radius * angle.sin()) as i32)
    };
    tree.nodes.iter().enumerate().map(place).collect()
}
