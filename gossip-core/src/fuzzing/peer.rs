//! One who speaks with the node that is fuzzed: it knows the pass, the tokens and the key of the node, and what that asks.

use super::{LONGEST, read};
use crate::update::{Format, Standing, Update};
use crate::wire::{
    Content, Envelope, FetchRequest, Header, Item, Message, Overlay, Path, Pull, PullRequest, Repair, Rumor, Swim,
    Symbols, Trust, Unicast, Want, Writer,
};
use crate::{Instant, Node, NodeId, Stamp};

use alloc::vec::Vec;

/// See the [module](self).
pub(super) struct Peer {
    address: u32,
    pub(super) envelope: Envelope,
    named: Named,
}

/// Numbers that the node named to this peer last: by them it knows an answer.
#[derive(Default)]
struct Named {
    ping: u32,
    round: u16,
    token: u32,
    post: (u32, u32),
    echo: u32,
    flood: u16,
    query: Option<Stamp>,
}

/// A datagram that a peer has written.
pub(super) struct Said {
    pub(super) length: usize,
    /// True if it shows neither the pass nor the token, and answers nothing.
    pub(super) is_strange: bool,
}

impl Peer {
    pub(super) fn new(address: u32, envelope: Envelope) -> Self {
        Self { address, envelope, named: Named::default() }
    }

    fn id(&self) -> NodeId {
        NodeId::new(u64::from(self.address) + 1)
    }

    /// Writes a datagram with `body` as its messages, in one of seven ways: keyed by the pass, with the token, or with neither;
    /// messages as they are, or made such as the node takes for answers; a header that contradicts the sender's record.
    pub(super) fn says(&mut self, node: &Node<u32>, now: Instant, kind: u8, body: &[u8], buffer: &mut [u8]) -> Said {
        let (keyed, with_token, made_good, contradicts) = match kind & 15 {
            9 => (true, false, false, true),
            10 => (false, true, false, false),
            11 => (false, true, false, true),
            12 => (true, false, true, false),
            13 => (false, false, true, false),
            14 => (false, true, true, false),
            _ => (false, false, false, false),
        };
        let known = node.member(self.id()).map_or(now.as_micros(), |member| member.incarnation);
        let header = Header::new(self.id(), known.saturating_sub(contradicts.into()), Standing::Alive, now);
        let place = self.envelope.body();
        let mut writer = Writer::new(&mut buffer[place.clone()]);
        if with_token {
            writer.push(&node.proof_for(&self.address));
        }
        let mut messages = Vec::new();
        if read(body, &mut messages, Format::FIRST).is_ok() && made_good {
            for message in &mut messages {
                self.make_good(node, message);
                writer.push(message);
            }
        }
        let answers = messages.iter().any(|message| shows_something(node, self.address, message));
        let (start, room) = (place.start + writer.used(), writer.room());
        let raw = if made_good && !messages.is_empty() { 0 } else { body.len().min(room) };
        buffer[start..start + raw].copy_from_slice(&body[..raw]);
        let length = self.envelope.seal(&header, buffer, start + raw - place.start, keyed.then_some(node.pass()));
        Said { length, is_strange: !keyed && !with_token && !answers }
    }

