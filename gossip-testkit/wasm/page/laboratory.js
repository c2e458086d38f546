// The page: what is shown of a cluster that runs in the worker, and what clicks do to it.

const at = (id) => document.getElementById(id);
const worker = new Worker(URL.createObjectURL(new Blob([at('worker').textContent], { type: 'text/javascript' })));
const waiting = new Map();
let number = 0, frame = null, analytic = null, before = null, rates = null, running = true, nodes = 0, puts = 0;
let side = new Set(), flashes = [], lines = [], looked = null, selection = null, pace = { from: 0, real: 0, rate: 0 };

function ask(message) {
  worker.postMessage({ number: ++number, message });
  return new Promise((resolve) => waiting.set(number, resolve)).then((answer) => {
    at('error').textContent = answer.error ?? '';
    if (answer.error !== undefined) throw new Error(answer.error);
    return answer;
  });
}

worker.onmessage = ({ data }) => {
  const answer = JSON.parse(data.text);
  if (answer.frame) take(answer.frame);
  if (answer.started) take(answer.started.frame);
  if (data.number === undefined) { if (answer.error) at('error').textContent = answer.error; return; }
  waiting.get(data.number)?.(answer);
  waiting.delete(data.number);
};

// Rates are those of about a simulated second, or of what there is of it.
function take(next) {
  if (frame && next.now < frame.now) { before = rates = null; lines = []; flashes = []; }
  frame = next;
  lines = lines.concat(next.lines).slice(-200);
  const real = performance.now();
  flashes = flashes.concat(next.links.map((link) => ({ link, real }))).slice(-3000);
  if (!before) before = next;
  if (next.now - before.now >= 1e6) {
    const time = (next.now - before.now) / 1e6, old = new Map(before.kinds.map(([kind, count]) => [kind, count]));
    rates = {
      kinds: next.kinds.map(([kind, count]) => [kind, (count - (old.get(kind) ?? 0)) / time / nodes]),
      bytes: next.sent.map((sent, node) => (sent - before.sent[node]) / time),
    };
    before = next;
  }
  if (real - pace.real > 1000) {
    pace = { from: next.now, real, rate: Math.max(0, (next.now - pace.from) / 1e3 / (real - pace.real)) };
  }
}

// Sunflower: every node has the same room, however many there are.
const CENTRE = [500, 380];
function place(node) {
  const radius = 350 * Math.sqrt((node + 0.5) / nodes), angle = node * 2.399963229728653;
  return [CENTRE[0] + radius * Math.cos(angle) * 1.3, CENTRE[1] + radius * Math.sin(angle)];
}
const size = () => Math.max(2.5, Math.min(14, 210 / Math.sqrt(nodes)));

function drawCluster() {
  const pen = at('cluster').getContext('2d'), real = performance.now(), radius = size();
  pen.clearRect(0, 0, 1000, 760);
  flashes = flashes.filter((flash) => real - flash.real < 250);
  pen.lineWidth = nodes > 300 ? 0.6 : 1.2;
  for (const { link: [from, to, kind], real: then } of flashes) {
    pen.globalAlpha = 0.6 * (1 - (real - then) / 250);
    pen.strokeStyle = COLOURS[kind] ?? '#000';
    pen.beginPath(); pen.moveTo(...place(from)); pen.lineTo(...place(to)); pen.stroke();
  }
  pen.globalAlpha = 1;
  const subject = frame.subjects.at(-1), known = new Set(subject?.known);
  for (let node = 0; node < nodes; node++) {
    const [x, y] = place(node), state = frame.nodes[node];
    pen.beginPath(); pen.arc(x, y, radius, 0, 7);
    pen.fillStyle = state === 'd' ? '#333' : state === 'p' ? '#f0c040' : state === 'u' ? (known.has(node) ? '#d55e00' : '#a9cce8') : '#e6e6e6';
    pen.fill();
    pen.lineWidth = side.has(node) ? 3 : 1;
    pen.strokeStyle = side.has(node) ? '#009e73' : node === looked ? '#000' : '#6b7c93';
    pen.stroke();
    if (radius > 9) { pen.fillStyle = state === 'd' ? '#fff' : '#111'; pen.font = `${radius}px system-ui`; pen.textAlign = 'center'; pen.textBaseline = 'middle'; pen.fillText(String(node), x, y); }
  }
  if (selection) {
    const [[a, b], [c, d]] = [selection.from, selection.to];
    pen.strokeStyle = '#009e73'; pen.lineWidth = 1.5; pen.strokeRect(a, b, c - a, d - b);
  }
}

// Push in rounds, in expectation: who knows tells so many others, each at random, and what is lost is lost.
function expected(until) {
  const loss = Number(at('loss').value) / 100, points = [[0, 1 / nodes]];
  let known = 1;
  for (let round = 1; points.at(-1)[0] < until && round < 500; round++) {
    const calls = (round === 1 ? analytic.mail : analytic.fanout) * known * (1 - loss);
    known = nodes - (nodes - known) * Math.pow(1 - 1 / (nodes - 1), calls);
    points.push([round * analytic.round_ms, Math.min(1, known / nodes)]);
  }
  return points;
}

