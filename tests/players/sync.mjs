// Viewers of one show, each with a player of its own and assets/web/sync.js, who come one after the other; prints
// one JSON object, and exits 0 when they all show the same moment.
//
//   node sync.mjs --url http://HOST/ --admin-key K        schedules a film of its own
//   node sync.mjs --sync http://HOST/api/events/ID/sync --hls URL --dash URL [--source-width W] [--fps N]
//
// --module URL       the module, from the server under test and so across origins (/sync.js beside --sync)
// --players a,b,…    hls, dash or shaka, in the order in which they come (hls,dash)
// --apart N          seconds between two who come (4)
// --seconds N        how long the picture is read at a time (3)
// --live             what plays is no film: its numbers have nothing to do with /sync
// --viewport WxH     (640x360)
// --raw FILE         all that the module said, and all frames, as JSON
//
// The position is read from the picture: the film carries the number of each frame (pattern.mjs). What is compared
// is number / fps, minus the time at which the frame came on screen; every viewer here has the clock of this machine.
// Where `/sync` says that the film is, less its targetLatency, is where they are to be.
import { createReadStream } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { apart, at, FILM, meant, owner, place, sleep } from './event.mjs';
import { launch } from './pages.mjs';

const { values: options } = parseArgs({
  options: {
    url: { type: 'string' },
    'admin-key': { type: 'string' },
    rtmp: { type: 'string' },
    clip: { type: 'string' },
    sync: { type: 'string' },
    hls: { type: 'string' },
    dash: { type: 'string' },
    module: { type: 'string' },
    players: { type: 'string', default: 'hls,dash' },
    apart: { type: 'string', default: '4' },
    seconds: { type: 'string', default: '3' },
    fps: { type: 'string', default: String(FILM.fps) },
    'source-width': { type: 'string', default: String(FILM.width) },
    viewport: { type: 'string', default: '640x360' },
    live: { type: 'boolean' },
    raw: { type: 'string' },
  },
});
const root = dirname(fileURLToPath(import.meta.url));
const [width, height] = options.viewport.split('x').map(Number);
/** Two viewers may be apart by this, and each from where `/sync` says. */
const MOST_MS = 50;
const START_MS = 30_000;
/** Readings in which they find their places. */
const MOST_READINGS = 8;

/** What the module's own text says to set, for a latency in seconds. */
const CONFIG = {
  hls: (latency) => ({ liveSyncDuration: latency, maxLiveSyncPlaybackRate: 1 }),
  dash: (latency) => ({ delay: { liveDelay: latency }, liveCatchup: { enabled: false } }),
  shaka: (latency) => ({
    manifest: { defaultPresentationDelay: latency - 1, dash: { ignoreSuggestedPresentationDelay: true, autoCorrectDrift: false } },
    streaming: { liveSync: { enabled: true, targetLatency: latency, targetLatencyTolerance: latency } },
  }),
};

const PAGE = (player) => `<!doctype html><meta charset="utf-8"><title>${player}</title><link rel="icon" href="data:,">
<style>body{margin:0;background:#000}video{width:100vw;height:100vh}</style><video playsinline></video>
<script type="module" src="/${player}.js"></script><script type="module" src="/follow"></script>`;

const FOLLOW = (module, url) => `import { Sync } from ${JSON.stringify(module)};
window.reports = [];
const { engine, video } = window.probe;
window.sync = new Sync({ url: ${JSON.stringify(url)}, video, player: engine.player,
  onReport: (report) => window.reports.push([Math.round(performance.timeOrigin + performance.now()), report]) });`;

async function serve() {
  const server = createServer((request, response) => {
    const name = basename(new URL(request.url, 'http://localhost').pathname);
    if (name.endsWith('.js')) {
      response.setHeader('content-type', 'text/javascript');
      createReadStream(join(root, 'dist', name)).on('error', () => response.destroy()).pipe(response);
    } else if (name === 'follow') {
      response.setHeader('content-type', 'text/javascript');
      response.end(FOLLOW(options.module ?? new URL('/sync.js', options.sync).href, options.sync));
    } else if (name in CONFIG) {
      response.setHeader('content-type', 'text/html');
      response.end(PAGE(name));
    } else {
      response.statusCode = 404;
      response.end();
    }
  });
  await new Promise((resolve) => { server.listen(0, '127.0.0.1', resolve); });
  return server;
}

