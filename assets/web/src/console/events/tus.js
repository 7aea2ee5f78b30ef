// Resumable uploads (tus 1.0.0, core, creation and termination), one file in pieces. In: a file, and where
// uploads are made. Out: how far it is. It goes on after a broken connection by itself, and after a reload of
// the page with the same file: where it went is kept in this browser.

/** Pieces are this large: what proxies take at once, and little to send again. */
const PIECE_BYTES = 16 << 20;
/** Waits before another attempt. The last one repeats; up to a fifth is added at random. */
const BACKOFF_MS = [500, 1000, 2000, 4000, 8000, 15_000];
/** Without a byte for so long a connection counts as broken. */
const STILL_MS = 30_000;
/** The server looks into the file before it answers the last piece. */
const LOOKED_AT_MS = 120_000;
/** What may be over the next moment is tried so often, if nothing goes on in between. */
const MOST_REFUSALS = 3;
/** The speed is that of the last moments. */
const SPEED_OVER_MS = 6000;
const VERSION = { 'tus-resumable': '1.0.0' };

const place = (eventId) => `forebay-upload ${eventId}`;
const fingerprint = (file) => [file.name, file.size, file.lastModified].join(' ');

/** What is kept of an upload into an event that was not finished; `null`: nothing. */
export function unfinished(eventId) {
  try {
    return JSON.parse(localStorage.getItem(place(eventId)));
  } catch {
    return null;
  }
}

function keep(eventId, value) {
  try {
    if (value) localStorage.setItem(place(eventId), JSON.stringify(value));
    else localStorage.removeItem(place(eventId));
  } catch {
    // Without a store it cannot go on after a reload.
  }
}

export const forget = (eventId) => keep(eventId, null);

/** The server's refusal; without a status, nobody answered. */
class Refusal extends Error {
  constructor(status, reason, retryAfter) {
    super(reason ?? '');
    this.status = status;
    this.retryAfter = retryAfter;
  }
}

/** Sends one request. `on.sent` hears of bytes; `signal` ends it. `fetch` does not tell how far a body is. */
function send(method, url, { headers, body, signal, sent }) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    let timer = 0;
    const still = (ms) => {
      clearTimeout(timer);
      timer = setTimeout(() => request.abort(), ms);
    };
    request.open(method, url);
    for (const [name, value] of Object.entries({ ...VERSION, ...headers })) request.setRequestHeader(name, value);
    request.upload.onprogress = (event) => {
      still(STILL_MS);
      sent?.(event.loaded);
    };
    request.upload.onload = () => still(LOOKED_AT_MS);
    request.onload = () => {
      if (request.status >= 200 && request.status < 300) return resolve(request);
      let reason;
      try {
        ({ reason } = JSON.parse(request.responseText));
      } catch {
        // A proxy's page, or nothing: the code tells.
      }
      return reject(new Refusal(request.status, reason, Number(request.getResponseHeader('retry-after'))));
    };
    request.onerror = () => reject(new Refusal());
    request.onabort = () => reject(new Refusal());
    request.onloadend = () => {
      clearTimeout(timer);
      signal.removeEventListener('abort', end);
    };
    const end = () => request.abort();
    signal.addEventListener('abort', end);
    still(STILL_MS);
    request.send(body ?? null);
  });
}

/** Text as `Upload-Metadata` wants it. */
const base64 = (text) => btoa(String.fromCharCode(...new TextEncoder().encode(text)));

export class Upload {
  /** `sending`, `paused`, `waiting` (for the network), `done`, or `failed`. */
  state = 'paused';
  /** Bytes that the server has, and are on their way. */
  offset = 0;
  /** When `failed`: the status and the server's sentence; when `waiting`, why, or without a status that nobody answers. */
  refusal = null;
  #url = null;
  #running = null;
  #samples = [];
  /** Bytes that the server said it has. */
  #kept = 0;

  /** `uploads`: where they are made; `locate` says where one is from what the server called it. */
  constructor(file, { eventId, uploads, locate, changed }) {
    Object.assign(this, { file, eventId, uploads, locate, changed });
    const known = unfinished(eventId);
    if (known?.fingerprint === fingerprint(file)) this.#url = known.url;
  }

  get isOver() {
    return this.state === 'done' || this.state === 'failed';
  }

