/**
 * sync.js: everybody sees the same moment of a show at the same time, in HLS and in DASH.
 *
 * A gateway says at `GET /api/events/{id}/sync` what time it is there and how far behind all viewers of the show
 * are meant to be (`targetLatency`, seconds). What was to be seen `targetLatency` ago is what everybody shows: this
 * module corrects the browser's clock against the gateway's, reads from the player the date of the picture on
 * screen, and steers `playbackRate` by at most 3 % to bring the two together. It seeks when it begins, and when it
 * is off by more than a second.
 *
 *     import { Sync } from 'https://GATEWAY/sync.js';
 *     const sync = new Sync({
 *       url: 'https://GATEWAY/api/events/EVENT/sync',
 *       video,                     // the <video> or <audio> element
 *       player: hls,               // hls.js, dash.js or shaka; left out where the browser plays HLS by itself
 *       onReport: ({ state, offsetMs, rttMs }) => { label.textContent = `${state}, ${offsetMs} ms`; },
 *     });
 *     …
 *     sync.stop();
 *
 * Two masters of one playback rate do not work: what players do themselves about their latency has to be off, and
 * where they begin should be near to where they will be. What each needs (3 is `targetLatency`):
 *
 *     // hls.js
 *     const hls = new Hls({ liveSyncDuration: 3, maxLiveSyncPlaybackRate: 1 });
 *     hls.loadSource('https://GATEWAY/hls/STREAM/index.m3u8'); hls.attachMedia(video);
 *
 *     // dash.js
 *     player.updateSettings({ streaming: { delay: { liveDelay: 3 }, liveCatchup: { enabled: false } } });
 *     player.initialize(video, 'https://GATEWAY/dash/STREAM/ll.mpd', true);
 *
 *     // shaka, in DASH; without `liveSync` it obeys the MPD's ServiceDescription, and one so wide lets any rate be
 *     const dash = { ignoreSuggestedPresentationDelay: true, autoCorrectDrift: false };
 *     player.configure({ manifest: { defaultPresentationDelay: 2, dash },
 *       streaming: { liveSync: { enabled: true, targetLatency: 3, targetLatencyTolerance: 3 } } });
 *     await player.load('https://GATEWAY/dash/STREAM/ll.mpd');
 *
 *     // Safari, iOS: nothing to set, and no `player`
 *     video.src = 'https://GATEWAY/hls/STREAM/index.m3u8';
 *
 * It leaves the element alone while that is paused, while it waits for data, and after somebody has sought elsewhere
 * (`away`) until they seek back or the page calls `follow()`. No dependencies; any page may import it.
 *
 * @module
 */

/**
 * @typedef {'waiting' | 'paused' | 'buffering' | 'away' | 'adjusting' | 'synced'} State
 *   `waiting`: no time of the gateway's yet, or no date of the picture; `away`: somebody has sought elsewhere;
 *   `adjusting`: on the way to the common position; `synced`: there.
 *
 * @typedef {object} Report
 * @property {State} state
 * @property {number | null} offsetMs  The picture's distance from the common position: positive is ahead of it.
 * @property {number | null} rttMs     Shortest of the latest round trips to the gateway.
 * @property {number} uncertaintyMs    The gateway's clock is known to plus or minus this.
 * @property {number} rate             Playback rate that is set.
 * @property {object | null} event     The gateway's latest answer: `isPlaying`, `live`, `currentPosition`, …
 *
 * @typedef {object} Options
 * @property {string} url               Address of an event's `/sync`.
 * @property {HTMLMediaElement} video
 * @property {object | (() => number | null)} [player]  hls.js, dash.js or shaka, or what gives the date of the
 *   picture on screen in milliseconds.
 * @property {(report: Report) => void} [onReport]      Called when the state changes, and twice a second.
 * @property {string | null} [timeUrl]  Where the gateway tells the time as ISO 8601 for round trips between those to
 *   `url`; `/time` beside it when left out, none when `null`.
 */

// ---------------------------------------------------------------- the gateway's clock

/** `serverTime` is rounded down to a millisecond. */
const RESOLUTION_MS = 1;
/** Two clocks run apart by no more than this: a bad quartz is off by 100 ppm, a clock under correction by more. */
const DRIFT = 300e-6;
/** Round trips whose shortest is reported. */
const ROUND_TRIPS = 8;

/**
 * The gateway's clock by the local one, which only has to run evenly (`performance.now()`). An answer was written
 * between question and receipt, so each round trip bounds the difference of the clocks; what all bounds allow is
 * kept, and the middle of it is the estimate. The shortest round trip counts most, and one that is slow in one
 * direction does no harm.
 */
