// What is on now of each event that is looked at: the server says it now and then, in between it ticks here, by
// the server's clock.
import { sync } from './calls.js';

/** Each is asked for so often, and while an encoder may come or go. */
const SYNC_MS = 15_000;
const SYNC_SOON_MS = 2000;
/** The best of the round trips of this time tells the difference of the clocks. */
const BEST_OF_MS = 120_000;

/** The differences of the clocks as they were measured: `{ at, roundTrip, offset }`. */
const measured = [];
/** What the server said, by events: `{ told, at }`. */
const known = new Map();
const asking = new Set();

function measure({ askedAt, heardAt, serverTime }) {
  const server = typeof serverTime === 'number' ? serverTime : Date.parse(serverTime);
  if (!Number.isFinite(server)) return;
  measured.push({ at: heardAt, roundTrip: heardAt - askedAt, offset: server - (askedAt + heardAt) / 2 });
  while (heardAt - measured[0].at > BEST_OF_MS) measured.shift();
}

/** The time by the server's clock. */
export function serverNow() {
  const best = measured.reduce((found, one) => (found === null || one.roundTrip < found.roundTrip ? one : found), null);
  return Date.now() + (best?.offset ?? 0);
}

/** Asks the server where it does not tell itself, and lets go of what nobody looks at. */
export function follow(base, events) {
  const now = Date.now();
  for (const id of known.keys()) if (!events.some((event) => event.id === id)) known.delete(id);
  for (const event of events) {
    const last = known.get(event.id);
    // A change of what is on makes another revision of the event: it is asked for at once.
    const isOld = !last || now - last.at > (isCalledFor(event) ? SYNC_SOON_MS : SYNC_MS) || last.updatedAt !== event.updatedAt || last.isCalledFor !== isCalledFor(event) || last.status !== event.status;
    if (!isOld || asking.has(event.id)) continue;
    asking.add(event.id);
    sync(base, event.id).then((told) => {
      measure(told);
      known.set(event.id, { told, at: now, updatedAt: event.updatedAt, isCalledFor: isCalledFor(event), status: event.status });
    }, () => {}).finally(() => asking.delete(event.id));
  }
}

const loops = (event) => event.repeatMode === 'until_end' && event.repeatUntilEnd === true;

/** The length of an event's film in seconds; `null`: not known yet. */
export const duration = (event) => known.get(event.id)?.told.duration || event.file?.duration || null;

/** What of the film is on at a time of the server's clock: seconds, or `null`. */
export function positionAt(event, at) {
  const told = known.get(event.id)?.told;
  const begin = Date.parse(told?.playbackStartedAt ?? event.playbackStartedAt ?? '');
  if (event.status !== 'active' || Number.isNaN(begin) || at < begin) return null;
  const seconds = (told?.initialPosition ?? 0) + (at - begin) / 1000;
  const length = duration(event);
  if (!length) return seconds;
  return loops(event) ? seconds % length : Math.min(seconds, length);
}

/** Whether an encoder may take the place of the film. */
export const isCalledFor = (event) => event.status === 'active' && (event.takeover ?? event.live) === true;

/** Whether one is on air there. */
export const isLive = (event) => event.status === 'active' && (known.get(event.id)?.told.live ?? event.now?.live) === true;

/** What of the film is on now. */
export function nowPlaying(event) {
  return positionAt(event, serverNow());
}
