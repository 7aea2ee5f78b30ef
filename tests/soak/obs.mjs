// Real OBS under Xvfb as it comes out of the box, and with a key interval of 2 s, into the real gateway.
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Gateway, KEY, isChosen, play, scratch, sleep, stage, start, stop, table } from './lib.mjs';

const seconds = Number(process.env.SOAK_SECONDS ?? 30);

/** A private home with a profile, a service and a scene collection. `keyintSeconds` 0 is OBS's default. */
export async function writeHome(server, keyintSeconds, key = KEY) {
  const home = await scratch('obs');
  const config = join(home, 'obs-studio');
  const profile = join(config, 'basic', 'profiles', 'Soak');
  await mkdir(profile, { recursive: true });
  await mkdir(join(config, 'basic', 'scenes'), { recursive: true });
  await writeFile(join(config, 'global.ini'), [
    '[General]', 'FirstRun=true', 'Pre19Defaults=false', 'Pre21Defaults=false', 'Pre23Defaults=false', 'Pre24.1Defaults=false',
    'LastVersion=486539266', 'InfoIncrement=-1', 'EnableAutoUpdates=false', 'MaxLogs=2', '',
    '[Basic]', 'Profile=Soak', 'ProfileDir=Soak', 'SceneCollection=Soak', 'SceneCollectionFile=Soak', '',
    // Without a preview OBS renders once a frame: two cores and software GL do not manage both.
    '[BasicWindow]', 'PreviewEnabled=false', 'WarnBeforeStartingStream=false', 'WarnBeforeStoppingStream=false', '',
  ].join('\n'));
  await writeFile(join(profile, 'basic.ini'), [
    '[General]', 'Name=Soak', '', '[Output]', 'Mode=Simple', 'Reconnect=true', 'RetryDelay=2', '',
    '[Video]', 'BaseCX=640', 'BaseCY=360', 'OutputCX=640', 'OutputCY=360', 'FPSType=0', 'FPSCommon=30', '',
    '[Audio]', 'SampleRate=48000', 'ChannelSetup=Stereo', '',
    '[SimpleOutput]', 'VBitrate=1000', 'ABitrate=128', 'StreamEncoder=x264', 'Preset=veryfast',
    // The key interval has no box in simple mode: it is an x264 option there.
    ...(keyintSeconds ? ['UseAdvanced=true', `x264Settings=keyint=${30 * keyintSeconds}`] : []), '',
  ].join('\n'));
  await writeFile(join(profile, 'service.json'), JSON.stringify({ type: 'rtmp_custom', settings: { server, key, use_auth: false } }));
  const colour = (name, value, width, height) => ({ id: 'color_source', versioned_id: 'color_source_v3', name, settings: { color: value, width, height }, enabled: true, volume: 1, mixers: 0 });
  const scroll = { id: 'scroll_filter', versioned_id: 'scroll_filter', name: 'Scroll', settings: { speed_x: 120, loop: true }, enabled: true };
  const item = (name, id, x, y) => ({ name, id, visible: true, pos: { x, y }, scale: { x: 1, y: 1 }, bounds: { x: 0, y: 0 }, bounds_type: 0, rot: 0, align: 5, crop_left: 0, crop_top: 0, crop_right: 0, crop_bottom: 0, group_item_backup: false, locked: false });
  const text = { id: 'text_ft2_source', versioned_id: 'text_ft2_source_v2', name: 'Words', settings: { text: 'Forebay   scrolls   here   ', font: { face: 'DejaVu Sans', size: 96, style: 'Book', flags: 0 } }, filters: [scroll], enabled: true, volume: 1, mixers: 0 };
  await writeFile(join(config, 'basic', 'scenes', 'Soak.json'), JSON.stringify({
    name: 'Soak', current_scene: 'Scene', current_program_scene: 'Scene', scene_order: [{ name: 'Scene' }], groups: [], transitions: [],
    current_transition: 'Fade', transition_duration: 300,
    sources: [
      colour('Ground', 4286595104, 640, 360), colour('Band', 4278222976, 640, 60), text,
      { id: 'scene', versioned_id: 'scene', name: 'Scene', settings: { id_counter: 3, custom_size: false, items: [item('Ground', 1, 0, 0), item('Band', 2, 0, 150), item('Words', 3, 20, 40)] }, enabled: true, volume: 1, mixers: 0 },
    ],
  }));
  return home;
}

