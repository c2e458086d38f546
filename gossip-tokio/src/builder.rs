//! Builder of a node. Knows addresses, options and their errors; must not know the driver's loop.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;

use gossip_core::{Config, Node, NodeId, Tags};
#[cfg(feature = "encryption")]
use gossip_core::{Key, Keyring, Plain};
use tracing::Instrument as _;

use crate::clock::{self, Clock};
use crate::driver;
use crate::error::SpawnError;
use crate::gossip::Gossip;
use crate::keeper::{self, Opened};
use crate::runtime::{self, Udp};
use crate::seeds::{self, Seeds};
use crate::shared::Shared;
use crate::transport::Transport;
use crate::udp;

/// Makes a node at a UDP address: `HOST:PORT`, port 0 for a free one. The socket is bound when the node is spawned.
pub fn bind(address: impl ToString) -> Builder<Bind> {
    let place = Bind { address: address.to_string(), ..Bind::default() };
    Builder { place, options: Options::default() }
}

/// Makes a node over a transport of your own. `address` is where the others reach it.
pub fn over<T: Transport>(transport: T, address: T::Address) -> Builder<Over<T>> {
    let place = Over { transport, address, seeds: Vec::new(), accept: Vec::new() };
    Builder { place, options: Options::default() }
}

/// A node that is not started yet: its name, seeds and configuration.
#[derive(Debug, Clone)]
#[must_use = "nothing runs before `spawn`"]
pub struct Builder<P> {
    place: P,
    options: Options,
}

#[derive(Debug, Clone, Default)]
struct Options {
    id: Option<NodeId>,
    name: Option<String>,
    tags: Vec<(String, String)>,
    label: Option<String>,
    config: Config,
    events: Option<usize>,
    data: Option<PathBuf>,
    #[cfg(feature = "encryption")]
    keys: Vec<Key>,
    #[cfg(feature = "encryption")]
    plain: Plain,
}

/// Kind of [`Builder`]: a UDP address.
#[derive(Debug, Clone, Default)]
pub struct Bind {
    address: String,
    advertised: Option<String>,
    seeds: Vec<String>,
    allowed: Vec<String>,
    accept: Vec<Accept<SocketAddr>>,
}

/// Kind of [`Builder`]: an address of a transport.
#[derive(Debug, Clone)]
pub struct Over<T: Transport> {
    transport: T,
    address: T::Address,
    seeds: Vec<T::Address>,
    accept: Vec<Accept<T::Address>>,
}

/// A function that decides which nodes are admitted.
#[derive(Clone)]
struct Accept<A>(Arc<Admit<A>>);

type Admit<A> = dyn Fn(NodeId, &A) -> bool + Send + Sync;

impl<A> fmt::Debug for Accept<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Accept")
    }
}

impl<P> Builder<P> {
    /// Sets a name that is unique in the cluster and stays the same over restarts: at most 64 bytes, without control
    /// characters. Others see it as [`Member::name`](gossip_core::Member::name). The id is [`NodeId::from_name`], unless it
    /// is set. Without a name or an id, the id is random.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.options.name = Some(name.into());
        self
    }

    /// Adds tags, which others see as [`Member::tags`](gossip_core::Member::tags): at most 512 bytes in all, without control
    /// characters. They can be changed later: [`Gossip::set_tags`].
    pub fn tags(mut self, tags: impl IntoIterator<Item = (impl Into<String>, impl Into<String>)>) -> Self {
        self.options.tags.extend(tags.into_iter().map(|(key, value)| (key.into(), value.into())));
        self
    }

    /// Sets an id that is unique in the cluster and stays the same over restarts.
    pub fn id(mut self, id: NodeId) -> Self {
        self.options.id = Some(id);
        self
    }

    /// Sets the cluster's name, in place of the configuration's. Datagrams of clusters with another name are refused.
    pub fn label(mut self, label: impl Into<String>) -> Self {
        self.options.label = Some(label.into());
        self
    }

    /// Sets the configuration; the default is [`Config::lan`].
    pub fn config(mut self, config: Config) -> Self {
        self.options.config = config;
        self
    }

    /// Seals every datagram with this key, and refuses datagrams that are not sealed. May be called several times:
    /// datagrams sealed with any of the keys are accepted, and the first key seals. See [`Keyring`] for what that
    /// guarantees; its salt comes from the operating system.
    #[cfg(feature = "encryption")]
    pub fn key(mut self, key: Key) -> Self {
        self.options.keys.push(key);
        self
    }

    /// Sets how datagrams that are not sealed are treated while a cluster is converted: see [`Keyring::set_plain`].
    #[cfg(feature = "encryption")]
    pub fn plain(mut self, plain: Plain) -> Self {
        self.options.plain = plain;
        self
    }

    /// Keeps what the node knows in this file, over restarts: it is read at the start, and every change is written within a
    /// tenth of a second. [`Gossip::saved`] waits for the disk.
    ///
    /// The file is the node's alone: a second process is refused. A file that is damaged, of another node or of another
    /// cluster is renamed to `FILE.damaged-TIME`, the node starts with what could be read, and
    /// [says so](gossip_core::Problem::RestoredWithLoss). A file that can be read and not written is used as well: the node
    /// [says that too](gossip_core::Problem::Storage), and tries again each second. Without a name or an id, the id is that
    /// of the file.
    pub fn data(mut self, path: impl Into<PathBuf>) -> Self {
        self.options.data = Some(path.into());
        self
    }

    /// Sets the number of events that a reader may be behind before it loses the oldest: at least 1; the default is
    /// 256.
    pub fn events(mut self, events: usize) -> Self {
        self.options.events = Some(events);
        self
    }
}

