// Nothing that happens to an encoder, to the worker or to the server makes a viewer reload: each case breaks something
// under a real player and measures what its viewer saw. The peers go through the same where they can.
//
// SOAK_SHORT=1: the short list. SOAK_CASES: numbers or parts of names. SOAK_KEEP=FOLDER: what was
// written down in each case, sample by sample, all playlists and MPDs, and the server's log are kept there.
import { writeFile } from 'node:fs/promises';
import { loadavg } from 'node:os';
import { join } from 'node:path';
import { Encoder, WIDTH } from './encoder.mjs';
import { Gateway, isChosen, sleep, stage, table, view } from './lib.mjs';
import { Multimux, NginxRtmp } from './peers.mjs';
import { Playlists } from './playlists.mjs';
import { judge } from './sight.mjs';

/** Everybody plays for this long before anything happens. */
const BEFORE_MS = 6000;
/** And for this long after it. Of peers the slowest are ten seconds behind live. */
const [AFTER_MS, PEER_AFTER_MS] = [12_000, 20_000];
/** Media before the first viewer comes, so that no start is measured. */
const WARM_MS = 7000;
/** A position that stands still for less has not stalled: the clocks of browsers tick this roughly on a busy machine. */
const STALL_MS = 300;
/** An encoder that gets nothing through its cable for this long opens another connection. */
const GIVES_UP_MS = 5000;
const GOALS = { resumedMs: 1500, backupMs: 1500, onAirMs: 2000 };
const GOP_FRAMES = { short: 30, usual: 60 };
const OTHER = { size: '854x480', fps: 25, gop: 50, rate: 44_100, channels: 1 };

// ---------------------------------------------------------------- what happens

/** The first encoder leaves in a way, and after `seconds` it, or a new one with `settings`, is back. */
function away(seconds, way, settings = {}) {
  const awayMs = seconds * 1000;
  return {
    name: `away ${seconds} s / ${way}${settings.size ? ' / other settings' : ''}`,
    seconds,
    async happen(scene) {
      const { encoder } = scene;
      const startMs = encoder.link.connections[0].keyUnitAt - encoder.spawnedAt;
      const goneAt = Date.now();
      if (way === 'frozen') {
        encoder.freeze();
        await sleep(awayMs);
        encoder.thaw();
        return { goneAt, returnedAt: Date.now() };
      }
      if (way === 'cable' && awayMs < GIVES_UP_MS) {
        encoder.link.cut();
        await sleep(awayMs);
        encoder.link.mend();
        return { goneAt, returnedAt: Date.now() };
      }
      if (way === 'cable') encoder.link.lose();
      if (way === 'reset') encoder.link.reset();
      await encoder.stop(way === 'clean stop' ? 'SIGINT' : 'SIGKILL');
      // An encoder needs a moment to begin: it is back when its first key unit is.
      await sleep(Math.max(0, goneAt + awayMs - startMs - Date.now()));
      return scene.comeBack({ goneAt, ...settings });
    },
    // With a ladder the rungs go on; without one there is nothing to show until the encoder is back.
    judge(promise, { ladder, player, seen, told }) {
      if (ladder && seconds <= 10) promise(`${player} does not stall`, seen.stillMs < STALL_MS);
      if (!ladder && seconds === 10) {
        const [since, allowedMs] = told.keyUnitAt ? [told.keyUnitAt, GOALS.resumedMs] : [told.returnedAt, GOALS.resumedMs + 2000];
        promise(`${player} is live ${allowedMs / 1000} s after ${told.keyUnitAt ? 'the first new key unit' : 'the encoder goes on (its next key unit is up to 2 s away)'}`, seen.newAt !== null && seen.newAt - since <= allowedMs);
      }
    },
  };
}

/** Two encoders on one key; the one on the air goes. */
function backup(way) {
  return {
    name: `backup / primary ${way}`,
    seconds: 0,
    gop: GOP_FRAMES.short,
    async prepare(scene) {
      scene.backup = await scene.add({ isLater: true, gop: GOP_FRAMES.short });
    },
    async happen({ encoder }) {
      const goneAt = Date.now();
      if (way === 'frozen') encoder.freeze();
      else await encoder.stop('SIGINT');
      return { goneAt, returnedAt: Number.POSITIVE_INFINITY };
    },
    judge(promise, { player, seen, told }) {
      promise(`${player} shows the backup ${GOALS.backupMs / 1000} s after the primary went`, seen.newAt !== null && seen.newAt - told.goneAt <= GOALS.backupMs);
    },
  };
}