export class ServerClock {
  #bounds = null;
  #oddity = null;
  #roundTrips = [];

  /**
   * Takes a round trip.
   * @param {number} sentAt      Local time, ms.
   * @param {number} receivedAt  Local time, ms.
   * @param {number} serverMs    What the answer says, ms since 1970.
   */
  add(sentAt, receivedAt, serverMs) {
    if (!Number.isFinite(serverMs) || receivedAt < sentAt) return;
    this.#roundTrips = [...this.#roundTrips, receivedAt - sentAt].slice(-ROUND_TRIPS);
    const found = { low: serverMs - receivedAt, high: serverMs + RESOLUTION_MS - sentAt, at: receivedAt };
    const known = meet(this.#bounds, found);
    if (known) {
      [this.#bounds, this.#oddity] = [known, null];
      return;
    }
    // It contradicts what is known. One answer may come out of a cache; two that agree mean that a clock was set,
    // or that this computer slept.
    const agreed = this.#oddity && meet(this.#oddity, found);
    if (agreed || !this.#bounds) [this.#bounds, this.#oddity] = [agreed || found, null];
    else this.#oddity = found;
  }

  /** Whether the time is known. */
  get isSet() {
    return this.#bounds !== null;
  }

  /** The gateway's time at a local one, ms since 1970. */
  at(local) {
    return local + (this.#bounds.low + this.#bounds.high) / 2;
  }

  /** Half of what is left open, ms. */
  get uncertaintyMs() {
    return this.#bounds ? (this.#bounds.high - this.#bounds.low) / 2 : Infinity;
  }

  /** Shortest of the latest round trips, ms. */
  get rttMs() {
    return this.#roundTrips.length ? Math.min(...this.#roundTrips) : null;
  }
}

/** What older and newer bounds both allow: the older ones have widened meanwhile. */
function meet(older, newer) {
  if (!older) return null;
  const widened = Math.max(0, newer.at - older.at) * DRIFT;
  const low = Math.max(older.low - widened, newer.low);
  const high = Math.min(older.high + widened, newer.high);
  return low <= high ? { low, high, at: newer.at } : null;
}

// ---------------------------------------------------------------- the pace

/** Readings of which the middle one counts: a media element's position jitters by some milliseconds. */
const READINGS = 5;
/** Off by more than the first it plays faster or slower until it is off by less than the second, ms. */
const [BEGIN_MS, ENOUGH_MS] = [15, 4];
/** Off by less than this nobody sees or hears a difference between two players in one room, ms. */
const SYNCED_MS = 40;
/** Largest change of the rate, and its steps: nobody hears the one, or the other. */
const [MOST, STEP] = [0.03, 0.005];
/** Seconds in which a rate would bring it there, were it not for `MOST`. */
const CLOSE_S = 2;
/** Between two changes of the rate, ms. */
const DWELL_MS = 500;
/** With less than this in the buffer it does not play faster, seconds. */
const RESERVE_S = 0.4;
/** It seeks when it is off by more than the first, or, before it has once been there, the second, ms. */
const [SEEK_MS, FRESH_SEEK_MS] = [1000, 120];
/** Seeks to begin with; each learns from the one before how long a seek takes. */
const FRESH_SEEKS = 3;
/** A seek is thought to take the first at first, and no longer than the second, ms. */
const [FIRST_LEAD_MS, MOST_LEAD_MS] = [100, 1500];
/** After a seek there is none for the first of these, twice as long after each that did not help, ms. */
const [REST_MS, MOST_REST_MS] = [5000, 80_000];
/** Who seeks further away than this wants to be there, ms. */
const AWAY_MS = 3000;

/** What to do about an offset. Knows neither the element nor the clock, so that it can be tested. */
export class Pace {
  #readings = [];
  #rate = 1;
  #rateAt = -Infinity;
  #isAway = false;
  #freshSeeks = FRESH_SEEKS;
  #isSeeking = false;
  #leadMs = FIRST_LEAD_MS;
  #restMs = REST_MS;
  #restUntil = -Infinity;

  /** To the common position, as at the beginning. */
  follow() {
    [this.#isAway, this.#freshSeeks, this.#readings] = [false, FRESH_SEEKS, []];
  }

  /** Leaves the element alone until `follow()`, or until somebody seeks to where the others are. */
  release() {
    [this.#isAway, this.#readings] = [true, []];
  }

  /** A seek that was not asked for by `steer` has ended there. Players seek themselves before they play. */
  sought(offsetMs, isPlaying) {
    this.#readings = [];
    if (offsetMs === null) return;
    const isFar = Math.abs(offsetMs) > AWAY_MS;
    if (isFar && isPlaying && this.#freshSeeks === 0) this.#isAway = true;
    else if (!isFar && this.#isAway) this.follow();
  }

  /**
   * @param {object} view
   * @param {number} view.now              Local time, ms.
   * @param {number | null} view.offsetMs  How far ahead of the common position it is.
   * @param {boolean} view.isPaused
   * @param {boolean} view.isWaiting       For data, or for the end of a seek.
   * @param {number} view.aheadS           What is in the buffer.
   * @param {(seconds: number) => boolean} view.canSeek  Whether there is something to play so far from here.
   * @returns {{ state: State, rate: number, seekS: number, offsetMs: number | null }}
   */
  steer(view) {
    if (this.#isAway) return this.#rest('away', view);
    if (view.isPaused) return this.#rest('paused', view);
    if (view.offsetMs === null) return this.#rest('waiting', view);
    if (view.isWaiting) return this.#rest('buffering', view);
    this.#readings = [...this.#readings, view.offsetMs].slice(-READINGS);
    const isKnown = this.#readings.length === READINGS;
    const offsetMs = isKnown ? middle(this.#readings) : view.offsetMs;
    const seekS = isKnown ? this.#seek(offsetMs, view) : 0;
    if (isKnown && seekS === 0) this.#setRate(offsetMs, view);
    const state = seekS === 0 && Math.abs(offsetMs) < SYNCED_MS ? 'synced' : 'adjusting';
    return { state, rate: this.#rate, seekS, offsetMs };
  }

  #rest(state, { now, offsetMs }) {
    this.#readings = [];
    if (this.#rate !== 1) [this.#rate, this.#rateAt] = [1, now];
    return { state, rate: 1, seekS: 0, offsetMs };
  }

  /** Seconds to seek by, or 0. */
  #seek(offsetMs, { now, canSeek }) {
    const distance = Math.abs(offsetMs);
    if (this.#isSeeking) {
      // The first sure reading after a seek: what is missing is what it took.
      this.#isSeeking = false;
      this.#leadMs = clamp(this.#leadMs - offsetMs, 0, MOST_LEAD_MS);
      this.#restMs = distance > SEEK_MS ? Math.min(MOST_REST_MS, this.#restMs * 2) : REST_MS;
      if (this.#freshSeeks === 0) this.#restUntil = now + this.#restMs;
    }
    if (this.#freshSeeks > 0 && distance < FRESH_SEEK_MS) this.#freshSeeks = 0;
    const mayBeSmall = this.#freshSeeks > 0;
    if (distance < (mayBeSmall ? FRESH_SEEK_MS : SEEK_MS) || now < this.#restUntil) return 0;
    const seekS = (this.#leadMs - offsetMs) / 1000;
    if (!canSeek(seekS)) return 0;
    if (mayBeSmall) this.#freshSeeks -= 1;
    [this.#isSeeking, this.#readings] = [true, []];
    return seekS;
  }

  #setRate(offsetMs, { now, aheadS }) {
    const distance = Math.abs(offsetMs);
    const isOver = this.#rate !== 1 && offsetMs > 0 === this.#rate > 1;
    let rate = 1;
    if (distance > (this.#rate === 1 ? BEGIN_MS : ENOUGH_MS) && !isOver) {
      const steps = Math.max(1, Math.round(distance / 1000 / CLOSE_S / STEP));
      rate = 1 - Math.sign(offsetMs) * Math.min(MOST, steps * STEP);
    }
    if (rate > 1 && aheadS < RESERVE_S) rate = 1;
    if (rate !== this.#rate && now - this.#rateAt >= DWELL_MS) [this.#rate, this.#rateAt] = [rate, now];
  }
}

const clamp = (value, least, most) => Math.min(most, Math.max(least, value));
const middle = (values) => [...values].sort((a, b) => a - b)[values.length >> 1];

// ---------------------------------------------------------------- players

/**
 * The date of the picture on screen, ms since 1970: HLS has it by PROGRAM-DATE-TIME, DASH by
 * availabilityStartTime. `null` before there is one.
 * @param {HTMLMediaElement} video
 * @param {object | (() => number | null)} [player]
 */
export function programmeTime(video, player) {
  const read = () => {
    if (typeof player === 'function') return player();
    // dash.js
    if (player?.timeAsUTC) return player.isReady() && player.isDynamic() ? player.timeAsUTC() * 1000 : null;
    // shaka
    if (player?.getPlayheadTimeAsDate) return dateOfShaka(video, player);
    // hls.js
    if (player && 'playingDate' in player) return player.playingDate?.getTime();
    // Safari's own player
    const start = video.getStartDate?.().getTime();
    return Number.isFinite(start) ? start + video.currentTime * 1000 : null;
  };
  try {
    const date = read();
    return Number.isFinite(date) && date > 0 ? date : null;
  } catch {
    // A player that is not there yet, or was destroyed. The element is not left at another rate for it.
    return null;
  }
}

/**
 * Not by `getPlayheadTimeAsDate()`, which stops at the end of what shaka lets people seek to, and takes what an MPD
 * says of its producer's clock for NTP.
 */
function dateOfShaka(video, player) {
  const timeline = player.getManifest()?.presentationTimeline;
  if (!timeline || !player.isLive()) return null;
  const { currentTime } = video;
  const isDash = player.getManifestType() === 'DASH';
  return 1000 * (isDash ? timeline.getPresentationStartTime() + currentTime : timeline.getProgramDateTimeForTime(currentTime));
}

// ---------------------------------------------------------------- all of it

/** Between two looks at the element, and between two reports that tell nothing new of the state, ms. */
const [TICK_MS, REPORT_MS] = [100, 500];
/** Round trips at most when it looks at the gateway's clock; fewer when it is known to plus or minus the last, ms. */
const [MOST_ROUNDS, FEW_ROUNDS, GOOD_MS] = [6, 2, 5];
/** Between two round trips, and between two looks at the gateway's clock, ms; the latter a fifth more at random. */
const [ROUND_MS, LOOK_MS] = [120, 20_000];
/** Longest wait for an answer, ms. */
const ANSWER_MS = 5000;
/** When the gateway does not answer: the first wait, doubled each time up to the last, ms. */
const [RETRY_MS, MOST_RETRY_MS] = [1000, 30_000];
/** What a gateway means that does not say how far behind viewers are meant to be, seconds. */
const TARGET_LATENCY_S = 3;

/** Keeps one element at the common position until `stop()`. */
export class Sync {
  #options;
  #timeUrl;
  #clock = new ServerClock();
  #pace = new Pace();
  #event = null;
  #ownSeeks = 0;
  #lookTimer = 0;
  #failures = 0;
  #reportedAt = -Infinity;
  #end = new AbortController();
  /** @type {Report} */
  report = { state: 'waiting', offsetMs: null, rttMs: null, uncertaintyMs: Infinity, rate: 1, event: null };

  /** @param {Options} options */
  constructor(options) {
    this.#options = options;
    const { url, timeUrl, video } = options;
    this.#timeUrl = timeUrl === undefined ? new URL('/time', new URL(url, document.baseURI)).href : timeUrl;
    const { signal } = this.#end;
    video.addEventListener('seeked', () => this.#handleSeeked(), { signal });
    for (const event of ['online', 'pageshow']) window.addEventListener(event, () => this.#look(), { signal });
    const timer = setInterval(() => this.#tick(), TICK_MS);
    signal.addEventListener('abort', () => {
      clearInterval(timer);
      clearTimeout(this.#lookTimer);
      setRate(video, 1);
    });
    this.#look();
  }

  /** Lets go of the element. */
  stop() {
    this.#end.abort();
  }

  /** To the common position, also from where somebody has sought. */
  follow() {
    this.#pace.follow();
  }

  /** Leaves the element where it is, until `follow()` or until somebody seeks to where the others are. */
  release() {
    this.#pace.release();
  }

  /** The gateway's time, ms since 1970; `null` while it is not known. */
  now() {
    return this.#clock.isSet ? this.#clock.at(performance.now()) : null;
  }

  #offsetMs() {
    const [now, date] = [this.now(), programmeTime(this.#options.video, this.#options.player)];
    if (now === null || date === null) return null;
    return date - (now - (this.#event?.targetLatency ?? TARGET_LATENCY_S) * 1000);
  }

  #tick() {
    const { video } = this.#options;
    const { state, rate, seekS, offsetMs } = this.#pace.steer({
      now: performance.now(),
      offsetMs: this.#offsetMs(),
      isPaused: video.paused,
      isWaiting: video.seeking || video.readyState < HTMLMediaElement.HAVE_FUTURE_DATA,
      aheadS: aheadS(video),
      canSeek: (seconds) => isIn(video.seekable, video.currentTime + seconds),
    });
    if (seekS !== 0) {
      this.#ownSeeks += 1;
      video.currentTime += seekS;
    }
    if (video.playbackRate !== rate) setRate(video, rate);
    this.#tell(state, rate, offsetMs);
  }

  #tell(state, rate, offsetMs) {
    const now = performance.now();
    const isNew = state !== this.report.state;
    const { rttMs, uncertaintyMs } = this.#clock;
    this.report = {
      state, rate, rttMs: rounded(rttMs), uncertaintyMs, event: this.#event, offsetMs: rounded(offsetMs),
    };
    if (!isNew && now - this.#reportedAt < REPORT_MS) return;
    this.#reportedAt = now;
    this.#options.onReport?.(this.report);
  }

  #handleSeeked() {
    const isOwn = this.#ownSeeks > 0;
    this.#ownSeeks = 0;
    if (!isOwn) this.#pace.sought(this.#offsetMs(), this.report.state !== 'waiting');
  }

  /** Asks what time it is, several times, then again later. */
  async #look() {
    clearTimeout(this.#lookTimer);
    const { signal } = this.#end;
    let wait = LOOK_MS * (1 + Math.random() / 5);
    try {
      const answer = await this.#ask(this.#options.url);
      this.#event = JSON.parse(answer.text);
      this.#clock.add(answer.sentAt, answer.receivedAt, Date.parse(this.#event.serverTime));
      for (let round = 1; round < MOST_ROUNDS; round += 1) {
        if (round >= FEW_ROUNDS && this.#clock.uncertaintyMs < GOOD_MS) break;
        await new Promise((resolve) => { setTimeout(resolve, ROUND_MS); });
        if (signal.aborted) return;
        await this.#askTime();
      }
      this.#failures = 0;
    } catch {
      // What is known stays good for a long time: a quartz loses a millisecond in ten seconds at worst.
      wait = Math.min(MOST_RETRY_MS, RETRY_MS * 2 ** this.#failures) * (1 + Math.random() / 5);
      this.#failures += 1;
    }
    if (signal.aborted) return;
    clearTimeout(this.#lookTimer);
    this.#lookTimer = setTimeout(() => this.#look(), wait);
  }

  async #askTime() {
    if (this.#timeUrl) {
      const { sentAt, receivedAt, text } = await this.#ask(this.#timeUrl).catch(() => ({ text: '' }));
      const serverMs = Date.parse(text);
      if (Number.isFinite(serverMs)) return this.#clock.add(sentAt, receivedAt, serverMs);
      // A proxy may lead `/api` alone to the gateway.
      this.#timeUrl = null;
    }
    const { sentAt, receivedAt, text } = await this.#ask(this.#options.url);
    return this.#clock.add(sentAt, receivedAt, Date.parse(JSON.parse(text).serverTime));
  }

  async #ask(url) {
    // `AbortSignal.any` is younger than many televisions, and without a limit one lost answer would be waited for
    // for ever.
    if (this.#end.signal.aborted) throw new Error('stopped');
    const asking = new AbortController();
    const cancel = () => asking.abort();
    const timer = setTimeout(cancel, ANSWER_MS);
    this.#end.signal.addEventListener('abort', cancel);
    try {
      const sentAt = performance.now();
      const answer = await fetch(url, { cache: 'no-store', credentials: 'omit', signal: asking.signal });
      const receivedAt = performance.now();
      if (!answer.ok) throw new Error(`status ${answer.status}`);
      return { sentAt, receivedAt, text: await answer.text() };
    } finally {
      clearTimeout(timer);
      this.#end.signal.removeEventListener('abort', cancel);
    }
  }
}

/** Shaka takes the default rate for the one to go back to. */
function setRate(video, rate) {
  video.defaultPlaybackRate = rate;
  video.playbackRate = rate;
}

const rounded = (value) => (value === null ? null : Math.round(value));

/** Whether there is something to play at a position, and a little more. */
function isIn(ranges, position) {
  for (let index = 0; index < ranges.length; index += 1) {
    if (position >= ranges.start(index) && position < ranges.end(index) - RESERVE_S) return true;
  }
  return false;
}

function aheadS({ buffered, currentTime }) {
  for (let index = 0; index < buffered.length; index += 1) {
    if (buffered.start(index) <= currentTime && buffered.end(index) >= currentTime) return buffered.end(index) - currentTime;
  }
  return 0;
}
