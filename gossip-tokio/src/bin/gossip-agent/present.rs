//! Answers as people read them: tables and lines, made of the objects that an agent answers with. Knows both forms; must
//! not know where the objects come from.

use serde_json::Value;

use crate::events::dated;
use crate::output::{Cut, Form, bytes, shown, span, time};
use crate::request::{Request, View};

/// Printed part of an answer.
pub(crate) enum Print {
    /// Lines.
    Lines(Vec<String>),
    /// These bytes and nothing else.
    Raw(Vec<u8>),
}

/// Prints the objects of one answer.
pub(crate) struct Presenter {
    form: Form,
    view: View,
    kind: Kind,
    rows: Vec<Value>,
}

/// Relation between the objects of an answer.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
enum Kind {
    Members,
    Entries,
    Owned,
    Entry,
    Info,
    Stats,
    Keys,
    AllKeys,
    Reachability,
    Views,
    Answers,
    Event,
    Done,
}

impl Presenter {
    pub(crate) fn new(request: &Request, view: View, form: Form) -> Self {
        let kind = match request {
            Request::Members { .. } => Kind::Members,
            Request::List { of: None, share: false, .. } => Kind::Entries,
            Request::List { of: Some(of), share: true, .. } if of != "*" => Kind::Entries,
            Request::List { .. } => Kind::Owned,
            Request::Get { .. } => Kind::Entry,
            Request::Info { .. } => Kind::Info,
            Request::Stats => Kind::Stats,
            Request::KeysList { all: true }
            | Request::KeysAdd { all: true, .. }
            | Request::KeysUse { all: true, .. }
            | Request::KeysRemove { all: true, .. } => Kind::AllKeys,
            Request::KeysList { .. }
            | Request::KeysAdd { .. }
            | Request::KeysUse { .. }
            | Request::KeysRemove { .. }
            | Request::KeysRotate { .. } => Kind::Keys,
            Request::Reachability { all: false } => Kind::Reachability,
            Request::Reachability { all: true } => Kind::Views,
            Request::Query { .. } => Kind::Answers,
            Request::Watch { .. } | Request::Monitor { .. } => Kind::Event,
            _ => Kind::Done,
        };
        Self { form, view, kind, rows: Vec::new() }
    }

    /// An object of the answer; what can be printed at once.
    pub(crate) fn item(&mut self, item: Value) -> Print {
        let one = |line: String| Print::Lines(vec![line]);
        match self.kind {
            Kind::Entry if self.view.raw => Print::Raw(value(&item)),
            _ if self.form == Form::Json => one(item.to_string()),
            Kind::Members | Kind::Entries | Kind::Owned | Kind::AllKeys | Kind::Views => {
                self.rows.push(item);
                Print::Lines(Vec::new())
            }
            Kind::Entry => {
                let bytes = value(&item);
                match (self.form, std::str::from_utf8(&bytes)) {
                    (Form::Plain, Ok(text)) => one(text.into()),
                    _ => one(shown(&bytes)),
                }
            }
            Kind::Info => Print::Lines(info(&item, self.form)),
            Kind::Stats => Print::Lines(stats(&item, self.form)),
            Kind::Keys => {
                let ids = item["keys"].as_array().cloned().unwrap_or_default();
                let row = |id: &Value| {
                    let used = if *id == item["in_use"] { "seals and opens" } else { "opens" };
                    [id.to_string(), used.into()]
                };
                Print::Lines(self.form.table(["KEY", "USE"], &ids.iter().map(row).collect::<Vec<_>>(), Cut::Nothing))
            }
            Kind::Reachability => {
                let lost = item["not_reached"].as_array().cloned().unwrap_or_default();
                let mut lines = vec![format!("{} members are reached", item["reached"])];
                if !lost.is_empty() {
                    lines.extend(members(&lost, self.form, false));
                }
                Print::Lines(lines)
            }
            Kind::Answers => one(answer(&item)),
            Kind::Event => one(dated(&item, self.form)),
            Kind::Done => one(done(&item)),
        }
    }

