//! The page in a browser: five agents, one of which is killed. Where there is no browser and none can be installed, the
//! test says so and does nothing.

use std::fs::{self, File, OpenOptions};
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::harness::{Place, until};

/// The browser's program, installed if that is possible here.
fn browser() -> Result<String, String> {
    let find = || {
        let names = ["chromium", "chromium-browser", "google-chrome"];
        let runs = |name: &&str| {
            let found = Command::new(name).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
            found.is_ok_and(|status| status.success())
        };
        names.into_iter().find(runs).map(String::from)
    };
    if let Some(found) = find() {
        return Ok(found);
    }
    let id = Command::new("id").arg("-u").output().map_err(|error| format!("id: {error}"))?;
    if id.stdout.trim_ascii() != b"0" {
        return Err("there is no Chromium, and who is not root cannot install it".into());
    }
    let mut install = Command::new("timeout");
    install.args(["300", "apt-get", "install", "-y", "--no-install-recommends", "chromium"]);
    let output = install.stdin(Stdio::null()).output().map_err(|error| format!("apt-get: {error}"))?;
    find().ok_or_else(|| format!("apt-get installs no Chromium: {}", String::from_utf8_lossy(&output.stderr)))
}

/// A browser with one page, spoken to through a pair of pipes.
struct Browser {
    child: Child,
    commands: File,
    answers: BufReader<File>,
    session: Option<Value>,
    number: u64,
    /// Complaints of the browser.
    complaints: Vec<Value>,
}

impl Browser {
    fn start(program: &str, place: &Place) -> Self {
        let (commands, answers) = (place.file("commands"), place.file("answers"));
        assert!(Command::new("mkfifo").args([&commands, &answers]).status().unwrap().success());
        // The pipes are its file descriptors 3 and 4.
        let script = "exec \"$1\" --headless --no-sandbox --disable-gpu --disable-dev-shm-usage --no-first-run \
            --user-data-dir=\"$2\" --remote-debugging-pipe 3<\"$3\" 4>\"$4\"";
        let child = Command::new("sh")
            .args(["-c", script, "sh", program, &place.file("profile"), &commands, &answers])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let commands = OpenOptions::new().write(true).open(&commands).unwrap();
        let answers = BufReader::new(File::open(&answers).unwrap());
        let mut browser = Self { child, commands, answers, session: None, number: 0, complaints: Vec::new() };
        let target = browser.call("Target.createTarget", json!({ "url": "about:blank" }))["targetId"].clone();
        let attached = browser.call("Target.attachToTarget", json!({ "targetId": target, "flatten": true }));
        browser.session = Some(attached["sessionId"].clone());
        for domain in ["Page", "Runtime", "Log"] {
            browser.call(&format!("{domain}.enable"), json!({}));
        }
        browser
    }

    fn call(&mut self, method: &str, parameters: Value) -> Value {
        self.number += 1;
        let mut message = json!({ "id": self.number, "method": method, "params": parameters });
        if let Some(session) = &self.session {
            message["sessionId"] = session.clone();
        }
        self.commands.write_all(format!("{message}\0").as_bytes()).unwrap();
        loop {
            let mut bytes = Vec::new();
            assert!(self.answers.read_until(0, &mut bytes).unwrap() > 0, "the browser has ended");
            bytes.pop();
            let mut answer: Value = serde_json::from_slice(&bytes).unwrap();
            if answer["id"] == self.number {
                assert!(answer["error"].is_null(), "{method}: {answer}");
                return answer["result"].take();
            }
            if matches!(answer["method"].as_str(), Some("Runtime.exceptionThrown" | "Log.entryAdded")) {
                self.complaints.push(answer["params"].take());
            }
        }
    }

    fn evaluate(&mut self, expression: &str) -> Value {
        let result = self.call("Runtime.evaluate", json!({ "expression": expression, "returnByValue": true }));
        assert!(result["exceptionDetails"].is_null(), "{expression}: {result}");
        result["result"]["value"].clone()
    }

