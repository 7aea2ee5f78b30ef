// Scheduled events in the operators' console, in headless Chromium, as one walk through the life of one; prints
// one JSON object and exits 0 when every step did what it should.
//
//   node events.mjs --url http://HOST/ --admin-key K --rtmp rtmp://HOST/live --clip FILE
//
// --clip FILE        what ffmpeg publishes when an encoder takes over
// --screenshots DIR  the page on a laptop and on a phone, by night and by day, as PNG
import { execFileSync, spawn } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { chromium } from 'playwright-core';

const names = ['url', 'admin-key', 'rtmp', 'clip', 'screenshots'];
const { values: options } = parseArgs({ options: Object.fromEntries(names.map((name) => [name, { type: 'string' }])) });
const PATIENCE_MS = 60_000;
/** Bytes that the browser may send in a second while an upload is looked at. */
const SLOW = 250_000;
const HOSTILE = 'Harbour <img src=x onerror="window.broken=1">';
const AXE = await readFile(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
const folder = await mkdtemp(join(tmpdir(), 'forebay-events-'));
const film = join(folder, 'harbour.mp4');
const encoders = [];
const done = [];
const said = [];

/** Nine seconds of noise: large for their length, so that there is something to send. */
function makeFilm() {
  const picture = ['-f', 'lavfi', '-i', 'testsrc2=size=640x360:rate=30,noise=alls=40:allf=t'];
  const sound = ['-f', 'lavfi', '-i', 'sine=frequency=440:sample_rate=48000'];
  const codecs = ['-c:v', 'libx264', '-preset', 'ultrafast', '-b:v', '4M', '-maxrate', '4M', '-bufsize', '4M', '-pix_fmt', 'yuv420p', '-c:a', 'aac'];
  execFileSync('ffmpeg', ['-v', 'error', '-nostdin', ...picture, ...sound, '-t', '9', ...codecs, '-movflags', '+faststart', film]);
}

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

/** What axe finds wrong, contrast included, and whether the page is wider than the screen. */
async function faults(page) {
  await page.evaluate(AXE);
  return page.evaluate(async () => {
    for (const animation of document.getAnimations()) if (animation.effect.getComputedTiming().iterations !== Infinity) animation.finish();
    const { violations } = await window.axe.run(document, { runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa'] });
    const found = violations.flatMap(({ id, nodes }) => nodes.map((node) => `${id}: ${node.target} ${node.any[0]?.message ?? ''}`));
    const overhang = document.documentElement.scrollWidth - innerWidth;
    if (overhang > 0) found.push(`${overhang} px wider than the screen`);
    return found;
  });
}

/** Looks at the page on each screen by each light. */
async function look(page, stage) {
  for (const [width, height] of [[390, 844], [1280, 800]]) {
    for (const colorScheme of ['light', 'dark']) {
      await page.setViewportSize({ width, height });
      await page.emulateMedia({ colorScheme });
      const found = await faults(page);
      if (options.screenshots) await page.screenshot({ path: join(options.screenshots, `${stage}-${width}-${colorScheme}.png`), fullPage: true });
      check(found.length === 0, `${stage}, ${width} px, ${colorScheme}: ${found.join('; ')}`);
    }
  }
}

/** Goes to something by the keyboard alone. */
async function tabTo(page, target, most = 60) {
  for (let tabs = 0; tabs < most; tabs += 1) {
    if (await target.evaluate((element) => element === document.activeElement)) return;
    await page.keyboard.press('Tab');
  }
  throw new Error('the Tab key does not lead there');
}

const clipboard = (page) => page.evaluate(() => navigator.clipboard.readText());
/** The lines of the browser about answers that were to come. */
const expected = (...words) => {
  const rest = said.splice(0).filter((line) => !words.some((word) => line.includes(word)));
  check(rest.length === 0, rest.join(', '));
};

async function walk(page) {
  const dialog = page.locator('dialog[open]');
  const head = page.locator('.one-event .head');
  const card = page.locator('.event:not(.later)').filter({ hasText: 'Harbour' }).first();
  const fact = (caption, label) => page.getByLabel(caption, { exact: true }).locator('div').filter({ has: page.getByText(label, { exact: true }) }).locator('dd');
  const file = page.locator('.panel').filter({ has: page.getByRole('heading', { name: 'File', exact: true }) });
  const position = async () => {
    const [minutes, seconds] = (await fact('Now', 'Position').innerText()).match(/^(\d+):(\d+)/).slice(1).map(Number);
    return minutes * 60 + seconds;
  };

  await step('the calendar is reached by the keyboard', async () => {
    await page.goto(options.url);
    await page.fill('#key', options['admin-key']);
    await page.keyboard.press('Enter');
    const events = page.getByRole('link', { name: 'Events' });
    await events.waitFor();
    await tabTo(page, events);
    await page.keyboard.press('Enter');
    await page.getByText('Nothing in this week').waitFor();
    check(await page.evaluate(() => document.activeElement?.tagName) === 'H2', 'the focus is elsewhere');
    check(await page.title() === 'Events · Forebay', await page.title());
    await look(page, 'empty');
  });
  await step('what is wrong with an event stands at its field', async () => {
    await tabTo(page, page.getByRole('button', { name: 'New event' }));
    await page.keyboard.press('Enter');
    await dialog.getByLabel('Title').fill(HOSTILE);
    await dialog.getByLabel('Description').fill('Boats come and go');
    await dialog.getByLabel('Repeat').selectOption({ label: 'Until its end' });
    const end = dialog.getByLabel('End', { exact: true });
    const good = await end.inputValue();
    await end.fill(await dialog.getByLabel('Start', { exact: true }).inputValue());
    await dialog.getByRole('button', { name: 'Create' }).click();
    await page.waitForFunction(() => document.querySelector('dialog [aria-invalid]'));
    const wrong = await page.evaluate(() => {
      const field = document.querySelector('dialog [aria-invalid]');
      return { id: field.id, isFocused: field === document.activeElement, text: field.closest('.field').querySelector('.trouble').textContent };
    });
    check(wrong.id === 'event-scheduledEndTime' && wrong.isFocused && wrong.text.length > 10, JSON.stringify(wrong));
    check(!/scheduled\w+Time/.test(wrong.text), wrong.text);
    await look(page, 'form');
    expected('status of 400');
    await end.fill(good);
    await end.press('Enter');
    await head.getByText(HOSTILE, { exact: true }).waitFor();
    check(!(await page.evaluate(() => window.broken || document.querySelector('img[src=x]'))), 'the title became an element');
    await head.getByText('Scheduled').waitFor();
    check(await fact('Schedule', 'Repeat').innerText() === 'Loops until its end', await fact('Schedule', 'Repeat').innerText());
    await page.getByText('It has no file yet').waitFor();
  });
  const sent = [];
  page.on('request', (request) => ['POST', 'PATCH'].includes(request.method()) && /uploads/.test(request.url()) && sent.push([request.method(), Number(request.headers()['upload-offset'] ?? 0)]));
  const choose = (path) => file.locator('input[type=file]').setInputFiles(path);
  await step('what is no film is refused before it is sent, and what lies by the server', async () => {
    const text = join(folder, 'notes.txt');
    await writeFile(text, 'nothing to see');
    await choose(text);
    await file.getByText('is no film or sound').waitFor();
    check(sent.length === 0, 'it was sent');
    const lie = join(folder, 'odd.mp4');
    await writeFile(lie, 'nothing to see\n'.repeat(500));
    await choose(lie);
    await page.waitForFunction(() => document.querySelector('.panel .trouble:not([hidden])')?.textContent && !/no film or sound that/.test(document.querySelector('.panel .trouble').textContent));
    await page.getByRole('button', { name: 'Choose a file' }).waitFor();
    expected('status of 415');
    await look(page, 'refused');
  });
  const network = await page.context().newCDPSession(page);
  const limit = (bytes) => network.send('Network.emulateNetworkConditions', { offline: false, latency: 0, downloadThroughput: -1, uploadThroughput: bytes });
  const part = () => file.locator('.sending progress').evaluate((element) => element.value);
  await step('a film is dropped and sent with its progress, paused, and goes on', async () => {
    await network.send('Network.enable');
    await limit(SLOW);
    const bytes = (await readFile(film)).toString('base64');
    await page.evaluate(async (text) => {
      const whole = new File([Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0))], 'harbour.mp4', { type: 'video/mp4', lastModified: 1 });
      const carried = new DataTransfer();
      carried.items.add(whole);
      const target = document.querySelector('.drop');
      for (const name of ['dragenter', 'dragover', 'drop']) target.dispatchEvent(new DragEvent(name, { bubbles: true, cancelable: true, dataTransfer: carried }));
    }, bytes);
    await file.getByText(/\d+ % of .* \/?s? ?·?.*left/).waitFor();
    await page.waitForFunction(() => document.querySelector('.sending progress').value > 0.1);
    await look(page, 'sending');
    await file.getByRole('button', { name: 'Pause' }).click();
    await file.getByText('paused').waitFor();
    const paused = await part();
    await file.getByRole('button', { name: 'Go on' }).click();
    await page.waitForFunction((before) => document.querySelector('.sending progress').value > before + 0.05, paused);
  });
  await step('after a broken connection it goes on by itself', async () => {
    await page.route('**/uploads/**', (route) => route.abort());
    await file.getByRole('button', { name: 'Pause' }).click();
    await file.getByRole('button', { name: 'Go on' }).click();
    await file.getByText('no connection').waitFor();
    const before = await part();
    await page.unroute('**/uploads/**');
    await page.waitForFunction((value) => document.querySelector('.sending progress').value > value, before);
    check(sent.filter(([method]) => method === 'POST').length === 2, 'it was begun anew');
    expected('ERR_FAILED');
  });
  await step('after a reload the same file goes on where it stopped', async () => {
    // The same name, length and date as the one that was dropped.
    page.once('dialog', (asked) => asked.accept());
    await page.reload();
    await file.getByText('was not finished').waitFor();
    const before = sent.length;
    await limit(-1);
    const bytes = (await readFile(film)).toString('base64');
    await page.evaluate(async (text) => {
      const whole = new File([Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0))], 'harbour.mp4', { type: 'video/mp4', lastModified: 1 });
      const carried = new DataTransfer();
      carried.items.add(whole);
      const input = document.querySelector('.drop input');
      input.files = carried.files;
      input.dispatchEvent(new Event('change'));
    }, bytes);
    await fact('The file', 'State').waitFor();
    const later = sent.slice(before);
    check(later.length > 0 && later.every(([method, offset]) => method === 'PATCH' && offset > 0), `from the beginning: ${JSON.stringify(later)}`);
    check(await page.evaluate(() => localStorage.length === 0), 'something is kept of it');
  });
  await step('it is prepared', async () => {
    await fact('The file', 'State').getByText('Ready').waitFor();
    check(await fact('The file', 'Length').innerText() === '0:09', await fact('The file', 'Length').innerText());
  });
  await step('the film is looked at before it is on', async () => {
    const show = page.getByRole('button', { name: 'Show', exact: true });
    await show.click();
    await page.waitForFunction(() => document.querySelector('.screen video')?.currentTime > 0.5);
    const length = await page.evaluate(() => document.querySelector('.screen video').duration);
    check(Math.abs(length - 9) < 0.6, `${length} s`);
    // From anywhere in it.
    await page.evaluate(() => { document.querySelector('.screen video').currentTime = 6; });
    await page.getByText(/The picture is at 0:0[678] of 0:09/).waitFor();
    await look(page, 'film');
    await page.getByRole('button', { name: 'Close' }).click();
  });
  await step('it is started, and its position moves as the clock does', async () => {
    await head.getByRole('button', { name: 'Start now…' }).click();
    await dialog.getByRole('button', { name: 'Start now' }).click();
    await head.getByText('On air').waitFor();
    await page.waitForFunction(() => /^0:0\d of 0:09$/.test(document.querySelector('.now dd')?.textContent));
    const seen = [];
    for (let turn = 0; turn < 5; turn += 1) {
      seen.push(await position());
      await page.waitForTimeout(1000);
    }
    const steps = seen.slice(1).map((value, at) => (value - seen[at] + 9) % 9);
    check(steps.every((value) => value >= 0 && value <= 3) && steps.some((value) => value > 0), `positions ${seen}`);
    await page.getByRole('button', { name: 'All events' }).click();
    await card.locator('.position').getByText(/0:0\d of 0:09/).waitFor();
    await look(page, 'calendar');
    await tabTo(page, card);
    await page.keyboard.press('Enter');
    await head.getByText('On air').waitFor();
  });
  await step('the preview plays, and says where it is', async () => {
    await page.getByRole('button', { name: 'Show', exact: true }).first().click();
    await page.waitForFunction(() => document.querySelector('.screen video')?.currentTime > 0 && !document.querySelector('.screen video').paused);
    const at = await page.evaluate(() => document.querySelector('.screen video').currentTime);
    await page.waitForFunction((before) => document.querySelector('.screen video').currentTime > before + 1, at);
    await page.getByText(/The picture is at 0:0\d of 0:09, \d+\.\d s behind/).waitFor();
    await look(page, 'preview');
  });
  await step('an encoder takes over with the key that is shown when asked for', async () => {
    await page.getByRole('button', { name: 'Take over…' }).click();
    await dialog.getByRole('button', { name: 'Take over' }).click();
    await page.getByRole('button', { name: 'Copy stream key' }).click();
    await page.getByText('stream key copied').waitFor();
    const key = await clipboard(page);
    const holds = () => page.evaluate((text) => document.documentElement.outerHTML.includes(text), key);
    check(key.length >= 8 && !(await holds()), 'the key is in the page');
    await page.getByRole('button', { name: 'Show the stream key' }).click();
    check(await holds(), 'the key is not shown');
    await page.getByRole('button', { name: 'Show the stream key' }).click();
    check(!(await holds()), 'the key stays in the page');
    await page.getByRole('button', { name: 'Copy RTMP address' }).click();
    await page.getByText('RTMP address copied').waitFor();
    check(/^rtmps?:\/\//.test(await clipboard(page)), await clipboard(page));
    const input = ['-v', 'error', '-nostdin', '-re', '-i', options.clip, '-c', 'copy', '-f', 'flv'];
    encoders.push(spawn('ffmpeg', [...input, `${options.rtmp}/${key}`], { stdio: 'ignore' }));
    await head.getByText('Live', { exact: true }).waitFor();
    await look(page, 'live');
    const before = await page.evaluate(() => document.querySelector('.screen video').currentTime);
    await page.waitForFunction((value) => document.querySelector('.screen video').currentTime > value + 3, before);
  });
  await step('it is given back to the film', async () => {
    await page.getByRole('button', { name: 'Give back to the film…' }).click();
    await dialog.getByRole('button', { name: 'Give back' }).click();
    await head.getByText('On air', { exact: true }).waitFor();
    const before = await page.evaluate(() => document.querySelector('.screen video').currentTime);
    await page.waitForFunction((value) => document.querySelector('.screen video').currentTime > value + 3, before);
    await page.getByRole('button', { name: 'Close' }).click();
  });
  await step('its title is changed', async () => {
    await head.getByRole('button', { name: 'Edit…' }).click();
    await dialog.getByLabel('Title').fill('Harbour at night');
    await dialog.getByRole('button', { name: 'Save' }).click();
    await head.getByText('Harbour at night', { exact: true }).waitFor();
  });
  await step('it is ended, and deleted when that is confirmed', async () => {
    await head.getByRole('button', { name: 'End now…' }).click();
    await dialog.getByRole('button', { name: 'End now' }).click();
    await head.getByText('Over', { exact: true }).waitFor();
    const remove = head.getByRole('button', { name: 'Delete…' });
    await remove.click();
    await page.keyboard.press('Escape');
    await dialog.waitFor({ state: 'detached' });
    await tabTo(page, remove);
    await page.keyboard.press('Enter');
    await tabTo(page, dialog.getByRole('button', { name: 'Delete' }));
    await page.keyboard.press('Enter');
    await page.getByText('Nothing in this week').waitFor();
    check(await page.locator('.event').count() === 0, 'it is still there');
  });
  expected();
}

makeFilm();
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
  headless: true,
  args: ['--no-sandbox', '--disable-gpu', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'],
});
let trouble = null;
try {
  const context = await browser.newContext({ viewport: { width: 1280, height: 800 }, colorScheme: 'dark' });
  await context.grantPermissions(['clipboard-read', 'clipboard-write']);
  context.setDefaultTimeout(PATIENCE_MS);
  const page = await context.newPage();
  page.on('console', (message) => ['error', 'warning'].includes(message.type()) && said.push(`${message.text()} ${message.location().url}`));
  page.on('pageerror', (error) => said.push(String(error)));
  await walk(page).catch(async (error) => {
    trouble = String(error);
    if (options.screenshots) await page.screenshot({ path: join(options.screenshots, 'trouble.png'), fullPage: true });
  });
} finally {
  await browser.close().catch(() => {});
  for (const encoder of encoders) encoder.kill('SIGKILL');
  await rm(folder, { recursive: true, force: true });
}
console.log(JSON.stringify({ ok: trouble === null, trouble, done, console: said }));
process.exit(trouble === null ? 0 : 1);
