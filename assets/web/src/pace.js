// Brings a viewer who began late to where the playlist's hold-back allows. hls.js has such a control, but it
// needs more than a second in the buffer, and a player that is a second behind live never has that.

/** Between two looks, milliseconds. */
const TICK_MS = 100;
/** Behind the target by more than this, it plays faster until it is within the second figure, seconds. */
const [BEGIN_S, ENOUGH_S] = [0.08, 0.02];
/** Less than this in the buffer, seconds: one part may be late, so nothing is taken from it. */
const RESERVE_S = 0.3;
/** Rate gained per second of distance, and the limits of it. Below 1.1 nobody hears it. */
const [GAIN, LEAST, MOST] = [0.3, 0.04, 0.5];
/** Further away than this the viewer has chosen to be there, seconds. */
const CHOSEN_S = 12;

/** Watches `hls` (hls.js with `maxLiveSyncPlaybackRate` 1) playing in `video`; returns what ends it. */
export function keepPace(hls, video) {
  let isChasing = false;
  const tick = () => {
    const { latency, targetLatency } = hls;
    const { buffered, currentTime } = video;
    const end = buffered.length ? buffered.end(buffered.length - 1) : currentTime;
    const distance = latency - (targetLatency ?? latency);
    const mayChase = hls.latestLevelDetails?.live && !video.paused && !video.seeking && latency > 0
      && distance < CHOSEN_S && end - currentTime > RESERVE_S;
    isChasing = Boolean(mayChase) && distance > (isChasing ? ENOUGH_S : BEGIN_S);
    const rate = isChasing ? 1 + Math.min(MOST, Math.max(LEAST, Math.round(distance * GAIN * 50) / 50)) : 1;
    if (video.playbackRate !== rate) video.playbackRate = rate;
  };
  const timer = setInterval(tick, TICK_MS);
  return () => {
    clearInterval(timer);
    video.playbackRate = 1;
  };
}