function drawCurve() {
  const pen = at('curve').getContext('2d'), subjects = frame.subjects.slice(-3);
  pen.clearRect(0, 0, 800, 360);
  pen.font = '12px system-ui'; pen.fillStyle = '#444';
  const newest = subjects.at(-1);
  at('subject').textContent = newest ? '' : 'nothing has been put, broadcast or crashed yet';
  if (!newest) return;
  const crash = newest.name.startsWith('crash of ');
  const end = Math.max(20, ...subjects.filter((one) => one.name.startsWith('crash of ') === crash).map((one) => (one.times.at(-1) ?? 0) / 1e3)) * 1.15;
  const x = (ms) => 50 + 730 * Math.min(1, ms / end), y = (share) => 325 - 305 * share;
  pen.textAlign = 'right'; pen.textBaseline = 'middle';
  for (const share of [0, 0.25, 0.5, 0.75, 1]) {
    pen.fillText(`${100 * share} %`, 44, y(share));
    pen.strokeStyle = '#e3e7ee'; pen.beginPath(); pen.moveTo(50, y(share)); pen.lineTo(780, y(share)); pen.stroke();
  }
  pen.textAlign = 'center';
  for (let tick = 0; tick <= 5; tick++) pen.fillText(end > 3000 ? `${(end * tick / 5e3).toFixed(1)} s` : `${(end * tick / 5).toFixed(0)} ms`, x(end * tick / 5), 343);
  const trace = (points, colour, dashes) => {
    pen.setLineDash(dashes); pen.strokeStyle = colour; pen.lineWidth = 2; pen.beginPath();
    points.forEach(([ms, share], index) => pen[index ? 'lineTo' : 'moveTo'](x(ms), y(share)));
    pen.stroke(); pen.setLineDash([]);
  };
  if (!crash) trace(expected(end), '#888', [5, 5]);
  const colours = ['#56b4e9', '#009e73', '#d55e00'].slice(-subjects.length), live = [...frame.nodes].filter((state) => state !== 'd').length;
  subjects.forEach((one, index) => {
    if (one.name.startsWith('crash of ') !== crash) return;
    const points = one.times.flatMap((time, count) => [[time / 1e3, count / live], [time / 1e3, (count + 1) / live]]);
    if (one.times.length < live) points.push([Math.min(end, (frame.now - one.start) / 1e3), one.times.length / live]);
    trace(points, colours[index], []);
  });
  const key = (colour, text) => element('span', {}, element('i', { style: `background:${colour}` }), text);
  at('subject').append(...subjects.map((one, index) => key(colours[index], `${one.name}: ${one.times.length} of ${live}`)),
    ...(crash ? [] : [key('#888', `analysis: push to ${analytic.fanout} in rounds of ${analytic.round_ms.toFixed(1)} ms, the first to ${analytic.mail}`)]));
}

function bars(id, values, most, colour, name) {
  const pen = at(id).getContext('2d'), width = 740 / values.length;
  pen.clearRect(0, 0, 800, 150);
  pen.font = '12px system-ui'; pen.fillStyle = '#444'; pen.textAlign = 'right'; pen.textBaseline = 'middle';
  pen.fillText(most < 10 ? most.toFixed(1) : most.toFixed(0), 44, 12); pen.fillText('0', 44, 128);
  values.forEach((value, index) => {
    pen.fillStyle = colour(index);
    const height = 116 * value / most;
    pen.fillRect(50 + index * width, 128 - height, Math.max(1, width - (width > 4 ? 1 : 0)), height);
    if (name) { pen.fillStyle = '#444'; pen.textAlign = 'center'; pen.fillText(`${name(index)} ${value.toFixed(2)}`, 50 + (index + 0.5) * width, 141); }
  });
}

function show() {
  requestAnimationFrame(show);
  if (!frame || !analytic) return;
  drawCluster(); drawCurve();
  if (rates) {
    bars('kinds', rates.kinds.map(([, rate]) => rate), Math.max(1, ...rates.kinds.map(([, rate]) => rate)), (index) => COLOURS[rates.kinds[index][0]] ?? '#000', (index) => rates.kinds[index][0]);
    bars('traffic', rates.bytes, Math.max(100, ...rates.bytes), () => '#0072b2');
  }
  const up = [...frame.nodes].filter((state) => state === 'u' || state === 'p').length;
  const seen = frame.sees.filter((_, node) => frame.nodes[node] === 'u'), least = Math.min(...seen), most = Math.max(...seen);
  at('clock').textContent = `${(frame.now / 1e6).toFixed(3)} s · ${pace.rate.toFixed(1)} s per second`;
  at('state').textContent = `${up} run, each sees ${least === most ? most : `${least} to ${most}`} · ${frame.agrees ? 'all hold the same' : 'not all hold the same'} · ${frame.datagrams} datagrams, ${frame.lost[0]} lost, ${frame.lost[1]} cut off${frame.cut ? ' · the network is cut' : ''} · trace ${frame.trace}`;
  const shown = lines.slice(-60).reverse().join('\n');
  if (at('lines').textContent !== shown) at('lines').textContent = shown;
}

