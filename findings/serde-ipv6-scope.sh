#!/usr/bin/env bash
# A link-local IPv6 socket address keeps its scope id in JSON and loses it in postcard.
#
# serde 1.0.229, serde_json 1.0.145, postcard 1.1.3, Rust 1.89 or later. Seen on 2026-11-29:
#
#   json:     [fe80::1%3]:7000   flow 0   equal: true
#   postcard: [fe80::1]:7000     flow 0   equal: false
#
# Guess before the run: both formats go through the same `Serialize` implementation of SocketAddrV6, so the scope id
# (the number of the interface) survives in both or in neither.
# Why not: in a format for people the implementation writes the text of `Display`, which has had `%3` since Rust 1.51 and which
# `FromStr` reads. In a binary format it writes the pair (ip, port). A protocol that is tested with JSON and sent as postcard
# (or bincode) answers to an address that the sender cannot be reached at.
# What it means here: `Address` asks that an address survive encoding, and `Node::new` tries it once.
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
serde = "=1.0.229"
serde_json = "=1.0.145"
postcard = { version = "=1.1.3", default-features = false, features = ["alloc"] }
TOML
cat > src/main.rs <<'RUST'
use std::net::{Ipv6Addr, SocketAddr, SocketAddrV6};

fn main() {
    let ip: Ipv6Addr = "fe80::1".parse().unwrap();
    let given = SocketAddr::V6(SocketAddrV6::new(ip, 7000, 0, 3));
    let json: SocketAddr = serde_json::from_str(&serde_json::to_string(&given).unwrap()).unwrap();
    let binary: SocketAddr = postcard::from_bytes(&postcard::to_allocvec(&given).unwrap()).unwrap();
    println!("json {json} {}", json == given);
    println!("postcard {binary} {}", binary == given);
}
RUST
seen=$(cargo run --quiet)
expected='json [fe80::1%3]:7000 true
postcard [fe80::1]:7000 false'
echo "$seen"
[ "$seen" = "$expected" ] || { echo "this has changed; expected:"; echo "$expected"; exit 1; }
