//! Requests of the page, answered on the host: the answers that the page must give, too.
//!
//! The requests of `requests.json`, and a replay of each failure that the self-test of the testkit keeps.

use gossip_laboratory::Laboratory;
use serde_json::{Value, json};

const FAILURES: [&str; 3] = [
    include_str!("../../tests/mini/failures/watermark.txt"),
    include_str!("../../tests/mini/failures/incarnation.txt"),
    include_str!("../../tests/mini/failures/length.txt"),
];

fn main() {
    let mut requests: Vec<Value> =
        serde_json::from_str(include_str!("../requests.json")).expect("the requests are JSON");
    requests.extend(FAILURES.map(|text| json!({ "do": "replay", "text": text })));
    let mut laboratory = Laboratory::default();
    let mut lines = Vec::new();
    for request in requests {
        // The answer is not parsed, which would sort its fields.
        let answer = laboratory.answer(&request.to_string());
        lines.push(format!("{{\"request\":{request},\"answer\":{answer}}}"));
    }
    println!("[{}]", lines.join(",\n"));
}
