// assets/web/sync.js with simulated clocks, networks and players, and all of it with a server that tells another time
// than this machine: `node --test pace.mjs`.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { test } from 'node:test';
import { Pace, programmeTime, ServerClock, Sync } from '../../assets/web/sync.js';

const TICK_MS = 100;
const TARGET_MS = 3000;
const HOUR_MS = 3_600_000;

/** A seeded generator: the same course in every run. */
function generator(seed) {
  let state = seed * 2654435761 >>> 0 || 1;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) / 2 ** 32;
  };
}

/**
 * A viewer in a world whose time is that of the gateway, in milliseconds. Its clock is off by `clockOffMs` and by
 * `drift`, `wayMs` gives how long a packet takes there and back, `jitterMs` is the element's, `seekMs` gives how long
 * a seek takes, `buffersAt` when and how long it waits for data.
 */
function viewer({
  seed = 1, startsAt = 0, beginsOffMs = 0, clockOffMs = 0, drift = 0, wayMs = (random) => [2 + 3 * random(), 2 + 3 * random()],
  jitterMs = 3, seekMs = (random) => 60 + 200 * random(), buffersAt = [], pausesAt = [], hasDrift = true,
} = {}) {
  const random = generator(seed);
  const epoch = Date.UTC(2026, 10, 22, 20);
  const local = (time) => (time - startsAt) * (1 + drift) + clockOffMs;
  const clock = new ServerClock();
  const pace = new Pace();
  const ask = (time) => {
    const [there, back] = wayMs(random);
    clock.add(local(time), local(time + there + back), Math.floor(epoch + time + there));
  };
  // What the element plays runs by the local clock as well.
  let position = startsAt - TARGET_MS + beginsOffMs;
  let busyUntil = -Infinity;
  let last = startsAt;
  let pauseUntil = -Infinity;
  const seen = { rates: [], seeks: [], states: [], offsets: [], worstAfter: 0 };
  let rate = 1;
  return {
    seen,
    pace,
    clock,
    position: () => position,
    moveBy: (ms) => {
      position += ms;
      pace.sought(clock.isSet ? epoch + position - (clock.at(local(last)) - TARGET_MS) : null, true);
    },
    step: (time) => {
      if (time < startsAt) return;
      const passed = time - last;
      const isBusy = time < busyUntil || buffersAt.some(([from, to]) => time >= from && time < to);
      const isPaused = pausesAt.some(([from, to]) => time >= from && time < to) || time < pauseUntil;
      if (!isBusy && !isPaused) position += passed * rate * (hasDrift ? 1 + drift : 1);
      last = time;
      const sinceStart = time - startsAt;
      if (sinceStart < 600 ? sinceStart % 100 === 0 : sinceStart % 20_000 === 0) ask(time);
      const offset = position - (time - TARGET_MS);
      const read = clock.isSet ? epoch + position + (random() - 0.5) * 2 * jitterMs - (clock.at(local(time)) - TARGET_MS) : null;
      const edge = time - 300;
      const what = pace.steer({
        now: local(time), offsetMs: read, isPaused, isWaiting: isBusy, aheadS: (edge - position) / 1000,
        canSeek: (seconds) => position + seconds * 1000 < edge - 400 && position + seconds * 1000 > time - 30_000,
      });
      if (what.rate !== rate) seen.rates.push([time, what.rate]);
      ({ rate } = what);
      if (what.seekS !== 0) {
        position += what.seekS * 1000;
        busyUntil = time + seekMs(random);
        seen.seeks.push([time, what.seekS]);
      }
      if (seen.states.at(-1)?.[1] !== what.state) seen.states.push([time, what.state]);
      seen.offsets.push([time, offset]);
    },
  };
}

function run(viewers, untilMs) {
  for (let time = 0; time <= untilMs; time += TICK_MS) for (const one of viewers) one.step(time);
}

