//! Commands of an agent. Answers are objects, one or many. Knows the node's handle; must not know who
//! asks, or how an answer looks.

use std::net::SocketAddr;
use std::time::Duration;

use async_channel::Sender;
use gossip_tokio::gossip_core::{
    Distance, EntryKind, Event, KeyChange, KeyError, Member, Node, NodeId, PutOptions, SmolStr, Status, Tags,
};
use gossip_tokio::{Events, Gossip, Lagged};
use serde_json::{Value, json};
use tracing_subscriber::filter::LevelFilter;
use wildmatch::WildMatch;

use crate::answers::check_question;
use crate::ask;
use crate::events::{entry_is, member_is, tell};
use crate::failure::chain;
use crate::output::{data, shown};
pub(crate) use crate::refusal::{Code, Refusal};
use crate::request::Request;
use crate::settings::{check_name, pair};
use crate::state::Agent;
use crate::topic;

/// Time that leaving may take. The node itself gives up earlier, in every preset.
pub(crate) const LEAVING: Duration = Duration::from_secs(20);
/// Time that the disk may take for what an answer waits for.
pub(crate) const SAVING: Duration = Duration::from_secs(5);
/// Time that others have to tell what this member has written of its shares before it was started: in the slowest preset they take
/// an interval of anti-entropy.
const TELLING: Duration = Duration::from_secs(30);
/// Interval at which health is looked at while somebody waits for it.
const LOOK: Duration = Duration::from_millis(100);

