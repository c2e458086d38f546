//! Scenarios from text. Errors name line and column.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use super::{Scenario, Write};
use crate::address::Addr;
use crate::plan::{Chance, Fault, FaultPlan, Harm, Links, Nodes, Restart, Window};

/// Error of a text that is no scenario: its place and its reason.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, column {column}: {message}")]
#[non_exhaustive]
pub struct ParseError {
    /// The line, from 1.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
    /// The text that was expected.
    pub message: String,
}

/// More nodes than these are a typing error.
const MOST_NODES: u32 = 1_000_000;

/// A year: later than this no simulation gets, and sums of such times are far from any overflow.
const LONGEST: Duration = Duration::from_secs(365 * 86_400);

/// A statement: what stands between line ends and semicolons.
#[derive(Copy, Clone)]
struct Cursor<'a> {
    rest: &'a str,
    line: usize,
    column: usize,
}

impl<'a> Cursor<'a> {
    fn error<T>(&self, message: impl Into<String>) -> Result<T, ParseError> {
        Err(ParseError { line: self.line, column: self.column, message: message.into() })
    }

    fn advance(&mut self, bytes: usize) -> &'a str {
        let (taken, rest) = self.rest.split_at(bytes);
        self.column += taken.chars().count();
        self.rest = rest;
        taken
    }

    fn skip_space(&mut self) {
        let space = self.rest.len() - self.rest.trim_start().len();
        self.advance(space);
    }

    /// The next word: up to white space, or up to a colon.
    fn word(&mut self) -> &'a str {
        self.skip_space();
        let end = self.rest.find(|c: char| c.is_whitespace() || c == ':').unwrap_or(self.rest.len());
        self.advance(end)
    }

    fn peek(&self) -> &'a str {
        let mut ahead = *self;
        ahead.word()
    }

    fn expect(&mut self, word: &str) -> Result<(), ParseError> {
        self.skip_space();
        let here = *self;
        match self.word() {
            found if found == word => Ok(()),
            "" => here.error(format!("expected `{word}`, found the end")),
            found => here.error(format!("expected `{word}`, found `{found}`")),
        }
    }

    /// Reads a word as a value; `what` says in an error what it should have been.
    fn value<T>(&mut self, what: &str, read: impl FnOnce(&str) -> Option<T>) -> Result<T, ParseError> {
        self.skip_space();
        let here = *self;
        let word = self.word();
        match read(word) {
            Some(value) => Ok(value),
            None if word.is_empty() => here.error(format!("expected {what}, found the end")),
            None => here.error(format!("expected {what}, found `{word}`")),
        }
    }

    fn number<T: FromStr>(&mut self, what: &str) -> Result<T, ParseError> {
        self.value(what, |word| word.parse().ok())
    }

    fn node(&mut self) -> Result<Addr, ParseError> {
        self.number("the number of a node").map(Addr)
    }

    fn time(&mut self) -> Result<Duration, ParseError> {
        self.skip_space();
        let here = *self;
        let time = self.value("a time such as `1.5s`", seconds)?;
        if time > LONGEST { here.error("expected a time of a year at most") } else { Ok(time) }
    }

    fn chance(&mut self) -> Result<Chance, ParseError> {
        self.value("a probability such as `30%`", |word| {
            let millionths = millionths(word.strip_suffix('%')?)?;
            (millionths % 100 == 0 && millionths <= 100_000_000).then(|| Chance::ppm((millionths / 100) as u32))
        })
    }

    fn nodes(&mut self) -> Result<Nodes, ParseError> {
        self.value("nodes such as `*` or `0-4,7`", |word| match word {
            "*" => Some(Nodes::All),
            _ => list(word).map(Nodes::from_iter),
        })
    }

    fn links(&mut self) -> Result<Links, ParseError> {
        self.expect("on")?;
        let from = self.nodes()?;
        self.expect("->")?;
        Ok(Links { from, to: self.nodes()? })
    }

    fn window(&mut self) -> Result<Window, ParseError> {
        self.expect("from")?;
        let from = self.time()?;
        if self.peek() == "on" {
            self.expect("on")?;
            return Ok(Window::since(from));
        }
        if self.peek() != "to" {
            self.skip_space();
            return self.error("expected `to` and a time, or `on`");
        }
        self.expect("to")?;
        Ok(Window::new(from, self.time()?))
    }

    fn end(&mut self) -> Result<(), ParseError> {
        self.skip_space();
        if self.rest.is_empty() { Ok(()) } else { self.error(format!("expected the end, found `{}`", self.rest)) }
    }
}