const worst = (one, from, to = Infinity) => Math.max(...one.seen.offsets.filter(([time]) => time >= from && time < to).map(([, offset]) => Math.abs(offset)));
const mostOf = (one) => Math.max(...one.seen.rates.map(([, rate]) => Math.abs(rate - 1)), 0);

test('the clock is within half of the shortest round trip, whatever the asymmetry', () => {
  for (const [there, back] of [[5, 5], [1, 40], [40, 1], [200, 3]]) {
    const clock = new ServerClock();
    const epoch = Date.UTC(2026, 0, 1);
    clock.add(1000, 1000 + there + back, Math.floor(epoch + 1000 + there));
    const error = clock.at(2000) - (epoch + 2000);
    assert.ok(Math.abs(error) <= (there + back) / 2 + 1, `${there}/${back}: ${error}`);
    assert.ok(Math.abs(error) <= clock.uncertaintyMs + 1e-3, `${error} is more than ${clock.uncertaintyMs}`);
    assert.equal(clock.rttMs, there + back);
  }
});

test('round trips that are slow in one direction each bound the clock together', () => {
  const clock = new ServerClock();
  const epoch = Date.UTC(2026, 0, 1);
  clock.add(0, 81, epoch + 1);
  clock.add(200, 281, epoch + 280);
  assert.ok(Math.abs(clock.at(300) - (epoch + 300)) < 1.5, String(clock.at(300) - epoch - 300));
  assert.ok(clock.uncertaintyMs < 2);
});

test('a slow answer takes nothing from what is known', () => {
  const clock = new ServerClock();
  const epoch = Date.UTC(2026, 0, 1);
  clock.add(0, 4, epoch + 2);
  const before = clock.at(5000);
  clock.add(4000, 6500, epoch + 6490);
  assert.ok(Math.abs(clock.at(5000) - before) < 2, String(clock.at(5000) - before));
});

test('one answer out of a cache is not believed, a clock that was set is', () => {
  const clock = new ServerClock();
  const epoch = Date.UTC(2026, 0, 1);
  clock.add(0, 4, epoch + 2);
  clock.add(60_000, 60_004, epoch + 2);
  assert.ok(Math.abs(clock.at(60_000) - (epoch + 60_000)) < 25);
  for (const at of [80_000, 80_100]) clock.add(at, at + 4, epoch + at + HOUR_MS + 2);
  assert.ok(Math.abs(clock.at(81_000) - (epoch + 81_000 + HOUR_MS)) < 3);
  clock.add(82_000, 82_004, Number.NaN);
  assert.ok(Number.isFinite(clock.at(82_000)));
});

test('a viewer is at the common position within ten seconds, wherever the player began', () => {
  for (const beginsOffMs of [-2500, -900, -400, -130, -20, 0, 60, 300, 1500, 2300]) {
    for (let seed = 1; seed <= 20; seed += 1) {
      const one = viewer({ beginsOffMs, seed });
      run([one], 60_000);
      assert.ok(worst(one, 10_000) < 25, `${beginsOffMs} ms, seed ${seed}: ${worst(one, 10_000)} ms off, ${JSON.stringify(one.seen)}`);
      assert.ok(mostOf(one) <= 0.03 + 1e-9, `rate ${1 + mostOf(one)}`);
      assert.ok(one.seen.seeks.length <= 3, `${beginsOffMs} ms: ${JSON.stringify(one.seen.seeks)}`);
    }
  }
});

test('it learns how long a seek takes', () => {
  const one = viewer({ beginsOffMs: -2000, seekMs: () => 900 });
  run([one], 30_000);
  assert.ok(worst(one, 10_000) < 25, `${worst(one, 10_000)} ms, ${JSON.stringify(one.seen.seeks)}`);
  assert.equal(one.seen.seeks.length, 2);
});

