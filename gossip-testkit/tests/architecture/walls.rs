//! Checks the walls inside a module: sibling files that know each other, and files that touch most of a node.

use std::collections::{BTreeMap, BTreeSet};

use crate::sources::{Tree, block, paths, production, words};

/// Roots of the modules in which circles are looked for.
const ROOTS: [&str; 4] = [
    "gossip-core/src/lib.rs",
    "gossip-tokio/src/lib.rs",
    "gossip-tokio/src/bin/gossip-agent/main.rs",
    "gossip-testkit/src/lib.rs",
];
/// Circles that are still there. A circle that has been cut must be removed from this list.
const CIRCLES: [&str; 1] = ["gossip-core/src/epidemic: anti_entropy, transfer"];

const NODE: &str = "gossip-core/src/node.rs";
/// Fields of `Node` that one of its files may touch: a reader can hold about a dozen in the head.
const MOST_FIELDS: usize = 12;

/// A module's path from its root, without the crate's name.
type Module = Vec<String>;

/// Returns the circles among siblings: modules of one parent of which each reaches the other through imports. The
/// files below a module count as that module. A parent and its children may know each other, since a child's `impl`
/// block continues its parent's.
fn circles(tree: &Tree) -> Vec<String> {
    ROOTS.iter().filter(|root| tree.contains_key(**root)).flat_map(|root| circles_below(tree, root)).collect()
}

fn circles_below(tree: &Tree, root: &str) -> Vec<String> {
    let folder = root.rsplit_once('/').map_or("", |(folder, _)| folder);
    let files: BTreeMap<Module, String> =
        production(tree, root).map(|(path, _, text)| (module(folder, path), text)).collect();
    let uses: BTreeMap<&Module, Vec<Module>> =
        files.iter().map(|(at, text)| (at, absolute(at, text, &files))).collect();
    // Siblings that know each other directly, by parent.
    let mut edges: BTreeMap<Module, BTreeMap<String, BTreeSet<String>>> = BTreeMap::new();
    for (from, targets) in &uses {
        for target in targets.iter().map(|target| resolve(target, &uses, 0)) {
            let common = from.iter().zip(&target).take_while(|(a, b)| a == b).count();
            if let (Some(from), Some(to)) = (from.get(common), target.get(common)) {
                let siblings = edges.entry(target[..common].to_vec()).or_default();
                siblings.entry(from.clone()).or_default().insert(to.clone());
            }
        }
    }
    let mut found = BTreeSet::new();
    for (parent, edges) in &edges {
        for start in edges.keys() {
            let forth = reach(edges, start);
            let circle: Vec<&str> =
                forth.iter().filter(|other| reach(edges, other).contains(start)).map(String::as_str).collect();
            if circle.len() > 1 {
                let place = [&[folder.to_owned()], &parent[..]].concat().join("/");
                found.insert(format!("{place}: {}", circle.join(", ")));
            }
        }
    }
    found.into_iter().collect()
}

/// Returns everything that can be reached from `start` in one step or more.
fn reach(edges: &BTreeMap<String, BTreeSet<String>>, start: &str) -> BTreeSet<String> {
    let (mut seen, mut next) = (BTreeSet::new(), vec![start]);
    while let Some(at) = next.pop() {
        for to in edges.get(at).into_iter().flatten() {
            if seen.insert(to.clone()) {
                next.push(to);
            }
        }
    }
    seen
}

/// Translates a file's path into its module.
fn module(folder: &str, path: &str) -> Module {
    let path = path[folder.len() + 1..].trim_end_matches(".rs");
    path.split('/').filter(|name| !["lib", "main"].contains(name)).map(str::to_owned).collect()
}

/// Returns every path that a module mentions, from the root.
fn absolute(at: &Module, text: &str, files: &BTreeMap<Module, String>) -> Vec<Module> {
    let from_root = |path: Vec<String>| {
        let mut base = match path[0].as_str() {
            "crate" => Vec::new(),
            "self" | "super" => at.clone(),
            _ => return [&at[..], &path[..]].concat(),
        };
        let mut rest = &path[..];
        while rest.first().is_some_and(|name| name == "super") {
            base.pop();
            rest = &rest[1..];
        }
        base.extend(rest.iter().filter(|name| !["crate", "self"].contains(&name.as_str())).cloned());
        base
    };
    // A path that begins with another name is of interest if that is a child.
    let known = |path: &Vec<String>| {
        ["crate", "self", "super"].contains(&path[0].as_str()) || files.contains_key(&[&at[..], &path[..1]].concat())
    };
    paths(text).into_iter().filter(known).map(from_root).collect()
}

