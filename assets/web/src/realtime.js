// Real time on a watch page: whether a broadcast has a room, which of both ways the viewer takes, and what is said of
// it. What is in the room, with LiveKit's client, is `room.js`: loaded by who takes that way, and by nobody else.
import { recall, remember } from './memory.js';

/** From the wish to the first picture of the room, ms; then the playlists begin, and the room may still come. */
const PATIENCE_MS = 4000;
/** Waits before the room is tried again, ms. The last one repeats; a fifth is added at random. */
const RETRY_MS = [5000, 10_000, 20_000, 40_000, 120_000];
const REQUEST_MS = 5000;
/** Answers to the wish for a token after which there is nothing to wait for: private, over, no LiveKit. */
const FINAL = [401, 403, 404, 409, 503];

const byId = (id) => document.getElementById(id);

async function ask(path, method = 'GET') {
  const answer = await fetch(path, { method, signal: AbortSignal.timeout(REQUEST_MS) });
  if (!answer.ok) throw Object.assign(new Error(`status ${answer.status}`), { status: answer.status });
  return answer.json();
}

/**
 * `on` hears of it: `picture(session)`, the room has one and is to be shown; `smooth()`, the playlists are to be
 * played, for now or because the viewer wants that.
 */
export class Realtime {
  /** The gateway's LiveKit, `null` if it has none. */
  #provider = null;
  #known;
  #isOpen = false;
  #way;
  #broadcast = null;
  #session = null;
  /** Nothing, a first picture may come within moments, it is shown, or playlists play in its place. */
  #state = 'none';
  #attempt = 0;
  #failures = 0;
  /** Whether the room is not tried again by itself. */
  #isFinal = false;
  #timer = 0;
  #patience = 0;

  constructor({ video, stage, player, pass, on }) {
    Object.assign(this, { video, stage, pass, on });
    // Who names a player in the address means that one.
    const asked = player && (player === 'realtime' ? 'realtime' : 'smooth');
    this.#way = asked ?? recall('way');
    this.#known = window.RTCPeerConnection ? this.#look() : Promise.resolve();
    for (const way of ['realtime', 'smooth']) byId(`way-${way}`).onclick = () => this.choose(way);
  }

  /** Who knows only the first provider that is configured takes that one (contract, broadcasts, section 4.6). */
  async #look() {
    try {
      const first = (await ask('/api/streaming/providers')).find(({ isConfigured }) => isConfigured);
      if (first?.id === 'livekit') this.#provider = first;
    } catch { /* playlists always work */ }
  }

  get isOffered() {
    return this.#isOpen && this.#provider !== null;
  }

  get isShown() {
    return this.#state === 'shown';
  }

  get way() {
    // All who watch a show see the same moment of it, and playlists can be told which.
    return this.#way ?? (this.#broadcast?.event ? 'smooth' : 'realtime');
  }

  /**
   * What the page was last told of its broadcast. `true` if the room's first picture is waited for, so that the
   * playlists need not begin yet.
   */
  tell(broadcast) {
    const isOther = this.#broadcast && this.#broadcast.streamId !== broadcast.streamId;
    this.#broadcast = broadcast;
    if (isOther) this.end();
    const isOpen = broadcast.status === 'active' || (broadcast.status === 'created' && broadcast.event && broadcast.onAir);
    if (isOpen && !this.#isOpen) {
      this.#isOpen = true;
      if (this.way === 'realtime' && window.RTCPeerConnection) this.#begin();
      else this.#known.then(() => this.#draw());
    } else if (!isOpen && this.#isOpen) this.end();
    return this.#state === 'coming';
  }

  /** The broadcast is over. */
  end() {
    this.#isOpen = false;
    this.#leave('none');
  }

  choose(way) {
    remember('way', way);
    const before = this.#state;
    this.#way = way;
    this.#failures = 0;
    if (way === 'smooth') {
      this.#leave('none');
      if (before !== 'none' && before !== 'away') this.on.smooth();
    } else if (before === 'none') this.#begin();
    else if (before === 'away' && !this.#session) this.#enter();
    this.#draw();
  }

  /** The playlists took over for another reason than the room's. */
  yield() {
    if (this.#state === 'shown') this.#state = 'away';
    this.#draw();
  }

  /** The state has to be `coming` when this returns: playlists wait for it. */
  #begin() {
    this.#state = 'coming';
    this.#patience = setTimeout(() => this.#giveWay(), PATIENCE_MS);
    const attempt = this.#attempt;
    this.#known.then(() => {
      if (attempt !== this.#attempt || this.#state === 'none') return undefined;
      if (this.#provider) return this.#enter();
      this.#leave('none');
      return this.on.smooth();
    });
  }

  async #enter() {
    const attempt = ++this.#attempt;
    this.#isFinal = false;
    const isCurrent = () => attempt === this.#attempt;
    clearTimeout(this.#timer);
    this.#draw();
    const query = this.pass ? `?token=${encodeURIComponent(this.#broadcast.chat?.token ?? this.pass)}` : '';
    let session = null;
    try {
      const [{ Session }, entry] = await Promise.all([
        import('./room.js'),
        ask(`/api/streams/${encodeURIComponent(this.#broadcast.streamId)}/viewer/token${query}`, 'POST'),
      ]);
      if (!isCurrent()) return;
      session = new Session({
        video: this.video,
        stage: this.stage,
        streamId: this.#broadcast.streamId,
        on: {
          picture: () => isCurrent() && this.#show(session),
          nothing: () => isCurrent() && this.#giveWay(),
          left: (isFinal) => isCurrent() && this.#fail(isFinal),
        },
      });
      this.#session = session;
      await session.enter(entry.serverUrl ?? this.#provider.configuration.url, entry.token);
      // The viewer has changed their mind meanwhile.
      if (!isCurrent()) session.leave();
    } catch (error) {
      if (isCurrent()) this.#fail(FINAL.includes(error.status));
      else session?.leave();
    }
  }

  #show(session) {
    clearTimeout(this.#patience);
    this.#failures = 0;
    this.#state = 'shown';
    this.on.picture(session);
    this.#draw();
  }

  /** There is no picture in the room now: playlists play until there is one. */
  #giveWay() {
    clearTimeout(this.#patience);
    const before = this.#state;
    this.#state = 'away';
    this.#draw();
    if (before !== 'away') this.on.smooth();
  }

  #fail(isFinal) {
    this.#attempt += 1;
    this.#isFinal = isFinal;
    const session = this.#session;
    this.#session = null;
    this.#giveWay();
    session?.leave();
    const wait = RETRY_MS[Math.min(this.#failures, RETRY_MS.length - 1)] * (1 + Math.random() / 5);
    this.#failures += 1;
    if (!isFinal) this.#timer = setTimeout(() => this.#enter(), wait);
  }

  #leave(state) {
    this.#attempt += 1;
    clearTimeout(this.#timer);
    clearTimeout(this.#patience);
    this.#state = state;
    const session = this.#session;
    this.#session = null;
    session?.leave();
    this.#draw();
  }

  #draw() {
    byId('ways').hidden = !this.isOffered;
    for (const way of ['realtime', 'smooth']) byId(`way-${way}`).setAttribute('aria-pressed', String(this.way === way));
    const says = {
      coming: 'Joining in real time…',
      away: `No real-time picture now: it plays smoothly${this.#isFinal ? '.' : ', and changes back by itself.'}`,
    };
    const text = this.isOffered && this.way === 'realtime' ? says[this.#state] ?? '' : '';
    if (byId('way-state').textContent !== text) byId('way-state').textContent = text;
  }
}