/** The first encoder hangs, and another one comes on its key. */
const second = {
  name: 'second connection on a frozen key',
  seconds: 1,
  async happen(scene) {
    const goneAt = Date.now();
    scene.encoder.freeze();
    await sleep(1000);
    return scene.comeBack({ goneAt });
  },
  judge(promise, { player, seen, told }) {
    const ms = seen.airedFrom === null ? null : seen.airedFrom - told.connectedAt;
    promise(`it is on air after ${GOALS.onAirMs / 1000} s, as ${player} shows`, ms !== null && ms <= GOALS.onAirMs);
  },
};

function worker(signal) {
  return {
    name: `worker ${signal}`,
    seconds: 0,
    async happen({ server }) {
      const workers = await server.workers();
      if (!workers.length) throw new Error('there is no worker');
      const goneAt = Date.now();
      for (const pid of workers) process.kill(pid, signal);
      return { goneAt, returnedAt: goneAt };
    },
    judge() {},
  };
}

function restart(signal) {
  return {
    name: `server restarted by ${signal}`,
    seconds: 6,
    async happen({ server, encoder }) {
      const goneAt = Date.now();
      encoder.isLater = true;
      await server.restart(signal);
      return { goneAt, returnedAt: Date.now(), keyUnitAt: await encoder.onAir(goneAt) };
    },
    judge() {},
  };
}

// ---------------------------------------------------------------- the list

const on = { ladder: true };
const off = { ladder: false };
const long = { env: { FOREBAY_RECONNECT_SECONDS: '120' } };
/** A case: what happens, on which server, before which player. */
const ours = (event, where, players, more = {}) => players.map((player) => ({ event, player, ...where, ...more }));
const theirs = (event, more = {}) => [NginxRtmp, Multimux].map((peer) => ({ event, peer, player: 'hls', ...more }));
const short = { isShort: true };
const standard = { mpd: 'manifest' };
const serverOf = ({ peer, ladder }) => peer?.name ?? `ladder ${ladder ? 'on' : 'off'}`;

const CASES = [
  ...ours(away(0.3, 'clean stop'), on, ['hls']),
  ...ours(away(0.3, 'clean stop'), off, ['hls']),
  ...ours(away(0.3, 'frozen'), on, ['hls']),
  ...ours(away(0.3, 'frozen'), off, ['hls']),
  ...ours(away(2, 'clean stop'), on, ['hls'], short),
  ...ours(away(2, 'clean stop'), on, ['dash', 'shaka', 'page']),
  ...ours(away(2, 'clean stop'), off, ['hls', 'dash', 'shaka']),
  ...ours(away(2, 'reset'), on, ['hls']),
  ...ours(away(2, 'reset'), off, ['hls']),
  ...ours(away(2, 'frozen'), on, ['hls']),
  ...ours(away(2, 'frozen'), off, ['hls']),
  ...ours(away(2, 'cable'), on, ['hls']),
  ...ours(away(10, 'clean stop'), on, ['hls'], short),
  ...ours(away(10, 'clean stop'), on, ['dash', 'shaka']),
  ...ours(away(10, 'clean stop'), off, ['hls'], short),
  ...ours(away(10, 'clean stop'), off, ['dash', 'shaka']),
  ...ours(away(10, 'reset'), off, ['hls']),
  ...ours(away(10, 'frozen'), on, ['hls'], short),
  ...ours(away(10, 'frozen'), off, ['hls']),
  ...ours(away(10, 'cable'), off, ['hls']),
  ...ours(away(90, 'clean stop'), on, ['hls'], long),
  ...ours(away(2, 'clean stop', OTHER), on, ['hls'], short),
  ...ours(away(2, 'clean stop', OTHER), off, ['hls', 'dash', 'shaka']),
  ...ours(backup('frozen'), on, ['hls'], short),
  ...ours(backup('frozen'), off, ['hls', 'dash', 'shaka']),
  ...ours(backup('stopped'), off, ['hls']),
  ...ours(second, on, ['hls']),
  ...ours(second, off, ['hls'], short),
  ...ours(worker('SIGKILL'), on, ['hls'], short),
  ...ours(worker('SIGKILL'), on, ['dash']),
  ...ours(worker('SIGSTOP'), on, ['hls']),
  ...ours(restart('SIGTERM'), on, ['hls']),
  ...ours(restart('SIGKILL'), off, ['hls'], short),
  ...ours(restart('SIGTERM'), off, ['dash', 'shaka']),
  ...ours(restart('SIGTERM'), off, ['dash'], standard),
  ...ours(restart('SIGKILL'), off, ['dash', 'shaka']),
  ...ours(restart('SIGKILL'), off, ['dash'], standard),
  ...theirs(away(0.3, 'clean stop')),
  ...theirs(away(2, 'clean stop'), short),
  ...theirs(away(2, 'reset')),
  ...theirs(away(2, 'frozen')),
  ...theirs(away(10, 'clean stop')),
  ...theirs(away(10, 'frozen')),
].map((one) => ({ ...one, name: [one.event.name, serverOf(one), one.player, one.mpd].filter(Boolean).join(' / ') }));

