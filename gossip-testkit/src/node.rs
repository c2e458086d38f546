//! [`gossip_core::Node`] as a machine.

use std::sync::Arc;
use std::time::Duration;

use gossip_core::inspect::{CLOCKS_APART, Certificate, Entry, Standing, Update};
use gossip_core::{
    Change, Config, EntryKind, Event, Input, Instant, Node, NodeId, PutOptions, Snapshot, Stamp, Status, TrafficClass,
};

use crate::address::Addr;
use crate::command::Command;
use crate::machine::{Boot, Expectations, Idle, ItemVersion, Machine, MemberKnowledge, Note, Outgoing, View, ViewItem};
use crate::plan::Damage;
use crate::settings;

/// Members for which there is room in all presets.
const ROOMY: usize = 100_000;
/// Bytes of a value above which it does not fit into any datagram of a preset.
const LARGE: usize = 1_200;

/// The id of the node at an address: the same number.
pub fn id_of(addr: Addr) -> NodeId {
    NodeId::new(u64::from(addr.0))
}

/// The address of the node with an id.
fn addr_of(id: NodeId) -> Addr {
    Addr(id.get() as u32)
}

fn new(boot: &Boot<'_, Config>) -> Node<Addr> {
    let mut node = Node::new(id_of(boot.id), boot.addr, boot.config.clone(), boot.seed)
        .expect("the configuration of a simulation is checked by its author");
    node.set_wall_clock(boot.now, boot.wall);
    node
}

/// The smallest `max_datagram` that a node may be configured with.
const SHORTEST: usize = 512;

fn checksum(bytes: &[u8]) -> [u8; 8] {
    use std::hash::Hasher;
    let mut hasher = siphasher::sip::SipHasher13::new_with_keys(0x6469_736b, bytes.len() as u64);
    hasher.write(bytes);
    hasher.finish().to_le_bytes()
}

/// The memory is a snapshot, taken when the process crashes: the next one is another life of the same member.
impl Machine for Node<Addr> {
    type Config = Config;
    type Command = Command;
    type Event = Event<Addr>;
    type Memory = Snapshot<Addr>;

    fn expectations(config: &Config) -> Expectations {
        let (probe, anti_entropy) = (config.probe.period, config.anti_entropy.interval);
        // What the presets have in common: an exchange and a contact of the dead in five periods.
        let period = probe.max(anti_entropy / 5).max(config.healing.interval / 5);
        // A probe and its ack, and room for an exchange of summaries.
        let in_a_period = |interval: Duration| period.as_secs_f64() / interval.as_secs_f64();
        // Whoever pulls rumors asks in every interval, whether or not there are any, and is answered.
        let asked = if config.rumor.exchange.pulls() { 2.0 * f64::from(config.rumor.fanout) } else { 0.0 };
        let rumors = asked * in_a_period(config.rumor.interval);
        // Seeds that are gone, and one of the dead, are called in each interval, which the presets have five times as long.
        let called = 3.0 * (in_a_period(config.healing.interval) - 0.2).max(0.0);
        let datagrams = 3.0 * in_a_period(probe) + 3.0 * in_a_period(anti_entropy) + rumors + called;
        Expectations {
            max_datagram: config.max_datagram,
            period,
            max_skew: config.lifetimes.max_ahead / 2,
            idle: Some(Idle { datagrams, bytes: 100.0 * datagrams }),
            membership: match config.membership {
                gossip_core::Membership::Probed => MemberKnowledge::Detected,
                // Nobody probes: who has crashed is not found out.
                gossip_core::Membership::Given => MemberKnowledge::Joined,
            },
            held_per_item: 1,
            // Of a snapshot as old as that, members that lived briefly are addresses to try.
            members_kept: config.lifetimes.reap_after / 64,
            clocks_apart: CLOCKS_APART,
        }
    }

    fn boot(boot: &Boot<'_, Config>, memory: Option<Snapshot<Addr>>) -> Self {
        let mut node = new(boot);
        if let Some(memory) = memory {
            // Those that would be refused were asked for in `remembers`.
            let _ = node.restore(boot.now, memory);
        }
        match boot.config.membership {
            gossip_core::Membership::Probed => node.join(boot.now, boot.seeds.iter().copied()),
            gossip_core::Membership::Given => node.set_peers(boot.now, boot.nodes.iter().copied()),
        }
        node
    }

    fn remembers(boot: &Boot<'_, Config>, memory: &Snapshot<Addr>) -> bool {
        new(boot).restore(boot.now, memory.clone()).is_ok()
    }

