//! The client of an agent: sends a command through the control socket and prints the answer. Knows frames and forms;
//! must not know what commands do.

use std::io::{self, Write as _};
use std::path::Path;

use axum::http::{Request as Message, header};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;

use crate::arguments::Ctl;
use crate::commands::{Code, Refusal};
use crate::control::NO_PATH;
use crate::failure::Failure;
use crate::http::Frame;
use crate::output::Form;
use crate::present::{Presenter, Print};
use crate::request::{Request, prepare};

/// Asks an agent what the command line says, and prints what it answers.
///
/// # Errors
/// Nobody answers; it was not done.
pub(crate) fn ask(ctl: Ctl) -> Result<(), Failure> {
    let path = ctl.control.path().ok_or_else(|| Failure::Usage(NO_PATH.into()))?;
    let form = Form::of_stdout(ctl.json);
    let (request, view) = prepare(ctl.command)?;
    let presenter = Presenter::new(&request, view, form);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::Failed(format!("no runtime: {error}")))?;
    runtime.block_on(converse(&path, &request, presenter))
}

async fn converse(path: &Path, request: &Request, mut presenter: Presenter) -> Result<(), Failure> {
    let broken = |error: &dyn std::fmt::Display| Failure::Failed(format!("the agent at {}: {error}", path.display()));
    let stream = UnixStream::connect(path)
        .await
        .map_err(|error| Failure::Failed(format!("no agent answers at {}: {error}", path.display())))?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(|error| broken(&error))?;
    tokio::spawn(connection);
    let body = serde_json::to_vec(request).map_err(|error| broken(&error))?;
    let message = Message::post("/v1/command")
        .header(header::HOST, "localhost")
        .header(header::CONTENT_TYPE, "application/json")
        .body(Full::new(Bytes::from(body)))
        .map_err(|error| broken(&error))?;
    let response = sender.send_request(message).await.map_err(|error| broken(&error))?;
    let success = response.status();
    let (mut body, mut held) = (response.into_body(), Vec::new());
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(|error| broken(&error))?.into_data() else { continue };
        let searched = held.len();
        held.extend_from_slice(&data);
        if !success.is_success() {
            continue;
        }
        let Some(end) = held[searched..].iter().rposition(|byte| *byte == b'\n') else { continue };
        let rest = held.split_off(searched + end + 1);
        for line in std::mem::replace(&mut held, rest).split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            match serde_json::from_slice(line).map_err(|error| broken(&error))? {
                Frame::Item(item) => {
                    if print(presenter.item(item)).is_err() {
                        // The reader has seen enough: `| head` is no failure.
                        return Ok(());
                    }
                }
                Frame::Refused(refusal) => return Err(failure(refusal)),
                Frame::Done(_) => {
                    let _ = print(Print::Lines(presenter.end()));
                    return Ok(());
                }
            }
        }
    }
    if success.is_success() {
        return Err(broken(&"it ended before it had answered"));
    }
    Err(match serde_json::from_slice(&held) {
        Ok(refusal) => failure(refusal),
        // What is too large is refused before anybody looks at it.
        Err(_) => Failure::Usage(String::from_utf8_lossy(&held).into_owned()),
    })
}

/// Turns a refusal into a failure: an invalid request counts as a command line that is not understood.
fn failure(refusal: Refusal) -> Failure {
    match refusal.code {
        Code::Invalid => Failure::Usage(refusal.error),
        Code::NotFound | Code::Failed => Failure::Failed(refusal.error),
    }
}

fn print(print: Print) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    match print {
        Print::Lines(lines) => lines.iter().try_for_each(|line| writeln!(stdout, "{line}"))?,
        Print::Raw(bytes) => stdout.write_all(&bytes)?,
    }
    stdout.flush()
}
