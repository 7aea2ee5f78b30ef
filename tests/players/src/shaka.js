import shaka from 'shaka-player';
import { run } from './probe.js';

run(({ video, url, config, report }) => {
  shaka.polyfill.installAll();
  const player = new shaka.Player();
  // Sequence mode, because shaka 5.2.12 compares its timestamp offset with one that it has moved by 1 ms itself:
  // by the luck of rounding it then resets the source buffer before a part, and all parts up to the next key
  // frame are lost. Whole segments begin with a key frame, so only low latency shows it.
  player.configure({ streaming: { lowLatencyMode: true }, manifest: { hls: { sequenceMode: true } }, ...config });
  player.addEventListener('error', ({ detail }) => report.error(`shaka ${detail.code}`, detail.severity === 2, JSON.stringify(detail.data)?.slice(0, 200)));
  player.addEventListener('adaptation', () => report.switched());
  player
    .attach(video)
    .then(() => player.load(url))
    .then(() => video.play())
    .catch((error) => report.error(`shaka ${error.code ?? error.name}`, true, error.message));
  const tracks = () => player.getVariantTracks().sort((a, b) => a.bandwidth - b.bandwidth);
  return {
    player,
    levels: () => tracks().map((track) => ({ width: track.width, height: track.height, bitrate: track.bandwidth, codecs: track.codecs })),
    current: () => tracks().findIndex((track) => track.active),
    select: (index) => {
      player.configure({ abr: { enabled: index < 0 } });
      if (index >= 0) player.selectVariantTrack(tracks()[index], false);
    },
    latency: () => {
      const date = player.getPlayheadTimeAsDate()?.getTime();
      return date && player.isLive() ? (Date.now() - date) / 1000 : null;
    },
    target: () => null,
    date: () => player.getPlayheadTimeAsDate()?.getTime() ?? null,
  };
});
