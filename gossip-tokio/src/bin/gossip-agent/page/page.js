"use strict";
// Everything that comes from the cluster is put into the page as text, never as HTML.

const PERIOD = 1000;
const ROWS = 250;
const SAMPLES = 120;
const EVENTS = 200;

const at = (id) => document.getElementById(id);
const element = (tag, text, name) => {
  const made = document.createElement(tag);
  if (text !== undefined) made.textContent = text;
  if (name) made.className = name;
  return made;
};
const count = (n) => Number(n).toLocaleString("en");
const STATUS = ["alive", "suspect", "dead", "left"];

function span(seconds) {
  const units = [["d", 86400], ["h", 3600], ["m", 60], ["s", 1]];
  const first = units.findIndex(([, size]) => seconds >= size);
  if (first < 0) return "0s";
  const [unit, size] = units[first];
  const next = units[first + 1];
  const rest = next ? Math.floor((seconds % size) / next[1]) : 0;
  return `${Math.floor(seconds / size)}${unit}` + (rest ? ` ${rest}${next[0]}` : "");
}
const clock = (micros) => new Date(micros / 1000).toISOString().replace("T", " ").slice(0, 19) + "Z";

let token = "";
try { token = sessionStorage.getItem("token") || ""; } catch { /* no storage: ask again */ }
const known = { members: [], generation: 0, event: 0, now: 0, fetched: 0 };
let before = null;
// Number of alerts of each member, as it said itself; null for one that does not answer.
const health = new Map();

const charts = [
  ["sent", "B/s", (s) => s.node.bytes_sent],
  ["received", "B/s", (s) => s.node.bytes_received],
  ["datagrams sent", "/s", (s) => s.node.datagrams_sent],
  ["new updates", "/s", (s) => s.node.updates_new],
  ["known updates", "/s", (s) => s.node.updates_known],
  ["probes that failed", "/s", (s) => s.node.probes_failed],
  ["exchanges", "/s", (s) => s.node.exchanges],
  ["sent: probes and acks", "B/s", (s) => s.driver.bytes_probes + s.driver.bytes_acks],
  ["sent: news", "B/s", (s) => s.driver.bytes_rumors],
  ["sent: summaries", "B/s", (s) => s.driver.bytes_anti_entropy],
  ["sent: repairs", "B/s", (s) => s.driver.bytes_bulk],
  ["sent: messages", "B/s", (s) => s.driver.bytes_unicasts],
].map(([name, unit, read]) => ({ name, unit, read, samples: [] }));

function draw(stats, micros) {
  const seconds = before ? (micros - before.micros) / 1e6 : 0;
  for (const chart of charts) {
    const value = chart.read(stats);
    if (value === undefined) continue;
    if (seconds > 0) chart.samples.push(Math.max(0, (value - chart.last) / seconds));
    chart.last = value;
    if (chart.samples.length > SAMPLES) chart.samples.shift();
    if (!chart.box) {
      chart.box = element("div", undefined, "chart");
      chart.figure = element("span");
      const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
      svg.setAttribute("viewBox", `0 0 ${SAMPLES} 100`);
      svg.setAttribute("preserveAspectRatio", "none");
      chart.path = document.createElementNS("http://www.w3.org/2000/svg", "path");
      svg.append(chart.path);
      chart.box.append(element("span", chart.name), chart.figure, svg);
      at("traffic").append(chart.box);
    }
    const most = Math.max(1e-9, ...chart.samples);
    const first = SAMPLES - chart.samples.length;
    const points = chart.samples.map((sample, i) => `${first + i},${(98 - 94 * sample / most).toFixed(1)}`);
    chart.path.setAttribute("d", points.length ? `M${points.join("L")}` : "");
    const latest = chart.samples.at(-1) || 0;
    chart.figure.textContent = `${count(latest.toFixed(latest < 10 ? 1 : 0))} ${chart.unit}`;
  }
  before = { micros };
}

