//! The protocol's user, and all of it as a machine: commands and datagrams in, datagrams and events out.

use super::*;

/// A message in the queue.
#[derive(Debug, Clone)]
struct Queued(u64, Bytes);

impl Broadcast for Queued {
    type Id = u64;
    type Message = Bytes;

    fn id(&self) -> Option<&u64> {
        Some(&self.0)
    }

    fn invalidates(&self, other: &Self) -> bool {
        self.0 == other.0
    }

    fn message(&self) -> &Bytes {
        &self.1
    }

    fn encoded_len(message: &Bytes) -> usize {
        // With the tag and the length of user data.
        message.len() + 3
    }

    async fn finished(&self) {}
}

/// User of the protocol: messages, and the members that it was told of.
struct Inbox {
    heard: BTreeMap<u64, Vec<u8>>,
    new: VecDeque<u64>,
    members: BTreeMap<Addr, Status>,
    told: VecDeque<(Addr, Status)>,
}

#[derive(Clone)]
struct User {
    inbox: Arc<Mutex<Inbox>>,
    queue: Arc<TransmitLimitedQueue<Queued, Arc<AtomicUsize>>>,
    /// Live members, of which the queue's number of transmissions is a function.
    live: Arc<AtomicUsize>,
}

impl User {
    fn see(&self, node: &NodeState<SmolStr, SocketAddr>, status: Status) {
        let of = addr(node.address());
        let mut inbox = lock(&self.inbox);
        inbox.members.insert(of, status);
        inbox.told.push_back((of, status));
        let live = inbox.members.values().filter(|&&status| status == Status::Alive).count();
        self.live.store(live, Ordering::SeqCst);
    }
}

impl NodeDelegate for User {
    async fn notify_message(&self, message: Cow<'_, [u8]>) {
        let Some(number) = number(&message) else { return };
        let payload = message.into_owned();
        {
            let mut inbox = lock(&self.inbox);
            if inbox.heard.insert(number, payload.clone()).is_some() {
                return;
            }
            inbox.new.push_back(number);
        }
        self.queue.queue_broadcast(Queued(number, payload.into())).await;
    }

    async fn broadcast_messages<F>(&self, limit: usize, _: F) -> impl Iterator<Item = Bytes> + Send
    where
        F: Fn(Bytes) -> (usize, Bytes) + Send + Sync + 'static,
    {
        self.queue.get_broadcasts(limit).await.into_iter()
    }
}

impl EventDelegate for User {
    type Id = SmolStr;
    type Address = SocketAddr;

    async fn notify_join(&self, node: Arc<NodeState<SmolStr, SocketAddr>>) {
        self.see(&node, Status::Alive);
    }

    async fn notify_leave(&self, node: Arc<NodeState<SmolStr, SocketAddr>>) {
        self.see(&node, Status::Dead);
    }

    async fn notify_update(&self, _: Arc<NodeState<SmolStr, SocketAddr>>) {}
}

type Void = VoidDelegate<SmolStr, SocketAddr>;
type Delegates = CompositeDelegate<SmolStr, SocketAddr, Void, Void, User, Void, User, Void>;

/// Starts the protocol, and joins until somebody else is there.
async fn run(net: Net, user: User, seeds: Vec<SocketAddr>, me: Addr) {
    let delegate: Delegates =
        CompositeDelegate::new().with_event_delegate(user.clone()).with_node_delegate(user.clone());
    let members = Memberlist::<Net, Delegates>::with_delegate(delegate, net, Options::lan()).await;
    let Ok(members) = members else { return };
    loop {
        let alone = lock(&user.inbox).members.iter().all(|(of, status)| *of == me || *status != Status::Alive);
        if alone && !seeds.is_empty() {
            // Those that do not answer are tried again.
            let _ = members.join_many(seeds.iter().copied().map(MaybeResolvedAddress::Resolved)).await;
        }
        Simulated::sleep(AGAIN).await;
    }
}

pub struct Members {
    world: World,
    now: Instant,
    wires: Arc<Mutex<Wires>>,
    streams: Streams,
    packets: Packets,
    connections: Connections,
    user: User,
}

/// First bytes of datagrams.
const IS_PACKET: u8 = 0;
const IS_FRAME: u8 = 1;