export function startObs(home) {
  return start('xvfb-run', ['-a', '-s', '-screen 0 1024x640x24', 'obs', '--startstreaming', '--minimize-to-tray', '--multi', '--profile', 'Soak', '--collection', 'Soak'], {
    env: { XDG_CONFIG_HOME: home, HOME: home, XDG_RUNTIME_DIR: home, LIBGL_ALWAYS_SOFTWARE: '1', QT_QPA_PLATFORM: 'xcb' }, stdio: ['ignore', 'pipe', 'pipe'],
  });
}

const PASSPHRASE = 'the-passphrase-of-the-soak';
/** As it is typed into the box for the server; its key stays empty. */
const srt = (gateway, more = '') => `srt://127.0.0.1:${gateway.srtPort}?mode=caller&streamid=${KEY}${more}`;

const CASES = [
  { name: 'default (keyint 250), ladder off', keyintSeconds: 0, env: { FOREBAY_LADDER: 'off' } },
  { name: 'default (keyint 250), ladder on', keyintSeconds: 0, env: {} },
  { name: '2 s, ladder off', keyintSeconds: 2, env: { FOREBAY_LADDER: 'off' } },
  { name: '2 s, ladder on', keyintSeconds: 2, env: {} },
  { name: '2 s, SRT', keyintSeconds: 2, env: { FOREBAY_LADDER: 'off' }, server: srt },
  { name: '2 s, SRT with a passphrase', keyintSeconds: 2, env: { FOREBAY_LADDER: 'off', FOREBAY_SRT_PASSPHRASE: PASSPHRASE }, server: (gateway) => srt(gateway, `&passphrase=${encodeURIComponent(PASSPHRASE)}&pbkeylen=32`) },
];

/** Key intervals and rate as the served media tell them, by ffprobe on the source rendition. */
async function probe(gateway, id) {
  const child = start('ffprobe', ['-v', 'error', '-select_streams', 'v:0', '-show_entries', 'packet=pts_time,flags:stream=codec_name,profile,has_b_frames', '-of', 'csv', '-read_intervals', '%+20', gateway.hls(id)], { stdio: ['ignore', 'pipe', 'pipe'] });
  await Promise.race([child.ended, sleep(40_000)]);
  await stop(child, 'SIGKILL');
  const packets = child.said.split('\n').filter((line) => line.startsWith('packet,')).map((line) => line.split(','));
  const keys = packets.filter(([, , flags]) => flags?.startsWith('K')).map(([, pts]) => Number(pts));
  return { packets: packets.length, keys, stream: child.said.split('\n').find((line) => line.startsWith('stream,')) };
}

if (process.argv[1] === import.meta.filename || process.argv[1]?.endsWith('obs.mjs')) {
  await stage('obs: real OBS publishes', async (promise) => {
    const rows = [];
    for (const [index, { name, keyintSeconds, env, server }] of CASES.entries()) {
      if (!isChosen(index, name)) continue;
      const gateway = await Gateway.start(env);
      const home = server ? await writeHome(server(gateway), keyintSeconds, '') : await writeHome(gateway.rtmp, keyintSeconds);
      const obs = startObs(home);
      const began = Date.now();
      try {
        const id = await gateway.stream();
        const listedMs = Date.now() - began;
        await sleep(20_000);
        const seen = await play('hls', gateway.hls(id), { seconds });
        const media = await probe(gateway, id);
        const gaps = media.keys.slice(1).map((key, at) => key - media.keys[at]);
        rows.push({
          OBS: name, 'listed after ms': listedMs, 'key frames every s': gaps.length ? `${Math.min(...gaps).toFixed(2)}..${Math.max(...gaps).toFixed(2)}` : null,
          levels: seen.levels?.length, 'first frame ms': seen.firstFrameMs, 'latency ms': seen.latencyMs?.median, 'p95 ms': seen.latencyMs?.p95,
          'target ms': seen.targetLatency && Math.round(seen.targetLatency * 1000), stalls: seen.stalls.count, 'stalled ms': seen.stalls.totalMs,
          'played s': seen.playedSeconds, errors: seen.errors?.map(({ what }) => what).join(' ') || seen.error || 0, 'RSS MB': gateway.rss().max,
        });
        if (process.env.SOAK_DEBUG) console.log(JSON.stringify(seen));
        promise(`OBS, ${name}: hls.js plays ${seconds} s without a stall`, seen.ok && seen.stalls.count === 0);
        if (keyintSeconds) promise(`OBS, ${name}: key frames are 2 s apart, a frame that OBS lost aside`, gaps.length > 2 && gaps.every((gap) => Math.abs(gap - 2) < 0.04));
      } catch (error) {
        console.log(obs.said.slice(-3000));
        throw error;
      } finally {
        await stop(obs);
        await gateway.stop();
        await rm(home, { recursive: true, force: true });
      }
    }
    table('OBS', rows);
  });
}
