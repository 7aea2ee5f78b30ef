// Files of the largest size into an event: as a form and in pieces, while the gateway's memory is read; and one byte
// more than that, declared and not.
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { open, rm, stat, truncate } from 'node:fs/promises';
import { request } from 'node:http';
import { join } from 'node:path';

import { Gateway, scratch, stage, table } from './lib.mjs';

const MOST_BYTES = 2 ** 30;
/** What an upload may add to the gateway's memory, MB. */
const MOST_MB = 32;
const EDGE = 'edge-of-the-form';

/** Sends a body from a stream or text parts; code and body of the answer, also where not all of it was taken. */
function send(gateway, method, path, headers, parts) {
  return new Promise((resolve, reject) => {
    const call = request(`${gateway.http}${path}`, { method, headers });
    let isAnswered = false;
    call.on('response', (answer) => {
      isAnswered = true;
      let text = '';
      answer.setEncoding('utf8').on('data', (some) => { text += some; }).on('end', () => resolve({ code: answer.statusCode, headers: answer.headers, text }));
    });
    // A refusal comes before the end of the body.
    call.on('error', (error) => setTimeout(() => isAnswered || reject(error), 1000));
    const write = async () => {
      for (const part of parts) {
        for await (const piece of part) {
          if (isAnswered || call.destroyed) return;
          if (!call.write(piece)) await new Promise((go) => { call.once('drain', go); call.once('close', go); });
        }
      }
      call.end();
    };
    write().catch(reject);
  });
}

async function json(gateway, method, path, token, body) {
  const answer = await fetch(`${gateway.http}${path}`, {
    method, headers: { 'content-type': 'application/json', ...(token && { authorization: token }) }, body: body && JSON.stringify(body),
  });
  if (!answer.ok) throw new Error(`${path}: ${answer.status} ${await answer.text()}`);
  return answer.json();
}

/** A film of so many bytes: a box that nobody shows fills it up (ISO/IEC 14496-12, 8.1.2). */
async function film(folder, bytes) {
  const path = join(folder, `${bytes}.mp4`);
  execFileSync('ffmpeg', ['-v', 'error', '-f', 'lavfi', '-i', 'testsrc2=s=320x180:r=25:d=2', '-c:v', 'libx264', path]);
  const { size } = await stat(path);
  const head = Buffer.alloc(8);
  head.writeUInt32BE(bytes - size);
  head.write('free', 4);
  const file = await open(path, 'r+');
  await file.write(head, 0, 8, size);
  await file.close();
  await truncate(path, bytes);
  const sum = createHash('sha256');
  for await (const piece of createReadStream(path)) sum.update(piece);
  return { path, bytes, sha256: sum.digest('hex') };
}

function form({ path, bytes }) {
  const head = `--${EDGE}\r\nContent-Disposition: form-data; name="file"; filename="a.mp4"\r\n\r\n`;
  const tail = `\r\n--${EDGE}--\r\n`;
  return {
    length: head.length + bytes + tail.length,
    kind: `multipart/form-data; boundary=${EDGE}`,
    parts: () => [[head], createReadStream(path), [tail]],
  };
}

await stage('upload', async (promise) => {
  const folder = await scratch('films');
  const largest = await film(folder, MOST_BYTES);
  const larger = await film(folder, MOST_BYTES + 1);
  const gateway = await Gateway.start();
  const rows = [];
  try {
    const { token } = await json(gateway, 'POST', '/api/users/signup', null, { username: 'jane', email: 'jane@example.test', password: 's3cretpass' });
    const authorization = `Bearer ${token}`;
    const event = await json(gateway, 'POST', '/api/events/schedule', authorization, { title: 'Premiere', scheduledStartTime: '2099-01-01T20:00:00Z' });
    const file = async () => (await json(gateway, 'GET', `/api/events/${event.id}`, authorization)).file;

    /** Does it, and adds a row with what it took. */
    const measured = async (what, work) => {
      await gateway.sample();
      const before = gateway.memory.at(-1).mb;
      gateway.memory.length = 0;
      const sampler = setInterval(() => gateway.sample(), 50);
      const begun = Date.now();
      const answer = await work().finally(() => clearInterval(sampler));
      await gateway.sample();
      const row = { upload: what, code: answer.code, s: (Date.now() - begun) / 1000, 'more MB': Math.max(...gateway.memory.map(({ mb }) => mb)) - before };
      rows.push(row);
      return { ...answer, row };
    };
    const post = (body, headers) => send(gateway, 'POST', `/api/events/${event.id}/upload`, { authorization, 'content-type': body.kind, ...headers }, body.parts());

    const whole = form(largest);
    const first = await measured('2^30 as a form', () => post(whole, { 'content-length': whole.length }));
    promise('a form of 2^30 bytes is accepted', first.code === 200 && (await file()).sha256 === largest.sha256);
    promise(`it takes less than ${MOST_MB} MB`, first.row['more MB'] < MOST_MB);

    const made = await send(gateway, 'POST', `/api/events/${event.id}/uploads`, { authorization, 'tus-resumable': '1.0.0', 'upload-length': MOST_BYTES, 'content-length': 0 }, []);
    const pieces = await measured('2^30 by tus', () => send(gateway, 'PATCH', made.headers.location, {
      authorization, 'tus-resumable': '1.0.0', 'upload-offset': 0, 'content-type': 'application/offset+octet-stream', 'content-length': MOST_BYTES,
    }, [createReadStream(largest.path)]));
    promise('2^30 bytes by tus are accepted', pieces.code === 204 && (await file()).sha256 === largest.sha256);
    promise(`they take less than ${MOST_MB} MB`, pieces.row['more MB'] < MOST_MB);

    const more = form(larger);
    const counted = await measured('2^30 + 1, not declared', () => post(more, {}));
    promise('one byte more is counted and refused', counted.code === 413);
    const far = form({ ...larger, bytes: 2 * MOST_BYTES });
    const early = await measured('2^31, declared', () => post({ ...far, parts: () => [] }, { 'content-length': far.length }));
    promise('what is declared too large is refused before it is sent', early.code === 413 && early.row.s < 5);
    promise('what was refused is not in its place', (await file()).sha256 === largest.sha256);
  } finally {
    table('Uploads of the largest size', rows);
    await gateway.stop();
    await rm(folder, { recursive: true, force: true });
  }
});