impl Members {
    fn enter<R>(&mut self, f: impl FnOnce(&User) -> R) -> R {
        let user = self.user.clone();
        let result = self.world.enter(self.now.since(Instant::ORIGIN), || f(&user));
        let parts = std::mem::take(&mut lock(&self.wires).parts);
        for (to, (ours, number), part) in parts {
            let mut bytes = vec![u8::from(ours)];
            bytes.extend(number.to_le_bytes());
            bytes.extend(&part);
            self.streams.send(self.now, to, bytes);
            self.forget(to, (ours, number));
        }
        result
    }

    /// Forgets a connection that nobody reads any more.
    fn forget(&mut self, peer: Addr, number: Number) {
        let mut wires = lock(&self.wires);
        if wires.pipes.get(&(peer, number)).is_some_and(|pipe| Arc::strong_count(pipe) == 1) {
            wires.pipes.remove(&(peer, number));
        }
    }

    fn part(&mut self, from: Addr, bytes: &[u8]) -> Result<(), &'static str> {
        let (&[theirs, a, b, c, d], part) = bytes.split_first_chunk::<5>().ok_or("too short")?;
        let number = (theirs == 0, u32::from_le_bytes([a, b, c, d]));
        let known = lock(&self.wires).pipes.get(&(from, number)).cloned();
        let pipe = match known {
            Some(pipe) => pipe,
            // The end of one that was read already.
            None if number.0 || part.is_empty() => return Ok(()),
            None => {
                let pipe = Arc::<Mutex<Pipe>>::default();
                lock(&self.wires).pipes.insert((from, number), pipe.clone());
                let writer = Writer { wires: self.wires.clone(), to: from, number, ended: false };
                let conn = Conn { reader: Reader(pipe.clone()), writer };
                let connections = self.connections.clone();
                // The channel holds one, and is empty whenever nothing can go on.
                self.enter(|_| connections.try_send(socket(from), conn)).map_err(|_| "a connection too many")?;
                pipe
            }
        };
        {
            let mut pipe = lock(&pipe);
            pipe.bytes.extend(part);
            pipe.wake();
            if part.is_empty() {
                pipe.end();
            }
        }
        drop(pipe);
        self.enter(|_| ());
        self.forget(from, number);
        Ok(())
    }

    fn arrived(&mut self, arrived: Vec<Arrived>) -> Result<(), &'static str> {
        for arrived in arrived {
            match arrived {
                Arrived::Message(from, bytes) => self.part(from, &bytes)?,
                Arrived::Disconnected(peer) => {
                    let mut wires = lock(&self.wires);
                    let gone: Vec<_> = wires.pipes.keys().filter(|(of, _)| *of == peer).copied().collect();
                    let pipes: Vec<_> = gone.iter().filter_map(|number| wires.pipes.remove(number)).collect();
                    drop(wires);
                    pipes.iter().for_each(|pipe| lock(pipe).end());
                    self.enter(|_| ());
                }
            }
        }
        Ok(())
    }

    fn receive(&mut self, from: Addr, payload: &[u8]) -> Result<(), &'static str> {
        match payload.split_first() {
            Some((&IS_PACKET, packet)) => {
                let arrived = Tick::at(self.now.since(Instant::ORIGIN));
                let packet = Packet::new(socket(from), arrived, Bytes::copy_from_slice(packet));
                let packets = self.packets.clone();
                self.enter(|_| packets.try_send(packet)).map_err(|_| "the queue of packets is full")
            }
            Some((&IS_FRAME, frame)) => {
                let arrived = self.streams.receive(self.now, from, frame)?;
                self.arrived(arrived)
            }
            _ => Err("neither a packet nor a frame"),
        }
    }
}

/// An event of memberlist, or a message.
#[derive(Debug)]
pub enum Told {
    Member(Addr, Status),
    Message(u64),
}

impl Machine for Members {
    type Config = ();
    type Command = Say;
    type Event = Told;
    type Memory = ();

    fn expectations(_config: &()) -> Expectations {
        Expectations {
            max_skew: Duration::from_secs(5),
            membership: MemberKnowledge::Detected,
            ..Expectations::new(1 + PACKET, Duration::from_secs(1))
        }
    }

