// The machine-readable number in the picture, written by source.mjs and read by play.mjs and read_frames.mjs.
//
// One row of 32 square blocks at the top left of the picture, 16 x 16 luma samples each (so 512 x 16):
//   block 0       white                     (sync)
//   block 1       black                     (sync)
//   blocks 2-29   28 bits, most significant first, white = 1
//   block 30      parity (XOR) of the bits in blocks 2, 4, … 28
//   block 31      parity (XOR) of the bits in blocks 3, 5, … 29
// Black is luma 16, white 235; a reader takes the middle of each block and compares with 128.
// In a rung of another size the blocks scale with the picture: block side = 16 * width / source width.

export const BLOCKS = 32;
export const BLOCK = 16;
export const BITS = 28;
/** Counters wrap here: milliseconds of the wall clock do so every 3.1 days. */
export const MODULUS = 2 ** BITS;

const parity = (bits, from) => bits.reduce((sum, bit, index) => (index % 2 === from ? sum ^ bit : sum), 0);

/** The 32 blocks (0 or 1) for `counter`. */
export function encode(counter) {
  const value = ((counter % MODULUS) + MODULUS) % MODULUS;
  const bits = Array.from({ length: BITS }, (_, index) => Math.floor(value / 2 ** (BITS - 1 - index)) % 2);
  return [1, 0, ...bits, parity(bits, 0), parity(bits, 1)];
}

/** The counter from 32 luma values (the middle of each block), or null where the picture carries none. */
export function decode(luma) {
  const blocks = Array.from(luma, (value) => (value >= 128 ? 1 : 0));
  if (blocks.length !== BLOCKS || blocks[0] !== 1 || blocks[1] !== 0) return null;
  const bits = blocks.slice(2, 2 + BITS);
  if (parity(bits, 0) !== blocks[30] || parity(bits, 1) !== blocks[31]) return null;
  return bits.reduce((value, bit) => value * 2 + bit, 0);
}

/** Draws `counter` into a luma plane of the given stride, with blocks of `side` samples. */
export function draw(plane, stride, counter, side = BLOCK) {
  encode(counter).forEach((bit, index) => {
    for (let row = 0; row < Math.round(side); row += 1) {
      const start = row * stride;
      plane.fill(bit ? 235 : 16, start + Math.round(index * side), start + Math.round((index + 1) * side));
    }
  });
}

/**
 * What a list of counters (null = unreadable) that should rise by one tells about losses. A source that writes
 * its clock rises by more: only `unreadable`, `repeated` and `backwards` mean something then.
 */
export function summarize(counters) {
  const seen = counters.filter((counter) => counter !== null);
  const missing = [];
  let lost = 0;
  let repeated = 0;
  let backwards = 0;
  for (let index = 1; index < seen.length; index += 1) {
    const step = (seen[index] - seen[index - 1] + MODULUS) % MODULUS;
    if (step === 0) repeated += 1;
    else if (step > MODULUS / 2) backwards += 1;
    else {
      lost += step - 1;
      for (let gap = 1; gap < step && missing.length < 100; gap += 1) missing.push((seen[index - 1] + gap) % MODULUS);
    }
  }
  return {
    frames: counters.length,
    readable: seen.length,
    unreadable: counters.length - seen.length,
    first: seen[0] ?? null,
    last: seen.at(-1) ?? null,
    missing: lost,
    firstMissing: missing,
    repeated,
    backwards,
  };
}
