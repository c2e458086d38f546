//! The scenarios. Knows the stage; each function is one scenario, and says in its waits what it expects.

use gossip_core::Status;
use rand::rngs::Xoshiro256PlusPlus;
use rand::{Rng as _, SeedableRng as _};

use super::Problem;
use super::harness::Harness;
use super::stage::Stage;

/// Enough for indirect probes, and for some to learn from others than the writer.
const NODES: usize = 4;

type Played = Result<(), Problem>;

pub(super) fn join<H: Harness>(stage: &mut Stage<'_, H>) -> Played {
    stage.start_all(NODES)?;
    stage.wait("all to know nobody else", |stage| stage.all_know(NODES))
}

pub(super) fn put<H: Harness>(stage: &mut Stage<'_, H>) -> Played {
    stage.start_all(NODES)?;
    for number in 0..NODES {
        stage.put(number, &format!("from/{number}"), b"first")?;
    }
    stage.wait("what each has written to be everywhere", |stage| {
        (0..NODES).try_for_each(|number| stage.all_have(&format!("from/{number}"), Some(b"first")))
    })?;
    // By somebody else: the later write wins, whoever makes it.
    stage.put(NODES - 1, "from/0", b"second")?;
    stage.wait("the later of two writes to win everywhere", |stage| stage.all_have("from/0", Some(b"second")))?;
    let large: Vec<u8> = (0..stage.config.max_datagram - 256).map(|position| position as u8).collect();
    stage.put(1, "large", &large)?;
    stage.wait("a value that nearly fills a datagram to be everywhere", |stage| stage.all_have("large", Some(&large)))
}

pub(super) fn delete<H: Harness>(stage: &mut Stage<'_, H>) -> Played {
    stage.start_all(NODES - 1)?;
    stage.put(0, "kept", b"value")?;
    stage.put(0, "gone", b"value")?;
    stage.wait("two entries to be everywhere", |stage| {
        stage.all_have("kept", Some(b"value"))?;
        stage.all_have("gone", Some(b"value"))
    })?;
    stage.command(1, "deleting \"gone\"", |harness, node| harness.delete(node, "gone"))?;
    stage.wait("the deleted entry to be gone everywhere", |stage| stage.all_have("gone", None))?;
    stage.start(NODES - 1, 2)?;
    stage.wait("one who joins later to have what was kept", |stage| stage.all_have("kept", Some(b"value")))?;
    stage.watch(stage.aftermath(), |stage| {
        stage.all_have("gone", None).map_err(|found| format!("a deleted entry has come back: {found}"))
    })
}

pub(super) fn broadcast<H: Harness>(stage: &mut Stage<'_, H>) -> Played {
    stage.start_all(NODES)?;
    let payload = |number| format!("from {}", Stage::<H>::name(number)).into_bytes();
    for number in 0..NODES {
        stage.command(number, "a broadcast", |harness, node| harness.broadcast(node, &payload(number)))?;
    }
    stage.wait("everybody's broadcast to reach everybody", |stage| {
        (0..NODES).try_for_each(|number| stage.all_heard(number, &payload(number)))
    })?;
    // A transport that cuts long datagrams, or loses them, is found out here: values would go on in parts, a message has none.
    let long: Vec<u8> = (0..stage.config.max_datagram - 256).map(|position| position as u8).collect();
    stage.command(1, "a broadcast", |harness, node| harness.broadcast(node, &long))?;
    stage.wait("a broadcast that nearly fills a datagram to reach everybody", |stage| stage.all_heard(1, &long))?;
    stage.watch(stage.aftermath(), Stage::none_heard_twice)
}

pub(super) fn loss<H: Harness>(stage: &mut Stage<'_, H>) -> Played {
    stage.start_all(NODES)?;
    // First that the harness does lose: what follows would show nothing otherwise.
    stage.harness.lose(1.0);
    stage.put(0, "outage", b"written")?;
    stage.watch(stage.aftermath() / 2, |stage| {
        let crossed = stage.all_have("outage", Some(b"written")).is_ok();
        if crossed { Err("an entry has crossed a network that was told to lose everything".to_owned()) } else { Ok(()) }
    })?;
    stage.harness.lose(0.25);
    for number in 0..NODES {
        for key in 0..5 {
            stage.put(number, &format!("key/{number}/{key}"), b"value")?;
        }
    }
    stage.command(1, "a broadcast", |harness, node| harness.broadcast(node, b"through loss"))?;
    stage.wait("everything to cross a network that loses a quarter", |stage| {
        stage.all_have("outage", Some(b"written"))?;
        let mut keys = (0..NODES).flat_map(|number| (0..5).map(move |key| format!("key/{number}/{key}")));
        keys.try_for_each(|key| stage.all_have(&key, Some(b"value")))?;
        stage.all_heard(1, b"through loss")
    })?;
    stage.command(2, "deleting \"outage\"", |harness, node| harness.delete(node, "outage"))?;
    stage.wait("a deletion to cross a network that loses a quarter", |stage| stage.all_have("outage", None))?;
    stage.watch(stage.aftermath(), Stage::none_heard_twice)?;
    stage.harness.lose(0.0);
    stage.wait("all to see all alive after the loss", |stage| stage.all_see_all())
}

