// The page of a show in headless Chromium, as one walk through the run of a scheduled film with two viewers, one by
// HLS and one by DASH; prints one JSON object and exits 0 when every step did what it should.
//
//   node show.mjs --url http://HOST/ --admin-key K --rtmp rtmp://HOST/live --clip FILE
//
// --turns            the other half: its owner takes over, and it comes again the next day
// --clip FILE        what ffmpeg publishes when its owner takes over
// --screenshots DIR  the pages at each stage on a laptop and on a phone, by night and by day, as PNG
import { spawn } from 'node:child_process';
import { mkdir, readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { apart, at, FILM, meant, owner, place, sleep } from './event.mjs';
import { launch, look, open, tabThrough } from './pages.mjs';

const names = ['url', 'admin-key', 'rtmp', 'clip', 'screenshots'];
const { values: options } = parseArgs({ options: { ...Object.fromEntries(names.map((name) => [name, { type: 'string' }])), turns: { type: 'boolean' } } });
const WATCHING = join(dirname(fileURLToPath(import.meta.url)), 'dist', 'watch.js');
const PATIENCE_MS = 60_000;
const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
const HOSTILE = '"><img src=x onerror="window.broken=1">';
/** Two pictures may be apart by this, and each from where `/sync` says. */
const MOST_MS = 50;
/** Of two seconds each. */
const MOST_READINGS = 10;
const done = [];
const said = [];
const encoders = [];
const figures = {};

async function step(name, action) {
  const began = performance.now();
  try {
    await action();
    done.push(`${name} (${((performance.now() - began) / 1000).toFixed(1)} s)`);
  } catch (error) {
    throw new Error(`${name}: ${error.message}`);
  }
}

function check(isSo, what) {
  if (!isSo) throw new Error(what);
}

const plays = (page) => page.waitForFunction(() => window.forebay?.state().phase === 'playing' && !document.querySelector('video').paused);
const inSync = (page) => page.waitForFunction(() => document.querySelector('#about-sync').textContent.startsWith('in sync, '));
const shown = (page, id) => page.locator(`#${id}`).innerText();

const isOver = (pages) => Promise.all(pages.map((page) => page.getByText('This broadcast is over').waitFor()));

/** Writes down all frames from now on. */
async function watch(page) {
  await page.evaluate(await readFile(WATCHING, 'utf8'));
  await page.evaluate((width) => { window.seen = window.watching.watch(document.querySelector('video'), width); }, FILM.width);
}

async function positions(pages, sync) {
  const since = Date.now();
  await sleep(2000);
  const { place: wanted, length } = await meant(sync);
  const frames = await Promise.all(pages.map((page) => page.evaluate((from) => window.seen.frames.filter(([time, number]) => time >= from && number !== null), since)));
  for (const list of frames) check(list.length > 10, `${list.length} frames can be read`);
  return frames.map((list) => Math.round(apart(place(list, FILM.fps, length), wanted, length)));
}

/** Readings until two in a row are good: players move to their place by and by, and a busy machine may show a frame late. */
async function places(pages, sync) {
  const readings = [];
  for (let good = 0; good < 2;) {
    check(readings.length < MOST_READINGS, `${JSON.stringify(readings)} ms from where they are to be`);
    const [hls, dash] = await positions(pages, sync);
    readings.push([hls, dash]);
    good = Math.max(Math.abs(hls), Math.abs(dash), Math.abs(hls - dash)) <= MOST_MS ? good + 1 : 0;
  }
  return readings;
}

async function walk(context, other) {
  const ann = await owner({ url: options.url, adminKey: options['admin-key'] });
  const schedule = (fields) => ann.schedule({ description: `Boats leave.\n${HOSTILE}`, ...fields });
  const now = Date.now();
  const event = await schedule({
    title: `Harbour ${HOSTILE}`, scheduledStartTime: at(now + HOUR_MS), scheduledEndTime: at(now + 2 * HOUR_MS), repeatMode: 'until_end', repeatUntilEnd: true,
  });
  const sync = new URL(`/api/events/${event.id}/sync`, options.url).href;
  const address = (path) => new URL(path, options.url).href;
  const [first, second] = [await open(context, said), await open(other, said)];

  await step('before there is a film there is a page: its title, its time, and how long it is', async () => {
    await first.goto(address(`/watch/${event.streamId}`));
    await first.getByText('It begins here by itself').waitFor();
    check((await shown(first, 'about-title')) === event.title, 'not its title');
    check((await first.title()) === `${event.title} · Forebay`, await first.title());
    check((await shown(first, 'about-status')) === 'Scheduled', await shown(first, 'about-status'));
    check(/^Starts in (59|1:00):\d\d/.test(await shown(first, 'countdown')) || (await shown(first, 'countdown')).startsWith('Starts in 1:00:'), await shown(first, 'countdown'));
    // 20:00 UTC is 05:00 in Tokyo.
    const hour = new Date(now + HOUR_MS).toLocaleTimeString('en-GB', { timeZone: 'Asia/Tokyo', hour: '2-digit', minute: '2-digit' });
    check((await shown(first, 'about-since')).includes(hour), `${await shown(first, 'about-since')} is not ${hour}`);
    check(await first.evaluate(() => !window.broken && !document.querySelector('img[src=x]')), 'a text became an element');
    const html = await (await fetch(address(`/streams/${event.id}/watch`))).text();
    check(html.includes('property="og:title"') && !html.includes('<img src=x'), 'no title for who shares it, or an element');
    await look(first, 'before', options.screenshots);
    const found = await tabThrough(first);
    check(found.length === 0, found.join(', '));
  });
  await step('the list says what is scheduled, with a way by keyboard', async () => {
    const list = await open(context, said);
    await list.goto(address('/live'));
    await list.getByRole('heading', { name: 'Coming up' }).waitFor();
    await list.getByRole('link', { name: 'Harbour' }).waitFor();
    await look(list, 'list', options.screenshots);
    const found = await tabThrough(list);
    check(found.length === 0, found.join(', '));
    await list.getByRole('link', { name: 'Harbour' }).click();
    await list.waitForURL('**/watch/*');
    await list.close();
  });
  await step('the picture with its title comes without a reload when the film is there', async () => {
    await ann.upload(event);
    // A page asks twice a minute, and at once when it is online again. The start is waited for as it comes.
    await first.evaluate(() => window.dispatchEvent(new Event('online')));
    await plays(first);
    check((await shown(first, 'countdown')).startsWith('Starts in '), 'it does not say how long it is');
    await look(first, 'slate', options.screenshots);
  });
  await step('it starts for who waits and for who comes later', async () => {
    await ann.start(event);
    await first.waitForFunction(() => document.querySelector('#about-status').textContent === 'Live' && document.querySelector('#countdown').hidden);
    await sleep(4000);
    await second.goto(address(`/watch/${event.id}?player=dash`));
    await Promise.all([first, second].map(plays));
    await Promise.all([first, second].map(inSync));
    check((await first.evaluate(() => performance.getEntriesByType('navigation').length)) === 1, 'it was loaded anew');
  });
  await step('both show the same moment, which is where /sync says', async () => {
    await Promise.all([first, second].map(watch));
    figures.toSyncMs = await places([first, second], sync);
  });
  await step('they talk', async () => {
    await second.fill('#name', 'Kim');
    await second.fill('#words', 'Look at that!');
    await second.click('#send');
    await first.locator('#messages li p', { hasText: 'Look at that!' }).waitFor();
  });
  await step('who goes back is told so, and comes back by a key', async () => {
    await first.keyboard.press('ArrowLeft');
    await first.getByText('not in sync').waitFor();
    await first.keyboard.press('l');
    await inSync(first);
  });
  await step('it looks well while it is on', async () => {
    await first.mouse.move(400, 300);
    await look(first, 'on', options.screenshots);
    const found = await tabThrough(first);
    check(found.length === 0, found.join(', '));
  });
  await step('it is over for all', async () => {
    await ann.call('PUT', `/api/events/${event.id}`, { scheduledEndTime: at(Date.now() + 2000) });
    await isOver([first, second]);
    await look(first, 'over', options.screenshots);
  });
  check(said.length === 0, said.join(', '));
}

async function turns(context, other) {
  const ann = await owner({ url: options.url, adminKey: options['admin-key'] });
  const address = (path) => new URL(path, options.url).href;
  const [first, second] = [await open(context, said), await open(other, said)];
  const hour = { scheduledStartTime: at(Date.now() + HOUR_MS), scheduledEndTime: at(Date.now() + 2 * HOUR_MS) };
  const begin = async (fields) => {
    const event = await ann.schedule({ title: 'Harbour', ...hour, ...fields });
    await ann.upload(event);
    await ann.start(event);
    await sleep(4000);
    return event;
  };

  await step('its owner takes over, and nobody loads anything anew', async () => {
    const event = await begin({ repeatMode: 'until_end', repeatUntilEnd: true });
    const sync = new URL(`/api/events/${event.id}/sync`, options.url).href;
    await first.goto(address(`/watch/${event.streamId}`));
    await second.goto(address(`/watch/${event.streamId}?player=dash`));
    await Promise.all([first, second].map(plays));
    await Promise.all([first, second].map(inSync));
    await Promise.all([first, second].map(watch));
    await Promise.all([first, second].map((page) => page.evaluate(() => { window.isSame = true; })));
    const { streamKey } = await ann.call('POST', `/api/events/${event.id}/takeover`);
    const input = ['-v', 'error', '-nostdin', '-re', '-stream_loop', '-1', '-i', options.clip, '-c', 'copy', '-f', 'flv'];
    const encoder = spawn('ffmpeg', [...input, `${options.rtmp}/${streamKey}`], { stdio: 'ignore' });
    encoders.push(encoder);
    const isLive = async (wanted) => {
      for (const until = Date.now() + PATIENCE_MS; Date.now() < until; await sleep(200)) if ((await meant(sync)).event.live === wanted) return;
      throw new Error(`live does not become ${wanted}`);
    };
    await isLive(true);
    await sleep(6000);
    await Promise.all([first, second].map(inSync));
    encoder.kill('SIGKILL');
    await isLive(false);
    await sleep(6000);
    await Promise.all([first, second].map(inSync));
    for (const page of [first, second]) check(await page.evaluate(() => window.isSame === true), 'a page was loaded anew');
    // The film is where the clock says, not where it was left.
    figures.afterTakeoverMs = await places([first, second], sync);
    // Up to here no console had anything to say.
    check(said.length === 0, said.join(', '));
    await ann.call('DELETE', `/api/events/${event.id}`);
    await isOver([first, second]);
    // Whoever asks as it goes hears 404. dash.js does not forget its retries when it is destroyed; hls.js does.
    await second.close();
    await sleep(2000);
    said.length = 0;
  });
  await step('a run that is over says when the next one is', async () => {
    const event = await begin({ repeatMode: 'daily' });
    await first.goto(address(`/watch/${event.streamId}`));
    await inSync(first);
    await ann.call('PUT', `/api/events/${event.id}`, { scheduledEndTime: at(Date.now() + 2000) });
    await first.getByText('Next time: ').waitFor();
    await look(first, 'next', options.screenshots);
    await first.getByRole('button', { name: 'Go there' }).click();
    await first.waitForURL((url) => !url.pathname.includes(event.streamId));
    await first.getByText('Scheduled').waitFor();
    const { scheduledStartTime } = await ann.call('GET', `/api/events/${event.id}`);
    check(Date.parse(scheduledStartTime) - Date.now() < DAY_MS + 2 * HOUR_MS, scheduledStartTime);
  });
  check(said.length === 0, said.join(', '));
}

const browser = await launch();
let trouble = null;
try {
  if (options.screenshots) await mkdir(options.screenshots, { recursive: true });
  const people = [];
  for (const timezoneId of ['Asia/Tokyo', 'America/Halifax']) {
    const context = await browser.newContext({ viewport: { width: 1280, height: 800 }, colorScheme: 'dark', locale: 'en-GB', timezoneId });
    context.setDefaultTimeout(PATIENCE_MS);
    people.push(context);
  }
  await (options.turns ? turns : walk)(...people).catch(async (error) => {
    trouble = String(error);
    if (!options.screenshots) return;
    for (const [number, page] of people.flatMap((context) => context.pages()).entries()) await page.screenshot({ path: join(options.screenshots, `trouble-${number}.png`) }).catch(() => {});
  });
} finally {
  await browser.close().catch(() => {});
  for (const encoder of encoders) encoder.kill('SIGKILL');
}
console.log(JSON.stringify({ ok: trouble === null, trouble, done, figures, console: said }));
process.exit(trouble === null ? 0 : 1);