    fn into_memory(self) -> Snapshot<Addr> {
        self.snapshot()
    }

    /// As the adapters keep it: a checksum tells what was damaged.
    fn damaged(memory: Snapshot<Addr>, damage: Damage) -> Option<Snapshot<Addr>> {
        let mut bytes = postcard::to_allocvec(&memory).ok()?;
        let sum = checksum(&bytes);
        bytes.extend(sum);
        damage.apply(&mut bytes);
        let (body, sum) = bytes.split_last_chunk()?;
        if *sum == checksum(body) { postcard::from_bytes(body).ok() } else { None }
    }

    fn shortened(config: &Config, max_datagram: usize) -> Config {
        Config { max_datagram: max_datagram.max(SHORTEST), ..config.clone() }
    }

    fn set(config: &Config, name: &str, value: &str) -> Option<Config> {
        settings::set(config, name, value)
    }

    fn set_wall_clock(&mut self, now: Instant, wall: Instant) {
        Self::set_wall_clock(self, now, wall);
    }

    fn command(&mut self, now: Instant, command: &Command) -> Result<(), String> {
        match command {
            Command::Put { name, value, own, time_to_live } => {
                let mut options = PutOptions::default();
                options.kind = if *own { EntryKind::Own } else { EntryKind::Shared };
                options.time_to_live = *time_to_live;
                self.put_with(now, name, value.as_bytes(), options).map(drop)
            }
            Command::Delete { name, own: false } => self.delete(now, name).map(drop),
            Command::Delete { name, own: true } => self.delete_own(now, name).map(drop),
            Command::PutShare { name, value } => self.put_share(now, name, value.as_bytes()).map(drop),
            Command::DeleteShare { name } => self.delete_share(now, name).map(drop),
            Command::Forget(node) => {
                self.forget(now, id_of(*node));
                Ok(())
            }
            Command::Broadcast(payload) => self.broadcast(now, payload.as_bytes()).map(drop),
            Command::Leave => {
                self.leave(now);
                Ok(())
            }
            // Through whom it knows: whoever is there would lose its seeds by that, and whoever knows nobody finds nobody.
            Command::Join if !self.has_left() => return Err("it has not left".to_owned()),
            Command::Join if self.members().all(|member| member.id == self.id()) => {
                return Err("it knows nobody".to_owned());
            }
            Command::Join => {
                self.join(now, []);
                Ok(())
            }
        }
        .map_err(|error| error.to_string())
    }

    fn handle(&mut self, now: Instant, input: Input<'_, Addr>) -> Result<(), String> {
        Self::handle(self, now, input).map_err(|error| error.to_string())
    }

    fn poll_transmit(&mut self, buffer: &mut [u8]) -> Option<Outgoing> {
        let transmit = Self::poll_transmit(self, buffer)?;
        let label = match transmit.class {
            TrafficClass::Ack => "ack",
            TrafficClass::Probe => "probe",
            TrafficClass::Unicast => "unicast",
            TrafficClass::Rumor => "rumor",
            TrafficClass::AntiEntropy => "anti-entropy",
            TrafficClass::Bulk => "bulk",
            _ => "datagram",
        };
        Some(Outgoing { to: transmit.to, len: transmit.len, label })
    }

    fn poll_event(&mut self) -> Option<Event<Addr>> {
        Self::poll_event(self)
    }

    fn poll_timeout(&self) -> Option<Instant> {
        Self::poll_timeout(self)
    }

    fn clock(&self, now: Instant) -> Instant {
        Self::clock(self, now)
    }

    fn view(&self, cut: Instant) -> View {
        let roomy = self.config().limits.members >= ROOMY;
        View {
            items: self.updates(cut).map(|update| item(cut, roomy, &update)).collect(),
            members: self.members().map(|member| (addr_of(member.id), member.status)).collect(),
        }
    }

    fn fingerprint(&self, cut: Instant) -> u64 {
        self.reconciled(cut).fingerprint
    }

    fn opinion(&self, of: Addr) -> Option<Status> {
        self.member(id_of(of)).map(|member| member.status)
    }

    fn incarnation(&self) -> Option<u64> {
        self.member(self.id()).map(|member| member.incarnation)
    }

    fn written(&self, command: &Command) -> Option<(String, Option<Vec<u8>>)> {
        let own = |own: bool| own.then(|| Whose::Own(self.id()));
        let share = Some(Whose::Share(self.id()));
        let (name, whose, value) = match command {
            Command::Put { name, value, own: is_own, .. } => (name, own(*is_own), Some(value.clone().into_bytes())),
            Command::Delete { name, own: is_own } => (name, own(*is_own), None),
            Command::PutShare { name, value } => (name, share, Some(value.clone().into_bytes())),
            Command::DeleteShare { name } => (name, share, None),
            Command::Forget(_) | Command::Broadcast(_) | Command::Leave | Command::Join => return None,
        };
        Some((entry_key(name, whose), value))
    }

