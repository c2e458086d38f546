//! The life of an agent: from what was asked for to the node, and from the first signal to the end. Knows all the
//! parts; must not know what commands do.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_channel::{Receiver, Sender, bounded};
use gossip_tokio::gossip_core::{Config, Event, NodeId, Snapshot};
use gossip_tokio::{Events, Gossip, Lagged, SpawnError, bind};
use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};

use crate::arguments::Start;
use crate::commands::LEAVING;
use crate::console;
use crate::control::{self, Listening};
use crate::data::Store;
use crate::events::tell;
use crate::failure::{Failure, chain};
use crate::keeping;
use crate::output::Form;
use crate::printer::Printer;
use crate::setup;

/// The entry of its own in which an agent tells its name.
const NAME: &str = "agent/name";
/// What all who serve commands share.
pub(crate) struct Agent {
    pub(crate) gossip: Gossip,
    /// As they were last told: a member's own entries end with its life, and then its name is wanted most.
    names: Mutex<BTreeMap<NodeId, String>>,
    /// Whether there is anything that the data file does not hold.
    pub(crate) changed: AtomicBool,
    quit: Sender<()>,
}

impl Agent {
    /// What a member is called, if that is known.
    pub(crate) fn name(&self, id: NodeId) -> Option<String> {
        let told = self.gossip.get_own(id, NAME).map(|name| String::from_utf8_lossy(&name).into_owned());
        told.or_else(|| self.names().get(&id).cloned())
    }

    fn names(&self) -> MutexGuard<'_, BTreeMap<NodeId, String>> {
        self.names.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The same for somebody who must be called something.
    pub(crate) fn called(&self, id: NodeId) -> String {
        self.name(id).unwrap_or_else(|| id.to_string())
    }

    /// Ends the agent.
    pub(crate) fn quit(&self) {
        // When one is waiting there, that is enough.
        let _ = self.quit.try_send(());
    }

    fn note(&self, event: &Event<SocketAddr>) {
        self.changed.store(true, Ordering::Relaxed);
        match event {
            Event::Entry { owner: Some(owner), name, .. } if **name == *NAME => {
                if let Some(name) = self.name(*owner) {
                    self.names().insert(*owner, name);
                }
            }
            Event::Reaped { id } => drop(self.names().remove(id)),
            _ => {}
        }
    }
}

/// Runs an agent until it ends.
///
/// # Errors
/// What was asked for cannot be; something that it needs is not there; it has not left as it should.
pub(crate) fn run(start: Start) -> Result<(), Failure> {
    let (printer, writing) = Printer::start();
    setup::log(&start, printer.clone());
    // One thread is enough for a node, and the smallest.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::Failed(format!("no runtime: {error}")))?;
    let end = runtime.block_on(live(start, &printer));
    printer.finish(&writing);
    end
}

