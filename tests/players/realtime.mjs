// The watch page in real time, and the page that tries LiveKit out, in headless Chromium: two browsers publish into the
// room of a broadcast as an app would, a third one watches. Prints one JSON object and exits 0 when every step did what
// it should.
//
//   node realtime.mjs --url http://HOST/ --admin-key K --rtmp rtmp://HOST/live --clip FILE [--without-livekit]
//
// --clip FILE          what ffmpeg publishes, at the pace of the clock, for the playlists
// --forward            the gateway brings the encoder's picture into the room; otherwise nobody does
// --without-livekit    the server is away: the page has to play all the same, and the test to say what is wrong
// --screenshots DIR    the pages at each stage on a laptop and on a phone, by night and by day, as PNG
import { spawn } from 'node:child_process';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { launch, look, open as openIn, tabThrough } from './pages.mjs';

const names = ['url', 'admin-key', 'rtmp', 'clip', 'screenshots'];
const flags = ['forward', 'without-livekit'];
const { values: options } = parseArgs({
  options: Object.fromEntries([...names.map((name) => [name, { type: 'string' }]), ...flags.map((name) => [name, { type: 'boolean' }])]),
});
const PATIENCE_MS = 30_000;
/** Two seconds of pictures. */
const FRAMES = 60;
const HUES = { anna: 0, bob: 120 };
const encoders = [];
const done = [];
const said = [];
const figures = {};
const open = (context) => openIn(context, said);
const admin = { 'x-admin-key': options['admin-key'] };

async function step(name, action) {
  const began = performance.now();
  try {
    await action();
    done.push(name);
    figures[name] = Math.round(performance.now() - began);
  } catch (error) {
    throw new Error(`${name}: ${error.message}`);
  }
}

function check(isSo, what) {
  if (!isSo) throw new Error(what);
}

async function api(method, path, body) {
  const answer = await fetch(new URL(path, options.url), { method, headers: { ...admin, 'content-type': 'application/json' }, body: body && JSON.stringify(body) });
  const text = await answer.text();
  check(answer.status === 200, `${method} ${path}: ${answer.status} ${text}`);
  return JSON.parse(text);
}

const state = (page) => page.evaluate(() => window.forebay.state());

/** Plays that way, and goes on with it. */
async function plays(page, mode) {
  await page.waitForFunction((wanted) => window.forebay?.state().mode === wanted && window.forebay.state().phase === 'playing', mode);
  const before = (await state(page)).decodedFrames;
  await page.waitForFunction(([wanted, frames]) => {
    const now = window.forebay.state();
    return now.mode === wanted && now.decodedFrames >= frames;
  }, [mode, before + FRAMES]);
}

/** Hue of the picture on the page, in degrees. */
const hue = (page) => page.evaluate(() => {
  const canvas = new OffscreenCanvas(1, 1);
  const context = canvas.getContext('2d');
  const video = document.querySelector('#video');
  context.drawImage(video, video.videoWidth / 4, video.videoHeight / 4, 8, 8, 0, 0, 1, 1);
  const [red, green, blue] = context.getImageData(0, 0, 1, 1).data;
  const [most, least] = [Math.max(red, green, blue), Math.min(red, green, blue)];
  if (most - least < 30) return null;
  if (most === red) return (60 * (green - blue)) / (most - least);
  return most === green ? 120 + (60 * (blue - red)) / (most - least) : 240 + (60 * (red - green)) / (most - least);
});

const hasHue = (page, wanted) => {
  const near = async () => {
    const found = await hue(page);
    return found !== null && Math.abs(found - wanted) < 40;
  };
  return until(near, `the picture is not ${wanted}°`);
};

async function until(isSo, what) {
  const end = performance.now() + PATIENCE_MS;
  while (!(await isSo())) {
    check(performance.now() < end, what);
    await new Promise((resolve) => { setTimeout(resolve, 100); });
  }
}