/// A decimal number in millionths.
fn millionths(word: &str) -> Option<u64> {
    let (whole, part) = word.split_once('.').unwrap_or((word, "0"));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    if !digits(whole) || !digits(part) || part.len() > 6 {
        return None;
    }
    let part = format!("{part:0<6}").parse::<u64>().ok()?;
    whole.parse::<u64>().ok()?.checked_mul(1_000_000)?.checked_add(part)
}

/// A time such as `1.5s`, `20ms` or `5us`.
pub(crate) fn seconds(word: &str) -> Option<Duration> {
    let unit = word.find(|c: char| c.is_ascii_alphabetic())?;
    let (number, unit) = word.split_at(unit);
    let millionths = millionths(number)?;
    Some(match unit {
        "s" => Duration::from_micros(millionths),
        "ms" if millionths % 1_000 == 0 => Duration::from_micros(millionths / 1_000),
        "us" if millionths % 1_000_000 == 0 => Duration::from_micros(millionths / 1_000_000),
        _ => return None,
    })
}

fn list(word: &str) -> Option<Vec<Addr>> {
    let mut nodes = Vec::new();
    for part in word.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last) = (first.parse::<u32>().ok()?, last.parse::<u32>().ok()?);
        if first > last || last >= MOST_NODES {
            return None;
        }
        // Ranges that say the same again and again take no more room than one.
        let before = nodes.last().is_some_and(|&Addr(last)| first <= last);
        nodes.extend((first..=last).map(Addr));
        if before {
            nodes.sort();
            nodes.dedup();
        }
    }
    Some(nodes)
}