/// Does what is asked, and sends the answer's objects. Dropping the future takes nothing back.
///
/// # Errors
/// Why it was not done.
pub(crate) async fn execute(agent: &Agent, request: Request, items: &Sender<Value>) -> Result<(), Refusal> {
    let gossip = &agent.gossip;
    // Whoever does not read the answer any more does not miss it.
    let say = async |item: Value| drop(items.send(item).await);
    match request {
        Request::Info { wait } => {
            let healthy = wait_healthy(agent, wait.map(Duration::from_secs)).await;
            say(agent.info()).await;
            if wait.is_some() && !healthy {
                return Err(Code::Failed.says("the node is not healthy"));
            }
        }
        Request::Members { status, name, tags } => {
            for member in members(agent, &status, name.as_deref(), &tags) {
                say(member).await;
            }
        }
        Request::Tags { set, delete } => say(change_tags(agent, &set, &delete)?).await,
        Request::Rtt { member, to: None } => say(rtt(agent, &member)?).await,
        Request::Rtt { member, to: Some(to) } => say(ask::rtt(agent, &member, &to).await?).await,
        Request::Reachability { all: false } => reachability(agent, items).await?,
        Request::Reachability { all: true } => ask::reachability(agent, items).await?,
        Request::Query { name, payload, to, tags, timeout } => {
            let payload = payload.bytes().map_err(|error| Code::Invalid.says(error))?;
            check_name("the query's name", &name).map_err(|error| Code::Invalid.says(error))?;
            check_question(&name).map_err(|error| Code::Invalid.says(error))?;
            let filter = ask::filter(agent, &to, &tags)?;
            ask::query(agent, &name, &payload, filter, timeout.map(Duration::from_millis), items).await?;
        }
        Request::Send { member, payload } => {
            let payload = payload.bytes().map_err(|error| Code::Invalid.says(error))?;
            say(ask::send(agent, &member, &payload).await?).await;
        }
        Request::Get { name, of, share } => {
            let of = of.map(|of| agent.find_owner(&of, share)).transpose()?;
            let value = match of {
                of if share => gossip.get_share(of.unwrap_or(gossip.id()), &name),
                None => gossip.get(&name),
                Some(of) => gossip.get_own(of, &name),
            };
            say(entry(&name, None, &value.ok_or_else(|| no_entry(&name))?)).await;
        }
        Request::Put { name, payload, own, share, claim, ttl } => {
            check_name("the entry's name", &name).map_err(|error| Code::Invalid.says(error))?;
            let value = payload.bytes().map_err(|error| Code::Invalid.says(error))?;
            let mut options = PutOptions::default();
            options.kind = kind(own, share)?;
            options.time_to_live = ttl.map(Duration::from_millis);
            if share {
                await_shares(agent, claim).await;
            }
            let stamp = gossip.put_with(&name, value, options)?;
            saved(agent).await?;
            say(json!({ "written": name, "stamp": stamp })).await;
        }
        Request::Delete { name, own, share } => {
            let kind = kind(own, share)?;
            if share {
                await_shares(agent, false).await;
            }
            let there = match kind {
                EntryKind::Shared => gossip.get(&name),
                EntryKind::Own => gossip.get_own(gossip.id(), &name),
                EntryKind::Share => gossip.get_share(gossip.id(), &name),
            };
            there.ok_or_else(|| no_entry(&name))?;
            let stamp = match kind {
                EntryKind::Shared => gossip.delete(&name),
                EntryKind::Own => gossip.delete_own(&name),
                EntryKind::Share => gossip.delete_share(&name),
            }?;
            saved(agent).await?;
            say(json!({ "deleted": name, "stamp": stamp })).await;
        }
        Request::List { prefix, of, share } => {
            for item in list(agent, &prefix, of.as_deref(), share)? {
                say(item).await;
            }
        }
        Request::Monitor { level } => monitor(agent, &level, items).await?,
        Request::Broadcast { name, payload } => {
            let mut payload = payload.bytes().map_err(|error| Code::Invalid.says(error))?;
            if let Some(name) = name {
                check_name("the message's name", &name).map_err(|error| Code::Invalid.says(error))?;
                payload = topic::join(&name, &payload).map_err(|error| Code::Invalid.says(error))?;
            }
            let id = gossip.broadcast(payload)?;
            say(json!({ "broadcast": id })).await;
        }
        Request::Join { seeds } => {
            let found = resolve(&seeds).await?;
            gossip.join(found.clone());
            say(json!({ "joining": found })).await;
        }
        Request::Forget { member } => {
            let id = agent.find_owner(&member, true)?;
            gossip.forget(id);
            say(json!({ "forgotten": id })).await;
        }
        Request::Watch { prefix } => watch(agent, gossip.events(), prefix.as_deref(), items).await,
        Request::KeysList { all: true } => ask::keys(agent, &KeyChange::List, items).await?,
        Request::KeysList { all: false } => say(keys(gossip)?).await,
        Request::KeysAdd { key, all: true } => {
            let key = key.parse().map_err(|error| Code::Invalid.says(error))?;
            ask::keys(agent, &KeyChange::Add(key), items).await?;
        }
        Request::KeysAdd { key, all: false } => {
            let key = key.parse().map_err(|error| Code::Invalid.says(error))?;
            gossip.change_keys(|ring| ring.add(key))?;
            say(keys(gossip)?).await;
        }
        Request::KeysUse { id, all: true } => ask::keys(agent, &KeyChange::Use(id), items).await?,
        Request::KeysUse { id, all: false } => {
            gossip.change_keys(|ring| ring.use_key(id))?;
            say(keys(gossip)?).await;
        }
        Request::KeysRemove { id, all: true } => ask::keys(agent, &KeyChange::Remove(id), items).await?,
        Request::KeysRemove { id, all: false } => {
            gossip.change_keys(|ring| ring.remove(id))?;
            say(keys(gossip)?).await;
        }
        Request::KeysRotate { key, timeout } => {
            let key = key.parse().map_err(|error| Code::Invalid.says(error))?;
            ask::rotate(agent, key, Duration::from_millis(timeout)).await?;
            say(keys(gossip)?).await;
        }
        Request::Stats => say(agent.stats()).await,
        Request::Leave => {
            gossip.leave(LEAVING).await.map_err(|error| Code::Failed.says(chain(&error)))?;
            say(json!({ "left": true })).await;
        }
    }
    Ok(())
}

async fn monitor(agent: &Agent, level: &str, items: &Sender<Value>) -> Result<(), Refusal> {
    let level: LevelFilter = level.parse().map_err(|_| Code::Invalid.says(format!("{level:?} is no level")))?;
    let lines = agent.monitors.open(level);
    while let Ok(mut line) = lines.recv().await {
        line["time"] = agent.gossip.now().as_micros().into();
        if items.send(line).await.is_err() {
            break;
        }
    }
    drop(lines);
    agent.monitors.adjust();
    Ok(())
}

/// # Errors
/// It is to be both.
fn kind(own: bool, share: bool) -> Result<EntryKind, Refusal> {
    match (own, share) {
        (false, false) => Ok(EntryKind::Shared),
        (true, false) => Ok(EntryKind::Own),
        (false, true) => Ok(EntryKind::Share),
        (true, true) => Err(Code::Invalid.says("an entry of a member's own is no share")),
    }
}

