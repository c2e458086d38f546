//! Look of the answers: tables for people, JSON objects for programs. Knows text, not where it goes.

use std::borrow::Cow;
use std::time::{Duration, UNIX_EPOCH};

use comfy_table::ColumnConstraint::{ContentWidth, LowerBoundary};
use comfy_table::{Cell, ContentArrangement, Row, Table, TableStyle, Width};
use serde::{Deserialize, Serialize};

/// Characters of a cell that are looked at: more than any terminal shows in a line, and than any name has.
const LONGEST: usize = 4_096;
/// Columns that the last cell has at least, however long the others are.
const LEAST: u16 = 8;
/// Columns of a terminal that does not say how many it has.
const COLUMNS: usize = 80;

/// The part of a table that may be shortened.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub(crate) enum Cut {
    /// None.
    Nothing,
    /// The last column, on a terminal.
    Last,
}

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
            false if std::io::stdout().is_terminal() => {
                Self::Terminal(terminal_size::terminal_size().map_or(COLUMNS, |(width, _)| width.0.max(1).into()))
            }
            false => Self::Plain,
        }
    }

    /// A line that says the same to both.
    pub(crate) fn line(self, object: &serde_json::Value, text: impl FnOnce() -> String) -> String {
        if self == Self::Json { object.to_string() } else { text() }
    }

    /// A table: a header, and below it one line for each row. The columns are as wide as what they hold, so that a name,
    /// an id or an address is never cut; the last column is shortened to the room that a terminal has left if `cut` says
    /// so.
    pub(crate) fn table<const N: usize>(self, header: [&str; N], rows: &[[String; N]], cut: Cut) -> Vec<String> {
        let rows =
            || [header.map(Cow::Borrowed)].into_iter().chain(rows.iter().map(|row| row.each_ref().map(Cow::from)));
        let (columns, room) = match (self, cut) {
            (Self::Terminal(columns), Cut::Last) => (N, columns),
            // Not the last one: padded to the longest value, the table would be as long as all of them together.
            _ => (N.saturating_sub(1), 0),
        };
        let mut table = Table::new();
        table.load_style(TableStyle::new()).set_content_arrangement(ContentArrangement::Dynamic);
        // Cells are cut between two characters, not between two words.
        table.set_width(u16::try_from(room).unwrap_or(u16::MAX)).set_delimiter('\0');
        for row in rows() {
            let cells = row[..columns].iter().map(|cell| Cell::new(cell.chars().take(LONGEST).collect::<String>()));
            let mut row = Row::from(cells.collect::<Vec<_>>());
            row.max_height(1);
            table.add_row(row);
        }
        for (index, column) in table.column_iter_mut().enumerate() {
            let last = index == N - 1;
            column.set_padding((0, if last { 0 } else { 2 }));
            column.set_constraint(if last { LowerBoundary(Width::Fixed(LEAST)) } else { ContentWidth });
        }
        let lines = table.lines().zip(rows()).map(|(line, row)| match row.get(columns) {
            Some(last) => format!("{line}{last}").trim_end().to_owned(),
            None => line.trim_end().to_owned(),
        });
        lines.collect()
    }
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

/// The bytes that hex digits stand for.
///
/// # Errors
/// They are none.
pub(crate) fn bytes(digits: &str) -> Result<Vec<u8>, String> {
    let refused = || format!("hex digits come in pairs, these {} characters are none", digits.len());
    if !digits.len().is_multiple_of(2) || !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return Err(refused());
    }
    let pair = |at| u8::from_str_radix(&digits[at..at + 2], 16).map_err(|_| refused());
    (0..digits.len()).step_by(2).map(pair).collect()
}

/// A time in microseconds since 1970, as UTC with its date after RFC 3339; on a terminal with a space in it.
pub(crate) fn time(micros: u64, form: Form) -> String {
    // What is beyond the last day that can be written is written as that.
    let latest = 253_402_300_799;
    let time = UNIX_EPOCH + Duration::from_secs((micros / 1_000_000).min(latest));
    let text = humantime::format_rfc3339_seconds(time).to_string();
    if matches!(form, Form::Terminal(_)) { text.replacen('T', " ", 1) } else { text }
}

/// Seconds as people say them, in at most two units.
pub(crate) fn span(seconds: u64) -> String {
    let text = humantime::format_duration(Duration::from_secs(seconds)).to_string();
    text.split(' ').take(2).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cells(rows: &[[&str; 2]]) -> Vec<[String; 2]> {
        rows.iter().map(|row| row.map(String::from)).collect()
    }

    #[test]
    fn a_table_is_aligned_and_fits_a_terminal() {
        let rows = cells(&[["a", "1"], ["long", &"x y".repeat(30)]]);
        let table = Form::Terminal(20).table(["NAME", "VALUE"], &rows, Cut::Last);
        assert_eq!(table, ["NAME  VALUE", "a     1", "long  x yx yx yx yx…"]);
        let plain = Form::Plain.table(["NAME", "VALUE"], &rows, Cut::Last);
        assert_eq!(plain[2].len(), 96, "nothing is cut where nothing need be");
    }

    #[test]
    fn what_is_wide_counts_as_wide() {
        let rows = cells(&[["名前", "値値値値値値値値値値"], ["e\u{301}", "1"]]);
        let table = Form::Terminal(20).table(["NAME", "VALUE"], &rows, Cut::Last);
        assert_eq!(table, ["NAME  VALUE", "名前  値値値値値値…", "e\u{301}     1"]);
    }

    #[test]
    fn no_length_of_a_cell_is_too_much_and_an_address_is_never_cut() {
        for length in [0, 1, 255, 4_095, 4_096, 65_535, 65_536, 1 << 20] {
            let value = "v".repeat(length);
            let rows = cells(&[["name", &value], [&"n".repeat(255), "x"]]);
            for form in [Form::Terminal(1), Form::Terminal(80), Form::Terminal(180), Form::Plain] {
                let table = form.table(["NAME", "VALUE"], &rows, Cut::Last);
                let [_, long, other] = &*table else { panic!("three lines, not {}", table.len()) };
                assert!(long.starts_with("name") && other.starts_with(&"n".repeat(255)), "{form:?}, {length}");
                assert_eq!(long.ends_with(&*value), form == Form::Plain || length <= 8, "{form:?}, {length}");
                let table = form.table(["NAME", "ADDRESS"], &rows, Cut::Nothing);
                assert!(table[1].ends_with(&*value), "{form:?}, {length}");
            }
        }
    }

    #[test]
    fn a_peer_cannot_command_the_terminal() {
        assert_eq!(shown(b"a\x1b[2Jb\n"), r"a\u{1b}[2Jb\n");
        assert_eq!(shown("grün".as_bytes()), "grün");
        assert_eq!(shown(&[0xff, b'a']), r"\xffa");
        assert_eq!(data(&[0xff, 0]), ("hex", "ff00".into()));
        assert_eq!(bytes("ff00"), Ok(vec![0xff, 0]));
    }

    #[test]
    fn times_have_a_date() {
        assert_eq!(time(1_700_000_000_123_456, Form::Plain), "2023-11-14T22:13:20Z");
        assert_eq!(time(1_700_000_000_123_456, Form::Terminal(80)), "2023-11-14 22:13:20Z");
        assert_eq!(time(u64::MAX, Form::Plain), "9999-12-31T23:59:59Z");
        assert_eq!((span(0), span(59), span(90_061)), ("0s".into(), "59s".into(), "1day 1h".into()));
    }
}
