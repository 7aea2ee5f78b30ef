// Puts a film on that begins anew every 7.3 seconds, of 29.97 frames and 44,100 samples a second, and prints where it
// plays as one JSON object.
//
//   node loop.mjs --url http://HOST/ --admin-key K
import { parseArgs } from 'node:util';
import { at, meant, ODD, owner, PREPARED_ODD, sleep } from './event.mjs';

const { values: options } = parseArgs({ options: { url: { type: 'string' }, 'admin-key': { type: 'string' } } });
const HOUR_MS = 3_600_000;

const ann = await owner({ url: options.url, adminKey: options['admin-key'] });
const event = await ann.schedule({
  title: 'Loop', scheduledStartTime: at(Date.now() + HOUR_MS), scheduledEndTime: at(Date.now() + 2 * HOUR_MS), repeatMode: 'until_end', repeatUntilEnd: true,
});
await ann.upload(event, ODD);
await ann.start(event);
const sync = new URL(`/api/events/${event.id}/sync`, options.url).href;
while (!(await meant(sync)).event.isPlaying) await sleep(100);
// A turn of it, which is more than players begin behind.
await sleep(PREPARED_ODD.seconds * 1000);
console.log(JSON.stringify({ id: event.streamId, length: (await meant(sync)).length, ...PREPARED_ODD }));