/// Makes a keyring with a salt of its own, if there is a key.
#[cfg(feature = "encryption")]
fn keyring(keys: Vec<Key>, plain: Plain) -> Result<Option<Keyring>, SpawnError> {
    let mut keys = keys.into_iter();
    let Some(primary) = keys.next() else { return Ok(None) };
    let mut salt = [0; 16];
    getrandom::fill(&mut salt)?;
    let mut keyring = Keyring::new(primary, salt);
    keys.try_for_each(|key| keyring.add(key))?;
    keyring.set_plain(plain);
    Ok(Some(keyring))
}

impl Builder<Bind> {
    /// Adds seeds through which the node joins, `HOST:PORT` each. One that answers is enough.
    ///
    /// Names are resolved as long as the node runs: while no member answers, and every five minutes. A name that cannot
    /// be resolved now is therefore no error.
    pub fn join(mut self, seeds: impl IntoIterator<Item = impl ToString>) -> Self {
        self.place.seeds.extend(seeds.into_iter().map(|seed| seed.to_string()));
        self
    }

    /// Sets the address that peers are given, if it is not the one that is bound: behind an address translator, or if
    /// `0.0.0.0` or `[::]` is bound. `HOST:PORT`, port 0 for the one that is bound.
    pub fn advertise(mut self, address: impl ToString) -> Self {
        self.place.advertised = Some(address.to_string());
        self
    }

    /// Accepts only nodes in these networks: `10.0.0.0/8`, or a single address. May be called several times. The seeds
    /// have to be in one of them.
    pub fn allow(mut self, networks: impl IntoIterator<Item = impl ToString>) -> Self {
        self.place.allowed.extend(networks.into_iter().map(|network| network.to_string()));
        self
    }

    /// Accepts only nodes that this function admits, by id and address: see [`set_admission`](Node::set_admission). May
    /// be called several times, and together with [`allow`](Self::allow): a node must be admitted by all.
    pub fn accept(mut self, accept: impl Fn(NodeId, &SocketAddr) -> bool + Send + Sync + 'static) -> Self {
        self.place.accept.push(Accept(Arc::new(accept)));
        self
    }

    /// Binds the socket and starts the node.
    ///
    /// # Errors
    /// [`SpawnError`]: an address that is malformed, cannot be bound or cannot be advertised; a configuration that
    /// cannot work; no runtime.
    pub async fn spawn(self) -> Result<Gossip, SpawnError> {
        let Bind { address, advertised, seeds, allowed, accept } = self.place;
        seeds.iter().chain(&advertised).chain([&address]).try_for_each(|name| udp::check_name(name))?;
        let networks = allowed.into_iter().map(udp::network).collect::<Result<Vec<_>, _>>()?;
        let socket = Udp::bind(&*address).await.map_err(|source| SpawnError::Bind { given: address, source })?;
        let bound = socket.local_addr();
        let mut own = bound;
        if let Some(name) = advertised {
            own = resolve(&name, bound).await.map_err(|source| SpawnError::Resolve { name, source })?;
            own.set_port(if own.port() == 0 { bound.port() } else { own.port() });
        }
        if own.ip().is_unspecified() {
            return Err(SpawnError::Unspecified(own));
        }
        let seeds = Seeds { given: seeds, bound, own };
        let (reached, obstacles) = (seeds.literal(), seeds.obstacles());
        if let (true, false, Some(reason)) = (reached.is_empty(), seeds.has_names(), obstacles.first()) {
            return Err(SpawnError::Seeds { bound, reason: reason.clone() });
        }
        for reason in obstacles {
            tracing::warn!(reason, "a seed is left out");
        }
        let place = Over { transport: socket, address: own, seeds: reached.into_iter().collect(), accept };
        let mut over = Builder { place, options: self.options };
        if !networks.is_empty() {
            over = over.accept(move |_, address| networks.iter().any(|network| network.contains(&address.ip())));
        }
        let gossip = over.spawn().await?;
        if seeds.has_names() {
            gossip.shared.command(|state, now| state.seeded = Some(now));
            let span = tracing::info_span!("seeds", node = %gossip.id());
            let refreshing = seeds::refresh(seeds, Arc::clone(&gossip.shared), seeds::PACE, runtime::resolve);
            runtime::spawn(refreshing.instrument(span)).map_err(SpawnError::Runtime)?;
        }
        Ok(gossip)
    }
}