  /** Bytes in a second; 0 while nothing is sent. */
  get speed() {
    const [first, last] = [this.#samples[0], this.#samples.at(-1)];
    if (this.state !== 'sending' || !first || last.at - first.at < 200) return 0;
    return Math.max(0, ((last.offset - first.offset) * 1000) / (last.at - first.at));
  }

  start() {
    if (this.#running || this.isOver) return;
    this.#running = new AbortController();
    this.#run(this.#running.signal);
  }

  pause() {
    this.#stop();
    if (!this.isOver) this.#become('paused');
  }

  /** Ends it here and at the server. */
  async cancel() {
    this.#stop();
    forget(this.eventId);
    const url = this.#url;
    this.#url = null;
    this.#become('paused');
    // What is left there goes by itself after a while.
    if (url) await send('DELETE', url, { headers: { 'content-type': 'application/json' }, signal: new AbortController().signal }).catch(() => {});
  }

  #stop() {
    this.#running?.abort();
    this.#running = null;
  }

  #become(state) {
    this.state = state;
    this.#samples = [];
    this.changed(this);
  }

  #moved(offset, isKept = false) {
    this.offset = offset;
    if (isKept) this.#kept = offset;
    const now = performance.now();
    this.#samples.push({ at: now, offset });
    while (now - this.#samples[0].at > SPEED_OVER_MS) this.#samples.shift();
    this.changed(this);
  }

  async #run(signal) {
    let attempts = 0;
    let refusals = 0;
    while (!signal.aborted) {
      this.#become('sending');
      const before = this.#kept;
      try {
        await this.#proceed(signal);
        if (signal.aborted) return;
        forget(this.eventId);
        this.#stop();
        this.#become('done');
        return;
      } catch (error) {
        if (signal.aborted) return;
        if (this.#kept > before) [attempts, refusals] = [0, 0];
        if (error.status !== undefined) refusals += 1;
        this.refusal = error;
        if (!this.#isPassing(error, refusals)) {
          // What was refused is of no use later, unless somebody has to sign in again.
          if (error.status !== 401) forget(this.eventId);
          this.#stop();
          this.#become('failed');
          return;
        }
        this.#become('waiting');
        await this.#wait(Math.max(BACKOFF_MS[Math.min(attempts, BACKOFF_MS.length - 1)], (error.retryAfter || 0) * 1000), signal);
        attempts += 1;
      }
    }
  }

  /** Whether the same may succeed later: nobody answers, or another request still holds it. */
  #isPassing({ status }, refusals) {
    if (status === undefined || [408, 423, 429, 502, 503, 504].includes(status)) return true;
    // Where it is may not be known here, or it is not there any more, or what failed there was not of this file.
    return Boolean(this.#url) && [404, 409, 410, 500].includes(status) && refusals < MOST_REFUSALS;
  }

  #wait(ms, signal) {
    return new Promise((resolve) => {
      const done = () => {
        clearTimeout(timer);
        removeEventListener('online', done);
        signal.removeEventListener('abort', done);
        resolve();
      };
      const timer = setTimeout(done, ms * (1 + Math.random() / 5));
      addEventListener('online', done);
      signal.addEventListener('abort', done);
    });
  }

  /** Finds out where it is, and sends what is missing. */
  async #proceed(signal) {
    const { file } = this;
    let offset = await this.#find(signal);
    this.#moved(offset, true);
    while (offset < file.size) {
      const piece = file.slice(offset, offset + PIECE_BYTES);
      const begin = offset;
      const answer = await send('PATCH', this.#url, {
        headers: { 'upload-offset': String(begin), 'content-type': 'application/offset+octet-stream' },
        body: piece,
        signal,
        sent: (bytes) => this.#moved(begin + Math.min(bytes, piece.size)),
      });
      offset = Number(answer.getResponseHeader('upload-offset'));
      // Going back for ever would be no way on.
      if (!(offset > begin)) throw new Refusal();
      this.#moved(offset, true);
    }
  }

  async #find(signal) {
    if (this.#url) {
      try {
        const answer = await send('HEAD', this.#url, { signal });
        return Number(answer.getResponseHeader('upload-offset'));
      } catch (error) {
        if (![403, 404, 410].includes(error.status)) throw error;
        // It is not there any more: from the beginning.
        this.#url = null;
      }
    }
    const { file } = this;
    const answer = await send('POST', this.uploads, {
      headers: {
        'upload-length': String(file.size),
        'upload-metadata': `filename ${base64(file.name)}${file.type ? `,filetype ${base64(file.type)}` : ''}`,
        'content-type': 'application/json',
      },
      signal,
    });
    this.#url = this.locate(answer.getResponseHeader('location') ?? '');
    keep(this.eventId, { fingerprint: fingerprint(file), url: this.#url, name: file.name, size: file.size });
    return Number(answer.getResponseHeader('upload-offset') ?? 0);
  }
}
