//! The life of an agent: from what was asked for to the node, and from the first signal to the end. Knows all the
//! parts; must not know what commands do.

use std::io::{self, IsTerminal as _, Write as _};
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread;

use async_channel::{Receiver, bounded};
use gossip_tokio::gossip_core::Event;
use gossip_tokio::{Events, Lagged, SpawnError, bind};
use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};

use crate::answers;
use crate::arguments::Start;
use crate::commands::{LEAVING, SAVING};
use crate::control::{self, Listening};
use crate::events::{line, tell};
use crate::failure::{Failure, chain};
use crate::output::Form;
use crate::reload;
use crate::serve::{Access, Server};
use crate::settings::Settings;
use crate::setup::{self, Log};
use crate::state::Agent;

/// Runs an agent until it ends.
///
/// # Errors
/// An invalid request; something that it needs is not there; it has not left as it should.
pub(crate) fn run(start: Start) -> Result<(), Failure> {
    let settings = Settings::of(&start)?;
    if start.check {
        let shown = settings.shown()?;
        // Whoever reads no further knows enough.
        let _ = io::stdout().write_all(shown.as_bytes());
        return Ok(());
    }
    let (log, _writing) = setup::log(&settings)?;
    settings.warn();
    // One thread is enough for a node, and the smallest.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::Failed(format!("no runtime: {error}")))?;
    runtime.block_on(live(start, settings, log))
}

/// The signals that an agent knows.
struct Signals {
    interrupted: tokio::signal::unix::Signal,
    terminated: tokio::signal::unix::Signal,
    hung_up: tokio::signal::unix::Signal,
    /// True if somebody sits at a terminal.
    attended: bool,
}

impl Signals {
    fn catch() -> io::Result<Self> {
        Ok(Self {
            interrupted: signal(SignalKind::interrupt())?,
            terminated: signal(SignalKind::terminate())?,
            hung_up: signal(SignalKind::hangup())?,
            attended: io::stdin().is_terminal(),
        })
    }

    /// Waits until it is time to leave; reads the settings again when asked to. A terminal that is gone takes the agent
    /// with it, as one expects, but not without leaving.
    async fn leave(&mut self, mut reload: impl AsyncFnMut()) {
        loop {
            tokio::select! {
                _ = self.interrupted.recv() => return tracing::info!("leaving; Ctrl-C again ends it at once"),
                _ = self.terminated.recv() => return tracing::info!("leaving"),
                _ = self.hung_up.recv() => match self.attended && !io::stdin().is_terminal() {
                    true => return tracing::info!("the terminal is gone, leaving"),
                    false => reload().await,
                },
            }
        }
    }

    async fn again(&mut self) {
        tokio::select! {
            _ = self.interrupted.recv() => {}
            _ = self.terminated.recv() => {}
        }
    }
}

async fn live(start: Start, settings: Settings, log: Log) -> Result<(), Failure> {
    let mut signals = Signals::catch().map_err(|error| Failure::Failed(format!("no signals: {error}")))?;
    let form = Form::of_stdout(start.json);
    let token = settings.token()?;
    let listening = setup::listen(&start, &settings)?;
    let http = match settings.http {
        Some(address) => Some(control::listen_tcp(address).await?),
        None => None,
    };
    let (agent, events, quit) = spawn(&settings, &log).await?;
    let questions = agent.gossip.questions();
    if settings.protocol.label.is_empty() && !agent.gossip.address().ip().is_loopback() {
        tracing::warn!(
            "this cluster has no label: one whose node gets an address of this one becomes a part of it; set `label` everywhere"
        );
    }
    tokio::spawn(observe(Arc::clone(&agent), events));
    tokio::spawn(answers::serve(Arc::clone(&agent), questions));
    let server = Server::default();
    let page = http.as_ref().and_then(|listener| listener.local_addr().ok());
    greet(&agent, &settings, listening.as_deref(), page, form);
    if let Some(listening) = &listening {
        server.serve(Arc::clone(&agent), Arc::clone(listening), Access::Trusted, &settings.protocol);
    }
    if let Some(listener) = http {
        let access = token.map_or(Access::Loopback, Access::Token);
        server.serve(Arc::clone(&agent), Arc::new(listener), access, &settings.protocol);
    }
    let mut held = settings;
    let reload = async || reload::reload(&start, &mut held, &agent, &log).await;
    tokio::select! {
        () = signals.leave(reload) => {}
        _ = quit.recv() => {}
        end = agent.gossip.stopped() => return Err(Failure::Failed(format!("the node has ended: {end:?}"))),
    }
    let left = tokio::select! {
        left = agent.gossip.leave(LEAVING) => left.map_err(|error| Failure::Failed(chain(&error))),
        () = signals.again() => return Err(Failure::Failed("ended without leaving".into())),
    };
    // Its last changes; what cannot be written by then has been told.
    agent.gossip.stop();
    let _ = tokio::time::timeout(SAVING, agent.gossip.saved()).await;
    server.finish().await;
    if let Some(listening) = listening {
        listening.remove();
    }
    left
}