// ---------------------------------------------------------------- one case

/** A server with an encoder on it, and more of them as a case goes on. */
class Scene {
  static async begin({ event, peer, ladder, env }) {
    const scene = new Scene();
    scene.encoders = [];
    scene.gop = event.gop ?? GOP_FRAMES.usual;
    scene.server = peer ? await peer.make(peer.name) : await Gateway.start({ ...(ladder ? {} : { FOREBAY_LADDER: 'off' }), ...env });
    return scene;
  }

  async add(settings) {
    const encoder = await Encoder.start(this.server, { gop: this.gop, ...settings });
    this.encoders.push(encoder);
    return encoder;
  }

  /** Another encoder, until its first key unit is through. */
  async comeBack({ goneAt, ...settings }) {
    const encoder = await this.add({ isLater: true, ...settings });
    const keyUnitAt = await encoder.onAir().catch(() => null);
    const { connections } = encoder.link;
    return { goneAt, returnedAt: Number.POSITIVE_INFINITY, connectedAt: connections[0]?.openedAt, keyUnitAt };
  }

  /** The longest time in which no encoder's media came, from the fault on. */
  holeMs(goneAt) {
    const times = this.encoders.flatMap(({ link }) => link.arrivals).filter((at) => at > goneAt - 1000).sort((a, b) => a - b);
    return times.slice(1).reduce((longest, at, index) => Math.max(longest, at - times[index]), 0);
  }

  count(what) {
    return this.encoders.reduce((sum, encoder) => sum + encoder[what], 0);
  }

  async end() {
    for (const encoder of this.encoders) await encoder.end();
    await this.server.stop();
  }
}

async function run(one) {
  const { event, peer, player } = one;
  const scene = await Scene.begin(one);
  const { server } = scene;
  try {
    scene.encoder = await scene.add({});
    const id = peer ? null : await server.stream();
    const url = peer ? await server.playlist() : { dash: server.dash(id, one.mpd ?? 'll'), page: `${server.http}/watch/${id}` }[player] ?? server.hls(id);
    await event.prepare?.(scene);
    await sleep(WARM_MS);
    const playlists = peer ? null : new Playlists(server, id);
    const seconds = (BEFORE_MS + (peer ? PEER_AFTER_MS : AFTER_MS)) / 1000 + event.seconds;
    const viewer = view(player, url, { seconds, raw: true, args: ['--source-width', String(WIDTH)] });
    if (!(await viewer.begun)) throw new Error(`${player} does not begin: ${(await viewer.figures).error}`);
    await sleep(BEFORE_MS);
    const told = await event.happen(scene);
    const figures = await viewer.figures;
    const load = loadavg()[0];
    const faults = playlists ? await playlists.finish() : [];
    const isSame = peer ? null : (await server.stream().catch(() => null)) === id;
    const seen = judge(figures.raw, told);
    if (process.env.SOAK_KEEP) {
      const file = join(process.env.SOAK_KEEP, one.name.replace(/[^\w.]+/g, '-'));
      await writeFile(`${file}.json`, JSON.stringify({ seen, told, faults, ...figures }));
      await writeFile(`${file}.log`, server.process.said);
      await writeFile(`${file}.manifests`, playlists?.texts.join('\n') ?? '');
    }
    return { figures, seen, told, faults, isSame, load, holeMs: scene.holeMs(told.goneAt), refusals: scene.count('refusals'), drops: scene.count('drops') };
  } finally {
    await scene.end();
  }
}

