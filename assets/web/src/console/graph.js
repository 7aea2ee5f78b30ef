// The bit rate of the last minutes as a line. One scale per graph: it grows with the rate and falls slowly.
import { draw, make, write } from './dom.js';
import { megabits } from './words.js';

const KEPT_MS = 120_000;
/** Updates may come in a burst after the page slept: only the last of such a time counts. */
const APART_MS = 500;

const WIDTH = 240;
const HEIGHT = 48;

/** Bit rates of all publishers, so that a graph has its past when it comes into view. */
export class Rates {
  #points = new Map();

  add(stream, now) {
    for (const publisher of stream.publishers) {
      const points = this.of(stream, publisher);
      if (points.length && now - points.at(-1).now < APART_MS) points.pop();
      points.push({ now, bps: publisher.bitrateBps });
      while (now - points[0].now > KEPT_MS) points.shift();
    }
    const present = new Set(stream.publishers.map((publisher) => `${stream.streamId} ${publisher.id}`));
    for (const key of this.#points.keys()) if (key.startsWith(stream.streamId) && !present.has(key)) this.#points.delete(key);
  }

  of(stream, publisher) {
    const key = `${stream.streamId} ${publisher.id}`;
    if (!this.#points.has(key)) this.#points.set(key, []);
    return this.#points.get(key);
  }

  forget(streamId) {
    for (const key of this.#points.keys()) if (key.startsWith(streamId)) this.#points.delete(key);
  }
}

export function graph() {
  const area = draw('path', { class: 'area' });
  const line = draw('path', { class: 'line', 'vector-effect': 'non-scaling-stroke' });
  const picture = draw('svg', { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: 'none', 'aria-hidden': 'true', focusable: 'false' }, area, line);
  const top = make('span');
  const element = make('div', { class: 'graph' }, picture, top, make('span', { class: 'span' }, '2 min'));
  return {
    element,
    update(points) {
      if (!points.length) return;
      const { now } = points.at(-1);
      const most = Math.max(...points.map((point) => point.bps), 1);
      const at = ({ now: then, bps: rate }) => {
        const x = WIDTH - ((now - then) / KEPT_MS) * WIDTH;
        const y = HEIGHT - 1 - (rate / most) * (HEIGHT - 6);
        return `${x.toFixed(1)} ${y.toFixed(1)}`;
      };
      const path = points.map(at).join(' L ');
      const [first] = at(points[0]).split(' ');
      line.setAttribute('d', `M ${path}`);
      area.setAttribute('d', `M ${first} ${HEIGHT} L ${path} L ${WIDTH} ${HEIGHT} Z`);
      write(top, megabits(most));
    },
  };
}
