'use strict';
// Runs the simulator. A message is a request for it, or one of `load`, `speed`, `pause`, `step`; every request has an
// answer with its number, and while the cluster runs there are frames without one.

let exports = null, running = false, speed = 1, slice = 1000, last = 0, due = 0;

function ask(request) {
  const bytes = new TextEncoder().encode(JSON.stringify(request));
  // The memory may grow in any call, which takes the buffer of before away: it is asked for after the call.
  const room = exports.room(bytes.length);
  new Uint8Array(exports.memory.buffer, room, bytes.length).set(bytes);
  const length = exports.call(), answer = exports.answer_at();
  return new TextDecoder().decode(new Uint8Array(exports.memory.buffer, answer, length));
}

// As much simulated time as is due, in slices that take some 20 ms of real time each.
function run() {
  if (!running) return;
  const now = performance.now();
  due = Math.min(due + (now - last) * 1e3 * speed, 1e6 * Math.max(1, speed / 10));
  last = now;
  if (due >= 1) {
    const micros = Math.max(1, Math.round(Math.min(due, slice)));
    const text = ask({ do: 'run', micros });
    const took = performance.now() - now;
    slice = Math.min(1e6, Math.max(100, slice * (took > 30 ? 0.5 : took < 12 ? 2 : 1)));
    due -= micros;
    postMessage({ text, took });
  }
  setTimeout(run, speed > 1e6 ? 0 : 12);
}

onmessage = ({ data }) => {
  const { number, message } = data;
  try {
    if (message.do === 'load') {
      const binary = atob(message.wasm.replace(/\s/g, ''));
      const bytes = Uint8Array.from(binary, (letter) => letter.charCodeAt(0));
      exports = new WebAssembly.Instance(new WebAssembly.Module(bytes), {}).exports;
      postMessage({ number, text: '{"done":null}' });
    } else if (message.do === 'pace') {
      const was = running;
      ({ running, speed } = message);
      last = performance.now(); due = 0;
      if (running && !was) run();
      postMessage({ number, text: '{"done":null}' });
    } else {
      const text = ask(message);
      postMessage({ number, text });
    }
  } catch (error) {
    running = false;
    postMessage({ number, text: JSON.stringify({ error: `the simulator has stopped: ${error}` }) });
  }
};