/// Waits until others have told what this member has written of its shares before it was started, if somebody is there.
async fn await_shares(agent: &Agent, claim: bool) {
    let gossip = &agent.gossip;
    if claim {
        gossip.claim_shares();
    }
    if gossip.inspect(Node::live_members) > 1 || gossip.is_joining() {
        // Otherwise the write is refused, and says why.
        let _ = tokio::time::timeout(TELLING, gossip.wait_shares()).await;
    }
}

/// Waits for the disk, if writes are answered only then.
async fn saved(agent: &Agent) -> Result<(), Refusal> {
    if !agent.sync {
        return Ok(());
    }
    match tokio::time::timeout(SAVING, agent.gossip.saved()).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(Code::Failed.says(format!("it is written, and not on the disk: {error}"))),
        Err(_) => Err(Code::Failed.says(format!("it is written, and not on the disk after {SAVING:?}: see `info`"))),
    }
}

fn no_entry(name: &str) -> Refusal {
    Code::NotFound.says(format!("there is no entry {}", shown(name.as_bytes())))
}

/// The addresses of seeds, as far as they can be resolved.
///
/// # Errors
/// None of them can be.
pub(crate) async fn resolve(seeds: &[String]) -> Result<Vec<SocketAddr>, Refusal> {
    let (mut found, mut failed) = (Vec::new(), Vec::new());
    for seed in seeds {
        match tokio::net::lookup_host(seed).await {
            Ok(addresses) => found.extend(addresses),
            Err(error) => failed.push(format!("{seed:?} cannot be resolved: {error}")),
        }
    }
    if found.is_empty() { Err(Code::Failed.says(failed.join("; "))) } else { Ok(found) }
}

async fn wait_healthy(agent: &Agent, wait: Option<Duration>) -> bool {
    let healthy = || agent.alerts().is_empty() && !agent.gossip.is_joining();
    let look = async {
        while !healthy() {
            tokio::time::sleep(LOOK).await;
        }
    };
    match wait {
        None => healthy(),
        Some(wait) => tokio::time::timeout(wait, look).await.is_ok(),
    }
}

/// The members by name, those without one last. `tags`: `KEY=VALUE`, or `KEY` for any value.
pub(crate) fn members(agent: &Agent, status: &[Status], name: Option<&str>, tags: &[String]) -> Vec<Value> {
    let pattern = name.map(WildMatch::new);
    let tagged = |member: &Member<SocketAddr>, tag: &String| match tag.split_once('=') {
        Some((key, value)) => member.has_tag(key, value),
        None => member.tags().get(tag).is_some(),
    };
    let mut rows = agent.gossip.members();
    rows.retain(|member| {
        pattern.as_ref().is_none_or(|pattern| pattern.matches(member.name().unwrap_or("")))
            && (status.is_empty() || status.contains(&member.status))
            && tags.iter().all(|tag| tagged(member, tag))
    });
    rows.sort_by(|a, b| (a.name().is_none(), a.name(), a.id).cmp(&(b.name().is_none(), b.name(), b.id)));
    rows.iter().map(|member| object(agent, member)).collect()
}

fn change_tags(agent: &Agent, set: &[String], delete: &[String]) -> Result<Value, Refusal> {
    let gossip = &agent.gossip;
    let mut tags = gossip.member(gossip.id()).map_or(Tags::EMPTY, |own| own.tags().clone());
    for key in delete {
        if !tags.remove(key) {
            return Err(Code::NotFound.says(format!("there is no tag {}", shown(key.as_bytes()))));
        }
    }
    for tag in set {
        let (key, value) = pair(tag).map_err(|error| Code::Invalid.says(error))?;
        tags.insert(key, value).map_err(|error| Code::Invalid.says(error))?;
    }
    gossip.set_tags(tags.clone()).map_err(|error| Code::Invalid.says(error))?;
    Ok(json!({ "tags": tags }))
}

fn object(agent: &Agent, member: &Member<SocketAddr>) -> Value {
    let Member { id, address, status, incarnation, boot, .. } = member;
    let distance = agent.gossip.distance(*id);
    json!({
        "id": id, "name": member.name(), "status": status, "address": address, "own": *id == agent.gossip.id(),
        "incarnation": incarnation, "boot": boot, "tags": member.tags(),
        "rtt_us": distance.map(|distance| distance.round_trip().as_micros() as u64),
        "rtt_estimated": distance.is_some_and(Distance::is_estimate),
    })
}

