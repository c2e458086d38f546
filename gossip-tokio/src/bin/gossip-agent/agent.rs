//! The life of an agent: from what was asked for to the node, and from the first signal to the end. Knows all the
//! parts; must not know what commands do.

use std::collections::{BTreeMap, VecDeque};
use std::io::{self, IsTerminal as _};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use async_channel::{Receiver, Sender, bounded};
use gossip_tokio::gossip_core::{Event, Instant as Time, NodeId, Snapshot, Status};
use gossip_tokio::{Events, Gossip, Lagged, SpawnError, bind};
use serde_json::{Value, json};
use tokio::signal::unix::{SignalKind, signal};

use crate::arguments::Start;
use crate::commands::LEAVING;
use crate::console;
use crate::control::{self, Listening};
use crate::data::Store;
use crate::events::{line, tell};
use crate::failure::{Failure, chain};
use crate::handlers::Handlers;
use crate::health::{Alert, Alerts};
use crate::keeping;
use crate::output::Form;
use crate::printer::Printer;
use crate::reload;
use crate::serve::{Access, Server};
use crate::settings::Settings;
use crate::setup::{self, Log};

/// The entries of its own in which an agent tells its name and its tags.
pub(crate) const NAME: &str = "agent/name";
pub(crate) const TAGS: &str = "agent/tags";
/// Events that are kept for whoever opens the page.
const RECENT: usize = 100;
/// What two nodes must agree on is looked at as it was so long ago: all of it has spread by then.
const SETTLED: Duration = Duration::from_secs(20);