/** Publishes a plain picture of a hue and a tone, as an app does with LiveKit's client. */
async function publish(context, broadcast, name, role) {
  const { token, serverUrl } = await api('POST', `/api/streaming/sessions/${broadcast.id}/token`, { userId: name, userName: name, role });
  const page = await open(context);
  await page.goto(new URL('/livekit-test', options.url).href);
  await page.evaluate(async ([url, entry, degrees]) => {
    const { join: enter, Room, Track } = await import('/assets/room.js');
    const canvas = document.querySelector('#sent');
    const pen = canvas.getContext('2d');
    let frame = 0;
    setInterval(() => {
      frame += 1;
      pen.fillStyle = `hsl(${degrees} 80% 40%)`;
      pen.fillRect(0, 0, canvas.width, canvas.height);
      pen.fillStyle = '#fff';
      pen.fillRect((frame * 5) % canvas.width, canvas.height - 40, 40, 40);
    }, 33);
    const audio = new AudioContext();
    const tone = new OscillatorNode(audio);
    const out = audio.createMediaStreamDestination();
    tone.connect(out);
    tone.start();
    const room = new Room({ singlePeerConnection: false });
    await enter(room, url, entry);
    const { Camera, Microphone } = Track.Source;
    await room.localParticipant.publishTrack(canvas.captureStream(30).getVideoTracks()[0], { source: Camera, simulcast: false, videoCodec: 'h264' });
    await room.localParticipant.publishTrack(out.stream.getAudioTracks()[0], { source: Microphone, dtx: false, red: false });
    window.room = room;
  }, [serverUrl, token, HUES[name]]);
  return page;
}

async function begin(title) {
  const broadcast = await api('POST', '/api/broadcasts', { title });
  const input = ['-v', 'error', '-nostdin', '-re', '-i', options.clip, '-c', 'copy', '-f', 'flv'];
  encoders.push(spawn('ffmpeg', [...input, `${options.rtmp}/${broadcast.streamKey}`], { stdio: 'ignore' }));
  await api('POST', `/api/broadcasts/${broadcast.id}/status`, { status: 'active' });
  await until(async () => (await api('GET', `/api/streams/${broadcast.id}/viewer`)).onAir, 'it is not on air');
  return broadcast;
}

const selfTest = async (context) => {
  const page = await open(context);
  await page.goto(new URL('/livekit-test', options.url).href);
  await page.getByLabel('API key or admin key').fill(options['admin-key']);
  await page.getByRole('button', { name: 'Run the test' }).click();
  await page.waitForFunction(() => window.livekitTest.state() !== null, null, { timeout: 4 * PATIENCE_MS });
  const results = await page.evaluate(() => window.livekitTest.results());
  const texts = Object.entries(results).map(([name, { state: is, detail }]) => `${name} ${is}: ${detail}`);
  return { page, results, outcome: await page.evaluate(() => window.livekitTest.state()), texts };
};

