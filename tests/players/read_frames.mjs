// Decodes a stream with ffmpeg, reads the number in every frame and says what is missing; one JSON object.
//
//   node read_frames.mjs --input URL --source-size 1280x720 [--stream 0] [--seconds 10] [--list] [--av]
//   ffmpeg -i URL -f rawvideo -pix_fmt gray - | node read_frames.mjs --size 640x360 --source-size 1280x720
//
// --stream: which video stream of the input   --list: all counters too   --av: also where flashes and beeps lie,
// and the offset of each beep to its flash (ms, positive: sound late)
import { spawn } from 'node:child_process';
import { parseArgs } from 'node:util';
import { BLOCK, BLOCKS, decode, summarize } from './pattern.mjs';

const { values: options } = parseArgs({
  options: {
    input: { type: 'string' },
    size: { type: 'string' },
    'source-size': { type: 'string', default: '1280x720' },
    stream: { type: 'string', default: '0' },
    seconds: { type: 'string' },
    list: { type: 'boolean' },
    av: { type: 'boolean' },
  },
});
const [sourceWidth, sourceHeight] = options['source-size'].split('x').map(Number);

function ffmpeg(args) {
  const limit = options.seconds ? ['-t', options.seconds] : [];
  const child = spawn('ffmpeg', ['-v', 'error', '-nostdin', '-copyts', '-i', options.input, ...limit, ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
  const end = { stderr: '', code: null };
  child.stderr.setEncoding('utf8').on('data', (text) => {
    end.stderr = (end.stderr + text).slice(-2000);
  });
  child.on('close', (code) => {
    end.code = code;
  });
  return { stdout: child.stdout, end };
}

async function* frames(stream, bytes) {
  let rest = Buffer.alloc(0);
  for await (const chunk of stream) {
    rest = rest.length ? Buffer.concat([rest, chunk]) : chunk;
    let at = 0;
    for (; rest.length - at >= bytes; at += bytes) yield rest.subarray(at, at + bytes);
    rest = rest.subarray(at);
  }
}

async function counters() {
  let [stream, width, height, columns] = [process.stdin, 0, 0, 0];
  let end = null;
  if (options.input) {
    // Only the row of blocks comes through the pipe, 8 samples a block whatever the size of the rung.
    [width, height, columns] = [BLOCKS * 8, 8, BLOCKS * 8];
    const crop = `crop=w=iw*${BLOCKS * BLOCK}/${sourceWidth}:h=ih*${BLOCK}/${sourceHeight}:x=0:y=0:exact=1,scale=${width}:${height}:flags=area`;
    ({ stdout: stream, end } = ffmpeg(['-map', `0:v:${options.stream}`, '-vf', crop, '-fps_mode', 'passthrough', '-f', 'rawvideo', '-pix_fmt', 'gray', '-']));
  } else {
    [width, height] = (options.size ?? options['source-size']).split('x').map(Number);
    columns = (width * BLOCKS * BLOCK) / sourceWidth;
  }
  const side = columns / BLOCKS;
  const row = Math.floor(side / 2);
  const found = [];
  for await (const frame of frames(stream, width * height)) {
    found.push(decode(Array.from({ length: BLOCKS }, (_, index) => frame[row * width + Math.floor((index + 0.5) * side)])));
  }
  return { found, end };
}

/** Times (s) of flashes and beeps on the stream's own clock, by ffmpeg's statistics filters. */
async function marks() {
  const square = `crop=w=ih/10:h=ih/10:x=iw-ih/7:y=ih-ih/7`;
  const video = ffmpeg(['-map', `0:v:${options.stream}`, '-vf', `${square},signalstats,metadata=mode=print:key=lavfi.signalstats.YAVG:file=-`, '-fps_mode', 'passthrough', '-f', 'null', '/dev/null']);
  const flashes = [];
  let time = 0;
  let lit = true;
  for (const line of (await text(video.stdout)).split('\n')) {
    const stamp = line.match(/pts_time:(-?[\d.]+)/);
    if (stamp) time = Number(stamp[1]);
    const value = line.match(/YAVG=([\d.]+)/);
    if (!value) continue;
    const bright = Number(value[1]) > 128;
    if (bright && !lit) flashes.push(time);
    lit = bright;
  }
  const rate = 48000;
  const audio = ffmpeg(['-map', '0:a:0', '-af', `aresample=${rate}:async=1,asetnsamples=48:p=0,astats=metadata=1:reset=1,ametadata=mode=print:key=lavfi.astats.Overall.Peak_level:file=-`, '-f', 'null', '/dev/null']);
  const beeps = [];
  let loud = true;
  for (const line of (await text(audio.stdout)).split('\n')) {
    const stamp = line.match(/pts_time:(-?[\d.]+)/);
    if (stamp) time = Number(stamp[1]);
    const value = line.match(/Peak_level=(-?[\d.inf]+)/);
    if (!value) continue;
    const isLoud = Number(value[1]) > -18;
    // A sine crosses zero: only silence for 100 ms ends a beep.
    if (isLoud && !loud && (beeps.length === 0 || time - beeps.at(-1) > 0.3)) beeps.push(time);
    loud = isLoud;
  }
  const offsets = flashes
    .map((flash) => beeps.map((beep) => (beep - flash) * 1000).sort((a, b) => Math.abs(a) - Math.abs(b))[0])
    .filter((offset) => offset !== undefined && Math.abs(offset) < 500)
    .map((offset) => Math.round(offset * 10) / 10);
  return { flashes, beeps, offsetsMs: offsets };
}

async function text(stream) {
  let all = '';
  for await (const chunk of stream.setEncoding('utf8')) all += chunk;
  return all;
}

const { found, end } = await counters();
const result = summarize(found);
if (options.list) result.counters = found;
if (end?.stderr) result.ffmpeg = end.stderr;
if (options.av && options.input) result.av = await marks();
console.log(JSON.stringify(result));
process.exit(result.readable > 0 ? 0 : 1);