function drawMembers() {
  const wanted = at("filter").value.toLowerCase();
  const tags = (member) => Object.entries(member.tags || {}).map(([tag, value]) => `${tag}=${value}`).join(" ");
  const text = (member) => [member.name || "", member.id, member.address, member.status, tags(member)].join(" ").toLowerCase();
  const rank = (member) => (member.status === "suspect" ? 0 : member.status === "dead" ? 1 : member.status === "alive" ? 2 : 3);
  const found = known.members.filter((member) => text(member).includes(wanted)).sort((a, b) => rank(a) - rank(b));
  const rows = found.slice(0, ROWS).map((member) => {
    const row = element("tr");
    row.dataset.name = member.name || member.id;
    row.dataset.status = member.status;
    const lives = member.status === "alive" || member.status === "suspect";
    const trip = member.own || member.rtt_us == null ? "–" : `${member.rtt_estimated ? "~" : ""}${(member.rtt_us / 1000).toFixed(2)} ms`;
    const alerts = lives ? health.get(member.id) : undefined;
    const well = alerts === undefined ? "–" : alerts === null ? "no answer" : alerts ? `${alerts} alert${alerts > 1 ? "s" : ""}` : "healthy";
    const up = lives ? span(Math.max(0, (known.now - member.boot) / 1e6)) : "";
    row.append(
      element("td", (member.name || "–") + (member.own ? " (here)" : ""), "name"),
      element("td", member.status, member.status),
      element("td", member.address),
      element("td", well, alerts === undefined ? "" : alerts === 0 ? "alive" : "suspect"),
      element("td", trip),
      element("td", member.boot ? clock(member.boot) : "–"),
      element("td", up),
      element("td", tags(member), "tags"),
      element("td", member.id, "id"),
    );
    return row;
  });
  at("members").replaceChildren(...rows);
  at("more").hidden = found.length <= ROWS;
  at("more").textContent = `${count(found.length - ROWS)} more: filter to see them`;
  at("dots").replaceChildren(...known.members.map((member) => {
    const dot = element("i", undefined, member.status);
    dot.title = `${member.name || member.id} ${member.status}`;
    return dot;
  }));
}

function drawInfo(info) {
  at("name").textContent = info.name || info.id;
  document.title = `${info.name || info.id} – gossip-agent`;
  at("place").textContent = `${info.address}, up ${span(info.uptime_seconds)}, version ${info.version}` + (info.label ? `, cluster ${info.label}` : "");
  at("health").textContent = info.healthy ? "healthy" : `${info.alerts.length} alert${info.alerts.length > 1 ? "s" : ""}`;
  at("health").className = info.healthy ? "well" : "ill";
  at("alerts").hidden = info.healthy;
  at("alerts").querySelector("ul").replaceChildren(...info.alerts.map((alert) =>
    element("li", `${alert.text}, since ${clock(alert.since)}: ${alert.remedy}`)));
  at("counts").replaceChildren(...STATUS.filter((status) => info.members[status]).map((status) =>
    element("span", `${count(info.members[status])} ${status}`, status)));
  const rows = [
    ["fingerprint", info.fingerprint],
    ["at", clock(info.cut)],
    ["items", count(info.reconciled)],
    ["entries", count(info.entries)],
    ["hot rumors", count(info.hot_rumors)],
    ["values being fetched", `${count(info.transfers.values)} (${count(info.transfers.bytes)} bytes)`],
  ];
  at("agreement").replaceChildren(...rows.flatMap(([name, value]) => [element("dt", name), element("dd", value)]));
}

const SVG = "http://www.w3.org/2000/svg";
const shape = (tag, attributes, name) => {
  const made = document.createElementNS(SVG, tag);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (name) made.setAttribute("class", name);
  return made;
};
// Since when a member holds something else than most, or has not answered.
const odd = new Map();

