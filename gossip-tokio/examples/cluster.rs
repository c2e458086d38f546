//! A cluster over real UDP on the loopback, watched through its life.
//!
//! ```sh
//! cargo run --release -p gossip-tokio --example cluster -- [--nodes N] [--loss P] [--json]
//! ```
//!
//! Starts N nodes (default 10) on free ports, joined through the first, and waits until all know all. Puts a key on one
//! node and waits until all have it. Broadcasts from another and counts the receivers. Deletes the key and waits until
//! it is gone everywhere. Then one node stops without notice until all others see it dead, is started again on another
//! port until all see it alive, and leaves until all see that it left.
//!
//! `--loss P` drops that share of the datagrams at their sender; `--json` prints one object per stage. The exit code is
//! 0, or 1 with the reason if a stage does not finish within a minute, or 2 after a wrong command line.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use futures_util::FutureExt as _;
use gossip_tokio::gossip_core::{Config, Event, NodeId, Status};
use gossip_tokio::{Events, Gossip, Transport, Udp, over};

/// Time limit of a stage.
const LIMIT: Duration = Duration::from_secs(60);
const USAGE: &str = "usage: cluster [--nodes N (2 to 1000)] [--loss P (0 to less than 1)] [--json]";
const KEY: &str = "greeting";

type Failure = Box<dyn std::error::Error>;

#[tokio::main]
async fn main() -> ExitCode {
    let options = match Options::parse(std::env::args().skip(1)) {
        Ok(options) => options,
        Err(reason) => {
            eprintln!("{reason}; {USAGE}");
            return ExitCode::from(2);
        }
    };
    match run(&options).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            eprintln!("{reason}");
            ExitCode::FAILURE
        }
    }
}

async fn run(options: &Options) -> Result<(), Failure> {
    let cluster = Stage::begin(options, "join");
    let mut nodes = vec![start(options, 0, None).await?];
    for number in 1..options.nodes {
        nodes.push(start(options, number, Some(nodes[0].address())).await?);
    }
    cluster.all(&nodes, "know all", |node| alive(node) == options.nodes).await?;
    cluster.end("all know all", "");

    let put = Stage::begin(options, "put");
    nodes[0].put(KEY, b"hello")?;
    put.all(&nodes, "have the key", |node| node.get(KEY).as_deref() == Some(b"hello")).await?;
    put.end("all have the key", "");

    let mut readers: Vec<_> = nodes[..options.nodes - 1].iter().map(Gossip::events).collect();
    let broadcast = Stage::begin(options, "broadcast");
    nodes[options.nodes - 1].broadcast(b"hello")?;
    let delivered = broadcast.within(count_broadcasts(&mut readers)).await?;
    let expected = readers.len();
    let extra = format!(r#","delivered":{delivered},"expected":{expected}"#);
    broadcast.end(&format!("{delivered} of {expected} others got it"), &extra);
    if delivered != expected {
        return Err(format!("broadcast: {delivered} deliveries instead of {expected}").into());
    }

    let delete = Stage::begin(options, "delete");
    nodes[options.nodes / 2].delete(KEY)?;
    delete.all(&nodes, "have lost the key", |node| node.get(KEY).is_none()).await?;
    delete.end("it is gone everywhere", "");

    let last = options.nodes - 1;
    let victim = nodes.pop().expect("there are at least two nodes");
    let kill = Stage::begin(options, "kill");
    victim.stop();
    kill.within(victim.stopped().map(|end| end.map_err(Failure::from))).await?;
    drop(victim);
    kill.all(&nodes, "see it dead", |node| sees(node, last) == Some(Status::Dead)).await?;
    kill.end("all others see it dead", "");

    let restart = Stage::begin(options, "restart");
    nodes.push(start(options, last, Some(nodes[0].address())).await?);
    let address = nodes[last].address();
    let back = |node: &Gossip| {
        let member = node.member(id(last));
        member.is_some_and(|member| member.status == Status::Alive && member.address == address)
            && alive(node) == options.nodes
    };
    restart.all(&nodes, "see it alive at its new address, and all others", back).await?;
    restart.end("all see it alive, on another port", "");

    let leave = Stage::begin(options, "leave");
    nodes[last].leave(LIMIT).await?;
    leave.all(&nodes[..last], "see that it left", |node| sees(node, last) == Some(Status::Left)).await?;
    leave.end("all others see that it left", "");
    Ok(())
}

/// Returns the number of members that `node` sees alive, itself included.
fn alive(node: &Gossip) -> usize {
    node.members().iter().filter(|member| member.status == Status::Alive).count()
}

/// Returns the status in which `node` sees the member with this number.
fn sees(node: &Gossip, number: usize) -> Option<Status> {
    node.member(id(number)).map(|member| member.status)
}

/// Starts a node whose name, and therefore its id, follows from its number.
async fn start(options: &Options, number: usize, seed: Option<SocketAddr>) -> Result<Gossip, Failure> {
    let socket = Udp::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await?;
    let address = socket.local_addr();
    let transport = Lossy { inner: socket, loss: options.loss, state: AtomicU64::new(number as u64) };
    let node = over(transport, address).id(id(number)).label("cluster example").config(Config::local()).join(seed);
    Ok(node.spawn().await?)
}

fn id(number: usize) -> NodeId {
    NodeId::from_name(&format!("node-{number}"))
}

/// Waits until each reader has received a broadcast. Returns the number received in all.
async fn count_broadcasts(readers: &mut [Events<SocketAddr>]) -> Result<usize, Failure> {
    let mut delivered = 0;
    for reader in readers.iter_mut() {
        loop {
            match reader.next().await.ok_or("a node has stopped")? {
                Ok(Event::Broadcast { .. }) => break,
                Ok(_) => {}
                Err(lagged) => return Err(lagged.into()),
            }
        }
        delivered += 1;
    }
    for reader in readers {
        while let Some(Some(event)) = reader.next().now_or_never() {
            delivered += usize::from(matches!(event, Ok(Event::Broadcast { .. })));
        }
    }
    Ok(delivered)
}

/// A transport that drops a share of the datagrams it sends.
struct Lossy<T> {
    inner: T,
    loss: f64,
    state: AtomicU64,
}

impl<T: Transport> Transport for Lossy<T> {
    type Address = T::Address;

    fn send(&self, to: &T::Address, payload: &[u8]) -> io::Result<()> {
        // A Weyl sequence through the finish of splitmix64 (Steele et al., 2014).
        let mut bits = self.state.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed);
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let lost = (((bits ^ (bits >> 31)) >> 11) as f64) < self.loss * (1_u64 << 53) as f64;
        if lost { Ok(()) } else { self.inner.send(to, payload) }
    }

    fn recv(&self, buffer: &mut [u8]) -> impl Future<Output = io::Result<(usize, T::Address)>> + Send {
        self.inner.recv(buffer)
    }

    fn max_datagram(&self) -> usize {
        self.inner.max_datagram()
    }
}

