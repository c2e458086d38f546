//! Commands on standard input, answers on standard output. Knows lines; must not know what commands do.

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::thread;

use async_channel::{Receiver, Sender, bounded};
use clap::Parser as _;
use clap::error::ErrorKind;
use futures_util::future::join;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::arguments::{Command, Line};
use crate::commands::{execute, watch};
use crate::output::Form;
use crate::present::{Presenter, Print};
use crate::printer::Printer;
use crate::request::{Request, prepare};
use crate::state::Agent;

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
pub(crate) async fn serve(agent: Arc<Agent>, printer: Printer, json: bool, lines: Receiver<String>) {
    let mut watching: Option<JoinHandle<()>> = None;
    while let Ok(line) = lines.recv().await {
        // A terminal may have another width by now.
        let form = Form::of_stdout(json);
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
        let (request, view) = match prepare(command) {
            Ok(prepared) => prepared,
            Err(failure) => {
                printer.line(failed(form, &failure.to_string())).await;
                continue;
            }
        };
        let presenter = Presenter::new(&request, view, form);
        match (request, watching.take()) {
            (Request::Monitor { .. }, task) => {
                watching = task;
                printer
                    .line(failed(form, "monitor is a command of `gossip-agent ctl`: the log is shown here as it is"))
                    .await;
            }
            (Request::Watch { .. }, Some(task)) => task.abort(),
            (Request::Watch { prefix }, None) => {
                // From now on, not from when the task begins to run.
                let (agent, printer, events) = (Arc::clone(&agent), printer.clone(), agent.gossip.events());
                watching = Some(tokio::spawn(async move {
                    let work = |items| async move { watch(&agent, events, prefix.as_deref(), &items).await };
                    print(&printer, presenter, work).await;
                }));
            }
            (request, task) => {
                watching = task;
                answer(&agent, &printer, presenter, form, request).await;
            }
        }
    }
}

async fn answer(agent: &Agent, printer: &Printer, presenter: Presenter, form: Form, request: Request) {
    let leaves = request == Request::Leave;
    let end = print(printer, presenter, |items| async move { execute(agent, request, &items).await }).await;
    if let Err(refusal) = end {
        printer.line(failed(form, &refusal.error)).await;
    }
    if leaves {
        agent.quit();
    }
}

/// Prints what `work` sends, until it is done.
async fn print<F: Future>(printer: &Printer, presenter: Presenter, work: impl FnOnce(Sender<Value>) -> F) -> F::Output {
    let (sender, items) = bounded(1);
    let mut presenter = presenter;
    let print = async {
        while let Ok(item) = items.recv().await {
            match presenter.item(item) {
                Print::Lines(lines) => say(printer, lines).await,
                // A terminal has no use for bytes.
                Print::Raw(bytes) => printer.line(String::from_utf8_lossy(&bytes).into_owned()).await,
            }
        }
        say(printer, presenter.end()).await;
    };
    join(work(sender), print).await.0
}

async fn say(printer: &Printer, lines: Vec<String>) {
    for line in lines {
        printer.line(line).await;
    }
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
        assert_eq!(
            command("get 'a name'"),
            Some(Command::Get { name: "a name".into(), of: None, share: false, raw: false })
        );
        assert_eq!(command("list"), Some(Command::List { of: None, share: false, prefix: String::new() }));
    }

    #[test]
    fn what_is_no_command_is_refused_by_its_name() {
        for (line, named) in [("nosuch", "nosuch"), ("get", "<NAME>"), ("get 'a", "quote"), ("put x", "<VALUE>")] {
            let Err(refused) = parse(line) else { panic!("{line} was accepted") };
            assert!(refused.text.contains(named) && !refused.is_help, "{}", refused.text);
        }
        let Err(Refused { text, is_help: true }) = parse("help") else { panic!("it is help") };
        assert!(text.starts_with("  info ") && text.contains("  broadcast "), "commands and nothing before: {text}");
        assert!(
            matches!(parse("help put"), Err(Refused { text, is_help: true }) if text.contains("Usage: put [OPTIONS] <NAME>"))
        );
    }
}
