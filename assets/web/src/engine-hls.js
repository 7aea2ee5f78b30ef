// hls.js behind the face that watch.js knows. It reports; watch.js alone decides when to start anew.
import Hls from 'hls.js';
import { keepPace } from './pace.js';

export const supported = () => Hls.isSupported();

const label = (level) => {
  const rate = Math.round(level.attrs?.['FRAME-RATE'] ?? 0);
  return level.height ? `${Math.min(level.height, level.width || level.height)}p${rate > 30 ? rate : ''}` : level.name || `${Math.round(level.bitrate / 1000)} kb/s`;
};

/**
 * Plays `url` in `video`. `on` gets: manifest(url), levels(), ended(), trouble(kind, detail) where kind is
 * 'missing', 'denied', 'network' or 'media'. `audioOnly` plays the stream's sound alone. With a `latency` in seconds
 * somebody else sees to it that the player is so far behind: it only begins there.
 */
export function start({ video, url, sid, cid, audioOnly, latency, on }) {
  let mediaRepairs = 0;
  let lastMediaRepair = -Infinity;
  let networkNudges = 0;
  let nudgeTimer = 0;
  let audioUrl = null;
  let isEnded = false;

  const hls = new Hls({
    lowLatencyMode: true,
    backBufferLength: 60,
    ...(latency && { liveSyncDuration: latency }),
    // fMP4 passes through untouched, so a worker would only add a message round trip per part.
    enableWorker: false,
    // In headers, because media addresses are the same for all viewers and caches key on them.
    cmcd: { sessionId: sid, contentId: cid, useHeaders: true },
  });
  const fail = (kind, detail) => on.trouble(kind, detail);

  hls.on(Hls.Events.MANIFEST_LOADED, (_, data) => {
    on.manifest(data.networkDetails?.responseURL || data.networkDetails?.url || data.url);
  });
  hls.on(Hls.Events.MANIFEST_PARSED, () => {
    if (!audioOnly || audioUrl) return on.levels();
    // hls.js drops audio-only variants beside video ones: play the audio rendition's own playlist.
    audioUrl = hls.allAudioTracks.find((track) => track.url)?.url;
    if (audioUrl) hls.loadSource(audioUrl);
    on.levels();
  });
  for (const event of [Hls.Events.LEVEL_SWITCHED, Hls.Events.LEVELS_UPDATED, Hls.Events.AUDIO_TRACKS_UPDATED]) {
    hls.on(event, () => on.levels());
  }
  hls.on(Hls.Events.LEVEL_UPDATED, (_, data) => {
    isEnded = !data.details.live;
  });
  hls.on(Hls.Events.FRAG_BUFFERED, () => {
    networkNudges = 0;
  });
  hls.on(Hls.Events.ERROR, (_, data) => {
    if (!data.fatal) return;
    const status = data.response?.code;
    if (status === 401 || status === 403) return fail('denied', data.details);
    if (data.details.startsWith('manifest')) {
      return fail(status === 404 || status === 410 ? 'missing' : 'network', data.details);
    }
    if (data.type === Hls.ErrorTypes.MEDIA_ERROR) {
      const now = performance.now();
      if (now - lastMediaRepair > 30_000) mediaRepairs = 0;
      lastMediaRepair = now;
      mediaRepairs += 1;
      if (mediaRepairs > 2) return fail('media', data.details);
      if (mediaRepairs === 2) hls.swapAudioCodec();
      hls.recoverMediaError();
      return undefined;
    }
    if (data.type === Hls.ErrorTypes.NETWORK_ERROR && networkNudges < 2 && status !== 404 && status !== 410) {
      // What is buffered goes on playing while loading resumes where it stopped.
      networkNudges += 1;
      nudgeTimer = setTimeout(() => hls.startLoad(), 1000 * networkNudges);
      return undefined;
    }
    return fail(status === 404 || status === 410 ? 'missing' : 'network', data.details);
  });
  hls.loadSource(url);
  hls.attachMedia(video);
  // Viewers of one stream drift together: a late one plays a little faster.
  const endPace = latency ? () => {} : keepPace(hls, video);

  return {
    kind: 'hls',
    player: hls,
    levels: () => (audioOnly ? [] : hls.levels.map((level, index) => ({
      key: index, label: label(level), width: level.width, height: level.height, bitrate: level.bitrate,
    }))),
    hasAudioOnly: () => Boolean(audioOnly) || hls.allAudioTracks.some((track) => track.url),
    /** The level that is on screen, -1 before the first. */
    current: () => (audioOnly ? -1 : hls.currentLevel),
    isAuto: () => hls.autoLevelEnabled,
    /** `'auto'` or a level's key; takes effect at the next segment, without a gap. */
    select: (key) => {
      hls.nextLevel = key === 'auto' ? -1 : key;
    },
    bitrate: () => {
      const level = hls.levels[hls.currentLevel];
      return audioOnly ? hls.allAudioTracks[0]?.bitrate || 0 : level?.bitrate || 0;
    },
    bandwidth: () => hls.bandwidthEstimate,
    /** Seconds behind the live edge as the playlist tells it. */
    latency: () => hls.latency,
    targetLatency: () => hls.targetLatency,
    /** Wall-clock time (ms) at which the picture on screen entered the server, by program date time. */
    playingDate: () => hls.playingDate?.getTime() ?? null,
    livePosition: () => hls.liveSyncPosition,
    ended: () => isEnded,
    resume: () => hls.startLoad(-1),
    destroy: () => {
      clearTimeout(nudgeTimer);
      endPace();
      hls.destroy();
    },
  };
}
