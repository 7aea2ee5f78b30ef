// The publisher goes away without a word for 5 s and comes back: same stream, same players, no reload.
import { Gateway, play, publish, sleep, stage, stop, table } from './lib.mjs';

/** Long enough for everybody to be playing before, and to settle after. */
const [BEFORE_MS, AWAY_MS, SECONDS] = [12_000, 5000, 45];

const sequence = async (url) => Number((await (await fetch(url.replace('index.m3u8', 'source/index.m3u8'))).text()).match(/MEDIA-SEQUENCE:(\d+)/)[1]);

await stage('away: a publisher is gone for 5 s', async (promise) => {
  const rows = [];
  const only = process.env.SOAK_CASES?.split(',').map(Number);
  let index = -1;
  for (const [name, env] of [['ladder off', { FOREBAY_LADDER: 'off' }], ['ladder on', {}]]) {
    for (const player of ['hls', 'dash', 'shaka']) {
      index += 1;
      if (only && !only.includes(index)) continue;
      const gateway = await Gateway.start(env);
      let encoder = publish(gateway.publishUrl);
      const id = await gateway.stream();
      await sleep(8000);
      const url = player === 'dash' ? gateway.dash(id) : gateway.hls(id);
      const playing = play(player, url, { seconds: SECONDS });
      await sleep(BEFORE_MS);
      const before = await sequence(gateway.hls(id));
      await stop(encoder, 'SIGKILL');
      await sleep(AWAY_MS);
      encoder = publish(gateway.publishUrl, { offset: 1000 });
      const seen = await playing;
      const isSame = (await gateway.stream()) === id;
      const after = await sequence(gateway.hls(id));
      await stop(encoder, 'SIGKILL');
      await gateway.stop();
      rows.push({
        case: name, player, 'same stream': isSame, 'sequence before': before, after, 'played s': seen.playedSeconds, stalls: seen.stalls.count,
        'stalled ms': seen.stalls.totalMs, 'latency ms at the end': seen.latencyMs?.median, errors: seen.errors?.map(({ what, fatal }) => `${what}${fatal ? '!' : ''}`).join(' ') || seen.error || 0,
      });
      if (process.env.SOAK_DEBUG) console.log(JSON.stringify(seen));
      promise(`${name}: the stream keeps its id and its sequence runs on`, isSame && after >= before);
      // Whoever is away for 5 s plus the encoder's start may cost a player that long, and no more.
      promise(`${name}: ${player} goes on without a reload`, !seen.errors?.some(({ fatal }) => fatal) && seen.playedSeconds > SECONDS - AWAY_MS / 1000 - 10);
    }
  }
  table('Publisher away', rows);
});
