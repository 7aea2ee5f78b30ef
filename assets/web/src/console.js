// What operators see of encoders: each with its figures, the line where it is measured, and what is wrong.
import { Line } from './line.js';

const REFRESH_MS = 2000;
const KEY = 'forebay-admin-key';

const byId = (id) => document.getElementById(id);
const lines = new Map();
let failures = 0;

function make(tag, className, text) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  if (text !== undefined) element.textContent = text;
  return element;
}

const percent = (value) => `${value.toFixed(value > 0 && value < 10 ? 1 : 0)} %`;
const megabits = (bps) => `${(bps / 1e6).toFixed(2)} Mbit/s`;
const round = (ms) => `${ms < 10 ? ms.toFixed(1) : Math.round(ms)} ms`;

/** Label, value, and whether the value is bad. */
function lineFigures(id, link) {
  if (!lines.has(id)) lines.set(id, new Line());
  const recent = lines.get(id).add(performance.now(), link);
  const figures = [
    ['Round trip', round(link.rttMs), link.latencyMs < 3 * link.rttMs],
    ['Latency', `${link.latencyMs} ms`],
    ['Buffer', `${link.bufferMs} ms`],
    ['Lost', percent(recent.loss), recent.loss >= 3],
    ['Sent again', percent(recent.again)],
    ['Too late', String(recent.dropped), recent.dropped > 0],
    ['Encrypted', link.encrypted ? 'yes' : 'no'],
  ];
  if (recent.undecrypted > 0) figures.push(['Not decrypted', String(recent.undecrypted), true]);
  return figures;
}

function mediaFigures(publisher) {
  const { video, audio } = publisher;
  const size = video?.width ? ` ${video.width} × ${video.height}` : '';
  return [
    ['Bit rate', megabits(publisher.bitrateBps)],
    ['Frame rate', publisher.frameRate.toFixed(2)],
    ['Delay', `${publisher.delayMs} ms`],
    ['Key interval', publisher.keyIntervalMs === null ? '–' : `${(publisher.keyIntervalMs / 1000).toFixed(1)} s`],
    ['Video', video ? `${video.codec}${size}` : '–'],
    ['Audio', audio ? audio.codec : '–'],
  ];
}

function table(caption, figures) {
  const list = make('dl', 'facts');
  list.setAttribute('aria-label', caption);
  for (const [label, value, isBad] of figures) {
    const pair = make('div', isBad ? 'bad' : '');
    pair.append(make('dt', '', label), make('dd', '', value));
    list.append(pair);
  }
  return list;
}

function showPublisher(stream, publisher, present) {
  const card = make('article', 'encoder');
  const head = make('header');
  const state = make('b', `state ${publisher.state}`, publisher.state.replace('-', ' '));
  head.append(state, make('h3', '', publisher.encoder ?? 'Encoder'));
  head.append(make('span', 'peer', `${publisher.proto.toUpperCase()} · ${publisher.peer}`));
  card.append(head);
  if (publisher.reason) card.append(make('p', '', publisher.reason));
  card.append(table('Media', mediaFigures(publisher)));
  if (publisher.link) {
    const id = `${stream.streamId} ${publisher.id}`;
    present.add(id);
    card.append(make('h4', '', 'Line, within the last minute'));
    card.append(table('Line', lineFigures(id, publisher.link)));
  }
  const findings = stream.findings.filter((finding) => finding.publisher === publisher.id);
  for (const finding of findings) {
    const text = make('p', `finding ${finding.severity}`, finding.text);
    text.append(make('small', '', finding.remedy));
    card.append(text);
  }
  return card;
}

function show(streams) {
  const present = new Set();
  const sections = streams.map((stream) => {
    const section = make('section');
    const viewers = stream.viewers === 1 ? '1 viewer' : `${stream.viewers} viewers`;
    const title = make('h2', '', stream.alias);
    title.append(make('small', '', `${stream.state.replace('-', ' ')} · ${viewers}`));
    section.append(title, ...stream.publishers.map((publisher) => showPublisher(stream, publisher, present)));
    return section;
  });
  // Somebody is copying a remedy: the next answer will do.
  if (getSelection().isCollapsed) byId('streams').replaceChildren(...sections);
  for (const id of lines.keys()) if (!present.has(id)) lines.delete(id);
  byId('empty').hidden = streams.length > 0;
}

function askForKey(wasRefused) {
  sessionStorage.removeItem(KEY);
  byId('streams').replaceChildren();
  for (const id of ['empty', 'trouble', 'leave']) byId(id).hidden = true;
  byId('refused').hidden = !wasRefused;
  byId('enter').hidden = false;
}

async function refresh() {
  const key = sessionStorage.getItem(KEY);
  if (!key) return askForKey(false);
  try {
    const answer = await fetch('/api/admin/streams', {
      headers: { accept: 'application/json', 'x-admin-key': key },
      signal: AbortSignal.timeout(REFRESH_MS),
    });
    if (answer.status === 401) return askForKey(true);
    // Operators have an address of their own; this is the one of viewers.
    if (answer.status === 404) return location.replace('/live');
    if (!answer.ok) throw new Error(`status ${answer.status}`);
    const streams = await answer.json();
    failures = 0;
    byId('enter').hidden = true;
    byId('trouble').hidden = true;
    byId('leave').hidden = false;
    show(streams.filter((stream) => stream.state !== 'ended'));
  } catch {
    failures += 1;
    // One lost answer is not worth a word.
    if (failures >= 2) byId('trouble').hidden = false;
  }
}

byId('enter').addEventListener('submit', (event) => {
  event.preventDefault();
  // For this tab only, and gone with it.
  sessionStorage.setItem(KEY, byId('key').value);
  byId('key').value = '';
  refresh();
});
byId('leave').addEventListener('click', () => askForKey(false));

async function run() {
  if (!document.hidden && (sessionStorage.getItem(KEY) || byId('enter').hidden)) await refresh();
  setTimeout(run, REFRESH_MS);
}
document.addEventListener('visibilitychange', () => {
  if (!document.hidden && sessionStorage.getItem(KEY)) refresh();
});
run();
