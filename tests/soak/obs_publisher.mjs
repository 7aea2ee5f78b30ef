// Real OBS for tests that are written elsewhere: publishes until standard input ends, and is gone then.
//
//   node obs_publisher.mjs rtmp://HOST:PORT/live KEY [seconds between key frames; 0, OBS's own 8.33 s]
import { rm } from 'node:fs/promises';
import { startObs, writeHome } from './obs.mjs';
import { stop } from './lib.mjs';

const [server, key, keyint = '0'] = process.argv.slice(2);
const home = await writeHome(server, Number(keyint), key);
const obs = startObs(home);
const over = new Promise((resolve) => { process.stdin.on('end', resolve).on('error', resolve).resume(); });
const wasWanted = await Promise.race([over.then(() => true), obs.ended.then(() => false)]);
if (!wasWanted) console.error(`obs_publisher: OBS ended\n${obs.said.slice(-3000)}`);
await stop(obs);
await rm(home, { recursive: true, force: true });
process.exit(0);
