// A week of events: seven columns on a wide screen, on a phone a list of the days on which there is something.
import { button, make, Rows, show, toggle, write } from '../dom.js';
import { count } from '../words.js';
import { uploadPart } from './file.js';
import { duration, isLive, nowPlaying } from './position.js';
import { dayName, fromWall, midnight, ownZone, shortDay, span, toWall, weekName, weekOf } from './times.js';
import { badge, elsewhere, ends, fileWord, length, planned, positionWord, repeatWord, starts } from './words.js';

const DAYS = 7;
/** What has no known end is shown as if it took so long. */
const SOME_MS = 60_000;

/** The runs of a repeating event that are still to come, until a time: the store knows the next one only. */
function* laterRuns(event, until) {
  const steps = { daily: [1, 0], weekly: [7, 0], monthly: [0, 1] }[event.repeatMode];
  if (!steps || event.status === 'completed' || event.status === 'error') return;
  const zone = event.timeZone || ownZone;
  const wall = toWall(planned(event), zone);
  const [year, month, day] = wall.slice(0, 10).split('-').map(Number);
  for (let turn = 1; ; turn += 1) {
    const months = month - 1 + turn * steps[1];
    // A month that is too short has its last day.
    const last = new Date(Date.UTC(year, months + 1, 0)).getUTCDate();
    const date = new Date(Date.UTC(year, months, steps[1] ? Math.min(day, last) : day + turn * steps[0]));
    const start = fromWall(`${date.toISOString().slice(0, 10)}${wall.slice(10)}`, zone);
    if (!(start < until)) return;
    yield start;
  }
}

/** What stands on each day of a week: `{ event, start, end, isLater, isContinued }`, by time. */
function byDays(events, first) {
  const days = Array.from({ length: DAYS }, () => []);
  const until = midnight(first, DAYS);
  const put = (event, start, isLater) => {
    const long = length(event);
    const end = isLater ? long && start + long : ends(event);
    const last = Math.max(end ?? 0, start + SOME_MS);
    for (let day = 0; day < DAYS; day += 1) {
      const [from, to] = [midnight(first, day), midnight(first, day + 1)];
      if (start < to && last > from) days[day].push({ event, start, end, isLater, isContinued: start < from });
    }
  };
  for (const event of events) {
    put(event, starts(event), false);
    for (const start of laterRuns(event, until)) put(event, start, true);
  }
  for (const day of days) day.sort((one, other) => one.start - other.start || one.event.title.localeCompare(other.event.title));
  return days;
}

/** One event on one day. */
function card({ event }) {
  const [state, viewers] = [make('b', { class: 'state' }), make('span', { class: 'dim' })];
  const [title, here, there] = [make('strong', { dir: 'auto' }), make('span', { class: 'when' }), make('span', { class: 'dim' })];
  const [repeat, file, position] = [make('span', { class: 'dim' }), make('span'), make('span', { class: 'position' })];
  const progress = make('progress', { max: 1, 'aria-label': 'The file' });
  const tenant = make('span', { class: 'dim tenant' });
  const link = make('a', { href: `#/events/${encodeURIComponent(event.id)}` },
    make('span', { class: 'top' }, state, viewers), title, here, there, position, repeat, file, progress, tenant);
  let shown = null;
  function tick() {
    const { event: now, isLater, isContinued } = shown;
    const [word, kind] = isLater ? ['Repeats', 'off'] : badge(now);
    write(state, word);
    state.className = `state ${kind}`;
    const seconds = isLater || isContinued ? null : nowPlaying(now);
    write(position, seconds === null || isLive(now) ? '' : positionWord(seconds, duration(now)));
  }
  return {
    element: make('li', {}, link),
    tick,
    update(entry) {
      shown = entry;
      const { event: now, start, end, isLater, isContinued, day } = entry;
      const isBrief = isLater || isContinued;
      link.className = `event ${isLater ? 'later' : now.status}`;
      write(viewers, !isBrief && now.status === 'active' ? count(now.viewers ?? 0, 'viewer', 'viewers') : '');
      write(title, now.title);
      write(here, isContinued ? `${end === null ? 'goes on' : `until ${span(end, null, ownZone, day)}`}` : span(start, end, ownZone, day));
      write(there, elsewhere(now, start, end, day));
      write(repeat, isBrief || now.repeatMode === 'none' ? '' : repeatWord(now));
      const { text, part, isBad, isReady } = fileWord(now.file, uploadPart(now.id));
      // What is ready, or over, is no news.
      write(file, isBrief || isReady || now.status === 'completed' ? '' : text);
      file.className = isBad ? 'bad' : 'dim';
      show(progress, !isBrief && part !== undefined);
      progress.value = part ?? 0;
      write(tenant, isBrief ? '' : now.applicationId ?? '');
      tick();
    },
  };
}

/** `on.create` makes an event. */
export function calendar({ create }) {
  let first = weekOf(Date.now());
  let events = [];
  let isLoaded = false;
  let cards = new Set();
  const name = make('h2', { tabindex: -1, 'aria-live': 'polite' });
  const go = (weeks) => () => {
    first = weeks ? weekOf(midnight(first, weeks * DAYS + 1)) : weekOf(Date.now());
    render();
  };
  const today = button('Today', 'plain', go(0));
  const nothing = make('p', { class: 'nobody dim' });
  const columns = Array.from({ length: DAYS }, () => {
    const [short, whole] = [make('span', { 'aria-hidden': 'true' }), make('span', { class: 'whole' })];
    const heading = make('h3', {}, short, whole);
    const list = make('ol');
    const element = make('section', { class: 'day' }, heading, list);
    const rows = new Rows(list, (entry) => {
      const made = card(entry);
      cards.add(made);
      return made;
    });
    return { element, short, whole, rows };
  });
  const week = make('div', { class: 'week' }, ...columns.map(({ element }) => element));
  const element = make('div', { class: 'calendar' },
    make('header', { class: 'head' }, name, make('div', { class: 'row' },
      button('‹', 'plain', go(-1), { 'aria-label': 'The week before' }), today, button('›', 'plain', go(1), { 'aria-label': 'The week after' }),
      button('New event', 'solid', create))),
    nothing, week);

  function render() {
    write(name, weekName(first));
    const days = byDays(events, first);
    const now = midnight(Date.now());
    columns.forEach(({ element: column, short, whole, rows }, at) => {
      const start = midnight(first, at);
      write(short, `${shortDay(start)} ${new Date(start).getDate()}`);
      write(whole, dayName(start));
      toggle(column, 'today', start === now);
      toggle(column, 'empty', days[at].length === 0);
      const entries = days[at].map((entry) => ({ ...entry, day: dayName(start) }));
      rows.update(entries, ({ event, start: from }) => `${event.id} ${from}`);
    });
    cards = new Set([...cards].filter((one) => one.element.isConnected || !element.isConnected));
    const isEmpty = days.every((day) => day.length === 0);
    const next = events.filter((event) => starts(event) >= midnight(first, DAYS)).sort((one, other) => starts(one) - starts(other))[0];
    write(nothing, isEmpty && isLoaded ? `Nothing in this week.${next ? ` The next event is on ${dayName(starts(next))}.` : ''}` : '');
    show(nothing, nothing.textContent !== '');
  }
  return {
    element,
    focus: () => name.focus(),
    /** Those whose positions are on the page. */
    playing: () => events.filter((event) => event.status === 'active'),
    update(all) {
      events = all;
      isLoaded = true;
      render();
    },
    tick() {
      for (const one of cards) one.tick();
    },
  };
}
