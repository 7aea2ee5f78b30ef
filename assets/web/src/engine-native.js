// The browser's own HLS player (Safari, iOS), behind the face that watch.js knows.

export const supported = (video) => video.canPlayType('application/vnd.apple.mpegurl') !== '';

/** Plays `url` in `video`; see engine-hls.js for `on`. The browser chooses the quality by itself. */
export function start({ video, url, on }) {
  let stopped = false;
  const listeners = new AbortController();
  const listen = (name, handler) => video.addEventListener(name, handler, { signal: listeners.signal });
  listen('error', () => {
    const code = video.error?.code;
    on.trouble(code === MediaError.MEDIA_ERR_DECODE ? 'media' : 'network', video.error?.message || `media error ${code}`);
  });
  listen('loadedmetadata', () => on.levels());

  // The element does not tell a 404 from a broken connection, so the playlist is asked for once beforehand.
  fetch(url, { signal: listeners.signal })
    .then((answer) => {
      if (stopped) return;
      if (answer.status === 401 || answer.status === 403) return on.trouble('denied', `status ${answer.status}`);
      if (!answer.ok) return on.trouble(answer.status === 404 || answer.status === 410 ? 'missing' : 'network', `status ${answer.status}`);
      on.manifest(answer.url);
      video.src = url;
      video.load();
    })
    .catch((error) => stopped || on.trouble('network', String(error)));

  const edge = () => (video.seekable.length ? video.seekable.end(video.seekable.length - 1) : null);
  return {
    kind: 'native',
    player: video,
    levels: () => [],
    hasAudioOnly: () => false,
    current: () => -1,
    isAuto: () => true,
    select: () => {},
    bitrate: () => 0,
    bandwidth: () => 0,
    latency: () => (edge() === null ? 0 : edge() - video.currentTime),
    targetLatency: () => null,
    playingDate: () => {
      const start = video.getStartDate?.().getTime();
      return Number.isFinite(start) ? start + video.currentTime * 1000 : null;
    },
    livePosition: edge,
    ended: () => video.ended,
    resume: () => {},
    destroy: () => {
      stopped = true;
      listeners.abort();
      video.removeAttribute('src');
      video.load();
    },
  };
}