fn fault(cursor: &mut Cursor<'_>, class: &str) -> Result<Option<Fault>, ParseError> {
    Ok(Some(match class {
        "loss" => {
            let (chance, on) = (cursor.chance()?, cursor.links()?);
            Fault::Loss { on, during: cursor.window()?, chance }
        }
        "burst" => {
            let chance = cursor.chance()?;
            cursor.expect("bad")?;
            let bad = cursor.time()?;
            cursor.expect("good")?;
            let good = cursor.time()?;
            Fault::Burst { on: cursor.links()?, during: cursor.window()?, chance, bad, good }
        }
        "duplicate" => {
            let (chance, on) = (cursor.chance()?, cursor.links()?);
            Fault::Duplicate { on, during: cursor.window()?, chance }
        }
        "delay" => {
            let chance = cursor.chance()?;
            cursor.expect("by")?;
            let by = cursor.time()?;
            Fault::Delay { on: cursor.links()?, during: cursor.window()?, chance, by }
        }
        "far" => {
            cursor.expect("by")?;
            let by = cursor.time()?;
            Fault::Far { on: cursor.links()?, during: cursor.window()?, by }
        }
        "corrupt" => {
            let (chance, on) = (cursor.chance()?, cursor.links()?);
            Fault::Corrupt { on, during: cursor.window()?, chance }
        }
        "narrow" => {
            let longest = cursor.number("a length in bytes up to 65535")?;
            Fault::Narrow { longest, on: cursor.links()?, during: cursor.window()? }
        }
        "cut" => {
            let from = cursor.nodes()?;
            let both_ways = cursor.value("`->` or `<->`", |word| match word {
                "->" => Some(false),
                "<->" => Some(true),
                _ => None,
            })?;
            Fault::Cut { on: Links { from, to: cursor.nodes()? }, both_ways, during: cursor.window()? }
        }
        "crash" => {
            let node = cursor.node()?;
            cursor.expect("at")?;
            let at = cursor.time()?;
            let restart = if cursor.peek() == "restart" { Some(restart(cursor)?) } else { None };
            Fault::Crash { node, at, restart }
        }
        "pause" => Fault::Pause { node: cursor.node()?, during: cursor.window()? },
        "twin" => {
            let node = cursor.node()?;
            cursor.expect("of")?;
            let (of, during) = (cursor.node()?, cursor.window()?);
            let stays = cursor.peek() == "stays";
            if stays {
                cursor.expect("stays")?;
            }
            Fault::Twin { node, of, during, stays }
        }
        "guest" => {
            let id = cursor.node()?;
            cursor.expect("at")?;
            Fault::Guest { node: cursor.node()?, id, during: cursor.window()? }
        }
        "move" => {
            let node = cursor.node()?;
            cursor.expect("to")?;
            let (to, during) = (cursor.node()?, cursor.window()?);
            let restarts = cursor.peek() == "restarts";
            if restarts {
                cursor.expect("restarts")?;
            }
            Fault::Move { node, to, during, restarts }
        }
        "misplace" => {
            let node = cursor.node()?;
            cursor.expect("at")?;
            Fault::Misplace { node, at: cursor.node()?, during: cursor.window()? }
        }
        "shorten" => {
            let node = cursor.node()?;
            cursor.expect("to")?;
            let percent = cursor.value("a share such as `60%`", |word| {
                word.strip_suffix('%')?.parse().ok().filter(|percent| (1..=100).contains(percent))
            })?;
            Fault::Shorten { node, percent }
        }
        "set" => {
            let text = |word: &str| (!word.is_empty()).then(|| word.to_owned());
            let name = cursor.value("the name of a setting", text)?;
            let value = cursor.value("its value", text)?;
            cursor.expect("on")?;
            Fault::Set { on: cursor.nodes()?, name, value }
        }
        "damage" => {
            let node = cursor.node()?;
            cursor.expect("at")?;
            let at = cursor.time()?;
            cursor.expect("restart")?;
            cursor.expect("at")?;
            let restart = cursor.time()?;
            cursor.expect("by")?;
            let harm = cursor
                .value("flip, cut, zero or append", |word| Harm::ALL.into_iter().find(|harm| harm.name() == word))?;
            Fault::Damage { node, at, restart, harm }
        }
        "skew" => {
            let node = cursor.node()?;
            cursor.expect("by")?;
            let offset = cursor.value("a time such as `-1.5s`", |word| {
                let time = |text| i64::try_from(seconds(text).filter(|&time| time <= LONGEST)?.as_micros()).ok();
                word.strip_prefix('-').map_or_else(|| time(word), |word| Some(-time(word)?))
            })?;
            cursor.expect("drift")?;
            let drift_ppm = cursor.value("a drift such as `200ppm`", |word| word.strip_suffix("ppm")?.parse().ok())?;
            let beyond = cursor.peek() == "beyond";
            if beyond {
                cursor.expect("beyond")?;
            }
            Fault::Skew { node, during: cursor.window()?, offset, drift_ppm, beyond }
        }
        "lose" => {
            let from = cursor.node()?;
            cursor.expect("->")?;
            let to = cursor.node()?;
            let content = cursor.value("16 hex digits", |word| {
                (word.len() == 16).then(|| u64::from_str_radix(word, 16).ok()).flatten()
            })?;
            let occurrence = cursor.value("a count such as `#0`", |word| word.strip_prefix('#')?.parse().ok())?;
            Fault::LoseExactly { from, to, content, occurrence }
        }
        _ => return Ok(None),
    }))
}

