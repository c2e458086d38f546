'use strict';
// Shows a recording of a run: forwards, backwards, step by step. It knows the fields of gossip_testkit's Recording and
// nothing of how they came about.

function element(name, properties = {}, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

const COLOURS = { ack: '#999999', probe: '#56b4e9', rumor: '#d55e00', 'anti-entropy': '#009e73', bulk: '#cc79a7' };
const STATUS = { Alive: '#d8f0e4', Suspect: '#ffe3b0', Dead: '#f5b5b5', Left: '#e0e0e0' };
const seconds = (micros) => (micros / 1e6).toFixed(6) + ' s';

// What is so after the first `count` happenings, and how to get from there to a later count.
class Scene {
  constructor(recording) {
    this.recording = recording;
    this.reset();
    // When each datagram that was sent arrives: the first arrival of its kind on its link that none has taken yet.
    const open = new Map();
    recording.happenings.forEach((happening, index) => {
      const key = `${happening.from} ${happening.to} ${happening.label}`;
      if (happening.kind === 'sent' && !happening.lost) {
        if (!open.has(key)) open.set(key, []);
        open.get(key).push(index);
      } else if (happening.kind === 'received') {
        const sent = open.get(key)?.shift();
        if (sent !== undefined) recording.happenings[sent].arrives = happening.at;
      }
    });
  }

  reset() {
    this.count = 0; this.changes = 0; this.opinions = 0;
    this.states = new Map(this.recording.nodes.map((node) => [node, 'not started']));
    this.views = new Map(this.recording.nodes.map((node) => [node, new Map()]));
    this.sees = new Map(this.recording.nodes.map((node) => [node, new Map()]));
  }

  go(count) {
    if (count < this.count) this.reset();
    const { happenings, changes, opinions } = this.recording;
    for (; this.count < count; this.count++) {
      const { kind, node } = happenings[this.count];
      if (kind === 'starts') { this.states.set(node, 'runs'); this.sees.get(node)?.clear(); this.views.get(node)?.clear(); }
      if (kind === 'crashes') this.states.set(node, 'crashed');
      if (kind === 'stops') this.states.set(node, 'stands still');
      if (kind === 'resumes') this.states.set(node, 'runs');
    }
    const last = count >= happenings.length;
    const now = last ? Infinity : this.now();
    for (; this.changes < changes.length && changes[this.changes].at <= now; this.changes++) {
      const { node, fresh, set, gone } = changes[this.changes], view = this.views.get(node);
      if (fresh) view.clear();
      for (const [key, item] of Object.entries(set)) view.set(key, item);
      for (const key of gone) view.delete(key);
    }
    for (; this.opinions < opinions.length && opinions[this.opinions].at <= now; this.opinions++) {
      const { node, of, status } = opinions[this.opinions];
      this.sees.get(node)?.set(of, status);
    }
  }

  now() { return this.count ? this.recording.happenings[this.count - 1].at : 0; }

  difference(one, other) {
    const [a, b] = [this.views.get(one), this.views.get(other)];
    const keys = [...new Set([...a.keys(), ...b.keys()])].sort().filter((key) => a.get(key) !== b.get(key));
    return keys.flatMap((key) => [['-', key, a.get(key)], ['+', key, b.get(key)]]);
  }
}

function viewer(root, recording) {
  const scene = new Scene(recording), { happenings, nodes, outcome } = recording;
  const violated = outcome.result === 'violated';
  const canvas = element('canvas', { width: 900, height: 640 });
  const slider = element('input', { type: 'range', min: 0, max: happenings.length, value: 0, style: 'flex:1' });
  const clock = element('span', { className: 'mono', id: 'clock' });
  const play = element('button', { textContent: 'play', id: 'play' });
  const speed = element('select', {}, ...[0.01, 0.1, 1, 10].map((x) => element('option', { value: x, textContent: `${x} × real time`, selected: x === 1 })));
  const step = (by, text) => element('button', { textContent: text, onclick: () => { stop(); show(scene.count + by); } });
  const period = (sign) => () => {
    stop();
    const at = scene.now() + sign * recording.period;
    const next = happenings.findIndex((happening) => happening.at > at);
    show(next < 0 ? happenings.length : sign > 0 ? Math.max(next, scene.count + 1) : Math.min(next, scene.count));
  };
  const choice = (selected) => element('select', {}, ...nodes.map((node) => element('option', { value: node, textContent: `node ${node}`, selected: node === selected })));
  const named = (violated && outcome.views || []).map((name) => Number(/\d+/.exec(name)?.[0] ?? NaN));
  const left = choice(nodes.includes(named[0]) ? named[0] : nodes[0]);
  const right = choice(nodes.includes(named[1]) ? named[1] : nodes[nodes.length - 1]);
  const lines = element('div', { className: 'scroll mono', id: 'lines' });
  const difference = element('div', { className: 'scroll mono', id: 'difference' });
  const opinions = element('div', { className: 'scroll', id: 'opinions' });
  const verdict = violated
    ? element('div', { className: 'bad', id: 'outcome' }, `violated at ${seconds(outcome.at)}: ${outcome.invariant}: ${outcome.message}`)
    : element('div', { className: 'good', id: 'outcome' }, `converged ${seconds(outcome.after)} after the last write and fault; trace ${outcome.trace}`);
  const final = violated && outcome.difference.length
    ? [element('h2', {}, `Difference in the end: − ${outcome.views[0]}, + ${outcome.views[1]}`), element('pre', { className: 'scroll', textContent: outcome.difference.join('\n') })] : [];
  root.replaceChildren(
    element('div', { className: 'bar' }, verdict),
    element('div', { className: 'bar' }, play, speed,
      element('button', { textContent: '− period', onclick: period(-1) }), step(-1, '− 1'), step(1, '+ 1'),
      element('button', { textContent: '+ period', onclick: period(1) }), slider, clock),
    element('div', { className: 'columns' },
      element('div', { className: 'left' }, canvas, legend(), element('h2', {}, 'Scenario'), element('pre', { className: 'scroll', textContent: recording.scenario })),
      element('div', { className: 'right' }, element('h2', {}, 'Happenings'), lines,
        element('h2', {}, 'Difference: − ', left, ' + ', right), difference,
        element('h2', {}, 'Opinions: a row sees a column'), opinions, ...final)));

  function legend() {
    const entries = Object.entries(COLOURS).map(([kind, colour]) => element('span', {}, element('i', { style: `background:${colour}` }), kind));
    return element('div', { className: 'legend' }, ...entries, element('span', {}, '× lost'));
  }

  const place = (index) => {
    const angle = 2 * Math.PI * index / nodes.length - Math.PI / 2;
    return [450 + 260 * Math.cos(angle), 320 + 260 * Math.sin(angle)];
  };
  const places = new Map(nodes.map((node, index) => [node, place(index)]));

  function draw(now) {
    const pen = canvas.getContext('2d');
    pen.clearRect(0, 0, 900, 640);
    pen.font = '13px system-ui'; pen.textAlign = 'center'; pen.textBaseline = 'middle';
    // Datagrams under way; what is lost is shown a while.
    for (let index = scene.count - 1; index >= 0 && now - happenings[index].at < 200e3; index--) {
      const { kind, at, from, to, label, lost, arrives } = happenings[index];
      const [start, end] = [places.get(from), places.get(to)];
      if (kind !== 'sent' || !start || !end) continue;
      const part = lost ? Math.min(0.5, (now - at) / 2e3) : arrives === undefined ? 0.5 : (now - at) / Math.max(1, arrives - at);
      const fresh = index === scene.count - 1;
      if (part > 1 && !fresh && now - arrives > 20e3) continue;
      const along = Math.min(1, Math.max(part, 0.03)), x = start[0] + (end[0] - start[0]) * along, y = start[1] + (end[1] - start[1]) * along;
      pen.strokeStyle = pen.fillStyle = COLOURS[label] ?? '#000';
      pen.globalAlpha = fresh ? 1 : 0.45; pen.lineWidth = fresh ? 2.5 : 1;
      pen.beginPath(); pen.moveTo(...start); pen.lineTo(x, y); pen.stroke();
      if (lost) { pen.fillStyle = '#b00020'; pen.fillText('×', x, y); } else { pen.beginPath(); pen.arc(x, y, 4, 0, 7); pen.fill(); }
    }
    pen.globalAlpha = 1;
    // Nodes that hold the same have the same colour.
    const kinds = new Map();
    for (const [node, [x, y]] of places) {
      const state = scene.states.get(node), holds = JSON.stringify([...scene.views.get(node)].sort());
      if (!kinds.has(holds)) kinds.set(holds, kinds.size);
      pen.beginPath(); pen.arc(x, y, 17, 0, 7);
      pen.fillStyle = state === 'runs' ? `hsl(${205 + 47 * kinds.get(holds)} 65% 84%)` : state === 'stands still' ? '#ffe3b0' : '#e6e6e6';
      pen.fill(); pen.lineWidth = 1.5; pen.strokeStyle = state === 'crashed' ? '#b00020' : '#444'; pen.stroke();
      pen.fillStyle = '#111'; pen.fillText(String(node), x, y);
      if (state !== 'runs') pen.fillText(state, x, y + 28);
    }
  }

  function show(count) {
    scene.go(Math.max(0, Math.min(happenings.length, count)));
    slider.value = scene.count;
    clock.textContent = `${seconds(scene.now())} · ${scene.count} of ${happenings.length}`;
    const from = Math.max(0, scene.count - 12);
    lines.replaceChildren(...happenings.slice(from, scene.count + 6).map(({ at, text }, index) =>
      element('div', { className: from + index === scene.count - 1 ? 'now' : '', textContent: `${(at / 1e6).toFixed(6)} ${text}` })));
    const differs = scene.difference(Number(left.value), Number(right.value));
    difference.replaceChildren(...(differs.length ? differs.map(([sign, key, item]) =>
      element('div', { className: sign === '-' ? 'gone' : 'new', textContent: `${sign} ${key}${item === undefined ? ': nothing' : ' = ' + item}` })) : ['They hold the same.']));
    const shown = nodes.slice(0, 24);
    const row = (node) => element('tr', {}, element('th', {}, String(node)), ...shown.map((of) => {
      const status = of === node ? 'Alive' : scene.sees.get(node).get(of);
      return element('td', { title: `${node} sees ${of}: ${status ?? 'unknown'}`, style: `background:${STATUS[status] ?? 'white'}` }, status ? status[0] : '');
    }));
    opinions.replaceChildren(element('table', {}, element('tr', {}, element('th'), ...shown.map((of) => element('th', {}, String(of)))), ...shown.map(row)));
    draw(scene.now());
  }

  let playing = null;
  function stop() { playing = null; play.textContent = 'play'; }
  play.onclick = () => {
    if (playing) return stop();
    if (scene.count === happenings.length) show(0);
    play.textContent = 'pause';
    const mine = playing = { real: performance.now(), now: scene.now() };
    const frame = (real) => {
      if (playing !== mine) return;
      mine.now += (real - mine.real) * 1e3 * Number(speed.value); mine.real = real;
      let count = scene.count;
      while (count < happenings.length && happenings[count].at <= mine.now) count++;
      if (count !== scene.count) show(count);
      draw(mine.now);
      if (count === happenings.length) return stop();
      requestAnimationFrame(frame);
    };
    requestAnimationFrame(frame);
  };
  slider.oninput = () => { stop(); show(Number(slider.value)); };
  left.onchange = right.onchange = () => show(scene.count);
  show(0);
  return { scene, show };
}
