// dash.js behind the face that watch.js knows. Its own bundle, loaded only when it is chosen.
import { MediaPlayer } from 'dashjs';

/** Error codes after which dash.js goes on: XLink, time synchronisation, text tracks. */
const HARMLESS = new Set([12, 16, 29, 33]);
/** Manifest, XLink and segment downloads that failed for good, retries included. */
const NETWORK = new Set([11, 15, 17, 25, 26, 27, 28]);

/** Plays the MPD at `url` in `video`; see engine-hls.js for `on` and `latency`. */
export function start({ video, url, sid, cid, autoPlay, latency, on }) {
  const player = MediaPlayer().create();
  const events = MediaPlayer.events;
  player.initialize();
  player.updateSettings({
    debug: { logLevel: 0 },
    streaming: {
      utcSynchronization: { useManifestDateHeaderTimeSource: false },
      // The MPD's ServiceDescription states the target latency; the playback rate follows it.
      liveCatchup: { enabled: !latency, maxDrift: 0, playbackRate: { min: -0.3, max: 0.5 } },
      ...(latency && { delay: { liveDelay: latency } }),
      // dash.js stops for good when an MPD refresh fails a few times: outlast a restart of the server.
      retryAttempts: { MPD: 20, MediaSegment: 6, InitializationSegment: 6 },
      retryIntervals: { MPD: 1000, MediaSegment: 500, InitializationSegment: 500 },
      // In headers, because media addresses are the same for all viewers and caches key on them.
      cmcd: { enabled: true, applyParametersFromMpd: false, sid, cid, mode: 'header', includeInRequests: ['segment', 'mpd'] },
    },
  });

  // Our MPD brings its own UTCTiming; the built-in default would ask a stranger's server for the time.
  player.clearDefaultUTCTimingSources();

  let isEnded = false;
  let auto = true;
  const levelsOf = () => (player.isReady() ? player.getRepresentationsByType('video') || [] : []);
  player.on(events.MANIFEST_LOADED, (event) => {
    if (event.data?.url) on.manifest(event.data.url);
  });
  for (const event of [events.STREAM_INITIALIZED, events.QUALITY_CHANGE_RENDERED]) {
    player.on(event, () => on.levels());
  }
  player.on(events.PLAYBACK_ENDED, () => {
    isEnded = true;
  });
  player.on(events.ERROR, ({ error }) => {
    if (HARMLESS.has(error?.code)) return undefined;
    const status = error?.data?.response?.status ?? error?.data?.status;
    const detail = error?.message || `error ${error?.code}`;
    if (status === 401 || status === 403) return on.trouble('denied', detail);
    if (NETWORK.has(error?.code)) {
      return on.trouble(status === 404 || status === 410 ? 'missing' : 'network', detail);
    }
    return on.trouble('media', detail);
  });
  player.attachView(video);
  // dash.js refreshes the MPD only for playback that it has started itself.
  player.on(events.PLAYBACK_NOT_ALLOWED, () => on.blocked());
  player.setAutoPlay(autoPlay);
  player.attachSource(url);

  const current = () => player.isReady() && player.getCurrentRepresentationForType('video');
  const origin = () => {
    // The presentation's availabilityStartTime plus the element's position is the wall clock of the picture.
    const seconds = player.isReady() && player.isDynamic() ? player.timeAsUTC() : NaN;
    return Number.isFinite(seconds) && seconds > 0 ? seconds * 1000 : null;
  };
  return {
    kind: 'dash',
    startsItself: true,
    player,
    levels: () => levelsOf().map((level) => ({
      key: level.id,
      label: level.height ? `${Math.min(level.height, level.width || level.height)}p${level.frameRate > 31 ? Math.round(level.frameRate) : ''}` : `${Math.round(level.bitrateInKbit)} kb/s`,
      width: level.width, height: level.height, bitrate: level.bandwidth,
    })),
    hasAudioOnly: () => false,
    current: () => {
      const id = current()?.id;
      return levelsOf().findIndex((level) => level.id === id);
    },
    isAuto: () => auto,
    select: (key) => {
      auto = key === 'auto';
      player.updateSettings({ streaming: { abr: { autoSwitchBitrate: { video: auto } } } });
      if (!auto) player.setRepresentationForTypeById('video', key);
    },
    bitrate: () => current()?.bandwidth || 0,
    bandwidth: () => player.getAverageThroughput('video') * 1000 || 0,
    latency: () => (player.isReady() ? player.getCurrentLiveLatency() || 0 : 0),
    targetLatency: () => (player.isReady() ? player.getTargetLiveDelay() : null),
    playingDate: origin,
    livePosition: () => null,
    goLive: () => player.seekToOriginalLive(),
    /** dash.js waits for ever at the end of a Period that the MPD has dropped. */
    isLeftBehind: () => player.isReady() && player.getManifest()?.Period?.[0]?.start > video.currentTime,
    ended: () => isEnded,
    resume: () => {},
    destroy: () => player.destroy(),
  };
}
