//! How answers look: tables for people, JSON objects for programs. Knows text, not where it goes.

use serde::{Deserialize, Serialize};

/// For whom an answer is written.
#[derive(Debug, Copy, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Form {
    /// A person before a terminal of so many columns.
    Terminal(usize),
    /// A person's file or pipe: nothing is shortened.
    Plain,
    /// A program: one object per line.
    Json,
}

impl Form {
    /// For standard output.
    pub(crate) fn of_stdout(json: bool) -> Self {
        use std::io::IsTerminal as _;

        match json {
            true => Self::Json,
            false if std::io::stdout().is_terminal() => Self::Terminal(80),
            false => Self::Plain,
        }
    }

    /// A line that says the same to both.
    pub(crate) fn line(self, object: &serde_json::Value, text: impl FnOnce() -> String) -> String {
        if self == Self::Json { object.to_string() } else { text() }
    }

    /// A table: a header, and below it rows of as many cells. The last column takes what room is left.
    pub(crate) fn table<const N: usize>(self, header: [&str; N], rows: &[[String; N]]) -> Vec<String> {
        let mut widths = header.map(width);
        for row in rows {
            for (widest, cell) in widths.iter_mut().zip(row) {
                *widest = width(cell).max(*widest);
            }
        }
        let line = |cells: [&str; N]| {
            let padded = cells.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}"));
            let line = padded.collect::<Vec<_>>().join("  ");
            self.fit(line.trim_end())
        };
        [line(header)].into_iter().chain(rows.iter().map(|row| line(row.each_ref().map(String::as_str)))).collect()
    }

    /// Shortened to what a terminal shows in a line.
    fn fit(self, line: &str) -> String {
        match self {
            Self::Terminal(columns) if width(line) > columns => {
                line.chars().take(columns.saturating_sub(1)).chain(['…']).collect()
            }
            _ => line.to_owned(),
        }
    }
}

fn width(text: &str) -> usize {
    text.chars().count()
}

/// Bytes of a peer's for a terminal: what would command the terminal is escaped, and what is no text.
pub(crate) fn shown(bytes: &[u8]) -> String {
    let Ok(text) = std::str::from_utf8(bytes) else { return bytes.escape_ascii().to_string() };
    let escape = |c: char| if c.is_control() { c.escape_default().to_string() } else { c.to_string() };
    text.chars().map(escape).collect()
}

/// Bytes for a program: text where it is text, hex digits otherwise.
pub(crate) fn data(bytes: &[u8]) -> (&'static str, String) {
    match std::str::from_utf8(bytes) {
        Ok(text) => ("value", text.to_owned()),
        Err(_) => ("hex", bytes.iter().map(|byte| format!("{byte:02x}")).collect()),
    }
}

/// UTC.
pub(crate) fn time_of_day(seconds: u64) -> String {
    let seconds = seconds % 86_400;
    format!("{:02}:{:02}:{:02}Z", seconds / 3_600, seconds / 60 % 60, seconds % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_aligned_and_fits_a_terminal() {
        let rows = [["a".into(), "1".into()], ["long".into(), "x".repeat(30)]];
        let table = Form::Terminal(20).table(["NAME", "VALUE"], &rows);
        assert_eq!(table, ["NAME  VALUE", "a     1", "long  xxxxxxxxxxxxx…"]);
        assert_eq!(Form::Plain.table(["NAME", "VALUE"], &rows)[2].len(), 36, "nothing is cut where nothing need be");
    }

    #[test]
    fn a_peer_cannot_command_the_terminal() {
        assert_eq!(shown(b"a\x1b[2Jb\n"), r"a\u{1b}[2Jb\n");
        assert_eq!(shown("grün".as_bytes()), "grün");
        assert_eq!(shown(&[0xff, b'a']), r"\xffa");
        assert_eq!(data(&[0xff, 0]), ("hex", "ff00".into()));
    }
}
