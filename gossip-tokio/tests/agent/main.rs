//! The agent as people use it: real processes, real sockets, from the command line to the exit code.
#![cfg(unix)]

mod bad;
mod clocks;
mod commands;
mod faults;
mod harness;
mod http;
mod life;
mod page;
mod serf;
mod settings;