async function walk(watching, publishing) {
  const broadcast = await begin('Harbour in real time');
  const page = await open(watching);
  const address = new URL(`/watch/${broadcast.id}`, options.url).href;
  const fallback = options.forward ? 'realtime' : 'hls';
  await step('without a host in the room the page plays, and says how', async () => {
    await page.goto(address);
    await plays(page, fallback);
    check(await page.getByRole('group', { name: 'How it plays' }).isVisible(), 'there is no switch');
    const text = await page.locator('#way-state').innerText();
    check(options.forward ? text === '' : text.includes('No real-time picture now'), `it says: ${text}`);
  });
  let host = null;
  await step('a host in the room is shown in its stead, and once', async () => {
    host = await publish(publishing, broadcast, 'anna', 'publisher');
    await plays(page, 'realtime');
    await hasHue(page, HUES.anna);
    check(await page.locator('#tiles').isHidden(), 'the same picture stands there twice');
    check((await page.locator('#way-state').innerText()) === '', 'it says that there is no picture');
    const { latency, muted } = await state(page);
    figures.latencySeconds = latency;
    check(!muted, 'it is muted');
  });
  await step('the page may do nothing in the room but watch', async () => {
    const { identity, permissions } = await page.evaluate(() => {
      const { identity: own, permissions: may } = window.forebay.player.localParticipant;
      return { identity: own, permissions: { publish: may.canPublish, data: may.canPublishData } };
    });
    check(identity.startsWith('viewer-') && !permissions.publish && !permissions.data, JSON.stringify({ identity, permissions }));
  });
  await step('a co-host stands beside the host', async () => {
    const cohost = await publish(publishing, broadcast, 'bob', 'co_host');
    await page.locator('.tile', { hasText: 'bob' }).waitFor();
    await page.waitForFunction(() => document.querySelector('.tile video')?.videoWidth > 0);
    check((await page.locator('#main-name').innerText()) === 'anna', await page.locator('#main-name').innerText());
    const [main, tile] = [await page.locator('#video').boundingBox(), await page.locator('.tile').boundingBox()];
    check(main.x + main.width <= tile.x + 1, `${JSON.stringify(main)} is under ${JSON.stringify(tile)}`);
    await page.keyboard.press('m');
    // By the event, which comes a moment after the key.
    await page.waitForFunction(() => document.querySelector('.tile video').muted);
    await page.keyboard.press('m');
    await look(page, 'hosts', options.screenshots);
    await cohost.close();
    await page.locator('.tile').waitFor({ state: 'detached' });
  });
  await step('the viewer chooses, and the page remembers', async () => {
    await page.getByRole('button', { name: 'Smooth (HLS)' }).click();
    await plays(page, 'hls');
    await page.reload();
    await plays(page, 'hls');
    check((await page.getByRole('button', { name: 'Smooth (HLS)' }).getAttribute('aria-pressed')) === 'true', 'it is forgotten');
    const asked = await page.evaluate(() => performance.getEntriesByType('resource').some(({ name }) => name.endsWith('/room.js')));
    check(!asked, 'who plays smoothly loads LiveKit’s client');
    await page.getByRole('button', { name: 'Real time' }).click();
    await plays(page, 'realtime');
  });
  await step('it looks well, and every control is reached by keyboard', async () => {
    await look(page, 'realtime', options.screenshots);
    const found = await tabThrough(page);
    check(found.length === 0, found.join(', '));
  });
  await step('the host leaves, and the page plays on', async () => {
    await host.close();
    await plays(page, fallback);
  });
  await step('the host comes back, and so does real time', async () => {
    host = await publish(publishing, broadcast, 'anna', 'publisher');
    await plays(page, 'realtime');
    await hasHue(page, HUES.anna);
  });
  await step('the end is told', async () => {
    await api('POST', `/api/broadcasts/${broadcast.id}/status`, { status: 'completed' });
    await page.getByText('This broadcast is over').waitFor();
    check(await page.locator('#ways').isHidden(), 'there is a choice left');
  });
  await step('the self-test passes', async () => {
    const { page: test, outcome, texts } = await selfTest(publishing);
    figures.selfTest = texts;
    check(outcome === 'ok', texts.join('\n'));
    await look(test, 'livekit-test', options.screenshots);
    const found = await tabThrough(test);
    check(found.length === 0, found.join(', '));
    const kept = await test.evaluate(() => JSON.stringify([{ ...localStorage }, { ...sessionStorage }]));
    check(!kept.includes(options['admin-key']), 'the key is kept');
  });
}

async function walkWithoutLivekit(watching, publishing) {
  const broadcast = await begin('Harbour without LiveKit');
  const page = await open(watching);
  await step('the page plays although LiveKit is away, and says so', async () => {
    await page.goto(new URL(`/watch/${broadcast.id}`, options.url).href);
    await plays(page, 'hls');
    check((await page.locator('#way-state').innerText()).includes('No real-time picture now'), await page.locator('#way-state').innerText());
  });
  await step('the self-test says what is wrong', async () => {
    const { results, outcome, texts } = await selfTest(publishing);
    figures.selfTest = texts;
    check(outcome === 'failed' && results.gateway.state === 'failed' && results.connect.state === 'skipped', texts.join('\n'));
    check(/LiveKit/.test(results.gateway.detail), results.gateway.detail);
  });
}

const browser = await launch();
let trouble = null;
try {
  if (options.screenshots) await mkdir(options.screenshots, { recursive: true });
  const contexts = [];
  for (let number = 0; number < 2; number += 1) {
    const context = await browser.newContext({ viewport: { width: 1280, height: 800 }, colorScheme: 'dark' });
    context.setDefaultTimeout(PATIENCE_MS);
    contexts.push(context);
  }
  await (options['without-livekit'] ? walkWithoutLivekit : walk)(...contexts).catch(async (error) => {
    trouble = String(error);
    if (!options.screenshots) return;
    for (const [at, page] of contexts.flatMap((context) => context.pages()).entries()) await page.screenshot({ path: join(options.screenshots, `trouble-${at}.png`) }).catch(() => {});
  });
} finally {
  await browser.close().catch(() => {});
  for (const encoder of encoders) encoder.kill('SIGKILL');
}
console.log(JSON.stringify({ ok: trouble === null, trouble, done, figures, console: said }));
process.exit(trouble === null ? 0 : 1);
