// The operators' console: who is signed in, what the server tells, and which channel is looked at.
import * as api from './api.js';
import { channelView } from './channel.js';
import { ask, attempt, field } from './dialogs.js';
import { Rates } from './graph.js';
import { Rows, make, say, show, toggle, write } from './dom.js';
import { count, stateWord } from './words.js';

/** Channels made elsewhere appear after this long. */
const CHANNELS_MS = 15_000;
/** Pictures are renewed so often. */
const PICTURE_MS = 5000;
/** Rows of the list at once: the filter finds the others. */
const MOST_ROWS = 200;
/** From this width on list and channel are side by side, as in console.css; px. */
const WIDE = 860;

const byId = (id) => document.getElementById(id);
const streams = new Map();
const histories = new Map();
const rates = new Rates();
let channels = [];
/** Whether this server lets operators manage channels. */
let isManaged = true;
let addresses = {};
let source = null;
let view = null;
let wanted = false;
let lookedAt = '';

/** The channel's stream that is looked at: the one that lives, else the newest. */
function streamOf(channelId) {
  const all = [...streams.values()].filter((stream) => stream.channelId === channelId);
  return all.find((stream) => stream.state !== 'ended') ?? all.sort((a, b) => b.sinceUnixMs - a.sinceUnixMs)[0] ?? null;
}

/** Channels, and those that only their streams are known of. */
function entries() {
  const known = new Map(channels.map((channel) => [channel.channelId, channel]));
  for (const { channelId, alias } of streams.values()) {
    if (!known.has(channelId)) known.set(channelId, { channelId, alias, name: alias, isGuessed: true });
  }
  const all = [...known.values()].map((channel) => ({ channel, stream: streamOf(channel.channelId) }));
  const rank = ({ stream }) => (stream && stream.state !== 'ended' ? 0 : 1);
  const name = ({ channel }) => channel.name || channel.alias;
  return all.sort((a, b) => rank(a) - rank(b) || name(a).localeCompare(name(b)) || a.channel.channelId.localeCompare(b.channel.channelId));
}

const turn = () => Math.floor(Date.now() / PICTURE_MS);

/** A picture that changes without flicker: the next one is shown when it is whole. */
function picture() {
  const image = make('img', { alt: '', hidden: true });
  const initial = make('span', { 'aria-hidden': 'true' });
  const element = make('div', { class: 'thumb' }, initial, image);
  let asked = '';
  return {
    element,
    update(name, stream) {
      write(initial, name.slice(0, 1).toUpperCase());
      const isOn = stream !== null && stream.state !== 'ended';
      if (!isOn) {
        asked = '';
        return show(image, false);
      }
      // A stream without a ladder has no pictures: asking would only be refused.
      if (!stream.hasThumbnail || document.hidden) return undefined;
      const address = api.thumbnail(stream.streamId, turn());
      if (address === asked) return undefined;
      asked = address;
      const next = new Image();
      next.onload = () => {
        if (asked !== address) return;
        image.src = address;
        show(image, true);
      };
      next.src = address;
      return undefined;
    },
  };
}

const list = new Rows(byId('channels'), ({ channel }) => {
  const thumb = picture();
  const name = make('strong');
  const state = make('span', { class: 'dim' });
  const link = make('a', { href: `#${encodeURIComponent(channel.channelId)}` }, thumb.element, make('div', {}, name, state));
  return {
    element: make('li', {}, link),
    update({ channel: now, stream }) {
      const title = now.name || now.alias;
      write(name, title);
      const word = stream?.state ?? 'off';
      const isOn = stream !== null && word !== 'ended';
      write(state, isOn ? `${stateWord(word)} · ${count(stream.viewers, 'viewer', 'viewers')}` : 'Off air');
      link.className = `entry ${isOn ? word : 'off'}`;
      const worst = stream?.findings.some((finding) => finding.severity !== 'info') ?? false;
      toggle(link, 'warned', isOn && worst);
      if (now.channelId === lookedAt) link.setAttribute('aria-current', 'true');
      else link.removeAttribute('aria-current');
      thumb.update(title, stream);
    },
  };
});

function chosen() {
  try {
    return decodeURIComponent(location.hash.slice(1));
  } catch {
    return '';
  }
}

