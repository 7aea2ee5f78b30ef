// An encoder over SRT on a line that loses packets, one by one and in bursts, both ways, with a viewer: at 5 % nothing
// is to be seen of it, at 15 % the stream lives and operators are told what to do.
import { WIDTH } from './encoder.mjs';
import { Gateway, KEY, isChosen, publish, sleep, stage, stop, table, view } from './lib.mjs';
import { judge } from './sight.mjs';
import { UdpLink } from './udp_link.mjs';

const seconds = Number(process.env.SOAK_SECONDS ?? 180);
const ADMIN = 'SoakAdmin0123456789';
const PASSPHRASE = 'the-passphrase-of-the-soak';
/** What the encoder asks for, of a round trip of 40: milliseconds. */
const LATENCY_MS = 250;
/** What memory may grow by over the second half of the run: noise of the allocator, not a leak. */
const GROWTH_MB = 6;
/** Packets that may come too late at 5 %: of a few hundred thousand packets some lose all of their chances. */
const LATE_SHARE = 0.0005;

const CASES = [
  { name: '5 %', loss: 0.05, seed: 5, env: { FOREBAY_LADDER: 'off' } },
  { name: '5 %, AES-256, ladder on', loss: 0.05, seed: 6, env: { FOREBAY_SRT_PASSPHRASE: PASSPHRASE }, more: `&passphrase=${encodeURIComponent(PASSPHRASE)}&pbkeylen=32` },
  { name: '15 %', loss: 0.15, seed: 15, env: { FOREBAY_LADDER: 'off' } },
];

async function operator(gateway, id) {
  const answer = await fetch(`${gateway.http}/api/admin/streams/${id}`, { headers: { 'X-Admin-Key': ADMIN } });
  return answer.json();
}

await stage(`srt: an encoder on a line that loses packets, ${seconds} s`, async (promise) => {
  const rows = [];
  for (const [index, { name, loss, seed, env, more = '' }] of CASES.entries()) {
    if (!isChosen(index, name)) continue;
    const gateway = await Gateway.start({ FOREBAY_ADMIN_KEY: ADMIN, ...env });
    const link = await UdpLink.start(gateway.srtPort, loss, seed);
    const url = `srt://127.0.0.1:${link.port}?mode=caller&latency=${LATENCY_MS * 1000}&streamid=${KEY}${more}`;
    const encoder = publish(url, { clock: true, like: WIDTH, bitrate: '2300k', format: 'mpegts' });
    try {
      const id = await gateway.stream();
      await sleep(8000);
      const viewer = view('hls', gateway.hls(id), { seconds, raw: true, args: ['--source-width', String(WIDTH)] });
      if (!(await viewer.begun)) throw new Error(`hls.js does not begin: ${(await viewer.figures).error}`);
      gateway.memory = [];
      const began = Date.now();
      const figures = await viewer.figures;
      const now = await operator(gateway, id);
      const seen = judge(figures.raw, { goneAt: began, returnedAt: began });
      const rss = gateway.rss();
      const fatal = figures.errors.filter((error) => error.fatal).map(({ what }) => what);
      const line = now.publishers[0]?.link ?? {};
      const findings = now.findings.map(({ text, remedy }) => `${text} ${remedy}`);
      const lateShare = line.droppedPackets / line.packets;
      rows.push({
        case: name, 'lost there': `${link.there.lost}/${link.there.sent}`, 'lost back': `${link.back.lost}/${link.back.sent}`, 'RTT ms': line.rttMs, 'latency ms': line.latencyMs,
        packets: line.packets, lost: line.lostPackets, 'sent again': line.retransmittedPackets, 'too late': line.droppedPackets, 'viewer stalls': figures.stalls.count,
        'stalled s': figures.stalls.totalMs / 1000, 'longest freeze s': seen.freezeMs / 1000, 'behind s': seen.delayAfterMs / 1000, fatal: fatal.join(' ') || 0,
        'RSS MB middle': rss.middle, end: rss.end, highest: rss.max,
      });
      for (const finding of findings) console.log(`       doctor: ${finding}`);
      promise(`${name}: no fatal error, no reload, live at the end`, fatal.length === 0 && seen.restarts === 0 && seen.isLive);
      promise(`${name}: the encoder is still the one that began`, encoder.exitCode === null && now.publishers.length === 1 && now.publishers[0].id === 0);
      promise(`${name}: memory grows by less than ${GROWTH_MB} MB in the second half`, rss.end - rss.middle < GROWTH_MB);
      // What was lost is known by the gaps that it left: a loss of both a packet and its repetition counts once.
      promise(`${name}: the gateway knows of the losses (${line.lostPackets} of ${link.there.lost})`, line.lostPackets > link.there.lost * 0.5 && line.lostPackets < link.there.lost * 1.5);
      if (loss < 0.1) {
        promise(`${name}: at most ${LATE_SHARE * 100} % of packets are too late (${(lateShare * 100).toFixed(4)} %)`, lateShare <= LATE_SHARE);
        promise(`${name}: the viewer never waits`, figures.stalls.count === 0);
      } else {
        promise(`${name}: the doctor tells to raise the latency`, findings.some((text) => /[Rr]aise the latency to \d+ ms/.test(text)));
      }
    } finally {
      await stop(encoder, 'SIGKILL');
      link.close();
      await gateway.stop();
    }
  }
  table('SRT on a line that loses', rows);
});
