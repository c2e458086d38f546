#!/usr/bin/env bash
# foca: a member that has refuted a suspicion in time is nevertheless told that it is down, and takes a new identity.
#
# foca 2.0.0, `Config::new_lan` unchanged. Seen on 2026-11-29:
#
#   a sees b: Alive, incarnation 1
#   when the suspicion ends 1 datagram goes to b
#   b is now Id { name: 'b', generation: 1 }: [Rejoin(Id { name: 'b', generation: 1 })]
#
# Expected, from its documentation: the timer of a suspicion that was refuted does nothing, since the incarnation must
# still match, and b's does not.
# Why not: with `notify_down_members` (on in `new_lan`) the timer sends TurnUndead whenever it finds the member in the table, also if
# it left that member's state alone. `a` still sees b alive, but b believes the message, renews its identity and joins again.
# What it means here: when foca is measured beside us (Compared with others), most of its changes of identity under loss are
# these, not deaths.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
mkdir src
cat > Cargo.toml <<'TOML'
[package]
name = "finding"
version = "0.0.0"
edition = "2024"

[dependencies]
foca = { version = "=2.0.0", features = ["std", "postcard-codec"] }
rand = "=0.10.0"
serde = { version = "=1.0.229", features = ["derive"] }
TOML
cat > src/main.rs <<'RUST'
use std::num::NonZeroU32;

use foca::{AccumulatingRuntime, Config, Foca, Identity, Member, NoCustomBroadcast, PostcardCodec, Timer};
use rand::{SeedableRng, rngs::SmallRng};
use serde::{Deserialize, Serialize};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Id {
    name: char,
    generation: u8,
}

impl Identity for Id {
    type Addr = char;

    fn renew(&self) -> Option<Self> {
        Some(Self { generation: self.generation + 1, ..*self })
    }

    fn addr(&self) -> char {
        self.name
    }

    fn win_addr_conflict(&self, other: &Self) -> bool {
        self.generation > other.generation
    }
}

type Node = Foca<Id, PostcardCodec, SmallRng, NoCustomBroadcast>;

fn node(id: Id) -> Node {
    let config = Config::new_lan(NonZeroU32::new(10).unwrap());
    Foca::new(id, config, SmallRng::seed_from_u64(1), PostcardCodec)
}

/// Delivers the datagrams that `from` has for `to`, and counts them.
fn deliver(runtime: &mut AccumulatingRuntime<Id>, to: &mut Node, theirs: &mut AccumulatingRuntime<Id>) -> usize {
    let mut count = 0;
    while let Some((_, data)) = runtime.to_send() {
        to.handle_data(&data, &mut *theirs).unwrap();
        count += 1;
    }
    count
}

fn is_probe(timer: &Timer<Id>) -> bool {
    matches!(timer, Timer::ProbeRandomMember(_))
}

fn is_indirect(timer: &Timer<Id>) -> bool {
    matches!(timer, Timer::SendIndirectProbe { .. })
}

/// Takes the first timer of a kind.
fn take(runtime: &mut AccumulatingRuntime<Id>, timers: &mut Vec<Timer<Id>>, kind: fn(&Timer<Id>) -> bool) -> Timer<Id> {
    timers.extend(std::iter::from_fn(|| runtime.to_schedule()).map(|(_, timer)| timer));
    let at = timers.iter().position(kind).expect("it is scheduled");
    timers.remove(at)
}

fn main() {
    let (id_a, id_b) = (Id { name: 'a', generation: 0 }, Id { name: 'b', generation: 0 });
    let (mut a, mut b) = (node(id_a), node(id_b));
    let (mut at_a, mut at_b) = (AccumulatingRuntime::new(), AccumulatingRuntime::new());
    a.apply_many([Member::alive(id_b)].into_iter(), true, &mut at_a).unwrap();
    b.apply_many([Member::alive(id_a)].into_iter(), true, &mut at_b).unwrap();

    // a probes b, and every datagram of that is lost: a suspects b.
    let mut timers = Vec::new();
    for probe in [is_probe, is_indirect, is_probe] {
        let timer = take(&mut at_a, &mut timers, probe);
        a.handle_timer(timer, &mut at_a).unwrap();
        while at_a.to_send().is_some() {}
    }
    // It tells b, which refutes the suspicion and tells a.
    a.gossip(&mut at_a).unwrap();
    deliver(&mut at_a, &mut b, &mut at_b);
    b.gossip(&mut at_b).unwrap();
    deliver(&mut at_b, &mut a, &mut at_a);
    let seen = a.iter_membership_state().find(|member| *member.id() == id_b).unwrap();
    println!("a sees b: {:?}, incarnation {}", seen.state(), seen.incarnation());

    // The timer of the suspicion.
    while at_a.to_send().is_some() {}
    let suspicion = take(&mut at_a, &mut timers, |timer| matches!(timer, Timer::ChangeSuspectToDown { .. }));
    a.handle_timer(suspicion, &mut at_a).unwrap();
    while at_b.to_notify().is_some() {}
    println!("when the suspicion ends {} datagram goes to b", deliver(&mut at_a, &mut b, &mut at_b));
    let notes: Vec<_> = std::iter::from_fn(|| at_b.to_notify()).collect();
    println!("b is now {:?}: {notes:?}", b.identity());
}
RUST
seen=$(cargo run --quiet)
expected="a sees b: Alive, incarnation 1
when the suspicion ends 1 datagram goes to b
b is now Id { name: 'b', generation: 1 }: [Rejoin(Id { name: 'b', generation: 1 })]"
echo "$seen"
[ "$seen" = "$expected" ] || { echo "this has changed; expected:"; echo "$expected"; exit 1; }
