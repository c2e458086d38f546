#!/usr/bin/env bash
# A receiver of async-broadcast that is read as a Stream never says that messages were lost.
#
# async-broadcast 0.7.2, futures-lite 2.6.1. Seen on 2026-11-29:
#
#   recv():   Err(Overflowed(3)) Ok(3) Ok(4)
#   stream:   3 4
#
# Guess before the run: as tokio's BroadcastStream, whose items are results: the stream says once that it lagged, then goes on.
# Why not: the items are plain messages, and the loss is left out. The same receiver reports the loss or hides it, depending on
# the method by which it is read; adding a combinator of StreamExt is enough to lose it.
# What it means here: `Events` polls the receiver itself and yields `Lagged`, so that an application knows to read the state again.
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
async-broadcast = "=0.7.2"
futures-lite = "=2.6.1"
TOML
cat > src/main.rs <<'RUST'
use futures_lite::{StreamExt, future::block_on};

fn main() {
    let (mut sender, mut receiver) = async_broadcast::broadcast(2);
    sender.set_overflow(true);
    let mut stream = receiver.clone();
    for message in 0..5 {
        sender.try_broadcast(message).unwrap();
    }
    block_on(async {
        println!("recv: {:?} {:?} {:?}", receiver.recv().await, receiver.recv().await, receiver.recv().await);
        println!("stream: {:?} {:?}", stream.next().await, stream.next().await);
    });
}
RUST
seen=$(cargo run --quiet)
expected='recv: Err(Overflowed(3)) Ok(3) Ok(4)
stream: Some(3) Some(4)'
echo "$seen"
[ "$seen" = "$expected" ] || { echo "this has changed; expected:"; echo "$expected"; exit 1; }