fn write<C: FromStr<Err: fmt::Display>>(cursor: &mut Cursor<'_>) -> Result<Write<C>, ParseError> {
    let at = cursor.time()?;
    cursor.expect("node")?;
    let node = cursor.node()?;
    if !cursor.rest.starts_with(':') {
        return cursor.error("expected `:` and a command");
    }
    cursor.advance(1);
    cursor.skip_space();
    let command = cursor.rest.trim_end().parse().or_else(|error: C::Err| cursor.error(error.to_string()))?;
    cursor.advance(cursor.rest.len());
    Ok(Write { at, node, command })
}

fn restart(cursor: &mut Cursor<'_>) -> Result<Restart, ParseError> {
    cursor.expect("restart")?;
    cursor.expect("at")?;
    let at = cursor.time()?;
    let memory = cursor.value("`with` or `without`", |word| match word {
        "with" => Some(true),
        "without" => Some(false),
        _ => None,
    })?;
    cursor.expect("memory")?;
    Ok(Restart { at, memory })
}

/// Cuts a text at line ends and at semicolons outside of double quotes. A comment reaches to the end of its line.
fn statements(text: &str) -> Vec<Cursor<'_>> {
    let mut statements = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let (mut start, mut column, mut quoted, mut escaped) = (0, 1, false, false);
        let mut next_column = 1;
        for (at, c) in line.char_indices() {
            next_column += 1;
            match c {
                _ if escaped => escaped = false,
                '\\' if quoted => escaped = true,
                '"' => quoted = !quoted,
                '#' if line[start..at].trim_start().is_empty() => break,
                ';' if !quoted => {
                    statements.push(Cursor { rest: &line[start..at], line: number + 1, column });
                    (start, column) = (at + 1, next_column);
                }
                _ => {}
            }
        }
        statements.push(Cursor { rest: &line[start..], line: number + 1, column });
    }
    statements
}

/// Statements on lines of their own, or with semicolons between them. What begins with `#` is a comment, up to the end of
/// the line.
impl<C: FromStr<Err: fmt::Display>> FromStr for Scenario<C> {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let mut scenario = Self { seed: 0, nodes: Vec::new(), seeds: 0, writes: Vec::new(), plan: FaultPlan::new() };
        let mut last = Cursor { rest: "", line: 1, column: 1 };
        let mut seeds = None;
        let mut headers = BTreeSet::new();
        // Whether what they name is there can be said only when all is read.
        let (mut writes, mut faults) = (Vec::new(), Vec::new());
        for mut cursor in statements(text) {
            last = cursor;
            cursor.skip_space();
            if cursor.rest.is_empty() || cursor.rest.starts_with('#') {
                continue;
            }
            let start = cursor;
            let word = cursor.word();
            if matches!(word, "seed" | "seeds" | "nodes") && !headers.insert(word) {
                return start.error(format!("a second `{word}`"));
            }
            match word {
                "seed" => scenario.seed = cursor.number("a number")?,
                "seeds" => seeds = Some(cursor.number("a number")?),
                "nodes" => scenario.nodes = cursor.value("nodes such as `0-4,7`", list)?,
                "at" => {
                    scenario.writes.push(write(&mut cursor)?);
                    writes.push(start);
                }
                class => match fault(&mut cursor, class)? {
                    Some(fault) => {
                        scenario.plan.faults.push(fault);
                        faults.push(start);
                    }
                    None => return start.error(format!("`{class}` begins no statement")),
                },
            }
            cursor.end()?;
        }
        if scenario.nodes.is_empty() {
            return last.error("expected a line `nodes`, found the end");
        }
        scenario.seeds = seeds.unwrap_or_else(|| scenario.nodes.len().min(2) as u32);
        for (write, start) in scenario.writes.iter().zip(writes) {
            scenario.check_write(write).or_else(|message| start.error(message))?;
        }
        for (fault, start) in scenario.plan.faults.iter().zip(faults) {
            scenario.check_fault(fault).or_else(|message| start.error(message))?;
        }
        Ok(scenario)
    }
}
