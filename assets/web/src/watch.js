// The watch page: one stream, one video element, one engine at a time, and everything around it.
import { follow, STATES } from './broadcast.js';
import * as hlsEngine from './engine-hls.js';
import * as nativeEngine from './engine-native.js';
import { makeMenu } from './menu.js';
import { recall, remember, sessionId } from './memory.js';
import { Meter } from './meter.js';
import { Realtime } from './realtime.js';
import { Show, when } from './show.js';

const BEACON_MS = 15_000;
const LIST_MS = 10_000;
/** The list may be of so long ago: the gateway makes it once for all who ask within a second. */
const LIST_AGE_MS = 1500;
/** Waits before the n-th attempt. The last one repeats; a tenth is added at random so that viewers spread. */
const BACKOFF_MS = [500, 1000, 2000, 4000, 8000];
/** The picture may stand still that long before the engine is started anew. */
const STUCK_MS = 15_000;
/** The same where all that is on offer is later than the picture, as after a restart of the server. */
const LEFT_BEHIND_MS = 1500;

const byId = (id) => document.getElementById(id);
const [video, stage, freeze, poster] = ['video', 'stage', 'freeze', 'poster'].map(byId);
const query = new URLSearchParams(location.search);
const token = query.get('token');
const name = decodeURIComponent(
  location.pathname.match(/^\/watch\/([^/]+)\/?$/)?.[1] ?? location.pathname.match(/^\/streams\/([^/]+)\/watch\/?$/)?.[1] ?? '',
);
const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

/** The stream's real id: an alias in our own address becomes one when the manifest has been redirected. */
let streamId = name;
/** What stands in addresses of media: a broadcast's stream, whatever our own address calls it. */
let mediaId = name;
/** A broadcast, as its page was last told; `null` on the page of a plain channel. */
let broadcast = null;
let engine = null;
let generation = 0;
let attempts = 0;
let retryTimer = 0;
let startedAt = 0;
let firstFrameMs = null;
let wantsPlay = true;
let mode = chooseMode();
let wantedQuality = 'auto';
let phase = 'loading';
/** The menu's entries while an engine without levels (audio only) plays. */
let knownLevels = [];
let lastTrouble = null;
let lastMove = { at: performance.now(), position: 0 };
const meter = new Meter(video);
const run = new Show({ video, date: () => engine?.playingDate() ?? null });
const sid = sessionId();
let realtime = null;

function chooseMode() {
  const asked = query.get('player');
  if (['hls', 'dash', 'native'].includes(asked)) return asked;
  // Safari plays low-latency HLS by itself, with AirPlay and without draining a phone. Other browsers that
  // claim to play HLS do so with seconds of delay: hls.js is better there.
  const apple = /^((?!chrome|chromium|android|crios|edg).)*safari/i.test(navigator.userAgent);
  return nativeEngine.supported(video) && (apple || !hlsEngine.supported()) ? 'native' : 'hls';
}

const access = () => (token ? `~${encodeURIComponent(token)}/` : '');
const folder = (kind, id) => `/${kind}/${encodeURIComponent(id)}/${access()}`;
const manifestUrl = () => (mode === 'dash' ? `${folder('dash', mediaId)}ll.mpd` : `${folder('hls', mediaId)}index.m3u8`);

// ---------------------------------------------------------------- starting, failing, starting again

async function startEngine() {
  realtime?.yield();
  const mine = ++generation;
  clearTimeout(retryTimer);
  keepLastFrame();
  meter.forgive();
  engine?.destroy();
  engine = null;
  startedAt = performance.now();
  lastMove = { at: startedAt, position: -1 };
  const current = (handler) => (...args) => (mine === generation ? handler(...args) : undefined);
  const options = {
    video,
    url: new URL(manifestUrl(), location.href).href,
    sid,
    cid: streamId,
    audioOnly: wantedQuality === 'audio',
    autoPlay: wantsPlay,
    latency: broadcast?.event?.targetLatency,
    on: {
      blocked: current(play),
      manifest: current(handleManifest),
      levels: current(handleLevels),
      trouble: current(handleTrouble),
    },
  };
  let module = mode === 'native' ? nativeEngine : hlsEngine;
  if (mode === 'dash') {
    try {
      module = await import('./engine-dash.js');
    } catch (error) {
      if (mine === generation) handleTrouble('network', String(error));
      return;
    }
    if (mine !== generation) return;
  } else if (mode === 'hls' && !hlsEngine.supported()) {
    enter('failed', 'This browser cannot play the stream', 'It lacks Media Source Extensions. A current Firefox, Chrome, Edge or Safari will do.');
    return;
  }
  engine = module.start(options);
  run.begin();
  if (wantsPlay && !engine.startsItself) play();
}