test('two viewers who began seven seconds apart, with clocks hours off and bad lines, are together', () => {
  let furthest = 0;
  for (let seed = 1; seed <= 20; seed += 1) {
    const far = viewer({ seed, clockOffMs: -9 * HOUR_MS, beginsOffMs: -700, wayMs: (random) => [15 + 60 * random() ** 3, 10 + 20 * random()] });
    const near = viewer({ seed: seed + 100, startsAt: 7000, clockOffMs: 31 * 24 * HOUR_MS, drift: 100e-6, beginsOffMs: 400 });
    for (let time = 0; time <= 90_000; time += TICK_MS) {
      far.step(time);
      near.step(time);
      if (time > 17_000) furthest = Math.max(furthest, Math.abs(far.position() - near.position()));
    }
  }
  assert.ok(furthest < 50, `${furthest} ms`);
});

test('an hour with a clock that is off by 100 ppm stays together, in few steps', () => {
  for (const drift of [100e-6, -100e-6]) {
    const one = viewer({ drift });
    run([one], HOUR_MS);
    assert.ok(worst(one, 10_000) < 35, `${worst(one, 10_000)} ms`);
    assert.equal(one.seen.seeks.filter(([time]) => time > 10_000).length, 0);
    // 360 ms in an hour by 15 ms at a time, with a few steps each.
    assert.ok(one.seen.rates.length < 200, `${one.seen.rates.length} changes of the rate`);
  }
});

test('the rate does not flutter: it changes twice a second at most, and rests when it is there', () => {
  const one = viewer({ beginsOffMs: -800, jitterMs: 8, seed: 3 });
  run([one], 120_000);
  const times = one.seen.rates.map(([time]) => time);
  for (let index = 1; index < times.length; index += 1) {
    const isAtRest = one.seen.rates[index][1] === 1;
    assert.ok(times[index] - times[index - 1] >= 500 || isAtRest, JSON.stringify(one.seen.rates));
  }
  assert.ok(times.filter((time) => time > 15_000).length <= 8, JSON.stringify(one.seen.rates));
});

test('it leaves the element alone while that waits for data, then catches up', () => {
  const one = viewer({ buffersAt: [[20_000, 20_600], [60_000, 64_000]], seed: 5 });
  run([one], 120_000);
  for (const [from, to] of [[20_000, 20_600], [60_000, 64_000]]) {
    assert.ok(!one.seen.seeks.some(([time]) => time >= from && time < to), 'it sought');
    assert.ok(one.seen.rates.every(([time, rate]) => time < from || time >= to || rate === 1), 'it changed the rate');
    assert.ok(one.seen.states.some(([time, state]) => time === from && state === 'buffering'));
  }
  // 0.6 s by 3 %: twenty seconds and the end of it; 4 s by a seek.
  assert.ok(!one.seen.seeks.some(([time]) => time > 20_000 && time < 60_000), 'it sought for 0.6 s');
  assert.ok(worst(one, 50_000, 60_000) < 25, String(worst(one, 50_000, 60_000)));
  assert.ok(one.seen.seeks.some(([time]) => time > 64_000 && time < 66_000), 'it did not seek for 4 s');
  assert.ok(worst(one, 110_000) < 25, String(worst(one, 110_000)));
});

test('after a pause it is with the others again', () => {
  const one = viewer({ pausesAt: [[30_000, 37_000]], seed: 9 });
  run([one], 60_000);
  assert.ok(one.seen.states.some(([time, state]) => time === 30_000 && state === 'paused'));
  assert.ok(!one.seen.seeks.some(([time]) => time >= 30_000 && time < 37_000));
  assert.ok(worst(one, 50_000) < 25, String(worst(one, 50_000)));
});

test('who seeks away is left there, and drawn in again when back', () => {
  const one = viewer({ seed: 11 });
  run([one], 20_000);
  one.moveBy(-12_000);
  for (let time = 20_100; time <= 40_000; time += TICK_MS) one.step(time);
  assert.equal(one.seen.states.at(-1)[1], 'away');
  assert.ok(Math.abs(one.position() - (40_000 - TARGET_MS - 12_000)) < 50, String(one.position()));
  one.moveBy(11_000);
  for (let time = 40_100; time <= 60_000; time += TICK_MS) one.step(time);
  assert.ok(worst(one, 52_000) < 25, String(worst(one, 52_000)));
  one.pace.release();
  one.moveBy(-8000);
  for (let time = 60_100; time <= 70_000; time += TICK_MS) one.step(time);
  assert.equal(one.seen.states.at(-1)[1], 'away');
  one.pace.follow();
  for (let time = 70_100; time <= 90_000; time += TICK_MS) one.step(time);
  assert.ok(worst(one, 82_000) < 25, String(worst(one, 82_000)));
});

