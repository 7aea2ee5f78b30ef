// How far behind the camera players are: clocked picture, glass to glass, time to the first frame.
import { Gateway, isChosen, play, publish, sleep, stage, stop, table } from './lib.mjs';

const seconds = Number(process.env.SOAK_SECONDS ?? 20);
const OBS_DEFAULT = '-preset veryfast -x264-params keyint=250:bframes=3:rc-lookahead=0:sync-lookahead=0';
/** What our own page lays over hls.js: a viewer that began late plays faster until it is where it should be. */
const PAGE = { pace: true };
const CASES = [
  { name: 'ladder off, 2 s GOP', env: { FOREBAY_LADDER: 'off' }, publisher: { gop: 60 }, players: ['hls', 'page', 'dash', 'shaka'] },
  { name: 'ladder off, 8.33 s GOP', env: { FOREBAY_LADDER: 'off' }, publisher: { gop: 250, codec: OBS_DEFAULT }, players: ['hls', 'page'] },
  { name: 'ladder on, 2 s GOP', env: {}, publisher: { gop: 60 }, players: ['hls', 'page'] },
  { name: 'ladder on, 8.33 s GOP', env: {}, publisher: { gop: 250, codec: OBS_DEFAULT }, players: ['hls', 'page'] },
];

await stage('latency: glass to glass', async (promise) => {
  const rows = [];
  for (const [index, { name, env, publisher, players }] of CASES.entries()) {
    if (!isChosen(index, name)) continue;
    const gateway = await Gateway.start(env);
    const encoder = publish(gateway.publishUrl, { ...publisher, clock: true });
    const id = await gateway.stream();
    await sleep(12_000);
    for (const player of players) {
      const url = player === 'dash' ? gateway.dash(id, 'll') : gateway.hls(id);
      const seen = await play(player === 'page' ? 'hls' : player, url, { seconds, config: player === 'page' ? PAGE : undefined, args: ['--source-width', '640'] });
      rows.push({
        case: name, player: player === 'page' ? 'hls as in page' : player, 'first frame ms': seen.firstFrameMs, 'glass median ms': seen.glassToGlassMs?.median, 'glass p95 ms': seen.glassToGlassMs?.p95,
        'player says ms': seen.latencyMs?.median, 'target ms': seen.targetLatency && Math.round(seen.targetLatency * 1000),
        stalls: seen.stalls?.count, 'stalled ms': seen.stalls?.totalMs, errors: seen.errors?.length ?? seen.error,
      });
      if (process.env.SOAK_DEBUG) console.log(JSON.stringify({ ...seen, positions: undefined }));
      promise(`${name}: ${player} plays without a stall`, seen.ok && seen.stalls.count === 0);
    }
    await stop(encoder, 'SIGKILL');
    await gateway.stop();
  }
  table('Latency', rows);
});
