// The owner of a looped film takes over and gives back while players watch that nobody steers, one after the other;
// prints one JSON object, and exits 0 when each went on through both cuts and showed the film where the clock says.
//
//   node takeover.mjs --url http://HOST/ --admin-key K --rtmp rtmp://HOST/live --clip FILE [--players hls,dash,shaka]
import { spawn } from 'node:child_process';
import { parseArgs } from 'node:util';
import { serve } from './bundles.mjs';
import { apart, at, FILM, meant, owner, place, sleep } from './event.mjs';
import { launch } from './pages.mjs';

const names = ['url', 'admin-key', 'rtmp', 'clip'];
const { values: options } = parseArgs({
  options: { ...Object.fromEntries(names.map((name) => [name, { type: 'string' }])), players: { type: 'string', default: 'hls,dash,shaka' } },
});
const HOUR_MS = 3_600_000;
const PATIENCE_MS = 40_000;
/** The picture may be off from what the player's own date says by this: a frame, and what a busy machine adds. */
const MOST_MS = 150;
const encoders = new Set();

const check = (isSo, what) => {
  if (!isSo) throw new Error(what);
};

async function until(what, isSo) {
  for (const end = Date.now() + PATIENCE_MS; Date.now() < end; await sleep(100)) if (await isSo()) return;
  throw new Error(`no ${what}`);
}

/** Takes over and gives back while that player watches. */
async function watch(browser, origin, player, { ann, event, sync }) {
  const page = await (await browser.newContext({ viewport: { width: 640, height: 360 } })).newPage();
  const url = new URL(player === 'dash' ? `/dash/${event.streamId}/ll.mpd` : `/hls/${event.streamId}/index.m3u8`, options.url).href;
  await page.goto(`${origin}/${player}?${new URLSearchParams({ url, sourceWidth: FILM.width })}`);
  await page.waitForFunction(() => window.probe?.result().firstFrameMs != null, null, { timeout: PATIENCE_MS }).catch(async () => {
    throw new Error(`${player} does not begin: ${JSON.stringify(await page.evaluate(() => window.probe?.result().errors))}`);
  });
  await page.evaluate(() => { window.isSame = true; });
  const seen = (since) => page.evaluate((from) => window.probe.result().frames.filter(([shown]) => shown >= from), since);
  /** How far the picture is from where `/sync` has it by the player's own date, ms. */
  const offMs = async () => {
    const since = Date.now();
    await sleep(2500);
    const { event: now, place: wanted, length } = await meant(sync);
    const frames = (await seen(since)).filter(([, number]) => number !== null);
    check(frames.length > 20, `${player}: ${frames.length} frames of the film`);
    const behind = now.targetLatency * 1000 - apart(place(frames, FILM.fps, length), wanted, length);
    const byDate = await page.evaluate(() => Date.now() - window.probe.engine.date());
    check(byDate > 0 && byDate < 15_000, `${player} is ${byDate} ms behind`);
    return Math.round(apart(behind, byDate, length));
  };
  const before = await offMs();
  const { streamKey } = await ann.call('POST', `/api/events/${event.id}/takeover`);
  const input = ['-v', 'error', '-nostdin', '-re', '-stream_loop', '-1', '-i', options.clip, '-c', 'copy', '-f', 'flv'];
  const encoder = spawn('ffmpeg', [...input, `${options.rtmp}/${streamKey}`], { stdio: 'ignore' });
  encoders.add(encoder);
  await until('encoder on air', async () => (await meant(sync)).event.live);
  // What is sent has no numbers.
  await until(`picture of the encoder in ${player}`, async () => {
    const frames = await seen(Date.now() - 2000);
    return frames.length > 20 && frames.every(([, number]) => number === null);
  });
  encoder.kill('SIGKILL');
  await until('film', async () => !(await meant(sync)).event.live);
  await until(`picture of the film in ${player}`, async () => {
    const frames = await seen(Date.now() - 2000);
    return frames.length > 20 && frames.every(([, number]) => number !== null);
  });
  const after = await offMs();
  const { errors, restarts, stalls } = await page.evaluate(() => window.probe.result());
  const isSame = await page.evaluate(() => window.isSame === true);
  // The film again, for the next one.
  await ann.start(event);
  await page.close();
  const figures = { player, offMs: [before, after], stalls, errors };
  check(isSame && restarts.length === 0, `${player} began anew: ${JSON.stringify(figures)}`);
  check(!errors.some(({ fatal }) => fatal), JSON.stringify(figures));
  check(Math.abs(before) <= MOST_MS && Math.abs(after) <= MOST_MS, JSON.stringify(figures));
  return figures;
}

const server = await serve();
const browser = await launch();
let result = { ok: false };
const done = [];
try {
  const ann = await owner({ url: options.url, adminKey: options['admin-key'] });
  const event = await ann.schedule({
    title: 'Film', scheduledStartTime: at(Date.now() + HOUR_MS), scheduledEndTime: at(Date.now() + 2 * HOUR_MS), repeatMode: 'until_end', repeatUntilEnd: true,
  });
  await ann.upload(event);
  await ann.start(event);
  const sync = new URL(`/api/events/${event.id}/sync`, options.url).href;
  await until('film', async () => (await meant(sync)).event.isPlaying);
  await sleep(6000);
  for (const player of options.players.split(',')) {
    done.push(await watch(browser, `http://localhost:${server.address().port}`, player, { ann, event, sync }));
  }
  result = { ok: true };
} catch (error) {
  result = { ok: false, error: String(error) };
} finally {
  await browser.close().catch(() => {});
  server.close();
  server.closeAllConnections();
  for (const encoder of encoders) encoder.kill('SIGKILL');
}
console.log(JSON.stringify({ ...result, done }));
process.exit(result.ok ? 0 : 1);
