//! Reads sources as far as the rules need it: not a parser, but a lexer that knows comments, strings and tests.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// Texts by their path from the root.
pub(crate) type Tree = BTreeMap<String, String>;

/// Every text of this workspace that a rule is about.
pub(crate) fn tree() -> Tree {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace is above");
    let mut tree = Tree::new();
    collect(root, root, &mut tree);
    assert!(tree.len() > 100, "the sources are not where they were");
    tree
}

fn collect(root: &Path, directory: &Path, tree: &mut Tree) {
    for entry in fs::read_dir(directory).expect("it is there").map(|entry| entry.expect("it can be read").path()) {
        let name = entry.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if entry.is_dir() {
            if !name.starts_with('.') && name != "target" {
                collect(root, &entry, tree);
            }
        } else if [".rs", ".toml", ".md"].iter().any(|end| name.ends_with(end)) {
            let path = entry.strip_prefix(root).expect("it is below").to_string_lossy().replace('\\', "/");
            tree.insert(path, fs::read_to_string(&entry).expect("it is text"));
        }
    }
}

/// Returns the files of a crate that are not tests: path, top-level module (or `lib`), and code without its tests.
/// Follows `mod` from the crate's root (`lib.rs` or `main.rs`), since a file's name does not tell whether it is a test.
pub(crate) fn production<'a>(tree: &'a Tree, root: &str) -> impl Iterator<Item = (&'a str, &'a str, String)> {
    let src = root.rsplit_once('/').map_or("", |(src, _)| src);
    let mut files = Vec::new();
    let mut next = vec![root.to_owned()];
    while let Some(path) = next.pop() {
        let (path, text) = tree.get_key_value(&path).unwrap_or_else(|| panic!("{path} is not there"));
        let text = without_tests(&code(text));
        let below = path.strip_suffix(".rs").expect("it is Rust").trim_end_matches("/lib").trim_end_matches("/main");
        for name in declared(&text) {
            next.push(format!("{below}/{name}.rs"));
        }
        let module = path[src.len() + 1..].split(['/', '.']).next().unwrap_or_default();
        files.push((path.as_str(), module, text));
    }
    files.into_iter()
}

/// Returns the names declared by `mod name;`.
fn declared(code: &str) -> Vec<&str> {
    let statements = code.split(';').filter_map(|statement| statement.rsplit_once("mod "));
    statements.map(|(_, name)| name.trim()).filter(|name| words(name).eq([*name])).collect()
}

/// Blanks out comments and strings. Lines keep their numbers.
pub(crate) fn code(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    while at < chars.len() {
        let end = if starts(&chars[at..], "//") {
            find(&chars, at, "\n")
        } else if starts(&chars[at..], "/*") {
            comment(&chars, at)
        } else if chars[at] == '"' {
            quoted(&chars, at + 1)
        } else if let Some(hashes) = raw(&chars, at) {
            find(&chars, at + 2 + hashes, &format!("\"{}", "#".repeat(hashes))) + 1 + hashes
        } else if starts(&chars[at..], "'\\") {
            find(&chars, at + 3, "'") + 1
        } else if chars[at] == '\'' && chars.get(at + 2) == Some(&'\'') {
            at + 3
        } else {
            out.push(chars[at]);
            at += 1;
            continue;
        };
        let end = end.min(chars.len());
        out.extend(chars[at..end].iter().map(|c| if *c == '\n' { '\n' } else { ' ' }));
        at = end;
    }
    out
}

fn starts(chars: &[char], with: &str) -> bool {
    with.chars().enumerate().all(|(at, c)| chars.get(at) == Some(&c))
}

fn find(chars: &[char], from: usize, what: &str) -> usize {
    (from..chars.len()).find(|at| starts(&chars[*at..], what)).unwrap_or(chars.len())
}

/// Returns the end of a comment, which may contain others.
fn comment(chars: &[char], from: usize) -> usize {
    let (mut at, mut depth) = (from + 2, 1);
    while depth > 0 && at < chars.len() {
        let step = [("/*", 1), ("*/", -1)].into_iter().find(|(mark, _)| starts(&chars[at..], mark));
        depth += step.map_or(0, |(_, by)| by);
        at += if step.is_some() { 2 } else { 1 };
    }
    at
}

fn quoted(chars: &[char], from: usize) -> usize {
    let mut at = from;
    while at < chars.len() && chars[at] != '"' {
        at += if chars[at] == '\\' { 2 } else { 1 };
    }
    at + 1
}

