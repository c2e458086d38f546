//! The requests of `requests.json`, answered on the host: traces that the page's must equal.

use gossip_laboratory::Laboratory;

fn main() {
    let requests: Vec<serde_json::Value> =
        serde_json::from_str(include_str!("../requests.json")).expect("the requests are JSON");
    let mut laboratory = Laboratory::default();
    let answers: Vec<String> = requests.iter().map(|request| laboratory.answer(&request.to_string())).collect();
    println!("[{}]", answers.join(","));
}
