// The room of a broadcast, for who watches: which of its participants are shown, and whether there is a picture.
// Behind the face that watch.js knows of its engines. A chunk of its own, with LiveKit's client in it: the self-test
// page uses it from here, too.
import { ConnectionState, DisconnectReason, Room, RoomEvent, setLogLevel, Track, VideoQuality } from 'livekit-client';

export { ConnectionState, DisconnectReason, Room, RoomEvent, Track };

/** Identities of the gateway's own participants begin so. */
const OWN = 'forebay';
/** Pictures at once, whatever the grid of hosts is: more are too much for a phone. */
const MAX_SHOWN = 16;
/** The grid of hosts until it is known (contract, broadcasts, section 5.1). */
const GRID = { gridColumns: 2, gridRows: 2, showNames: true };
const REQUEST_MS = 5000;
/** Without a frame for so long there is no picture any more, ms. */
const LOST_MS = 5000;
/** A picture that is published, and of which nothing comes for so long, is looked for by another connection, ms. */
const STUCK_MS = 20_000;
/** How often the receiver is asked for its figures: before the picture, and later, ms. */
const EAGER_MS = 150;
const CALM_MS = 1000;
/** Longest wait for the socket, and for the media connection, ms. */
const SOCKET_MS = 5000;
const MEDIA_MS = 8000;
/** Nobody comes back by itself after these. */
const FINAL = [DisconnectReason.PARTICIPANT_REMOVED, DisconnectReason.ROOM_DELETED, DisconnectReason.DUPLICATE_IDENTITY];
const CHANGES = [
  RoomEvent.TrackPublished, RoomEvent.TrackUnpublished, RoomEvent.TrackSubscribed, RoomEvent.TrackUnsubscribed,
  RoomEvent.TrackMuted, RoomEvent.TrackUnmuted, RoomEvent.ParticipantConnected, RoomEvent.ParticipantDisconnected,
  RoomEvent.ParticipantMetadataChanged, RoomEvent.ParticipantNameChanged, RoomEvent.Reconnected,
];

setLogLevel('silent');

const publications = (participant, kind) => [...participant.trackPublications.values()].filter((one) => one.kind === kind);

/** What is shown of a participant: its screen before its face. */
function pictureOf(participant) {
  const found = publications(participant, Track.Kind.Video).filter((one) => !one.isMuted);
  return found.find((one) => one.source === Track.Source.ScreenShare) ?? found[0] ?? null;
}

const soundOf = (participant) => publications(participant, Track.Kind.Audio)[0] ?? null;

/** Clients tell co-hosts by the metadata of their tokens. */
function isCohost({ metadata }) {
  try {
    return JSON.parse(metadata ?? '').role === 'co_host';
  } catch {
    return false;
  }
}

/**
 * Who is shown, the main picture first: a host who publishes into the room, or else what the gateway brings of the
 * host's encoder, which is the same picture; and co-hosts in the order in which they came.
 */
export function shown(participants, most) {
  const active = participants.filter((one) => pictureOf(one) || soundOf(one));
  active.sort((a, b) => (a.joinedAt?.getTime() ?? 0) - (b.joinedAt?.getTime() ?? 0));
  const isOwn = ({ identity }) => identity.startsWith(OWN);
  const own = active.filter(isOwn);
  const cohosts = active.filter((one) => !isOwn(one) && isCohost(one));
  const hosts = active.filter((one) => !isOwn(one) && !isCohost(one));
  const first = hosts.some(pictureOf) || !own.length ? hosts : own;
  const all = [...first, ...cohosts];
  return [...all.filter(pictureOf), ...all.filter((one) => !pictureOf(one))].slice(0, most);
}

/**
 * Joins a room, or fails in time: where all of LiveKit's paths are missing its client asks for them again and again, at
 * once, for ever.
 */
