//! Programs that are run when something happens. Knows processes; must not know where events come from.

use std::future::Future;
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};

use async_channel::{Receiver, Sender, bounded};
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
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
/// Bytes of an answer that are read: more than fit a datagram, so that one that is too long is told.
const ANSWER: usize = 64 << 10;
/// Bytes of a variable of the environment; a longer text is on standard input only.
const VARIABLE: usize = 8 << 10;
/// Kind of the event that is answered.
const QUERY: &str = "query";

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
        // A query is answered, by one of them.
        for handler in held.iter().filter(|handler| event["event"] != QUERY && concerns(handler, event)) {
            if self.queue.try_send((handler.clone(), event.clone())).is_err() {
                tracing::warn!("{} is not run for {}: {QUEUE} runs wait already", handler.run[0], event["event"]);
            }
        }
    }
}

impl Handlers {
    /// Has the first program run that is for this query by its kind; what it prints is the answer.
    pub(crate) fn answer(&self, event: &Value) -> Option<impl Future<Output = Result<Vec<u8>, String>> + Send + use<>> {
        let held = Arc::clone(&self.held.lock().unwrap_or_else(PoisonError::into_inner));
        let named = |handler: &&Handler| handler.on.iter().any(|on| on == QUERY) && concerns(handler, event);
        let (handler, event) = (held.iter().find(named)?.clone(), event.clone());
        Some(async move { run(&handler, &event).await })
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

/// Runs a program, and returns what it has printed if it was asked. The event is in the environment, as far as it fits there, and on standard
/// input as a line of JSON.
async fn run(handler: &Handler, event: &Value) -> Result<Vec<u8>, String> {
    let mut command = Command::new(&handler.run[0]);
    let asked = event["event"] == QUERY;
    let stdout = if asked { Stdio::piped() } else { Stdio::null() };
    command.args(&handler.run[1..]).stdin(Stdio::piped()).stdout(stdout).stderr(Stdio::piped());
    for key in ["event", "name", "id", "status", "was", "address", "owner", "from", "topic", "value"] {
        // What others write may be anything but a zero, which no variable can hold.
        if let Some(text) = event[key].as_str().filter(|text| text.len() <= VARIABLE && !text.contains('\0')) {
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
    let complaint = printed(child.stderr.take(), COMPLAINT);
    let answer = printed(child.stdout.take(), ANSWER);
    let all = async { futures_util::future::join4(feed, complaint, answer, child.wait()).await };
    let ended = tokio::time::timeout(handler.timeout, all).await;
    let ((), complaint, answer, status) = ended.map_err(|_| format!("it was killed after {:?}", handler.timeout))?;
    match status.map_err(|error| error.to_string())? {
        status if status.success() => Ok(answer),
        status => Err(format!("{status}: {}", shown(complaint.trim_ascii()))),
    }
}

/// Returns the first bytes that a program prints. What is beyond is read nevertheless: a full pipe would stop the program.
async fn printed(pipe: Option<impl AsyncRead + Unpin>, most: usize) -> Vec<u8> {
    let mut text = Vec::new();
    if let Some(mut pipe) = pipe {
        let _ = (&mut pipe).take(most as u64).read_to_end(&mut text).await;
        let _ = tokio::io::copy(&mut pipe, &mut tokio::io::sink()).await;
    }
    text
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
        let query = json!({ "event": "query", "topic": "load", "value": "now" });
        let asked = handler(&["query"], Some("load"), "echo $GOSSIP_TOPIC; head -c 100000 /dev/zero >&2");
        assert_eq!(run(&asked, &query).await.expect("it answers"), b"load\n");
        let handlers = Handlers::start([handler(&[], None, "echo no"), asked].to_vec());
        assert_eq!(handlers.answer(&query).expect("one is for it").await.expect("it answers"), b"load\n");
        assert!(handlers.answer(&json!({ "event": "query", "topic": "other" })).is_none());
        run(&handler(&[], None, &format!("{told} && grep -q '\"name\":\"x\"'")), &event).await.expect("on stdin");
        let failed = run(&handler(&[], None, "echo no >&2; exit 3"), &event).await.unwrap_err();
        assert!(failed.contains("exit status: 3") && failed.contains("no"), "{failed}");
        let killed = run(&handler(&[], None, "sleep 60"), &event).await.unwrap_err();
        assert!(killed.contains("killed after 500ms"), "{killed}");
        let missing = Handler { run: vec!["/nosuch".into()], ..handler(&[], None, "") };
        assert!(run(&missing, &event).await.unwrap_err().contains("No such file"));
    }
}
