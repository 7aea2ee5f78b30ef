// What a viewer went through, out of what play.mjs wrote down (tests/players/src/watch.js), in wall-clock milliseconds.
import { MODULUS } from '../players/pattern.mjs';
import { MARK } from './encoder.mjs';

/** A number that would make a picture older than this was misread: a slate has pictures of its own. */
const OLDEST_MS = 150_000;
/** Looked at before the fault and at the end, for the delay behind the camera. */
const SPAN_MS = 4000;
/** A position that runs ahead of the clock by more than this between two looks has jumped, seconds. */
const JUMP_S = 0.5;

const median = (values) => (values.length ? [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] : null);

/** When a picture was painted and whether by a later encoder, or null where its number cannot be read. */
function read([shownAt, counter]) {
  if (counter === null) return null;
  const age = (((shownAt - counter) % MODULUS) + MODULUS) % MODULUS;
  // With the mark the clock is ahead by half of the numbers.
  const isLater = age > MODULUS - MARK - 1000;
  const sinceMs = isLater ? age - (MODULUS - MARK) : age;
  return Math.abs(sinceMs) < OLDEST_MS ? { shownAt, paintedAt: shownAt - sinceMs, isLater } : null;
}

/** The longest wait between neighbours of `times`, all between `from` and `to` counted. */
function longest(times, from, to) {
  const inside = [from, ...times.filter((at) => at > from && at < to), to];
  return inside.slice(1).reduce((most, at, index) => Math.max(most, at - inside[index]), 0);
}

/**
 * `goneAt`: the fault; `returnedAt`: pictures painted from then on, or by a later encoder, are new ones. Gives
 * `stillMs`, the longest time that the position stood still; `freezeMs`, the longest time without a picture that was
 * newer than all before; `newAt`, when the first new picture was seen, and `airedFrom`, when that one was painted;
 * `jumpS`, skipped by the player; `delayBeforeMs` and `delayAfterMs` behind the camera; `isLive`: at the end.
 */
export function judge({ frames, positions, restarts }, { goneAt, returnedAt }) {
  const end = positions.at(-1)[0];
  const from = goneAt - 1000;
  const moves = positions.filter(([, position], index) => index === 0 || position > positions[index - 1][1] + 0.001).map(([at]) => at);
  const live = [];
  for (const picture of frames.map(read)) {
    if (picture && picture.paintedAt > (live.at(-1)?.paintedAt ?? 0)) live.push(picture);
  }
  const shown = live.map(({ shownAt }) => shownAt);
  const first = live.find(({ isLater, paintedAt }) => isLater || paintedAt >= returnedAt);
  const delay = (since, to) => median(live.filter(({ shownAt }) => shownAt > since && shownAt <= to).map(({ shownAt, paintedAt }) => shownAt - paintedAt));
  const jumps = positions.slice(1).map(([at, position], index) => position - positions[index][1] - (at - positions[index][0]) / 1000);
  return {
    stillMs: longest(moves, from, end),
    freezeMs: longest(shown, from, end),
    newAt: first?.shownAt ?? null,
    airedFrom: first?.paintedAt ?? null,
    jumpS: jumps.filter((seconds, index) => seconds > JUMP_S && positions[index][0] > from).reduce((sum, seconds) => sum + seconds, 0),
    restarts: restarts.length,
    delayBeforeMs: delay(goneAt - SPAN_MS, goneAt),
    delayAfterMs: delay(end - SPAN_MS, end),
    isLive: Boolean(shown.length) && end - shown.at(-1) < 1000,
  };
}