async fn live(start: Start, printer: &Printer) -> Result<(), Failure> {
    let failed = |what: &str, error: io::Error| Failure::Failed(format!("{what}: {error}"));
    let mut interrupted = signal(SignalKind::interrupt()).map_err(|error| failed("no signals", error))?;
    let mut terminated = signal(SignalKind::terminate()).map_err(|error| failed("no signals", error))?;
    let form = Form::of_stdout(start.json);
    let config = setup::configuration(&start)?;
    let store = start.data.clone().map(Store::new).map(Arc::new);
    let snapshot = store.as_deref().map(keeping::restored).transpose()?.flatten();
    let listening = setup::listen(&start)?;
    let (agent, events, quit) = spawn(&start, config, snapshot.as_ref()).await?;
    if let (Some(store), Some(snapshot)) = (&store, snapshot) {
        keeping::restore(&agent.gossip, store, snapshot)?;
    }
    if let Some(name) = &start.name {
        agent.gossip.put_own(NAME, name).map_err(|error| Failure::Usage(format!("--name: {error}")))?;
    }
    if let Some(store) = &store {
        // A place that cannot be written is better learned now.
        keeping::save(&agent, store).await?;
        tokio::spawn(keeping::keep(Arc::clone(&agent), Arc::clone(store)));
    }
    tokio::spawn(observe(Arc::clone(&agent), events));
    greet(&agent, &start, listening.as_deref(), form, printer).await;
    if let Some(listening) = &listening {
        tokio::spawn(control::serve(Arc::clone(&agent), Arc::clone(listening)));
    }
    tokio::spawn(console::serve(Arc::clone(&agent), printer.clone(), form, console::lines()));

    tokio::select! {
        _ = interrupted.recv() => tracing::info!("leaving; Ctrl-C again ends it at once"),
        _ = terminated.recv() => tracing::info!("leaving"),
        _ = quit.recv() => {}
        end = agent.gossip.stopped() => return Err(Failure::Failed(format!("the node has ended: {end:?}"))),
    }
    let left = tokio::select! {
        left = agent.gossip.leave(LEAVING) => left.map_err(|error| Failure::Failed(chain(&error))),
        _ = interrupted.recv() => return Err(Failure::Failed("ended without leaving".into())),
        _ = terminated.recv() => return Err(Failure::Failed("ended without leaving".into())),
    };
    if let Some(store) = &store {
        keeping::save(&agent, store).await?;
    }
    if let Some(listening) = listening {
        listening.remove();
    }
    left
}

async fn spawn(
    start: &Start,
    config: Config,
    snapshot: Option<&Snapshot<SocketAddr>>,
) -> Result<(Arc<Agent>, Events<SocketAddr>, Receiver<()>), Failure> {
    let mut builder = bind(&start.bind).config(config).join(&start.join).events(4_096);
    if let Some(address) = &start.advertise {
        builder = builder.advertise(address);
    }
    for key in setup::keys(start)? {
        builder = builder.key(key);
    }
    builder = match (&start.name, snapshot) {
        (Some(name), _) => builder.name(name),
        // Whoever was here before, without a name, is who comes back.
        (None, Some(snapshot)) => builder.id(snapshot.id()),
        (None, None) => builder,
    };
    let gossip = builder.spawn().await.map_err(|error| match error {
        SpawnError::Bind { .. } | SpawnError::Resolve { .. } | SpawnError::Random(_) | SpawnError::Runtime(_) => {
            Failure::Failed(chain(&error))
        }
        _ => Failure::Usage(chain(&error)),
    })?;
    let events = gossip.events();
    let (quit, asked) = bounded(1);
    let agent = Agent { gossip, names: Mutex::default(), changed: AtomicBool::new(false), quit };
    Ok((Arc::new(agent), events, asked))
}

/// Logs what happens, and keeps what must be remembered of it.
async fn observe(agent: Arc<Agent>, mut events: Events<SocketAddr>) {
    while let Some(event) = events.next().await {
        match event {
            Ok(event) => {
                agent.note(&event);
                let told = tell(&event, |id| agent.called(id));
                if told.notable {
                    tracing::info!("{}", told.text);
                }
            }
            Err(Lagged { missed }) => tracing::warn!("{missed} events were missed"),
        }
    }
}

async fn greet(agent: &Agent, start: &Start, listening: Option<&Listening>, form: Form, printer: &Printer) {
    let (id, address) = (agent.gossip.id(), agent.gossip.address());
    let control = listening.map(|listening| listening.path.display().to_string());
    let object = json!({ "event": "started", "id": id, "name": start.name, "address": address, "control": control });
    let text = || {
        let name = start.name.as_ref().map_or_else(String::new, |name| format!("{name}, "));
        let control = control.as_ref().map_or_else(String::new, |path| format!("control socket {path}\n"));
        format!("node {name}{id}, at {address}\n{control}`help` shows the commands, Ctrl-C leaves")
    };
    printer.line(form.line(&object, text)).await;
}
