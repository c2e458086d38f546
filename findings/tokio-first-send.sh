#!/usr/bin/env bash
# The first `try_send_to` of a fresh tokio UDP socket reports that it would block, although the kernel would take the datagram.
#
# tokio 1.54.1, Linux. Seen on 2026-11-29:
#
#   at once: WouldBlock   after writable(): sent 5   std, non-blocking: sent 5
#
# Guess before the run: an empty send buffer, so all three send. (`try_` means the non-blocking system call.)
# Why not: tokio asks its own record of the socket's readiness first and makes no system call while that is empty. It is filled
# by the reactor, which has not run since the socket was registered. Code that takes WouldBlock for "the buffer is full, drop it"
# loses the first datagrams of its life: in a gossip protocol those that join.
# What it means here: the adapter waits for `writable` once, before it hands out the socket.
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
tokio = { version = "=1.54.1", default-features = false, features = ["net", "rt"] }
TOML
cat > src/main.rs <<'RUST'
use std::io;

fn show(sent: io::Result<usize>) -> String {
    sent.map_or_else(|error| format!("{:?}", error.kind()), |len| format!("sent {len}"))
}

fn main() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().unwrap();
    runtime.block_on(async {
        let to = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let to = to.local_addr().unwrap();
        let socket = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
        println!("at once: {}", show(socket.try_send_to(b"hello", to)));
        socket.writable().await.unwrap();
        println!("after writable(): {}", show(socket.try_send_to(b"hello", to)));
        let plain = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        plain.set_nonblocking(true).unwrap();
        println!("std, non-blocking: {}", show(plain.send_to(b"hello", to)));
    });
}
RUST
seen=$(cargo run --quiet)
expected='at once: WouldBlock
after writable(): sent 5
std, non-blocking: sent 5'
echo "$seen"
[ "$seen" = "$expected" ] || { echo "this has changed; expected:"; echo "$expected"; exit 1; }
