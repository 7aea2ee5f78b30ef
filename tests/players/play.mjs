// One real player in headless Chromium on one live stream; prints one JSON object and exits 0 when it played.
//
//   node play.mjs --player hls|dash|shaka --url URL --seconds N [--switch] [--source-width W] [--screenshot f.png]
//   node play.mjs --player page --url http://HOST/watch/ID --seconds N      (our own page, by window.forebay)
//   node play.mjs --player page --url http://HOST/live --seconds N          (the list: its first card is clicked)
//
// --seconds N        how long to play after the first frame (10)
// --start-timeout N  seconds to wait for the first frame (20)
// --switch           go through all levels, up and down; each has to come on screen without a stall or a gap
// --keyboard         our own page only: each shortcut is pressed and has to have its effect
// --source-width W   the picture carries numbers (pattern.mjs) drawn at that width: read them; with a source
//                    that writes its clock, glassToGlassMs is the delay of every frame
// --config JSON      laid over the player's own configuration
// --viewport WxH     (1280x720)
// --screenshot FILE  the page at the end, as PNG
// --raw FILE         everything that was written down (src/watch.js, src/probe.js), each sample in its order, as JSON
// `playing` on standard error says that the first frame is there.
// The media come straight from the server under test, across origins, so its CORS is tested too.
import { createReadStream } from 'node:fs';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { chromium } from 'playwright-core';
import { MODULUS, summarize } from './pattern.mjs';

const { values: options } = parseArgs({
  options: {
    player: { type: 'string', default: 'hls' },
    url: { type: 'string' },
    seconds: { type: 'string', default: '10' },
    'start-timeout': { type: 'string', default: '20' },
    'source-width': { type: 'string' },
    config: { type: 'string' },
    viewport: { type: 'string', default: '1280x720' },
    screenshot: { type: 'string' },
    raw: { type: 'string' },
    switch: { type: 'boolean' },
    keyboard: { type: 'boolean' },
  },
});
if (!options.url || !['hls', 'dash', 'shaka', 'page'].includes(options.player)) {
  console.error('play: --url URL and --player hls|dash|shaka|page are needed');
  process.exit(2);
}
const root = dirname(fileURLToPath(import.meta.url));
const [width, height] = options.viewport.split('x').map(Number);
const seconds = Number(options.seconds);
const startTimeoutMs = Number(options['start-timeout']) * 1000;
const isPage = options.player === 'page';

const PAGE = (player) => `<!doctype html><meta charset="utf-8"><title>${player}</title><style>body{margin:0;background:#000}video{width:100vw;height:100vh}</style><video playsinline></video><script type="module" src="/${player}.js"></script>`;

