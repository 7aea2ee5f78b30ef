// The events of all tenants: the calendar, or one of them. It asks the server while it is looked at.
import { viewersBase } from '../addresses.js';
import { button, make, show } from '../dom.js';
import * as api from './calls.js';
import { calendar } from './calendar.js';
import { eventView } from './event.js';
import { pauseAll } from './file.js';
import { askForEvent } from './form.js';
import { follow } from './position.js';
import { isBusy } from './words.js';

/** How often events are asked for, and while one is prepared or on. */
const EVENTS_MS = 10_000;
const SOON_MS = 2000;
/** How often positions are written. */
const TICK_MS = 250;
const PLACE = /^#\/events(?:\/([^/]+))?$/;

/** Which event an address of the page is of: an id, `''` for the calendar, `null` for another part. */
export function placeOf(hash) {
  const found = hash.match(PLACE);
  if (!found) return null;
  try {
    return decodeURIComponent(found[1] ?? '');
  } catch {
    return '';
  }
}

export function eventsPage(element, shared) {
  let events = [];
  let isLoaded = false;
  let isOpen = false;
  let wanted = '';
  let view = null;
  let timer = 0;
  let ticking = 0;
  let asking = null;
  const context = {
    ...shared,
    changed: () => load(),
    async left() {
      location.hash = '#/events';
      await load();
    },
  };
  const week = calendar({
    create: async () => {
      const made = await askForEvent(context);
      if (!made) return;
      await load();
      location.hash = `#/events/${encodeURIComponent(made.id)}`;
    },
  });
  const back = button('All events', 'plain back', () => {
    location.hash = '#/events';
  });
  const missing = make('p', { class: 'nobody dim' }, 'This event is not there any more.');
  const trouble = make('p', { class: 'banner', role: 'status', hidden: true }, 'Events cannot be had from the server: it is tried again.');
  const detail = make('div');
  element.replaceChildren(trouble, week.element, back, missing, detail);

  function render() {
    const event = wanted ? events.find(({ id }) => id === wanted) : null;
    show(week.element, wanted === '');
    show(back, wanted !== '');
    show(missing, wanted !== '' && !event && isLoaded);
    if (view && view.id !== event?.id) {
      view.close();
      view = null;
    }
    if (event && !view) {
      view = eventView(event, context);
      detail.replaceChildren(view.element);
    }
    view?.update(event);
    if (isLoaded) week.update(events);
    document.title = `${event?.title ?? 'Events'} · Forebay`;
  }

  /** Asks once at a time: who comes in between has the next answer. */
  async function load() {
    while (asking) await asking;
    asking = api.events().then((all) => {
      events = all;
      isLoaded = true;
      show(trouble, false);
    }, (error) => show(trouble, isOpen && error.status !== 401));
    await asking;
    asking = null;
    if (isOpen) render();
  }

  async function run() {
    clearTimeout(timer);
    if (!isOpen) return;
    if (!document.hidden) await load();
    if (!isOpen) return;
    clearTimeout(timer);
    // An event that is about to start is worth a look, too.
    const isNear = ({ scheduledStartTime: start, status }) => status === 'active' || (status === 'scheduled' && Math.abs(Date.parse(start) - Date.now()) < 2 * EVENTS_MS);
    timer = setTimeout(run, events.some((event) => isBusy(event) || isNear(event)) ? SOON_MS : EVENTS_MS);
  }

  function tick() {
    if (document.hidden) return;
    const looked = view ? events.filter(({ id, status }) => id === view.id && status === 'active') : week.playing();
    follow(viewersBase(context), looked);
    view?.tick();
    if (!view) week.tick();
  }

  return {
    /** Shows the calendar, or one event. */
    open(id) {
      if (isOpen && wanted === id) return;
      const isNew = !isOpen;
      wanted = id;
      show(element, true);
      render();
      if (!isNew) return;
      isOpen = true;
      ticking = setInterval(tick, TICK_MS);
      run();
    },
    /** Another part of the console is looked at. */
    close() {
      if (!isOpen) return;
      isOpen = false;
      clearTimeout(timer);
      clearInterval(ticking);
      view?.close();
      view = null;
      show(element, false);
    },
    /** Nobody is signed in any more. */
    forget() {
      this.close();
      pauseAll();
      events = [];
      isLoaded = false;
      week.update([]);
    },
    focus: () => (view ?? week).focus(),
    /** Asks now, as when the page is seen again. */
    look: run,
  };
}
