// mpv and VLC, as installed, on HLS and on the DASH that they can play.
import { chmod, rm } from 'node:fs/promises';
import { Gateway, publish, scratch, sleep, stage, start, stop, table } from './lib.mjs';

const seconds = Number(process.env.SOAK_SECONDS ?? 30);

/** mpv plays `seconds` and leaves; its status line carries position and dropped frames. */
async function mpv(url) {
  const child = start('mpv', ['--no-config', '--vo=null', '--ao=null', `--length=${seconds}`, '--term-status-msg=AT=${=time-pos} DROPPED=${frame-drop-count} CACHE=${paused-for-cache}\n', url], { stdio: ['ignore', 'pipe', 'pipe'] });
  const began = Date.now();
  const code = await Promise.race([child.ended, sleep((seconds + 30) * 1000).then(() => null)]);
  await stop(child, 'SIGKILL');
  const status = [...child.said.matchAll(/AT=([\d.]+) DROPPED=(\d*) CACHE=(\w*)/g)];
  const at = status.map(([, position]) => Number(position));
  // Position zero is printed before the stream's own start time is known.
  const moved = at.filter((position) => position > 0);
  let waits = 0;
  status.forEach(([, , , cache], index) => {
    if (index > 0 && cache === 'yes' && status[index - 1][3] !== 'yes' && moved.length && at[index] > moved[0] + 1) waits += 1;
  });
  const played = moved.length ? moved.at(-1) - moved[0] : 0;
  const complaints = child.said.split('\n').filter((line) => /error|invalid|fail/i.test(line)).slice(0, 3);
  return { ok: code === 0 && played > seconds - 3, played, waits, seconds: (Date.now() - began) / 1000, complaints };
}

/** VLC refuses to run as root, so it runs as nobody; its remote control tells the statistics. */
async function vlc(url) {
  const home = await scratch('vlc');
  await chmod(home, 0o777);
  const args = ['-I', 'rc', '--rc-fake-tty', '--no-video-title-show', '--vout', 'dummy', '--aout', 'dummy', '--no-audio-time-stretch', url];
  const asNobody = process.getuid() === 0;
  const child = asNobody
    ? start('setpriv', ['--reuid=65534', '--regid=65534', '--clear-groups', 'vlc', ...args], { env: { HOME: home, XDG_RUNTIME_DIR: home }, stdio: ['pipe', 'pipe', 'pipe'] })
    : start('vlc', args, { env: { HOME: home }, stdio: ['pipe', 'pipe', 'pipe'] });
  child.stdin.on('error', () => {});
  await sleep((seconds + 3) * 1000);
  child.stdin.write('stats\n');
  await sleep(1000);
  child.stdin.write('quit\n');
  await Promise.race([child.ended, sleep(5000)]);
  await stop(child, 'SIGKILL');
  await rm(home, { recursive: true, force: true });
  const count = (name) => Number(child.said.match(new RegExp(`${name}\\s*:\\s*(\\d+)`))?.[1] ?? NaN);
  const [shown, lost, sounds, soundsLost] = ['frames displayed', 'frames lost', 'buffers played', 'buffers lost'].map(count);
  const complaints = child.said.split('\n').filter((line) => /error/i.test(line) && !/dbus|no suitable interface/.test(line)).slice(0, 3);
  return { ok: shown > (seconds - 3) * 28 && sounds > 0, played: shown / 30, lost, soundsLost, complaints };
}

await stage('desktop: mpv and VLC', async (promise) => {
  const gateway = await Gateway.start({ FOREBAY_LADDER: 'off' });
  const encoder = publish(gateway.publishUrl);
  const id = await gateway.stream();
  await sleep(15_000);
  const rows = [];
  // mpv 0.35 has trouble with short live windows of DASH, whoever serves them.
  for (const [name, run, url] of [
    ['mpv HLS', mpv, gateway.hls(id)], ['VLC HLS', vlc, gateway.hls(id)], ['VLC DASH', vlc, gateway.dash(id)],
  ]) {
    const { ok, played, waits, lost, soundsLost, complaints } = await run(url);
    rows.push({ player: name, 'played s': played, waits, 'frames lost': lost, 'sounds lost': soundsLost, complaints: complaints.join(' / ') || 'none' });
    promise(`${name}: plays ${seconds} s`, ok);
  }
  await stop(encoder, 'SIGKILL');
  await gateway.stop();
  table('Desktop players', rows);
});
