// Three viewers at once for five minutes, each a player of its own in a Chromium of its own. Nobody waits,
// and the gateway's memory does not grow.
import { Gateway, play, publish, sleep, stage, stop, table } from './lib.mjs';

const seconds = Number(process.env.SOAK_SECONDS ?? 300);
/** What memory may grow by over the second half of the run: noise of the allocator, not a leak. */
const GROWTH_MB = 4;

await stage(`players: three at once for ${seconds} s`, async (promise) => {
  const gateway = await Gateway.start({ FOREBAY_LADDER: process.env.SOAK_LADDER ?? 'off' });
  const encoder = publish(gateway.publishUrl);
  const id = await gateway.stream();
  // A full window first, so that the line of memory has no ramp left.
  await sleep(Math.min(70_000, seconds * 1000));
  gateway.memory = [];
  const viewers = [['hls', gateway.hls(id)], ['dash', gateway.dash(id, 'll')], ['shaka', gateway.hls(id)]];
  const all = await Promise.all(viewers.map(([player, url]) => play(player, url, { seconds })));
  const rss = gateway.rss();
  await stop(encoder, 'SIGKILL');
  await gateway.stop();
  table('Three players at once', all.map((seen, index) => ({
    player: viewers[index][0], 'first frame ms': seen.firstFrameMs, 'played s': seen.playedSeconds, stalls: seen.stalls.count, 'stalled ms': seen.stalls.totalMs,
    'latency ms': seen.latencyMs?.median, 'p95 ms': seen.latencyMs?.p95, 'frames': seen.decodedFrames, dropped: seen.droppedFrames, gaps: seen.gaps?.length,
    errors: seen.errors?.map(({ what }) => what).join(' ') || seen.error || 0,
  })));
  table('Memory of the gateway (RSS)', [{ 'middle MB': rss.middle, 'end MB': rss.end, 'highest MB': rss.max, samples: gateway.memory.length }]);
  all.forEach((seen, index) => promise(`${viewers[index][0]}: ${seconds} s without a stall`, seen.ok && seen.stalls.count === 0));
  promise(`memory grows by less than ${GROWTH_MB} MB in the second half`, rss.end - rss.middle < GROWTH_MB);
});
