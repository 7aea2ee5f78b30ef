// What a watch page adds for a show, one run of a scheduled event: when it begins, and that all who watch it see
// the same moment of it.
import { Sync } from '../sync.js';

const byId = (id) => document.getElementById(id);
const SECOND_MS = 1000;
const HOUR_MS = 3_600_000;
/** Until it is so near, days are counted. */
const DAYS_MS = 48 * HOUR_MS;
/** Further off than this the figure is seconds, ms. */
const FAR_MS = 1000;

/** A date in the viewer's own zone, which is named where it is not today. */
export function when(date) {
  const time = { hour: '2-digit', minute: '2-digit' };
  const isToday = date.toDateString() === new Date().toDateString();
  const day = { weekday: 'short', day: 'numeric', month: 'short', ...time, timeZoneName: 'short' };
  return new Intl.DateTimeFormat(undefined, isToday ? time : day).format(date);
}

/** How long it is until then: `3 days`, `2:05:07`, `5:03`. */
export function left(ms) {
  if (ms >= DAYS_MS) return `${Math.floor(ms / (24 * HOUR_MS))} days`;
  const seconds = Math.max(0, Math.ceil(ms / SECOND_MS));
  const two = (number) => String(number).padStart(2, '0');
  const hours = Math.floor(seconds / 3600);
  const minutes = Math.floor(seconds / 60) % 60;
  return hours ? `${hours}:${two(minutes)}:${two(seconds % 60)}` : `${minutes}:${two(seconds % 60)}`;
}

function words({ state, offsetMs }) {
  const far = Math.abs(offsetMs ?? 0);
  const offset = far < FAR_MS ? `${far} ms` : `${(far / 1000).toFixed(1)} s`;
  if (state === 'synced') return `in sync, ${offset}`;
  if (state === 'adjusting') return `getting in sync, ${offset} ${offsetMs > 0 ? 'ahead' : 'behind'}`;
  return state === 'away' ? 'not in sync' : '';
}

/** The part of a page that belongs to a show. `date` gives the date of the picture on screen. */
export class Show {
  #options;
  #event = null;
  #sync = null;
  #clockMs = 0;
  #timer = 0;

  constructor(options) {
    this.#options = options;
  }

  /** What the gateway tells of the event now, or `null` where there is none. */
  tell(event) {
    this.#event = event;
    if (event) this.#clockMs = Date.parse(event.serverTime) - Date.now();
    this.#count();
  }

  get isSynced() {
    return ['synced', 'adjusting'].includes(this.#sync?.report.state);
  }

  get report() {
    return this.#sync?.report ?? null;
  }

  /** A player begins: it is brought to where the others are. */
  begin() {
    if (!this.#event) return;
    if (this.#sync) return this.#sync.follow();
    const { video, date } = this.#options;
    this.#sync = new Sync({
      url: new URL(this.#event.syncUrl, location.href).href,
      video,
      player: date,
      onReport: (report) => write('about-sync', words(report)),
    });
  }

  /** The viewer wants to be elsewhere, or with the others again. */
  release() {
    this.#sync?.release();
  }

  follow() {
    this.#sync?.follow();
  }

  end() {
    this.#sync?.stop();
    this.#sync = null;
    write('about-sync', '');
  }

  /** How long until it begins, each second. */
  #count() {
    clearTimeout(this.#timer);
    const countdown = byId('countdown');
    const begins = Date.parse(this.#event?.next?.startsAt ?? this.#event?.startsAt ?? '');
    const ms = begins - (Date.now() + this.#clockMs);
    countdown.hidden = !(ms > 0);
    if (countdown.hidden) return;
    write('countdown', `${this.#event.next ? 'Next time' : 'Starts'} in ${left(ms)}`);
    this.#timer = setTimeout(() => this.#count(), ms % SECOND_MS || SECOND_MS);
  }
}

function write(part, text) {
  if (byId(part).textContent !== text) byId(part).textContent = text;
}
