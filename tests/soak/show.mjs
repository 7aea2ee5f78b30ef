// A film of odd length that loops, watched by three players at once for five minutes, dozens of times round: nobody
// waits at a seam, and the gateway's memory does not grow. Then the gateway is killed under a player, which goes on; and
// an encoder takes a film's place under each of the three, and gives it back.
import { execFileSync } from 'node:child_process';
import { readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';

import { Gateway, play, PLAYERS, scratch, sleep, stage, start, table, view } from './lib.mjs';

const seconds = Number(process.env.SOAK_SECONDS ?? 300);
/** What memory may grow by over the second half of the run: noise of the allocator, not a leak. */
const GROWTH_MB = 4;
/** How long a player of the gateway that is killed plays. */
const KILLED_S = 30;

/** 219 pictures at 29.97 a second, and sound that divides into no whole number of frames. */
function film(folder) {
  const path = join(folder, 'odd.mp4');
  const inputs = ['-f', 'lavfi', '-i', 'testsrc2=s=640x360:r=30000/1001:d=7.3', '-f', 'lavfi', '-i', 'sine=r=44100:d=7.32'];
  execFileSync('ffmpeg', ['-v', 'error', ...inputs, '-c:v', 'libx264', '-preset', 'ultrafast', '-pix_fmt', 'yuv420p', '-c:a', 'aac', path]);
  return path;
}

const ADMIN = 'SoakAdminKey-0123456789';

/** What takes the film's place. */
function clip(folder) {
  const path = join(folder, 'clip.flv');
  const inputs = ['-f', 'lavfi', '-i', 'testsrc2=s=640x360:r=25', '-f', 'lavfi', '-i', 'sine=r=48000', '-t', '10'];
  execFileSync('ffmpeg', ['-v', 'error', ...inputs, '-c:v', 'libx264', '-preset', 'ultrafast', '-g', '50', '-pix_fmt', 'yuv420p', '-c:a', 'aac', path]);
  return path;
}

/** Schedules it, uploads it and starts it: the event as it is then. */
async function show(gateway, path) {
  let headers = {};
  const json = async (method, path, body) => {
    const answer = await fetch(`${gateway.http}/api${path}`, { method, headers: { ...headers, 'content-type': 'application/json' }, body: body && JSON.stringify(body) });
    if (!answer.ok) throw new Error(`${path}: ${answer.status} ${await answer.text()}`);
    return answer.json();
  };
  const { token } = await json('POST', '/users/signup', { username: 'jane', email: 'jane@example.test', password: 's3cretpass' });
  headers = { authorization: `Bearer ${token}` };
  const { id } = await json('POST', '/events/schedule', {
    title: 'Round and round', scheduledStartTime: '2098-01-01T20:00:00Z', scheduledEndTime: '2099-01-01T20:00:00Z', repeatMode: 'until_end', repeatUntilEnd: true,
  });
  const form = new FormData();
  form.append('file', new Blob([await readFile(path)]), 'odd.mp4');
  const sent = await fetch(`${gateway.http}/api/events/${id}/upload`, { method: 'POST', headers, body: form });
  if (!sent.ok) throw new Error(`upload: ${sent.status} ${await sent.text()}`);
  await gateway.until('a prepared film', async () => (await json('GET', `/events/${id}`)).file.state === 'prepared');
  return json('POST', `/events/${id}/start-video`);
}

await stage(`show: three at once for ${seconds} s, then a kill`, async (promise) => {
  const folder = await scratch('films');
  const path = film(folder);
  const gateway = await Gateway.start({ FOREBAY_ADMIN_KEY: ADMIN });
  try {
    const { id, streamId } = await show(gateway, path);
    // A full window first, so that the line of memory has no ramp left.
    await sleep(Math.min(70_000, seconds * 1000));
    gateway.memory = [];
    const viewers = [['hls', gateway.hls(streamId)], ['dash', gateway.dash(streamId, 'll')], ['shaka', gateway.dash(streamId)]];
    const all = await Promise.all(viewers.map(([player, url]) => play(player, url, { seconds })));
    const rss = gateway.rss();
    table('Three players of a loop', all.map((seen, index) => ({
      player: viewers[index][0], 'first frame ms': seen.firstFrameMs, 'played s': seen.playedSeconds, stalls: seen.stalls?.count, 'stalled ms': seen.stalls?.totalMs,
      'latency ms': seen.latencyMs?.median, frames: seen.decodedFrames, dropped: seen.droppedFrames, gaps: seen.gaps?.length,
      errors: seen.errors?.map(({ what }) => what).join(' ') || seen.error || 0,
    })));
    table('Memory of the gateway (RSS)', [{ 'middle MB': rss.middle, 'end MB': rss.end, 'highest MB': rss.max, samples: gateway.memory.length }]);
    all.forEach((seen, index) => promise(`${viewers[index][0]}: ${seconds} s without a stall`, seen.ok && seen.stalls.count === 0));
    promise(`memory grows by less than ${GROWTH_MB} MB in the second half`, rss.end - rss.middle < GROWTH_MB);

    const position = async () => (await fetch(`${gateway.http}/api/events/${id}/sync`)).json();
    const watching = view('hls', gateway.hls(streamId), { seconds: KILLED_S });
    await watching.begun;
    const before = await position();
    await gateway.restart('SIGKILL');
    const after = await position();
    const seen = await watching.figures;
    const turns = (at) => at.loopIndex * at.duration + at.currentPosition;
    const passed = (Date.parse(after.serverTime) - Date.parse(before.serverTime)) / 1000;
    table('A player while the gateway is killed', [{ 'played s': seen.playedSeconds, stalls: seen.stalls?.count, 'stalled ms': seen.stalls?.totalMs, errors: seen.errors?.map(({ what }) => what).join(' ') || seen.error || 0 }]);
    promise('after a kill the position is where the clock says', Math.abs(turns(after) - turns(before) - passed) < 0.01);
    promise('its player goes on', seen.ok);

    const options = ['--url', `${gateway.http}/`, '--admin-key', ADMIN, '--rtmp', gateway.rtmp, '--clip', clip(folder)];
    const taking = start('node', [join(PLAYERS, 'takeover.mjs'), ...options], { stdio: ['ignore', 'pipe', 'pipe'] });
    await taking.ended;
    const taken = JSON.parse(taking.said.split('\n').find((line) => line.startsWith('{')) ?? '{"done":[]}');
    table('Film, encoder, film', taken.done.map(({ player, offMs, stalls, errors }) => ({ player, 'off ms': offMs.join(' '), stalls: stalls.length, errors: errors.length })));
    promise(`three players go from film to encoder and back${taken.trouble ? `: ${taken.trouble}` : ''}`, taken.ok === true);
  } finally {
    await gateway.stop();
    await rm(folder, { recursive: true, force: true });
  }
});
