// Tries LiveKit out as apps and viewers use it (contract, broadcasts, section 4.6): token, connect, publish, and a
// second connection that subscribes. Each step says what it found, or what is in its way.
import { makeEar, makeReader, start as startPattern } from './pattern.js';

const STEP_MS = 20_000;
const FRAMES = 60;
/** Pictures whose age is read. */
const SAMPLES = 45;
const CALM_MS = 100;
/** Two connections and the paths that every server has. */
const OLD_WAY = { singlePeerConnection: false };

const byId = (id) => document.getElementById(id);
const wait = (ms) => new Promise((resolve) => { setTimeout(resolve, ms); });
const random = () => Array.from(crypto.getRandomValues(new Uint8Array(6)), (byte) => byte.toString(16).padStart(2, '0')).join('');

/** What went wrong, for people. */
class Trouble extends Error {}

const NO_MEDIA = 'The socket works, but no media connection comes about: are the server’s UDP ports open, and is the address that it names (rtc.node_ip, use_external_ip) the one that browsers reach?';

const STEPS = {
  gateway: 'The gateway has a LiveKit server, and it answers',
  room: 'A broadcast of its own gives the room',
  token: 'Tokens for a publisher and a viewer',
  connect: 'The publisher connects',
  publish: 'Picture and sound are published',
  subscribe: 'The viewer connects and subscribes',
  frames: 'Pictures and sound arrive',
  delay: 'How old a picture is when it arrives',
  end: 'The room is closed again',
};

let results = {};

// ---------------------------------------------------------------- the steps

async function api(key, method, path, body) {
  const credential = key.startsWith('pk_') ? { 'x-api-key': key } : { 'x-admin-key': key };
  const answer = await fetch(path, {
    method,
    headers: { ...(key && credential), 'content-type': 'application/json' },
    body: body && JSON.stringify(body),
    signal: AbortSignal.timeout(STEP_MS),
  }).catch((error) => {
    throw new Trouble(`The gateway does not answer: ${error.message}`);
  });
  const text = await answer.text();
  let told = {};
  try {
    told = JSON.parse(text);
  } catch { /* the code says enough */ }
  if (answer.status === 401) throw new Trouble(`The key is refused: ${told.reason ?? 'status 401'}.`);
  if (!answer.ok) throw Object.assign(new Trouble(`${told.reason ?? path} (status ${answer.status})`), { told });
  return told;
}

async function gateway() {
  const providers = await api('', 'GET', '/api/streaming/providers');
  const provider = providers.find(({ id }) => id === 'livekit');
  if (!provider?.isConfigured) throw new Trouble('LiveKit is not configured: LIVEKIT_URL, LIVEKIT_API_KEY and LIVEKIT_API_SECRET are needed.');
  await api('', 'GET', '/api/livekit/health');
  return { provider, detail: provider.configuration.url };
}

async function room({ key }) {
  const broadcast = await api(key, 'POST', '/api/broadcasts', { title: 'LiveKit self-test', visibility: 'private' });
  return { broadcast, detail: broadcast.streamId };
}

async function token({ key, broadcast, provider }) {
  const ask = (userId, role) => api(key, 'POST', `/api/streaming/sessions/${broadcast.id}/token`, { userId, role, userName: 'Self-test' });
  const [publisher, viewer] = [await ask(`test-publisher-${random()}`, 'publisher'), await ask(`test-viewer-${random()}`, 'subscriber')];
  const url = publisher.serverUrl ?? provider.configuration.url;
  return { tokens: { publisher, viewer }, url, detail: `good until ${new Date(publisher.expiresAt).toLocaleTimeString()}, for ${url}` };
}

/** Connects, or says what is in the way. */
async function join(livekit, options, url, entry) {
  const joined = new livekit.Room(options);
  try {
    await livekit.join(joined, url, entry.token);
    return joined;
  } catch (error) {
    const reason = String(error?.reasonName ?? error?.reason ?? '');
    const text = String(error?.message ?? error);
    if (/NotAllowed/i.test(reason) || /40[13]/.test(text)) throw new Trouble(`The LiveKit server refuses the token: is LIVEKIT_API_SECRET the server’s, do the clocks agree? (${text})`);
    if (/pc connection|peer ?connection|media connection|negotiation/i.test(text)) throw new Trouble(`${NO_MEDIA} (${text})`);
    throw new Trouble(`No socket at ${url}: does a proxy in between pass WebSockets on? (${text})`);
  }
}

