// A viewer in a LiveKit room by LiveKit's own library. `window.viewer` is what room.mjs drives it with.
import { Room, RoomEvent, Track } from 'livekit-client';
import { MODULUS } from '../pattern.mjs';
import { watch } from './watch.js';

const said = [];
const say = (event, more = {}) => said.push({ event, at: Date.now() / 1000, ...more });

/** Says "flash" when the picture's corner at the bottom right lights up (source.mjs). */
function look(video, identity) {
  const pen = new OffscreenCanvas(1, 1).getContext('2d', { willReadFrequently: true });
  let wasLit = true;
  const handle = () => {
    const { videoWidth: width, videoHeight: height } = video;
    pen.drawImage(video, width * 0.95, height * 0.9, 4, 4, 0, 0, 1, 1);
    const isLit = pen.getImageData(0, 0, 1, 1).data[1] > 128;
    if (isLit && !wasLit) say('flash', { identity });
    wasLit = isLit;
    video.requestVideoFrameCallback(handle);
  };
  video.requestVideoFrameCallback(handle);
}

const EAR = `registerProcessor('ear', class extends AudioWorkletProcessor {
  quiet = 0;
  process([[samples]]) {
    const isLoud = Boolean(samples?.some((sample) => Math.abs(sample) > 0.1));
    // Zero crossings are no end of a tone: that takes 50 ms.
    if (isLoud && this.quiet > sampleRate / 20) this.port.postMessage('beep');
    this.quiet = isLoud ? 0 : this.quiet + 128;
    return true;
  }
})`;

/** Says "beep" when a tone begins in what is played. */
async function listen(track, identity) {
  const context = new AudioContext({ latencyHint: 'interactive' });
  await context.audioWorklet.addModule(URL.createObjectURL(new Blob([EAR], { type: 'text/javascript' })));
  const ear = new AudioWorkletNode(context, 'ear');
  ear.port.addEventListener('message', () => say('beep', { identity }));
  ear.port.start();
  context.createMediaStreamSource(new MediaStream([track.mediaStreamTrack])).connect(ear).connect(context.destination);
}

/** `clock`: how wide the picture was drawn that has its time in it (source.mjs); stats have the ages of frames then. */
async function join(url, token, options) {
  const room = new Room({ adaptiveStream: false, dynacast: false });
  const seen = new Map();
  /** Of the frames since the last call, in ms. */
  const ages = (sid) => {
    const frames = seen.get(sid)?.frames.splice(0) ?? [];
    const read = frames.filter(([, counter]) => counter !== null);
    return { ages: read.map(([at, counter]) => (((at - counter) % MODULUS) + MODULUS) % MODULUS), unread: frames.length - read.length };
  };
  const kindOf = (track) => (track.kind === Track.Kind.Video ? 'video' : 'audio');
  room.on(RoomEvent.TrackSubscribed, (track, publication, participant) => {
    const element = track.attach();
    element.dataset.sid = publication.trackSid;
    document.body.append(element);
    say('track', { identity: participant.identity, kind: kindOf(track), sid: publication.trackSid, source: publication.source });
    if (track.kind !== Track.Kind.Video) {
      if (options.clock) listen(track, participant.identity);
      return;
    }
    if (options.clock) {
      seen.set(publication.trackSid, watch(element, options.clock));
      look(element, participant.identity);
    }
    element.requestVideoFrameCallback((_, frame) => say('picture', { identity: participant.identity, width: frame.width, height: frame.height }));
  });
  room.on(RoomEvent.TrackUnsubscribed, (track, publication, participant) => {
    track.detach().forEach((element) => element.remove());
    say('track_gone', { identity: participant.identity, sid: publication.trackSid });
  });
  room.on(RoomEvent.ParticipantConnected, ({ identity }) => say('came', { identity }));
  room.on(RoomEvent.ParticipantDisconnected, ({ identity }) => say('went', { identity }));
  room.on(RoomEvent.Reconnecting, () => say('reconnecting'));
  room.on(RoomEvent.Reconnected, () => say('reconnected'));
  room.on(RoomEvent.Disconnected, (reason) => say('disconnected', { reason: reason ?? null }));
  room.on(RoomEvent.DataReceived, (payload, participant, _, topic) => {
    say('data', { value: new TextDecoder().decode(payload), identity: participant?.identity ?? '', topic });
  });
  const publications = () => [...room.remoteParticipants.values()].flatMap((participant) => (
    [...participant.trackPublications.values()].map((publication) => ({ participant, publication }))));
  async function stats() {
    for (const { participant, publication } of publications().filter(({ publication }) => publication.track)) {
      const report = await publication.track.receiver?.getStats();
      const inbound = [...(report?.values() ?? [])].find((one) => one.type === 'inbound-rtp');
      if (!inbound) continue;
      const codec = report.get(inbound.codecId);
      say('stats', {
        identity: participant.identity, kind: inbound.kind, sid: publication.trackSid, codec: codec?.mimeType ?? null,
        frames: inbound.framesDecoded ?? 0, decoded: inbound.framesDecoded ?? 0, keys: inbound.keyFramesDecoded ?? 0,
        width: inbound.frameWidth ?? 0, height: inbound.frameHeight ?? 0, fps: inbound.framesPerSecond ?? 0,
        dropped: inbound.framesDropped ?? 0, freezes: inbound.freezeCount ?? 0, plis: inbound.pliCount ?? 0,
        nacks: inbound.nackCount ?? 0, packets: inbound.packetsReceived, lost: inbound.packetsLost,
        concealed: inbound.concealedSamples ?? 0, samples: inbound.totalSamplesReceived ?? 0,
        buffer_ms: Math.round((10_000 * inbound.jitterBufferDelay) / Math.max(1, inbound.jitterBufferEmittedCount)) / 10,
        // When what is shown now was captured, by the publisher's clock in its reports: sound against picture.
        playout: inbound.estimatedPlayoutTimestamp ?? null,
        ...(seen.has(publication.trackSid) ? ages(publication.trackSid) : {}),
      });
    }
  }
  window.viewer = {
    take: () => said.splice(0),
    stats,
    async obey({ do: what, value }) {
      if (what === 'quality') publications().forEach(({ publication }) => publication.kind === 'video' && publication.setVideoQuality(value));
      if (what === 'size') publications().forEach(({ publication }) => publication.kind === 'video' && publication.setVideoDimensions(value));
      if (what === 'subscribe') publications().forEach(({ publication }) => publication.setSubscribed(value));
      if (what === 'data') await room.localParticipant.publishData(new TextEncoder().encode(value), { reliable: true, topic: 'test' });
      if (what === 'leave') await room.disconnect();
      say(what === 'leave' ? 'left' : 'done', { what });
    },
  };
  try {
    await room.connect(url, token, { autoSubscribe: options.autoSubscribe });
    await room.startAudio();
    say('connected', { sid: room.localParticipant.sid, others: [...room.remoteParticipants.values()].map(({ identity }) => identity) });
  } catch (error) {
    say('refused', { why: String(error) });
  }
}

window.join = join;
