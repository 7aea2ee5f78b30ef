// An encoder on a bad line: its cable stalls at random and is narrow at times, as a phone's is. No player meets an
// error, the gateway's memory stays flat; how often a viewer waits is printed.
import { Encoder, WIDTH } from './encoder.mjs';
import { Gateway, isChosen, sleep, stage, table, view } from './lib.mjs';
import { judge } from './sight.mjs';

const seconds = Number(process.env.SOAK_SECONDS ?? 180);
/** Pauses between one trouble and the next, stalls, and dips, milliseconds: least and most. */
const [CALM_MS, STALL_MS, DIP_MS] = [[1500, 5000], [200, 2000], [1000, 4000]];
/** In a dip: a third of what the encoder sends. */
const DIP_BYTES_PER_SECOND = 40_000;
/** Of all troubles. */
const DIPS = 0.3;
/** What memory may grow by over the second half of the run: noise of the allocator, not a leak. */
const GROWTH_MB = 6;

/** The same troubles in every run. */
function dice(seed) {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}

/** Troubles the link until `isOver` says so; gives how many there were. */
async function trouble(link, isOver) {
  const random = dice(20_261_122);
  const between = ([least, most]) => least + random() * (most - least);
  const count = { stalls: 0, dips: 0 };
  while (!isOver()) {
    await sleep(between(CALM_MS));
    if (random() < DIPS) {
      count.dips += 1;
      link.bytesPerSecond = DIP_BYTES_PER_SECOND;
      await sleep(between(DIP_MS));
      link.bytesPerSecond = Number.POSITIVE_INFINITY;
    } else {
      count.stalls += 1;
      link.cut();
      await sleep(between(STALL_MS));
      link.mend();
    }
  }
  return count;
}

const CASES = [
  { name: 'ladder on / hls', env: {}, player: 'hls' },
  { name: 'ladder off / hls', env: { FOREBAY_LADDER: 'off' }, player: 'hls' },
  { name: 'ladder off / dash', env: { FOREBAY_LADDER: 'off' }, player: 'dash' },
  { name: 'ladder off / shaka', env: { FOREBAY_LADDER: 'off' }, player: 'shaka' },
];

await stage(`lossy: an encoder on a bad line for ${seconds} s`, async (promise) => {
  const rows = [];
  for (const [index, { name, env, player }] of CASES.entries()) {
    if (!isChosen(index, name)) continue;
    const gateway = await Gateway.start(env);
    const encoder = await Encoder.start(gateway);
    try {
      const id = await gateway.stream();
      await sleep(8000);
      const viewer = view(player, player === 'dash' ? gateway.dash(id, 'll') : gateway.hls(id), { seconds, raw: true, args: ['--source-width', String(WIDTH)] });
      if (!(await viewer.begun)) throw new Error(`${player} does not begin: ${(await viewer.figures).error}`);
      gateway.memory = [];
      const began = Date.now();
      const [figures, count] = await Promise.all([viewer.figures, trouble(encoder.link, () => Date.now() - began > (seconds - 10) * 1000)]);
      const seen = judge(figures.raw, { goneAt: began, returnedAt: began });
      const rss = gateway.rss();
      const fatal = figures.errors.filter((error) => error.fatal).map(({ what }) => what);
      rows.push({
        case: name, 'stalls of the line': count.stalls, dips: count.dips, 'viewer stalls': figures.stalls.count, 'stalled s': figures.stalls.totalMs / 1000,
        'longest still s': seen.stillMs / 1000, 'behind s before': seen.delayBeforeMs / 1000, 'at the end': seen.delayAfterMs / 1000, fatal: fatal.join(' ') || 0,
        refused: encoder.refusals, dropped: encoder.drops, 'RSS MB middle': rss.middle, end: rss.end, highest: rss.max,
      });
      promise(`${name}: no fatal error, no reload, live at the end`, fatal.length === 0 && seen.restarts === 0 && seen.isLive);
      promise(`${name}: the encoder is neither refused nor thrown out`, encoder.refusals + encoder.drops === 0);
      promise(`${name}: memory grows by less than ${GROWTH_MB} MB in the second half`, rss.end - rss.middle < GROWTH_MB);
    } finally {
      await encoder.end();
      await gateway.stop();
    }
  }
  table('Lossy', rows);
});