const options = () => ({
  do: 'start', nodes: Number(at('nodes').value), preset: at('preset').value, config: at('config').value, seed: Number(at('seed').value),
  loss: Number(at('loss').value) / 100, latency_ms: at('latency').value === '' ? null : Number(at('latency').value),
});

async function start(changed = {}) {
  await setPace(false);
  const { started } = await ask({ ...options(), ...changed });
  nodes = started.frame.nodes.length; analytic = started.analytic;
  side = new Set(); looked = null; puts = 0;
  await setPace(true);
}

function setPace(run = running) {
  running = run;
  at('pause').textContent = running ? 'pause' : 'go on';
  return ask({ do: 'pace', running, speed: Number(at('speed').value) });
}

async function look(node) {
  looked = node;
  const { detail } = await ask({ do: 'detail', node });
  at('detailtitle').textContent = `Node ${node}`;
  at('detail').textContent = !detail ? 'it does not run' : [
    ...Object.entries(detail.doubted).map(([member, status]) => `sees ${member} ${status}`),
    ...Object.entries(detail.items).map(([key, item]) => `${key} = ${item}`)].slice(0, 300).join('\n');
}

async function use(tool, node) {
  if (tool === 'inspect') return look(node);
  if (tool === 'put') return ask({ do: 'command', node, command: `put "key-${++puts}" "value ${puts} of node ${node}"` });
  if (tool === 'broadcast') return ask({ do: 'command', node, command: `broadcast "message ${++puts} of node ${node}"` });
  if (tool === 'crash') return ask({ do: 'crash', node });
  if (tool === 'still') return ask({ do: 'pause', node });
  if (side.has(node)) side.delete(node); else side.add(node);
}

const canvas = at('cluster');
const point = (event) => {
  const box = canvas.getBoundingClientRect();
  return [(event.clientX - box.left) * 1000 / box.width, (event.clientY - box.top) * 760 / box.height];
};
const tool = () => document.querySelector('input[name=tool]:checked').value;
canvas.onpointerdown = (event) => { if (tool() === 'side') selection = { from: point(event), to: point(event) }; };
canvas.onpointermove = (event) => { if (selection) selection.to = point(event); };
canvas.onpointerup = (event) => {
  const [x, y] = point(event), dragged = selection;
  selection = null;
  if (dragged && Math.hypot(dragged.from[0] - x, dragged.from[1] - y) > 8) {
    const [left, right] = [dragged.from[0], x].sort((a, b) => a - b), [top, bottom] = [dragged.from[1], y].sort((a, b) => a - b);
    for (let node = 0; node < nodes; node++) {
      const [px, py] = place(node);
      if (px >= left && px <= right && py >= top && py <= bottom) side.add(node);
    }
    return;
  }
  const distances = Array.from({ length: nodes }, (_, node) => [Math.hypot(place(node)[0] - x, place(node)[1] - y), node]);
  const [distance, node] = distances.reduce((a, b) => (b[0] < a[0] ? b : a));
  if (distance < size() + 6) use(tool(), node).catch(() => {});
};
const quietly = (action) => () => Promise.resolve(action()).catch(() => {});
at('start').onclick = quietly(() => start());
at('pause').onclick = quietly(() => setPace(!running));
at('step').onclick = quietly(async () => { await setPace(false); await ask({ do: 'run', micros: Number(at('stepsize').value) }); });
at('speed').onchange = quietly(() => setPace());
at('loss').onchange = quietly(() => ask({ do: 'loss', loss: Number(at('loss').value) / 100 }));
at('half').onclick = () => { side = new Set(Array.from({ length: nodes }, (_, node) => node).filter((node) => place(node)[0] > CENTRE[0])); };
at('cut').onclick = quietly(() => ask({ do: 'cut', side: [...side] }));
at('heal').onclick = quietly(() => ask({ do: 'heal' }));
at('tell').onclick = quietly(async () => { at('scenario').value = (await ask({ do: 'scenario' })).scenario; });
at('replay').onclick = quietly(async () => {
  await setPace(false);
  const { recording } = await ask({ do: 'replay', text: at('scenario').value, preset: at('preset').value, config: at('config').value });
  window.shown = viewer(at('viewer'), recording);
  at('viewer').scrollIntoView();
});
at('legend').append(...Object.entries(COLOURS).map(([kind, colour]) => element('span', {}, element('i', { style: `background:${colour}` }), kind)),
  ...[['#a9cce8', 'runs'], ['#d55e00', 'knows the newest'], ['#333', 'down'], ['#f0c040', 'stands still'], ['#e6e6e6', 'not started, or left']].map(([colour, text]) =>
    element('span', {}, element('i', { style: `background:${colour}` }), text)));

// For tests: the same as clicks, and what there is to see.
window.laboratory = { ask, start, use, setPace, place, frame: () => frame, rate: () => pace.rate };
ask({ do: 'load', wasm: at('wasm').textContent }).then(() => { at('wasm').remove(); return start(); }).catch((error) => { at('error').textContent = String(error); });
requestAnimationFrame(show);
