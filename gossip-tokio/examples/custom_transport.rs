//! A transport of your own: Unix datagram sockets, whose addresses are paths.
//!
//! Three nodes in a directory: one writes an entry, the others wait for it.

#[cfg(unix)]
pub(crate) mod unix {
    use std::io;
    use std::path::{Path, PathBuf};

    use gossip_tokio::{Transport, gossip_core::Config, over};
    use tokio::net::UnixDatagram;

    pub(crate) struct Unix(UnixDatagram);

    impl Unix {
        pub(crate) async fn bind(path: &Path) -> io::Result<Self> {
            let socket = UnixDatagram::bind(path)?;
            // Until the reactor has polled the socket once, `try_send_to` reports that it would block.
            socket.writable().await?;
            Ok(Self(socket))
        }
    }

    impl Transport for Unix {
        type Address = PathBuf;

        fn send(&self, to: &PathBuf, payload: &[u8]) -> io::Result<()> {
            self.0.try_send_to(payload, to).map(drop)
        }

        async fn recv(&self, buffer: &mut [u8]) -> io::Result<(usize, PathBuf)> {
            let (length, from) = self.0.recv_from(buffer).await?;
            let path = from.as_pathname().ok_or(io::ErrorKind::AddrNotAvailable)?;
            Ok((length, path.to_owned()))
        }
    }

    pub(super) async fn run(directory: &Path) -> Result<(), Box<dyn std::error::Error>> {
        let paths = ["a", "b", "c"].map(|name| directory.join(name));
        let mut nodes = Vec::new();
        for path in &paths {
            let transport = Unix::bind(path).await?;
            let node = over(transport, path.clone()).config(Config::local()).join([paths[0].clone()]);
            nodes.push(node.spawn().await?);
        }
        for node in &nodes {
            node.wait_members(nodes.len()).await?;
            println!("{} sees {} members", node.address().display(), node.members().len());
        }
        nodes[2].put("greeting", b"hello")?;
        for node in &nodes {
            let value = node.wait_for("greeting").await?;
            println!("{} has {:?}", node.address().display(), String::from_utf8_lossy(&value));
        }
        Ok(())
    }
}

#[cfg(unix)]
#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let directory = std::env::temp_dir().join(format!("gossip-{}", std::process::id()));
    std::fs::create_dir(&directory)?;
    let result = unix::run(&directory).await;
    std::fs::remove_dir_all(&directory)?;
    result
}

#[cfg(not(unix))]
fn main() {
    println!("this example needs Unix sockets");
}
