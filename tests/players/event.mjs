// A scheduled event for scripts that watch one: its owner, a film whose frames carry their numbers (pattern.mjs), and
// what the API of events is asked for on the way.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = dirname(fileURLToPath(import.meta.url));
/** The film: its size, its rate, how long it is in seconds, and samples of its sound a second. */
export const FILM = { width: 640, height: 360, fps: 30, seconds: 8, rate: 48_000 };
/** One whose frames and samples fit nothing: 219 of 29.97 a second, which are prepared as 30 a second. */
export const ODD = { ...FILM, fps: '30000/1001', seconds: 7.3, rate: 44_100 };
/** Frames and length in seconds of that when it is prepared. */
export const PREPARED_ODD = { fps: 30, frames: 219, seconds: 7.3 };
const PREPARED_MS = 120_000;

export const sleep = (ms) => new Promise((resolve) => { setTimeout(resolve, ms); });

/** A time without its fraction, as the API takes it. */
export const at = (ms) => new Date(ms).toISOString().replace(/\.\d+Z$/, 'Z');

/** The film as bytes of an MP4. */
async function makeFilm({ width, height, fps, seconds, rate }) {
  const folder = await mkdtemp(join(tmpdir(), 'forebay-film-'));
  const file = join(folder, 'film.mp4');
  const size = `${width}x${height}`;
  try {
    const source = spawn('node', [join(root, 'source.mjs'), '--size', size, '--fps', String(fps), '--duration', String(seconds), '--count', '--unpaced'], { stdio: ['ignore', 'pipe', 'inherit'] });
    const input = ['-f', 'rawvideo', '-pix_fmt', 'yuv420p', '-s', size, '-r', String(fps), '-i', '-', '-f', 'lavfi', '-i', `sine=frequency=440:sample_rate=${rate}`];
    const codecs = ['-c:v', 'libx264', '-preset', 'ultrafast', '-crf', '20', '-c:a', 'aac', '-t', String(seconds), '-movflags', '+faststart'];
    const encoder = spawn('ffmpeg', ['-v', 'error', ...input, ...codecs, file], { stdio: ['pipe', 'ignore', 'inherit'] });
    source.stdout.pipe(encoder.stdin);
    const [code] = await once(encoder, 'close');
    if (code !== 0) throw new Error(`ffmpeg ends with ${code}`);
    return await readFile(file);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** Who schedules events at the gateway of `url`. */
export async function owner({ url, adminKey }) {
  const api = async (method, path, headers, body) => {
    const isForm = body instanceof FormData;
    const type = isForm || body === undefined ? {} : { 'content-type': 'application/json' };
    const answer = await fetch(new URL(path, url), { method, headers: { ...headers, ...type }, body: isForm ? body : JSON.stringify(body) });
    const text = await answer.text();
    if (answer.status !== 200) throw new Error(`${method} ${path}: ${answer.status} ${text}`);
    return JSON.parse(text);
  };
  const client = await api('POST', '/api/admin/sdk-clients', { 'x-admin-key': adminKey }, { name: 'App', contactEmail: 'a@example.test', agreeTerms: true });
  const key = { 'x-api-key': client.apiKey };
  const { token } = await api('POST', '/api/users/signup', key, { username: 'Ann', email: 'ann@example.test', password: 's3cretpass' });
  const ann = { ...key, authorization: `Bearer ${token}` };
  const call = (method, path, body) => api(method, path, ann, body);
  return {
    call,
    schedule: (fields) => call('POST', '/api/events/schedule', fields),
    /** Sends the film, and waits until all of it can play. */
    upload: async (event, film = FILM) => {
      const form = new FormData();
      form.append('file', new Blob([await makeFilm(film)], { type: 'video/mp4' }), 'film.mp4');
      await call('POST', `/api/events/${event.id}/upload`, form);
      for (const until = Date.now() + PREPARED_MS; Date.now() < until;) {
        const { file } = await call('GET', `/api/events/${event.id}`);
        if (file.state === 'prepared') return;
        if (file.state === 'failed') throw new Error(`the film cannot be prepared: ${file.error}`);
        await sleep(300);
      }
      throw new Error('the film is not prepared');
    },
    start: (event) => call('POST', `/api/events/${event.id}/start-video`),
  };
}

const median = (values) => [...values].sort((a, b) => a - b)[values.length >> 1];

/** The distance of two moments, ms, of a film that begins anew after `length`, or of what has no length. */
export function apart(a, b, length) {
  return length ? a - b - Math.round((a - b) / length) * length : a - b;
}

/**
 * Where viewers are in a film: for each list of frames, [came on screen at, number], the median of position minus
 * time, ms. `length` is the film's, ms.
 */
export function place(frames, fps, length) {
  const positions = frames.map(([shown, number]) => (number * 1000) / fps - shown);
  // All distances are taken from the first, so that a seam is none.
  return positions[0] + median(positions.map((position) => apart(position, positions[0], length)));
}

/** Where a film is meant to be on screen, by `/sync`, in the same measure; and how long it is. */
export async function meant(sync) {
  const event = await (await fetch(sync)).json();
  return { event, place: (event.currentPosition - event.targetLatency) * 1000 - Date.parse(event.serverTime), length: (event.duration ?? 0) * 1000 };
}
