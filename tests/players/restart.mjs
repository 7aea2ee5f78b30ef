// A gateway is stopped, and killed, in the middle of a looped film while hls.js plays it; prints one JSON object, and
// exits 0 when the player went on at what was on by then, and every address had the same bytes as before, also at
// another gateway with the same database and the same folder of films.
//
//   node restart.mjs --program forebay --folder DIR --database postgres://…
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, symlink } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { apart, at, meant, ODD, owner, place, PREPARED_ODD, sleep } from './event.mjs';
import { launch } from './pages.mjs';
import { serve } from './bundles.mjs';

const { values: options } = parseArgs({ options: { program: { type: 'string' }, folder: { type: 'string' }, database: { type: 'string' } } });
const ADMIN = 'AdminKey-0123456789abcdef';
const HOUR_MS = 3_600_000;
const UP_MS = 60_000;
/** A player that is left to itself is behind what `/sync` means by its own latency, and by what it lost: ms. */
const MOST_BEHIND_MS = 15_000;

const check = (isSo, what) => {
  if (!isSo) throw new Error(what);
};

async function freePort() {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address();
  server.close();
  await once(server, 'close');
  return port;
}

const running = new Set();

async function start(port, region) {
  const env = {
    PATH: process.env.PATH, HOME: options.folder, FOREBAY_HTTP: `127.0.0.1:${port}`, FOREBAY_RTMP: '127.0.0.1:0', FOREBAY_SRT: '127.0.0.1:0',
    FOREBAY_DATA: join(options.folder, region), FOREBAY_DATABASE_URL: options.database, FOREBAY_ADMIN_KEY: ADMIN, FOREBAY_REGION: region, FOREBAY_APPLICATION_ID: `app-${region}`,
  };
  const child = spawn(options.program, ['serve'], { cwd: options.folder, env, stdio: ['ignore', 'ignore', 'pipe'] });
  const said = [];
  child.stderr.setEncoding('utf8').on('data', (text) => said.push(text));
  running.add(child);
  for (const until = Date.now() + UP_MS; Date.now() < until; await sleep(50)) {
    check(child.exitCode === null, `gateway ${region} ends with ${child.exitCode}: ${said.slice(-5).join('')}`);
    if (await fetch(`http://127.0.0.1:${port}/time`).then(({ ok }) => ok, () => false)) return child;
  }
  throw new Error('the gateway is not up');
}

async function end(child, signal) {
  child.kill(signal);
  if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
  running.delete(child);
}

/** Bytes of an address, as text. */
async function bytes(url) {
  const answer = await fetch(url);
  check(answer.ok, `${url}: ${answer.status}`);
  return Buffer.from(await answer.arrayBuffer()).toString('base64');
}

