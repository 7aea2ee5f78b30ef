// The list of what is on air: one card per stream, kept up to date in place. Below it what is scheduled.
import { when } from './show.js';

const REFRESH_MS = 5000;
/** Between two looks at what is scheduled, and how much of it is shown. */
const COMING_MS = 30_000;
const MOST_COMING = 20;

const byId = (id) => document.getElementById(id);
const cards = new Map();
let failures = 0;

function makeCard(stream) {
  const item = document.createElement('li');
  const link = document.createElement('a');
  link.className = 'card';
  link.href = `/watch/${encodeURIComponent(stream.id)}`;
  const picture = document.createElement('div');
  picture.className = 'thumb';
  const initial = document.createElement('span');
  initial.setAttribute('aria-hidden', 'true');
  const image = document.createElement('img');
  image.alt = '';
  image.hidden = true;
  const badge = document.createElement('b');
  badge.className = 'badge';
  badge.textContent = 'Live';
  picture.append(initial, image, badge);
  const name = document.createElement('h2');
  name.dir = 'auto';
  const viewers = document.createElement('p');
  link.append(picture, name, viewers);
  item.append(link);
  byId('cards').append(item);
  return { item, initial, image, badge, name, viewers };
}

/** Loads the next thumbnail aside and shows it only when it is whole, so that nothing flickers. */
function refreshThumbnail(card, url) {
  const next = new Image();
  next.onload = () => {
    card.image.src = next.src;
    card.image.hidden = false;
  };
  // The thumbnail's own age is at most a few seconds; the query only gets past the cache.
  next.src = `${url}${url.includes('?') ? '&' : '?'}t=${Math.floor(Date.now() / REFRESH_MS)}`;
}

function write(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** How far off that is, in the words of the viewer's language: `in 2 hours`. */
function until(date) {
  const minutes = Math.round((date - Date.now()) / 60_000);
  const words = new Intl.RelativeTimeFormat(undefined, { numeric: 'auto' });
  if (minutes < 1) return words.format(0, 'minute');
  if (minutes < 90) return words.format(minutes, 'minute');
  return minutes < 36 * 60 ? words.format(Math.round(minutes / 60), 'hour') : words.format(Math.round(minutes / 1440), 'day');
}

function makeShow(event) {
  const item = document.createElement('li');
  const link = document.createElement('a');
  link.className = 'show';
  link.href = `/watch/${encodeURIComponent(event.streamId || event.id)}`;
  const time = document.createElement('time');
  const title = document.createElement('h3');
  title.dir = 'auto';
  title.textContent = event.title;
  const starts = new Date(event.scheduledStartTime);
  time.dateTime = event.scheduledStartTime;
  time.textContent = when(starts);
  const wait = document.createElement('span');
  wait.textContent = until(starts);
  link.append(time, title, wait);
  item.append(link);
  return item;
}

let comingAt = -Infinity;
let known = '';
async function refreshComing() {
  if (performance.now() - comingAt < COMING_MS) return;
  comingAt = performance.now();
  try {
    const answer = await fetch(`/api/events?status=scheduled&limit=${MOST_COMING}`, { signal: AbortSignal.timeout(REFRESH_MS) });
    if (!answer.ok) return;
    const events = await answer.json();
    byId('coming').hidden = events.length === 0;
    // Where something is scheduled, somebody knows how to begin.
    byId('how').hidden = events.length > 0;
    // A list that says the same stays, and with it what has the focus.
    const next = JSON.stringify(events.map((event) => [event.id, event.streamId, event.title, until(new Date(event.scheduledStartTime))]));
    if (next !== known) byId('shows').replaceChildren(...events.map(makeShow));
    known = next;
  } catch { /* asked again below */ }
}

function show(streams) {
  const present = new Set();
  for (const stream of streams) {
    present.add(stream.id);
    let card = cards.get(stream.id);
    if (!card) {
      card = makeCard(stream);
      cards.set(stream.id, card);
    }
    const name = stream.name || stream.alias || stream.id;
    const viewers = Number(stream.viewers) || 0;
    write(card.name, name);
    write(card.initial, [...name][0].toUpperCase());
    const since = stream.since ? ` · since ${when(new Date(stream.since))}` : '';
    write(card.viewers, `${viewers === 1 ? '1 viewer' : `${viewers} viewers`}${since}`);
    write(card.badge, stream.onAir ? 'Live' : 'Starting soon');
    card.badge.classList.toggle('soon', !stream.onAir);
    // The poster stands until there is a picture.
    if (stream.poster && card.image.hidden) {
      card.image.src = stream.poster;
      card.image.hidden = false;
    }
    // One that is not there would be a line in the console.
    if (stream.onAir && stream.thumbnail !== false) refreshThumbnail(card, `/thumb/${encodeURIComponent(stream.id)}.jpg`);
  }
  for (const [id, card] of cards) {
    if (present.has(id)) continue;
    card.item.remove();
    cards.delete(id);
  }
  byId('empty').hidden = streams.length > 0;
  byId('count').textContent = streams.length === 0 ? '' : streams.length === 1 ? '1 stream' : `${streams.length} streams`;
}

async function refresh() {
  try {
    const answer = await fetch('/streams.json', {
      headers: { accept: 'application/json' },
      signal: AbortSignal.timeout(REFRESH_MS),
    });
    if (!answer.ok) throw new Error(`status ${answer.status}`);
    const streams = await answer.json();
    failures = 0;
    byId('trouble').hidden = true;
    // An active broadcast is on, if its picture is still to come.
    show(streams.filter((stream) => stream.onAir || stream.since));
  } catch {
    failures += 1;
    // One lost answer is not worth a word; the cards stay, they are probably still right.
    if (failures >= 2) {
      byId('empty').hidden = true;
      byId('trouble').hidden = false;
    }
  }
}

const host = location.hostname.includes(':') ? `[${location.hostname}]` : location.hostname;
byId('rtmp-url').textContent = `rtmp://${host}:1935/live`;
byId('srt-url').textContent = `srt://${host}:9000`;
const encode = 'ffmpeg -re -i film.mp4 -c:v libx264 -g 60 -c:a aac';
byId('ffmpeg-line').textContent = `${encode} \\\n  -f flv rtmp://${host}:1935/live/STREAM_KEY`;
byId('ffmpeg-srt-line').textContent = `${encode} \\\n  -f mpegts "srt://${host}:9000?streamid=STREAM_KEY"`;

async function run() {
  if (!document.hidden) await Promise.all([refresh(), refreshComing()]);
  setTimeout(run, REFRESH_MS);
}
document.addEventListener('visibilitychange', () => {
  if (!document.hidden) refresh();
});
run();
