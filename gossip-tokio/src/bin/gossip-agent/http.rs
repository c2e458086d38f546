//! Answers of an agent over HTTP: commands with their answers as JSON, events as they come, health, metrics, the
//! page. Knows routes and bodies; must not know how connections are made.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use async_channel::{Receiver, bounded};
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{DefaultBodyLimit, Path, Query, State};
use axum::http::{StatusCode, header};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put};
use futures_util::{Stream, StreamExt as _};
use gossip_tokio::gossip_core::{Problem, Status};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::ask;
use crate::commands::{Code, Refusal, execute, members};
use crate::request::{Payload, Request};
use crate::state::Agent;

/// Objects of an answer that wait for a slow reader.
const AHEAD: usize = 16;

/// A line of the answer to `/v1/command`.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Frame {
    /// An object of the answer.
    Item(Value),
    /// The end: it was not done, and why.
    Refused(Refusal),
    /// The end.
    Done(bool),
}

/// All that can be asked. `largest`: the most that a body may have, in bytes.
pub(crate) fn router(agent: Arc<Agent>, largest: usize) -> Router {
    let json =
        |request: fn() -> Request| move |State(agent): State<Arc<Agent>>| async move { one(&agent, request()).await };
    Router::new()
        .route("/", get(|| async { page("text/html; charset=utf-8", include_str!("page/page.html")) }))
        .route("/page.css", get(|| async { page("text/css; charset=utf-8", include_str!("page/page.css")) }))
        .route("/page.js", get(|| async { page("text/javascript; charset=utf-8", include_str!("page/page.js")) }))
        .route("/health", get(health))
        .route("/ready", get(ready))
        .route("/metrics", get(metrics))
        .route("/v1/command", post(command))
        .route("/v1/overview", get(overview))
        .route("/v1/info", get(json(|| Request::Info { wait: None })))
        .route("/v1/stats", get(json(|| Request::Stats)))
        .route("/v1/members", get(list_members))
        .route("/v1/members/{member}/forget", post(forget))
        .route("/v1/members/{member}/rtt", get(rtt))
        .route("/v1/tags", get(json(|| Request::Tags { set: Vec::new(), delete: Vec::new() })))
        .route("/v1/tags/{key}", put(set_tag).delete(delete_tag))
        .route("/v1/reachability", get(json(|| Request::Reachability { all: false })))
        .route("/v1/entries", get(list_entries))
        .route("/v1/entries/{*name}", get(read).put(write).delete(remove))
        .route("/v1/broadcast", post(broadcast))
        .route("/v1/query", post(query))
        .route("/v1/members/{member}/message", post(send))
        .route("/v1/views", get(views))
        .route("/v1/join", post(join))
        .route("/v1/keys", get(json(|| Request::KeysList { all: false })).post(add_key))
        .route("/v1/keys/{id}", post(use_key).delete(remove_key))
        .route("/v1/leave", post(json(|| Request::Leave)))
        .route("/v1/events", get(events))
        .fallback(|| async { refused(StatusCode::NOT_FOUND, &Code::NotFound.says("there is no such path")) })
        .layer(DefaultBodyLimit::max(largest))
        .with_state(agent)
}

/// Content that the browser may load: nothing from elsewhere, and no script that a name might bring along.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; frame-ancestors 'none'";

fn page(kind: &'static str, text: &'static str) -> Response {
    let headers = [
        (header::CONTENT_TYPE, kind),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::CACHE_CONTROL, "no-cache"),
    ];
    (headers, text).into_response()
}

fn object(status: StatusCode, value: &Value) -> Response {
    (status, [(header::CONTENT_TYPE, "application/json")], format!("{value}\n")).into_response()
}

/// A refusal as an answer.
pub(crate) fn refused(status: StatusCode, refusal: &Refusal) -> Response {
    object(status, &json!(refusal))
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let status = match self.code {
            Code::NotFound => StatusCode::NOT_FOUND,
            Code::Invalid => StatusCode::BAD_REQUEST,
            Code::Failed => StatusCode::SERVICE_UNAVAILABLE,
        };
        refused(status, &self)
    }
}

