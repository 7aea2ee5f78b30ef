import Hls from 'hls.js';
import { keepPace } from '../../../assets/web/src/pace.js';
import { run } from './probe.js';

// `pace` in the configuration: with what our own page adds.
run(({ video, url, config: { pace, ...config }, report }) => {
  const hls = new Hls({ lowLatencyMode: true, enableWorker: false, ...config });
  hls.on(Hls.Events.ERROR, (_, data) => report.error(data.details, data.fatal, data.response?.code ?? data.error?.message ?? data.reason));
  hls.on(Hls.Events.LEVEL_SWITCHED, () => report.switched());
  hls.loadSource(url);
  hls.attachMedia(video);
  if (pace) keepPace(hls, video);
  return {
    player: hls,
    levels: () => hls.levels.map((level) => ({ width: level.width, height: level.height, bitrate: level.bitrate, codecs: level.attrs?.CODECS })),
    current: () => hls.currentLevel,
    select: (index) => {
      hls.nextLevel = index;
    },
    latency: () => hls.latency,
    target: () => hls.targetLatency,
    date: () => hls.playingDate?.getTime() ?? null,
  };
});