/// Returns the number of `#` before a raw string, if one begins here.
fn raw(chars: &[char], at: usize) -> Option<usize> {
    let begins = chars[at] == 'r' && (at == 0 || !word(chars[at - 1]) || chars[at - 1] == 'b');
    let hashes = chars[at + 1..].iter().take_while(|c| **c == '#').count();
    (begins && chars.get(at + 1 + hashes) == Some(&'"')).then_some(hashes)
}

/// Removes code that is compiled only for tests or for the manual.
fn without_tests(code: &str) -> String {
    let attributes = ["#[cfg(test)]", "#[cfg(any(test, fuzzing))]", "#[cfg(doc)]"];
    let first = attributes.into_iter().filter_map(|attribute| Some((code.find(attribute)?, attribute))).min();
    let Some((at, attribute)) = first else { return code.to_owned() };
    let (before, after) = (&code[..at], &code[at + attribute.len()..]);
    let end = match after.find([';', '{']) {
        Some(at) if after[at..].starts_with('{') => block(after, at),
        Some(at) => at + 1,
        None => after.len(),
    };
    let blank: String = after[..end].chars().filter(|c| *c == '\n').collect();
    format!("{before}{blank}{}", without_tests(&after[end..]))
}

/// Returns the end of the block that begins at `from`.
pub(crate) fn block(code: &str, from: usize) -> usize {
    let mut depth = 0;
    for (at, c) in code.char_indices().skip_while(|(at, _)| *at < from) {
        depth += i32::from(c == '{') - i32::from(c == '}');
        if depth == 0 {
            return at + 1;
        }
    }
    code.len()
}

/// Returns the names that follow `crate::`, also within braces. `top`: `super` is the crate.
pub(crate) fn imports(code: &str, top: bool) -> Vec<String> {
    let mut found = Vec::new();
    for root in if top { &["crate::", "super::"][..] } else { &["crate::"] } {
        for (at, _) in code.match_indices(root) {
            if code[..at].ends_with(word) || code[..at].ends_with('$') {
                continue;
            }
            let rest = &code[at + root.len()..];
            let names: Vec<&str> = match rest.strip_prefix('{') {
                Some(_) => heads(&rest[1..block(rest, 0) - 1]),
                None => words(rest).take(1).collect(),
            };
            // In a module within the file `super` is the file itself.
            let known = |name: &&str| *root == "crate::" || name.starts_with(char::is_lowercase);
            found.extend(names.into_iter().filter(known).map(str::to_owned));
        }
    }
    found
}

/// Returns every path of two names or more, those in braces written out.
pub(crate) fn paths(code: &str) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    let mut rest = code;
    while let Some(at) = rest.find(word) {
        rest = continued(&rest[at..], &[], &mut found);
    }
    found.retain(|path| path.len() > 1);
    found
}

/// Reads a path that goes on from `before`, and returns what follows it.
fn continued<'a>(code: &'a str, before: &[String], found: &mut Vec<Vec<String>>) -> &'a str {
    let end = code.find(|c| !word(c)).unwrap_or(code.len());
    let path = [before, &[code[..end].to_owned()]].concat();
    let rest = &code[end..];
    let Some(next) = rest.strip_prefix("::") else {
        found.push(path);
        return rest;
    };
    if next.starts_with(word) {
        return continued(next, &path, found);
    }
    if !next.starts_with('{') {
        found.push(path);
        return next;
    }
    let (mut list, after) = next[1..].split_at(block(next, 0) - 2);
    while let Some(at) = list.find(word) {
        list = continued(&list[at..], &path, found);
    }
    after
}

/// Returns the first name of every path in a list, which may contain lists.
fn heads(list: &str) -> Vec<&str> {
    let mut depth = 0;
    let parts = list.split(|c: char| {
        depth += i32::from(c == '{') - i32::from(c == '}');
        c == ',' && depth == 0
    });
    parts.filter_map(|part| words(part).next()).collect()
}

fn word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Identifiers and keywords.
pub(crate) fn words(code: &str) -> impl Iterator<Item = &str> {
    code.split(|c| !word(c)).filter(|word| !word.is_empty())
}

/// Returns what a rule reports for each line, with path and number.
pub(crate) fn lines(path: &str, code: &str, rule: impl Fn(&str) -> Option<String>) -> Vec<String> {
    let found = code.lines().zip(1..).filter_map(|(line, number)| Some((number, rule(line)?)));
    found.map(|(number, what)| format!("{path}:{number}: {what}")).collect()
}