/// A task that ends when nobody waits for it any more.
struct Running(Option<JoinHandle<()>>);

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(task) = self.0.take() {
            task.abort();
        }
    }
}

/// Does what is asked in a task of its own, and gives the answer's frames.
fn run(agent: &Arc<Agent>, request: Request) -> (Receiver<Frame>, Running) {
    let (frames, answer) = bounded(AHEAD);
    let agent = Arc::clone(agent);
    let leaves = request == Request::Leave;
    let task = tokio::spawn(async move {
        let (sender, items) = bounded(1);
        let pass = async {
            while let Ok(item) = items.recv().await {
                if frames.send(Frame::Item(item)).await.is_err() {
                    return;
                }
            }
        };
        let work = async {
            let sender = sender;
            execute(&agent, request, &sender).await
        };
        let (end, ()) = futures_util::future::join(work, pass).await;
        // Whoever has gone does not miss the end.
        let _ = frames.send(end.map_or_else(Frame::Refused, |()| Frame::Done(true))).await;
        if leaves {
            agent.quit();
        }
    });
    // Leaving cannot be taken back.
    (answer, Running((!leaves).then_some(task)))
}

/// All objects of an answer.
async fn all(agent: &Arc<Agent>, request: Request) -> Result<Vec<Value>, (Vec<Value>, Refusal)> {
    let (frames, _running) = run(agent, request);
    let mut items = Vec::new();
    while let Ok(frame) = frames.recv().await {
        match frame {
            Frame::Item(item) => items.push(item),
            Frame::Refused(refusal) => return Err((items, refusal)),
            Frame::Done(_) => return Ok(items),
        }
    }
    Err((items, Code::Failed.says("the agent ends")))
}

/// The answer that is one object; what it says beside a refusal is in there, too.
async fn one(agent: &Arc<Agent>, request: Request) -> Response {
    match all(agent, request).await {
        Ok(items) => object(StatusCode::OK, items.first().unwrap_or(&Value::Null)),
        Err((items, refusal)) => {
            let status = refusal.clone().into_response().status();
            let mut said = json!(refusal);
            if let Some(item) = items.into_iter().next() {
                said["answer"] = item;
            }
            object(status, &said)
        }
    }
}

async fn many(agent: &Arc<Agent>, request: Request) -> Response {
    match all(agent, request).await {
        Ok(items) => object(StatusCode::OK, &Value::Array(items)),
        Err((_, refusal)) => refusal.into_response(),
    }
}

type Shared = State<Arc<Agent>>;

