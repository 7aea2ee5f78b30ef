// What a watch page shows of a broadcast beside its picture: title, status, how many watch, chat, reactions. A show
// of a scheduled event has its page before it has a broadcast.
// All of it comes from `/api/streams/{id}/viewer` and the chat's socket, and is written as text.
import { Chat } from './chat.js';
import { makeReactions } from './reactions.js';
import { when } from './show.js';

/** How often the broadcast is asked for while the socket tells nothing, or there is nothing to play yet. */
const SOON_MS = 5000;
/** The same while the socket tells what changes. */
const LATER_MS = 30_000;
/** News reach all pages at once: each waits a moment of its own before it asks. */
const SPREAD_MS = 1500;
/** A pass that ends sooner is not used to join. */
const PASS_LEFT_MS = 60_000;

/** What each status is called. */
export const STATES = {
  created: { label: 'Not started', isOver: false },
  active: { label: 'Live', isOver: false },
  completed: { label: 'Over', isOver: true },
  error: { label: 'Over', isOver: true },
};

const byId = (id) => document.getElementById(id);

/** Follows a broadcast until it is over. `on` hears of it: `broadcast`, `missing`. */
export function follow(id, pass, on) {
  let known = null;
  let timer = 0;
  const reactions = makeReactions({ buttons: byId('reactions'), floats: byId('floats'), send: (reaction) => chat.react(reaction) });
  const chat = new Chat({
    join: async () => {
      if (passLeft() < PASS_LEFT_MS) await ask();
      return known?.chat && { ...known.chat, isOver: STATES[known.status].isOver };
    },
    on: {
      status: (status) => {
        if (known && STATES[status]) show({ ...known, status });
        askIn(Math.random() * SPREAD_MS);
      },
      viewers: (viewers) => {
        if (known) show({ ...known, viewers });
      },
      reaction: reactions.show,
    },
  });

  const passLeft = () => (known?.chat ? Date.parse(known.chat.expiresAt) - Date.now() : 0);

  async function ask() {
    const query = pass ? `?token=${encodeURIComponent(pass)}` : '';
    const answer = await fetch(`/api/streams/${encodeURIComponent(id)}/viewer${query}`, { signal: AbortSignal.timeout(SOON_MS) });
    if ([401, 404].includes(answer.status)) {
      // A private broadcast's pass has ended while it was watched: what is known stays.
      if (!known) on.missing();
      return;
    }
    if (!answer.ok) throw new Error(`status ${answer.status}`);
    const told = await answer.json();
    // The first pass is kept while it is good, so that one stays the same guest.
    const keeps = told.chat && told.id === known?.id && passLeft() >= PASS_LEFT_MS;
    if (pass && told.chat) pass = told.chat.token;
    show(keeps ? { ...told, chat: known.chat } : told);
  }

  function askIn(wait) {
    clearTimeout(timer);
    timer = setTimeout(look, wait);
  }

  async function look() {
    try {
      await ask();
      if (known?.chat) chat.start();
    } catch { /* asked again below */ }
    if (known && STATES[known.status].isOver) return;
    const isQuiet = chat.isOpen() && known?.status === 'active' && known.onAir;
    askIn(untilStart() ?? (isQuiet ? LATER_MS : SOON_MS) * (1 + Math.random() / 5));
  }

  /** A show that is still to come is asked for when it comes, and now and then before: its time may change. */
  function untilStart() {
    if (known?.status !== 'created' || !known.event) return null;
    const wait = Date.parse(known.event.startsAt) - Date.parse(known.event.serverTime);
    return wait > 0 ? Math.min(LATER_MS, wait + Math.random() * SPREAD_MS) : null;
  }

  function show(next) {
    const isNew = JSON.stringify(next) !== JSON.stringify(known);
    known = next;
    if (!isNew) return;
    const state = STATES[next.status];
    document.body.classList.add('broadcast');
    document.body.classList.toggle('alone', !next.chat);
    byId('about').hidden = false;
    byId('talk').hidden = !next.chat;
    byId('reactions').hidden = !next.chat;
    byId('title').hidden = true;
    document.title = `${next.title} · Forebay`;
    write('about-title', next.title);
    write('about-text', next.description ?? '');
    byId('about-text').hidden = !next.description;
    write('about-status', next.event && next.status === 'created' ? 'Scheduled' : state.label);
    byId('about-status').dataset.status = next.status;
    const count = next.viewers === 1 ? '1 watching' : `${next.viewers} watching`;
    write('about-viewers', next.status === 'active' ? count : '');
    const [from, to] = [next.startedAt, next.endedAt].map((text) => (text ? new Date(text) : null));
    const starts = next.event && next.status === 'created' ? `starts ${when(new Date(next.event.startsAt))}` : '';
    const since = from && !state.isOver ? `since ${when(from)}` : to ? `ended ${when(to)}` : starts;
    write('about-since', since);
    reactions.enable(!state.isOver);
    chat.close(state.isOver);
    on.broadcast(next);
  }

  function write(part, text) {
    if (byId(part).textContent !== text) byId(part).textContent = text;
  }

  byId('share').onclick = async () => {
    const address = new URL(`/watch/${known.streamId}`, location.href).href;
    const say = (text) => {
      write('share-label', text);
      write('share-state', text);
      setTimeout(() => {
        write('share-label', 'Share');
        write('share-state', '');
      }, 2500);
    };
    if (navigator.share && matchMedia('(pointer: coarse)').matches) {
      navigator.share({ title: known.title, url: address }).catch(() => {});
      return;
    }
    try {
      await navigator.clipboard.writeText(address);
      say('Link copied');
    } catch {
      // Without HTTPS there is no clipboard for pages: show what to copy.
      const field = byId('share-link');
      field.hidden = false;
      field.value = address;
      field.select();
    }
  };
  window.addEventListener('online', () => askIn(Math.random() * SPREAD_MS));
  look();
}
