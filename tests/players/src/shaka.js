import shaka from 'shaka-player';
import { run } from './probe.js';

run(({ video, url, config, report }) => {
  shaka.polyfill.installAll();
  const player = new shaka.Player();
  player.configure({ streaming: { lowLatencyMode: true }, ...config });
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