function handleManifest(url) {
  const id = decodeURIComponent(new URL(url, location.href).pathname.match(/^\/(?:hls|dash)\/([^/]+)\//)?.[1] ?? '');
  if (UUID.test(id) && id !== streamId) {
    streamId = id;
    showPoster();
  }
  if (phase !== 'playing') enter('loading');
}

function handleLevels() {
  if (wantedQuality !== 'auto' && wantedQuality !== 'audio' && engine?.isAuto()) {
    const level = engine.levels().find((candidate) => candidate.label === wantedQuality);
    if (level) engine.select(level.key);
  }
  byId('audio-only').hidden = wantedQuality !== 'audio';
  renderMenu();
}

function handleTrouble(kind, detail) {
  lastTrouble = { kind, detail, at: Date.now() };
  if (isOver()) return handleEnded();
  meter.begin();
  if (kind === 'denied') {
    enter('denied', 'This stream is private', 'The link may have expired. Ask for a new one.', ['Try again', restart]);
    return undefined;
  }
  const wait = BACKOFF_MS[Math.min(attempts, BACKOFF_MS.length - 1)] * (1 + Math.random() / 10);
  attempts += 1;
  generation += 1;
  retryTimer = setTimeout(startEngine, wait);
  if (kind === 'missing' && isToCome()) {
    enterToCome();
  } else if (kind === 'missing' && firstFrameMs !== null) {
    enter('waiting', 'The stream is off air', 'It resumes here by itself when the broadcaster returns.', ['See what else is on', () => location.assign('/live')]);
  } else if (kind === 'missing') {
    enter('waiting', 'Waiting for the stream', 'It begins here by itself as soon as the broadcaster is on air.');
  } else if (attempts > 2) {
    enter('trouble', kind === 'media' ? 'Playback was interrupted' : 'The connection is lost', 'Trying again…', ['Try now', restart]);
  } else {
    enter('loading');
  }
  return undefined;
}

function restart() {
  attempts = 0;
  startEngine();
}

/** The room of the broadcast has a picture, which takes the place of the playlists'. */
function startRoom(session) {
  const mine = ++generation;
  clearTimeout(retryTimer);
  [retryTimer, attempts] = [0, 0];
  keepLastFrame();
  meter.forgive();
  engine?.destroy();
  run.end();
  if (wantedQuality === 'audio') wantedQuality = 'auto';
  lastMove = { at: performance.now(), position: -1 };
  if (phase !== 'playing') enter('loading');
  engine = session.show({ on: { levels: () => mine === generation && handleLevels() } });
  if (wantsPlay) play();
}

/** And the other way round: until there is one, or because the viewer wants that. */
function leaveRoom() {
  if (engine?.kind === 'room') {
    generation += 1;
    keepLastFrame();
    engine.destroy();
    engine = null;
  }
  knownLevels = [];
  handleBroadcast(broadcast);
}

function handleEnded() {
  if (phase === 'ended') return;
  clearTimeout(retryTimer);
  run.end();
  const next = broadcast?.event?.next;
  const what = broadcast ? 'This broadcast is over' : 'The stream has ended';
  if (next) enter('ended', `Next time: ${when(new Date(next.startsAt))}`, what, ['Go there', () => location.assign(`/watch/${encodeURIComponent(next.streamId)}`)]);
  else enter('ended', what, 'Thank you for watching.', ['See what else is on', () => location.assign('/live')]);
  if (broadcast) return retire();
  // An alias may get a new stream: look for it now and then. An id never comes back.
  if (!UUID.test(name)) watchForNext();
}

/** Nothing more comes of a broadcast that is over: an engine that is left alone would ask for ever. */
function retire() {
  generation += 1;
  keepLastFrame();
  engine?.destroy();
  engine = null;
  clearInterval(beaconTimer);
}

async function watchForNext() {
  if (phase !== 'ended') return;
  try {
    const answer = await fetch(manifestUrl(), { signal: AbortSignal.timeout(5000) });
    const id = new URL(answer.url).pathname.split('/')[2];
    if (answer.ok && id !== streamId) return restart();
  } catch { /* asked again below */ }
  setTimeout(watchForNext, BACKOFF_MS.at(-1));
}

/** The last picture stays while the engine is rebuilt, instead of black. */
function keepLastFrame() {
  if (!video.videoWidth || video.readyState < 2 || !freeze.hidden) return;
  freeze.width = video.videoWidth;
  freeze.height = video.videoHeight;
  try {
    freeze.getContext('2d').drawImage(video, 0, 0);
    freeze.hidden = false;
  } catch { /* nothing to keep */ }
}

function watchdog() {
  const now = performance.now();
  if (engine?.ended() && (video.ended || !canGoOn())) return handleEnded();
  if (video.paused || phase === 'ended' || !engine || video.currentTime !== lastMove.position) {
    lastMove = { at: now, position: video.currentTime };
  } else if (now - lastMove.at > (engine.isLeftBehind?.() ? LEFT_BEHIND_MS : STUCK_MS)) {
    lastMove.at = now;
    handleTrouble('media', 'the picture stood still');
  }
  return undefined;
}

function canGoOn() {
  const ranges = video.buffered;
  return ranges.length > 0 && ranges.end(ranges.length - 1) - video.currentTime > 0.3;
}

// ---------------------------------------------------------------- what the stage shows

function enter(next, title = '', text = '', action = null) {
  phase = next;
  stage.dataset.state = next;
  const message = byId('message');
  message.hidden = title === '';
  if (byId('message-title').textContent !== title) byId('message-title').textContent = title;
  if (byId('message-text').textContent !== text) byId('message-text').textContent = text;
  const button = byId('message-action');
  button.hidden = !action;
  if (action) {
    button.textContent = action[0];
    button.onclick = action[1];
  }
  byId('spinner').hidden = next !== 'loading';
  if (next !== 'playing' && next !== 'loading') wakeControls();
}

function showPoster(path) {
  if (firstFrameMs !== null) return;
  const next = new Image();
  next.onload = () => {
    if (firstFrameMs !== null) return;
    poster.src = next.src;
    poster.hidden = false;
  };
  next.src = path ?? `/thumb/${encodeURIComponent(streamId)}.jpg${token ? `?token=${encodeURIComponent(token)}` : ''}`;
}

function handleFrame() {
  if (firstFrameMs === null) firstFrameMs = performance.now() - startedAt;
  attempts = 0;
  poster.hidden = true;
  freeze.hidden = true;
  if (phase !== 'playing') enter('playing');
}

video.addEventListener('playing', handleFrame);
// A new engine gives the element a new source, which ends the play() before it.
video.addEventListener('canplay', () => wantsPlay && video.paused && !engine?.startsItself && phase !== 'ended' && play());
video.addEventListener('timeupdate', () => {
  if (phase !== 'playing' && phase !== 'ended' && !video.paused && video.readyState >= 3 && !video.seeking) handleFrame();
  if (!video.paused && video.readyState >= 3) byId('spinner').hidden = true;
});
video.addEventListener('waiting', () => {
  if (phase === 'playing' && !video.paused) byId('spinner').hidden = false;
});
// Of a room's pictures each may end.
video.addEventListener('ended', () => engine?.kind === 'room' || handleEnded());
video.addEventListener('resize', () => {
  if (video.videoWidth) stage.style.setProperty('--aspect', `${video.videoWidth} / ${video.videoHeight}`);
});

// ---------------------------------------------------------------- controls

async function play() {
  wantsPlay = true;
  try {
    await video.play();
  } catch (error) {
    if (error.name !== 'NotAllowedError') return;
    // Sound needs a gesture first: begin without it, and say so.
    if (!video.muted) {
      video.muted = true;
      byId('unmute').hidden = false;
      try {
        await video.play();
        return;
      } catch (again) {
        if (again.name !== 'NotAllowedError') return;
      }
    }
    wantsPlay = false;
    byId('spinner').hidden = true;
    byId('big-play').hidden = false;
  }
}

function toggle() {
  byId('big-play').hidden = true;
  if (video.paused) {
    // Live means live: whoever comes back from a long pause would otherwise meet a window that moved on.
    if (behind() > 20) goLive();
    play();
  } else {
    wantsPlay = false;
    video.pause();
  }
}

function setMuted(muted) {
  video.muted = muted;
  byId('unmute').hidden = true;
  remember('muted', muted ? '1' : '');
  if (!muted && video.volume === 0) video.volume = 0.5;
}

function setVolume(volume) {
  video.volume = Math.min(1, Math.max(0, volume));
  video.muted = video.volume === 0;
  byId('unmute').hidden = true;
  remember('volume', String(video.volume));
}

function goLive() {
  if (!engine) return;
  // Of a show everybody sees the same moment.
  if (run.report) {
    run.follow();
    play();
    return;
  }
  if (engine.goLive) engine.goLive();
  else {
    engine.resume();
    const position = engine.livePosition();
    if (position !== null && Number.isFinite(position)) video.currentTime = position;
  }
  play();
}

function skip(seconds) {
  const ranges = video.seekable;
  if (!ranges.length) return;
  const last = engine?.livePosition() ?? ranges.end(ranges.length - 1);
  run.release();
  video.currentTime = Math.max(ranges.start(0) + 1, Math.min(last, video.currentTime + seconds));
}

function toggleFull() {
  if (document.fullscreenElement) document.exitFullscreen();
  else if (stage.requestFullscreen) stage.requestFullscreen();
  else video.webkitEnterFullscreen?.();
}

function icon(id, symbol, label, key) {
  const button = byId(id);
  button.querySelector('use').setAttribute('href', `#i-${symbol}`);
  button.setAttribute('aria-label', label);
  button.title = `${label} (${key})`;
}

for (const event of ['play', 'pause']) {
  video.addEventListener(event, () => icon('play', video.paused ? 'play' : 'pause', video.paused ? 'Play' : 'Pause', 'space'));
}
video.addEventListener('volumechange', () => {
  icon('mute', video.muted ? 'muted' : 'sound', video.muted ? 'Unmute' : 'Mute', 'm');
  byId('volume').value = video.muted ? 0 : Math.round(video.volume * 100);
});
byId('play').onclick = toggle;
byId('big-play').onclick = toggle;
byId('mute').onclick = () => setMuted(!video.muted);
byId('unmute').onclick = () => setMuted(false);
byId('volume').oninput = (event) => setVolume(event.target.value / 100);
byId('go-live').onclick = goLive;
byId('full').onclick = toggleFull;
byId('pip').onclick = () => (document.pictureInPictureElement ? document.exitPictureInPicture() : video.requestPictureInPicture()).catch(() => {});
byId('pip').hidden = !document.pictureInPictureEnabled;
video.addEventListener('click', () => {
  // On a touch screen the first tap only shows the controls.
  if (matchMedia('(hover: hover)').matches) toggle();
});
video.addEventListener('dblclick', toggleFull);

let controlsTimer = 0;
function wakeControls() {
  stage.classList.remove('idle');
  clearTimeout(controlsTimer);
  controlsTimer = setTimeout(() => {
    const busy = video.paused || phase !== 'playing' || !byId('menu').hidden || byId('controls').matches(':focus-within:has(:focus-visible)');
    if (!busy) stage.classList.add('idle');
  }, 2800);
}
for (const event of ['pointermove', 'pointerdown', 'focusin', 'keydown']) stage.addEventListener(event, wakeControls);

// ---------------------------------------------------------------- quality menu

function menuItems() {
  const levels = engine?.levels() ?? [];
  const doubled = (level) => levels.some((other) => other !== level && other.label === level.label);
  const rate = (bitrate) => (bitrate >= 1e6 ? `${(bitrate / 1e6).toFixed(1)} Mb/s` : `${Math.round(bitrate / 1000)} kb/s`);
  const items = [{ group: 'Quality' }, { label: 'Auto', checked: wantedQuality === 'auto', pick: () => setQuality('auto') }];
  const shown = levels.length ? levels : knownLevels;
  knownLevels = shown;
  for (const level of [...shown].sort((a, b) => b.height - a.height || b.bitrate - a.bitrate)) {
    items.push({
      label: level.label,
      note: rate(level.bitrate),
      checked: wantedQuality === level.label && (!doubled(level) || levels.indexOf(level) === engine?.current()),
      pick: () => setQuality(level.label, level.key),
    });
  }
  if (mode === 'hls' && (engine?.hasAudioOnly() || wantedQuality === 'audio')) {
    items.push({ label: 'Audio only', checked: wantedQuality === 'audio', pick: () => setQuality('audio') });
  }
  items.push({ group: 'Player' });
  const modes = { hls: 'HLS', dash: 'DASH', native: 'Browser' };
  for (const [key, label] of Object.entries(modes)) {
    if (key === 'native' && mode !== 'native') continue;
    if (key === 'hls' && !hlsEngine.supported()) continue;
    const checked = mode === key && engine?.kind !== 'room';
    items.push({ label, note: { hls: 'hls.js', dash: 'dash.js', native: 'built in' }[key], checked, pick: () => setMode(key) });
  }
  if (realtime?.isOffered) items.push({ label: 'Real time', note: 'LiveKit', checked: engine?.kind === 'room', pick: () => realtime.choose('realtime') });
  return items;
}
const menu = makeMenu({ button: byId('quality'), menu: byId('menu'), items: menuItems, onOpen: () => wakeControls() });

function renderMenu() {
  byId('quality-label').textContent = qualityLabel();
  menu.draw();
}

function qualityLabel() {
  if (wantedQuality === 'audio') return 'Audio';
  if (wantedQuality !== 'auto') return wantedQuality;
  const level = engine?.levels()[engine.current()];
  return level ? `Auto · ${level.label}` : 'Auto';
}

function setQuality(wanted, key) {
  const before = wantedQuality;
  wantedQuality = wanted;
  if (wanted === 'audio' || before === 'audio') {
    if (wanted !== before) startEngine();
  } else engine?.select(wanted === 'auto' ? 'auto' : key);
  renderMenu();
}

function setMode(next) {
  const isOther = next !== mode;
  mode = next;
  if (realtime?.isOffered && realtime.way !== 'smooth') return realtime.choose('smooth');
  if (!isOther) return undefined;
  if (wantedQuality === 'audio') wantedQuality = 'auto';
  byId('audio-only').hidden = true;
  knownLevels = [];
  const address = new URL(location.href);
  address.searchParams.set('player', next);
  history.replaceState(null, '', address);
  return restart();
}

// ---------------------------------------------------------------- keyboard

const KEYS = {
  ' ': toggle,
  k: toggle,
  m: () => setMuted(!video.muted),
  f: toggleFull,
  l: goLive,
  p: () => byId('pip').hidden || byId('pip').click(),
  q: menu.toggle,
  ArrowLeft: () => skip(-5),
  ArrowRight: () => skip(5),
  ArrowUp: () => setVolume(video.volume + 0.1),
  ArrowDown: () => setVolume(video.volume - 0.1),
};
document.addEventListener('keydown', (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const target = event.target;
  // Whoever types means letters, and the chat scrolls by its own keys.
  if (target.closest('input:not([type=range]), .talk')) return;
  // A focused button keeps its own Space and Enter, the volume slider its arrows.
  if (event.key === ' ' && target.closest('button, a')) return;
  if (event.key.startsWith('Arrow') && target.closest('input')) return;
  const action = KEYS[event.key.length === 1 ? event.key.toLowerCase() : event.key];
  if (!action) return;
  event.preventDefault();
  wakeControls();
  action();
});

// ---------------------------------------------------------------- figures

/** Seconds between the server's receiving the picture on screen and now. */
function behind() {
  if (!engine) return 0;
  const edge = engine.latency();
  const date = engine.playingDate();
  if (date === null) return edge;
  const measured = (Date.now() - date) / 1000;
  // Program date time compares the server's clock with the viewer's. Where they disagree, the distance to the
  // playlist's edge is the better figure.
  return measured > edge - 1 && measured < edge + 5 ? measured : edge;
}

function bufferAhead() {
  const { buffered, currentTime } = video;
  for (let index = 0; index < buffered.length; index += 1) {
    if (buffered.start(index) <= currentTime + 0.1 && buffered.end(index) > currentTime) return buffered.end(index) - currentTime;
  }
  return 0;
}

function quality() {
  const figures = video.getVideoPlaybackQuality?.();
  return { decoded: figures?.totalVideoFrames ?? 0, dropped: figures?.droppedVideoFrames ?? 0 };
}

function render() {
  const live = phase === 'playing' || (phase === 'loading' && firstFrameMs !== null);
  const latency = behind();
  const bitrate = engine?.bitrate() ?? 0;
  const { dropped } = quality();
  const text = (id, value) => {
    if (byId(id).textContent !== value) byId(id).textContent = value;
  };
  // How long a picture was on its way to the room is not known.
  text('f-latency-of', engine?.kind === 'room' ? 'Behind the room' : 'Behind live');
  text('f-latency', live && latency > 0 ? `${latency.toFixed(latency < 10 ? 2 : 0)} s` : '–');
  text('f-picture', wantedQuality === 'audio' ? 'Audio only' : video.videoWidth ? `${video.videoWidth} × ${video.videoHeight}` : '–');
  text('f-bitrate', bitrate >= 1e6 ? `${(bitrate / 1e6).toFixed(1)} Mb/s` : bitrate ? `${Math.round(bitrate / 1000)} kb/s` : '–');
  text('f-buffer', live && engine?.kind !== 'room' ? `${bufferAhead().toFixed(1)} s` : '–');
  text('f-stalls', meter.count ? `${meter.count} × · ${(meter.waitedMs() / 1000).toFixed(1)} s` : 'none');
  text('f-dropped', String(dropped));
  text('quality-label', qualityLabel());
  const target = engine?.targetLatency() ?? 3;
  const isNear = run.report ? run.isSynced : latency < target + 3;
  byId('go-live').classList.toggle('at-edge', live && !video.paused && isNear);
  const hasNoPicture = phase === 'playing' && Boolean(broadcast?.event) && !video.videoWidth;
  byId('audio-only').hidden = wantedQuality !== 'audio' && !hasNoPicture;
  watchdog();
}

// ---------------------------------------------------------------- beacon, name and viewers

/** Says that this page plays. */
async function beacon() {
  if (video.paused || phase !== 'playing' || !UUID.test(streamId)) return;
  // What is in the room alone is counted there.
  if (engine?.kind === 'room' && !broadcast.onAir) return;
  await fetch(`${folder('hls', streamId)}beacon?sid=${encodeURIComponent(sid)}`, { method: 'POST', keepalive: true }).catch(() => {});
}

let descriptions = 0;

async function describe() {
  const number = descriptions += 1;
  try {
    const answer = await fetch('/streams.json', { signal: AbortSignal.timeout(5000) });
    const streams = answer.ok ? await answer.json() : [];
    if (number !== descriptions) return; // it was overtaken
    const mine = streams.find((stream) => [stream.id, stream.alias].includes(streamId) || stream.alias === name);
    if (!mine) return;
    const title = mine.name || mine.alias || 'Live stream';
    byId('title').textContent = title;
    document.title = `${title} · Forebay`;
    byId('viewers').hidden = false;
    byId('viewers-count').textContent = String(mine.viewers ?? 0);
    byId('viewers').title = mine.viewers === 1 ? '1 viewer' : `${mine.viewers} viewers`;
  } catch { /* the name is an ornament; the next round asks again */ }
}

// ---------------------------------------------------------------- broadcasts

const isOver = () => broadcast !== null && STATES[broadcast.status].isOver;
const isToCome = () => Boolean(broadcast?.event) && broadcast.status === 'created';

function enterToCome() {
  enter('waiting', `It starts ${when(new Date(broadcast.event.startsAt))}`, 'It begins here by itself.');
}

/** The page of an event goes on to the event's next run. */
function endRun() {
  generation += 1;
  clearTimeout(retryTimer);
  [retryTimer, attempts, firstFrameMs] = [0, 0, null];
  engine?.destroy();
  engine = null;
  run.end();
}

/** A broadcast's page begins when the broadcast does, and ends with it. A show's may begin with its slate. */
function handleBroadcast(next) {
  broadcast = next;
  if (next.streamId !== streamId) {
    if (engine || retryTimer) endRun();
    streamId = next.streamId;
    mediaId = streamId;
  }
  run.tell(next.event ?? null);
  if (isOver() && engine?.kind === 'room') keepLastFrame();
  const isJoining = realtime.tell(next);
  if (next.poster) {
    video.poster = next.poster;
    if (!engine) showPoster(next.poster);
  }
  if (isOver()) {
    run.end();
    // What is in the buffer is played to its end, which the playlist tells. A room has none.
    if (phase !== 'playing' || engine?.kind === 'room') handleEnded();
    else setTimeout(handleEnded, STUCK_MS);
  } else if (engine || retryTimer) {
    // It plays, or tries to.
  } else if (isJoining) {
    enter('loading');
  } else if (next.status === 'created' && !(next.event && next.onAir)) {
    if (next.event) enterToCome();
    else enter('waiting', 'It has not started yet', 'It begins here by itself.');
  } else if (next.onAir) {
    enter('loading');
    startEngine();
  } else {
    enter('waiting', 'Waiting for the picture', 'It begins here by itself as soon as the broadcaster is on air.');
  }
}

/** For tests and for curious operators: the player and the figures as numbers. */
window.forebay = {
  get player() {
    return engine?.player ?? null;
  },
  state() {
    const { decoded, dropped } = quality();
    return {
      phase,
      mode: engine?.kind === 'room' ? 'realtime' : mode,
      streamId,
      sid,
      latency: engine ? behind() : null,
      edgeLatency: engine?.latency() ?? null,
      targetLatency: engine?.targetLatency() ?? null,
      levels: engine?.levels() ?? [],
      currentLevel: engine?.current() ?? -1,
      quality: wantedQuality,
      bitrate: engine?.bitrate() ?? 0,
      stalls: { count: meter.count, totalMs: Math.round(meter.waitedMs()) },
      bufferAhead: bufferAhead(),
      currentTime: video.currentTime,
      paused: video.paused,
      muted: video.muted,
      width: video.videoWidth,
      height: video.videoHeight,
      decodedFrames: decoded,
      droppedFrames: dropped,
      timeToFirstFrameMs: firstFrameMs,
      lastTrouble,
    };
  },
};

video.muted = recall('muted') === '1';
const volume = Number.parseFloat(recall('volume') ?? '');
if (volume > 0 && volume <= 1) video.volume = volume;
video.dispatchEvent(new Event('volumechange'));
enter('loading');
// The server says in the page's head that it is one of a broadcast; of private ones only a pass tells.
if (document.querySelector('meta[name=forebay-broadcast]') || query.has('pass')) {
  realtime = new Realtime({ video, stage, player: query.get('player'), pass: query.get('pass'), on: { picture: startRoom, smooth: leaveRoom } });
  follow(name, query.get('pass'), {
    broadcast: handleBroadcast,
    missing: () => enter('denied', 'This broadcast is private', 'The link may have expired. Ask for a new one.'),
  });
  video.addEventListener('playing', beacon, { once: true });
} else {
  startEngine();
  showPoster();
  describe();
  setInterval(describe, LIST_MS);
  // The first answer was of before this page played.
  video.addEventListener('playing', () => beacon().then(() => setTimeout(describe, LIST_AGE_MS)), { once: true });
}
setInterval(render, 250);
const beaconTimer = setInterval(beacon, BEACON_MS);
window.addEventListener('online', () => engine && engine.kind !== 'room' && phase !== 'playing' && phase !== 'ended' && restart());
window.addEventListener('pagehide', (event) => event.persisted || clearInterval(beaconTimer));
