// The self-test's picture and tone, made here: no camera and no microphone is needed. The time stands in the picture,
// in squares that survive any encoder, so that whoever receives it knows how old it is.

const WIDTH = 640;
const HEIGHT = 360;
const FPS = 30;
/** Side of a square, of which the first is white, then come the bits, and last the parity of their ones. */
const SIDE = 24;
const BITS = 24;
const TONE_HZ = 440;
/** Quiet: it is heard by nobody but the test. */
const LOUDNESS = 0.2;
/** What counts as the tone: its loudness of 255, and how far off it may be. */
const AUDIBLE = 90;
const NEAR_HZ = 40;
const WHITE = 140;
const BLACK = 110;

/** Squares for a time, in ms: true is white. */
function squares(ms) {
  const bits = Array.from({ length: BITS }, (_, at) => ((ms >>> (BITS - 1 - at)) & 1) === 1);
  return [true, ...bits, bits.filter(Boolean).length % 2 === 1];
}

/** Draws until it is stopped. `tracks` are to be published. */
export function start(canvas) {
  const context = canvas.getContext('2d');
  [canvas.width, canvas.height] = [WIDTH, HEIGHT];
  const draw = () => {
    const now = Math.floor(performance.now()) % 2 ** BITS;
    const shift = (now / 4000) % 1;
    for (let bar = 0; bar < 8; bar += 1) {
      context.fillStyle = `hsl(${(bar * 45 + shift * 360) % 360} 55% 45%)`;
      context.fillRect((bar * WIDTH) / 8, 0, WIDTH / 8 + 1, HEIGHT);
    }
    context.fillStyle = '#fff';
    context.beginPath();
    context.arc(WIDTH / 2 + Math.cos(shift * 2 * Math.PI) * 220, 200 + Math.sin(shift * 2 * Math.PI) * 90, 26, 0, 7);
    context.fill();
    squares(now).forEach((isWhite, at) => {
      context.fillStyle = isWhite ? '#fff' : '#000';
      context.fillRect(at * SIDE, 0, SIDE, SIDE);
    });
  };
  draw();
  const timer = setInterval(draw, 1000 / FPS);
  const audio = new AudioContext();
  const tone = new OscillatorNode(audio, { frequency: TONE_HZ });
  const out = audio.createMediaStreamDestination();
  tone.connect(new GainNode(audio, { gain: LOUDNESS })).connect(out);
  tone.start();
  audio.resume().catch(() => {});
  return {
    tracks: { video: canvas.captureStream(FPS).getVideoTracks()[0], audio: out.stream.getAudioTracks()[0] },
    stop: () => {
      clearInterval(timer);
      audio.close().catch(() => {});
    },
  };
}

/** Hears whether the tone is in a track that came. Its stream has to be in an element, or browsers leave it out. */
export function makeEar(stream) {
  const audio = new AudioContext();
  const ear = new AnalyserNode(audio, { fftSize: 2048 });
  new MediaStreamAudioSourceNode(audio, { mediaStream: stream }).connect(ear);
  audio.resume().catch(() => {});
  const levels = new Uint8Array(ear.frequencyBinCount);
  return {
    hears: () => {
      ear.getByteFrequencyData(levels);
      const loudest = levels.indexOf(Math.max(...levels));
      const hz = (loudest * audio.sampleRate) / ear.fftSize;
      return levels[loudest] > AUDIBLE && Math.abs(hz - TONE_HZ) < NEAR_HZ;
    },
    stop: () => audio.close().catch(() => {}),
  };
}

/** Reads how old pictures of a video element are, in ms; `null` where the time cannot be read. */
export function makeReader() {
  const canvas = new OffscreenCanvas(WIDTH, SIDE);
  const context = canvas.getContext('2d', { willReadFrequently: true });
  return (video) => {
    const now = Math.floor(performance.now()) % 2 ** BITS;
    context.drawImage(video, 0, 0, WIDTH, HEIGHT);
    const row = context.getImageData(0, SIDE / 2, WIDTH, 1).data;
    const levels = Array.from({ length: BITS + 2 }, (_, at) => row[4 * (at * SIDE + SIDE / 2) + 1]);
    if (levels.some((level) => level > BLACK && level < WHITE)) return null;
    const read = levels.map((level) => level >= WHITE);
    const ms = read.slice(1, -1).reduce((sum, bit) => sum * 2 + Number(bit), 0);
    const isWhole = squares(ms).every((isWhite, at) => isWhite === read[at]);
    return isWhole ? (now - ms + 2 ** BITS) % 2 ** BITS : null;
  };
}
