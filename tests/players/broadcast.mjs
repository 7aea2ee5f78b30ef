// Pages of a broadcast in headless Chromium, as one walk through its life with two viewers; prints one JSON
// object and exits 0 when every step did what it should.
//
//   node broadcast.mjs --url http://HOST/ --admin-key K --rtmp rtmp://HOST/live --clip FILE
//
// --clip FILE        what ffmpeg publishes, at the pace of the clock
// --screenshots DIR  the pages at each stage on a laptop and on a phone, by night and by day, as PNG
import { spawn, spawnSync } from 'node:child_process';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { launch, look, open as openIn, tabThrough } from './pages.mjs';

const names = ['url', 'admin-key', 'rtmp', 'clip', 'screenshots'];
const { values: options } = parseArgs({ options: Object.fromEntries(names.map((name) => [name, { type: 'string' }])) });
const PATIENCE_MS = 30_000;
const HOSTILE = '"><img src=x onerror="window.broken=1"><b>Evil</b>';
const encoders = [];
const done = [];
const said = [];
const open = (context) => openIn(context, said);

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

async function api(method, path, headers, body) {
  const isForm = body instanceof FormData;
  const answer = await fetch(new URL(path, options.url), {
    method,
    headers: { ...headers, ...(isForm ? {} : { 'content-type': 'application/json' }) },
    body: isForm ? body : JSON.stringify(body),
  });
  const text = await answer.text();
  check(answer.status === 200, `${method} ${path}: ${answer.status} ${text}`);
  return JSON.parse(text);
}

function picture() {
  const made = spawnSync('ffmpeg', ['-v', 'error', '-f', 'lavfi', '-i', 'gradients=s=1280x720:c0=0x0b3b4a:c1=0xe0a458:n=2:d=1', '-frames:v', '1', '-f', 'image2', '-c:v', 'png', '-']);
  check(made.status === 0, String(made.stderr));
  return made.stdout;
}

function publish(key) {
  const input = ['-v', 'error', '-nostdin', '-re', '-i', options.clip, '-c', 'copy', '-f', 'flv'];
  encoders.push(spawn('ffmpeg', [...input, `${options.rtmp}/${key}`], { stdio: 'ignore' }));
}

const plays = (page) => page.waitForFunction(() => window.forebay?.state().timeToFirstFrameMs != null && !document.querySelector('video').paused);
const hears = (page, text) => page.locator('#messages li p', { hasText: text }).waitFor();

