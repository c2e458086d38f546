//! Events as objects for programs and as lines for people and the log. Knows what may happen, not who is told.

use std::net::SocketAddr;

use gossip_tokio::gossip_core::{Change, Event, Member, NodeId, Status};
use serde_json::{Value, json};

use crate::output::{Form, data, shown, time};
use crate::topic;

/// Content of an event.
pub(crate) struct Told {
    /// An object whose `event` names the kind.
    pub(crate) object: Value,
    /// Level in the log; none if it has no place there.
    pub(crate) level: Option<tracing::Level>,
}

/// The object for a member's state.
pub(crate) fn member_is(member: &Member<SocketAddr>, was: Option<Status>, name: &str) -> Value {
    let (id, status, address) = (member.id, member.status, member.address);
    json!({ "event": "member", "id": id, "name": name, "status": status, "was": was, "address": address })
}

/// The object for an entry's value; it is gone without one.
pub(crate) fn entry_is(owner: Option<NodeId>, name: &str, value: Option<&[u8]>) -> Value {
    let mut object = json!({ "event": "entry", "name": name, "owner": owner });
    match value.map(data) {
        Some((key, value)) => object[key] = value.into(),
        None => object["gone"] = true.into(),
    }
    object
}

/// The object for an event. `who` is what a member is called: its name, or its id.
pub(crate) fn tell(event: &Event<SocketAddr>, who: &dyn Fn(NodeId) -> String) -> Told {
    let told = |level, object| Told { level: Some(level), object };
    let (info, warn) = (tracing::Level::INFO, tracing::Level::WARN);
    match event {
        Event::Member { was, member } => told(info, member_is(member, *was, &who(member.id))),
        Event::Reaped { id } => told(info, json!({ "event": "reaped", "id": id, "name": who(*id) })),
        Event::Entry { owner, name, change } => {
            let mut object = match change {
                Change::Written { value, .. } => entry_is(*owner, name, Some(value)),
                _ => entry_is(*owner, name, None),
            };
            if let Change::Written { stamp, .. } = change {
                object["by"] = json!(stamp.node);
            }
            if let Some(owner) = owner {
                object["member"] = who(*owner).into();
            }
            Told { level: None, object }
        }
        Event::Share { owner, name, change } => {
            let mut object = match change {
                Change::Written { value, .. } => entry_is(Some(*owner), name, Some(value)),
                _ => entry_is(Some(*owner), name, None),
            };
            (object["event"], object["member"]) = ("share".into(), who(*owner).into());
            Told { level: None, object }
        }
        Event::ShareLost { name, value, .. } => {
            let mut object = json!({ "event": "share-lost", "name": name });
            let (key, value) = data(value);
            object[key] = value.into();
            told(warn, object)
        }
        Event::Broadcast { id, payload } => {
            let (topic, payload) = topic::split(payload);
            let (from, (key, value)) = (who(id.0.node), data(payload));
            let mut object = json!({ "event": "broadcast", "from": id.0.node, "name": from });
            if let Some(topic) = topic {
                object["topic"] = topic.into();
            }
            object[key] = value.into();
            told(info, object)
        }
        Event::Unicast { from, payload } => {
            let (key, value) = data(payload);
            let mut object = json!({ "event": "unicast", "from": from, "name": who(*from) });
            object[key] = value.into();
            told(info, object)
        }
        Event::Delivered { to, received, .. } => {
            Told { level: None, object: json!({ "event": "delivered", "name": who(*to), "received": received }) }
        }
        Event::Query { id, payload } => {
            let (topic, payload) = topic::split(payload);
            let (key, value) = data(payload);
            let mut object = json!({ "event": "query", "from": id.0.node, "name": who(id.0.node), "topic": topic });
            object[key] = value.into();
            // Agents ask each other all the time while somebody looks at the page.
            let level = topic.is_none_or(|topic| !topic.starts_with(topic::OWN)).then_some(info);
            Told { level, object }
        }
        Event::Answers { query } => Told { level: None, object: json!({ "event": "answers", "query": query }) },
        Event::CatchUp { received, expected, done } => {
            told(info, json!({ "event": "catch-up", "received": received, "expected": expected, "done": done }))
        }
        Event::Isolated(isolated) => {
            let level = if *isolated { warn } else { info };
            told(level, json!({ "event": "isolated", "isolated": isolated }))
        }
        Event::IdentityConflict { address } => told(warn, json!({ "event": "identity-conflict", "address": address })),
        Event::ClockWrong { peers, own } => {
            let (seconds, behind) = (peers.abs_diff(*own).as_secs_f64(), peers > own);
            let object = json!({
                "event": "clock-wrong", "peers": peers, "own": own, "off_seconds": seconds, "behind": behind,
            });
            told(warn, object)
        }
        Event::SetAside { count } => told(warn, json!({ "event": "set-aside", "count": count })),
        Event::Unreachable { advertised, seen } => {
            told(warn, json!({ "event": "unreachable", "advertised": advertised, "seen": seen }))
        }
        Event::NarrowPath { address, longest } => {
            told(warn, json!({ "event": "narrow-path", "address": address, "longest": longest }))
        }
        Event::Full { bound } => told(warn, json!({ "event": "full", "bound": bound.to_string() })),
        Event::ForeignCluster { address } => told(warn, json!({ "event": "foreign-cluster", "address": address })),
        Event::UnknownKey { key, address } => {
            told(warn, json!({ "event": "unknown-key", "key": key, "address": address }))
        }
        Event::UnknownVersion { version, address } => {
            told(warn, json!({ "event": "unknown-version", "version": version, "address": address }))
        }
        Event::Incompatible { id, formats } => {
            let (lowest, highest) = (formats.lowest.to_string(), formats.highest.to_string());
            told(
                warn,
                json!({ "event": "incompatible", "id": id, "name": who(*id), "lowest": lowest, "highest": highest }),
            )
        }
        Event::Features(features) => told(info, json!({ "event": "features", "features": features })),
        Event::LargerDatagrams { length, longest, address } => {
            told(warn, json!({ "event": "larger-datagrams", "length": length, "longest": longest, "address": address }))
        }
        Event::Left => told(info, json!({ "event": "left" })),
        // What a later version may tell.
        event => told(info, json!({ "event": "other", "text": format!("{event:?}") })),
    }
}

