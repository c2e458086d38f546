//! Standard output: tables for people, or one JSON object per line. Nothing else writes there.

use std::io::{self, Write};

use serde::Serialize;

use crate::failure::Failure;

/// Destination of results.
#[derive(Debug)]
pub(crate) struct Output {
    json: bool,
    out: io::Stdout,
}

impl Output {
    pub(crate) fn new(json: bool) -> Self {
        Self { json, out: io::stdout() }
    }

    /// A result, for programs; people get a [`table`](Self::table).
    pub(crate) fn object(&mut self, object: &impl Serialize) -> Result<(), Failure> {
        if self.json {
            serde_json::to_writer(&mut self.out, object).map_err(io::Error::from)?;
            writeln!(self.out)?;
        }
        Ok(())
    }

    /// For people: a title, a header, and rows aligned to the right beneath it.
    pub(crate) fn table<const N: usize>(
        &mut self,
        title: &str,
        header: [&str; N],
        rows: &[[String; N]],
    ) -> Result<(), Failure> {
        if self.json {
            return Ok(());
        }
        let width = |column: usize| {
            let cells = rows.iter().map(|row| row[column].chars().count());
            cells.chain([header[column].chars().count()]).max().unwrap_or(0)
        };
        let widths: [usize; N] = std::array::from_fn(width);
        let mut line = |cells: [&str; N]| {
            let cells = cells.iter().zip(widths).map(|(cell, width)| format!("{cell:>width$}"));
            writeln!(self.out, "  {}", cells.collect::<Vec<_>>().join("  "))
        };
        writeln!(io::stdout(), "{title}")?;
        line(header)?;
        for row in rows {
            line(row.each_ref().map(String::as_str))?;
        }
        Ok(())
    }

    /// For people: a line of text.
    pub(crate) fn note(&mut self, text: &str) -> Result<(), Failure> {
        if !self.json {
            writeln!(self.out, "{text}")?;
        }
        Ok(())
    }
}

/// Three digits that count, in the notation that is easiest to read.
pub(crate) fn figure(value: f64) -> String {
    match value.abs() {
        0.0 => "0".into(),
        small if small < 1e-3 => format!("{value:.2e}"),
        small => {
            let decimals = (2 - small.log10().floor() as i32).max(0) as usize;
            format!("{value:.decimals$}")
        }
    }
}