/// What all who serve commands share.
pub(crate) struct Agent {
    pub(crate) gossip: Gossip,
    pub(crate) handlers: Handlers,
    /// As they were last told: a member's own entries end with its life, and then its name is wanted most.
    names: Mutex<BTreeMap<NodeId, String>>,
    alerts: Mutex<Alerts>,
    recent: Mutex<VecDeque<(u64, Value)>>,
    /// Grows with every change of the members or of what they say of themselves.
    pub(crate) generation: AtomicU64,
    /// Whether there is anything that the data file does not hold.
    pub(crate) changed: AtomicBool,
    /// Whether it was told to join somebody.
    pub(crate) joins: AtomicBool,
    name: Option<String>,
    label: String,
    started: Instant,
    quit: Sender<()>,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Agent {
    /// What a member is called, if that is known.
    pub(crate) fn name(&self, id: NodeId) -> Option<String> {
        let told = self.gossip.get_own(id, NAME).map(|name| String::from_utf8_lossy(&name).into_owned());
        told.or_else(|| locked(&self.names).get(&id).cloned())
    }

    /// The same for somebody who must be called something.
    pub(crate) fn called(&self, id: NodeId) -> String {
        self.name(id).unwrap_or_else(|| id.to_string())
    }

    /// A member's tags; empty if it has none, or wrote something else.
    pub(crate) fn tags(&self, id: NodeId) -> BTreeMap<String, String> {
        let told = self.gossip.get_own(id, TAGS);
        told.and_then(|tags| serde_json::from_slice(&tags).ok()).unwrap_or_default()
    }

    /// Everything that is wrong now.
    pub(crate) fn alerts(&self) -> Vec<Alert> {
        locked(&self.alerts).now(&self.gossip, self.joins.load(Ordering::Relaxed))
    }

    /// Events that were told after the one with this number, with their numbers.
    pub(crate) fn recent(&self, after: u64) -> Vec<Value> {
        locked(&self.recent).iter().filter(|(number, _)| *number > after).map(|(_, event)| event.clone()).collect()
    }

    /// This node in an object.
    pub(crate) fn info(&self) -> Value {
        let gossip = &self.gossip;
        let alerts = self.alerts();
        let mut members = BTreeMap::from([("alive", 0), ("suspect", 0), ("dead", 0), ("left", 0)]);
        for member in gossip.members() {
            let key = match member.status {
                Status::Alive => "alive",
                Status::Suspect => "suspect",
                Status::Dead => "dead",
                Status::Left => "left",
            };
            *members.entry(key).or_default() += 1;
        }
        let own = gossip.member(gossip.id());
        let now = gossip.now();
        let (cut, agreed, hot, transfers) = gossip.inspect(|node| {
            let settled = SETTLED.as_micros() as u64;
            let cut = Time::from_micros(now.as_micros().saturating_sub(settled));
            let cut = cut.floor_to(Duration::from_secs(10));
            (cut, node.reconciled(cut), node.hot_rumors(), node.transfers())
        });
        json!({
            "version": env!("CARGO_PKG_VERSION"), "id": gossip.id(), "name": self.name, "label": self.label,
            "address": gossip.address(), "boot": own.as_ref().map(|own| own.boot),
            "status": own.as_ref().map(|own| own.status), "tags": self.tags(gossip.id()),
            "uptime_seconds": self.started.elapsed().as_secs(), "now": now,
            "healthy": alerts.is_empty(), "alerts": alerts, "members": members,
            "entries": gossip.inspect(|node| node.entries("").count()),
            "cut": cut, "reconciled": agreed.count, "fingerprint": format!("{:016x}", agreed.fingerprint),
            "hot_rumors": hot, "transfers": { "values": transfers.0, "bytes": transfers.1 },
        })
    }

    /// Ends the agent.
    pub(crate) fn quit(&self) {
        // When one is waiting there, that is enough.
        let _ = self.quit.try_send(());
    }

    fn note(&self, event: &Event<SocketAddr>) {
        self.changed.store(true, Ordering::Relaxed);
        locked(&self.alerts).note(event, self.gossip.now());
        match event {
            Event::Entry { owner: Some(owner), name, .. } => {
                if **name == *NAME
                    && let Some(name) = self.name(*owner)
                {
                    locked(&self.names).insert(*owner, name);
                }
                self.generation.fetch_add(1, Ordering::Relaxed);
            }
            Event::Reaped { id } => {
                locked(&self.names).remove(id);
                self.generation.fetch_add(1, Ordering::Relaxed);
            }
            Event::Member { .. } => drop(self.generation.fetch_add(1, Ordering::Relaxed)),
            _ => {}
        }
    }

    fn remember(&self, mut event: Value) {
        let mut recent = locked(&self.recent);
        let number = recent.back().map_or(0, |(number, _)| *number) + 1;
        event["number"] = number.into();
        event["time"] = self.gossip.now().as_micros().into();
        event["line"] = line(&event).chars().take(200).collect::<String>().into();
        // Values may be large, and the line has what is wanted of them.
        for key in ["value", "hex"] {
            event.as_object_mut().map(|event| event.remove(key));
        }
        recent.push_back((number, event));
        if recent.len() > RECENT {
            recent.pop_front();
        }
    }
}

/// Runs an agent until it ends.
///
/// # Errors
/// What was asked for cannot be; something that it needs is not there; it has not left as it should.
pub(crate) fn run(start: Start) -> Result<(), Failure> {
    let settings = Settings::of(&start)?;
    if start.check {
        let shown = settings.shown()?;
        // Whoever reads no further knows enough.
        let _ = io::Write::write_all(&mut io::stdout(), shown.as_bytes());
        return Ok(());
    }
    let (printer, writing) = Printer::start();
    let log = setup::log(&settings, printer.clone())?;
    // One thread is enough for a node, and the smallest.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::Failed(format!("no runtime: {error}")))?;
    let end = runtime.block_on(live(start, settings, log, &printer));
    printer.finish(&writing);
    end
}

/// The signals that an agent knows.
struct Signals {
    interrupted: tokio::signal::unix::Signal,
    terminated: tokio::signal::unix::Signal,
    hung_up: tokio::signal::unix::Signal,
    /// Whether somebody sits at a terminal.
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

async fn live(start: Start, settings: Settings, log: Log, printer: &Printer) -> Result<(), Failure> {
    let mut signals = Signals::catch().map_err(|error| Failure::Failed(format!("no signals: {error}")))?;
    let form = Form::of_stdout(start.json);
    let store = settings.data.clone().map(Store::new).map(Arc::new);
    let snapshot = store.as_deref().map(keeping::restored).transpose()?.flatten();
    let token = settings.token()?;
    let listening = setup::listen(&start, &settings)?;
    let http = match settings.http {
        Some(address) => Some(control::listen_tcp(address).await?),
        None => None,
    };
    let (agent, events, quit) = spawn(&settings, snapshot.as_ref()).await?;
    if let (Some(store), Some(snapshot)) = (&store, snapshot) {
        keeping::restore(&agent.gossip, store, snapshot)?;
    }
    publish(&agent.gossip, &settings)?;
    if let Some(store) = &store {
        // A place that cannot be written is better learned now.
        keeping::save(&agent, store).await?;
        tokio::spawn(keeping::keep(Arc::clone(&agent), Arc::clone(store)));
    }
    tokio::spawn(observe(Arc::clone(&agent), events));
    let server = Server::default();
    let page = http.as_ref().and_then(|listener| listener.local_addr().ok());
    greet(&agent, &settings, listening.as_deref(), page, form, printer).await;
    if let Some(listening) = &listening {
        server.serve(Arc::clone(&agent), Arc::clone(listening), Access::Trusted, &settings.protocol);
    }
    if let Some(listener) = http {
        let access = token.map_or(Access::Loopback, Access::Token);
        server.serve(Arc::clone(&agent), Arc::new(listener), access, &settings.protocol);
    }
    tokio::spawn(console::serve(Arc::clone(&agent), printer.clone(), start.json, console::lines()));

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
    if let Some(store) = &store {
        keeping::save(&agent, store).await?;
    }
    server.finish().await;
    if let Some(listening) = listening {
        listening.remove();
    }
    left
}

/// Writes what the node tells of itself.
pub(crate) fn publish(gossip: &Gossip, settings: &Settings) -> Result<(), Failure> {
    let put = |name: &str, value: &[u8]| match gossip.get_own(gossip.id(), name) {
        Some(held) if *held == *value => Ok(()),
        _ => gossip.put_own(name, value).map(drop).map_err(|error| Failure::Usage(format!("{name}: {error}"))),
    };
    if let Some(name) = &settings.name {
        put(NAME, name.as_bytes())?;
    }
    if !settings.tags.is_empty() || gossip.get_own(gossip.id(), TAGS).is_some() {
        let tags = serde_json::to_vec(&settings.tags).map_err(|error| Failure::Failed(error.to_string()))?;
        put(TAGS, &tags)?;
    }
    Ok(())
}

async fn spawn(
    settings: &Settings,
    snapshot: Option<&Snapshot<SocketAddr>>,
) -> Result<(Arc<Agent>, Events<SocketAddr>, Receiver<()>), Failure> {
    let mut builder = bind(&settings.bind).config(settings.protocol.clone()).join(&settings.join).events(4_096);
    if let Some(address) = &settings.advertise {
        builder = builder.advertise(address);
    }
    for key in settings.keys()? {
        builder = builder.key(key);
    }
    builder = match (&settings.name, snapshot) {
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
    let agent = Agent {
        gossip,
        handlers: Handlers::start(settings.handlers.clone()),
        names: Mutex::default(),
        alerts: Mutex::default(),
        recent: Mutex::default(),
        generation: AtomicU64::new(1),
        changed: AtomicBool::new(false),
        joins: AtomicBool::new(!settings.join.is_empty()),
        name: settings.name.clone(),
        label: settings.protocol.label.clone(),
        started: Instant::now(),
        quit,
    };
    Ok((Arc::new(agent), events, asked))
}

/// Logs what happens, keeps what must be remembered of it, and hands it to the handlers.
async fn observe(agent: Arc<Agent>, mut events: Events<SocketAddr>) {
    while let Some(event) = events.next().await {
        match event {
            Ok(event) => {
                agent.note(&event);
                let told = tell(&event, |id| agent.called(id));
                match told.level {
                    Some(tracing::Level::WARN) => tracing::warn!("{}", line(&told.object)),
                    Some(_) => tracing::info!("{}", line(&told.object)),
                    None => {}
                }
                agent.handlers.take(&told.object);
                agent.remember(told.object);
            }
            Err(Lagged { missed }) => tracing::warn!("{missed} events were missed"),
        }
    }
}

async fn greet(
    agent: &Agent,
    settings: &Settings,
    listening: Option<&Listening>,
    page: Option<SocketAddr>,
    form: Form,
    printer: &Printer,
) {
    let (id, address) = (agent.gossip.id(), agent.gossip.address());
    let control = listening.map(|listening| listening.path.display().to_string());
    let object = json!({
        "event": "started", "id": id, "name": settings.name, "address": address, "control": control, "http": page,
    });
    let text = || {
        let name = settings.name.as_ref().map_or_else(String::new, |name| format!("{name}, "));
        let control = control.as_ref().map_or_else(String::new, |path| format!("control socket {path}\n"));
        let page = page.map_or_else(String::new, |page| format!("page http://{page}/\n"));
        format!("node {name}{id}, at {address}\n{control}{page}`help` shows the commands, Ctrl-C leaves")
    };
    printer.line(form.line(&object, text)).await;
}