    /// Returns what is left to be printed when all objects are there.
    pub(crate) fn end(self) -> Vec<String> {
        match self.kind {
            _ if self.form == Form::Json => Vec::new(),
            Kind::Members => members(&self.rows, self.form, self.view.detailed),
            Kind::Entries => {
                let rows: Vec<_> = self.rows.iter().map(|row| [text(&row["name"]), shown(&value(row))]).collect();
                self.form.table(["NAME", "VALUE"], &rows, Cut::Last)
            }
            Kind::Owned => {
                let row = |row: &Value| [text(&row["member"]), text(&row["owner"]), shown(&value(row))];
                self.form.table(["MEMBER", "ID", "VALUE"], &self.rows.iter().map(row).collect::<Vec<_>>(), Cut::Last)
            }
            Kind::AllKeys => {
                let number = |ids: &Value| {
                    let ids: Vec<_> = ids.as_array().into_iter().flatten().map(Value::to_string).collect();
                    ids.join(" ")
                };
                let row = |row: &Value| [text(&row["name"]), number(&row["keys"]), said(row)];
                self.form.table(
                    ["MEMBER", "KEYS", "SAYS"],
                    &self.rows.iter().map(row).collect::<Vec<_>>(),
                    Cut::Nothing,
                )
            }
            Kind::Views => {
                let row = |row: &Value| {
                    let lost = row["lost"].as_array().into_iter().flatten().map(text).collect::<Vec<_>>().join(" ");
                    [text(&row["name"]), text(&row["fingerprint"]), if lost.is_empty() { said(row) } else { lost }]
                };
                let rows = self.rows.iter().map(row).collect::<Vec<_>>();
                self.form.table(["MEMBER", "AGREEMENT", "DOES NOT REACH"], &rows, Cut::Nothing)
            }
            _ => Vec::new(),
        }
    }
}

/// Returns what a member says besides: the error, that it has not answered, or nothing.
fn said(row: &Value) -> String {
    if row["missing"] == true { "no answer".into() } else { text(&row["error"]) }
}

fn answer(item: &Value) -> String {
    let name = text(&item["name"]);
    match item {
        _ if item["missing"] == true => format!("{name}: no answer"),
        _ if item["declined"] == true => format!("{name}: has no answer"),
        _ if item["received"] == true => format!("{name}: is at work"),
        _ => format!("{name}: {}", shown(value(item).trim_ascii_end())),
    }
}

/// A text of a peer's; a dash where there is none.
fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| "-".into(), |text| shown(text.as_bytes()))
}

/// The bytes of an entry.
fn value(item: &Value) -> Vec<u8> {
    match (item["value"].as_str(), item["hex"].as_str().map(bytes)) {
        (Some(text), _) => text.as_bytes().to_vec(),
        (None, Some(Ok(bytes))) => bytes,
        _ => Vec::new(),
    }
}

fn tags(value: &Value) -> String {
    let tags = value.as_object().into_iter().flatten();
    let tags: Vec<_> = tags.map(|(tag, value)| format!("{}={}", shown(tag.as_bytes()), text(value))).collect();
    if tags.is_empty() { "-".into() } else { tags.join(",") }
}

fn members(rows: &[Value], form: Form, detailed: bool) -> Vec<String> {
    let address = |row: &Value| {
        let here = if row["own"] == true { " (here)" } else { "" };
        format!("{}{here}", text(&row["address"]))
    };
    let short = |row: &Value| [text(&row["name"]), text(&row["id"]), text(&row["status"]), address(row)];
    if !detailed {
        return form.table(
            ["NAME", "ID", "STATUS", "ADDRESS"],
            &rows.iter().map(short).collect::<Vec<_>>(),
            Cut::Nothing,
        );
    }
    let long = |row: &Value| {
        let [name, id, status, address] = short(row);
        let started = time(row["boot"].as_u64().unwrap_or_default(), form);
        let estimated = if row["rtt_estimated"] == true { "~" } else { "" };
        let trip = row["rtt_us"].as_u64().map_or_else(|| "-".into(), |trip| format!("{estimated}{}", trip_time(trip)));
        [name, id, status, address, started, row["incarnation"].to_string(), trip, tags(&row["tags"])]
    };
    let header = ["NAME", "ID", "STATUS", "ADDRESS", "STARTED", "INCARNATION", "RTT", "TAGS"];
    form.table(header, &rows.iter().map(long).collect::<Vec<_>>(), Cut::Nothing)
}

