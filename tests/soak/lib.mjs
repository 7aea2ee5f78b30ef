// What the stages share: a gateway of their own (the real release binary), publishers, players, figures, promises.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const ROOT = join(dirname(fileURLToPath(import.meta.url)), '..', '..');
export const PLAYERS = join(ROOT, 'tests', 'players');
export const KEY = 'SoakKey0123456789abcdef';
const BINARY = process.env.SOAK_BINARY ?? join(process.env.CARGO_TARGET_DIR ?? join(ROOT, 'target'), 'release', 'forebay');
/** Files of raw figures so far: the next one's number. */
let views = 0;
/** Between two looks at a process's memory. */
const MEMORY_MS = 5000;

export const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const children = new Set();

/** Starts a program that ends with this one. `env` is laid over ours. */
export function start(command, args, { env = {}, stdio = ['ignore', 'ignore', 'pipe'], cwd = ROOT } = {}) {
  const child = spawn(command, args, { env: { ...process.env, ...env }, stdio, cwd, detached: true });
  children.add(child);
  child.said = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream?.setEncoding('utf8').on('data', (text) => {
      child.said = (child.said + text).slice(-60_000);
    });
  }
  child.on('error', (error) => {
    child.said += String(error);
  });
  child.ended = once(child, 'close').then(([code]) => {
    children.delete(child);
    return code;
  }, () => -1);
  return child;
}

/** Ends a program and its children; those that do not listen are killed. */
export async function stop(child, signal = 'SIGTERM', patienceMs = 12_000) {
  if (!child || child.exitCode !== null || child.signalCode !== null) return;
  const send = (name) => {
    try {
      process.kill(-child.pid, name);
    } catch { /* it ended meanwhile */ }
  };
  send(signal);
  await Promise.race([child.ended, sleep(patienceMs).then(() => send('SIGKILL'))]);
  await child.ended;
}

process.on('exit', () => {
  for (const child of children) {
    try {
      process.kill(-child.pid, 'SIGKILL');
    } catch { /* it ended meanwhile */ }
  }
});
for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => process.exit(130));

export async function freePort() {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address();
  server.close();
  await once(server, 'close');
  return port;
}

export const scratch = (name) => mkdtemp(join(tmpdir(), `forebay-${name}-`));

/** Looks again and again until there is something. */
export async function until(what, condition, patienceMs = 60_000, said = () => '') {
  const end = Date.now() + patienceMs;
  while (Date.now() < end) {
    const found = await Promise.resolve().then(condition).catch(() => null);
    if (found) return found;
    await sleep(50);
  }
  throw new Error(`${what}: not within ${patienceMs / 1000} s\n${said().slice(-2000)}`);
}

/** A gateway with default settings, `env` laid over them. Its memory is read all along. */
export class Gateway {
  static async start(env = {}) {
    const gateway = new Gateway();
    gateway.data = await scratch('soak');
    gateway.httpPort = await freePort();
    gateway.rtmpPort = await freePort();
    gateway.srtPort = await freePort();
    gateway.key = KEY;
    gateway.http = `http://127.0.0.1:${gateway.httpPort}`;
    gateway.rtmp = `rtmp://127.0.0.1:${gateway.rtmpPort}/live`;
    gateway.publishUrl = `${gateway.rtmp}/${KEY}`;
    gateway.env = {
      FOREBAY_HTTP: `127.0.0.1:${gateway.httpPort}`, FOREBAY_RTMP: `127.0.0.1:${gateway.rtmpPort}`, FOREBAY_SRT: `127.0.0.1:${gateway.srtPort}`, FOREBAY_DATA: gateway.data, FOREBAY_STREAM_KEY: KEY, ...env,
    };
    gateway.memory = [];
    gateway.sampler = setInterval(() => gateway.sample(), MEMORY_MS);
    await gateway.launch();
    return gateway;
  }

  /** Starts the process: again on the same ports and data, when it has ended. */
  async launch() {
    this.process = start(BINARY, ['serve'], { env: this.env, stdio: ['ignore', 'pipe', 'pipe'] });
    await this.until('the gateway listens', async () => (await fetch(`${this.http}/healthz`)).ok, 20_000);
  }

  /** Ends the process alone, without its workers, and starts it again. */
  async restart(signal) {
    process.kill(this.process.pid, signal);
    await this.process.ended;
    await this.launch();
  }

  /** The process ids of its transcoding workers. */
  async workers() {
    const tasks = `/proc/${this.process.pid}/task`;
    const lists = await Promise.all((await readdir(tasks)).map((task) => readFile(join(tasks, task, 'children'), 'utf8').catch(() => '')));
    return lists.join(' ').split(' ').filter(Boolean).map(Number);
  }

  until(what, condition, patienceMs) {
    return until(what, condition, patienceMs, () => this.process.said);
  }

  /** The default channel's stream, once its first segment is there. */
  async stream() {
    return this.until('a stream', async () => {
      const answer = await fetch(`${this.http}/hls/live/index.m3u8`);
      const id = new URL(answer.url).pathname.split('/')[2];
      return answer.ok && id !== 'live' ? id : null;
    });
  }

  hls(id) {
    return `${this.http}/hls/${id}/index.m3u8`;
  }

  dash(id, name = 'manifest') {
    return `${this.http}/dash/${id}/${name}.mpd`;
  }

