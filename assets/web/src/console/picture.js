// A stream's thumbnail or, without one, a poster, as long as it is on the screen.
import * as api from './api.js';
import { make, show, write } from './dom.js';
import { isLive } from './words.js';

/** Pictures are renewed so often. */
const PICTURE_MS = 5000;

const turn = () => Math.floor(Date.now() / PICTURE_MS);

/** What asks for a picture that comes onto the screen: others are not asked for. */
const looks = new WeakMap();
const watcher = new IntersectionObserver((changes) => {
  for (const { target, isIntersecting } of changes) looks.get(target)(isIntersecting);
});

/** A picture that changes without flicker: the next one is shown when it is whole. Its place is kept for it. */
export function picture(alt = '') {
  const image = make('img', { alt, hidden: true });
  const initial = make('span', { 'aria-hidden': 'true' });
  const element = make('div', { class: 'thumb' }, initial, image);
  let current = null;
  let poster = null;
  let isSeen = false;
  let asked = '';
  function look() {
    // A stream without a ladder has no pictures: asking would only be refused.
    const address = current?.hasThumbnail ? api.thumbnail(current.streamId, turn()) : poster;
    if (!address || address === asked || !isSeen) return;
    asked = address;
    const next = new Image();
    next.onload = () => {
      if (asked !== address) return;
      image.src = address;
      show(image, true);
    };
    // What was there before is no poster.
    next.onerror = () => address === poster && asked === address && show(image, false);
    next.src = address;
  }
  looks.set(element, (isIntersecting) => {
    isSeen = isIntersecting;
    look();
  });
  watcher.observe(element);
  return {
    element,
    update(name, stream, still = null) {
      write(initial, name.slice(0, 1).toUpperCase());
      current = isLive(stream) ? stream : null;
      poster = still;
      if (current || poster) return look();
      asked = '';
      return show(image, false);
    },
  };
}