/** Addresses of all that a stream's playlists list: initialisations, whole segments and parts. */
async function listed(origin, id) {
  const base = `${origin}/hls/${id}/`;
  const all = await (await fetch(`${base}index.m3u8`)).text();
  const names = new Set([...all.matchAll(/^(?!#)(\S+)\/index\.m3u8|URI="([^/"]+)\/index\.m3u8/gm)].map(([, one, other]) => one ?? other));
  check(names.size > 1, all);
  const found = new Set();
  for (const name of names) {
    const text = await (await fetch(`${base}${name}/index.m3u8`)).text();
    const uris = [...text.matchAll(/^(?!#)(\S+\.m4s)$|EXT-X-(?:MAP|PART):.*URI="([^"]+)"/gm)].map(([, one, other]) => one ?? other);
    check(uris.length > 10, text);
    for (const uri of uris) found.add(`/hls/${id}/${name}/${uri}`);
  }
  return [...found];
}

const read = async (origin, paths) => {
  const pairs = [];
  for (const path of paths) pairs.push([path, await bytes(origin + path)]);
  return new Map(pairs);
};

function compare(before, after, where) {
  for (const [path, known] of before) check(after.get(path) === known, `${path} has other bytes ${where}`);
}

const server = await serve();
const browser = await launch();
let result = { ok: false };
try {
  const port = await freePort();
  const origin = `http://127.0.0.1:${port}`;
  let gateway = await start(port, 'one');
  const ann = await owner({ url: origin, adminKey: ADMIN });
  const event = await ann.schedule({
    title: 'Loop', scheduledStartTime: at(Date.now() + HOUR_MS), scheduledEndTime: at(Date.now() + 2 * HOUR_MS), repeatMode: 'until_end', repeatUntilEnd: true,
  });
  await ann.upload(event, ODD);
  await ann.start(event);
  const sync = `${origin}/api/events/${event.id}/sync`;
  while (!(await meant(sync)).event.isPlaying) await sleep(100);
  await sleep(6000);
  const page = await (await browser.newContext()).newPage();
  const url = `${origin}/hls/${event.streamId}/index.m3u8`;
  await page.goto(`http://localhost:${server.address().port}/hls?${new URLSearchParams({ url, sourceWidth: ODD.width })}`);
  await page.waitForFunction(() => window.probe?.result().firstFrameMs != null, null, { timeout: UP_MS });
  await page.evaluate(() => { window.isSame = true; });

  /** How far behind `/sync` the picture is, ms: by the numbers of its frames alone. */
  const behind = async () => {
    const since = Date.now();
    await sleep(3000);
    const { event: now, place: wanted, length } = await meant(sync);
    const frames = await page.evaluate((from) => window.probe.result().frames.filter(([shown, number]) => shown >= from && number !== null), since);
    check(frames.length > 30, `${frames.length} frames can be read`);
    // A turn further than it is meant to be is no less than a turn behind.
    const late = -apart(place(frames, PREPARED_ODD.fps, length), wanted, length) + now.targetLatency * 1000;
    return Math.round(late);
  };
  const dates = () => page.evaluate(() => [Date.now(), window.probe.engine.date()]);
  const figures = [];
  const before = await read(origin, await listed(origin, event.streamId));
  const second = await freePort();
  await mkdir(join(options.folder, 'two'));
  await symlink(join(options.folder, 'one', 'films'), join(options.folder, 'two', 'films'));
  const other = await start(second, 'two');
  const known = await listed(`http://127.0.0.1:${second}`, event.streamId);
  check(known.some((path) => before.has(path)), 'the other gateway lists nothing of what the first did');
  compare(before, await read(`http://127.0.0.1:${second}`, [...before.keys()]), 'at another gateway');
  await end(other, 'SIGTERM');
  for (const signal of ['SIGTERM', 'SIGKILL']) {
    const kept = await read(origin, await listed(origin, event.streamId));
    const was = await behind();
    await end(gateway, signal);
    gateway = await start(port, 'one');
    const parts = [...kept.keys()];
    compare(kept, await read(origin, parts), `after ${signal}`);
    // It has to have found what is on, which a player that began at 0, or stood still, has not.
    await page.waitForFunction((from) => window.probe.result().frames.filter(([shown]) => shown > from + 2000).length > 60, Date.now(), { timeout: UP_MS });
    const is = await behind();
    const [now, date] = await dates();
    const { errors, positions } = await page.evaluate(() => window.probe.result());
    const wentBack = positions.some(([, position], index) => index > 0 && position < positions[index - 1][1] - 0.05);
    figures.push({ signal, compared: parts.length, behindMs: [was, is], byDateMs: now - date });
    check(now - date > 0 && now - date < MOST_BEHIND_MS, `it shows what was on ${now - date} ms ago`);
    // The picture is what the date says.
    const off = apart(is, now - date, PREPARED_ODD.seconds * 1000);
    check(Math.abs(off) < 1000, `the picture is ${is} ms behind and its date ${now - date}`);
    check(!errors.some(({ fatal }) => fatal), JSON.stringify(errors));
    check(!wentBack, 'it went back');
  }
  check(await page.evaluate(() => window.isSame), 'the page was loaded anew');
  result = { ok: true, addresses: before.size, figures };
} catch (error) {
  result = { ok: false, error: String(error) };
} finally {
  await browser.close().catch(() => {});
  server.close();
  server.closeAllConnections();
  for (const child of running) child.kill('SIGKILL');
}
console.log(JSON.stringify(result));
process.exit(result.ok ? 0 : 1);
