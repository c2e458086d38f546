//! Nodes inside smol: this crate runs there unchanged.
//!
//! async-std and smol share the reactor `async-io`, and the handles work with any executor. Two nodes find each other, one
//! writes an entry, the other waits for it.

use std::time::Duration;

use gossip_async_std::bind;
use gossip_async_std::gossip_core::Config;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    smol::block_on(async {
        let node = |name| bind("127.0.0.1:0").name(name).config(Config::local());
        let first = node("first").spawn().await?;
        let second = node("second").join([first.address()]).spawn().await?;

        // A task on smol's own executor.
        let reader = second.clone();
        let value = smol::spawn(async move { reader.wait_for("greeting").await });
        smol::Timer::after(Duration::from_millis(50)).await;
        first.put("greeting", b"hello from smol")?;
        let value = value.await?;
        println!("second has read: {}", String::from_utf8_lossy(&value));

        second.leave(Duration::from_secs(5)).await?;
        Ok(())
    })
}
