// Calls about events. They go to `/api/admin`, where the session's cookie goes; only positions are public.
import { call, segment } from '../api.js';

const event = (id) => `events/${segment(id)}`;
/** In one answer. */
const MANY = 500;
/** Answers for one status, at most. */
const MOST_ANSWERS = 20;

/** What is on, comes or failed, and what is over. */
export async function events() {
  return (await Promise.all(['active', 'scheduled', 'error', 'completed'].map(ofStatus))).flat();
}

async function ofStatus(status) {
  const all = [];
  for (let turn = 0; turn < MOST_ANSWERS; turn += 1) {
    const { events: some } = await call('GET', `events?status=${status}&limit=${MANY}&offset=${all.length}`);
    all.push(...some);
    if (some.length < MANY) break;
  }
  return all;
}

export const create = (applicationId, wanted) => call('POST', `events${applicationId ? `?applicationId=${segment(applicationId)}` : ''}`, wanted);
export const change = (id, wanted) => call('PUT', event(id), wanted);
export const remove = (id) => call('DELETE', event(id));
export const start = (id) => call('POST', `${event(id)}/start-video`);
export const end = (id) => call('POST', `${event(id)}/end`);
export const takeOver = (id) => call('POST', `${event(id)}/takeover`);
export const giveBack = (id) => call('POST', `${event(id)}/give-back`);

/** What is prepared of an event's film, from its beginning to its end. */
export const film = (id) => `/api/admin/${event(id)}/film/index.m3u8`;
/** Where uploads into an event are made; and where one is, of which the server told its own path. */
export const uploads = (id) => `/api/admin/${event(id)}/uploads`;
export const locate = (told) => `/api/admin/uploads/${segment(decodeURIComponent(told.match(/\/uploads\/([^/?#]+)\/?$/)?.[1] ?? ''))}`;

/** What is on now; `base` is where viewers go. With the times at which it was asked and answered. */
export async function sync(base, id) {
  const askedAt = Date.now();
  const answer = await fetch(`${base}/api/events/${segment(id)}/sync`, { cache: 'no-store', credentials: 'omit', signal: AbortSignal.timeout(5000) });
  const heardAt = Date.now();
  if (!answer.ok) throw new Error(`status ${answer.status}`);
  return { ...(await answer.json()), askedAt, heardAt };
}
