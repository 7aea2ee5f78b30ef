// Plays what an operator looks at, with the engines of the watch page. An entry of its own, fetched when
// somebody looks: hls.js is larger than the whole console.
import * as hlsEngine from '../../engine-hls.js';
import * as nativeEngine from '../../engine-native.js';

/** After a trouble it is tried again so soon. */
const RETRY_MS = 2000;

/** `on.state` hears `playing`, `waiting` or `unsupported`. */
export function play({ video, url, id, on }) {
  let engine = null;
  let timer = 0;
  let isOver = false;
  const module = hlsEngine.supported() ? hlsEngine : nativeEngine.supported(video) ? nativeEngine : null;
  const heard = () => on.state('playing');
  function start() {
    engine?.destroy();
    engine = module.start({ video, url, sid: crypto.randomUUID?.() ?? String(Math.random()), cid: id, audioOnly: false, on: {
      manifest() {},
      levels() {},
      trouble() {
        if (isOver) return;
        on.state('waiting');
        clearTimeout(timer);
        timer = setTimeout(start, RETRY_MS);
      },
    } });
    // A browser that refuses leaves its own button.
    video.play().catch(() => {});
  }
  if (!module) on.state('unsupported');
  else {
    video.addEventListener('playing', heard);
    start();
  }
  return {
    /** When what is on the screen was on at the server, ms; `null`: not known. */
    date: () => engine?.playingDate() ?? null,
    destroy() {
      isOver = true;
      clearTimeout(timer);
      video.removeEventListener('playing', heard);
      engine?.destroy();
    },
  };
}