impl<T: Transport> Builder<Over<T>> {
    /// Adds seeds through which the node joins. One that answers is enough.
    pub fn join(mut self, seeds: impl IntoIterator<Item = T::Address>) -> Self {
        self.place.seeds.extend(seeds);
        self
    }

    /// Accepts only nodes that this function admits, by id and address: see [`set_admission`](Node::set_admission). May
    /// be called several times: a node must be admitted by all.
    pub fn accept(mut self, accept: impl Fn(NodeId, &T::Address) -> bool + Send + Sync + 'static) -> Self {
        self.place.accept.push(Accept(Arc::new(accept)));
        self
    }

    /// Starts the node.
    ///
    /// # Errors
    /// [`SpawnError`]: a configuration that cannot work, with this transport or at all; no runtime.
    pub async fn spawn(mut self) -> Result<Gossip<T::Address>, SpawnError> {
        let Over { transport, address, seeds, accept } = self.place;
        let mut config = std::mem::take(&mut self.options.config);
        config.label = self.options.label.take().unwrap_or(config.label);
        let (configured, carried) = (config.max_datagram, transport.max_datagram());
        if configured > carried {
            return Err(SpawnError::DatagramTooLarge { configured, carried });
        }
        let Options { id, name, tags, data, events, .. } = self.options;
        let named = name.as_deref().map(NodeId::from_name);
        let (id, drawn, seed) = (id.or(named), NodeId::new(getrandom::u64()?), getrandom::u64()?);
        #[cfg(feature = "encryption")]
        let keyring = keyring(self.options.keys, self.options.plain)?;
        let clock = Clock::start();
        let keeps = data.is_some();
        let make = move || -> Result<_, SpawnError> {
            let opened = data.map(|path| keeper::open(path, id)).transpose()?;
            let id = id.or_else(|| opened.as_ref().and_then(Opened::id)).unwrap_or(drawn);
            let mut node = Node::new(id, address, config, seed)?;
            if !accept.is_empty() {
                node.set_admission(move |id, address| accept.iter().all(|Accept(accept)| accept(id, address)));
            }
            #[cfg(feature = "encryption")]
            node.set_keyring(keyring);
            let now = clock.now();
            node.set_wall_clock(now, clock::wall());
            node.set_name(now, name.as_deref().unwrap_or_default())?;
            node.set_tags(now, Tags::of(tags)?)?;
            let keeper = opened.map(|opened| opened.restore(&mut node, now)).transpose()?;
            Ok((node, keeper, clock))
        };
        // Reading takes its time, and the runtime has other tasks.
        let (mut node, keeper, clock) = if keeps { offload(make).await? } else { make()? };
        let id = node.id();
        // Also without seeds, since this call starts the node: from now on it sees itself alive.
        let now = clock.now();
        node.set_wall_clock(now, clock::wall());
        let seeded = (!seeds.is_empty()).then_some(now);
        node.join(now, seeds);
        let (calls, ending) = Shared::start(node, clock, events.unwrap_or(256));
        ending.shared.lock().seeded = seeded;
        let gossip = Gossip { shared: Arc::clone(&ending.shared), calls };
        if let Some(keeper) = keeper {
            keeper.start(Arc::clone(&gossip.shared))?;
        }
        let task = driver::drive(ending, transport).instrument(tracing::info_span!("gossip", node = %id));
        runtime::spawn(task).map_err(SpawnError::Runtime)?;
        Ok(gossip)
    }
}

/// Does something that blocks in a thread of its own.
async fn offload<R: Send + 'static>(
    work: impl FnOnce() -> Result<R, SpawnError> + Send + 'static,
) -> Result<R, SpawnError> {
    let (sender, done) = async_channel::bounded(1);
    let thread = thread::Builder::new().name("gossip-start".into());
    // Whoever has given up the start does not wait for it.
    let work = move || drop(sender.try_send(work()));
    thread.spawn(work).map_err(SpawnError::Runtime)?;
    done.recv().await.unwrap_or_else(|_| Err(SpawnError::Runtime(io::Error::other("the start panicked"))))
}

/// Resolves a name to the first address that a socket bound to `bound` reaches.
async fn resolve(name: &str, bound: SocketAddr) -> io::Result<SocketAddr> {
    let mut found = runtime::resolve(name.to_owned()).await?.into_iter();
    found.find(|&to| udp::reaches(bound, to)).ok_or(io::ErrorKind::AddrNotAvailable.into())
}
