// The operators' console: who is signed in, what the server tells, and which channel or event is looked at.
import * as api from './api.js';
import { channelView } from './channel.js';
import { ask, attempt, field } from './dialogs.js';
import { eventsPage, placeOf } from './events/page.js';
import { Rates } from './graph.js';
import { Rows, make, show, toggle, write } from './dom.js';
import { picture } from './picture.js';
import { channelWord, count, isLive, moment } from './words.js';

/** Channels made elsewhere appear after this long. */
const CHANNELS_MS = 15_000;
/** Rows of the list at once: the filter finds the others. */
const MOST_ROWS = 200;
/** Without any event for so long nobody is there: the server sends one every 8 s. */
const SILENCE_MS = 15_000;
/** After a refusal it is tried again so soon. */
const RETRY_MS = 2000;
/** From this width on list and channel are side by side, as in console.css; px. */
const WIDE = 860;

const byId = (id) => document.getElementById(id);
const streams = new Map();
const histories = new Map();
const rates = new Rates();
const names = new Intl.Collator();
const tabs = new BroadcastChannel('forebay-console');
let channels = [];
/** Those that are not over, by their channels, which are not among the others. */
let broadcasts = new Map();
/** Whether this server lets operators manage channels. */
let isManaged = true;
let isSignedIn = false;
let addresses = {};
let source = null;
/** When the last event came. */
let heardAt = 0;
/** Since when there is no news; `null` while there is. */
let lostSince = null;
let view = null;
let wanted = false;
let lookedAt = '';
/** Its id, and that of the one before when there is none: the page may be made up between a click and its `hashchange`. */
let shownLast = '';
let retry = 0;

/** Streams by channel: first those that live, of them first the one that players get, then the newest. */
function streamsByChannel() {
  const found = new Map();
  for (const stream of streams.values()) {
    if (!found.has(stream.channelId)) found.set(stream.channelId, []);
    found.get(stream.channelId).push(stream);
  }
  for (const all of found.values()) all.sort((a, b) => isLive(b) - isLive(a) || b.current - a.current || b.sinceUnixMs - a.sinceUnixMs);
  return found;
}

/** Channels, broadcasts, and those that are only known by their streams; what is on air comes first. */
function entries() {
  const found = streamsByChannel();
  const known = new Map(channels.map((channel) => [channel.channelId, channel]));
  for (const [channelId, broadcast] of broadcasts) {
    const { id: alias, title: name, description, tags } = broadcast;
    // Its channel is its own affair: it has no messages, cannot be killed, forked, or deleted.
    known.set(channelId, { channelId, alias, name, description, tags, broadcast, isGuessed: true });
  }
  for (const [channelId, [{ alias, current }]] of found) {
    // A channel that was deleted is over, whatever lives on of its streams.
    if (current && !known.has(channelId)) known.set(channelId, { channelId, alias, name: alias, isGuessed: true });
  }
  const all = [...known.values()].map((channel) => {
    const [stream = null, ...rest] = found.get(channel.channelId) ?? [];
    return { channel, stream, others: rest.filter(isLive) };
  });
  const name = ({ channel }) => channel.name || channel.alias;
  // An app may make many broadcasts: they do not hide channels.
  const isBroadcast = ({ channel }) => Boolean(channel.broadcast);
  return all.sort((a, b) => isLive(b.stream) - isLive(a.stream) || isBroadcast(a) - isBroadcast(b) || names.compare(name(a), name(b)) || names.compare(a.channel.channelId, b.channel.channelId));
}

const needsAttention = (stream) => isLive(stream) && stream.findings.some((finding) => finding.severity !== 'info');

const list = new Rows(byId('channels'), ({ channel }) => {
  const thumb = picture();
  const name = make('strong');
  const state = make('span', { class: 'dim' });
  const mark = make('span', { class: 'mark', role: 'img', 'aria-label': 'needs attention', title: 'Needs attention' }, '!');
  const link = make('a', { href: `#${encodeURIComponent(channel.channelId)}` }, thumb.element, make('div', {}, name, state), mark);
  return {
    element: make('li', {}, link),
    update({ channel: now, stream }) {
      const title = now.name || now.alias;
      write(name, title);
      name.title = title;
      const word = channelWord(now, stream);
      write(state, isLive(stream) ? `${word} · ${count(stream.viewers, 'viewer', 'viewers')}` : word);
      link.className = `entry ${isLive(stream) ? stream.state : 'off'}`;
      show(mark, needsAttention(stream));
      if (now.channelId === lookedAt) link.setAttribute('aria-current', 'true');
      else link.removeAttribute('aria-current');
      thumb.update(title, stream, now.broadcast?.poster);
    },
  };
});

function chosen() {
  if (placeOf(location.hash) !== null) return '';
  try {
    return decodeURIComponent(location.hash.slice(1));
  } catch {
    return '';
  }
}

