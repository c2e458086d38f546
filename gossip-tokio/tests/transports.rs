//! The testkit's conformance suite over the transports of the examples, which are as good as the built-in ones.

mod common;

#[path = "../examples/custom_transport.rs"]
#[cfg_attr(unix, expect(dead_code, reason = "the example's own story is told in tests/examples.rs"))]
mod custom_transport;
#[path = "../examples/tcp_transport.rs"]
#[expect(dead_code, reason = "the example's own story is told in tests/examples.rs")]
mod tcp_transport;

use std::io::{self, Write as _};
use std::net::{SocketAddr, TcpStream};

use common::harness::{Adapter, Medium};
use gossip_testkit::suite;
use tcp_transport::Tcp;

struct Frames;

impl Medium for Frames {
    type Transport = Tcp;

    async fn attach(&mut self) -> io::Result<(Tcp, SocketAddr)> {
        let transport = Tcp::bind("127.0.0.1:0").await?;
        let address = transport.address;
        Ok((transport, address))
    }

    /// Sends the bytes twice: as the frame of a stranger that knows the greeting, and as bytes that are no frame.
    fn inject(&mut self, to: &SocketAddr, bytes: &[u8]) -> io::Result<()> {
        let hello = b"127.0.0.1:9";
        let length = |part: &[u8]| u16::try_from(part.len()).expect("garbage is short").to_be_bytes();
        TcpStream::connect(to)?.write_all(&[&length(hello), &hello[..], &length(bytes), bytes].concat())?;
        TcpStream::connect(to)?.write_all(bytes)
    }
}

#[test]
fn frames_over_tcp_conform() {
    let report = suite::run(&mut Adapter::new(Frames)).unwrap_or_else(|failure| panic!("{failure}"));
    eprintln!("{report}");
}

#[cfg(unix)]
mod unix {
    use std::os::unix::net::UnixDatagram;
    use std::path::PathBuf;

    use super::custom_transport::unix::Unix;
    use super::*;

    /// A directory, deleted with the test, and the number of sockets made in it.
    struct Directory(PathBuf, u32);

    impl Directory {
        fn next(&mut self) -> PathBuf {
            self.1 += 1;
            self.0.join(self.1.to_string())
        }
    }

    impl Drop for Directory {
        fn drop(&mut self) {
            // What is left of it is the system's to clean up.
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    impl Medium for Directory {
        type Transport = Unix;

        async fn attach(&mut self) -> io::Result<(Unix, PathBuf)> {
            let path = self.next();
            Ok((Unix::bind(&path).await?, path))
        }

        /// Sends from a socket with a name and from one without, which cannot be answered.
        fn inject(&mut self, to: &PathBuf, bytes: &[u8]) -> io::Result<()> {
            UnixDatagram::bind(self.next())?.send_to(bytes, to)?;
            UnixDatagram::unbound()?.send_to(bytes, to).map(drop)
        }
    }

    #[test]
    fn unix_datagrams_conform() {
        let directory = std::env::temp_dir().join(format!("gossip-suite-{}", std::process::id()));
        std::fs::create_dir(&directory).unwrap();
        let mut harness = Adapter::new(Directory(directory, 0));
        let report = suite::run(&mut harness).unwrap_or_else(|failure| panic!("{failure}"));
        eprintln!("{report}");
    }
}
