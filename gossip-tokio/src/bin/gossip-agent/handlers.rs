//! Programs that are run when something happens. Knows processes; must not know where events come from.

use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};

use async_channel::{Receiver, Sender, bounded};
use serde_json::Value;
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;
use wildmatch::WildMatch;

use crate::output::shown;
use crate::settings::Handler;

/// Programs that run at a time.
const AT_A_TIME: usize = 4;
/// Runs that wait for their turn; what comes on top is left out, and told.
const QUEUE: usize = 256;
/// Bytes of a program's complaints that are repeated in the log.
const COMPLAINT: usize = 200;

/// The handlers of an agent. The programs run one after the other where there are too many, never all at once.
pub(crate) struct Handlers {
    held: Mutex<Arc<[Handler]>>,
    queue: Sender<(Handler, Value)>,
}

impl Handlers {
    /// Makes the tasks that run the programs.
    pub(crate) fn start(handlers: Vec<Handler>) -> Self {
        let (queue, runs) = bounded(QUEUE);
        for _ in 0..AT_A_TIME {
            tokio::spawn(work(runs.clone()));
        }
        Self { held: Mutex::new(handlers.into()), queue }
    }

    /// Other handlers from now on; what waits is still run.
    pub(crate) fn replace(&self, handlers: Vec<Handler>) {
        *self.held.lock().unwrap_or_else(PoisonError::into_inner) = handlers.into();
    }

    /// Has the programs run that this event is for.
    pub(crate) fn take(&self, event: &Value) {
        let held = Arc::clone(&self.held.lock().unwrap_or_else(PoisonError::into_inner));
        for handler in held.iter().filter(|handler| concerns(handler, event)) {
            if self.queue.try_send((handler.clone(), event.clone())).is_err() {
                tracing::warn!("{} is not run for {}: {QUEUE} runs wait already", handler.run[0], event["event"]);
            }
        }
    }
}

fn concerns(handler: &Handler, event: &Value) -> bool {
    let kind = event["event"].as_str().unwrap_or_default();
    let name = event["topic"].as_str().or(event["name"].as_str()).unwrap_or_default();
    (handler.on.is_empty() || handler.on.iter().any(|on| on == kind))
        && handler.name.as_ref().is_none_or(|pattern| WildMatch::new(pattern).matches(name))
}

async fn work(runs: Receiver<(Handler, Value)>) {
    while let Ok((handler, event)) = runs.recv().await {
        if let Err(reason) = run(&handler, &event).await {
            tracing::warn!("the handler {} for {} failed: {reason}", handler.run[0], event["event"]);
        }
    }
}

/// The event is in the environment, as far as it fits there, and on standard input as a line of JSON.
async fn run(handler: &Handler, event: &Value) -> Result<(), String> {
    let mut command = Command::new(&handler.run[0]);
    command.args(&handler.run[1..]).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    for key in ["event", "name", "id", "status", "was", "address", "owner", "from", "topic"] {
        // What others write may be anything but a zero, which no variable can hold.
        if let Some(text) = event[key].as_str().filter(|text| !text.contains('\0')) {
            command.env(format!("GOSSIP_{}", key.to_uppercase()), text);
        }
    }
    let mut child = command.kill_on_drop(true).spawn().map_err(|error| error.to_string())?;
    let stdin = child.stdin.take();
    let line = format!("{event}\n");
    let feed = async move {
        if let Some(mut stdin) = stdin {
            // A program need not read it.
            let _ = stdin.write_all(line.as_bytes()).await;
        }
    };
    let stderr = child.stderr.take();
    let complaint = async move {
        use tokio::io::AsyncReadExt as _;

        let mut text = Vec::new();
        if let Some(mut stderr) = stderr {
            let _ = (&mut stderr).take(COMPLAINT as u64).read_to_end(&mut text).await;
            // What is not repeated is read nevertheless: a full pipe would stop the program.
            let _ = tokio::io::copy(&mut stderr, &mut tokio::io::sink()).await;
        }
        text
    };
    let all = async { futures_util::future::join3(feed, complaint, child.wait()).await };
    let ended = tokio::time::timeout(handler.timeout, all).await;
    let ((), complaint, status) = ended.map_err(|_| format!("it was killed after {:?}", handler.timeout))?;
    match status.map_err(|error| error.to_string())? {
        status if status.success() => Ok(()),
        status => Err(format!("{status}: {}", shown(complaint.trim_ascii()))),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::*;

    fn handler(on: &[&str], name: Option<&str>, script: &str) -> Handler {
        let run = ["sh", "-c", script].map(String::from).to_vec();
        let on = on.iter().map(|kind| (*kind).to_owned()).collect();
        Handler { on, name: name.map(String::from), run, timeout: Duration::from_millis(500) }
    }

    #[test]
    fn a_handler_is_run_for_what_it_names() {
        let event = json!({ "event": "entry", "name": "config/limit" });
        for (on, name, concerned) in [
            (&[][..], None, true),
            (&["entry"], Some("config/*"), true),
            (&["member"], None, false),
            (&["entry"], Some("other"), false),
        ] {
            assert_eq!(concerns(&handler(on, name, ""), &event), concerned, "{on:?} {name:?}");
        }
    }

    #[tokio::test]
    async fn a_program_that_fails_or_does_not_end_is_told() {
        let event = json!({ "event": "entry", "name": "x", "value": "v".repeat(1 << 20) });
        let told = "test $GOSSIP_EVENT-$GOSSIP_NAME = entry-x";
        run(&handler(&[], None, told), &event).await.expect("without reading it");
        run(&handler(&[], None, &format!("{told} && grep -q '\"name\":\"x\"'")), &event).await.expect("on stdin");
        let failed = run(&handler(&[], None, "echo no >&2; exit 3"), &event).await.unwrap_err();
        assert!(failed.contains("exit status: 3") && failed.contains("no"), "{failed}");
        let killed = run(&handler(&[], None, "sleep 60"), &event).await.unwrap_err();
        assert!(killed.contains("killed after 500ms"), "{killed}");
        let missing = Handler { run: vec!["/nosuch".into()], ..handler(&[], None, "") };
        assert!(run(&missing, &event).await.unwrap_err().contains("No such file"));
    }
}