/// Finds the module that a path leads to. A name that its module has imported or re-exported leads to where that is from.
fn resolve(path: &[String], uses: &BTreeMap<&Module, Vec<Module>>, depth: usize) -> Module {
    let there = (0..=path.len()).rev().map(|len| path[..len].to_vec()).find(|module| uses.contains_key(module));
    let there = there.unwrap_or_default();
    let Some(name) = path.get(there.len()).filter(|_| depth < 4) else { return there };
    let from = uses.get(&there).into_iter().flatten();
    // A path of its own file that is longer than the name itself is where the name comes from.
    let mut origin = from.filter(|origin| origin.last() == Some(name) && origin.len() != there.len() + 1);
    match origin.next() {
        Some(origin) => resolve(origin, uses, depth + 1),
        None => there,
    }
}

/// Names the fields of `Node`.
fn fields(tree: &Tree) -> Vec<String> {
    let text = production(tree, "gossip-core/src/lib.rs").find(|(path, ..)| *path == NODE).map(|(.., text)| text);
    let text = text.unwrap_or_else(|| panic!("{NODE} is not a file of the core"));
    let at = text.find("pub struct Node").unwrap_or_else(|| panic!("{NODE}: there is no `pub struct Node`"));
    let from = at + text[at..].find('{').unwrap_or_else(|| panic!("{NODE}: `Node` has no fields"));
    let lines = text[from + 1..block(&text, from) - 1].lines().filter_map(|line| line.split_once(':'));
    lines.filter_map(|(name, _)| words(name).last().map(str::to_owned)).collect()
}

/// Counts the fields of `Node` that each file of `node/` touches: in its `impl` blocks through `self`, or by name.
fn touched(tree: &Tree) -> BTreeMap<String, usize> {
    let fields = fields(tree);
    let folder = NODE.replace(".rs", "/");
    let files = production(tree, "gossip-core/src/lib.rs").filter(|(path, ..)| path.starts_with(&folder));
    let count = |text: &str| {
        let own: String = methods(text).collect();
        fields.iter().filter(|field| touches(&own, "self.", field) || touches(text, "node.", field)).count()
    };
    files.map(|(path, _, text)| (path.to_owned(), count(&text))).collect()
}

/// Returns the `impl` blocks of `Node`. `let Self { a, b, .. } = self` reads as `self.a`, `self.b`.
fn methods(text: &str) -> impl Iterator<Item = String> {
    let heads = text.match_indices("impl").filter_map(|(at, _)| Some((at, at + text[at..].find('{')?)));
    let nodes = heads.filter(|(at, from)| words(&text[*at..*from]).any(|word| word == "Node"));
    nodes.map(|(_, from)| {
        let block = &text[from..block(text, from)];
        let taken = block.split("let Self {").skip(1).filter_map(|rest| Some(rest.split_once('}')?.0));
        let taken = taken.flat_map(|names| names.split(',')).filter_map(|name| words(name).next());
        block.to_owned() + &taken.map(|name| format!(" self.{name};")).collect::<String>()
    })
}

/// Looks for a field behind `prefix` that is no call of a method of that name.
fn touches(text: &str, prefix: &str, field: &str) -> bool {
    let name = format!("{prefix}{field}");
    text.match_indices(&name).any(|(at, _)| {
        let word = |c: char| c.is_alphanumeric() || c == '_';
        let after = &text[at + name.len()..];
        !text[..at].ends_with(word) && !after.starts_with(word) && !after.starts_with('(')
    })
}

/// Returns the files of `node/` that touch more fields than they may.
pub(crate) fn crowded(tree: &Tree) -> Vec<String> {
    let found = touched(tree).into_iter().filter(|(_, count)| *count > MOST_FIELDS);
    found.map(|(path, count)| format!("{path}: touches {count} fields of `Node`, at most {MOST_FIELDS}")).collect()
}

/// Returns the circles that are not on the list.
pub(crate) fn circles_unlisted(tree: &Tree) -> Vec<String> {
    let found = circles(tree);
    let new = found.iter().filter(|circle| !CIRCLES.contains(&circle.as_str()));
    new.map(|circle| format!("{circle} import each other")).collect()
}

/// Returns the entries of the list that are circles no longer.
pub(crate) fn circles_cut(tree: &Tree) -> Vec<String> {
    let found = circles(tree);
    let gone = CIRCLES.iter().filter(|circle| !found.iter().any(|found| found == *circle));
    gone.map(|circle| format!("{circle}: is no circle any more; remove it from `CIRCLES`")).collect()
}
