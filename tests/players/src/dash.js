import { MediaPlayer } from 'dashjs';
import { run } from './probe.js';

/** dash.js goes on after these: XLink, time synchronisation, text tracks. */
const HARMLESS = new Set([12, 16, 29, 33]);

run(({ video, url, config, report }) => {
  const player = MediaPlayer().create();
  const { events } = MediaPlayer;
  player.initialize();
  player.updateSettings({
    debug: { logLevel: 0 },
    streaming: { liveCatchup: { enabled: true }, ...config },
  });
  // No stranger's clock: the MPD's UTCTiming must do.
  player.clearDefaultUTCTimingSources();
  player.on(events.ERROR, ({ error }) => report.error(`dash ${error?.code}`, !HARMLESS.has(error?.code), error?.message));
  player.on(events.QUALITY_CHANGE_RENDERED, (event) => event.mediaType === 'video' && report.switched());
  player.attachView(video);
  player.setAutoPlay(true);
  player.attachSource(url);
  const ready = () => player.isReady();
  const levels = () => (ready() ? player.getRepresentationsByType('video') || [] : []);
  return {
    player,
    startsItself: true,
    levels: () => levels().map((level) => ({ width: level.width, height: level.height, bitrate: level.bandwidth, codecs: level.codecs })),
    current: () => {
      const id = ready() && player.getCurrentRepresentationForType('video')?.id;
      return levels().findIndex((level) => level.id === id);
    },
    select: (index) => {
      player.updateSettings({ streaming: { abr: { autoSwitchBitrate: { video: index < 0 } } } });
      if (index >= 0) player.setRepresentationForTypeById('video', levels()[index].id);
    },
    latency: () => (ready() ? player.getCurrentLiveLatency() : null),
    target: () => (ready() ? player.getTargetLiveDelay() : null),
    date: () => (ready() && player.isDynamic() ? player.timeAsUTC() * 1000 : null),
  };
});