const seconds = (ms) => (ms === null || ms === undefined || !Number.isFinite(ms) ? null : ms / 1000);

/** A freeze that lasts to the end is longer than what was seen of it. */
const frozen = ({ freezeMs, isLive }) => `${isLive ? '' : '>'}${(freezeMs / 1000).toFixed(2)}`;

const row = (one, { figures, seen, told, faults, holeMs, refusals, drops, load }) => ({
  case: one.event.name, server: serverOf(one), player: one.player,
  'hole s': seconds(holeMs), 'still s': seconds(seen.stillMs), 'frozen s': frozen(seen),
  'new picture s after the fault': seen.newAt === null ? 'never' : seconds(seen.newAt - told.goneAt),
  'after its key unit': told.keyUnitAt && seen.newAt !== null ? seconds(seen.newAt - told.keyUnitAt) : null,
  'jumped s': seen.jumpS, 'behind s': `${seconds(seen.delayBeforeMs)?.toFixed(2)} → ${seconds(seen.delayAfterMs)?.toFixed(2) ?? '–'}`,
  fatal: figures.errors?.filter(({ fatal }) => fatal).map(({ what }) => what).join(' ') || 0,
  reloads: (figures.reloads ?? 0) + seen.restarts, refused: refusals, dropped: drops, playlists: faults.length, load,
});

function judgeAll(promise, one, result) {
  const { figures, seen, faults, isSame, refusals } = result;
  const told = (text, kept) => promise(`${one.name}: ${text}`, kept);
  told('the stream keeps its id', isSame);
  told('no fatal error, no reload, live at the end', !figures.errors?.some(({ fatal }) => fatal) && (figures.reloads ?? 0) + seen.restarts === 0 && seen.isLive);
  told(`playlists and MPDs are in order${faults.map((fault) => `\n         ${fault}`).join('')}`, faults.length === 0);
  told('no encoder is refused', refusals === 0);
  one.event.judge(told, { ...one, ...result });
}

/** One line per event: the longest freeze that a viewer saw, ours beside the peers'. */
function summarize(results) {
  const servers = ['ladder on', 'ladder off', NginxRtmp.name, Multimux.name];
  const isAbsent = (server) => [NginxRtmp, Multimux].some((peer) => peer.name === server && !peer.isHere);
  const worst = (name, server) => {
    const all = results.filter(({ one }) => one.event.name === name && serverOf(one) === server);
    const [most] = all.sort((a, b) => a.seen.isLive - b.seen.isLive || b.seen.freezeMs - a.seen.freezeMs);
    return isAbsent(server) ? 'not here' : most && frozen(most.seen);
  };
  return [...new Set(results.map(({ one }) => one.event.name))].map((name) => ({
    case: name, ...Object.fromEntries(servers.map((server) => [server, worst(name, server)])),
  }));
}

await stage('continuity: what viewers see of holes, restarts and other encoders', async (promise) => {
  const [rows, results] = [[], []];
  for (const [index, one] of CASES.entries()) {
    if ((process.env.SOAK_SHORT && !one.isShort) || !isChosen(index, one.name) || (one.peer && !one.peer.isHere)) continue;
    try {
      const result = await run(one);
      results.push({ one, seen: result.seen });
      rows.push(row(one, result));
      console.log(`       ${index} ${one.name}: ${JSON.stringify(rows.at(-1))}`);
      if (!one.peer) judgeAll(promise, one, result);
    } catch (error) {
      if (one.peer) rows.push({ case: one.event.name, server: serverOf(one), player: one.player, fatal: error.message.split('\n')[0] });
      else promise(`${one.name}: runs to its end (${error.message})`, false);
    }
  }
  table('Continuity', rows);
  table('The longest freeze seen by a viewer, seconds (the worst of the players)', summarize(results));
});