    fn has_left(&self) -> bool {
        Self::has_left(self)
    }

    /// Its updates: entries, members, certificates and broadcasts. What it has yet to send and what it fetches are bounded
    /// by its [limits](gossip_core::Limits) and not counted here.
    fn held(&self) -> Option<usize> {
        Some(self.updates(Instant::ORIGIN).count())
    }

    fn paths_compared(&self) -> u64 {
        self.stats().paths_compared
    }

    fn note(event: &Event<Addr>) -> Note {
        match event {
            Event::Broadcast { id, .. } => {
                let stamp = id.0;
                let low = u64::from(stamp.counter) << 32 | stamp.node.get() & 0xffff_ffff;
                Note::Delivered(u128::from(stamp.time.as_micros()) << 64 | u128::from(low))
            }
            Event::Member { was, member } => Note::Member { of: addr_of(member.id), was: *was, status: member.status },
            Event::Entry { change: Change::Written { value, stamp }, .. }
            | Event::Share { change: Change::Written { value, stamp }, .. }
                if value.len() > LARGE =>
            {
                Note::Large(addr_of(stamp.node))
            }
            _ => Note::Other,
        }
    }
}

/// Owner of an entry that ends with its boot, or of a share.
enum Whose {
    Own(NodeId),
    Share(NodeId),
}

/// Returns the key of an entry in a view.
fn entry_key(name: &str, whose: Option<Whose>) -> String {
    let name = name.escape_default();
    match whose {
        None => format!("entry \"{name}\""),
        Some(Whose::Own(owner)) => format!("entry \"{name}\" of {owner}"),
        Some(Whose::Share(owner)) => format!("share \"{name}\" of {owner}"),
    }
}

/// An update as an item. A deleted entry may vanish: it shrinks to a certificate, which knows but a hash of its name.
/// That what is gone stays gone is checked all the same, against what each node has seen.
fn item(cut: Instant, roomy: bool, update: &Update<Addr>) -> (String, ViewItem) {
    let mut until = update.until().instant();
    let mut bound = update.owner().is_some();
    // Of two that are equal otherwise, the one that ends earlier wins.
    let earlier = u64::MAX - update.ends().instant().map_or(u64::MAX, Instant::as_micros);
    let stamped = |stamp: &Stamp| {
        let boot = update.owner().map_or(0, |owner| owner.boot.as_micros());
        [boot, stamp.time.as_micros(), u64::from(stamp.counter), stamp.node.get(), earlier]
    };
    let (key, version, body) = match update {
        Update::Member(record) => {
            let body = format!("{:?} at {}", record.standing, record.address);
            let version = [record.incarnation, record.standing as u64, earlier, 0, 0];
            // Where there is room for few, the dead give way to those who come.
            bound = !roomy && record.standing != Standing::Alive;
            (format!("member {}", record.id), version, Some(Arc::from(body.as_bytes())))
        }
        Update::Entry(entry) => {
            let value = entry.value.clone().filter(|_| update.ends().is_after(cut));
            if value.is_some() {
                until = update.ends().instant();
            } else {
                // What has expired is its own certificate.
                bound = true;
            }
            let whose =
                entry.owner.map(|owner| if owner.has_share() { Whose::Share(owner.id) } else { Whose::Own(owner.id) });
            (entry_key(&entry.name, whose), stamped(&entry.stamp), value)
        }
        Update::Certificate(certificate) => {
            bound = true;
            (format!("certificate {}", certificate.stamp), stamped(&certificate.stamp), None)
        }
        Update::Broadcast(broadcast) => {
            let version = [0, 0, 0, 0, earlier];
            (format!("broadcast {}", broadcast.stamp), version, Some(broadcast.payload.clone()))
        }
    };
    let kept = match update {
        Update::Entry(Entry { ends, stamp, .. }) | Update::Certificate(Certificate { ends, stamp, .. }) => {
            ends.map(|end| (end.at + Duration::from_secs(end.keep.into())).max(stamp.time))
        }
        Update::Member(_) | Update::Broadcast(_) => until,
    };
    let member = matches!(update, Update::Member(_));
    (key, ViewItem { version: ItemVersion(version), until, kept, body, bound, member })
}