async fn spawn(settings: &Settings, log: &Log) -> Result<(Arc<Agent>, Events<SocketAddr>, Receiver<()>), Failure> {
    let mut builder = bind(&settings.bind).config(settings.protocol.clone()).join(&settings.join).events(4_096);
    if let Some(address) = &settings.advertise {
        builder = builder.advertise(address);
    }
    for key in settings.keys()? {
        builder = builder.key(key);
    }
    builder = builder.tags(settings.tags.iter());
    if let Some(name) = &settings.name {
        builder = builder.name(name);
    }
    if let Some(data) = &settings.data {
        builder = builder.data(data);
    }
    let gossip = builder.spawn().await.map_err(|error| match error {
        SpawnError::Bind { .. }
        | SpawnError::Resolve { .. }
        | SpawnError::Data { .. }
        | SpawnError::DataInUse { .. }
        | SpawnError::Random(_)
        | SpawnError::Runtime(_) => Failure::Failed(chain(&error)),
        _ => Failure::Usage(chain(&error)),
    })?;
    let events = gossip.events();
    let (quit, asked) = bounded(1);
    let agent = Agent::new(gossip, settings, log, quit);
    Ok((Arc::new(agent), events, asked))
}

/// Logs what happens, keeps what must be remembered of it, and hands it to the handlers.
async fn observe(agent: Arc<Agent>, mut events: Events<SocketAddr>) {
    while let Some(event) = events.next().await {
        match event {
            Ok(event) => {
                agent.note(&event);
                let told = tell(&event, &|id| agent.called(id));
                match told.level {
                    Some(tracing::Level::WARN) => tracing::warn!("{}", line(&told.object)),
                    Some(_) => tracing::info!("{}", line(&told.object)),
                    None => {}
                }
                agent.handlers.take(&told.object);
                // What is only for programs here is not for the page.
                if !matches!(event, Event::Answers { .. })
                    && (told.level.is_some() || !matches!(event, Event::Query { .. }))
                {
                    agent.remember(told.object);
                }
            }
            Err(Lagged { missed }) => tracing::warn!("{missed} events were missed"),
        }
    }
}

/// Says who this is and how it is reached.
fn greet(agent: &Agent, settings: &Settings, listening: Option<&Listening>, page: Option<SocketAddr>, form: Form) {
    let (id, address) = (agent.gossip.id(), agent.gossip.address());
    let control = listening.map(|listening| listening.path.display().to_string());
    let object = json!({
        "event": "started", "id": id, "name": settings.name, "address": address, "control": control, "http": page,
    });
    let text = || {
        let name = settings.name.as_ref().map_or_else(String::new, |name| format!("{name}, "));
        let control = control.as_ref().map_or_else(String::new, |path| format!("control socket {path}\n"));
        let page = page.map_or_else(String::new, |page| format!("page http://{page}/\n"));
        format!(
            "node {name}{id}, at {address}\n{control}{page}`gossip-agent ctl help` shows the commands, Ctrl-C leaves"
        )
    };
    let line = form.line(&object, text);
    // A terminal that stands still holds up nothing but this.
    thread::spawn(move || writeln!(io::stdout(), "{line}"));
}