async fn command(State(agent): Shared, body: Bytes) -> Response {
    let request = match serde_json::from_slice(&body) {
        Ok(request) => request,
        Err(error) => return Code::Invalid.says(format!("not understood: {error}")).into_response(),
    };
    let (frames, running) = run(&agent, request);
    let lines = frames.map(move |frame| {
        let _until_it_is_dropped = &running;
        serde_json::to_string(&frame).map(|line| line + "\n")
    });
    ([(header::CONTENT_TYPE, "application/x-ndjson")], Body::from_stream(lines)).into_response()
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Which {
    status: Option<Status>,
    name: Option<String>,
    /// `KEY=VALUE`, or `KEY` for any value; several are separated by commas.
    tag: Option<String>,
}

async fn list_members(State(agent): Shared, Query(which): Query<Which>) -> Response {
    let status = which.status.into_iter().collect();
    let tags = which.tag.iter().flat_map(|tags| tags.split(',')).map(str::to_owned).collect();
    many(&agent, Request::Members { status, name: which.name, tags }).await
}

async fn set_tag(State(agent): Shared, Path(key): Path<String>, value: String) -> Response {
    one(&agent, Request::Tags { set: vec![format!("{key}={value}")], delete: Vec::new() }).await
}

async fn delete_tag(State(agent): Shared, Path(key): Path<String>) -> Response {
    one(&agent, Request::Tags { set: Vec::new(), delete: vec![key] }).await
}

async fn rtt(State(agent): Shared, Path(member): Path<String>) -> Response {
    one(&agent, Request::Rtt { member, to: None }).await
}

async fn forget(State(agent): Shared, Path(member): Path<String>) -> Response {
    one(&agent, Request::Forget { member }).await
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entries {
    #[serde(default)]
    prefix: String,
    of: Option<String>,
    #[serde(default)]
    share: bool,
}

async fn list_entries(State(agent): Shared, Query(Entries { prefix, of, share }): Query<Entries>) -> Response {
    many(&agent, Request::List { prefix, of, share }).await
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    of: Option<String>,
    #[serde(default)]
    own: bool,
    #[serde(default)]
    share: bool,
    #[serde(default)]
    claim: bool,
    ttl: Option<String>,
    #[serde(default)]
    raw: bool,
}

async fn read(State(agent): Shared, Path(name): Path<String>, Query(entry): Query<Entry>) -> Response {
    let request = Request::Get { name, of: entry.of, share: entry.share };
    if !entry.raw {
        return one(&agent, request).await;
    }
    match all(&agent, request).await {
        Err((_, refusal)) => refusal.into_response(),
        Ok(items) => {
            let item = items.first().cloned().unwrap_or_default();
            let payload = match (item["value"].as_str(), item["hex"].as_str()) {
                (Some(text), _) => Payload::Value(text.into()),
                (None, digits) => Payload::Hex(digits.unwrap_or_default().into()),
            };
            let kind =
                [(header::CONTENT_TYPE, "application/octet-stream"), (header::X_CONTENT_TYPE_OPTIONS, "nosniff")];
            (kind, payload.bytes().unwrap_or_default()).into_response()
        }
    }
}

async fn write(State(agent): Shared, Path(name): Path<String>, Query(entry): Query<Entry>, body: Bytes) -> Response {
    let ttl = entry.ttl.as_deref().map(humantime::parse_duration).transpose();
    match ttl.map(|time| time.map(|time| u64::try_from(time.as_millis()).unwrap_or(u64::MAX))) {
        Ok(ttl) => {
            let Entry { own, share, claim, .. } = entry;
            one(&agent, Request::Put { name, payload: Payload::new(&body), own, share, claim, ttl }).await
        }
        Err(error) => Code::Invalid.says(format!("ttl: {error}")).into_response(),
    }
}

async fn remove(State(agent): Shared, Path(name): Path<String>, Query(entry): Query<Entry>) -> Response {
    one(&agent, Request::Delete { name, own: entry.own, share: entry.share }).await
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Named {
    name: Option<String>,
}

async fn broadcast(State(agent): Shared, Query(Named { name }): Query<Named>, body: Bytes) -> Response {
    one(&agent, Request::Broadcast { name, payload: Payload::new(&body) }).await
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    name: String,
    /// Names or ids, separated by commas.
    to: Option<String>,
    /// `KEY=VALUE`; several are separated by commas.
    tag: Option<String>,
    timeout: Option<String>,
}

async fn query(State(agent): Shared, Query(asked): Query<Asked>, body: Bytes) -> Response {
    let Asked { name, to, tag, timeout } = asked;
    let words = |text: Option<String>| text.iter().flat_map(|text| text.split(',')).map(str::to_owned).collect();
    let timeout = match timeout.as_deref().map(humantime::parse_duration).transpose() {
        Ok(timeout) => timeout.map(|time| u64::try_from(time.as_millis()).unwrap_or(u64::MAX)),
        Err(error) => return Code::Invalid.says(format!("timeout: {error}")).into_response(),
    };
    let (to, tags, payload) = (words(to), words(tag), Payload::new(&body));
    // Those who have not answered are in the list, too.
    match all(&agent, Request::Query { name, payload, to, tags, timeout }).await {
        Err((items, refusal)) if items.is_empty() => refusal.into_response(),
        Ok(items) | Err((items, _)) => object(StatusCode::OK, &Value::Array(items)),
    }
}

async fn send(State(agent): Shared, Path(member): Path<String>, body: Bytes) -> Response {
    one(&agent, Request::Send { member, payload: Payload::new(&body) }).await
}

/// View of every agent: its neighbours, whom it does not reach, the fingerprint of what it holds.
async fn views(State(agent): Shared) -> Response {
    match ask::views(&agent).await {
        Ok((views, missing)) => object(StatusCode::OK, &json!({ "views": views, "missing": missing })),
        Err(refusal) => refusal.into_response(),
    }
}

async fn join(State(agent): Shared, body: Bytes) -> Response {
    match serde_json::from_slice(&body) {
        Ok(seeds) => one(&agent, Request::Join { seeds }).await,
        Err(error) => Code::Invalid.says(format!("a list of addresses is wanted: {error}")).into_response(),
    }
}

async fn add_key(State(agent): Shared, body: String) -> Response {
    one(&agent, Request::KeysAdd { key: body.trim().to_owned(), all: false }).await
}

async fn use_key(State(agent): Shared, Path(id): Path<std::num::NonZeroU8>) -> Response {
    one(&agent, Request::KeysUse { id, all: false }).await
}

async fn remove_key(State(agent): Shared, Path(id): Path<std::num::NonZeroU8>) -> Response {
    one(&agent, Request::KeysRemove { id, all: false }).await
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Prefix {
    prefix: Option<String>,
}

async fn events(State(agent): Shared, Query(Prefix { prefix }): Query<Prefix>) -> impl IntoResponse {
    let (frames, running) = run(&agent, Request::Watch { prefix });
    let told = frames.filter_map(move |frame| {
        let _until_it_is_dropped = &running;
        std::future::ready(match frame {
            Frame::Item(item) => {
                let kind = item["event"].as_str().unwrap_or("other").to_owned();
                Some(Ok(Event::default().event(kind).data(item.to_string())))
            }
            Frame::Refused(_) | Frame::Done(_) => None,
        })
    });
    let told: std::pin::Pin<Box<dyn Stream<Item = Result<Event, std::convert::Infallible>> + Send>> = Box::pin(told);
    Sse::new(told).keep_alive(KeepAlive::default())
}

async fn health(State(agent): Shared) -> Response {
    let alerts = agent.alerts();
    let status = if alerts.is_empty() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    object(status, &json!({ "healthy": alerts.is_empty(), "alerts": alerts }))
}

/// Tells whether what is read here can be relied upon: the node runs, sees others if it is to, and is not behind.
async fn ready(State(agent): Shared) -> Response {
    let alerts = agent.alerts();
    let ready = !agent.gossip.has_left()
        && !agent.gossip.is_joining()
        && !alerts.iter().any(|alert| matches!(alert.problem, Problem::Isolated | Problem::CatchingUp { .. }));
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    object(status, &json!({ "ready": ready }))
}

async fn metrics(State(agent): Shared) -> Response {
    let text = gossip_tokio::metrics::text(&agent.gossip);
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response()
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Since {
    /// The last event that the page has.
    #[serde(default)]
    event: u64,
    /// The generation of the members that the page has.
    #[serde(default)]
    members: u64,
}

/// Everything that the page shows, in one answer: members only if they have changed.
async fn overview(State(agent): Shared, Query(since): Query<Since>) -> Response {
    let generation = agent.generation.load(Ordering::Relaxed);
    let mut overview = json!({
        "info": agent.info(), "stats": agent.stats(), "generation": generation, "events": agent.recent(since.event),
    });
    if generation != since.members {
        overview["members"] = members(&agent, &[], None, &[]).into();
    }
    object(StatusCode::OK, &overview)
}