function render() {
  wanted = false;
  if (!isSignedIn) return;
  const event = placeOf(location.hash);
  show(byId('inside'), event === null);
  show(byId('create'), event === null && isManaged);
  show(byId('count'), event === null);
  for (const [id, isHere] of [['to-channels', event === null], ['to-events', event !== null]]) {
    if (isHere) byId(id).setAttribute('aria-current', 'page');
    else byId(id).removeAttribute('aria-current');
  }
  if (event !== null) {
    view?.close();
    view = null;
    events.open(event);
    return;
  }
  events.close();
  const all = entries();
  const words = byId('filter').value.trim().toLowerCase();
  const text = ({ channel, stream }) => `${channel.name} ${channel.alias} ${channel.channelId} ${channelWord(channel, stream)}`.toLowerCase();
  const found = words ? all.filter((entry) => text(entry).includes(words)) : all;
  show(byId('filter'), all.length > 6 || words !== '');
  const rest = found.length - MOST_ROWS;
  write(byId('more'), rest > 0 ? `${rest} more: filter to find them` : words && !found.length ? 'No channel is like that' : '');
  const live = all.filter(({ stream }) => isLive(stream));
  write(byId('count'), `${live.length} of ${count(all.length, 'channel', 'channels')} on air`);
  const named = (id) => all.find(({ channel }) => channel.channelId === id);
  const entry = named(chosen());
  // On a wide screen something is always looked at, and it stays when another channel goes on air.
  const first = entry ?? (innerWidth >= WIDE && !chosen() ? (named(lookedAt) ?? all[0]) : undefined);
  lookedAt = first?.channel.channelId ?? '';
  shownLast = lookedAt || shownLast;
  list.update(found.slice(0, MOST_ROWS), ({ channel }) => channel.channelId);
  toggle(document.body, 'detail', Boolean(entry));
  document.title = `${entry ? entry.channel.name || entry.channel.alias : 'Console'} · Forebay`;
  if (view && view.id !== first?.channel.channelId) {
    view.close();
    view = null;
  }
  show(byId('none'), !first && ready);
  if (first) {
    if (!view) {
      view = channelView(first.channel, context);
      byId('detail').replaceChildren(view.element);
    }
    view.update(first.channel, first.stream, first.others, histories.get(first.stream?.streamId) ?? []);
  }
}

/** Many events come at once: the page is made up once for them. */
function renderSoon() {
  if (wanted) return;
  wanted = true;
  // A page in the background is given no frames, and needs none.
  setTimeout(() => requestAnimationFrame(render), 0);
}

let ready = false;

async function loadBroadcasts() {
  try {
    broadcasts = new Map((await api.broadcasts()).map((broadcast) => [broadcast.channelId, broadcast]));
  } catch {
    // Channels are of use without: those that are known stay.
  }
}

async function loadChannels() {
  if (!isManaged || !source) return;
  try {
    [channels] = await Promise.all([api.channels(), loadBroadcasts()]);
  } catch (error) {
    if (error.status === 404) isManaged = false;
  }
  renderSoon();
}

const context = {
  streams: () => [...streams.values()],
  channels: () => entries().map(({ channel, stream }) => ({ ...channel, isOn: isLive(stream) })),
  addresses: () => addresses,
  isManaged: () => isManaged,
  reload: loadChannels,
  rates,
};

const events = eventsPage(byId('events'), context);

function disconnect() {
  source?.close();
  source = null;
}

/** Says since when there is no news. What is on the page stays, it may still be of use. */
function lose() {
  lostSince ??= Date.now();
  toggle(byId('link'), 'off', true);
  write(byId('link'), 'No news');
  write(byId('lost'), `No news from the server since ${moment(lostSince)}: what you see is from then. This page keeps trying.`);
  show(byId('lost'), true);
}

function find() {
  lostSince = null;
  toggle(byId('link'), 'off', false);
  write(byId('link'), 'Connected');
  show(byId('lost'), false);
}

function connect() {
  disconnect();
  const seen = new Set();
  const heard = (action) => (data) => {
    heardAt = performance.now();
    action(data);
  };
  heardAt = performance.now();
  source = api.listen({
    stream: heard((stream) => {
      seen.add(stream.streamId);
      stream.heardAt = heardAt;
      streams.set(stream.streamId, stream);
      rates.add(stream, heardAt);
      if (isManaged && ready && !broadcasts.has(stream.channelId) && !channels.some((channel) => channel.channelId === stream.channelId)) loadChannels();
      renderSoon();
    }),
    history: heard(({ streamId, history }) => {
      histories.set(streamId, history);
      renderSoon();
    }),
    gone: heard(({ streamId }) => {
      streams.delete(streamId);
      histories.delete(streamId);
      rates.forget(streamId);
      renderSoon();
    }),
    ready: heard(() => {
      // After a break in the line: what was not told again is gone.
      for (const id of streams.keys()) if (!seen.has(id)) streams.delete(id);
      seen.clear();
      ready = true;
      renderSoon();
    }),
    alive: heard(() => {}),
    state(isOn, isOver) {
      if (isOn) {
        heardAt = performance.now();
        seen.clear();
        find();
        return;
      }
      lose();
      if (isOver) beginSoon();
    },
  });
}

