//! Questions of other agents, and what this one answers: by itself, or through its handlers. Knows the node's handle and the names of
//! questions; must not know commands.

use std::net::SocketAddr;
use std::sync::Arc;

use gossip_tokio::gossip_core::{Distance, Instant, NodeId, Status};
use gossip_tokio::{Question, Questions};
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use crate::output::{data, shown};
use crate::state::Agent;
use crate::topic;

/// Asks for the round trip to the member whose id is the payload.
pub(crate) const RTT: &str = "gossip/rtt";
/// Asks what a member sees and holds at the time that is the payload, in microseconds.
pub(crate) const VIEW: &str = "gossip/view";
/// Questions whose programs run at a time; others wait.
const AT_A_TIME: usize = 4;

/// Answers questions until the node ends.
pub(crate) async fn serve(agent: Arc<Agent>, mut questions: Questions<SocketAddr>) {
    let room = Arc::new(Semaphore::new(AT_A_TIME));
    while let Some(question) = questions.next().await {
        let (name, payload) = topic::split(question.payload());
        if let Some(name) = name.filter(|name| name.starts_with(topic::OWN)) {
            // One that a later version asks is declined.
            if let Some(answer) = own(&agent, name, payload) {
                respond(question, answer.to_string().as_bytes());
            }
            continue;
        }
        let (from, (key, value)) = (question.from(), data(payload));
        let mut event = json!({ "event": "query", "from": from, "name": agent.called(from), "topic": name });
        event[key] = value.into();
        let Some(answer) = agent.handlers.answer(&event) else { continue };
        let Ok(place) = Arc::clone(&room).acquire_owned().await else { return };
        tokio::spawn(async move {
            match answer.await {
                Ok(answer) => respond(question, &answer),
                Err(reason) => tracing::warn!("the query {} is not answered: {reason}", event["topic"]),
            }
            drop(place);
        });
    }
}

fn respond(question: Question<SocketAddr>, answer: &[u8]) {
    let from = question.from();
    if let Err(error) = question.respond(answer) {
        tracing::warn!("the query of {from} is not answered: {error}");
    }
}

/// Answers a question between agents.
fn own(agent: &Agent, name: &str, payload: &[u8]) -> Option<Value> {
    match name {
        RTT => {
            let id: NodeId = std::str::from_utf8(payload).ok()?.parse().ok()?;
            let distance = agent.gossip.distance(id);
            let trip = distance.map(|distance| distance.round_trip().as_micros() as u64);
            Some(json!({ "rtt_us": trip, "estimated": distance.is_some_and(Distance::is_estimate) }))
        }
        VIEW => {
            let cut = std::str::from_utf8(payload).ok()?.parse().ok()?;
            Some(view(agent, Instant::from_micros(cut)))
        }
        _ => None,
    }
}

/// Members that are named in a view; of more there is the number.
const NAMED: usize = 12;

/// Describes what this agent sees: its replica's fingerprint at `cut`, its alerts, whom it does not reach, and its neighbours.
pub(crate) fn view(agent: &Agent, cut: Instant) -> Value {
    let members = agent.gossip.members();
    let lost: Vec<NodeId> = (members.iter())
        .filter(|member| matches!(member.status, Status::Suspect | Status::Dead))
        .map(|member| member.id)
        .collect();
    let links: Vec<Value> =
        agent.gossip.inspect(|node| node.neighbours().take(NAMED).map(|link| json!([link.id, link.eager])).collect());
    let fingerprint = agent.gossip.inspect(|node| node.reconciled(cut).fingerprint);
    json!({
        "fingerprint": format!("{fingerprint:016x}"), "alerts": agent.alerts().len(),
        "lost": lost.iter().take(NAMED).collect::<Vec<_>>(), "lost_count": lost.len(), "links": links,
    })
}

/// Refuses names that agents use themselves.
pub(crate) fn check_question(name: &str) -> Result<(), String> {
    let taken = name.starts_with(topic::OWN);
    if taken { Err(format!("{} is a name between agents", shown(name.as_bytes()))) } else { Ok(()) }
}
