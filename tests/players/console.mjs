// The operators' console in headless Chromium, as one walk through it; prints one JSON object and exits 0
// when every step did what it should.
//
//   node console.mjs --url http://HOST/ --admin-key K --stream-key K --rtmp rtmp://HOST/ingest --clip FILE
//
// --clip FILE        what two ffmpeg publish, at the pace of the clock
// --screenshots DIR  the page on a laptop and on a phone, by night and by day, as PNG
import { spawn } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { chromium } from 'playwright-core';

const names = ['url', 'admin-key', 'stream-key', 'rtmp', 'clip', 'screenshots'];
const { values: options } = parseArgs({ options: Object.fromEntries(names.map((name) => [name, { type: 'string' }])) });
const PATIENCE_MS = 30_000;
const HOSTILE = '"><img src=x onerror="window.broken=1"><b>Evil</b>';
const encoders = [];
const done = [];
const said = [];

function publish() {
  const input = ['-v', 'error', '-nostdin', '-re', '-i', options.clip, '-c', 'copy', '-f', 'flv'];
  encoders.push(spawn('ffmpeg', [...input, `${options.rtmp}/${options['stream-key']}`], { stdio: 'ignore' }));
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

/** Texts whose contrast is below WCAG 2.1's AA, and whether the page is wider than the screen. */
function faults() {
  const parse = (color) => {
    const parts = color.match(/[\d.]+/g).map(Number);
    return { rgb: parts.slice(0, 3), alpha: parts[3] ?? 1 };
  };
  const over = (top, bottom) => top.rgb.map((value, at) => value * top.alpha + bottom[at] * (1 - top.alpha));
  const behind = (element) => {
    const layers = [];
    for (let at = element; at; at = at.parentElement) {
      const layer = parse(getComputedStyle(at).backgroundColor);
      layers.push(layer);
      if (layer.alpha === 1) break;
    }
    return layers.reverse().reduce((bottom, layer) => over(layer, bottom), [255, 255, 255]);
  };
  const luminance = (rgb) => {
    const [red, green, blue] = rgb.map((value) => (value / 255 <= 0.04045 ? value / 255 / 12.92 : ((value / 255 + 0.055) / 1.055) ** 2.4));
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
  };
  const found = [];
  for (const element of document.querySelectorAll('body *')) {
    const style = getComputedStyle(element);
    const hasText = [...element.childNodes].some((node) => node.nodeType === Node.TEXT_NODE && node.data.trim());
    const isSeen = element.checkVisibility({ checkVisibilityCSS: true, checkOpacity: true });
    if (!hasText || !isSeen || element.closest('[aria-hidden=true], :disabled, .thumb')) continue;
    const back = behind(element);
    const [light, dark] = [luminance(over(parse(style.color), back)), luminance(back)].sort((a, b) => b - a);
    const ratio = (light + 0.05) / (dark + 0.05);
    const isLarge = parseFloat(style.fontSize) >= 24 || (parseFloat(style.fontSize) >= 18.66 && style.fontWeight >= 700);
    if (ratio < (isLarge ? 3 : 4.5)) found.push(`contrast ${ratio.toFixed(2)} of “${element.textContent.trim().slice(0, 30)}”`);
  }
  const overhang = document.documentElement.scrollWidth - innerWidth;
  if (overhang > 0) found.push(`${overhang} px wider than the screen`);
  return found;
}

/** A playlist's address leads to a playlist. */
async function isServed(page, address, kind) {
  const answer = await page.request.get(address);
  check(answer.ok() && answer.headers()['content-type'].includes(kind), `${address}: ${answer.status()} ${answer.headers()['content-type']}`);
}

/** What an app asks of the gateway. */
async function asApp(path, headers, body) {
  const isForm = body instanceof FormData;
  const answer = await fetch(new URL(path, options.url), {
    method: 'POST',
    headers: { ...headers, ...(!isForm && { 'content-type': 'application/json' }) },
    body: isForm ? body : JSON.stringify(body),
  });
  check(answer.ok, `${path}: ${answer.status} ${await answer.clone().text()}`);
  return answer.json();
}

/** As if another tab had come before this one, or had gone. */
const cover = (page, isHidden) => page.evaluate((hidden) => {
  Object.defineProperty(document, 'hidden', { configurable: true, value: hidden });
  document.dispatchEvent(new Event('visibilitychange'));
}, isHidden);

async function walk(page) {
  const admin = (path) => new URL(`/api/admin/${path}`, options.url).href;
  const headers = { 'x-admin-key': options['admin-key'] };
  const live = '#channels a.on-air';
  const cards = page.locator('.publisher');
  const menu = (text) => page.locator('.head').getByRole('button', { name: text });
  const dialog = page.locator('dialog[open]');

  await step('a wrong key is refused', async () => {
    await page.goto(options.url);
    await page.fill('#key', 'not the key');
    await page.keyboard.press('Enter');
    await page.getByText('This is not the admin key.').waitFor();
    // The browser itself writes a line for the refusal.
    check(said.splice(0).every((line) => line.includes('401')), 'something else was complained of');
  });
  await step('the right key opens the console', async () => {
    await page.fill('#key', options['admin-key']);
    await page.keyboard.press('Enter');
    await page.locator('#inside').waitFor();
    const [cookie, ...others] = await page.context().cookies();
    const cookies = await page.context().cookies(admin('session'));
    const session = cookies.find(({ name }) => name === 'forebay-session') ?? cookie;
    check(session?.httpOnly && session.sameSite === 'Strict' && others.length === 0, `cookie ${JSON.stringify(session)}`);
    check(await page.evaluate(() => document.cookie === '' && !sessionStorage.length && !localStorage.length), 'something is left to scripts');
  });
  await step('a stream appears by itself', async () => {
    await page.locator('#channels a').first().waitFor();
    await page.evaluate(() => { window.stays = true; });
    publish();
    await page.locator(live).waitFor();
    await cards.first().locator('.state.on-air').waitFor();
    await cards.first().getByText('640 × 360').waitFor();
    await page.waitForFunction(() => document.querySelector('.graph .line')?.getAttribute('d').split('L').length > 2);
    check(await page.evaluate(() => window.stays), 'the page was loaded again');
  });
  await step('the air goes to the other encoder', async () => {
    publish();
    const take = page.getByRole('button', { name: 'Put on air' });
    await take.waitFor();
    const taker = await page.evaluate(() => [...document.querySelectorAll('.publisher')].findIndex((card) => !card.classList.contains('on-air')));
    // Reached by keyboard alone.
    await page.locator('#channels a').first().focus();
    for (let tabs = 0; tabs < 40 && !(await take.evaluate((button) => button === document.activeElement)); tabs += 1) await page.keyboard.press('Tab');
    await page.keyboard.press('Enter');
    await page.waitForFunction((at) => document.querySelectorAll('.publisher')[at].classList.contains('on-air'), taker);
    check(await page.locator('.publisher.on-air').count() === 1, 'not exactly one is on air');
    await page.getByText('switched by hand').first().waitFor();
  });
  await step('the key is shown and copied when asked for', async () => {
    const holds = () => page.evaluate((key) => document.documentElement.outerHTML.includes(key), options['stream-key']);
    check(!(await holds()), 'the key is in the page');
    await page.getByRole('button', { name: 'Copy stream key' }).click();
    await page.getByText('stream key copied').waitFor();
    check(await page.evaluate(() => navigator.clipboard.readText()) === options['stream-key'], 'something else was copied');
    check(!(await holds()), 'copying shows the key');
    await page.getByRole('button', { name: 'Show the stream key' }).click();
    await page.locator('code', { hasText: options['stream-key'] }).first().waitFor();
    await page.getByRole('button', { name: 'Show the stream key' }).click();
    check(!(await holds()), 'the key stays in the page');
    await page.getByRole('button', { name: 'Copy RTMP address' }).click();
    await page.getByText('RTMP address copied').waitFor();
    check(await page.evaluate(() => navigator.clipboard.readText()) === options.rtmp, 'not the RTMP address');
  });
  await step('addresses for viewers are copied and lead to what is on air', async () => {
    for (const [what, kind] of [['HLS', 'mpegurl'], ['DASH', 'dash+xml']]) {
      await page.getByRole('button', { name: `Copy ${what} address` }).click();
      await page.getByText(`${what} address copied`).waitFor();
      await isServed(page, await page.evaluate(() => navigator.clipboard.readText()), kind);
    }
    await page.getByRole('button', { name: 'Copy watch address' }).click();
    await page.getByText('watch address copied').waitFor();
    const address = await page.evaluate(() => navigator.clipboard.readText());
    check(address === new URL('/watch/live', options.url).href, address);
    check(await page.getByRole('link', { name: 'Watch' }).getAttribute('href') === address, 'the link leads elsewhere');
  });
  await step('a tab that nobody sees listens to nothing', async () => {
    const open = () => page.evaluate(() => window.listeners.filter((source) => source.readyState !== EventSource.CLOSED).length);
    check(await open() === 1, `${await open()} listen`);
    await cover(page, true);
    check(await open() === 0, 'it goes on listening');
    await cover(page, false);
    await page.waitForFunction(() => window.listeners.at(-1).readyState === EventSource.OPEN);
    check(await open() === 1, `${await open()} listen`);
  });
  await step('without the server the page says so and comes back by itself', async () => {
    await cover(page, true);
    await page.route('**/api/admin/**', (route) => route.abort());
    await cover(page, false);
    await page.getByText('No news from the server since').waitFor();
    check(await cards.count() === 2, 'what was known is gone');
    await page.unroute('**/api/admin/**');
    await page.getByText('No news from the server since').waitFor({ state: 'hidden' });
    check(await page.locator('#link').innerText() === 'Connected', 'it does not say that it is back');
    check(said.splice(0).every((line) => line.includes('net::ERR_FAILED')), 'something else was complained of');
  });
  await step('a fork says what it shows, and the channel what it let go of', async () => {
    await page.getByRole('button', { name: 'New channel' }).click();
    await dialog.getByLabel('Name').fill('Mirror');
    await dialog.getByRole('button', { name: 'Create' }).click();
    await page.getByText('Channel created').waitFor();
    await menu('Fork…').click();
    await dialog.getByRole('button', { name: 'Fork' }).click();
    await page.locator('.head').getByText('Fork of Live').waitFor();
    check(await cards.count() === 2, `${await cards.count()} publishers`);
    await menu('Kill…').click();
    await dialog.getByLabel('Keep the streams').check();
    await dialog.getByRole('button', { name: 'Kill' }).click();
    await page.getByText('let go of this stream').waitFor();
    check(!(await page.getByRole('link', { name: 'Watch', exact: true }).isVisible()), 'viewers are led there');
    await menu('Delete…').click();
    await dialog.getByRole('button', { name: 'Delete' }).click();
    await page.getByText('Channel deleted').waitFor();
    // Its stream lives on, the channel does not.
    await page.waitForFunction(() => document.querySelectorAll('#channels li').length === 1);
    await page.evaluate(() => { location.hash = encodeURIComponent('local#forebay#live'); });
    await page.locator('.head h2').getByText('Live', { exact: true }).waitFor();
  });
  await step('a message is sent', async () => {
    await page.getByLabel('Message', { exact: true }).fill(HOSTILE);
    await page.keyboard.press('Enter');
    await page.locator('.messages p').filter({ hasText: 'Evil' }).waitFor();
  });
  const kept = page.locator('.recordings li');
  await step('what is recorded is listed, and not offered before its end', async () => {
    await kept.filter({ hasText: 'recording' }).waitFor();
    check(await kept.count() === 1, 'not one recording');
    check(!(await kept.getByText('Download').isVisible()) && !(await kept.getByText('Delete…').isVisible()), 'it is offered');
  });
  for (const [width, height] of [[1280, 800], [390, 844]]) {
    for (const colorScheme of ['dark', 'light']) {
      await step(`it fits ${width} px, ${colorScheme}`, async () => {
        await page.setViewportSize({ width, height });
        await page.emulateMedia({ colorScheme });
        if (width < 860) {
          await page.evaluate(() => { location.hash = ''; });
          await page.locator(live).waitFor();
          const found = await page.evaluate(faults);
          check(found.length === 0, `list: ${found.join(', ')}`);
          if (options.screenshots) await page.screenshot({ path: join(options.screenshots, `list-${width}-${colorScheme}.png`) });
          await page.locator(live).click();
          // The address changes first, the page follows.
          const focused = (place) => page.locator(`${place}:focus`).filter({ hasText: 'Live' }).waitFor();
          await focused('.head h2');
          await page.getByRole('button', { name: 'All channels' }).click();
          await focused('#channels a');
          await page.locator(live).click();
        }
        await cards.first().waitFor();
        const found = await page.evaluate(faults);
        check(found.length === 0, found.join(', '));
        if (options.screenshots) await page.screenshot({ path: join(options.screenshots, `channel-${width}-${colorScheme}.png`), fullPage: true });
        await menu('Kill…').click();
        const asked = await page.evaluate(faults);
        check(asked.length === 0, `question: ${asked.join(', ')}`);
        if (options.screenshots) await page.screenshot({ path: join(options.screenshots, `kill-${width}-${colorScheme}.png`) });
        await page.keyboard.press('Escape');
        await dialog.waitFor({ state: 'detached' });
      });
    }
  }
  await page.setViewportSize({ width: 1280, height: 800 });
  await step('kill asks first', async () => {
    await menu('Kill…').click();
    await dialog.getByRole('button', { name: 'Cancel' }).click();
    await dialog.waitFor({ state: 'detached' });
    check(encoders.every((encoder) => encoder.exitCode === null), 'an encoder ended');
    check(await cards.count() === 2, 'a publisher is gone');
    await menu('Kill…').click();
    await dialog.getByLabel('Reason').fill('the test is over');
    await dialog.getByRole('button', { name: 'Kill' }).click();
    await page.getByText('Nobody publishes').waitFor();
  });
  await step('a recording that ended is played and downloaded', async () => {
    const save = kept.getByText('Download');
    await save.waitFor();
    for (const [width, height] of [[390, 844], [1280, 800]]) {
      await page.setViewportSize({ width, height });
      const found = await page.evaluate(faults);
      check(found.length === 0, found.join(', '));
      if (options.screenshots) await page.screenshot({ path: join(options.screenshots, `recording-${width}.png`), fullPage: true });
    }
    const [file] = await Promise.all([page.waitForEvent('download'), save.click()]);
    check(/^live-\d+-1\.mp4$/.test(file.suggestedFilename()), file.suggestedFilename());
    const start = (await readFile(await file.path())).subarray(4, 8).toString();
    check(start === 'ftyp', `begins with ${start}`);
    const [player] = await Promise.all([page.context().waitForEvent('page'), kept.getByText('Play').click()]);
    await player.waitForFunction(() => document.querySelector('video')?.currentTime > 0.5);
    await player.close();
  });
  await step('a recording is deleted when that is confirmed', async () => {
    await kept.getByText('Delete…').click();
    await dialog.getByRole('button', { name: 'Cancel' }).click();
    await dialog.waitFor({ state: 'detached' });
    check(await kept.count() === 1, 'it is gone');
    await kept.getByText('Delete…').click();
    await dialog.getByRole('button', { name: 'Delete' }).click();
    await page.getByText('Streams with the capability').waitFor();
    check(await kept.count() === 0, 'it is still there');
  });
  await step('a channel is made and deleted, its name is text', async () => {
    await page.getByRole('button', { name: 'New channel' }).click();
    await dialog.getByLabel('Name').fill(HOSTILE);
    await dialog.getByLabel('Alias').fill('second');
    await dialog.getByRole('button', { name: 'Create' }).click();
    await page.locator('.head h2').getByText(HOSTILE, { exact: true }).waitFor();
    check(await page.locator('.channel img[src=x], #channels img[src=x]').count() === 0, 'the name became an element');
    await menu('Fork…').click();
    await dialog.getByLabel('Source').waitFor();
    await page.keyboard.press('Escape');
    await dialog.waitFor({ state: 'detached' });
    await menu('Delete…').click();
    await dialog.getByRole('button', { name: 'Delete' }).click();
    await dialog.waitFor({ state: 'detached' });
    await page.waitForFunction(() => document.querySelectorAll('#channels li').length === 1);
    check(!(await page.evaluate(() => window.broken)), 'the name ran');
  });
  const about = page.locator('.broadcast');
  const fact = (label) => about.locator('.facts > div').filter({ has: page.getByText(label, { exact: true }) }).locator('dd');
  const asUser = {};
  let broadcast = null;
  await step('a broadcast has its title and its poster before it starts', async () => {
    check(await about.isHidden(), 'another channel is of a broadcast');
    const client = await asApp('/api/admin/sdk-clients', headers, { name: 'App', contactEmail: 'a@example.test', agreeTerms: true });
    asUser['x-api-key'] = client.apiKey;
    const { token } = await asApp('/api/users/signup', asUser, { username: 'Ann', email: 'ann@example.test', password: 's3cretpass' });
    asUser.authorization = `Bearer ${token}`;
    broadcast = await asApp('/api/broadcasts', asUser, { title: `Harbour ${HOSTILE}`, description: `Boats ${HOSTILE}` });
    const form = new FormData();
    form.append('file', new Blob([await page.screenshot()], { type: 'image/png' }), 'poster.png');
    form.append('categoryName', 'poster');
    form.append('forBroadcastId', broadcast.id);
    await asApp('/api/files', asUser, form);
    await page.reload();
    const entry = page.locator('#channels a').filter({ hasText: 'Harbour' });
    await entry.getByText('Not started').waitFor();
    const isShown = (place) => place.locator('img:visible').evaluate((image) => image.naturalWidth > 0 && image.src.includes('/uploads/'));
    check(await isShown(entry), 'no picture in the list');
    await entry.focus();
    await page.keyboard.press('Enter');
    await page.locator('.head h2').getByText(broadcast.title, { exact: true }).waitFor();
    check(await isShown(about), 'no picture');
    check(await fact('Status').innerText() === 'Not started', await fact('Status').innerText());
    check(await fact('Tenant').innerText() === client.clientId, await fact('Tenant').innerText());
    check(await page.locator('.head').getByText(`Boats ${HOSTILE}`, { exact: true }).isVisible(), 'no description');
    const address = await page.getByRole('link', { name: 'Watch' }).getAttribute('href');
    check(address === new URL(`/streams/${broadcast.streamId}/watch`, options.url).href, address);
    check(!(await page.evaluate(() => window.broken || document.querySelector('img[src=x]'))), 'a text became an element');
    for (const [width, height] of [[390, 844], [1280, 800]]) {
      for (const colorScheme of ['light', 'dark']) {
        await page.setViewportSize({ width, height });
        await page.emulateMedia({ colorScheme });
        const found = await page.evaluate(faults);
        check(found.length === 0, found.join(', '));
        if (options.screenshots) await page.screenshot({ path: join(options.screenshots, `broadcast-${width}-${colorScheme}.png`), fullPage: true });
      }
    }
  });
  await step('a broadcast says who watches, and goes when it is over', async () => {
    const become = (status) => asApp(`/api/broadcasts/${broadcast.id}/status`, asUser, { status });
    const place = () => about.locator('.thumb').evaluate((element) => JSON.stringify(element.getBoundingClientRect()));
    const before = await place();
    await become('active');
    await asApp(`/api/broadcasts/${broadcast.id}/viewer-count`, asUser, { viewerCount: 41 });
    // Without its picture nothing else moves.
    await page.route('**/uploads/**', (route) => route.abort());
    await page.reload();
    await fact('Status').getByText('Started').waitFor();
    check(await fact('Viewers, reported').innerText() === '41', await fact('Viewers, reported').innerText());
    check(await fact('Viewers, measured').innerText() === '0', await fact('Viewers, measured').innerText());
    check(await place() === before, `from ${before} to ${await place()}`);
    check(await about.locator('img').isHidden(), 'a broken picture');
    await page.unroute('**/uploads/**');
    await become('completed');
    await page.reload();
    await page.waitForFunction(() => document.querySelectorAll('#channels li').length === 1);
    said.splice(0, said.length, ...said.filter((line) => !(line.includes('net::ERR_FAILED') && line.includes('/uploads/'))));
  });
  await step('one of many channels is found', async () => {
    const made = [];
    for (let number = 0; number < 205; number += 1) {
      const channel = { alias: `studio-${number}`, name: `Studio ${number}`, description: '', options: [] };
      const answer = await page.request.put(admin('channels'), { headers, data: { channel } });
      made.push((await answer.json()).channel.channelId);
    }
    await page.reload();
    await page.getByText('6 more: filter to find them').waitFor();
    check(await page.locator('#channels li').count() === 200, 'not as many as there may be');
    await page.getByLabel('Filter channels').fill('STUDIO 204');
    await page.locator('#channels a', { hasText: 'Studio 204' }).click();
    await page.locator('.head h2').getByText('Studio 204').waitFor();
    check(await page.locator('#channels li').count() === 1, 'others too');
    check(await page.title() === 'Studio 204 · Forebay', await page.title());
    for (const id of made) await page.request.delete(admin(`channels/${encodeURIComponent(id)}`), { headers });
  });
  await step('signing out ends the session, in other tabs too', async () => {
    const other = await page.context().newPage();
    await other.goto(options.url);
    await other.getByRole('button', { name: 'Sign out' }).click();
    await other.locator('#enter').waitFor();
    await other.close();
    await page.getByText('The session is over.').waitFor();
    check(said.splice(0).every((line) => line.includes('401')), 'something else was complained of');
    check(await page.evaluate(() => !document.body.textContent.includes('Publish and watch')), 'something stays in the page');
    await page.reload();
    await page.locator('#enter').waitFor();
    const answer = await page.request.get(admin('streams'));
    check(answer.status() === 401, `status ${answer.status()}`);
  });
  check(said.length === 0, said.join(', '));
}

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
  await page.addInitScript(() => {
    window.listeners = [];
    window.EventSource = class extends EventSource {
      constructor(address) {
        super(address);
        window.listeners.push(this);
      }
    };
  });
  page.on('console', (message) => ['error', 'warning'].includes(message.type()) && said.push(`${message.text()} ${message.location().url}`));
  page.on('pageerror', (error) => said.push(String(error)));
  await walk(page).catch(async (error) => {
    trouble = String(error);
    if (options.screenshots) await page.screenshot({ path: join(options.screenshots, 'trouble.png') });
  });
} finally {
  await browser.close().catch(() => {});
  for (const encoder of encoders) encoder.kill('SIGKILL');
}
console.log(JSON.stringify({ ok: trouble === null, trouble, done, console: said }));
process.exit(trouble === null ? 0 : 1);
