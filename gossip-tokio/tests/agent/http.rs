//! HTTP: every path, who may ask, what is told of health.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::Value;

use crate::harness::{Agent, Place, json, until};

/// An answer: its status, and its body.
struct Answer {
    status: u16,
    body: Vec<u8>,
}

impl Answer {
    fn json(&self) -> Value {
        json(self.text().trim_end())
    }

    fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }
}

fn send(address: &str, method: &str, path: &str, headers: &[&str], body: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    let mut head = format!("{method} {path} HTTP/1.1\r\nConnection: close\r\nContent-Length: {}\r\n", body.len());
    if !headers.iter().any(|header| header.starts_with("Host:")) {
        head += &format!("Host: {address}\r\n");
    }
    for header in headers {
        head += &format!("{header}\r\n");
    }
    stream.write_all(format!("{head}\r\n").as_bytes()).unwrap();
    // It may be refused before it is read.
    let _ = stream.write_all(body);
    stream
}

fn ask(address: &str, method: &str, path: &str, headers: &[&str], body: &[u8]) -> Answer {
    let mut answer = Vec::new();
    let _ = send(address, method, path, headers, body).read_to_end(&mut answer);
    let end = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n").expect("a head");
    let head = String::from_utf8(answer[..end].to_vec()).unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Answer { status, body: answer.split_off(end + 4) }
}

fn start(place: &Place, name: &str, args: &[&str]) -> (Agent, String) {
    let agent = place.start(name, &[&["--http", "127.0.0.1:0"], args].concat());
    let address = agent.started["http"].as_str().unwrap().to_owned();
    (agent, address)
}

#[test]
fn every_path_answers_in_json() {
    let place = Place::new("http");
    let (mut a, http) = start(&place, "a", &["--key-file", &place.key("key", &"0a".repeat(32))]);
    let get = |path: &str| ask(&http, "GET", path, &[], b"");
    let post = |path: &str, body: &[u8]| ask(&http, "POST", path, &[], body);
    assert_eq!(get("/v1/info").json()["name"], "a");
    assert_eq!(get("/v1/members?status=alive&name=a*").json()[0]["id"], a.started["id"]);
    assert_eq!(get("/v1/reachability").json()["reached"], 1);
    assert!(get("/v1/stats").json()["driver"]["turns"].as_u64().unwrap() > 0);

    let put = |path: &str, body: &[u8]| ask(&http, "PUT", path, &[], body);
    assert_eq!(put("/v1/entries/config/limit", b"10").json()["written"], "config/limit");
    assert_eq!(get("/v1/entries/config/limit").json()["value"], "10");
    assert_eq!(put("/v1/entries/bytes?ttl=1h", &[0xff, 0]).status, 200);
    assert_eq!(get("/v1/entries/bytes").json()["hex"], "ff00");
    assert_eq!(get("/v1/entries/bytes?raw=true").body, [0xff, 0]);
    assert_eq!(get("/v1/entries?prefix=config/").json().as_array().unwrap().len(), 1);
    assert_eq!(put("/v1/entries/role?own=true", b"primary").status, 200);
    assert_eq!(get("/v1/entries/role?of=a").json()["value"], "primary");
    assert_eq!(ask(&http, "DELETE", "/v1/entries/bytes", &[], b"").status, 200);
    assert_eq!(get("/v1/entries/bytes").status, 404);
    assert!(post("/v1/broadcast", b"hello").json()["broadcast"].is_object());
    assert_eq!(get("/v1/keys").json()["keys"].as_array().unwrap().len(), 1);
    assert_eq!(post("/v1/keys", "0b".repeat(32).as_bytes()).json()["keys"].as_array().unwrap().len(), 2);
    assert_eq!(post("/v1/join", b"[\"127.0.0.1:9\"]").json()["joining"][0], "127.0.0.1:9");
    assert_eq!(post("/v1/members/nosuch/forget", b"").status, 404);

    // Who is told to join somebody, and finds nobody, says so.
    until("the alert", || (get("/health").status == 503).then_some(()));
    assert_eq!(get("/health").json()["alerts"][0]["kind"], "isolated");
    assert_eq!(get("/ready").json()["ready"], false);

    for (method, path, status) in [
        ("GET", "/nosuch", 404),
        ("GET", "/v1/entries/nosuch", 404),
        ("GET", "/v1/members?status=gone", 400),
        ("GET", "/v1/members?nosuch=1", 400),
        ("PUT", "/v1/entries/x?ttl=soon", 400),
        ("PUT", "/v1/entries/a%0Ab", 400),
        ("PUT", "/v1/entries/a%FFb", 400),
        ("POST", "/v1/keys", 400),
        ("POST", "/v1/join", 400),
        ("POST", "/v1/keys/0", 400),
        ("GET", "/v1/leave", 405),
    ] {
        assert_eq!(ask(&http, method, path, &[], b"").status, status, "{method} {path}");
    }
    assert_eq!(put("/v1/entries/x", &vec![0; 64 << 20]).status, 413);
    let metrics = get("/metrics");
    assert!(metrics.text().contains("\n# TYPE gossip_members_alive gauge\ngossip_members_alive 1\n"));
    assert_eq!(post("/v1/leave", b"").json()["left"], true);
    assert_eq!(a.end().code(), Some(0));
}

#[test]
fn events_are_pushed_as_they_come_and_a_healthy_node_says_so() {
    let place = Place::new("sse");
    let (a, http) = start(&place, "a", &[]);
    assert_eq!(ask(&http, "GET", "/health", &[], b"").status, 200);
    assert_eq!(ask(&http, "GET", "/ready", &[], b"").json()["ready"], true);
    a.ask(&["put", "there", "1"]);
    let mut lines = BufReader::new(send(&http, "GET", "/v1/events", &[], b"")).lines().map(Result::unwrap);
    let mut next = |wanted: &str| loop {
        let line = lines.next().expect("it goes on");
        if let Some(data) = line.strip_prefix("data: ") {
            let data = json(data);
            if data["event"] == wanted {
                return data;
            }
        }
    };
    assert_eq!(next("entry")["name"], "there");
    next("watching");
    let b = place.start("b", &["--join", a.address()]);
    assert_eq!(next("member")["id"], b.started["id"]);
    b.ask(&["broadcast", "hello"]);
    assert_eq!(next("broadcast")["value"], "hello");
}

#[test]
fn who_may_not_ask_is_refused() {
    let place = Place::new("access");
    let (a, open) = start(&place, "a", &[]);
    let status =
        |address: &str, method: &str, path: &str, headers: &[&str]| ask(address, method, path, headers, b"").status;
    assert_eq!(status(&open, "POST", "/v1/leave", &["Origin: http://example.org"]), 403);
    assert_eq!(status(&open, "GET", "/v1/info", &["Host: rebound.example.org"]), 403);
    assert_eq!(a.sees("a").as_deref(), Some("alive"));

    let token = place.key("token", "secret\n");
    let (_b, closed) = start(&place, "b", &["--http-token-file", &token]);
    for path in ["/v1/info", "/v1/overview", "/v1/events", "/metrics"] {
        assert_eq!(status(&closed, "GET", path, &[]), 401, "{path}");
        assert_eq!(status(&closed, "GET", path, &["Authorization: Bearer wrong"]), 401, "{path}");
    }
    assert_eq!(status(&closed, "GET", "/v1/info", &["Authorization: Bearer secret"]), 200);
    for path in ["/", "/page.js", "/page.css", "/health"] {
        assert_eq!(status(&closed, "GET", path, &[]), 200, "{path}");
    }
}
