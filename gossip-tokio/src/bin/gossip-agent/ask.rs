//! What is asked of other agents: queries, messages, their keys. Answers are objects, one for each member. Knows the node's handle; must not
//! know who asks here.

use std::time::Duration;

use async_channel::Sender;
use gossip_tokio::gossip_core::{Answer, Filter, KeyBytes, KeyChange, NodeId, Payload, Reply};
use gossip_tokio::{DeliveryError, RotationError};
use serde_json::{Value, json};

use crate::answers;
use crate::failure::chain;
use crate::output::{data, shown};
use crate::refusal::{Code, Refusal};
use crate::settings::pair;
use crate::state::Agent;
use crate::topic;

/// Time that agents have for questions that they answer by themselves.
const PATIENCE: Duration = Duration::from_secs(5);
/// Members that a refusal names.
const NAMED: usize = 5;

/// Chooses members by names or ids, and by tags.
///
/// # Errors
/// There is no such member; it is no tag.
pub(crate) fn filter(agent: &Agent, to: &[String], tags: &[String]) -> Result<Filter, Refusal> {
    let ids = to.iter().map(|member| agent.find(member)).collect::<Result<Vec<_>, _>>()?;
    tags.iter().try_fold(Filter::ALL.ids(ids), |filter, tag| {
        let (key, value) = pair(tag).map_err(|error| Code::Invalid.says(error))?;
        Ok(filter.tag(key, value))
    })
}

/// Asks, and sends each answer as it comes; at the end those who have not answered.
///
/// # Errors
/// It was not asked, or not all have answered.
pub(crate) async fn query(
    agent: &Agent,
    name: &str,
    payload: &[u8],
    filter: Filter,
    timeout: Option<Duration>,
    items: &Sender<Value>,
) -> Result<(), Refusal> {
    let payload = topic::join(name, payload).map_err(|error| Code::Invalid.says(error))?;
    let mut query = agent.gossip.query(payload).filter(filter);
    if let Some(timeout) = timeout {
        query = query.timeout(timeout);
    }
    let mut answers = query.ask()?;
    while let Some(Answer { from, reply, .. }) = answers.next().await {
        let mut object = json!({ "id": from, "name": agent.called(from) });
        match reply {
            Reply::Given(payload) => {
                let (key, value) = data(&payload);
                object[key] = value.into();
            }
            Reply::Declined => object["declined"] = true.into(),
            Reply::Received => object["received"] = true.into(),
        }
        if items.send(object).await.is_err() {
            return Ok(());
        }
    }
    let progress = answers.progress();
    missing(agent, &progress.missing, items).await;
    all_of(agent, &progress.missing, "have not answered")
}

async fn missing(agent: &Agent, missing: &[NodeId], items: &Sender<Value>) {
    for id in missing {
        // Whoever does not read the answer any more does not miss it.
        let _ = items.send(json!({ "id": id, "name": agent.called(*id), "missing": true })).await;
    }
}

fn all_of(agent: &Agent, missing: &[NodeId], what: &str) -> Result<(), Refusal> {
    if missing.is_empty() {
        return Ok(());
    }
    let names: Vec<_> = missing.iter().take(NAMED).map(|id| shown(agent.called(*id).as_bytes())).collect();
    let more = if missing.len() > NAMED { ", …" } else { "" };
    Err(Code::Failed.says(format!("{} members {what}: {}{more}", missing.len(), names.join(", "))))
}

/// Asks agents what they answer by themselves. Returns the answers, and who has not answered.
async fn agents(
    agent: &Agent,
    name: &str,
    payload: &str,
    filter: Filter,
) -> Result<(Vec<(NodeId, Value)>, Vec<NodeId>), Refusal> {
    let payload = topic::join(name, payload.as_bytes()).map_err(|error| Code::Invalid.says(error))?;
    let gathered = agent.gossip.query(payload).filter(filter).timeout(PATIENCE).gather().await?;
    let read = |(id, payload): &(NodeId, _)| {
        let payload: &Payload = payload;
        let answer: Value = serde_json::from_slice(payload).ok()?;
        // What another one says may be anything.
        answer.is_object().then_some((*id, answer))
    };
    Ok((gathered.responses.iter().filter_map(read).collect(), [gathered.missing, gathered.declined].concat()))
}

