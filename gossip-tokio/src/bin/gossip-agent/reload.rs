//! Reading the settings again while the node runs. Knows which of them can change; must not know who asks for it.

use std::collections::BTreeSet;

use gossip_tokio::Gossip;
use gossip_tokio::gossip_core::Key;

use crate::arguments::Start;
use crate::commands::resolve;
use crate::failure::Failure;
use crate::settings::Settings;
use crate::setup::Log;
use crate::state::Agent;

/// Takes over what can change: keys, tags, the log's filter, handlers, seeds. What is wrong with the rest of the settings
/// is told, and nothing changes then.
pub(crate) async fn reload(start: &Start, held: &mut Settings, agent: &Agent, log: &Log) {
    match apply(start, held, agent, log).await {
        Ok(()) => tracing::info!("the settings were read again"),
        Err(failure) => tracing::error!("the settings were read again and are not used: {failure}"),
    }
}

async fn apply(start: &Start, held: &mut Settings, agent: &Agent, log: &Log) -> Result<(), Failure> {
    let wanted = Settings::of(start)?;
    let (targets, keys) = (wanted.targets()?, wanted.keys()?);
    wanted.warn();
    if wanted.name != held.name {
        return Err(Failure::Usage("the name changes with a restart only".into()));
    }
    let seeds = match wanted.join != held.join && !wanted.join.is_empty() {
        true => Some(resolve(&wanted.join).await.map_err(|refusal| Failure::Failed(refusal.to_string()))?),
        false => None,
    };
    change_keys(&agent.gossip, keys)?;
    // Those that were changed by a command stay, unless the settings have changed, too.
    if wanted.tags != held.tags {
        agent.gossip.set_tags(wanted.tags.clone()).map_err(|error| Failure::Usage(error.to_string()))?;
    }
    log.reload(targets).map_err(|error| Failure::Failed(error.to_string()))?;
    agent.handlers.replace(wanted.handlers.clone());
    if let Some(seeds) = seeds {
        agent.gossip.join(seeds);
    }
    for (name, changed) in fixed(held, &wanted) {
        if changed {
            tracing::warn!("{name} has changed and holds from the next start on");
        }
    }
    *held = Settings { protocol: held.protocol.clone(), bind: held.bind.clone(), ..wanted };
    Ok(())
}

/// Settings that hold from the next start on, and whether they have changed.
fn fixed(held: &Settings, wanted: &Settings) -> [(&'static str, bool); 8] {
    [
        ("bind", held.bind != wanted.bind),
        ("advertise", held.advertise != wanted.advertise),
        ("data", held.data != wanted.data),
        ("sync", held.sync != wanted.sync),
        ("control", held.control != wanted.control),
        ("http", held.http != wanted.http || held.http_token != wanted.http_token),
        ("log_format", held.log_format != wanted.log_format),
        ("protocol", held.protocol != wanted.protocol),
    ]
}

/// Makes these the node's keys, the first one to seal with.
fn change_keys(gossip: &Gossip, keys: Vec<Key>) -> Result<(), Failure> {
    let wanted: BTreeSet<_> = keys.iter().map(Key::id).collect();
    let Some(first) = keys.first().map(Key::id) else { return Ok(()) };
    let change = gossip.change_keys(|ring| {
        let held: Vec<_> = ring.ids().collect();
        keys.into_iter().filter(|key| !held.contains(&key.id())).try_for_each(|key| ring.add(key))?;
        ring.use_key(first)?;
        held.into_iter().filter(|id| !wanted.contains(id)).try_for_each(|id| ring.remove(id))
    });
    change.map_err(|error| Failure::Failed(format!("keys: {error}")))
}
