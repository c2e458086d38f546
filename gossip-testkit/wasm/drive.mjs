// Drives the page in headless Chromium through its debugging pipe, without any package:
//   node drive.mjs CHROMIUM PAGE HOST_ANSWERS DIRECTORY
// What the page answers must equal what the host has answered; then it is used as a person uses it. Screenshots of that
// are left in DIRECTORY. Nothing is measured by the wall clock, so a busy machine makes this slow and nothing else.
import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

const [chromium, page, host, directory] = process.argv.slice(2);
const profile = mkdtempSync(join(tmpdir(), 'laboratory-'));
const browser = spawn(chromium, ['--headless', '--no-sandbox', '--disable-gpu', '--disable-background-networking',
  '--no-first-run', '--remote-debugging-pipe', `--user-data-dir=${profile}`, '--window-size=1400,1300', 'about:blank'],
{ stdio: ['ignore', 'ignore', 'ignore', 'pipe', 'pipe'] });
const waiting = new Map();
let number = 0, rest = '';
browser.stdio[4].on('data', (data) => {
  const messages = (rest + data).split('\0');
  rest = messages.pop();
  for (const message of messages.map((text) => JSON.parse(text))) {
    const { resolve, reject } = waiting.get(message.id) ?? {};
    waiting.delete(message.id);
    if (message.error) reject?.(new Error(message.error.message)); else resolve?.(message.result);
  }
});
let session;
const send = (method, params = {}, sessionId = session) => new Promise((resolve, reject) => {
  waiting.set(++number, { resolve, reject });
  browser.stdio[3].write(JSON.stringify({ id: number, method, params, sessionId: sessionId ?? undefined }) + '\0');
});

// Seconds of a processor that the page has had: its worker, and what it has drawn.
async function processor() {
  const { processInfo } = await send('SystemInfo.getProcessInfo', {}, null);
  return processInfo.filter(({ type }) => type === 'renderer').reduce((sum, { cpuTime }) => sum + cpuTime, 0);
}

async function evaluate(expression) {
  const { result, exceptionDetails } = await send('Runtime.evaluate', { expression, awaitPromise: true, returnByValue: true });
  if (exceptionDetails) throw new Error(`${expression}: ${exceptionDetails.exception?.description ?? exceptionDetails.text}`);
  return result.value;
}

function check(holds, what) {
  if (!holds) throw new Error(what);
  console.log(`ok: ${what}`);
}

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
// Waits for something of the page, for at most so much of what is counted.
async function wait(expression, what, limit, count, unit) {
  const [start, used] = [await count(), await processor()];
  while (!await evaluate(expression)) {
    if (await count() - start > limit) throw new Error(`${what}: not after ${limit} ${unit}; ${await evaluate('document.getElementById("state").textContent + document.getElementById("error").textContent')}`);
    await pause(50);
  }
  console.log(`ok: ${what} (${(await processor() - used).toFixed(1)} s of a processor)`);
}
// What the page does by itself, in seconds of a processor, and what its cluster does, in simulated ones: a slow machine simulates
// a busy cluster for long.
const until = (expression, what, limit = 60) => wait(expression, what, limit, processor, 's of a processor');
const within = (expression, what, limit = 60) => wait(expression, what, limit, () => evaluate('laboratory.frame().now / 1e6'), 'simulated seconds');

async function shoot(name) {
  await pause(400);
  const { data } = await send('Page.captureScreenshot', { format: 'png' });
  writeFileSync(join(directory, `${name}.png`), Buffer.from(data, 'base64'));
}

const ask = (request) => `laboratory.ask(${JSON.stringify(request)})`;
// A click on the picture, or a drag over it, by the mouse: places are those of the picture.
async function mouse(tool, ...places) {
  await evaluate(`document.querySelector('input[value=${tool}]').click()`);
  const points = await evaluate(`(() => { const box = document.getElementById('cluster').getBoundingClientRect(); return ${JSON.stringify(places)}.map(([x, y]) => [box.left + x * box.width / 1000, box.top + y * box.height / 760]); })()`);
  const event = (type, [x, y]) => send('Input.dispatchMouseEvent', { type, x, y, button: 'left', buttons: 1, clickCount: 1 });
  await event('mousePressed', points[0]);
  for (const point of points.slice(1)) await event('mouseMoved', point);
  await event('mouseReleased', points.at(-1));
}
const click = async (tool, node) => mouse(tool, await evaluate(`laboratory.place(${node})`));
const press = (id) => evaluate(`document.getElementById('${id}').click()`);
const choose = (id, value) => evaluate(`(() => { const it = document.getElementById('${id}'); it.value = '${value}'; it.dispatchEvent(new Event('change')); })()`);
const trace = (answer) => answer.frame?.trace ?? answer.started?.frame.trace ?? answer.recording?.outcome.trace;
const known = 'laboratory.frame().subjects.at(-1)?.known.length';

