// A test picture as raw yuv420p on standard output, in real time: a number in every frame (pattern.mjs), a
// scrolling scene with noise so that an encoder has work, and a white square at the bottom right in the first
// frame of every second. With a beep at the same moments from lavfi it is published like this:
//
//   node source.mjs --size 1280x720 --fps 30 --duration 60 --count |
//   ffmpeg -v error -f rawvideo -pix_fmt yuv420p -s 1280x720 -r 30 -i - \
//     -f lavfi -i "aevalsrc='if(lt(mod(t,1),0.05),0.5*sin(2*PI*1000*t),0)':s=48000" \
//     -c:v libx264 -preset veryfast -tune zerolatency -g 60 -b:v 2500k -c:a aac -b:a 128k -shortest \
//     -f flv rtmp://127.0.0.1:1935/live/KEY
//
// --size WxH (1280x720; at least 512 wide)   --fps N or N/D (30)   --duration seconds (0: until the pipe closes)
// --count: the number is the frame's index   --clock: wall-clock milliseconds modulo 2^28 (glass to glass);
// time begins when the reader takes the second frame
// --start N: first index, or added to the clock (0)   --unpaced: as fast as the reader takes it
// --flash N: frames per flash (1)   --like W: blocks as large as in a picture W wide that was scaled to this size,
// for readers who know W only
import { once } from 'node:events';
import { parseArgs } from 'node:util';
import { BLOCK, draw } from './pattern.mjs';

const { values: options } = parseArgs({
  options: {
    size: { type: 'string', default: '1280x720' },
    fps: { type: 'string', default: '30' },
    duration: { type: 'string', default: '0' },
    start: { type: 'string', default: '0' },
    flash: { type: 'string', default: '1' },
    like: { type: 'string' },
    count: { type: 'boolean' },
    clock: { type: 'boolean' },
    unpaced: { type: 'boolean' },
  },
});
const [width, height] = options.size.split('x').map(Number);
const [numerator, denominator = 1] = options.fps.split('/').map(Number);
const total = Math.round((Number(options.duration) * numerator) / denominator) || Infinity;
const start = Number(options.start);
const blockSide = (BLOCK * width) / Number(options.like ?? width);
const flashFrames = Number(options.flash);
if (!(width >= 512 && height >= 64 && width % 2 === 0 && height % 2 === 0 && numerator > 0 && denominator > 0)) {
  console.error('source: the size must be even and at least 512x64, the rate positive');
  process.exit(2);
}

// A seeded generator: the same picture in every run.
let seed = 0x2545f491;
const random = () => {
  seed ^= seed << 13;
  seed ^= seed >>> 17;
  seed ^= seed << 5;
  return (seed >>> 0) / 2 ** 32;
};

/** A plane twice as wide as the picture, which a frame shows through a moving window. */
function scene(columns, rows, paint) {
  const plane = new Uint8Array(columns * 2 * rows);
  for (let y = 0; y < rows; y += 1) {
    for (let x = 0; x < columns * 2; x += 1) plane[y * columns * 2 + x] = paint((x % columns) / columns, y / rows);
  }
  return plane;
}
const tau = Math.PI * 2;
const luma = scene(width, height, (x, y) => 120 + 50 * Math.sin(tau * (3 * x + 2 * y)) + 30 * Math.sin(tau * 11 * y) + 12 * random());
const blue = scene(width / 2, height / 2, (x, y) => 128 + 60 * Math.sin(tau * (x + y)));
const red = scene(width / 2, height / 2, (x, y) => 128 + 60 * Math.cos(tau * (2 * x - y)));
const noise = Uint8Array.from({ length: width * 64 }, () => 16 + 219 * random());

const frame = new Uint8Array((width * height * 3) / 2);
const chroma = (width * height) / 4;

function window(target, source, columns, rows, offset) {
  for (let y = 0; y < rows; y += 1) {
    const from = y * columns * 2 + offset;
    target.set(source.subarray(from, from + columns), y * columns);
  }
}

function paint(index) {
  const offset = (index * 4) % width & ~1;
  const planeY = frame.subarray(0, width * height);
  window(planeY, luma, width, height, offset);
  window(frame.subarray(width * height, width * height + chroma), blue, width / 2, height / 2, offset / 2);
  window(frame.subarray(width * height + chroma), red, width / 2, height / 2, offset / 2);
  const side = (height >> 2) & ~1;
  for (let y = 0; y < side; y += 1) {
    const from = (((index * 7919 + y * 104729) % (64 * width - side)) + 64 * width) % (64 * width - side);
    planeY.set(noise.subarray(from, from + side), (height - side - 16 + y) * width + 16);
  }
  // The flash: frames whose time is the first at or after a whole second.
  const second = Math.floor((index * denominator) / numerator);
  const firstOfSecond = Math.ceil((second * numerator) / denominator);
  const square = (height / 5) & ~1;
  const isLit = index - firstOfSecond < flashFrames;
  for (let y = height - square; y < height; y += 1) planeY.fill(isLit ? 235 : 16, y * width + width - square, y * width + width);
  draw(planeY, width, start + (options.clock ? Date.now() : index), blockSide);
}

process.stdout.on('error', () => process.exit(0));
let began = performance.now();
for (let index = 0; index < total; index += 1) {
  if (!options.unpaced) {
    const wait = began + (index * 1000 * denominator) / numerator - performance.now();
    if (wait > 1) await new Promise((resolve) => setTimeout(resolve, wait));
  }
  paint(index);
  // The buffer is used again for the next frame, so the pipe gets a copy.
  if (!process.stdout.write(frame.slice())) await once(process.stdout, 'drain');
  // An encoder takes one frame to see what it is, and the rest once it is connected: that is when a camera begins.
  if (options.clock && index < 2) began = performance.now() - ((index + 1) * 1000 * denominator) / numerator;
}
process.stdout.end();