    fn wait(&mut self, expression: &str) {
        let begun = Instant::now();
        while self.evaluate(expression) != true {
            assert!(
                begun.elapsed() < Duration::from_secs(60),
                "{expression}: {}",
                self.evaluate("document.body.innerText")
            );
            thread::sleep(Duration::from_millis(100));
        }
    }

    fn size(&mut self, width: u32, scheme: &str) {
        let size = json!({ "width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500 });
        self.call("Emulation.setDeviceMetricsOverride", size);
        let feature = json!({ "features": [{ "name": "prefers-color-scheme", "value": scheme }] });
        self.call("Emulation.setEmulatedMedia", feature);
        assert_eq!(
            self.evaluate("document.documentElement.scrollWidth <= innerWidth"),
            true,
            "the page is wider than {width}"
        );
    }

    /// Keeps a picture where GOSSIP_PICTURES says, if it does.
    fn picture(&mut self, name: &str) {
        let Some(directory) = std::env::var_os("GOSSIP_PICTURES").map(PathBuf::from) else { return };
        let picture = self.call("Page.captureScreenshot", json!({ "format": "webp", "quality": 80 }));
        let encoded = directory.join(format!("{name}.base64"));
        fs::write(&encoded, picture["data"].as_str().unwrap()).unwrap();
        let decoded = Command::new("base64").arg("-d").arg(&encoded).output().unwrap();
        fs::write(directory.join(format!("{name}.webp")), decoded.stdout).unwrap();
        fs::remove_file(encoded).unwrap();
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn the_page_shows_the_living_cluster() {
    let program = match browser() {
        Ok(program) => program,
        Err(reason) => return eprintln!("skipped: {reason}"),
    };
    let place = Place::new("page");
    let evil = "<img src=x onerror=\"document.title='pwned'\"><script>document.title='pwned'</script>";
    let config = place.file("tags.toml");
    fs::write(&config, "[tags]\nrole = \"<b>db</b>\"\nzone = \"eu-1\"\n[protocol]\npreset = \"local\"\n").unwrap();
    let a = place.start("db-1", &["--http", "127.0.0.1:0"]);
    let joined = |name| place.start(name, &["--join", a.address()]);
    let mut others = vec![joined("db-2"), joined("db-3")];
    until("three members", || (a.ask(&["members", "--status", "alive"]).len() == 3).then_some(()));

    // Three members first, on every width.
    let mut browser = Browser::start(&program, &place);
    browser.size(1_400, "light");
    browser.call("Page.navigate", json!({ "url": format!("http://{}/", a.started["http"].as_str().unwrap()) }));
    browser.wait("document.querySelectorAll('#members tr[data-status=alive]').length === 3");
    browser.wait("document.querySelectorAll('#graph circle.alive').length === 3");
    browser.wait("document.querySelector('#views li').textContent.startsWith('3 of 3 hold')");
    for width in [400, 1_000, 1_400] {
        browser.size(width, "light");
    }
    browser.wait("document.querySelectorAll('#members td:nth-child(4).alive').length === 3");
    browser.wait("document.querySelectorAll('#traffic path[d^=M]').length >= 12");
    browser.picture("page");

    others.push(joined("web-1"));
    // A name of at most 64 bytes.
    let fifth = crate::harness::Agent::start(
        Command::new(crate::harness::AGENT)
            .args(["--bind", "127.0.0.1:0", "--log", "warn", "--json", "--control", &place.file("evil.sock")])
            .args(["--name", &evil[..54], "--config", &config, "--join", a.address()]),
    );
    others.push(fifth);
    until("five members", || (a.ask(&["members", "--status", "alive"]).len() == 5).then_some(()));

    browser.wait("document.querySelectorAll('#members tr[data-status=alive]').length === 5");
    browser
        .wait("[...document.querySelectorAll('#members td.name')].some((cell) => cell.textContent.startsWith('<img'))");
    browser.wait(
        "[...document.querySelectorAll('#members td.tags')].some((cell) => cell.textContent.includes('<b>db</b>'))",
    );
    assert_eq!(browser.evaluate("document.querySelectorAll('main img, main script, main b').length"), 0, "text alone");
    assert_eq!(browser.evaluate("document.title"), "db-1 – gossip-agent");
    assert_eq!(browser.evaluate("document.getElementById('health').textContent"), "healthy");
    others[1].ask(&["put", "config/limit", "<i>10</i>"]);
    browser.wait("[...document.querySelectorAll('#events li')].some((item) => item.textContent.includes('<i>10</i>'))");
    thread::sleep(Duration::from_secs(5));
    browser.wait("document.querySelectorAll('#traffic path[d^=M]').length >= 5");
    browser.wait("document.querySelectorAll('#graph circle.alive').length === 5");
    browser.wait("document.querySelector('#views li').textContent.startsWith('5 of 5 hold')");
    // What each says of itself, and how far it is.
    let column = |number: u8| format!("[...document.querySelectorAll('#members td:nth-child({number})')]");
    browser.wait(&format!("{}.filter((cell) => cell.textContent === 'healthy').length === 5", column(4)));
    browser.wait(&format!("{}.filter((cell) => /^~?[0-9.]+ ms$/.test(cell.textContent)).length === 4", column(5)));
    browser.wait(&format!("{}.every((cell) => /^20[0-9-]+ [0-9:]+Z$/.test(cell.textContent))", column(6)));
    browser.wait("[...document.querySelectorAll('#traffic .chart')].some((chart) => chart.textContent.startsWith('sent: probes'))");
    browser.picture("page-light");
    browser.size(1_400, "dark");
    browser.picture("page-dark");

    let mut gone = others.remove(0);
    gone.child.kill().unwrap();
    gone.end();
    browser.wait("document.querySelector('#members tr[data-name=\"db-2\"]').dataset.status === 'dead'");
    browser.wait("document.getElementById('counts').textContent.includes('1 dead')");
    browser.wait(
        "[...document.querySelectorAll('#views li')].some((row) => row.textContent.includes('does not see db-2'))",
    );
    browser.wait("document.querySelectorAll('#graph line.blind').length === 4");
    browser.size(400, "dark");
    browser.picture("page-narrow");

    // A thousand members, drawn by the same code.
    let many = "known.members = Array.from({ length: 1000 }, (_, i) => ({ id: String(i).padStart(16, '0'), name: 'node-' + i, \
        address: '10.0.' + (i >> 8) + '.' + (i & 255) + ':7000', status: i % 97 ? 'alive' : 'dead', boot: 0, tags: {} })); \
        const views = known.members.filter((member) => member.status === 'alive').map((member, i, all) => ({ id: member.id, \
        name: member.name, fingerprint: i ? 'a' : 'b', alerts: 0, lost: [known.members[0].id], lost_count: 1, \
        links: [1, 2, 3, 5].map((step) => [all[(i * 7 + step * step) % all.length].id, step < 3]) })); \
        const begun = performance.now(); drawMembers(); drawViews({ views, missing: [] }); \
        [performance.now() - begun, ...['#dots i', '#graph circle', '#members tr', '#views li'].map((all) => \
        document.querySelectorAll(all).length)]";
    let drawn = browser.evaluate(many);
    let took = drawn[0].as_f64().unwrap();
    assert!(took < 2_000.0, "{took} ms");
    // Rows of a table beyond some hundred are left out, and the page says how many.
    assert_eq!(drawn.as_array().unwrap()[1..], [1_000, 1_000, 250, 250]);
    for width in [400, 1_000, 1_920] {
        browser.size(width, "light");
        browser.picture(&format!("page-many-{width}"));
    }
    // The page says when nobody answers any more.
    drop(a);
    browser.wait("document.body.dataset.state === 'gone'");
    let serious = |complaint: &&Value| !complaint.to_string().contains("ERR_CONNECTION");
    assert_eq!(browser.complaints.iter().filter(serious).count(), 0, "{:?}", browser.complaints);
}
