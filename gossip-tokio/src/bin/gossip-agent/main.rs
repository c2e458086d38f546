//! A node to be run on a machine, and to be talked to from its terminal or from another one.
//!
//! One file per purpose: [`arguments`] is what may be said and [`setup`] what that stands for, [`agent`] the life of the
//! node, [`commands`] what can be asked of it, [`console`] and [`control`] the two ways to ask, [`output`], [`events`]
//! and [`printer`] how answers look and get out, [`data`] and [`keeping`] what outlives the process. The binary decides nothing about gossip.

#[cfg(unix)]
mod agent;
#[cfg(unix)]
mod arguments;
#[cfg(unix)]
mod commands;
#[cfg(unix)]
mod console;
#[cfg(unix)]
mod control;
#[cfg(unix)]
mod data;
#[cfg(unix)]
mod events;
#[cfg(unix)]
mod failure;
#[cfg(unix)]
mod keeping;
#[cfg(unix)]
mod output;
#[cfg(unix)]
mod printer;
#[cfg(unix)]
mod setup;

#[cfg(unix)]
fn main() -> std::process::ExitCode {
    use clap::Parser as _;

    let arguments = arguments::Arguments::parse();
    let end = match arguments.ctl {
        Some(arguments::Other::Ctl(ctl)) => control::ask(ctl),
        None => agent::run(arguments.start),
    };
    match end {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}

#[cfg(not(unix))]
fn main() {
    eprintln!("gossip-agent needs Unix sockets and signals");
    std::process::exit(1);
}