export async function join(room, url, token, options) {
  let timer = 0;
  const late = new Promise((_, reject) => {
    const give = (ms, why) => {
      clearTimeout(timer);
      timer = setTimeout(() => reject(new Error(why)), ms);
    };
    give(SOCKET_MS, 'no answer from the LiveKit server in time');
    room.once(RoomEvent.SignalConnected, () => give(MEDIA_MS, 'no media connection in time'));
  });
  const joined = room.connect(url, token, { maxRetries: 0, websocketTimeout: SOCKET_MS, peerConnectionTimeout: MEDIA_MS, ...options });
  try {
    await Promise.race([joined, late]);
  } catch (error) {
    joined.catch(() => {});
    room.disconnect().catch(() => {});
    throw error;
  } finally {
    clearTimeout(timer);
  }
}

/** One stay in a room. `on` hears of it: `picture()`, `nothing()`, `left(isFinal)`. */
export class Session {
  #room = new Room({
    // The size that is asked for follows the stage, not an element: what is looked for a picture is not on the page.
    adaptiveStream: false,
    // The older way with two connections is known to every server.
    singlePeerConnection: false,
  });
  #options;
  /** Takes frames while something else is on the page, so that they are decoded. */
  #probe = Object.assign(document.createElement('video'), { muted: true, playsInline: true, autoplay: true });
  #stream = new MediaStream();
  #main = null;
  #tiles = new Map();
  #grid = GRID;
  #hosts = 1;
  #isShown = false;
  #hasPicture = false;
  #wanted = 'auto';
  #figures = { frames: 0, at: 0, bytes: 0, bitrate: 0, delay: 0, buffered: 0, emitted: 0, decoded: 0 };
  #lastFrameAt = -Infinity;
  #missingSince = null;
  #timer = 0;
  #listeners = new AbortController();
  #report = () => {};

  constructor(options) {
    this.#options = options;
    for (const change of CHANGES) this.#room.on(change, () => this.#look());
    this.#room.on(RoomEvent.Disconnected, (reason) => {
      this.leave();
      options.on.left(FINAL.includes(reason));
    });
    const { signal } = this.#listeners;
    const { video } = options;
    for (const event of ['volumechange', 'play', 'pause']) video.addEventListener(event, () => this.#follow(), { signal });
    const observer = new ResizeObserver(() => this.#fit());
    observer.observe(video);
    signal.addEventListener('abort', () => observer.disconnect());
  }

  async enter(url, token) {
    // Who is there is known before anything can be received of them: of nobody nothing is waited for.
    this.#room.once(RoomEvent.SignalConnected, () => {
      if (![...this.#room.remoteParticipants.values()].some(pictureOf)) this.#options.on.nothing();
    });
    await join(this.#room, url, token, { autoSubscribe: false });
    this.#look();
    this.#tick();
  }

  leave() {
    this.hide();
    clearTimeout(this.#timer);
    this.#listeners.abort();
    this.#probe.srcObject = null;
    this.#room.removeAllListeners();
    this.#room.disconnect().catch(() => {});
  }

  // -------------------------------------------------------------- whom to show

  #look() {
    if (this.#listeners.signal.aborted) return;
    const people = [...this.#room.remoteParticipants.values()];
    const places = Math.min(MAX_SHOWN, this.#grid.gridColumns * this.#grid.gridRows);
    const chosen = shown(people, places).map((participant) => ({ participant, picture: pictureOf(participant), sound: soundOf(participant) }));
    const wanted = new Set(chosen.flatMap(({ picture, sound }) => [picture, sound]));
    for (const one of people.flatMap((person) => [...person.trackPublications.values()])) {
      if (one.isDesired !== wanted.has(one)) one.setSubscribed(wanted.has(one));
    }
    this.#main = chosen.find(({ picture }) => picture) ?? null;
    const tracks = tracksOf(this.#main);
    if (tracks.map(({ id }) => id).join() !== this.#stream.getTracks().map(({ id }) => id).join()) {
      this.#stream = new MediaStream(tracks);
      this.#lastFrameAt = this.#hasPicture ? performance.now() : -Infinity;
      this.#figures = { ...this.#figures, frames: 0, at: 0, bytes: 0, buffered: 0, emitted: 0 };
      this.#attach();
    }
    this.#draw(chosen.filter((one) => one !== this.#main));
    this.#fit();
    if (this.#isShown) this.#report();
  }

  #attach() {
    this.#probe.srcObject = this.#isShown ? null : this.#stream;
    if (!this.#isShown) return;
    const { video } = this.#options;
    video.srcObject = this.#stream;
    if (!video.paused) video.play().catch(() => {});
  }

  #draw(others) {
    const { stage } = this.#options;
    const places = stage.querySelector('#tiles');
    const isGrid = this.#isShown && others.length > 0;
    const hosts = isGrid ? others.length + 1 : 1;
    places.hidden = !isGrid;
    places.classList.toggle('nameless', !this.#grid.showNames);
    const columns = Math.min(hosts, this.#grid.gridColumns);
    stage.style.setProperty('--columns', columns);
    stage.style.setProperty('--rows', Math.ceil(hosts / columns));
    if (isGrid && hosts !== this.#hosts) this.#ask();
    this.#hosts = hosts;
    places.querySelector('#main-name').textContent = nameOf(this.#main?.participant);
    const left = new Map(this.#tiles);
    for (const one of isGrid ? others : []) {
      const { identity } = one.participant;
      left.delete(identity);
      const tile = this.#tiles.get(identity) ?? makeTile(places);
      this.#tiles.set(identity, tile);
      tile.name.textContent = nameOf(one.participant);
      tile.box.classList.toggle('unseen-host', !one.picture);
      const tracks = tracksOf(one);
      if (tracks.map(({ id }) => id).join() !== tile.ids) {
        tile.ids = tracks.map(({ id }) => id).join();
        tile.video.srcObject = new MediaStream(tracks);
      }
    }
    for (const [identity, tile] of left) {
      tile.video.srcObject = null;
      tile.box.remove();
      this.#tiles.delete(identity);
    }
    this.#follow();
  }

  /** How the hosts stand; asked again when they are more or fewer. */
  async #ask() {
    try {
      const path = `/api/streaming/sessions/${encodeURIComponent(this.#options.streamId)}/multihost`;
      const answer = await fetch(path, { signal: AbortSignal.timeout(REQUEST_MS) });
      const grid = answer.ok ? (await answer.json()).gridLayout : null;
      if (!grid || JSON.stringify(grid) === JSON.stringify(this.#grid)) return;
      this.#grid = { ...GRID, ...grid };
      this.#look();
    } catch { /* as it was */ }
  }

  /** The others sound and stand still as the main picture does. */
  #follow() {
    const { video } = this.#options;
    for (const { video: other } of this.#tiles.values()) {
      other.muted = video.muted;
      other.volume = video.volume;
      if (video.paused) other.pause();
      else other.play().catch(() => {});
    }
  }

  /** Asks for no more pixels than are looked at, or for the layer that the viewer chose. */
  #fit() {
    const { video } = this.#options;
    const ratio = window.devicePixelRatio || 1;
    for (const person of this.#room.remoteParticipants.values()) {
      const picture = pictureOf(person);
      if (!picture?.isDesired || !picture.track || !picture.simulcasted) continue;
      if (picture === this.#main?.picture && this.#wanted !== 'auto') picture.setVideoQuality(this.#wanted);
      else picture.setVideoDimensions({ width: Math.max(160, Math.round(video.clientWidth * ratio)), height: Math.max(90, Math.round(video.clientHeight * ratio)) });
    }
  }

  // -------------------------------------------------------------- whether there is a picture

  async #tick() {
    const main = this.#main?.picture?.track;
    try {
      if (main?.receiver) this.#read(await main.receiver.getStats());
    } catch { /* read again below */ }
    if (this.#listeners.signal.aborted) return;
    const isLate = performance.now() - this.#lastFrameAt > LOST_MS;
    if (this.#hasPicture && isLate) {
      this.#hasPicture = false;
      this.#options.on.nothing();
    } else if (!this.#hasPicture && !isLate) {
      this.#hasPicture = true;
      this.#options.on.picture();
    }
    const now = performance.now();
    this.#missingSince = this.#main && !this.#hasPicture ? this.#missingSince ?? now : null;
    if (this.#missingSince !== null && now - this.#missingSince > STUCK_MS) {
      this.leave();
      this.#options.on.left(false);
      return;
    }
    this.#timer = setTimeout(() => this.#tick(), this.#hasPicture ? CALM_MS : EAGER_MS);
  }

  #read(stats) {
    const before = this.#figures;
    const now = { ...before };
    let trip = 0;
    for (const one of stats.values()) {
      if (one.type === 'inbound-rtp' && one.kind === 'video') {
        if ((one.framesDecoded ?? 0) > before.frames) this.#lastFrameAt = performance.now();
        const emitted = (one.jitterBufferEmittedCount ?? 0) - before.emitted;
        if (emitted > 0) now.delay = ((one.jitterBufferDelay ?? 0) - before.buffered) / emitted;
        if (before.at && one.timestamp > before.at) now.bitrate = (8000 * (one.bytesReceived - before.bytes)) / (one.timestamp - before.at);
        Object.assign(now, { frames: one.framesDecoded ?? 0, bytes: one.bytesReceived, at: one.timestamp, buffered: one.jitterBufferDelay ?? 0, emitted: one.jitterBufferEmittedCount ?? 0 });
      } else if (one.type === 'candidate-pair' && one.nominated) trip = one.currentRoundTripTime ?? 0;
    }
    now.trip = trip;
    this.#figures = now;
  }

  // -------------------------------------------------------------- as an engine

  #levels() {
    const picture = this.#main?.picture;
    const layers = picture?.simulcasted ? picture.trackInfo?.layers ?? [] : [];
    return layers.filter(({ height }) => height).map(({ quality, width, height, bitrate }) => ({
      key: quality, label: `${Math.min(width || height, height)}p`, width, height, bitrate,
    }));
  }

  /** Puts the room on the page; see engine-hls.js for the face. */
  show({ on }) {
    const { video, stage } = this.#options;
    this.#isShown = true;
    this.#report = on.levels;
    stage.classList.add('realtime');
    this.#attach();
    this.#look();
    on.levels();
    return {
      kind: 'room',
      player: this.#room,
      levels: () => this.#levels(),
      hasAudioOnly: () => false,
      current: () => {
        const far = this.#levels().map(({ height }) => Math.abs(height - video.videoHeight));
        return far.indexOf(Math.min(...far));
      },
      isAuto: () => this.#wanted === 'auto',
      select: (key) => {
        this.#wanted = key === 'auto' ? key : key ?? VideoQuality.HIGH;
        this.#fit();
      },
      bitrate: () => this.#figures.bitrate,
      bandwidth: () => 0,
      /** Seconds from the server to the screen, as far as this end can tell: half a round trip, and what is buffered. */
      latency: () => (this.#figures.trip ?? 0) / 2 + this.#figures.delay,
      targetLatency: () => null,
      // Servers rewrite the reports that would tell: what they say is off by seconds.
      playingDate: () => null,
      livePosition: () => null,
      goLive: () => {},
      ended: () => false,
      resume: () => {},
      destroy: () => this.hide(),
    };
  }

  /** Takes the room off the page, and stays in it. */
  hide() {
    if (!this.#isShown) return;
    const { video, stage } = this.#options;
    this.#isShown = false;
    stage.classList.remove('realtime');
    video.srcObject = null;
    this.#draw([]);
    if (!this.#listeners.signal.aborted) this.#attach();
  }
}

const tracksOf = (one) => [one?.picture, one?.sound].map((publication) => publication?.track?.mediaStreamTrack).filter(Boolean);

/** What the gateway publishes is the host's. */
const nameOf = (participant) => (participant && !participant.identity.startsWith(OWN) ? participant.name || participant.identity : 'Host');

function makeTile(places) {
  const box = document.createElement('div');
  box.className = 'tile';
  const video = Object.assign(document.createElement('video'), { playsInline: true, autoplay: true, tabIndex: -1 });
  const name = document.createElement('p');
  box.append(video, name);
  places.append(box);
  return { box, video, name, ids: '' };
}
