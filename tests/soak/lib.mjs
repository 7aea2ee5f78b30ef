// What the stages share: a gateway of their own (the real release binary), publishers, players, figures, promises.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const ROOT = join(dirname(fileURLToPath(import.meta.url)), '..', '..');
export const PLAYERS = join(ROOT, 'tests', 'players');
export const KEY = 'SoakKey0123456789abcdef';
const BINARY = process.env.FOREBAY_BINARY ?? join(process.env.CARGO_TARGET_DIR ?? join(ROOT, 'target'), 'release', 'forebay');
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

async function freePort() {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address();
  server.close();
  await once(server, 'close');
  return port;
}

export const scratch = (name) => mkdtemp(join(tmpdir(), `forebay-${name}-`));

/** A gateway with default settings, `env` laid over them. Its memory is read all along. */
export class Gateway {
  static async start(env = {}) {
    const gateway = new Gateway();
    gateway.data = await scratch('soak');
    const [http, rtmp] = [await freePort(), await freePort()];
    gateway.http = `http://127.0.0.1:${http}`;
    gateway.rtmp = `rtmp://127.0.0.1:${rtmp}/live`;
    gateway.publishUrl = `${gateway.rtmp}/${KEY}`;
    gateway.process = start(BINARY, ['serve'], {
      env: {
        FOREBAY_HTTP: `127.0.0.1:${http}`, FOREBAY_RTMP: `127.0.0.1:${rtmp}`, FOREBAY_DATA: gateway.data, FOREBAY_STREAM_KEY: KEY, ...env,
      },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    gateway.memory = [];
    gateway.sampler = setInterval(() => gateway.sample(), MEMORY_MS);
    await gateway.until('the gateway listens', async () => (await fetch(`${gateway.http}/healthz`)).ok, 20_000);
    return gateway;
  }

  async until(what, condition, patienceMs = 60_000) {
    const end = Date.now() + patienceMs;
    while (Date.now() < end) {
      const found = await Promise.resolve().then(condition).catch(() => null);
      if (found) return found;
      await sleep(50);
    }
    throw new Error(`${what}: not within ${patienceMs / 1000} s\n${this.process.said.slice(-2000)}`);
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

/** Publishes the numbered or clocked test picture with ffmpeg, in real time. */
export function publish(url, { size = '640x360', fps = 30, gop = 60, bitrate = '800k', clock = false, codec = '-preset veryfast -tune zerolatency', offset = 0 } = {}) {
  const beep = "aevalsrc='if(lt(mod(t,1),0.05),0.5*sin(2*PI*1000*t),0)':s=48000";
  const source = `node ${join(PLAYERS, 'source.mjs')} --size ${size} --fps ${fps} --start ${offset} ${clock ? '--clock' : '--count'}`;
  const encode = `ffmpeg -v error -probesize 32 -analyzeduration 0 -fflags nobuffer -f rawvideo -pix_fmt yuv420p -s ${size} -r ${fps} -i - -re -f lavfi -i "${beep}" -map 0:v -map 1:a `
    + `-c:v libx264 ${codec} -g ${gop} -keyint_min ${Math.min(gop, 25)} -b:v ${bitrate} -maxrate ${bitrate} -bufsize ${bitrate} `
    + `-c:a aac -b:a 128k -shortest -flush_packets 1 -f flv "${url}"`;
  return start('sh', ['-c', `exec ${source} | ${encode}`]);
}

/** One real player in its own Chromium; resolves to play.mjs's figures. */
export async function play(player, url, { seconds = 15, config, args = [] } = {}) {
  const child = start('node', [
    join(PLAYERS, 'play.mjs'), '--player', player, '--url', url, '--seconds', String(seconds), '--viewport', '640x360',
    ...(config ? ['--config', JSON.stringify(config)] : []), ...args,
  ], { stdio: ['ignore', 'pipe', 'pipe'] });
  await child.ended;
  try {
    return JSON.parse(child.said.split('\n').find((line) => line.startsWith('{')));
  } catch {
    return { ok: false, error: child.said.slice(-500), stalls: { count: 0, totalMs: 0 }, errors: [], gaps: [] };
  }
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
