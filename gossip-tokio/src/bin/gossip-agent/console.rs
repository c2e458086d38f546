//! Commands on standard input, answers on standard output. Knows lines; must not know what commands do.

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::thread;

use async_channel::{Receiver, Sender, bounded};
use clap::Parser as _;
use clap::error::ErrorKind;
use futures_util::future::join;
use serde_json::json;
use tokio::task::JoinHandle;

use crate::agent::Agent;
use crate::arguments::{Command, Line};
use crate::commands::{Request, execute, watch};
use crate::output::Form;
use crate::printer::Printer;

/// Lines of standard input, from a thread of its own: nothing else can wait for a terminal and for a network at once.
pub(crate) fn lines() -> Receiver<String> {
    let (sender, lines) = bounded(1);
    thread::spawn(move || {
        for line in io::stdin().lines() {
            // What is no text is no command either.
            let line = line.unwrap_or_else(|error| format!("{error:?}"));
            if sender.send_blocking(line).is_err() {
                return;
            }
        }
    });
    lines
}

/// Answers until standard input ends.
pub(crate) async fn serve(agent: Arc<Agent>, printer: Printer, form: Form, lines: Receiver<String>) {
    let mut watching: Option<JoinHandle<()>> = None;
    while let Ok(line) = lines.recv().await {
        let command = match parse(&line) {
            Ok(None) => continue,
            Ok(Some(command)) => command,
            Err(Refused { text, is_help: true }) => {
                printer.line(form.line(&json!({ "help": text }), || text.clone())).await;
                continue;
            }
            Err(Refused { text, is_help: false }) => {
                printer.line(failed(form, &text)).await;
                continue;
            }
        };
        match (command, watching.take()) {
            (Command::Watch, Some(task)) => task.abort(),
            (Command::Watch, None) => {
                // From now on, not from when the task begins to run.
                let (agent, printer, events) = (Arc::clone(&agent), printer.clone(), agent.gossip.events());
                watching = Some(tokio::spawn(async move {
                    print(&printer, |lines| async move { watch(&agent, events, form, &lines).await }).await;
                }));
            }
            (command, task) => {
                watching = task;
                answer(&agent, &printer, form, command).await;
            }
        }
    }
}

async fn answer(agent: &Agent, printer: &Printer, form: Form, command: Command) {
    let leaves = command == Command::Leave;
    let request = Request { command, form };
    let end = print(printer, |lines| async move { execute(agent, request, &lines).await }).await;
    if let Err(reason) = end {
        printer.line(failed(form, &reason)).await;
    }
    if leaves {
        agent.quit();
    }
}

/// Prints what `work` sends, until it is done.
async fn print<F: Future>(printer: &Printer, work: impl FnOnce(Sender<String>) -> F) -> F::Output {
    let (sender, lines) = bounded(1);
    let print = async {
        while let Ok(line) = lines.recv().await {
            printer.line(line).await;
        }
    };
    join(work(sender), print).await.0
}

/// A failure at the console is an answer, so that whoever reads them in order is never out of step.
fn failed(form: Form, reason: &str) -> String {
    // What clap says beyond the first line is help, for people.
    let short = reason.lines().next().unwrap_or(reason).trim_start_matches("error: ");
    form.line(&json!({ "error": short }), || reason.to_owned())
}

struct Refused {
    text: String,
    is_help: bool,
}

/// The command that a line says; none if the line says nothing.
fn parse(line: &str) -> Result<Option<Command>, Refused> {
    let refused = |text: &str| Refused { text: text.trim_end().to_owned(), is_help: false };
    let words = shlex::split(line).ok_or_else(|| refused("error: a quote is not closed"))?;
    if words.is_empty() {
        return Ok(None);
    }
    match Line::try_parse_from(words) {
        Ok(line) => Ok(Some(line.command)),
        Err(error) => {
            let is_help = error.kind() == ErrorKind::DisplayHelp;
            Err(Refused { is_help, ..refused(&error.to_string()) })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn command(line: &str) -> Option<Command> {
        parse(line).unwrap_or_else(|refused| panic!("{}", refused.text))
    }

    #[test]
    fn lines_are_split_as_a_shell_does() {
        assert_eq!(command("  "), None);
        assert_eq!(command("get 'a name'"), Some(Command::Get { name: "a name".into() }));
        assert_eq!(command("list"), Some(Command::List { prefix: String::new() }));
    }

    #[test]
    fn what_is_no_command_is_refused_by_its_name() {
        for (line, named) in [("nosuch", "nosuch"), ("get", "<NAME>"), ("get 'a", "quote"), ("put x", "<VALUE>")] {
            let Err(refused) = parse(line) else { panic!("{line} was accepted") };
            assert!(refused.text.contains(named) && !refused.is_help, "{}", refused.text);
        }
        let Err(Refused { text, is_help: true }) = parse("help") else { panic!("it is help") };
        assert!(text.starts_with("  members ") && text.contains("  broadcast "), "commands and nothing before: {text}");
        assert!(
            matches!(parse("help put"), Err(Refused { text, is_help: true }) if text.contains("Usage: put <NAME>"))
        );
    }
}