    /// Gives a message the numbers that the node waits for.
    fn make_good(&self, node: &Node<u32>, message: &mut Message<u32>) {
        let named = &self.named;
        let token_here = match node.proof_for(&self.address) {
            Message::Trust(Trust::Proof { cookie }) => cookie,
            _ => 0,
        };
        match message {
            Message::Swim(Swim::Ack { seq } | Swim::Nack { seq }) => *seq = named.ping,
            Message::Rumor(Rumor::Feedback(feedback)) => feedback.number = named.round,
            Message::Rumor(Rumor::Mail(item)) => good_item(node, item),
            Message::Rumor(Rumor::Round(round)) => round.items.iter_mut().for_each(|(_, item)| good_item(node, item)),
            Message::Overlay(Overlay::Flood { items, .. }) => items.iter_mut().for_each(|item| good_item(node, item)),
            Message::Overlay(Overlay::Confirm { newest, .. }) => *newest = named.flood,
            Message::Trust(Trust::Proof { cookie }) => *cookie = token_here,
            Message::Pull(Pull::Pages(PullRequest { token, .. }) | Pull::Fetch(FetchRequest { token, .. }))
            | Message::Repair(Repair::Want(Want { token, .. })) => *token = token_here,
            Message::Repair(Repair::Sketch(Symbols { tokens, .. })) => {
                (tokens.mine, tokens.yours) = (named.token, token_here);
            }
            Message::Path(Path::Echoed(echo)) => echo.seq = named.echo,
            Message::Unicast(Unicast::Receipt { session, number }) => (*session, *number) = named.post,
            Message::Unicast(Unicast::Post(post)) => {
                if let Some(asked) = named.query
                    && let Content::Received(stamp) | Content::Response(stamp, _) | Content::Declined(stamp) =
                        &mut post.content
                {
                    *stamp = asked;
                }
            }
            _ => {}
        }
    }

    /// Takes note of what the node says to this peer. It is sound.
    pub(super) fn hears(&mut self, datagram: &[u8]) {
        assert!(datagram.len() <= LONGEST);
        // Not for this start of the peer, whose pass the node may not know any more.
        let Ok((_, body)) = self.envelope.open(datagram) else { return };
        let mut messages: Vec<Message<u32>> = Vec::new();
        read(body, &mut messages, Format::FIRST).expect("what is sent is sound");
        let named = &mut self.named;
        for message in messages {
            match message {
                Message::Swim(Swim::Ping { seq }) => named.ping = seq,
                Message::Swim(Swim::PingReq(request)) => named.ping = request.seq,
                Message::Rumor(Rumor::Round(round)) => {
                    named.round = round.number;
                    round.items.iter().for_each(|(_, item)| named.note_query(item));
                }
                Message::Rumor(Rumor::Mail(item)) => named.note_query(&item),
                Message::Overlay(Overlay::Flood { number, items, .. }) => {
                    named.flood = number;
                    items.iter().for_each(|item| named.note_query(item));
                }
                Message::Overlay(Overlay::Again { number, .. }) => named.flood = number,
                Message::Repair(Repair::Sketch(Symbols { tokens, .. })) => named.token = tokens.mine,
                Message::Path(Path::Echo(echo)) => named.echo = echo.seq,
                Message::Unicast(Unicast::Post(post)) => named.post = (post.session, post.number),
                _ => {}
            }
        }
    }
}

impl Named {
    fn note_query(&mut self, item: &Item<u32>) {
        if let Item::Update(Update::Broadcast(broadcast)) = item
            && broadcast.asks.is_some()
        {
            self.query = Some(broadcast.stamp);
        }
    }
}

/// Returns whether a message shows that its sender receives what is sent to its address: a fuzzer guesses well.
fn shows_something(node: &Node<u32>, address: u32, message: &Message<u32>) -> bool {
    match message {
        Message::Swim(Swim::Ack { .. } | Swim::Nack { .. }) => true,
        Message::Trust(Trust::Proof { cookie: token })
        | Message::Pull(Pull::Pages(PullRequest { token, .. }) | Pull::Fetch(FetchRequest { token, .. }))
        | Message::Repair(Repair::Want(Want { token, .. })) => node.is_proof(&address, *token),
        Message::Repair(Repair::Sketch(Symbols { tokens, .. })) => node.is_proof(&address, tokens.yours),
        _ => false,
    }
}

/// Makes what is said of a member fit the record that the node holds of it.
fn good_item(node: &Node<u32>, item: &mut Item<u32>) {
    match item {
        Item::Suspicion(suspicion) => {
            if let Some(member) = node.member(suspicion.about) {
                suspicion.incarnation = member.incarnation;
            }
        }
        Item::Update(Update::Member(record)) => {
            if let Some(member) = node.member(record.id) {
                record.incarnation = member.incarnation.saturating_add(record.incarnation & 3);
                record.boot = member.boot;
            }
        }
        _ => {}
    }
}