/// Tells the round trip between two other members: the first one's, if it answers, else the estimate by their coordinates.
///
/// # Errors
/// There is no such member; nobody has measured it, and the coordinates are not known.
pub(crate) async fn rtt(agent: &Agent, from: &str, to: &str) -> Result<Value, Refusal> {
    let (from, to) = (agent.find(from)?, agent.find(to)?);
    let (answers, _) = agents(agent, answers::RTT, &to.to_string(), Filter::ALL.ids([from])).await?;
    let told = answers.first().and_then(|(_, answer)| {
        // An agent of an earlier version tells only what it has measured.
        Some((answer["rtt_us"].as_u64()?, answer["estimated"] == true))
    });
    let estimate = || Some((agent.gossip.distance_between(from, to)?.as_micros() as u64, true));
    let (trip, estimated) = told.or_else(estimate).ok_or_else(|| {
        let [from, to] = [from, to].map(|id| shown(agent.called(id).as_bytes()));
        let what = if answers.is_empty() { "has not answered" } else { "does not know it" };
        Code::Failed.says(format!("{from} {what}, and the coordinates of {from} and {to} are not both known here"))
    })?;
    let names = [to, from].map(|id| agent.called(id));
    Ok(json!({ "id": to, "name": names[0], "from": names[1], "rtt_us": trip, "estimated": estimated }))
}

/// Asks all agents what they see; one object for each.
pub(crate) async fn views(agent: &Agent) -> Result<(Vec<Value>, Vec<NodeId>), Refusal> {
    let cut = agent.cut();
    let (answers, missing) = agents(agent, answers::VIEW, &cut.as_micros().to_string(), Filter::ALL).await?;
    let mut views: Vec<Value> = Vec::new();
    for (id, mut view) in answers {
        view["id"] = json!(id);
        view["name"] = agent.called(id).into();
        view["cut"] = json!(cut);
        views.push(view);
    }
    views.sort_by(|a, b| a["name"].as_str().cmp(&b["name"].as_str()));
    Ok((views, missing))
}

/// Asks all agents whom they do not reach.
///
/// # Errors
/// Somebody does not reach somebody, or does not answer.
pub(crate) async fn reachability(agent: &Agent, items: &Sender<Value>) -> Result<(), Refusal> {
    let (views, silent) = views(agent).await?;
    let blind = views.iter().filter(|view| view["lost_count"].as_u64().unwrap_or_default() > 0).count();
    for mut view in views {
        let lost: Vec<NodeId> = serde_json::from_value(view["lost"].take()).unwrap_or_default();
        view["lost"] = lost.iter().map(|id| agent.called(*id)).collect::<Vec<_>>().into();
        let _ = items.send(view).await;
    }
    missing(agent, &silent, items).await;
    all_of(agent, &silent, "have not answered")?;
    match blind {
        0 => Ok(()),
        _ => Err(Code::Failed.says(format!("{blind} members do not reach all others"))),
    }
}

/// Sends a message, and waits until the member has it.
///
/// # Errors
/// There is no such member, or no receipt.
pub(crate) async fn send(agent: &Agent, member: &str, payload: &[u8]) -> Result<Value, Refusal> {
    let id = agent.find(member)?;
    agent.gossip.send_to_acknowledged(id, payload, PATIENCE).await.map_err(|error| match error {
        DeliveryError::Send(error) => error.into(),
        DeliveryError::NoReceipt { .. } => {
            Code::Failed.says(format!("{} has not acknowledged the message", shown(member.as_bytes())))
        }
        error => Code::Failed.says(chain(&error)),
    })?;
    Ok(json!({ "received": id }))
}

/// Changes the keys of all, or lists them.
///
/// # Errors
/// Not all have done it.
pub(crate) async fn keys(agent: &Agent, change: &KeyChange, items: &Sender<Value>) -> Result<(), Refusal> {
    let said = agent.gossip.change_all_keys(change, &Filter::ALL, PATIENCE).await?;
    let mut rows: Vec<Value> = (said.answers.iter())
        .map(|(id, answer)| json!({ "id": id, "name": agent.called(*id), "keys": answer.keys, "error": answer.error }))
        .collect();
    rows.sort_by(|a, b| a["name"].as_str().cmp(&b["name"].as_str()));
    for row in rows {
        let _ = items.send(row).await;
    }
    missing(agent, &said.missing, items).await;
    all_of(agent, &said.missing, "have not answered")?;
    let refused: Vec<NodeId> =
        said.answers.iter().filter(|(_, answer)| answer.error.is_some()).map(|(id, _)| *id).collect();
    all_of(agent, &refused, "have not done it")
}

/// Exchanges the key of all.
///
/// # Errors
/// Not all have done a step in time.
pub(crate) async fn rotate(agent: &Agent, key: KeyBytes, timeout: Duration) -> Result<(), Refusal> {
    agent.gossip.rotate_key(key, timeout).await.map_err(|error| match &error {
        RotationError::Unconfirmed { step, missing, .. } => {
            let what = format!("have not done the step {step:?} in time; run it again when they are back");
            all_of(agent, missing, &what).err().unwrap_or_else(|| Code::Failed.says(chain(&error)))
        }
        _ => Code::Failed.says(chain(&error)),
    })
}