/// A stage of the cluster's life, and its beginning.
struct Stage<'a> {
    options: &'a Options,
    name: &'static str,
    began: Instant,
}

impl<'a> Stage<'a> {
    fn begin(options: &'a Options, name: &'static str) -> Self {
        Self { options, name, began: Instant::now() }
    }

    /// Waits until a condition holds at all nodes.
    async fn all(&self, nodes: &[Gossip], what: &str, condition: impl Fn(&Gossip) -> bool) -> Result<(), Failure> {
        let waiting = async {
            for node in nodes {
                node.wait_until(&condition).await?;
            }
            Ok(())
        };
        self.within(waiting).await.map_err(|reason| {
            let done = nodes.iter().filter(|node| condition(node)).count();
            format!("{reason}: {done} of {} nodes {what}", nodes.len()).into()
        })
    }

    async fn within<R>(&self, waiting: impl Future<Output = Result<R, Failure>>) -> Result<R, Failure> {
        match tokio::time::timeout(LIMIT, waiting).await {
            Ok(result) => result.map_err(|reason| format!("{}: {reason}", self.name).into()),
            Err(_) => Err(format!("{} is not done after {} s", self.name, LIMIT.as_secs()).into()),
        }
    }

    /// Prints the duration of the stage; `extra` is more of the JSON object.
    fn end(self, what: &str, extra: &str) {
        let (name, nodes, ms) = (self.name, self.options.nodes, self.began.elapsed().as_secs_f64() * 1e3);
        if self.options.json {
            println!(r#"{{"stage":"{name}","nodes":{nodes},"ms":{ms:.1}{extra}}}"#);
        } else {
            println!("{name:<10} {ms:>10.1} ms   {what}");
        }
    }
}

struct Options {
    nodes: usize,
    loss: f64,
    json: bool,
}

impl Options {
    fn parse(mut args: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut options = Self { nodes: 10, loss: 0.0, json: false };
        while let Some(flag) = args.next() {
            let mut value = || args.next().ok_or(format!("{flag} needs a value"));
            match &*flag {
                "--json" => options.json = true,
                "--nodes" => {
                    let given = value()?;
                    let nodes = given.parse().ok().filter(|nodes| (2..=1_000).contains(nodes));
                    options.nodes = nodes.ok_or(format!("--nodes {given} is not from 2 to 1000"))?;
                }
                "--loss" => {
                    let given = value()?;
                    let loss = given.parse().ok().filter(|loss| (0.0..1.0).contains(loss));
                    options.loss = loss.ok_or(format!("--loss {given} is not from 0 to less than 1"))?;
                }
                _ => return Err(format!("{flag} is no flag")),
            }
        }
        Ok(options)
    }
}