  async sample() {
    const text = await readFile(`/proc/${this.process.pid}/status`, 'utf8').catch(() => '');
    const kb = Number(text.match(/VmRSS:\s+(\d+)/)?.[1]);
    if (kb) this.memory.push({ at: Date.now(), mb: kb / 1024 });
  }

  /** RSS in MB: at a quarter of the run, at its end, the highest. */
  rss() {
    const all = this.memory.map(({ mb }) => mb);
    const mean = (from, to) => {
      const part = all.slice(Math.floor(all.length * from), Math.max(Math.floor(all.length * to), Math.floor(all.length * from) + 1));
      return part.reduce((sum, mb) => sum + mb, 0) / part.length;
    };
    return { middle: mean(0.4, 0.6), end: mean(0.9, 1), max: Math.max(...all) };
  }

  async stop() {
    clearInterval(this.sampler);
    await stop(this.process);
    await rm(this.data, { recursive: true, force: true });
  }
}

/**
 * Publishes the numbered or clocked test picture with ffmpeg, in real time. `offset` is the first number, or added
 * to the clock; `like`: the width of the picture that this one is another size of.
 */
export function publish(url, {
  size = '640x360', fps = 30, gop = 60, bitrate = '800k', clock = false, codec = '-preset veryfast -tune zerolatency', offset = 0, like, rate = 48_000, channels = 2, format = 'flv',
} = {}) {
  const beep = `aevalsrc='if(lt(mod(t,1),0.05),0.5*sin(2*PI*1000*t),0)':s=${rate}`;
  const source = `node ${join(PLAYERS, 'source.mjs')} --size ${size} --fps ${fps} --start ${offset} ${clock ? '--clock' : '--count'} ${like ? `--like ${like}` : ''}`;
  const encode = `ffmpeg -v error -probesize 32 -analyzeduration 0 -f rawvideo -pix_fmt yuv420p -s ${size} -r ${fps} -i - -re -f lavfi -i "${beep}" -map 0:v -map 1:a `
    + `-c:v libx264 ${codec} -g ${gop} -keyint_min ${Math.min(gop, 25)} -b:v ${bitrate} -maxrate ${bitrate} -bufsize ${bitrate} `
    + `-c:a aac -b:a 128k -ac ${channels} -shortest -flush_packets 1 -f ${format} "${url}"`;
  return start('sh', ['-c', `exec ${source} | ${encode}`]);
}

/**
 * One real player in its own Chromium: `begun` resolves (to whether) when it shows its first picture, `figures` to
 * play.mjs's figures at the end, with `raw`, what it wrote down on the way, when that is asked for.
 */
export function view(player, url, { seconds = 15, config, args = [], raw = false } = {}) {
  const file = raw && join(tmpdir(), `forebay-seen-${process.pid}-${views += 1}.json`);
  const child = start('node', [
    join(PLAYERS, 'play.mjs'), '--player', player, '--url', url, '--seconds', String(seconds), '--viewport', '640x360',
    ...(config ? ['--config', JSON.stringify(config)] : []), ...(raw ? ['--raw', file] : []), ...args,
  ], { stdio: ['ignore', 'pipe', 'pipe'] });
  const figures = child.ended.then(async () => {
    try {
      const seen = JSON.parse(child.said.split('\n').find((line) => line.startsWith('{')));
      if (raw) seen.raw = await readFile(file, 'utf8').then(JSON.parse, () => null);
      return seen;
    } catch {
      return { ok: false, error: child.said.slice(-500), stalls: { count: 0, totalMs: 0 }, errors: [], gaps: [] };
    } finally {
      if (raw) await rm(file, { force: true });
    }
  });
  const begun = Promise.race([
    until(player, () => /^playing$/m.test(child.said), 40_000).catch(() => false),
    child.ended.then(() => false),
  ]);
  return { begun, figures };
}
export const play = (player, url, options) => view(player, url, options).figures;

/** Whether SOAK_CASES (numbers or parts of names, by commas; all when unset) names this one. */
export function isChosen(index, name) {
  const wanted = process.env.SOAK_CASES?.split(',').map((part) => part.trim()).filter(Boolean);
  return !wanted?.length || wanted.some((part) => (/^\d+$/.test(part) ? Number(part) === index : name.includes(part)));
}

/** Prints rows as a Markdown table. */
export function table(title, rows) {
  const columns = [...new Set(rows.flatMap((row) => Object.keys(row)))];
  const cell = (value) => (value === undefined || value === null ? '–' : typeof value === 'number' ? String(Math.round(value * 100) / 100) : String(value));
  const width = columns.map((column) => Math.max(column.length, ...rows.map((row) => cell(row[column]).length)));
  const line = (cells) => `| ${cells.map((text, index) => text.padEnd(width[index])).join(' | ')} |`;
  console.log(`\n${title}`);
  console.log(line(columns));
  console.log(line(width.map((length) => '-'.repeat(length))));
  for (const row of rows) console.log(line(columns.map((column) => cell(row[column]))));
}

/** Runs a stage: what it promises is checked with `promise(text, kept)`; a broken one makes the exit code 1. */
export async function stage(name, run) {
  const broken = [];
  const promise = (text, kept) => {
    console.log(`${kept ? 'kept  ' : 'BROKEN'} ${text}`);
    if (!kept) broken.push(text);
  };
  console.log(`\n== ${name}`);
  try {
    await run(promise);
  } catch (error) {
    promise(`${name} runs to its end (${error.message})`, false);
  }
  process.exit(broken.length ? 1 : 0);
}
