// A stream's thumbnail, as long as it is on the screen.
import * as api from './api.js';
import { make, show, write } from './dom.js';
import { isLive } from './words.js';

/** Pictures are renewed so often. */
const PICTURE_MS = 5000;

const turn = () => Math.floor(Date.now() / PICTURE_MS);

/** Pictures that are on the screen: others are not asked for. */
const inView = new WeakSet();
const watcher = new IntersectionObserver((changes) => {
  for (const { target, isIntersecting } of changes) inView[isIntersecting ? 'add' : 'delete'](target);
});

/** A picture that changes without flicker: the next one is shown when it is whole. */
export function picture() {
  const image = make('img', { alt: '', hidden: true });
  const initial = make('span', { 'aria-hidden': 'true' });
  const element = make('div', { class: 'thumb' }, initial, image);
  let asked = '';
  watcher.observe(element);
  return {
    element,
    update(name, stream) {
      write(initial, name.slice(0, 1).toUpperCase());
      if (!isLive(stream)) {
        asked = '';
        return show(image, false);
      }
      // A stream without a ladder has no pictures: asking would only be refused.
      if (!stream.hasThumbnail || !inView.has(element)) return undefined;
      const address = api.thumbnail(stream.streamId, turn());
      if (address === asked) return undefined;
      asked = address;
      const next = new Image();
      next.onload = () => {
        if (asked !== address) return;
        image.src = address;
        show(image, true);
      };
      next.src = address;
      return undefined;
    },
  };
}