async function connect(of) {
  const livekit = await import('./room.js').catch((error) => {
    throw new Trouble(`LiveKit’s client cannot be loaded: ${error.message}`);
  });
  if (!window.RTCPeerConnection) throw new Trouble('This browser has no WebRTC.');
  let note = '';
  const publisher = await join(livekit, {}, of.url, of.tokens.publisher).catch((error) => {
    // As its clients do, but for whatever reason: other paths may be open.
    note = `, by the older path /rtc: /rtc/v1 fails (${error.message})`;
    return join(livekit, OLD_WAY, of.url, of.tokens.publisher);
  });
  of.ends.push(() => publisher.disconnect());
  const { name, version } = publisher.serverInfo ?? {};
  return { livekit, publisher, detail: `server ${version || name || 'without a name'}${note}` };
}

async function publish({ livekit, publisher, ends }) {
  const pattern = startPattern(byId('sent'));
  ends.push(pattern.stop);
  const codecs = RTCRtpSender.getCapabilities?.('video')?.codecs ?? [];
  const videoCodec = codecs.some(({ mimeType }) => /h264/i.test(mimeType)) ? 'h264' : 'vp8';
  const { Camera, Microphone } = livekit.Track.Source;
  const options = { source: Camera, simulcast: false, videoCodec, videoEncoding: { maxBitrate: 1_500_000, maxFramerate: 30 } };
  try {
    await publisher.localParticipant.publishTrack(pattern.tracks.video, options);
    await publisher.localParticipant.publishTrack(pattern.tracks.audio, { source: Microphone, dtx: false, red: false });
  } catch (error) {
    throw new Trouble(`The server does not take it: ${error.message} ${/timeout|negotiat|connection/i.test(error.message) ? NO_MEDIA : ''}`);
  }
  const note = videoCodec === 'h264' ? '' : ': this browser cannot encode H.264, which the gateway takes from rooms';
  return { detail: `${videoCodec.replace('h', 'H.').toUpperCase()} and Opus${note}` };
}

async function subscribe(of) {
  const viewer = await join(of.livekit, OLD_WAY, of.url, of.tokens.viewer);
  of.ends.push(() => viewer.disconnect());
  const tracks = () => [...viewer.remoteParticipants.values()]
    .filter(({ identity }) => identity === of.publisher.localParticipant.identity)
    .flatMap((one) => [...one.trackPublications.values()].map(({ track }) => track).filter(Boolean));
  const kinds = () => tracks().map(({ kind }) => kind);
  while (!(kinds().includes('video') && kinds().includes('audio'))) {
    if (viewer.state === 'disconnected') throw new Trouble('The viewer was disconnected.');
    of.hint = `The viewer is in the room, and has ${kinds().join(' and ') || 'no track'} of the publisher.`;
    await wait(CALM_MS);
  }
  of.hint = '';
  const found = Object.fromEntries(tracks().map((track) => [track.kind, track]));
  const video = byId('received');
  video.srcObject = new MediaStream([found.video.mediaStreamTrack, found.audio.mediaStreamTrack]);
  const ear = makeEar(video.srcObject);
  of.ends.push(ear.stop);
  video.play().catch(() => {});
  return { found, ear, detail: `${viewer.remoteParticipants.size === 1 ? '1 participant' : `${viewer.remoteParticipants.size} participants`}, ${tracks().length} tracks` };
}

/** The receiver's figures of a kind. */
async function figures(track) {
  const stats = await track.receiver.getStats();
  const all = [...stats.values()];
  return {
    media: all.find(({ type, kind }) => type === 'inbound-rtp' && kind === track.kind) ?? {},
    pair: all.find(({ type, nominated }) => type === 'candidate-pair' && nominated) ?? {},
    of: (id) => stats.get(id) ?? {},
  };
}

async function frames(of) {
  const { video, audio } = of.found;
  const began = performance.now();
  for (;;) {
    const [picture, sound] = [await figures(video), await figures(audio)];
    const decoded = picture.media.framesDecoded ?? 0;
    const isHeard = of.ear.hears();
    if (decoded >= FRAMES && isHeard) {
      const { frameWidth, frameHeight, codecId } = picture.media;
      const seconds = (performance.now() - began) / 1000;
      const { mimeType = 'video/?' } = picture.of(codecId);
      return { picture, detail: `${decoded} pictures of ${frameWidth} × ${frameHeight} in ${seconds.toFixed(1)} s as ${mimeType.split('/')[1]}, and the tone` };
    }
    const bytes = picture.media.bytesReceived ?? 0;
    const packets = sound.media.packetsReceived ?? 0;
    const silent = isHeard ? '' : ` The tone is not heard in ${packets} packets of sound.`;
    of.hint = bytes ? `${decoded} pictures of ${bytes} bytes could be decoded.${silent}` : `The viewer is connected, and no byte of the picture came.${silent} ${NO_MEDIA}`;
    await wait(CALM_MS);
  }
}

