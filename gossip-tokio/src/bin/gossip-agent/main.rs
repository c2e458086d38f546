//! A node to be run on a machine, and to be talked to from its terminal or from another one.
//!
//! One file per purpose. Said: [`arguments`] has the command line, [`settings`] what holds of it together with the
//! configuration file, [`request`] what a client asks, [`topic`] how a message gets a name. Done: [`agent`] is the life of the node, [`commands`] what can be
//! asked of it, [`ask`] what of all agents at once, [`answers`] what it answers others, [`state`] what it remembers, [`handlers`] the programs that it
//! runs, [`reload`] what changes while it runs. Reached: [`control`] and [`serve`] with [`http`], [`client`] from the other side. Shown: [`events`],
//! [`present`], [`output`] and [`monitor`]. [`extras`] is what needs no agent at all. The binary decides nothing about gossip.

#[cfg(unix)]
mod agent;
#[cfg(unix)]
mod answers;
#[cfg(unix)]
mod arguments;
#[cfg(unix)]
mod ask;
#[cfg(unix)]
mod client;
#[cfg(unix)]
mod commands;
#[cfg(unix)]
mod control;
#[cfg(unix)]
mod events;
#[cfg(unix)]
mod extras;
#[cfg(unix)]
mod failure;
#[cfg(unix)]
mod handlers;
#[cfg(unix)]
mod http;
#[cfg(unix)]
mod monitor;
#[cfg(unix)]
mod output;
#[cfg(unix)]
mod present;
#[cfg(unix)]
mod refusal;
#[cfg(unix)]
mod reload;
#[cfg(unix)]
mod request;
#[cfg(unix)]
mod serve;
#[cfg(unix)]
mod settings;
#[cfg(unix)]
mod setup;
#[cfg(unix)]
mod state;
#[cfg(unix)]
mod topic;

#[cfg(unix)]
fn main() -> std::process::ExitCode {
    use arguments::{Arguments, Other};
    use clap::Parser as _;
    use std::process::ExitCode;

    // Also where the command line is not understood.
    let json = std::env::args_os().take_while(|word| word != "--").any(|word| word == "--json");
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => return failure::refuse(&error, json),
    };
    // What follows a value's first word is part of the value.
    let json = match &arguments.other {
        Some(Other::Ctl(ctl)) => ctl.json,
        Some(_) => false,
        None => arguments.start.json,
    };
    let end = match arguments.other {
        Some(Other::Ctl(ctl)) => client::ask(ctl),
        Some(Other::Keygen) => extras::keygen(),
        Some(Other::Completions { shell }) => extras::completions(shell),
        Some(Other::Man { directory }) => extras::man(directory.as_deref()),
        None => agent::run(arguments.start),
    };
    match end {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(json),
    }
}

#[cfg(not(unix))]
fn main() {
    eprintln!("gossip-agent needs Unix sockets and signals");
    std::process::exit(1);
}
