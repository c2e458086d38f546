//! How events read: to the log, to a person who watches, to a program. Knows what may happen, not who is told.

use std::net::SocketAddr;

use gossip_tokio::gossip_core::{Change, Event, NodeId, Status};
use serde_json::{Value, json};

use crate::output::{data, shown};

/// What an event says.
pub(crate) struct Told {
    /// To a person.
    pub(crate) text: String,
    /// To a program: an object whose `event` names the kind.
    pub(crate) object: Value,
    /// Whether it belongs into a log that is not meant to hold everything.
    pub(crate) notable: bool,
}

/// `who` is what a member is called: its name, or its id.
pub(crate) fn tell(event: &Event<SocketAddr>, who: impl Fn(NodeId) -> String) -> Told {
    let told = |text: String, object| Told { text, object, notable: true };
    match event {
        Event::Member { was, member } => {
            let (name, status, address) = (who(member.id), member.status, member.address);
            let before = was.filter(|was| *was != status).map_or_else(String::new, |was| format!(", was {was}"));
            let object = json!({
                "event": "member", "id": member.id, "name": name, "status": status, "was": was, "address": address,
            });
            let now = if status == Status::Left { "has left".into() } else { format!("is {status}") };
            told(format!("member {} at {address} {now}{before}", shown(name.as_bytes())), object)
        }
        Event::Reaped { id } => told(format!("member {id} is forgotten"), json!({ "event": "reaped", "id": id })),
        Event::Entry { owner, name, change } => {
            let mut object = json!({ "event": "entry", "name": name, "owner": owner });
            let of = owner.map_or_else(String::new, |owner| format!(" of {}", shown(who(owner).as_bytes())));
            let mut text = format!("entry {}{of}", shown(name.as_bytes()));
            if let Change::Written { value, stamp } = change {
                let (key, value_) = data(value);
                object[key] = value_.into();
                object["by"] = json!(stamp.node);
                text += &format!(" is {}", shown(value));
            } else {
                object["gone"] = true.into();
                text += " is gone";
            }
            Told { text, object, notable: false }
        }
        Event::Broadcast { id, payload } => {
            let (from, (key, value)) = (who(id.0.node), data(payload));
            let mut object = json!({ "event": "broadcast", "from": id.0.node, "name": from });
            object[key] = value.into();
            told(format!("{} says {}", shown(from.as_bytes()), shown(payload)), object)
        }
        Event::CatchUp { received, expected, done } => {
            let object = json!({ "event": "catch-up", "received": received, "expected": expected, "done": done });
            let end = if *done { ", which is the end of it" } else { "" };
            told(format!("caught up with {received} of some {expected} items{end}"), object)
        }
        Event::Isolated(isolated) => {
            let text = if *isolated { "nobody answers" } else { "somebody answers again" };
            told(text.into(), json!({ "event": "isolated", "isolated": isolated }))
        }
        Event::IdentityConflict { address } => {
            let object = json!({ "event": "identity-conflict", "address": address });
            told(format!("another node with this name or id runs at {address}"), object)
        }
        Event::ClockWrong { peers, own } => {
            let object = json!({ "event": "clock-wrong", "peers": peers, "own": own });
            let way = if peers > own { "behind" } else { "ahead of" };
            told(format!("this machine's clock is {:?} {way} the others'", peers.abs_diff(*own)), object)
        }
        Event::Left => told("left the cluster".into(), json!({ "event": "left" })),
        // What a later version may tell.
        event => told(format!("{event:?}"), json!({ "event": "other", "text": format!("{event:?}") })),
    }
}