async function drive() {
  const { targetId } = await send('Target.createTarget', { url: pathToFileURL(page).href });
  session = (await send('Target.attachToTarget', { targetId, flatten: true })).sessionId;
  await until('window.laboratory?.frame() != null', 'the page starts a cluster, from a file');

  // The same requests, the same answers, on the host and here.
  await evaluate('laboratory.setPace(false)');
  const pairs = JSON.parse(readFileSync(host));
  for (const [index, { request, answer: expected }] of pairs.entries()) {
    const answer = await evaluate(ask(request));
    if (JSON.stringify(answer) !== JSON.stringify(expected)) {
      throw new Error(`request ${index}, ${request.do}: the page does not answer what the host does: ${trace(answer)}, ${trace(expected)}`);
    }
  }
  const traces = pairs.map(({ answer }) => trace(answer)).filter(Boolean);
  check(new Set(traces).size > 8, `${pairs.length} requests are answered byte for byte as on the host, among them ${traces.length} trace hashes (${traces.at(-1)})`);

  // Speed.
  await choose('nodes', 100);
  await choose('speed', '1e9');
  await press('start');
  await until('laboratory.frame().nodes.length === 100 && laboratory.frame().now > 2e6', 'a hundred nodes run');
  const [from, used, real] = [await evaluate('laboratory.frame().now'), await processor(), Date.now()];
  await until(`laboratory.frame().now > ${from + 100e6}`, 'and a hundred seconds pass');
  const time = (await evaluate('laboratory.frame().now') - from) / 1e6;
  const rate = time / (await processor() - used), seen = time * 1e3 / (Date.now() - real);
  check(rate >= 20, `a hundred nodes: ${rate.toFixed(1)} simulated seconds a second of a processor (${seen.toFixed(1)} by the wall clock, among whatever else runs)`);

  await choose('speed', '0.1');
  await press('half');
  await press('cut');
  await within('laboratory.frame().cut', 'a hundred nodes are cut in halves');

  // Five hundred nodes: a put reaches all, a partition is made and healed, a crash is seen.
  await choose('nodes', 500);
  await press('start');
  await within('laboratory.frame().nodes === "u".repeat(500) && laboratory.frame().sees.every((seen) => seen === 500)', 'five hundred nodes see each other');
  await choose('speed', '0.1');
  await click('put', 123);
  await within(`${known} === 500`, 'a put that a click made reaches all');
  await shoot('put');
  // A corner, since two halves of five hundred take each other for dead in a million datagrams.
  await mouse('side', [5, 5], [995, 110]);
  await press('cut');
  await within('laboratory.frame().cut', 'a partition is made');
  await click('put', 44);
  await choose('speed', '1e9');
  await within('laboratory.frame().lost[1] > 1000 && Math.max(...laboratory.frame().sees) < 500', 'everybody takes somebody on the other side for dead');
  check(await evaluate(known) < 500, 'a put on one side stays there');
  await choose('speed', '1');
  await shoot('partition');
  await choose('speed', '1e9');
  await press('heal');
  await within(`!laboratory.frame().cut && ${known} === 500 && laboratory.frame().sees.every((seen) => seen === 500)`, 'it is healed: all know, and see each other');
  await click('crash', 77);
  await within(`laboratory.frame().nodes[77] === 'd' && ${known} === 499`, 'a crash is seen by all');
  await shoot('crash');
  await press('tell');
  await until('/^cut .*<->/m.test(document.getElementById("scenario").value)', 'the story is told as a scenario');

  // Failures, pasted as the self-test of the testkit prints them, replayed and watched.
  const paste = async (text) => {
    await evaluate(`document.getElementById('viewer').replaceChildren(), document.getElementById('scenario').value = ${JSON.stringify(text)}`);
    await press('replay');
    await until('document.getElementById("outcome")?.textContent.startsWith("violated at ")', 'a failure is pasted and replayed');
  };
  for (const { request: { text } } of pairs.filter(({ request }) => request.text?.includes('to replay: '))) {
    const [, at, invariant] = /^violated at ([\d.]+)s: (.*)/.exec(text), message = text.split('\n')[1].trim();
    await paste(text);
    const outcome = await evaluate('document.getElementById("outcome").textContent');
    check(outcome === `violated at ${Number(at).toFixed(6)} s: ${invariant}: ${message}`, `the page shows what was printed: ${outcome}`);
    const [, , printed] = /^- (.*)\n\+ .*\n([^]*?)\n\n/m.exec(text) ?? [];
    if (printed) check(await evaluate('shown.scene.recording.outcome.difference.join("\\n")') === printed, 'and the difference that was printed');
    await evaluate('shown.show(1e9)');
    const end = await evaluate('shown.scene.count');
    await evaluate('shown.show(shown.scene.count - 1)');
    check(await evaluate('shown.scene.count') === end - 1, 'it is watched step by step, backwards too');
  }
  await paste('seed 1\nnodes 0-3\nseeds 2\nat 2s node 0: put "a" "b"\ncut 0-1 <-> 2-3 from 1s to 400s\nloss 100% on 0-1 -> 2-3 from 0s on\n');
  await evaluate('shown.show(1e9)');
  check(await evaluate('/entry "a"/.test(document.getElementById("difference").textContent)'), 'of a bare scenario, too: its views differ in what was put');
  await evaluate('shown.show(shown.scene.recording.happenings.findIndex((one) => one.at > 3e6))');
  await shoot('replay');
}

let failed = null;
// A page that hangs has no processor time to be bounded by.
const giveUp = setTimeout(() => { failed = new Error('not done after an hour'); browser.kill(); }, 3_600_000);
const gone = new Promise((_, reject) => browser.on('exit', () => reject(new Error('chromium has ended'))));
try {
  await Promise.race([drive(), gone]);
} catch (error) {
  failed ??= error;
}
clearTimeout(giveUp);
gone.catch(() => {});
const ended = new Promise((resolve) => (browser.exitCode ?? browser.signalCode) !== null ? resolve() : browser.on('exit', resolve));
browser.kill('SIGKILL');
await ended;
try {
  rmSync(profile, { recursive: true, force: true, maxRetries: 10, retryDelay: 200 });
} catch (error) {
  // Its helpers end a moment later than the browser; what they leave is in the folder for temporary files.
  console.log(`left behind: ${error.message}`);
}
if (failed) {
  console.error(`error: ${failed.message}`);
  process.exit(1);
}