test('without anything to play at the common position it does not seek, and does not empty its buffer', () => {
  const pace = new Pace();
  for (let now = 0; now < 30_000; now += TICK_MS) {
    const what = pace.steer({ now, offsetMs: -5000, isPaused: false, isWaiting: false, aheadS: 0.3, canSeek: () => false });
    assert.deepEqual([what.rate, what.seekS], [1, 0]);
  }
});

test('seeks that do not help become rare', () => {
  const pace = new Pace();
  const seeks = [];
  for (let now = 0; now < 300_000; now += TICK_MS) {
    const what = pace.steer({ now, offsetMs: -5000, isPaused: false, isWaiting: false, aheadS: 5, canSeek: () => true });
    if (what.seekS !== 0) seeks.push(now);
  }
  assert.ok(seeks.length <= 10, JSON.stringify(seeks));
});

test('each player tells its date', () => {
  const at = Date.UTC(2026, 10, 22, 20, 0, 1, 250);
  const video = { currentTime: 11.25, getStartDate: () => new Date(at - 11_250) };
  assert.equal(programmeTime(video), at);
  assert.equal(programmeTime({ currentTime: 1 }), null);
  assert.equal(programmeTime({ currentTime: 1, getStartDate: () => new Date(Number.NaN) }), null);
  assert.equal(programmeTime(video, { get playingDate() { return new Date(at); } }), at);
  assert.equal(programmeTime(video, { get playingDate() { return null; } }), null);
  const dash = { isReady: () => true, isDynamic: () => true, timeAsUTC: () => at / 1000 };
  assert.equal(programmeTime(video, dash), at);
  const unready = { isReady: () => false, isDynamic: () => { throw new Error(); }, timeAsUTC: () => { throw new Error(); } };
  assert.equal(programmeTime(video, unready), null);
  const timeline = { getPresentationStartTime: () => at / 1000 - 11.25, getProgramDateTimeForTime: (time) => at / 1000 - 11.25 + time };
  for (const type of ['HLS', 'DASH']) {
    const shaka = { isLive: () => true, getManifestType: () => type, getManifest: () => ({ presentationTimeline: timeline }), getPlayheadTimeAsDate: () => new Date() };
    assert.equal(programmeTime(video, shaka), at);
    assert.equal(programmeTime(video, { ...shaka, isLive: () => false }), null);
    assert.equal(programmeTime(video, { ...shaka, getManifest: () => null }), null);
  }
  assert.equal(programmeTime(video, () => at), at);
  const destroyed = { get playingDate() { throw new TypeError(); } };
  assert.equal(programmeTime(video, destroyed), null);
});

/** What `Sync` uses of a media element: it plays by the clock of this machine. */
class Element extends EventTarget {
  seekable = { length: 1, start: () => 0, end: () => 1e6 };
  buffered = this.seekable;
  paused = false;
  seeking = false;
  readyState = 4;
  defaultPlaybackRate = 1;
  seeks = 0;
  #rate = 1;
  #position = 1000;
  #at = performance.now();

  get currentTime() {
    return this.#position + ((performance.now() - this.#at) / 1000) * this.#rate;
  }

