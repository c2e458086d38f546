//! What can be asked of a running agent, and the answers. Knows the node's handle; must not know who asks, or how.

use std::net::SocketAddr;
use std::time::Duration;

use async_channel::Sender;
use gossip_tokio::gossip_core::{Member, NodeId};
use gossip_tokio::{Events, Gossip, Lagged};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::agent::Agent;
use crate::arguments::Command;
use crate::events::tell;
use crate::failure::chain;
use crate::output::{Cut, Form, data, shown, time_of_day};

/// How long leaving may take. The node itself gives up earlier, in every preset.
pub(crate) const LEAVING: Duration = Duration::from_secs(20);

/// A command, and for whom its answer is.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Request {
    pub(crate) command: Command,
    pub(crate) form: Form,
}

/// Does what is asked, and sends the answer line by line. Dropping the future takes nothing back.
///
/// # Errors
/// Why it was not done, in a line.
pub(crate) async fn execute(agent: &Agent, request: Request, lines: &Sender<String>) -> Result<(), String> {
    let Request { command, form } = request;
    let gossip = &agent.gossip;
    // Whoever does not read the answer any more does not miss it.
    let say = async |line: String| drop(lines.send(line).await);
    match command {
        Command::Members => {
            for line in members(agent, form) {
                say(line).await;
            }
        }
        Command::Get { name } => {
            let value = gossip.get(&name).ok_or_else(|| format!("there is no entry {}", shown(name.as_bytes())))?;
            say(entry(form, &name, &value)).await;
        }
        Command::Put { name, value } => {
            let stamp = gossip.put(&name, value.join(" ")).map_err(|error| chain(&error))?;
            say(form.line(&json!({ "written": name, "stamp": stamp }), || "written".into())).await;
        }
        Command::Delete { name } => {
            if gossip.get(&name).is_none() {
                return Err(format!("there is no entry {}", shown(name.as_bytes())));
            }
            let stamp = gossip.delete(&name).map_err(|error| chain(&error))?;
            say(form.line(&json!({ "deleted": name, "stamp": stamp }), || "deleted".into())).await;
        }
        Command::List { prefix } => {
            for line in list(gossip, form, &prefix) {
                say(line).await;
            }
        }
        Command::Broadcast { message } => {
            let id = gossip.broadcast(message.join(" ")).map_err(|error| chain(&error))?;
            say(form.line(&json!({ "broadcast": id }), || "sent".into())).await;
        }
        Command::Forget { id } => {
            if !gossip.members().iter().any(|member| member.id == id) {
                return Err(format!("there is no member {id}"));
            }
            gossip.forget(id);
            say(form.line(&json!({ "forgotten": id }), || "forgotten".into())).await;
        }
        Command::Watch => watch(agent, gossip.events(), form, lines).await,
        Command::Stats => {
            for line in stats(gossip, form) {
                say(line).await;
            }
        }
        Command::Leave => {
            gossip.leave(LEAVING).await.map_err(|error| chain(&error))?;
            say(form.line(&json!({ "left": true }), || "left".into())).await;
        }
    }
    Ok(())
}

fn members(agent: &Agent, form: Form) -> Vec<String> {
    let own = agent.gossip.id();
    let members = agent.gossip.members();
    if form == Form::Json {
        let object = |Member { id, address, status, incarnation, boot, .. }: &Member<_>| {
            let (id, name) = (*id, agent.name(*id));
            json!({
                "id": id, "name": name, "status": status, "address": address, "own": id == own,
                "incarnation": incarnation, "boot": boot,
            })
        };
        return members.iter().map(|member| object(member).to_string()).collect();
    }
    let name = |id: NodeId| agent.name(id).map_or_else(|| "-".into(), |name| shown(name.as_bytes()));
    let row = |member: &Member<_>| {
        let own = if member.id == own { " (here)" } else { "" };
        [name(member.id), member.id.to_string(), member.status.to_string(), format!("{}{own}", member.address)]
    };
    form.table(["NAME", "ID", "STATUS", "ADDRESS"], &members.iter().map(row).collect::<Vec<_>>(), Cut::Nothing)
}

fn entry(form: Form, name: &str, value: &[u8]) -> String {
    let (key, text) = data(value);
    form.line(&json!({ "name": name, key: text }), || match (form, std::str::from_utf8(value)) {
        (Form::Plain, Ok(text)) => text.into(),
        _ => shown(value),
    })
}

fn list(gossip: &Gossip, form: Form, prefix: &str) -> Vec<String> {
    let entries = gossip.entries(prefix);
    if form == Form::Json {
        return entries.iter().map(|(name, value)| entry(form, name, value)).collect();
    }
    let rows: Vec<_> = entries.iter().map(|(name, value)| [shown(name.as_bytes()), shown(value)]).collect();
    form.table(["NAME", "VALUE"], &rows, Cut::Last)
}

fn stats(gossip: &Gossip, form: Form) -> Vec<String> {
    let stats = serde_json::to_value(gossip.stats()).unwrap_or_default();
    if form == Form::Json {
        return vec![stats.to_string()];
    }
    let part = |part: &str, prefix: &str| {
        let counters = stats[part].as_object().cloned().unwrap_or_default();
        let row = |(name, value): (String, Value)| [format!("{prefix}{}", name.replace('_', " ")), value.to_string()];
        counters.into_iter().map(row).collect::<Vec<_>>()
    };
    form.table(["COUNTER", "SINCE THE START"], &[part("node", ""), part("driver", "driver: ")].concat(), Cut::Last)
}

/// Goes on until nobody listens or the node's task ends.
pub(crate) async fn watch(agent: &Agent, mut events: Events<SocketAddr>, form: Form, lines: &Sender<String>) {
    while let Some(event) = events.next().await {
        let line = match event {
            Ok(event) => {
                let told = tell(&event, |id| agent.called(id));
                let now = agent.gossip.now().as_micros();
                let mut object = told.object;
                object["time"] = now.into();
                form.line(&object, || format!("{}  {}", time_of_day(now / 1_000_000), told.text))
            }
            Err(Lagged { missed }) => {
                form.line(&json!({ "event": "missed", "count": missed }), || format!("{missed} events were missed"))
            }
        };
        if lines.send(line).await.is_err() {
            return;
        }
    }
}
