// A viewer in a LiveKit room: LiveKit's own library in headless Chromium, driven over standard input and output.
//
//   node room.mjs ws://HOST:PORT [--no-subscribe] [--clock W]
//
// The first line of standard input is the token; commands follow, a JSON object a line: {"do": "leave"},
// {"do": "quality", "value": 0..2}, {"do": "size", "value": {"width", "height"}}, {"do": "subscribe", "value": bool},
// {"do": "data", "value": text}. Standard output is a JSON object a line with "event" and "at"; "stats" come once a
// second for each track.
import { createReadStream } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { chromium } from 'playwright-core';

const [url, ...flags] = process.argv.slice(2);
/** How wide the picture was drawn whose clock is read (source.mjs). */
const clock = flags.includes('--clock') ? Number(flags[flags.indexOf('--clock') + 1]) : 0;
const root = dirname(fileURLToPath(import.meta.url));
const PAGE = '<!doctype html><meta charset="utf-8"><title>room</title><link rel="icon" href="data:,"><body><script type="module" src="/livekit.js"></script>';
const LOOK_MS = 50;

const say = (said) => console.log(JSON.stringify(said));

const server = createServer((request, response) => {
  if (request.url === '/livekit.js') {
    response.setHeader('content-type', 'text/javascript');
    createReadStream(join(root, 'dist', 'livekit.js')).on('error', () => response.destroy()).pipe(response);
  } else {
    response.setHeader('content-type', 'text/html');
    response.end(PAGE);
  }
});
await new Promise((resolve) => { server.listen(0, '127.0.0.1', resolve); });
const profile = await mkdtemp(join(tmpdir(), 'forebay-room-'));
const context = await chromium.launchPersistentContext(profile, {
  executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
  headless: true,
  args: [
    '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
    '--disable-component-update', '--disable-sync', '--autoplay-policy=no-user-gesture-required', '--mute-audio',
  ],
});
let isOver = false;
async function end() {
  isOver = true;
  await context.close().catch(() => {});
  server.close();
  server.closeAllConnections();
  await rm(profile, { recursive: true, force: true }).catch(() => {});
  process.exit(0);
}

const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const token = (await lines.next()).value;
const page = context.pages()[0] ?? (await context.newPage());
page.on('console', (message) => message.type() === 'error' && say({ event: 'console', text: message.text().slice(0, 300) }));
await page.goto(`http://localhost:${server.address().port}/`);
await page.waitForFunction(() => window.join);
page.evaluate(([to, by, how]) => window.join(to, by, how), [url, token, { autoSubscribe: !flags.includes('--no-subscribe'), clock }]).catch(() => {});

async function obey() {
  for (let line = await lines.next(); !line.done; line = await lines.next()) {
    const command = JSON.parse(line.value);
    await page.waitForFunction(() => window.viewer);
    await page.evaluate((what) => window.viewer.obey(what), command);
    if (command.do === 'leave') break;
  }
  (await page.evaluate(() => window.viewer?.take() ?? [])).forEach(say);
  await end();
}

obey().catch(end);
let looks = 0;
while (!isOver) {
  await new Promise((resolve) => { setTimeout(resolve, LOOK_MS); });
  looks += 1;
  try {
    if (looks % 20 === 0) await page.evaluate(() => window.viewer?.stats());
    (await page.evaluate(() => window.viewer?.take() ?? [])).forEach(say);
  } catch {
    if (!isOver) await end();
  }
}