/// An event's object as a line for people.
pub(crate) fn line(object: &Value) -> String {
    let text = |key: &str| object[key].as_str().map(|text| shown(text.as_bytes())).unwrap_or_default();
    let value = || match object["hex"].as_str().map(crate::output::bytes) {
        Some(Ok(bytes)) => shown(&bytes),
        _ => text("value"),
    };
    match object["event"].as_str().unwrap_or_default() {
        "member" => {
            let (status, was) = (text("status"), text("was"));
            let before = if was.is_empty() || was == status { String::new() } else { format!(", was {was}") };
            let now = if status == "left" { "has left".into() } else { format!("is {status}") };
            format!("member {} at {} {now}{before}", text("name"), text("address"))
        }
        "reaped" => format!("member {} is forgotten", text("name")),
        kind @ ("entry" | "share") => {
            let of = object["member"].as_str().map_or_else(String::new, |_| format!(" of {}", text("member")));
            let now = if object["gone"] == true { "is gone".into() } else { format!("is {}", value()) };
            format!("{kind} {}{of} {now}", text("name"))
        }
        "share-lost" => {
            format!("two starts of this node have written the share {}, and {} is lost", text("name"), value())
        }
        "broadcast" if object["topic"].is_string() => format!("{} says {}: {}", text("name"), text("topic"), value()),
        "broadcast" => format!("{} says {}", text("name"), value()),
        "unicast" => format!("{} says to this node: {}", text("name"), value()),
        "delivered" if object["received"] == true => format!("{} has received the message", text("name")),
        "delivered" => format!("{} has not acknowledged the message", text("name")),
        "query" => format!("{} asks {}: {}", text("name"), text("topic"), value()),
        "answers" => "a query has answers".into(),
        "log" => format!("{}: {}", text("level"), text("text")),
        "catch-up" => {
            let end = if object["done"] == true { ", which is the end of it" } else { "" };
            format!("caught up with {} of some {} items{end}", object["received"], object["expected"])
        }
        "isolated" if object["isolated"] == true => "nobody answers".into(),
        "isolated" => "somebody answers again".into(),
        "identity-conflict" => format!("another node with this name or id runs at {}", text("address")),
        "clock-wrong" => {
            let way = if object["behind"] == true { "behind" } else { "ahead of" };
            format!("this machine's clock is {} s {way} the others'", object["off_seconds"])
        }
        "unreachable" => {
            format!("others do not reach this node at {}, they see it at {}", text("advertised"), text("seen"))
        }
        "narrow-path" => {
            format!("datagrams over {} bytes do not arrive at {}", object["longest"], text("address"))
        }
        "full" => format!("{} is reached: what is new is refused", text("bound")),
        "foreign-cluster" => format!("datagrams of another cluster arrive from {}", text("address")),
        "unknown-key" if object["key"] == 0 => format!("datagrams without a key arrive from {}", text("address")),
        "unknown-key" => format!("datagrams with the unknown key {} arrive from {}", object["key"], text("address")),
        "unknown-version" => {
            format!("datagrams of wire version {} arrive from {}", object["version"], text("address"))
        }
        "larger-datagrams" => format!(
            "datagrams of {} bytes and more arrive from {}, max_datagram here is {}",
            object["length"],
            text("address"),
            object["longest"]
        ),
        "left" => "left the cluster".into(),
        "watching" => "that is what there is; from here on it is what happens".into(),
        "missed" => format!("{} events were missed", object["count"]),
        _ => text("text"),
    }
}

/// The same, with its time.
pub(crate) fn dated(object: &Value, form: Form) -> String {
    format!("{}  {}", time(object["time"].as_u64().unwrap_or_default(), form), line(object))
}