  set currentTime(position) {
    [this.#position, this.#at, this.seeks] = [position, performance.now(), this.seeks + 1];
    this.dispatchEvent(new Event('seeked'));
  }

  get playbackRate() {
    return this.#rate;
  }

  set playbackRate(rate) {
    [this.#position, this.#at, this.#rate] = [this.currentTime, performance.now(), rate];
  }
}

/** A gateway by the contract, whose clock is off by `offMs`; what it does not have is 404. */
async function gateway(offMs, hasTime) {
  const asked = { '/api/events/a/sync': 0, '/time': 0 };
  const server = createServer((request, response) => {
    asked[request.url] += 1;
    const serverTime = new Date(Date.now() + offMs).toISOString();
    if (request.url.endsWith('/sync')) response.end(JSON.stringify({ serverTime, targetLatency: 2, isPlaying: true, live: false }));
    else if (hasTime) response.end(serverTime);
    else response.writeHead(404).end();
  });
  await once(server.listen(0, '127.0.0.1'), 'listening');
  return { server, asked, url: `http://127.0.0.1:${server.address().port}/api/events/a/sync` };
}

for (const hasTime of [true, false]) {
  test(`it steers an element by a gateway that is hours ahead, ${hasTime ? 'with' : 'without'} /time`, async () => {
    Object.assign(globalThis, { window: new EventTarget(), document: { baseURI: 'http://127.0.0.1/' }, HTMLMediaElement: { HAVE_FUTURE_DATA: 3 } });
    const offMs = 5 * HOUR_MS;
    const { server, asked, url } = await gateway(offMs, hasTime);
    const video = new Element();
    // What it shows is five seconds behind the common position at first.
    const epoch = Date.now() + offMs - 2000 - 5000 - video.currentTime * 1000;
    const states = new Set();
    let sync;
    await new Promise((resolve) => {
      sync = new Sync({
        url, video, player: () => epoch + video.currentTime * 1000,
        onReport: ({ state, offsetMs }) => {
          states.add(state);
          if (state === 'synced' && Math.abs(offsetMs) < 20) resolve();
        },
      });
    });
    const error = epoch + video.currentTime * 1000 - (Date.now() + offMs - 2000);
    const { event, rttMs, uncertaintyMs } = sync.report;
    sync.stop();
    server.close();
    server.closeAllConnections();
    assert.ok(Math.abs(error) < 60, `${error} ms`);
    assert.ok(states.has('adjusting') && video.seeks > 0 && video.seeks <= 3, `${[...states]}, ${video.seeks} seeks`);
    assert.deepEqual([event.isPlaying, video.playbackRate, video.defaultPlaybackRate], [true, 1, 1]);
    assert.ok(rttMs !== null && uncertaintyMs < 1000);
    assert.ok(hasTime ? asked['/time'] > 0 : asked['/api/events/a/sync'] > 1, JSON.stringify(asked));
  });
}

test('what is asked and never answered is asked again, and nothing after the end', async ({ mock }) => {
  Object.assign(globalThis, { window: new EventTarget(), document: { baseURI: 'http://127.0.0.1/' }, HTMLMediaElement: { HAVE_FUTURE_DATA: 3 } });
  // As in browsers of 2022.
  const { any } = AbortSignal;
  delete AbortSignal.any;
  mock.timers.enable({ apis: ['setTimeout', 'setInterval'] });
  let asked = 0;
  const fetched = mock.method(globalThis, 'fetch', (_, { signal }) => new Promise((_resolve, reject) => {
    asked += 1;
    signal.addEventListener('abort', () => reject(new Error('aborted')));
  }));
  const settle = async () => {
    for (let turn = 0; turn < 20; turn += 1) await Promise.resolve();
  };
  const video = new Element();
  const sync = new Sync({ url: 'http://127.0.0.1/api/events/a/sync', video });
  await settle();
  assert.equal(asked, 1);
  mock.timers.tick(5000);
  await settle();
  mock.timers.tick(1200);
  await settle();
  assert.equal(asked, 2);
  sync.stop();
  await settle();
  mock.timers.tick(60_000);
  await settle();
  assert.equal(asked, 2);
  assert.equal(video.playbackRate, 1);
  AbortSignal.any = any;
  fetched.mock.restore();
});