const median = (values) => [...values].sort((a, b) => a - b)[values.length >> 1];
async function view(browser, origin, player, latency) {
  const context = await browser.newContext({ viewport: { width, height } });
  const page = await context.newPage();
  const said = [];
  page.on('console', (message) => message.type() === 'error' && said.push(message.text()));
  page.on('pageerror', (error) => said.push(String(error)));
  const url = player === 'hls' ? options.hls : options.dash;
  const query = new URLSearchParams({ url, sourceWidth: options['source-width'], config: JSON.stringify(CONFIG[player](latency)) });
  await page.goto(`${origin}/${player}?${query}`);
  await page.waitForFunction(() => window.probe?.result().firstFrameMs != null && window.reports, null, { timeout: START_MS }).catch(async () => {
    throw new Error(`${player} does not begin: ${JSON.stringify([said, await page.evaluate(() => window.probe?.result().errors)])}`);
  });
  return { player, page, said };
}

/** Frames that came on screen since then, as [at, number], and what the module said. */
async function read({ page }, since) {
  const [frames, reports] = await page.evaluate(() => [window.probe.result().frames, window.reports]);
  return [frames.filter(([shown, number]) => shown >= since && number !== null), reports];
}

async function measure(viewers, since) {
  const meantNow = await meant(options.sync);
  const length = options.live ? 0 : meantNow.length;
  const found = [];
  for (const viewer of viewers) {
    const [frames, reports] = await read(viewer, since);
    if (frames.length < 10) return { unread: `${viewer.player}: ${frames.length} frames can be read`, worstMs: Infinity };
    const said = reports.filter(([moment]) => moment >= since).map(([, report]) => report);
    const offsets = said.map(({ offsetMs }) => offsetMs).filter((offset) => offset !== null);
    found.push({
      player: viewer.player, place: place(frames, Number(options.fps), length), frames: frames.length,
      offsetMs: median(offsets), rttMs: said.at(-1)?.rttMs, states: [...new Set(said.map(({ state }) => state))],
    });
  }
  const figures = found.map(({ place: where, ...rest }) => ({
    ...rest,
    toFirstMs: Math.round(apart(where, found[0].place, length)),
    toSyncMs: options.live ? null : Math.round(apart(where, meantNow.place, length)),
  }));
  // Two of them may be on both sides of the first.
  const toFirst = figures.map(({ toFirstMs }) => toFirstMs);
  const worstMs = Math.max(Math.max(...toFirst) - Math.min(...toFirst), ...figures.map(({ toSyncMs }) => Math.abs(toSyncMs ?? 0)));
  return { figures, worstMs };
}

/** An event of its own: a film that begins anew until it is stopped. */
async function begin() {
  const ann = await owner({ url: options.url, adminKey: options['admin-key'] });
  const event = await ann.schedule({
    title: 'Film', scheduledStartTime: at(Date.now() + 3_600_000), scheduledEndTime: at(Date.now() + 7_200_000), repeatMode: 'until_end', repeatUntilEnd: true,
  });
  await ann.upload(event);
  await ann.start(event);
  options.sync = new URL(`/api/events/${event.id}/sync`, options.url).href;
  options.hls = new URL(`/hls/${event.streamId}/index.m3u8`, options.url).href;
  options.dash = new URL(`/dash/${event.streamId}/ll.mpd`, options.url).href;
  while (!(await meant(options.sync)).event.isPlaying) await sleep(100);
  // So much is behind, then, that nobody has to wait.
  await sleep(4000);
}

const server = await serve();
const browser = await launch();
let result = { ok: false };
try {
  if (!options.sync) await begin();
  const { targetLatency } = (await meant(options.sync)).event;
  const viewers = [];
  for (const player of options.players.split(',')) {
    if (viewers.length) await sleep(Number(options.apart) * 1000);
    viewers.push(await view(browser, `http://localhost:${server.address().port}`, player, targetLatency));
  }
  const readings = [];
  // Until two in a row are good: they move to their places by and by, and a busy machine may show a frame late.
  let good = 0;
  while (good < 2 && readings.length < MOST_READINGS) {
    const since = Date.now();
    await sleep(Number(options.seconds) * 1000);
    readings.push(await measure(viewers, since));
    good = readings.at(-1).worstMs <= MOST_MS ? good + 1 : 0;
  }
  if (options.raw) {
    const seen = ({ page }) => page.evaluate(() => ({ ...window.probe.result(), reports: window.reports }));
    await writeFile(options.raw, JSON.stringify(await Promise.all(viewers.map(seen))));
  }
  const worstMs = Math.max(...readings.slice(-2).map((reading) => reading.worstMs));
  const said = viewers.flatMap((viewer) => viewer.said);
  result = { ok: good === 2 && said.length === 0, worstMs, readings, console: said };
} catch (error) {
  result = { ok: false, error: String(error) };
} finally {
  await browser.close().catch(() => {});
  server.close();
  server.closeAllConnections();
}
console.log(JSON.stringify(result));
process.exit(result.ok ? 0 : 1);
