//! Commands that need no running agent: keys, completions, manual pages. Knows the command line's description.

use std::fs;
use std::io::{self, Write as _};
use std::path::Path;

use clap::CommandFactory as _;
use clap_complete::Shell;

use crate::arguments::Arguments;
use crate::failure::Failure;
use crate::output::data;

/// Prints a new key.
///
/// # Errors
/// The operating system gives no random number.
pub(crate) fn keygen() -> Result<(), Failure> {
    let mut key = [0_u8; 32];
    getrandom::fill(&mut key).map_err(|error| Failure::Failed(format!("no random number: {error}")))?;
    // Hex digits also where the bytes happen to be text.
    let digits: String = key.iter().map(|byte| format!("{byte:02x}")).collect();
    debug_assert_ne!(data(digits.as_bytes()).0, "hex");
    print(format!("{digits}\n").as_bytes())
}

/// Prints a completion script.
///
/// # Errors
/// Standard output cannot be written.
pub(crate) fn completions(shell: Shell) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Arguments::command(), "gossip-agent", &mut script);
    print(&script)
}

/// Prints the manual page, or writes those of all commands.
///
/// # Errors
/// The pages cannot be written.
pub(crate) fn man(directory: Option<&Path>) -> Result<(), Failure> {
    let Some(directory) = directory else {
        let mut page = Vec::new();
        clap_mangen::Man::new(Arguments::command())
            .render(&mut page)
            .map_err(|error| Failure::Failed(error.to_string()))?;
        return print(&page);
    };
    let failed = |error: io::Error| Failure::Failed(format!("{}: {error}", directory.display()));
    fs::create_dir_all(directory).map_err(failed)?;
    clap_mangen::generate_to(Arguments::command(), directory).map_err(failed)
}

fn print(bytes: &[u8]) -> Result<(), Failure> {
    match io::stdout().write_all(bytes) {
        // The reader has seen enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        end => end.map_err(|error| Failure::Failed(format!("standard output: {error}"))),
    }
}