pub(super) fn crash<H: Harness>(stage: &mut Stage<'_, H>) -> Played {
    stage.start_all(NODES)?;
    let victim = NODES - 1;
    stage.put(victim, "legacy", b"value")?;
    stage.wait("an entry to be everywhere", |stage| stage.all_have("legacy", Some(b"value")))?;
    stage.stop(victim);
    stage.wait("the crash to be seen by all", |stage| stage.all_see(victim, Status::Dead))?;
    stage.put(0, "after", b"value")?;
    stage.wait("those who are left to go on", |stage| {
        stage.all_have("after", Some(b"value"))?;
        stage.all_see_all()
    })?;
    stage.all_have("legacy", Some(b"value")).map_err(Problem::Wrong)
}

pub(super) fn restart<H: Harness>(stage: &mut Stage<'_, H>) -> Played {
    stage.start_all(NODES)?;
    let victim = NODES - 1;
    for (round, buried) in [(0, false), (1, true)] {
        let name = format!("missed/{round}");
        stage.stop(victim);
        stage.put(0, &name, b"value")?;
        if buried {
            stage.wait("the crash to be seen by all", |stage| stage.all_see(victim, Status::Dead))?;
        }
        stage.start(victim, 1)?;
        stage.wait("the restarted node to be seen alive where it is now", |stage| stage.all_see_all())?;
        stage.wait("the restarted node to have what it missed", |stage| stage.all_have(&name, Some(b"value")))?;
        stage.put(victim, &format!("back/{round}"), b"value")?;
        stage.wait("what the restarted node writes to be everywhere", |stage| {
            stage.all_have(&format!("back/{round}"), Some(b"value"))
        })?;
    }
    stage.all_know(NODES).map_err(Problem::Wrong)
}

pub(super) fn leave<H: Harness>(stage: &mut Stage<'_, H>) -> Played {
    stage.start_all(NODES)?;
    let leaver = NODES - 1;
    stage.command(leaver, "leaving", |harness, node| harness.leave(node))?;
    stage.wait("all to see that one has left", |stage| stage.all_see(leaver, Status::Left))?;
    stage.stop(leaver);
    stage.put(0, "after", b"value")?;
    stage.wait("those who are left to go on", |stage| {
        stage.all_have("after", Some(b"value"))?;
        stage.all_see_all()
    })?;
    // Nobody probes it, so nobody finds it dead.
    stage.watch(4 * stage.config.probe.period, |stage| stage.all_see(leaver, Status::Left))
}

pub(super) fn garbage<H: Harness>(stage: &mut Stage<'_, H>) -> Played {
    stage.start_all(NODES)?;
    let mut dice = Xoshiro256PlusPlus::seed_from_u64(0);
    let longest = stage.config.max_datagram + 100;
    let mut bytes = vec![0; longest];
    for length in [0, 1, 2, 8, 64, 512, longest - 200, longest - 100, longest] {
        for number in 0..NODES {
            dice.fill_bytes(&mut bytes[..length]);
            let to = stage.address(number);
            let sent = stage.harness.inject(&to, &bytes[..length]);
            sent.map_err(|error| Problem::Refused { action: format!("sending {length} bytes"), error })?;
        }
        stage.put(length % NODES, &format!("key/{length}"), b"value")?;
    }
    stage.put(0, "last", b"value")?;
    stage.wait("entries to be everywhere, whatever strangers send", |stage| {
        stage.all_have("key/0", Some(b"value"))?;
        stage.all_have(&format!("key/{longest}"), Some(b"value"))?;
        stage.all_have("last", Some(b"value"))
    })?;
    // Not all that was sent may have been read by then; and whoever chokes on it falls silent.
    stage.watch(stage.aftermath(), |stage| stage.all_know(NODES))?;
    stage.put(1, "after", b"value")?;
    stage.wait("all to go on afterwards", |stage| {
        stage.all_have("after", Some(b"value"))?;
        stage.all_see_all()
    })
}
