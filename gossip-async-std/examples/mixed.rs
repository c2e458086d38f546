//! One cluster on two runtimes: nodes on tokio and nodes on async-std speak the same bytes.
//!
//! Two of each; one of either kind writes an entry, and all wait for both.

use std::net::SocketAddr;

use gossip_tokio::gossip_core::Config;

const EACH: usize = 2;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let tokio = tokio::runtime::Runtime::new()?;
    let mut on_tokio = Vec::<gossip_tokio::Gossip>::new();
    let mut on_async_std = Vec::<gossip_async_std::Gossip>::new();

    let mut seeds = Vec::<SocketAddr>::new();
    for _ in 0..EACH {
        let node = gossip_tokio::bind("127.0.0.1:0").config(Config::local()).join(&seeds).spawn();
        on_tokio.push(tokio.block_on(node)?);
        let node = gossip_async_std::bind("127.0.0.1:0").config(Config::local()).join([on_tokio[0].address()]).spawn();
        on_async_std.push(async_std::task::block_on(node)?);
        seeds = vec![on_async_std[0].address()];
    }

    // The handles belong to no runtime: any executor can wait for them.
    on_tokio[0].put("from/tokio", b"hello")?;
    on_async_std[0].put("from/async-std", b"hello")?;
    async_std::task::block_on(async {
        for node in &on_tokio {
            node.wait_members(2 * EACH).await?;
            node.wait_for("from/async-std").await?;
            println!("tokio's {} sees {} members and the other's entry", node.address(), node.members().len());
        }
        for node in &on_async_std {
            node.wait_members(2 * EACH).await?;
            node.wait_for("from/tokio").await?;
            println!("async-std's {} sees {} members and the other's entry", node.address(), node.members().len());
        }
        Ok::<_, Box<dyn std::error::Error>>(())
    })
}
