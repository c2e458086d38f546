//! A node in a framing of your own, checked under loss: does a custom transport lose datagrams that matter?
//!
//! This one hides the bytes behind a key stream that both ends compute from a counter, and refuses replays by a window
//! of the last 64 counters of each peer, as IPsec does (RFC 4303, section 3.4.3).

use std::collections::BTreeMap;

use gossip_core::Node;
use gossip_testkit::{Addr, Checker, FaultPlan, Framed, Framing, Scenario, Swarm, Window};

#[derive(Debug, Default)]
struct Sealed {
    sent: u64,
    /// Per peer, the largest counter seen and which of the 64 up to it were seen.
    seen: BTreeMap<Addr, (u64, u64)>,
}

/// Obfuscation only: a real framing uses a real cipher.
fn stream(from: Addr, to: Addr, counter: u64) -> impl Iterator<Item = u8> {
    let mut state = u64::from(from.0) << 32 ^ u64::from(to.0) ^ counter.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    std::iter::repeat_with(move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    })
}

impl Framing for Sealed {
    const OVERHEAD: usize = 8;

    fn seal(&mut self, from: Addr, to: Addr, payload: &[u8], frame: &mut Vec<u8>) {
        self.sent += 1;
        frame.extend(self.sent.to_le_bytes());
        frame.extend(payload.iter().zip(stream(from, to, self.sent)).map(|(byte, key)| byte ^ key));
    }

    fn open(&mut self, from: Addr, to: Addr, frame: &[u8], payload: &mut Vec<u8>) -> Result<(), String> {
        let (counter, sealed) = frame.split_first_chunk::<8>().ok_or("too short")?;
        let counter = u64::from_le_bytes(*counter);
        let (latest, window) = self.seen.entry(from).or_default();
        // A peer that has started again counts from 1 again. A real framing would learn that from a handshake.
        if counter + 64 <= *latest {
            (*latest, *window) = (0, 0);
        }
        if counter > *latest {
            *window = window.checked_shl((counter - *latest).min(64) as u32).unwrap_or(0) | 1;
            *latest = counter;
        } else if *window >> (*latest - counter) & 1 == 1 {
            return Err("a replay".to_owned());
        } else {
            *window |= 1 << (*latest - counter);
        }
        payload.extend(sealed.iter().zip(stream(from, to, counter)).map(|(byte, key)| byte ^ key));
        Ok(())
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let checker = Checker::<Framed<Node<Addr>, Sealed>>::default();

    let everything = checker.sweep(&Swarm::default(), 0..200)?;
    println!("{everything}");

    let mut scenario: Scenario<_> = Swarm { classes: vec![], ..Swarm::default() }.scenario(1);
    scenario.plan = FaultPlan::new().loss(0.3, Window::secs(0, 60)).duplicate(0.3, Window::secs(0, 60));
    println!("{}", checker.check(&scenario)?);
    Ok(())
}

#[test]
fn a_node_in_a_framing_of_its_own_converges() {
    main().unwrap();
}
