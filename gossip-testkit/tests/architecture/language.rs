//! Counts doc comments that do not name their subject.

use crate::sources::Tree;

/// Words that begin a clause without a subject ("What is to be sent."), as the first word of a doc comment.
const HEADLESS: [&str; 10] = ["What", "Who", "Whom", "Whose", "How", "Whether", "Where", "When", "Which", "Of"];
/// Largest permitted share of headless doc comments in each crate, in percent.
const MOST: [(&str, f64); 4] =
    [("gossip-core", 5.0), ("gossip-tokio", 5.0), ("gossip-async-std", 5.0), ("gossip-testkit", 5.0)];

/// Checks the share of headless doc comments of every crate against its bound. The message names them all, so that
/// whoever has to lower the share sees where to begin.
pub(crate) fn headless(tree: &Tree) -> Vec<String> {
    MOST.iter().filter_map(|(package, most)| too_many(tree, package, *most)).collect()
}

fn too_many(tree: &Tree, package: &str, most: f64) -> Option<String> {
    let source = |path: &str| path.ends_with(".rs") && path.strip_prefix(package).is_some_and(|p| p.starts_with('/'));
    let files = tree.iter().filter(|(path, _)| source(path));
    let blocks: Vec<_> =
        files.flat_map(|(path, text)| first_lines(text).map(move |(at, line)| (path, at, line))).collect();
    let found: Vec<_> = blocks.iter().filter(|(_, _, line)| is_headless(line)).collect();
    let share = 100.0 * found.len() as f64 / blocks.len().max(1) as f64;
    let list = found.iter().map(|(path, at, line)| format!("\n  {path}:{at}: {line}"));
    (share > most).then(|| {
        let list: String = list.collect();
        format!(
            "{package}: {share:.1} % of {} doc comments do not name their subject, at most {most} %:{list}",
            blocks.len()
        )
    })
}

fn is_headless(line: &str) -> bool {
    let first = line.split(|c: char| !c.is_alphanumeric()).next();
    first.is_some_and(|first| HEADLESS.contains(&first)) || line.starts_with("So many")
}

/// Returns the first line of every doc comment with its number.
fn first_lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut before = "";
    text.lines().zip(1..).filter_map(move |(line, at)| {
        let line = line.trim_start();
        let mark = ["///", "//!"].into_iter().find(|mark| line.starts_with(mark)).unwrap_or_default();
        let first = mark != before && !mark.is_empty();
        before = mark;
        first.then(|| (at, line[3..].trim()))
    })
}