    fn boot(boot: &Boot<'_, ()>, _memory: Option<()>) -> Self {
        let wires = Arc::<Mutex<Wires>>::default();
        let (packets, packet_subscriber) = packet_stream::<Net>(1_024);
        let (connections, connection_subscriber) = promised_stream::<Net>();
        let live = Arc::new(AtomicUsize::new(1));
        let inbox = Inbox {
            heard: BTreeMap::new(),
            new: VecDeque::new(),
            members: BTreeMap::from([(boot.addr, Status::Alive)]),
            told: VecDeque::new(),
        };
        let queue = Arc::new(TransmitLimitedQueue::new(Options::lan().retransmit_mult(), live.clone()));
        let user = User { inbox: Arc::new(Mutex::new(inbox)), queue, live };
        let net = Net {
            id: format_smolstr!("n{}", boot.addr.0),
            me: socket(boot.addr),
            wires: wires.clone(),
            packets: packet_subscriber,
            connections: connection_subscriber,
        };
        let seeds = boot.seeds.iter().filter(|&&seed| seed != boot.addr).map(|&seed| socket(seed)).collect();
        let mut members = Self {
            world: World::default(),
            now: boot.now,
            wires,
            streams: Streams::new(boot.seed),
            packets,
            connections,
            user,
        };
        let me = boot.addr;
        // Joining many is a future of one thread.
        members.enter(|user| Simulated::spawn_local_detach(run(net, user.clone(), seeds, me)));
        members
    }

    fn into_memory(self) {}

    fn command(&mut self, now: Instant, say: &Say) -> Result<(), String> {
        self.now = self.now.max(now);
        let (number, payload) = (say.0, say.payload());
        self.enter(|user| {
            lock(&user.inbox).heard.insert(number, payload.clone());
            let queue = user.queue.clone();
            Simulated::spawn_detach(async move { queue.queue_broadcast(Queued(number, payload.into())).await });
        });
        Ok(())
    }

    fn handle(&mut self, now: Instant, input: Input<'_, Addr>) -> Result<(), String> {
        self.now = self.now.max(now);
        let result = match input {
            Input::Datagram { from, payload } => self.receive(*from, payload),
            _ => Ok(()),
        };
        self.enter(|_| ());
        let ended = self.streams.tick(self.now, |_| false);
        result.and(self.arrived(ended)).map_err(str::to_owned)
    }

    fn poll_transmit(&mut self, buffer: &mut [u8]) -> Option<Outgoing> {
        let packet = lock(&self.wires).packets.pop_front();
        let (tag, to, bytes, label) = match packet {
            Some((to, bytes)) => (IS_PACKET, to, bytes, "packet"),
            None => {
                let (to, frame) = self.streams.poll()?;
                (IS_FRAME, to, frame.into(), "stream")
            }
        };
        buffer[0] = tag;
        buffer[1..=bytes.len()].copy_from_slice(&bytes);
        Some(Outgoing { to, len: 1 + bytes.len(), label })
    }

    fn poll_event(&mut self) -> Option<Told> {
        let mut inbox = lock(&self.user.inbox);
        let message = inbox.new.pop_front().map(Told::Message);
        message.or_else(|| inbox.told.pop_front().map(|(of, status)| Told::Member(of, status)))
    }

    fn poll_timeout(&self) -> Option<Instant> {
        let tasks = self.world.deadline().map(|at| Instant::ORIGIN + at);
        tasks.into_iter().chain(self.streams.deadline(|_| false)).min()
    }

    fn clock(&self, now: Instant) -> Instant {
        self.now.max(now)
    }

    fn view(&self, _cut: Instant) -> View {
        let inbox = lock(&self.user.inbox);
        let items = inbox.heard.iter().map(|(number, payload)| (key(*number), ViewItem::new(1, payload)));
        let live = inbox.members.iter().filter(|(_, status)| **status == Status::Alive);
        View { items: items.collect(), members: live.map(|(of, status)| (*of, *status)).collect() }
    }

    fn note(told: &Told) -> Note {
        match told {
            Told::Member(of, status) => Note::Member { of: *of, was: None, status: *status },
            Told::Message(number) => Note::Delivered((*number).into()),
        }
    }
}

impl Peer for Members {
    const NAME: &'static str = "memberlist-core 0.8.5, with messages of memberlist-proto 0.3.4";
    const DETECTS: bool = true;

    fn heard(&self, number: u64) -> bool {
        lock(&self.user.inbox).heard.contains_key(&number)
    }

    fn joined(&self, nodes: usize) -> bool {
        self.user.live.load(Ordering::SeqCst) >= nodes
    }
}
