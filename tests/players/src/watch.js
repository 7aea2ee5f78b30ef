// What a video element shows, against the wall clock. With probe.js in our own player pages; by itself
// (dist/watch.js, `watching.watch`) it is laid over any page that plays.
import { BLOCK, BLOCKS, decode } from '../pattern.mjs';

/** Between two looks at the position, milliseconds. */
const TICK_MS = 50;
/** Ten minutes of pictures at 30 fps; what comes after is not written down. */
const KEEP = 20_000;

const wallMs = (now = performance.now()) => Math.round(performance.timeOrigin + now);

/**
 * Writes down `frames`, [shown at, number in the picture or null] of every new picture, `positions`, [at, position]
 * from the first picture on, `sizes`, and `restarts`: each time that the element has lost all its media and begun
 * anew. Times are wall-clock milliseconds; `sourceWidth` 0: numbers are not read.
 */
export function watch(video, sourceWidth = 0) {
  const seen = { begunAt: null, frames: [], positions: [], sizes: [], restarts: [] };
  const push = (list, value) => list.length < KEEP && list.push(value);
  const strip = new OffscreenCanvas(BLOCKS * 4, 4).getContext('2d', { willReadFrequently: true });
  const readCounter = () => {
    const side = (BLOCK * video.videoWidth) / sourceWidth;
    strip.drawImage(video, 0, 0, BLOCKS * side, side, 0, 0, BLOCKS * 4, 4);
    const { data } = strip.getImageData(0, 2, BLOCKS * 4, 1);
    // Canvas gives full-range RGB of a grey block: the green channel is the luma.
    return decode(Array.from({ length: BLOCKS }, (_, index) => data[(index * 4 + 2) * 4 + 1]));
  };
  const handleFrame = (now, meta) => {
    seen.begunAt ??= wallMs();
    const size = `${video.videoWidth}x${video.videoHeight}`;
    if (seen.sizes.at(-1)?.size !== size) push(seen.sizes, { at: wallMs(), size });
    push(seen.frames, [wallMs(meta.expectedDisplayTime), sourceWidth ? readCounter() : null]);
    video.requestVideoFrameCallback(handleFrame);
  };
  video.requestVideoFrameCallback(handleFrame);
  video.addEventListener('emptied', () => seen.begunAt !== null && push(seen.restarts, wallMs()));
  setInterval(() => {
    // A stream without pictures begins with its sound.
    if (!video.videoWidth && video.currentTime > 0) seen.begunAt ??= wallMs();
    if (seen.begunAt !== null) push(seen.positions, [wallMs(), video.currentTime]);
  }, TICK_MS);
  return seen;
}
