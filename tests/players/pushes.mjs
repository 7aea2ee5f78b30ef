// Where a channel goes besides its viewers, as the operators' console shows it in headless Chromium: a destination is
// added in the form, its state changes before one's eyes, it is removed; and a broadcast says how its room fares. Prints
// one JSON object and exits 0 when every step did what it should.
//
//   node pushes.mjs --url http://HOST/ --admin-key K --rtmp rtmp://HOST/live --clip FILE --far rtmp://FAR/live --far-key K
//
// --clip FILE        what ffmpeg publishes, at the pace of the clock
// --far, --far-key   a server that takes pushes with this key and with no other one
// --screenshots DIR  the console with destinations on a laptop and on a phone, by night and by day, as PNG
import { spawn } from 'node:child_process';
import { parseArgs } from 'node:util';
import { launch, look, open } from './pages.mjs';

const names = ['url', 'admin-key', 'rtmp', 'clip', 'far', 'far-key', 'screenshots'];
const { values: options } = parseArgs({ options: Object.fromEntries(names.map((name) => [name, { type: 'string' }])) });
const PATIENCE_MS = 30_000;
const WRONG = 'not-the-key-of-the-far-side';
const done = [];
const said = [];
const figures = {};
let encoder = null;

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

async function api(path, body) {
  const headers = { 'x-admin-key': options['admin-key'], 'content-type': 'application/json' };
  const answer = await fetch(new URL(path, options.url), { method: 'POST', headers, body: JSON.stringify(body) });
  const text = await answer.text();
  check(answer.ok, `${path}: ${answer.status} ${text}`);
  return JSON.parse(text);
}

async function walk(page) {
  const dialog = page.locator('dialog[open]');
  const destinations = page.getByRole('list', { name: 'Destinations' }).locator('li');
  const pushed = (text) => destinations.filter({ hasText: 'RTMP' }).getByText(text);
  const inPage = (text) => page.evaluate((wanted) => document.documentElement.outerHTML.includes(wanted), text);
  async function add(fill) {
    await page.getByRole('button', { name: 'Add…' }).click();
    await fill();
    await dialog.getByRole('button', { name: 'Add' }).click();
  }
  const withKey = (key) => add(async () => {
    await dialog.getByLabel('Server').fill(options.far);
    await dialog.getByLabel('Stream key').fill(key);
  });
  async function remove() {
    await destinations.getByRole('button', { name: `Remove ${options.far}` }).click();
    await dialog.getByRole('button', { name: 'Remove' }).click();
    await page.getByText('Destination removed').waitFor();
  }

  const broadcast = await api('/api/broadcasts', { title: 'Harbour' });
  await step('a broadcast on air goes into its room, and the console says so', async () => {
    await page.goto(options.url);
    await page.fill('#key', options['admin-key']);
    await page.keyboard.press('Enter');
    await page.locator('#channels a').filter({ hasText: 'Harbour' }).click();
    await page.locator('.head h2').getByText('Harbour', { exact: true }).waitFor();
    await page.getByText('Nowhere but here.').waitFor();
    const input = ['-v', 'error', '-nostdin', '-re', '-i', options.clip, '-c', 'copy', '-f', 'flv'];
    encoder = spawn('ffmpeg', [...input, `${options.rtmp}/${broadcast.streamKey}`], { stdio: 'ignore' });
    await api(`/api/broadcasts/${broadcast.id}/status`, { status: 'active' });
    const rooms = page.locator('.broadcast .facts > div').filter({ has: page.getByText('LiveKit room', { exact: true }) });
    await rooms.locator('dd').getByText('Live', { exact: true }).waitFor();
  });
  await step('what is no destination is refused in the form', async () => {
    await add(() => dialog.getByLabel('Server').fill('http://example.org/'));
    await dialog.getByText('accepted is rtmp://').waitFor();
    await page.keyboard.press('Escape');
    await dialog.waitFor({ state: 'detached' });
    // The browser itself writes a line for the refusal.
    check(said.splice(0).every((line) => line.includes('400')), 'something else was complained of');
  });
  await step('a key that the far side refuses is told of', async () => {
    await withKey(WRONG);
    await page.getByText('Destination added').waitFor();
    await pushed('Refused · RTMP').waitFor();
    await pushed('it refused the publish').or(pushed('It refused the publish')).waitFor();
    await pushed('Next attempt at').waitFor();
    check(await pushed('Refused · RTMP').evaluate((state) => state.classList.contains('bad')), 'it does not look bad');
    check(!(await inPage(WRONG)), 'the key is in the page');
    await look(page, 'refused', options.screenshots);
    await remove();
    await pushed('Refused').waitFor({ state: 'detached' });
  });
  await step('with the right key it goes there', async () => {
    await withKey(options['far-key']);
    await pushed('Live · RTMP').waitFor();
    await pushed('sent').waitFor();
    check(!(await inPage(options['far-key'])), 'the key is in the page');
  });
  await step('a destination that was removed is fed no more', async () => {
    await remove();
    await pushed('Live').waitFor({ state: 'detached' });
  });
  check(said.length === 0, said.join(', '));
}

const browser = await launch();
let trouble = null;
try {
  const context = await browser.newContext({ viewport: { width: 1280, height: 800 }, colorScheme: 'dark' });
  context.setDefaultTimeout(PATIENCE_MS);
  const page = await open(context, said);
  await walk(page).catch(async (error) => {
    trouble = String(error);
    if (options.screenshots) await page.screenshot({ path: `${options.screenshots}/trouble.png` });
  });
} finally {
  await browser.close().catch(() => {});
  encoder?.kill('SIGKILL');
}
console.log(JSON.stringify({ ok: trouble === null, trouble, done, figures, console: said }));
process.exit(trouble === null ? 0 : 1);