async function delay(of) {
  const read = makeReader();
  const video = byId('received');
  const ages = [];
  while (ages.length < SAMPLES) {
    of.hint = 'The pictures move, but the time in them cannot be read.';
    await new Promise((resolve) => {
      if (video.requestVideoFrameCallback) video.requestVideoFrameCallback(resolve);
      else setTimeout(resolve, 33);
    });
    const age = read(video);
    if (age !== null) ages.push(age);
  }
  ages.sort((a, b) => a - b);
  const { pair } = await figures(of.found.video);
  const trip = pair.currentRoundTripTime === undefined ? '' : `; a round trip on the network takes ${Math.round(pair.currentRoundTripTime * 1000)} ms`;
  const [middle, late] = [0.5, 0.95].map((part) => Math.round(ages[Math.floor(part * (ages.length - 1))]));
  return { middle, detail: `${middle} ms from screen to screen, 95 % within ${late} ms${trip}` };
}

async function end(of) {
  for (const one of of.ends.splice(0).reverse()) await one();
  byId('received').srcObject = null;
  if (!of.broadcast) return { detail: '' };
  await api(of.key, 'POST', `/api/broadcasts/${of.broadcast.id}/status`, { status: 'completed' });
  return { detail: 'the broadcast is completed' };
}

// ---------------------------------------------------------------- and how they go

function draw() {
  for (const [name, { state, detail, ms }] of Object.entries(results)) {
    const item = byId(`step-${name}`);
    item.dataset.state = state;
    item.querySelector('p').textContent = detail;
    item.querySelector('time').textContent = ms === null ? '' : `${Math.round(ms)} ms`;
    item.querySelector('.unseen').textContent = `: ${{ waiting: 'not yet', running: 'runs', ok: 'passed', failed: 'failed', skipped: 'skipped' }[state]}`;
  }
}

async function step(name, action, of) {
  const began = performance.now();
  results[name] = { state: 'running', detail: '', ms: null };
  draw();
  let timer = 0;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Trouble(of.hint || 'It takes too long.')), STEP_MS);
  });
  of.hint = '';
  try {
    const found = await Promise.race([action(of), late]);
    Object.assign(of, found);
    results[name] = { state: 'ok', detail: found.detail ?? '', ms: performance.now() - began };
  } catch (error) {
    const detail = error instanceof Trouble ? error.message : `This page has a fault: ${error}`;
    results[name] = { state: 'failed', detail, ms: performance.now() - began };
  } finally {
    clearTimeout(timer);
    draw();
  }
  return results[name].state === 'ok';
}

async function run(key) {
  const outcome = byId('outcome');
  delete outcome.dataset.state;
  outcome.textContent = '';
  byId('run').disabled = true;
  results = Object.fromEntries(Object.keys(STEPS).map((name) => [name, { state: 'waiting', detail: '', ms: null }]));
  draw();
  const of = { key, ends: [], hint: '' };
  let isWell = true;
  for (const [name, action] of Object.entries({ gateway, room, token, connect, publish, subscribe, frames, delay })) {
    if (isWell) isWell = await step(name, action, of);
    else results[name] = { state: 'skipped', detail: '', ms: null };
  }
  // Whatever happened, nothing is left behind.
  const isTidy = await step('end', end, of);
  const failed = Object.keys(results).find((name) => results[name].state === 'failed');
  outcome.dataset.state = isWell && isTidy ? 'ok' : 'failed';
  outcome.textContent = isWell && isTidy ? `LiveKit works: ${of.middle} ms from screen to screen.` : `It fails here: ${STEPS[failed]}.`;
  byId('run').disabled = false;
  byId('run').textContent = 'Run it again';
}

for (const [name, label] of Object.entries(STEPS)) {
  const item = document.createElement('li');
  item.id = `step-${name}`;
  item.dataset.state = 'waiting';
  const [mark, title, state, time, detail] = ['i', 'b', 'span', 'time', 'p'].map((kind) => document.createElement(kind));
  mark.setAttribute('aria-hidden', 'true');
  title.textContent = label;
  state.className = 'unseen';
  title.append(state);
  item.append(mark, title, time, detail);
  byId('steps').append(item);
}
byId('form').addEventListener('submit', (event) => {
  event.preventDefault();
  run(byId('key').value.trim());
});

/** For tests. */
window.livekitTest = { results: () => results, state: () => byId('outcome').dataset.state ?? null };