function askForKey(why = '') {
  if (!isSignedIn && !byId('enter').hidden) return;
  isSignedIn = false;
  disconnect();
  view?.close();
  view = null;
  ready = false;
  channels = [];
  broadcasts.clear();
  streams.clear();
  histories.clear();
  for (const dialog of document.querySelectorAll('dialog')) dialog.close();
  byId('detail').replaceChildren();
  list.update([], () => '');
  events.forget();
  for (const id of ['inside', 'leave', 'create', 'link', 'count', 'lost', 'parts']) show(byId(id), false);
  write(byId('refused'), why);
  show(byId('refused'), why !== '');
  show(byId('enter'), true);
  document.title = 'Console · Forebay';
  byId('key').focus();
}

const sessionIsOver = () => isSignedIn && askForKey('The session is over.');

function beginSoon() {
  clearTimeout(retry);
  retry = setTimeout(begin, RETRY_MS);
}

async function begin() {
  let session = null;
  try {
    session = await api.session();
  } catch {
    if (isSignedIn) lose();
    else show(byId('trouble'), byId('enter').hidden);
    beginSoon();
    return;
  }
  show(byId('trouble'), false);
  if (!session.signedIn) {
    if (isSignedIn) sessionIsOver();
    else askForKey();
    return;
  }
  isSignedIn = true;
  addresses = session.addresses;
  write(byId('version'), `Forebay ${session.version}`);
  show(byId('enter'), false);
  for (const id of ['leave', 'link', 'parts']) show(byId(id), true);
  render();
  if (document.hidden) return;
  connect();
  await loadChannels();
}

api.onSignedOut(sessionIsOver);

byId('enter').addEventListener('submit', async (event) => {
  event.preventDefault();
  const input = byId('key');
  const refused = byId('refused');
  show(refused, false);
  try {
    await api.signIn(input.value);
  } catch (error) {
    const words = {
      401: 'This is not the admin key.',
      403: 'The server takes this page for a foreign one. A proxy in front of it has to pass the Host header on.',
      429: 'Too many wrong keys: wait a little.',
    };
    write(refused, words[error.status] ?? 'The server does not answer.');
    show(refused, true);
    input.select();
    return;
  }
  input.value = '';
  await begin();
});

byId('leave').addEventListener('click', async () => {
  if (!(await attempt(() => api.signOut()))) return;
  askForKey();
  tabs.postMessage('signed out');
});
// Other tabs share the session: they hear at once that it is over.
tabs.onmessage = () => isSignedIn && begin();

byId('create').addEventListener('click', async () => {
  // There is a choice where there are several.
  const owners = await api.applications().catch(() => []);
  const owner = make('select', {}, ...owners.map(({ applicationId }) => make('option', {}, applicationId)));
  const text = (attributes) => make('input', { type: 'text', autocomplete: 'off', spellcheck: 'false', ...attributes });
  const name = text({ required: true, maxlength: 128 });
  const alias = text({ maxlength: 128 });
  const description = text({ maxlength: 512 });
  const words = text({ placeholder: 'hd, multi-bitrate, streaming' });
  ask({
    title: 'New channel',
    confirm: 'Create',
    done: 'Channel created',
    fields: [
      owners.length > 1 && field('Application', owner),
      field('Name', name),
      field('Alias', alias, 'Part of its addresses. Empty: one is made up.'),
      field('Description', description),
      field('Capabilities', words, 'Separated by commas, for RTMP. Empty: the server’s default.'),
    ],
    async action() {
      const capabilities = words.value.split(',').map((word) => word.trim()).filter(Boolean);
      const channel = await api.create(owner.value || undefined, {
        alias: alias.value.trim(),
        name: name.value.trim(),
        description: description.value.trim(),
        options: [],
        ...(capabilities.length && { ingestOptions: { capabilities } }),
      });
      await loadChannels();
      location.hash = encodeURIComponent(channel.channelId);
    },
  });
});

byId('filter').addEventListener('input', render);
byId('back').addEventListener('click', () => {
  location.hash = '';
});
byId('skip').addEventListener('click', () => view?.focus());
addEventListener('hashchange', ({ oldURL }) => {
  const cameFrom = placeOf(new URL(oldURL).hash);
  render();
  scrollTo(0, 0);
  if (placeOf(location.hash) !== null) return events.focus();
  if (innerWidth >= WIDE || cameFrom !== null) return;
  // One of the two is on the screen: the focus goes along.
  if (view) view.focus();
  else document.querySelector(`#channels a[href="#${encodeURIComponent(shownLast)}"]`)?.focus();
});
addEventListener('resize', renderSoon);
setInterval(() => {
  if (!document.hidden) loadChannels();
}, CHANNELS_MS);
setInterval(() => {
  if (!source || performance.now() - heardAt < SILENCE_MS) return;
  lose();
  connect();
}, RETRY_MS);
// A tab that nobody sees listens to nothing: over HTTP/1.1 a browser has six connections for all of them.
document.addEventListener('visibilitychange', () => {
  if (document.hidden) disconnect();
  else if (isSignedIn) begin().then(events.look);
});
begin();
