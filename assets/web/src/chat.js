// The chat of a broadcast: one socket, a bounded list, and a line to speak. What others write is text, never
// markup.
import { recall, remember } from './memory.js';

/** Messages that stay in the page. */
const MAX_MESSAGES = 200;
/** Waits before a socket is opened again: doubled each time up to the last, and cut at random to a half. */
const FIRST_WAIT_MS = 1000;
const LAST_WAIT_MS = 30_000;
/** A socket that lived so long was a good one: the next wait is short again. */
const GOOD_MS = 10_000;
/** Who is nearer to the end than this reads what is new. */
const NEAR_PX = 48;
/** How long a word of the server's stays. */
const NOTICE_MS = 4000;
/** RFC 6455 §7.4.1: nothing more is to come. */
const NORMAL_CLOSE = 1000;

const byId = (id) => document.getElementById(id);

export class Chat {
  #options;
  #socket = null;
  #attempts = 0;
  #timer = 0;
  #noticeTimer = 0;
  #isStarted = false;
  #isOver = false;
  /** Whether the newest is to be in sight. */
  #follows = true;
  #guest = '';
  #seen = new Set();

  /** `join` gives path, token and guestId of the chat; `on` hears `status`, `viewers`, `reaction`. */
  constructor(options) {
    this.#options = options;
    const [log, name, words] = ['log', 'name', 'words'].map(byId);
    name.value = recall('name') ?? '';
    name.onchange = () => remember('name', name.value.trim());
    byId('say').onsubmit = (event) => {
      event.preventDefault();
      this.#speak(name, words);
    };
    byId('newer').onclick = () => {
      this.#toEnd();
      log.focus();
    };
    log.onscroll = () => {
      this.#follows = this.#isNear();
      if (this.#follows) byId('newer').hidden = true;
    };
    // A keyboard that opens, or a phone that is turned, hides nothing of what is followed.
    new ResizeObserver(() => this.#follows && this.#toEnd()).observe(log);
    window.addEventListener('online', () => this.#isStarted && !this.isOpen() && this.#open());
  }

  /** Joins, once. */
  start() {
    if (this.#isStarted) return;
    this.#isStarted = true;
    this.#open();
  }

  isOpen() {
    return this.#socket?.readyState === WebSocket.OPEN;
  }

  /** Whether it is over: what was said stays, nothing more is said. */
  close(isOver) {
    if (isOver === this.#isOver) return;
    this.#isOver = isOver;
    byId('say').hidden = isOver;
    this.#state();
  }

  react(reaction) {
    return this.#send({ type: 'reaction', reaction, userName: byId('name').value.trim() || undefined });
  }

  async #open() {
    clearTimeout(this.#timer);
    if (this.#socket) return;
    let place = null;
    try {
      place = await this.#options.join();
    } catch { /* tried again below */ }
    if (this.#socket) return;
    if (!place) return this.#again();
    this.#guest = place.guestId;
    const address = new URL(place.path, location.href);
    address.protocol = address.protocol.replace('http', 'ws');
    address.searchParams.set('token', place.token);
    const socket = new WebSocket(address);
    this.#socket = socket;
    const began = performance.now();
    socket.onopen = () => this.#state();
    socket.onmessage = (event) => this.#hear(event.data);
    socket.onclose = (event) => {
      if (this.#socket === socket) this.#socket = null;
      if (event.code === NORMAL_CLOSE && this.#isOver) return this.#state();
      if (performance.now() - began > GOOD_MS) this.#attempts = 0;
      return this.#again();
    };
    return undefined;
  }

  #again() {
    this.#state();
    const wait = Math.min(LAST_WAIT_MS, FIRST_WAIT_MS * 2 ** this.#attempts);
    this.#attempts += 1;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#open(), wait * (0.5 + Math.random() / 2));
  }

  #hear(text) {
    let frame = null;
    try {
      frame = JSON.parse(text);
    } catch {
      return;
    }
    if (frame.type === 'message') this.#show(frame);
    else if (frame.type === 'error') this.#notice(frame.code === 429 ? 'Too quick: wait a moment, then send it again.' : String(frame.message));
    else this.#options.on[frame.type]?.(frame[frame.type]);
  }

  #send(frame) {
    if (!this.isOpen()) {
      this.#notice('Not connected: try again in a moment.');
      return false;
    }
    this.#socket.send(JSON.stringify(frame));
    return true;
  }

  #speak(name, words) {
    const message = words.value.trim();
    if (!message) return;
    const userName = name.value.trim();
    remember('name', userName);
    if (!this.#send({ type: 'message', message, userName: userName || undefined })) return;
    words.value = '';
    // Who speaks wants to see it.
    this.#toEnd();
  }

  #show(frame) {
    // A socket that comes again hears the last ones again.
    if (this.#seen.has(frame.id)) return;
    this.#seen.add(frame.id);
    const [log, list] = [byId('log'), byId('messages')];
    this.#follows = this.#isNear();
    const item = document.createElement('li');
    item.dataset.id = frame.id;
    item.classList.toggle('own', frame.guest === true && frame.userId === this.#guest);
    const who = document.createElement('bdi');
    who.className = 'who';
    who.textContent = frame.userName;
    item.append(who);
    if (!frame.guest && frame.userId) item.append(mark());
    const time = document.createElement('time');
    const sent = new Date(frame.timestamp);
    if (!Number.isNaN(sent.getTime())) {
      time.dateTime = frame.timestamp;
      time.textContent = sent.toLocaleTimeString(undefined, { hour: '2-digit', minute: '2-digit' });
    }
    const words = document.createElement('p');
    words.dir = 'auto';
    words.textContent = frame.message;
    item.append(time, words);
    list.append(item);
    byId('log-empty').hidden = true;
    while (list.childElementCount > MAX_MESSAGES) {
      this.#seen.delete(list.firstElementChild.dataset.id);
      list.firstElementChild.remove();
    }
    if (this.#follows) log.scrollTop = log.scrollHeight;
    else byId('newer').hidden = false;
  }

  #isNear() {
    const log = byId('log');
    return log.scrollHeight - log.scrollTop - log.clientHeight < NEAR_PX;
  }

  #toEnd() {
    const log = byId('log');
    this.#follows = true;
    log.scrollTop = log.scrollHeight;
    byId('newer').hidden = true;
  }

  #notice(text) {
    byId('talk-state').textContent = text;
    clearTimeout(this.#noticeTimer);
    this.#noticeTimer = setTimeout(() => this.#state(), NOTICE_MS);
  }

  #state() {
    clearTimeout(this.#noticeTimer);
    const text = this.#isOver ? 'The broadcast is over.' : this.isOpen() ? '' : 'Connecting…';
    byId('talk-state').textContent = text;
  }
}

/** Someone whom the server knows: no guest can have it, whatever the name. */
function mark() {
  const svg = document.createElementNS('http://www.w3.org/2000/svg', 'svg');
  svg.setAttribute('class', 'known');
  svg.setAttribute('role', 'img');
  svg.setAttribute('aria-label', 'signed in');
  const use = document.createElementNS('http://www.w3.org/2000/svg', 'use');
  use.setAttribute('href', '#i-known');
  svg.append(use);
  return svg;
}
