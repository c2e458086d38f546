//! Holds the manual's page of constants to the code: every one has a row with its value, and every row has one.

use std::collections::BTreeSet;

use crate::sources::{Tree, production};

const PAGE: &str = "gossip-core/docs/constants.md";
/// Modules whose constants decide what a node does.
const ROOMS: [&str; 14] = [
    "swim",
    "overlay",
    "epidemic",
    "node",
    "clock",
    "replica",
    "outbox",
    "trust",
    "absence",
    "members",
    "path_mtu",
    "unicast",
    "query",
    "coordinate",
];
/// Lengths on the wire, marks and capacities: nothing is decided by them.
const LAYOUT: [&str; 26] = [
    "BEFORE_BODY",
    "CHUNK_HEAD",
    "DIMENSIONS",
    "EXPONENT",
    "FAMILY",
    "FINDINGS_KEPT",
    "FIRST_KEPT",
    "GROWS",
    "HEAD",
    "KEPT",
    "LIMIT",
    "MANTISSA",
    "MESSAGE",
    "NEVER",
    "NONE",
    "NOT_BEGUN",
    "NUMBERS",
    "OFFER",
    "ONE",
    "ORDER_KEPT",
    "OTHERS",
    "PACKED",
    "SPARSE_LEAF_ITEMS",
    "STEPS",
    "UNITS",
    "UNKNOWN",
];

/// Finds constants without a row, rows without a constant, and values that differ.
pub(crate) fn unexplained_constants(tree: &Tree) -> Vec<String> {
    let Some(page) = tree.get(PAGE) else { return vec![format!("{PAGE} is not there")] };
    let rows: BTreeSet<&str> = page.lines().filter(|line| line.starts_with("| `")).map(head).collect();
    let found: Vec<(String, String)> = production(tree, "gossip-core/src/lib.rs")
        .filter(|(_, module, _)| ROOMS.contains(module))
        .flat_map(|(path, _, text)| {
            let file = path.trim_start_matches("gossip-core/src/").trim_end_matches(".rs").to_owned();
            constants(&text).map(|(name, value)| (file.clone(), format!("`{name}` | `{value}` |"))).collect::<Vec<_>>()
        })
        .collect();
    let heads: BTreeSet<String> = found.iter().map(|(file, rest)| format!("| `{file}` {rest}")).collect();
    let missing = heads.iter().filter(|head| !rows.contains(head.as_str()));
    let stale = rows.iter().filter(|row| !heads.contains(**row));
    missing
        .map(|head| format!("{PAGE}: there is no row that begins with {head}"))
        .chain(stale.map(|row| format!("{PAGE}: no constant is {row}")))
        .collect()
}

/// Returns the first two cells of a row of the page.
fn head(row: &str) -> &str {
    let end = row.match_indices('|').nth(2).map_or(row.len(), |(at, _)| at + 1);
    &row[..end]
}

/// Returns the module's constants of numbers and times: name and value.
fn constants(code: &str) -> impl Iterator<Item = (&str, String)> {
    let starts = code.match_indices("const ").map(|(at, _)| at);
    starts.filter_map(|at| {
        // Those of a function or an implementation are indented.
        let line = code[..at].rfind('\n').map_or(0, |end| end + 1);
        let declared = line == at || code[line..at].starts_with("pub");
        // A kind may hold a semicolon (an array's), a value may begin on the next line.
        let (left, value) = code[at..].split_once(" =").filter(|_| declared)?;
        let (name, kind) = left.split_once("const ")?.1.split_once(": ")?;
        let decides = name.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_')
            && !kind.contains('&')
            && !kind.contains("TrafficClass")
            && !LAYOUT.contains(&name);
        decides.then(|| {
            (name, value.split(';').next().unwrap_or_default().split_whitespace().collect::<Vec<_>>().join(" "))
        })
    })
}