async fn reachability(agent: &Agent, items: &Sender<Value>) -> Result<(), Refusal> {
    let lost = members(agent, &[Status::Suspect, Status::Dead], None, &[]);
    let alive = agent.gossip.members().iter().filter(|member| member.status == Status::Alive).count();
    let count = lost.len();
    let _ = items.send(json!({ "reached": alive, "not_reached": lost })).await;
    match count {
        0 => Ok(()),
        _ => Err(Code::Failed.says(format!("{count} of {} members are not reached", alive + count))),
    }
}

fn rtt(agent: &Agent, member: &str) -> Result<Value, Refusal> {
    let id = agent.find(member)?;
    let distance = agent.gossip.distance(id);
    let distance = distance.ok_or_else(|| {
        let name = shown(member.as_bytes());
        Code::Failed.says(format!("{name} has not answered a ping of this node's yet, and its coordinate is not known"))
    })?;
    let trip = distance.round_trip().as_micros() as u64;
    Ok(json!({ "id": id, "name": agent.name(id), "rtt_us": trip, "estimated": distance.is_estimate() }))
}

fn entry(name: &str, owner: Option<NodeId>, value: &[u8]) -> Value {
    let (key, text) = data(value);
    let mut object = json!({ "name": name, key: text });
    if let Some(owner) = owner {
        object["owner"] = json!(owner);
    }
    object
}

fn list(agent: &Agent, prefix: &str, of: Option<&str>, share: bool) -> Result<Vec<Value>, Refusal> {
    let gossip = &agent.gossip;
    let object = |name: &str, owner: NodeId, value: &[u8]| {
        let mut object = entry(name, Some(owner), value);
        object["member"] = agent.called(owner).into();
        if share {
            object["share"] = true.into();
        }
        object
    };
    if let (Some(of), true) = (of.filter(|of| *of != "*"), share) {
        let owner = agent.find_owner(of, true)?;
        let shares = gossip.shares_of(owner);
        let named = shares.iter().filter(|(name, _)| name.starts_with(prefix));
        return Ok(named.map(|(name, value)| object(name, owner, value)).collect());
    }
    let Some(of) = of.or(share.then_some("*")) else {
        return Ok(gossip.entries(prefix).iter().map(|(name, value)| entry(name, None, value)).collect());
    };
    let only = if of == "*" { None } else { Some(agent.find(of)?) };
    let all = if share { gossip.shares_named(prefix) } else { gossip.entries_named(prefix) };
    let entries = all.iter().filter(|(owner, _)| only.is_none_or(|only| only == *owner));
    Ok(entries.map(|(owner, value)| object(prefix, *owner, value)).collect())
}

fn keys(gossip: &Gossip) -> Result<Value, KeyError> {
    let ids: Option<Vec<_>> = gossip.inspect(|node| node.keyring().map(|ring| ring.ids().collect()));
    let ids = ids.ok_or(KeyError::NoKeyring)?;
    Ok(json!({ "keys": ids, "in_use": ids.first() }))
}

/// Sends what is there and then what happens, until nobody listens, the node has left or its task ends. `events` was
/// opened before the state is read, so that nothing is missed in between; what happens meanwhile may be told twice.
pub(crate) async fn watch(agent: &Agent, mut events: Events<SocketAddr>, prefix: Option<&str>, items: &Sender<Value>) {
    let wanted = |name: &SmolStr| prefix.is_none_or(|prefix| name.starts_with(prefix));
    let gossip = &agent.gossip;
    let now = || gossip.now().as_micros();
    let say = async |mut item: Value| {
        item["time"] = now().into();
        items.send(item).await.is_ok()
    };
    if prefix.is_none() {
        for member in gossip.members() {
            if !say(member_is(&member, None, &agent.called(member.id))).await {
                return;
            }
        }
    }
    for (name, value) in gossip.entries(prefix.unwrap_or("")) {
        if !say(entry_is(None, &name, Some(&value))).await {
            return;
        }
    }
    if !say(json!({ "event": "watching" })).await {
        return;
    }
    while let Some(event) = events.next().await {
        let (item, last) = match event {
            Ok(event) => {
                if let (Event::Entry { name, .. } | Event::Share { name, .. }, false) = (&event, prefix.is_none())
                    && !wanted(name)
                {
                    continue;
                }
                let last = matches!(event, Event::Left);
                let told = tell(&event, &|id| agent.called(id));
                if prefix.is_some() && told.object["event"] != "entry" && told.object["event"] != "share" && !last {
                    continue;
                }
                (told.object, last)
            }
            Err(Lagged { missed }) => (json!({ "event": "missed", "count": missed }), false),
        };
        if !say(item).await || last {
            return;
        }
    }
}