/** Serves the bundled players on loopback: localhost is a secure context, which shaka wants. */
async function serve() {
  const server = createServer((request, response) => {
    const name = basename(new URL(request.url, 'http://localhost').pathname);
    if (name.endsWith('.js')) {
      response.setHeader('content-type', 'text/javascript');
      createReadStream(join(root, 'dist', name)).on('error', () => response.destroy()).pipe(response);
    } else if (name === 'play') {
      response.setHeader('content-type', 'text/html');
      response.end(PAGE(options.player));
    } else {
      response.statusCode = 404;
      response.end();
    }
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  return server;
}

const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

async function until(page, condition, timeoutMs, arg) {
  return page.waitForFunction(condition, arg, { timeout: timeoutMs, polling: 50 }).then(() => true, () => false);
}

/** Brings each level on screen in turn and says what happened meanwhile. */
async function switchThrough(page) {
  const levels = await page.evaluate(() => probe.levels());
  const order = levels.map((_, index) => index).sort((a, b) => levels[a].bitrate - levels[b].bitrate);
  const visits = [];
  for (const index of [...order, ...[...order].reverse().slice(1)]) {
    const before = await page.evaluate(() => probe.now());
    const began = performance.now();
    await page.evaluate((to) => probe.select(to), index);
    const isOnScreen = await until(page, ({ at, size }) => {
      const now = probe.now();
      return now.current === at && (!size || now.height === size);
    }, 20_000, { at: index, size: levels[index].height || 0 });
    const switchedMs = Math.round(performance.now() - began);
    const { position } = await page.evaluate(() => probe.now());
    const hasPlayed = await until(page, (from) => probe.now().position > from + 2, 10_000, position);
    const after = await page.evaluate(() => probe.now());
    visits.push({
      index, ...levels[index], ok: isOnScreen && hasPlayed, onScreen: isOnScreen, played: hasPlayed, switchedMs,
      stalls: after.stalls - before.stalls, gaps: after.gaps - before.gaps,
    });
  }
  return visits;
}

function spread(samples) {
  if (!samples.length) return null;
  const sorted = [...samples].sort((a, b) => a - b);
  const at = (part) => sorted[Math.min(sorted.length - 1, Math.floor(part * sorted.length))];
  return { samples: sorted.length, min: sorted[0], median: at(0.5), p95: at(0.95), max: sorted.at(-1) };
}

async function playBundle(page, origin) {
  const query = new URLSearchParams({ url: options.url });
  if (options['source-width']) query.set('sourceWidth', options['source-width']);
  if (options.config) query.set('config', options.config);
  await page.goto(`${origin}/play?${query}`);
  const hasBegun = await until(page, () => window.probe?.result().firstFrameMs != null, startTimeoutMs);
  let visits = null;
  if (hasBegun) {
    console.error('playing');
    if (options.switch) visits = await switchThrough(page);
    await sleep(seconds * 1000);
  }
  const raw = await page.evaluate(() => window.probe?.result() ?? null);
  if (!raw) return { ok: false, error: 'the player did not load' };
  if (options.raw) {
    const requests = await page.evaluate(() => performance.getEntriesByType('resource').map(({ name, startTime, responseEnd }) => ({ name, startTime, responseEnd })));
    await writeFile(options.raw, JSON.stringify({ ...raw, requests }));
  }
  const { begunAt, frames, positions: looks, restarts, latency, stalls, ...rest } = raw;
  const positions = looks.map(([, position]) => position);
  const played = positions.length ? positions.at(-1) - positions[0] : 0;
  const result = {
    ...rest,
    playedSeconds: Math.round(played * 1000) / 1000,
    advanced: played > 0.5 * seconds,
    wentBack: positions.some((position, index) => index > 0 && position < positions[index - 1] - 0.05),
    stalls: { count: stalls.length + (raw.openStallMs ? 1 : 0), totalMs: stalls.reduce((sum, stall) => sum + stall.lastedMs, raw.openStallMs), list: stalls },
    latencyMs: spread(latency),
    restarts: restarts.length,
  };
  if (visits) result.visits = visits;
  if (options['source-width']) {
    const counters = frames.map(([, counter]) => counter);
    const readable = frames.filter(([, counter]) => counter !== null);
    result.glassToGlassMs = spread(readable.map(([at, counter]) => (((at - counter) % MODULUS) + MODULUS) % MODULUS));
    const { firstMissing, ...summary } = summarize(counters);
    result.counters = { ...summary, firstMissing: firstMissing.slice(0, 10) };
  }
  const visitsOk = !visits || (visits.length > 0 && visits.every((visit) => visit.ok));
  return { ok: hasBegun && result.advanced && visitsOk && !rest.errors.some((error) => error.fatal), ...result };
}

/** Presses every shortcut of the watch page and names those without effect. */
async function pressKeys(page) {
  const state = () => page.evaluate(() => forebay.state());
  const failed = [];
  const press = async (key, what, effect, arg) => {
    await page.keyboard.press(key);
    if (!(await until(page, effect, 5000, arg))) failed.push(`${key}: ${what}`);
  };
  const { muted } = await state();
  await press('m', 'sound off or on', (was) => forebay.state().muted !== was, muted);
  await press('m', 'sound as before', (was) => forebay.state().muted === was, muted);
  await press('k', 'pause', () => forebay.state().paused);
  await press('Space', 'play', () => !forebay.state().paused);
  const { currentTime } = await state();
  await press('ArrowLeft', 'five seconds back', (was) => forebay.state().currentTime < was - 2, currentTime);
  await press('l', 'to the live edge', (was) => forebay.state().currentTime > was && forebay.state().edgeLatency < 5, currentTime);
  await press('q', 'the menu opens, its entry in focus', () => document.querySelector('#menu:not([hidden])')?.contains(document.activeElement));
  await press('ArrowDown', 'the next entry', () => document.activeElement.getAttribute('role') === 'menuitemradio');
  await press('Escape', 'the menu closes', () => document.querySelector('#menu').hidden && document.activeElement.id === 'quality');
  await press('f', 'full screen', () => document.fullscreenElement !== null);
  await press('f', 'no full screen', () => document.fullscreenElement === null);
  return failed;
}

async function playPage(page) {
  // What is counted in the first second is of before it plays, which is otherwise a race.
  const began = performance.now();
  await page.route('**/streams.json', async (route) => {
    if (performance.now() - began > 1000) return route.continue();
    const response = await route.fetch();
    const streams = await response.json();
    return route.fulfill({ response, json: streams.map((stream) => ({ ...stream, viewers: 0 })) });
  });
  await page.goto(options.url);
  if (new URL(options.url).pathname === '/live') {
    await page.click('#cards a', { timeout: startTimeoutMs });
    await page.waitForURL('**/watch/*');
  }
  const hasBegun = await until(page, () => window.forebay?.state().timeToFirstFrameMs != null, startTimeoutMs);
  const from = await page.evaluate(() => window.forebay?.state() ?? null);
  if (hasBegun) {
    await page.evaluate(await readFile(join(root, 'dist', 'watch.js'), 'utf8'));
    await page.evaluate((width) => {
      window.seen = window.watching.watch(document.querySelector('video'), width);
    }, Number(options['source-width'] ?? 0));
    console.error('playing');
    await sleep(seconds * 1000);
  }
  const state = await page.evaluate(() => window.forebay?.state() ?? null);
  if (options.raw && hasBegun) await writeFile(options.raw, JSON.stringify(await page.evaluate(() => window.seen)));
  const advanced = Boolean(from && state) && state.currentTime - from.currentTime > 0.5 * seconds;
  const viewersShown = await page.evaluate(() => document.querySelector('#viewers-count')?.textContent ?? null);
  const keysWithoutEffect = options.keyboard && hasBegun ? await pressKeys(page) : [];
  return { ok: hasBegun && advanced && keysWithoutEffect.length === 0, advanced, keysWithoutEffect, viewersShown, ...state };
}

const profile = await mkdtemp(join(tmpdir(), 'forebay-player-'));
const server = await serve();
let context = null;
let result = { ok: false };
try {
  context = await chromium.launchPersistentContext(profile, {
    executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
    headless: true,
    viewport: { width, height },
    args: [
      '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
      '--disable-component-update', '--disable-sync', '--autoplay-policy=no-user-gesture-required', '--mute-audio',
    ],
  });
  const page = context.pages()[0] ?? (await context.newPage());
  const console_ = [];
  const responses = {};
  page.on('console', (message) => ['error', 'warning'].includes(message.type()) && console_.length < 50 && console_.push(message.text()));
  page.on('pageerror', (error) => console_.length < 50 && console_.push(String(error)));
  page.on('response', (response) => {
    responses[response.status()] = (responses[response.status()] ?? 0) + 1;
  });
  let reloads = 0;
  let address = null;
  page.on('framenavigated', (frame) => {
    if (frame !== page.mainFrame()) return;
    reloads += frame.url() === address ? 1 : 0;
    address = frame.url();
  });
  result = isPage ? await playPage(page) : await playBundle(page, `http://localhost:${server.address().port}`);
  result.console = [...new Set(console_)];
  result.responses = responses;
  result.reloads = reloads;
  if (options.screenshot) await page.screenshot({ path: options.screenshot });
} catch (error) {
  result = { ...result, ok: false, error: String(error) };
} finally {
  await context?.close().catch(() => {});
  server.close();
  server.closeAllConnections();
  await rm(profile, { recursive: true, force: true }).catch(() => {});
}
console.log(JSON.stringify({ player: options.player, url: options.url, ...result }));
process.exit(result.ok ? 0 : 1);