function drawViews({ views, missing }) {
  const names = new Map(known.members.map((member) => [member.id, member.name || member.id]));
  const shown = known.members.filter((member) => member.status !== "left");
  const place = new Map(shown.map((member, i) => {
    const angle = (2 * Math.PI * i) / Math.max(1, shown.length);
    return [member.id, [200 + 150 * Math.sin(angle), 200 - 150 * Math.cos(angle), angle]];
  }));
  health.clear();
  for (const view of views) if (view.alerts !== undefined) health.set(view.id, view.alerts);
  for (const id of missing) health.set(id, null);
  drawMembers();
  const lines = [];
  const drawn = new Set();
  const line = (from, to, kind) => {
    const [a, b] = [place.get(from), place.get(to)];
    const key = [from, to].sort().join() + (kind === "blind" ? "!" : "");
    if (!a || !b || (drawn.has(key) && kind !== "strong")) return;
    drawn.add(key);
    lines.push(shape("line", { x1: a[0], y1: a[1], x2: b[0], y2: b[1] }, kind));
  };
  for (const view of views) for (const [to, eager] of view.links) if (eager) line(view.id, to, "strong");
  for (const view of views) for (const [to] of view.links) line(view.id, to, "weak");
  for (const view of views) for (const to of view.lost) line(view.id, to, "blind");
  const svg = shape("svg", { viewBox: "0 0 400 400", role: "img" });
  svg.append(...lines);
  for (const member of shown) {
    const [x, y, angle] = place.get(member.id);
    const dot = shape("circle", { cx: x, cy: y, r: shown.length > 100 ? 2 : 5 }, member.status);
    const title = shape("title", {});
    title.textContent = `${names.get(member.id)} ${member.status}`;
    dot.append(title);
    svg.append(dot);
    if (shown.length <= 24) {
      const label = shape("text", { x: 200 + 165 * Math.sin(angle), y: 204 - 165 * Math.cos(angle) });
      label.setAttribute("text-anchor", Math.abs(Math.sin(angle)) < 0.2 ? "middle" : Math.sin(angle) > 0 ? "start" : "end");
      label.textContent = names.get(member.id).slice(0, 12);
      svg.append(label);
    }
  }
  at("graph").replaceChildren(svg);

  const held = new Map();
  for (const view of views) held.set(view.fingerprint, (held.get(view.fingerprint) || 0) + 1);
  const [most, agree] = [...held].sort((a, b) => b[1] - a[1])[0] || ["", 0];
  const now = Date.now();
  const strange = [
    ...views.filter((view) => view.fingerprint !== most).map((view) => [view.id, `holds ${view.fingerprint}`]),
    ...missing.map((id) => [id, "does not answer"]),
  ];
  for (const id of [...odd.keys()]) if (!strange.some(([other]) => other === id)) odd.delete(id);
  const rows = strange.map(([id, what]) => {
    if (!odd.has(id)) odd.set(id, now);
    return element("li", `${names.get(id) || id} ${what}, for ${span((now - odd.get(id)) / 1000)}`, "suspect");
  });
  rows.unshift(element("li", `${count(agree)} of ${count(views.length + missing.length)} hold ${most}`));
  for (const view of views.filter((view) => view.lost_count > 0)) {
    const lost = view.lost.map((id) => names.get(id) || id).join(", ");
    rows.push(element("li", `${view.name} does not see ${lost}`, "dead"));
  }
  at("views").replaceChildren(...rows.slice(0, ROWS));
}

// A question to all agents: not as often as this one is asked.
async function look() {
  for (;;) {
    if (!document.hidden && document.body.dataset.state === "live") {
      try {
        const answer = await fetch("v1/views", { headers: token ? { Authorization: `Bearer ${token}` } : {} });
        if (answer.ok) drawViews(await answer.json());
      } catch { /* the other loop says so */ }
    }
    const pause = known.members.length > 200 ? 60 : 5;
    await new Promise((done) => setTimeout(done, document.body.dataset.state === "live" ? pause * PERIOD : PERIOD));
  }
}

function drawEvents(events) {
  for (const event of events) {
    known.event = Math.max(known.event, event.number);
    const item = element("li");
    item.append(element("time", clock(event.time).slice(11)), element("span", event.line, event.status));
    at("events").prepend(item);
  }
  while (at("events").children.length > EVENTS) at("events").lastChild.remove();
}

async function refresh() {
  const headers = token ? { Authorization: `Bearer ${token}` } : {};
  // Round trips change although no member does.
  const stale = Date.now() - known.fetched > (known.members.length > 200 ? 60 : 5) * PERIOD;
  const answer = await fetch(`v1/overview?event=${known.event}&members=${stale ? 0 : known.generation}`, { headers });
  at("login").hidden = answer.status !== 401;
  if (answer.status === 401) throw new Error("it wants a token");
  if (!answer.ok) throw new Error(`it answers ${answer.status}`);
  const overview = await answer.json();
  // Another process, that counts anew.
  if (overview.generation < known.generation) Object.assign(known, { generation: 0, event: 0 });
  known.now = overview.info.now;
  drawInfo(overview.info);
  draw(overview.stats, overview.info.now);
  drawEvents(overview.events);
  if (overview.members) {
    known.members = overview.members;
    known.generation = overview.generation;
    known.fetched = Date.now();
    drawMembers();
  }
  document.body.dataset.state = "live";
}

async function run() {
  for (;;) {
    if (!document.hidden || before === null) {
      try {
        await refresh();
      } catch (error) {
        at("health").textContent = `no answer: ${error.message}`;
        at("health").className = "ill";
        document.body.dataset.state = "gone";
      }
    }
    await new Promise((done) => setTimeout(done, PERIOD));
  }
}

at("filter").addEventListener("input", drawMembers);
setInterval(drawMembers, 10 * PERIOD);
at("login").addEventListener("submit", (event) => {
  event.preventDefault();
  token = at("token").value;
  try { sessionStorage.setItem("token", token); } catch { /* only until it is reloaded */ }
  refresh().catch(() => {});
});
run();
look();