async function walk(context, other) {
  const admin = { 'x-admin-key': options['admin-key'] };
  const client = await api('POST', '/api/admin/sdk-clients', admin, { name: 'App', contactEmail: 'a@example.test', agreeTerms: true });
  const key = { 'x-api-key': client.apiKey };
  const { token } = await api('POST', '/api/users/signup', key, { username: 'Ann', email: 'ann@example.test', password: 's3cretpass' });
  const ann = { ...key, authorization: `Bearer ${token}` };
  const broadcast = await api('POST', '/api/broadcasts', ann, { title: `Harbour at dawn ${HOSTILE}`, description: `Boats leave, gulls follow.\n${HOSTILE}` });
  const form = new FormData();
  form.append('file', new Blob([picture()], { type: 'image/png' }), 'poster.png');
  form.append('categoryName', 'poster');
  form.append('forBroadcastId', broadcast.id);
  await api('POST', '/api/files', ann, form);
  const become = (status) => api('POST', `/api/broadcasts/${broadcast.id}/status`, ann, { status });
  const [first, second] = [await open(context), await open(other)];
  const both = [first, second];
  const state = (page) => page.locator('#about-status').innerText();

  await step('before the start there is a poster, and who it is', async () => {
    await first.goto(new URL(`/watch/${broadcast.id}`, options.url).href);
    await second.goto(new URL(`/streams/${broadcast.shortId}/watch`, options.url).href);
    for (const page of both) {
      await page.getByText('It has not started yet').waitFor();
      await page.locator('#poster').waitFor();
      check(await page.evaluate(() => document.querySelector('video').poster.includes('/uploads/')), 'the video has no poster');
      check((await page.title()) === `${broadcast.title} · Forebay`, await page.title());
      check((await page.locator('h1:visible').innerText()) === broadcast.title, 'not its title');
      check((await page.locator('#about-text').innerText()).includes(HOSTILE), 'not its description');
      check(await page.evaluate(() => !window.broken && !document.querySelector('img[src=x]')), 'a text became an element');
      await page.waitForFunction(() => window.sockets.at(-1)?.readyState === WebSocket.OPEN);
    }
    const html = await (await fetch(new URL(`/watch/${broadcast.streamId}`, options.url))).text();
    check(html.includes('property="og:image"') && !html.includes('<img src=x'), 'no picture for who shares it, or an element');
    await look(first, 'before', options.screenshots);
  });
  await step('a publish alone does not begin it', async () => {
    publish(broadcast.streamKey);
    const isOnAir = async () => (await api('GET', `/api/streams/${broadcast.id}/viewer`, {})).onAir;
    while (!(await isOnAir())) await new Promise((resolve) => setTimeout(resolve, 200));
    check((await state(first)) === 'Not started', await state(first));
    const list = await (await fetch(new URL('/streams.json', options.url))).json();
    check(!list.some(({ name }) => name === broadcast.title), 'it is in the list');
  });
  await step('it begins by itself for all who wait', async () => {
    await become('active');
    await Promise.all(both.map(plays));
    check((await state(first)) === 'Live', await state(first));
    check(await first.evaluate(() => document.querySelector('#poster').hidden), 'the poster hides the picture');
  });
  await step('two viewers talk, and what they say is text', async () => {
    await first.fill('#name', 'Jo');
    await first.fill('#words', HOSTILE);
    await first.keyboard.press('Enter');
    await Promise.all(both.map((page) => hears(page, 'Evil')));
    check((await first.locator('#words').inputValue()) === '', 'the line is not empty');
    check((await first.locator('#messages li.own').count()) === 1, 'it is not marked as its own');
    check((await second.locator('#messages li.own').count()) === 0, 'it is marked as the other’s own');
    check(await second.evaluate(() => !window.broken && !document.querySelector('img[src=x]')), 'a text became an element');
    await second.fill('#name', 'Kim');
    await second.fill('#words', 'Good morning!');
    await second.click('#send');
    await hears(first, 'Good morning!');
    check((await first.locator('#messages .who').last().innerText()) === 'Kim', 'not under the name');
  });
  await step('who signed in is marked, and a guest of that name is not', async () => {
    await second.evaluate(async ([id, bearer]) => {
      const socket = new WebSocket(`${location.origin.replace('http', 'ws')}/ws/streams/${id}/chat?token=${bearer}`);
      await new Promise((resolve) => { socket.onopen = resolve; });
      socket.send(JSON.stringify({ message: 'I am Ann' }));
      await new Promise((resolve) => { setTimeout(resolve, 300); });
      socket.close();
      window.sockets.pop();
    }, [broadcast.id, token]);
    await hears(first, 'I am Ann');
    await second.fill('#name', 'Ann');
    await second.fill('#words', 'I am Ann too');
    await second.click('#send');
    await hears(first, 'I am Ann too');
    const marks = await first.evaluate(() => [...document.querySelectorAll('#messages li')].slice(-2).map((item) => item.querySelector('.known') !== null));
    check(JSON.stringify(marks) === '[true,false]', `marks ${marks}`);
  });
  await step('a reaction rises on the other’s picture', async () => {
    const seen = second.waitForFunction(() => document.querySelector('#floats span use')?.getAttribute('href') === '#r-heart');
    await first.getByRole('button', { name: 'Love' }).click();
    await seen;
    await second.waitForFunction(() => document.querySelector('#floats').childElementCount === 0);
    await second.emulateMedia({ reducedMotion: 'reduce' });
    const still = second.waitForFunction(() => {
      const float = document.querySelector('#floats span');
      return float && getComputedStyle(float).animationName === 'glow';
    });
    await first.waitForTimeout(600);
    await first.getByRole('button', { name: 'Bravo' }).click();
    await still;
    await second.emulateMedia({ reducedMotion: 'no-preference' });
  });
  await step('the number of viewers follows what the app says', async () => {
    await api('POST', `/api/broadcasts/${broadcast.id}/viewer-count`, ann, { viewerCount: 41 });
    await Promise.all(both.map((page) => page.getByText('41 watching').waitFor()));
  });
  await step('a lost socket comes back, and nothing is doubled or lost', async () => {
    const before = await first.locator('#messages li').count();
    await first.evaluate(() => window.sockets.at(-1).close());
    await second.fill('#words', 'Are you there?');
    await second.click('#send');
    await hears(first, 'Are you there?');
    check((await first.locator('#messages li').count()) === before + 1, 'messages are doubled');
  });
  await step('who scrolled up is left alone', async () => {
    await first.setViewportSize({ width: 390, height: 480 });
    await second.waitForTimeout(2500);
    for (const number of [1, 2, 3, 4, 5]) {
      await second.fill('#words', `${number} ${'lorem ipsum '.repeat(30)}`);
      await second.click('#send');
    }
    await hears(first, /^5 /);
    const log = first.locator('#log');
    const fromEnd = () => log.evaluate((element) => element.scrollHeight - element.scrollTop - element.clientHeight);
    check((await fromEnd()) < 2, `${await fromEnd()} px from the end`);
    await log.evaluate((element) => { element.scrollTop = 0; });
    await second.fill('#words', 'Something new');
    await second.click('#send');
    await hears(first, 'Something new');
    check((await log.evaluate((element) => element.scrollTop)) === 0, 'it was scrolled');
    await first.getByRole('button', { name: 'New messages' }).click();
    check((await fromEnd()) < 2, `${await fromEnd()} px from the end`);
    await first.getByRole('button', { name: 'New messages' }).waitFor({ state: 'hidden' });
    await first.setViewportSize({ width: 1280, height: 800 });
  });
  await step('letters in the chat are letters, not keys of the player', async () => {
    const { muted, paused } = await first.evaluate(() => window.forebay.state());
    await first.focus('#words');
    await first.keyboard.type('mk fq');
    const now = await first.evaluate(() => window.forebay.state());
    check(now.muted === muted && now.paused === paused && (await first.locator('#words').inputValue()) === 'mk fq', 'the player took them');
    await first.fill('#words', '');
  });
  await step('the name stays in the browser, and the history at the server', async () => {
    await first.reload();
    await plays(first);
    check((await first.locator('#name').inputValue()) === 'Jo', 'the name is forgotten');
    await hears(first, 'Good morning!');
  });
  await step('the link is copied', async () => {
    await first.getByRole('button', { name: 'Share' }).click();
    await first.getByRole('button', { name: 'Link copied' }).waitFor();
    const link = await first.evaluate(() => navigator.clipboard.readText());
    check(link === new URL(`/watch/${broadcast.streamId}`, options.url).href, link);
  });
  await step('every control is reached by keyboard, and shows it', async () => {
    await first.getByRole('button', { name: 'Share' }).waitFor();
    const found = await tabThrough(first);
    check(found.length === 0, found.join(', '));
  });
  await step('it looks well while it is live', async () => {
    await first.mouse.move(400, 300);
    await look(first, 'live', options.screenshots);
  });
  const list = await open(context);
  await step('the list shows it, with a way by keyboard', async () => {
    await list.goto(new URL('/live', options.url).href);
    const card = list.locator('.card', { hasText: 'Harbour at dawn' });
    await card.waitFor();
    check((await card.locator('h2').innerText()).includes(HOSTILE), 'not its title');
    await list.waitForFunction(() => document.querySelector('.card img')?.naturalWidth > 0);
    check(/41 viewers · since/.test(await card.locator('p').innerText()), await card.locator('p').innerText());
    const found = await tabThrough(list);
    check(found.length === 0, found.join(', '));
    await look(list, 'list', options.screenshots);
  });
  await step('the end is told, and nothing goes on', async () => {
    await become('completed');
    await Promise.all(both.map((page) => page.locator('#about-status', { hasText: 'Over' }).waitFor()));
    await Promise.all(both.map((page) => page.getByText('This broadcast is over').waitFor()));
    for (const page of both) {
      check(!(await page.locator('#say').isVisible()), 'there is a line to speak');
      check(await page.locator('.reaction').first().isDisabled(), 'reactions can be sent');
      await page.waitForFunction(() => window.sockets.every((socket) => socket.readyState === WebSocket.CLOSED));
    }
    const sockets = await first.evaluate(() => window.sockets.length);
    await list.locator('.card', { hasText: 'Harbour at dawn' }).waitFor({ state: 'detached' });
    check((await first.evaluate(() => window.sockets.length)) === sockets, 'another socket was opened');
    await look(first, 'over', options.screenshots);
    await look(list, 'empty', options.screenshots);
  });
  await step('who comes later finds it over, with what was said', async () => {
    await second.reload();
    await second.getByText('This broadcast is over').waitFor();
    await hears(second, 'Good morning!');
  });
  await step('a private one is shown to who has a pass', async () => {
    const secret = await api('POST', '/api/broadcasts', ann, { title: 'Family only', visibility: 'private' });
    const { chat } = await api('GET', `/api/streams/${secret.id}/viewer`, ann);
    const address = new URL(`/watch/${secret.streamId}`, options.url);
    address.searchParams.set('pass', chat.token);
    await second.goto(address.href);
    await second.getByText('It has not started yet').waitFor();
    await second.locator('h1', { hasText: 'Family only' }).waitFor();
    await second.fill('#words', 'Just us');
    await second.click('#send');
    await hears(second, 'Just us');
  });
  check(said.length === 0, said.join(', '));
}

const browser = await launch();
let trouble = null;
try {
  if (options.screenshots) await mkdir(options.screenshots, { recursive: true });
  // Two people, each with a browser of their own.
  const people = [];
  for (let number = 0; number < 2; number += 1) {
    const context = await browser.newContext({ viewport: { width: 1280, height: 800 }, colorScheme: 'dark' });
    context.setDefaultTimeout(PATIENCE_MS);
    people.push(context);
  }
  await people[0].grantPermissions(['clipboard-read', 'clipboard-write']);
  await walk(...people).catch(async (error) => {
    trouble = String(error);
    if (!options.screenshots) return;
    for (const [at, page] of people.flatMap((context) => context.pages()).entries()) await page.screenshot({ path: join(options.screenshots, `trouble-${at}.png`) }).catch(() => {});
  });
} finally {
  await browser.close().catch(() => {});
  for (const encoder of encoders) encoder.kill('SIGKILL');
}
console.log(JSON.stringify({ ok: trouble === null, trouble, done, console: said }));
process.exit(trouble === null ? 0 : 1);