/// A round trip in milliseconds.
fn trip_time(micros: u64) -> String {
    format!("{}.{:03} ms", micros / 1_000, micros % 1_000)
}

fn info(item: &Value, form: Form) -> Vec<String> {
    let number = |key: &str| item[key].as_u64().unwrap_or_default();
    let counts = |key: &str| {
        let counts = item[key].as_object().into_iter().flatten();
        counts.map(|(name, count)| format!("{count} {}", name.replace('_', " "))).collect::<Vec<_>>().join(", ")
    };
    let alerts = item["alerts"].as_array().cloned().unwrap_or_default();
    let mut rows = vec![
        ["version".into(), text(&item["version"])],
        ["name".into(), text(&item["name"])],
        ["id".into(), text(&item["id"])],
        ["address".into(), text(&item["address"])],
        ["label".into(), text(&item["label"])],
        ["tags".into(), tags(&item["tags"])],
        ["started".into(), time(number("boot"), form)],
        ["up".into(), span(number("uptime_seconds"))],
        ["status".into(), text(&item["status"])],
        ["health".into(), if alerts.is_empty() { "healthy".into() } else { format!("{} alerts", alerts.len()) }],
        ["members".into(), counts("members")],
        ["entries".into(), item["entries"].to_string()],
        ["agreement".into(), format!("{} at {}", text(&item["fingerprint"]), time(number("cut"), form))],
        ["hot rumors".into(), item["hot_rumors"].to_string()],
    ];
    for alert in &alerts {
        let since = time(alert["since"].as_u64().unwrap_or_default(), form);
        rows.push([text(&alert["kind"]), format!("{}, since {since}", text(&alert["text"]))]);
        rows.push([String::new(), text(&alert["remedy"])]);
    }
    let [first, rest @ ..] = &*rows else { return Vec::new() };
    form.table(first.each_ref().map(String::as_str), rest, Cut::Nothing)
}

fn stats(item: &Value, form: Form) -> Vec<String> {
    let part = |part: &str, prefix: &str| {
        let counters = item[part].as_object().cloned().unwrap_or_default();
        let row = |(name, value): (String, Value)| [format!("{prefix}{}", name.replace('_', " ")), value.to_string()];
        counters.into_iter().map(row).collect::<Vec<_>>()
    };
    let parts = [part("node", ""), part("driver", "driver: "), part("agent", "agent: ")];
    form.table(["COUNTER", "SINCE THE START"], &parts.concat(), Cut::Last)
}

fn done(item: &Value) -> String {
    if let Some(trip) = item["rtt_us"].as_u64() {
        let from = item["from"].as_str().map_or_else(String::new, |_| format!(" from {}", text(&item["from"])));
        let how = if item["estimated"] == true { " (estimated by coordinates, not measured)" } else { "" };
        return format!("{} is {} away{from}{how}", text(&item["name"]), trip_time(trip));
    }
    if let Some(held) = item.get("tags") {
        return format!("tags {}", tags(held));
    }
    let said = [
        ("written", "written"),
        ("deleted", "deleted"),
        ("broadcast", "sent"),
        ("received", "received"),
        ("left", "left"),
    ];
    if let Some(joining) = item["joining"].as_array() {
        return format!("joining through {}", joining.iter().map(text).collect::<Vec<_>>().join(", "));
    }
    let found = said.into_iter().find(|(key, _)| item.get(key).is_some());
    found.map_or_else(|| "forgotten".into(), |(_, text)| text.into())
}