function render() {
  wanted = false;
  const all = entries();
  const words = byId('filter').value.trim().toLowerCase();
  const text = ({ channel }) => `${channel.name} ${channel.alias} ${channel.channelId}`.toLowerCase();
  const found = words ? all.filter((entry) => text(entry).includes(words)) : all;
  show(byId('filter'), all.length > 6 || words !== '');
  const rest = found.length - MOST_ROWS;
  write(byId('more'), rest > 0 ? `${rest} more: filter to find them` : words && !found.length ? 'Nothing of that name' : '');
  const live = all.filter(({ stream }) => stream && stream.state !== 'ended');
  write(byId('count'), `${live.length} of ${count(all.length, 'channel', 'channels')} on air`);
  const named = (id) => all.find(({ channel }) => channel.channelId === id);
  const entry = named(chosen());
  // On a wide screen something is always looked at, and it stays when another channel goes on air.
  const first = entry ?? (innerWidth >= WIDE && !chosen() ? (named(lookedAt) ?? all[0]) : undefined);
  lookedAt = first?.channel.channelId ?? '';
  list.update(found.slice(0, MOST_ROWS), ({ channel }) => channel.channelId);
  toggle(document.body, 'detail', Boolean(entry));
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
    view.update(first.channel, first.stream, histories.get(first.stream?.streamId) ?? []);
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

async function loadChannels() {
  if (!isManaged || !source) return;
  try {
    channels = await api.channels();
  } catch (error) {
    if (error.status === 404) isManaged = false;
  }
  show(byId('create'), isManaged);
  renderSoon();
}

const context = {
  streams: () => [...streams.values()],
  channels: () => entries().map(({ channel }) => channel),
  addresses: () => addresses,
  isManaged: () => isManaged,
  reload: loadChannels,
  rates,
  picture,
};

function connect() {
  source?.close();
  const seen = new Set();
  source = api.listen({
    stream(stream) {
      seen.add(stream.streamId);
      stream.heardAt = performance.now();
      streams.set(stream.streamId, stream);
      rates.add(stream, stream.heardAt);
      if (isManaged && ready && !channels.some((channel) => channel.channelId === stream.channelId)) loadChannels();
      renderSoon();
    },
    history({ streamId, history }) {
      histories.set(streamId, history);
      renderSoon();
    },
    gone({ streamId }) {
      streams.delete(streamId);
      histories.delete(streamId);
      rates.forget(streamId);
      renderSoon();
    },
    ready() {
      // After a break in the line: what was not told again is gone.
      for (const id of streams.keys()) if (!seen.has(id)) streams.delete(id);
      seen.clear();
      ready = true;
      renderSoon();
    },
    state(isOn, isOver) {
      toggle(byId('link'), 'off', !isOn);
      write(byId('link'), isOn ? 'Live' : 'No answer');
      if (isOn) seen.clear();
      if (isOver) setTimeout(begin, 2000);
    },
  });
}

function askForKey() {
  source?.close();
  source = null;
  view?.close();
  view = null;
  ready = false;
  channels = [];
  streams.clear();
  histories.clear();
  for (const dialog of document.querySelectorAll('dialog')) dialog.close();
  byId('detail').replaceChildren();
  show(byId('inside'), false);
  for (const id of ['leave', 'create', 'link', 'count']) show(byId(id), false);
  show(byId('enter'), true);
  byId('key').focus();
}

async function begin() {
  let session = null;
  try {
    session = await api.session();
  } catch {
    show(byId('trouble'), true);
    setTimeout(begin, 2000);
    return;
  }
  show(byId('trouble'), false);
  if (!session.signedIn) return askForKey();
  addresses = session.addresses;
  write(byId('version'), `Forebay ${session.version}`);
  show(byId('enter'), false);
  show(byId('inside'), true);
  for (const id of ['leave', 'link', 'count']) show(byId(id), true);
  connect();
  await loadChannels();
  return undefined;
}

api.onSignedOut(() => {
  if (source) {
    askForKey();
    say('The session is over.');
  }
});

byId('enter').addEventListener('submit', async (event) => {
  event.preventDefault();
  const input = byId('key');
  const refused = byId('refused');
  show(refused, false);
  try {
    await api.signIn(input.value);
  } catch (error) {
    const words = { 401: 'This is not the admin key.', 429: 'Too many wrong keys: wait a little.' };
    write(refused, words[error.status] ?? 'The server does not answer.');
    show(refused, true);
    input.select();
    return;
  }
  input.value = '';
  await begin();
});

byId('leave').addEventListener('click', async () => {
  if (await attempt(() => api.signOut())) askForKey();
});

byId('create').addEventListener('click', () => {
  const text = (attributes) => make('input', { type: 'text', autocomplete: 'off', spellcheck: 'false', ...attributes });
  const name = text({ required: true, maxlength: 128 });
  const alias = text({ placeholder: 'made up', maxlength: 128 });
  const description = text({ maxlength: 512 });
  const words = text({ placeholder: 'hd, multi-bitrate, streaming' });
  ask({
    title: 'New channel',
    confirm: 'Create',
    fields: [
      field('Name', name),
      field('Alias', alias, 'Part of its addresses. Empty: one is made up.'),
      field('Description', description),
      field('Capabilities', words, 'For RTMP; empty: the server’s default.'),
    ],
    async action() {
      const capabilities = words.value.split(',').map((word) => word.trim()).filter(Boolean);
      const channel = await api.create({
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
addEventListener('hashchange', () => {
  render();
  scrollTo(0, 0);
});
addEventListener('resize', renderSoon);
setInterval(() => {
  if (!document.hidden) loadChannels();
}, CHANNELS_MS);
document.addEventListener('visibilitychange', () => {
  if (!document.hidden) renderSoon();
});
begin();
