// What is measured is measured on the video element, alike for all players. `window.probe` is play.mjs's handle.
import { watch } from './watch.js';

/** Samples between two looks at the element, milliseconds. */
const TICK_MS = 100;
/** Holes in `buffered` shorter than this are rounding, seconds. */
const GAP_SECONDS = 0.011;
const KEEP = 20_000;

export function run(start) {
  const query = new URLSearchParams(location.search);
  const video = document.querySelector('video');
  video.muted = query.get('sound') !== '1';
  const began = performance.now();
  const seen = watch(video, Number(query.get('sourceWidth')) || 0);
  const result = { stalls: [], latency: [], switches: 0, errors: [], gaps: [] };
  const push = (list, value) => list.length < KEEP && list.push(value);
  const report = {
    error: (what, fatal, detail) => push(result.errors, { atMs: Math.round(performance.now() - began), what: String(what), fatal: Boolean(fatal), detail: detail === undefined ? null : String(detail) }),
    switched: () => {
      result.switches += 1;
    },
  };
  window.addEventListener('error', (event) => report.error('page', false, event.message));
  window.addEventListener('unhandledrejection', (event) => report.error('page', false, event.reason));
  video.addEventListener('error', () => report.error(`media element ${video.error?.code}`, true, video.error?.message));

  const engine = start({ video, url: query.get('url'), config: JSON.parse(query.get('config') || '{}'), report });
  // dash.js refreshes the MPD only for playback that it has started itself.
  const attempt = () => video.paused && !engine.startsItself && video.play().catch(() => {});
  video.addEventListener('canplay', attempt);
  attempt();

  // Stalls: the element waits although it has begun and nobody seeks.
  let since = null;
  const endStall = () => {
    if (since === null) return;
    push(result.stalls, { atMs: Math.round(since - began), lastedMs: Math.round(performance.now() - since), position: video.currentTime });
    since = null;
  };
  video.addEventListener('waiting', () => {
    if (seen.begunAt !== null && !video.seeking && since === null) since = performance.now();
  });
  video.addEventListener('playing', endStall);

  setInterval(() => {
    if (since !== null && !video.paused && video.readyState >= 3) endStall();
    const { buffered, currentTime } = video;
    for (let index = 1; index < buffered.length; index += 1) {
      const gap = { from: buffered.end(index - 1), to: buffered.start(index) };
      const isKnown = result.gaps.some((known) => Math.abs(known.to - gap.to) < 0.05);
      if (gap.to - gap.from > GAP_SECONDS && gap.to > currentTime - 30 && !isKnown) push(result.gaps, gap);
    }
    if (seen.begunAt === null) return;
    const latency = engine.latency();
    if (Number.isFinite(latency) && latency > 0) push(result.latency, Math.round(latency * 1000));
  }, TICK_MS);

  window.probe = {
    engine,
    video,
    levels: () => engine.levels(),
    now: () => ({ current: engine.current(), position: video.currentTime, width: video.videoWidth, height: video.videoHeight, stalls: result.stalls.length + (since === null ? 0 : 1), gaps: result.gaps.length }),
    select: (index) => engine.select(index),
    result: () => {
      const figures = video.getVideoPlaybackQuality();
      const ranges = Array.from({ length: video.buffered.length }, (_, index) => [video.buffered.start(index), video.buffered.end(index)]);
      return {
        ...result,
        ...seen,
        firstFrameMs: seen.begunAt === null ? null : Math.round(seen.begunAt - performance.timeOrigin - began),
        openStallMs: since === null ? 0 : Math.round(performance.now() - since),
        targetLatency: engine.target(),
        playingDate: engine.date(),
        levels: engine.levels(),
        current: engine.current(),
        position: video.currentTime,
        width: video.videoWidth,
        height: video.videoHeight,
        playbackRate: video.playbackRate,
        buffered: ranges,
        decodedFrames: figures.totalVideoFrames,
        droppedFrames: figures.droppedVideoFrames,
      };
    },
  };
}
