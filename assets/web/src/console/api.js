// Calls to `/api/admin`. The session's cookie goes by itself and is not for scripts; changes are JSON from
// this origin, as the server demands.

export class Refused extends Error {
  constructor(status, word, reason) {
    super(reason ?? word ?? `status ${status}`);
    this.status = status;
    this.word = word;
  }
}

const DEADLINE_MS = 10_000;
let signedOut = () => {};

/** What to do when the session turns out to be over. */
export function onSignedOut(action) {
  signedOut = action;
}

export async function call(method, path, body) {
  const isChange = method !== 'GET';
  const answer = await fetch(`/api/admin/${path}`, {
    method,
    headers: { accept: 'application/json', ...(isChange && { 'content-type': 'application/json' }) },
    body: body === undefined ? undefined : JSON.stringify(body),
    credentials: 'same-origin',
    cache: 'no-store',
    signal: AbortSignal.timeout(DEADLINE_MS),
  });
  const text = await answer.text();
  let value = null;
  try {
    value = JSON.parse(text);
  } catch {
    // A proxy's page, or nothing: the code tells.
  }
  if (answer.ok) return value;
  if (answer.status === 401 && path !== 'session') signedOut();
  throw new Refused(answer.status, value?.status, value?.reason);
}

export const segment = encodeURIComponent;
/** Where a file of a user is on this page's own host. Users name paths: what leads elsewhere is left out. */
const uploaded = (address) => address?.match(/\/uploads\/[\w-]+\/\w[\w.-]*$/)?.[0] ?? null;
const channel = (id) => `channels/${segment(id)}`;

export const session = () => call('GET', 'session');
export const signIn = (key) => call('POST', 'session', { key });
export const signOut = () => call('DELETE', 'session');
export const switchTo = (streamId, publisher) => call('POST', `streams/${segment(streamId)}/switch`, { publisher });
export const thumbnail = (streamId, turn) => `/api/admin/streams/${segment(streamId)}/thumbnail?t=${turn}`;
export const channels = async () => (await call('GET', 'channels')).channels;
/** Those that are not over; of more, the newest. */
export async function broadcasts() {
  const asked = ['active', 'created'].map((status) => call('GET', `broadcasts?status=${status}&limit=500`));
  const all = (await Promise.all(asked)).flatMap((answer) => answer.broadcasts);
  return all.map((one) => ({ ...one, poster: uploaded(one.posterUrl) }));
}
export const applications = async () => (await call('GET', 'applications')).applications;
export const create = async (applicationId, wanted) => (await call('PUT', 'channels', { applicationId, channel: wanted })).channel;
export const remove = (id) => call('DELETE', channel(id));
export const kill = (id, reason, keepStreams) => call('PUT', `${channel(id)}/kill`, { ...(reason && { reason }), options: keepStreams ? ['keep-streams'] : [] });
/** The members that were forked. */
export const fork = async (id, source, options) => (await call('PUT', `${channel(id)}/fork/${segment(source)}`, { options })).members;
export const key = async (id) => (await call('GET', `${channel(id)}/key`)).streamKey;
export const rotateKey = (id) => call('POST', `${channel(id)}/key`);
export const messages = async (id) => (await call('GET', `${channel(id)}/messages?limit=50`)).messages;
export const purge = (id) => call('DELETE', `${channel(id)}/messages`);
export const send = (id, text) => call('PUT', `${channel(id)}/message`, {
  message: { from: { screenName: 'Console', role: 'Moderator', lastUpdate: Date.now() }, mimeType: 'text/plain', message: text, tags: [] },
});
export const forwards = async (id) => (await call('GET', `${channel(id)}/forwards`)).forwards;
export const addForward = (id, wanted) => call('POST', `${channel(id)}/forwards`, wanted);
export const removeForward = (id, forward) => call('DELETE', `${channel(id)}/forwards/${segment(forward)}`);
/** The newest ones, and whether there are more. */
export const recordings = (id) => call('GET', `recordings?channel=${segment(id)}&limit=100`);
/** One, with the number of files it is downloaded as. */
export const recording = (id) => call('GET', `recordings/${segment(id)}`);
export const removeRecording = (id) => call('DELETE', `recordings/${segment(id)}`);

/**
 * Server-sent events. The browser connects again by itself, unless it was refused; `handlers.state` hears
 * whether it listens, and whether that is over.
 */
export function listen(handlers) {
  const source = new EventSource('/api/admin/streams/events');
  for (const name of ['stream', 'history', 'gone', 'ready', 'alive']) {
    source.addEventListener(name, (event) => handlers[name](JSON.parse(event.data)));
  }
  source.onopen = () => handlers.state(true);
  source.onerror = () => handlers.state(false, source.readyState === EventSource.CLOSED);
  return source;
}
