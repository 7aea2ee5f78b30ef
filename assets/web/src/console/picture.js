// A stream's thumbnail, as long as it is on the screen.
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

/** A picture that changes without flicker: the next one is shown when it is whole. */
export function picture() {
  const image = make('img', { alt: '', hidden: true });
  const initial = make('span', { 'aria-hidden': 'true' });
  const element = make('div', { class: 'thumb' }, initial, image);
  let current = null;
  let isSeen = false;
  let asked = '';
  function look() {
    // A stream without a ladder has no pictures: asking would only be refused.
    if (!current?.hasThumbnail || !isSeen) return;
    const address = api.thumbnail(current.streamId, turn());
    if (address === asked) return;
    asked = address;
    const next = new Image();
    next.onload = () => {
      if (asked !== address) return;
      image.src = address;
      show(image, true);
    };
    next.src = address;
  }
  looks.set(element, (isIntersecting) => {
    isSeen = isIntersecting;
    look();
  });
  watcher.observe(element);
  return {
    element,
    update(name, stream) {
      write(initial, name.slice(0, 1).toUpperCase());
      current = isLive(stream) ? stream : null;
      if (current) return look();
      asked = '';
      return show(image, false);
    },
  };
}
