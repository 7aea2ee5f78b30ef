// Reads all playlists and MPDs of a stream while it is on and notes what no player must ever meet: numbers that fall,
// a segment that changes its discontinuity number, its time or its length, renditions that disagree.
import { sleep } from './lib.mjs';

/** Between two rounds. */
const ROUND_MS = 500;
/** Sound begins with its first frame at or after the boundary: up to one frame, and rounding, after the picture. */
const FRAME_MS = 30;
/** Each end of a segment lies at the first picture, or the first sound frame, at or after its boundary. */
const ENDS_MS = 33 + FRAME_MS;

const number = (text, pattern, otherwise = null) => (pattern.test(text) ? Number(text.match(pattern)[1]) : otherwise);

/** Segments of a media playlist: number, discontinuity number, date, length, gap. */
function segments(text) {
  let sequence = number(text, /#EXT-X-MEDIA-SEQUENCE:(\d+)/, 0);
  let discontinuity = number(text, /#EXT-X-DISCONTINUITY-SEQUENCE:(\d+)/, 0);
  let [date, seconds, isGap] = [null, 0, false];
  const found = [];
  for (const line of text.split('\n')) {
    if (line === '#EXT-X-DISCONTINUITY') discontinuity += 1;
    else if (line === '#EXT-X-GAP') isGap = true;
    else if (line.startsWith('#EXT-X-PROGRAM-DATE-TIME:')) date = Date.parse(line.slice(25));
    else if (line.startsWith('#EXTINF:')) seconds = Number.parseFloat(line.slice(8));
    else if (line && !line.startsWith('#')) {
      found.push({ sequence, discontinuity, date, seconds, isGap });
      if (date !== null) date += seconds * 1000;
      [sequence, seconds, isGap] = [sequence + 1, 0, false];
    }
  }
  return found;
}

export class Playlists {
  /** Begins to read what `gateway` serves of the stream `id`. */
  constructor(gateway, id) {
    Object.assign(this, { gateway, id, rounds: 0, found: new Map(), media: new Map(), known: new Map(), last: new Map(), starts: new Map(), isOver: false, texts: [], latest: new Map() });
    this.reading = this.read();
  }

  async finish() {
    this.isOver = true;
    await this.reading;
    const answer = await fetch(`${this.gateway.http}/health/conformance`).catch(() => null);
    for (const { rule, file, detail } of answer?.ok ? (await answer.json()).newest : []) this.note(`the server itself finds ${rule} broken`, `${file}: ${detail}`);
    return [...this.found].map(([what, { times, first }]) => `${what} (${times}x): ${first}`);
  }

  note(what, detail) {
    const seen = this.found.get(what);
    if (seen) seen.times += 1;
    else this.found.set(what, { times: 1, first: String(detail) });
  }

  async read() {
    while (!this.isOver) {
      // The server is away for a moment when it is restarted: that it does not answer is no fault of what it says.
      await this.round().then(() => {
        this.rounds += 1;
      }, () => {});
      await sleep(ROUND_MS);
    }
  }

  async get(url) {
    const answer = await fetch(url, { signal: AbortSignal.timeout(5000) });
    const text = await answer.text();
    const { pathname } = new URL(url);
    if (!answer.ok) this.note(`status ${answer.status}`, pathname);
    if (process.env.SOAK_KEEP && this.latest.get(pathname) !== text) this.texts.push(`== ${new Date().toISOString()} ${pathname}\n${text}`);
    this.latest.set(pathname, text);
    return answer.ok ? { text, url } : null;
  }

  async round() {
    const main = await this.get(this.gateway.hls(this.id));
    if (main) {
      const names = new Set([...main.text.matchAll(/URI="([^"]+\.m3u8)"|^([^#\n].*\.m3u8)$/gm)].map(([, media, variant]) => media ?? variant));
      for (const name of names) await this.checkMedia(name, await this.get(new URL(name, main.url).href));
    }
    for (const kind of ['manifest', 'll']) this.checkMpd(kind, await this.get(this.gateway.dash(this.id, kind)));
  }

  checkMedia(name, answer) {
    if (!answer) return;
    const { text } = answer;
    if (!text.startsWith('#EXTM3U')) return this.note('no playlist', `${name}: ${text.slice(0, 100)}`);
    const target = number(text, /#EXT-X-TARGETDURATION:(\d+)/);
    this.target ??= target;
    if (target !== this.target) this.note('TARGETDURATION differs', `${name}: ${target}, was ${this.target}`);
    const now = { sequence: number(text, /#EXT-X-MEDIA-SEQUENCE:(\d+)/), discontinuity: number(text, /#EXT-X-DISCONTINUITY-SEQUENCE:(\d+)/), ended: text.includes('#EXT-X-ENDLIST') };
    const before = this.media.get(name);
    this.media.set(name, now);
    if (now.discontinuity === null) this.note('no DISCONTINUITY-SEQUENCE', name);
    if (now.ended) this.note('ENDLIST', name);
    if (before && now.sequence < before.sequence) this.note('MEDIA-SEQUENCE falls', `${name}: ${before.sequence} to ${now.sequence}`);
    if (before && now.discontinuity < before.discontinuity) this.note('DISCONTINUITY-SEQUENCE falls', `${name}: ${before.discontinuity} to ${now.discontinuity}`);
    for (const segment of segments(text)) this.checkSegment(name, segment, target);
    return undefined;
  }

  checkSegment(name, segment, target) {
    const { sequence, discontinuity, date, seconds } = segment;
    const where = `${name}, segment ${sequence}`;
    if (seconds > target + 0.5) this.note('longer than TARGETDURATION', `${where}: ${seconds} s`);
    if (date === null) return this.note('no PROGRAM-DATE-TIME', where);
    const own = this.known.get(`${name} ${sequence}`);
    const common = this.known.get(sequence);
    if (own && own.seconds !== seconds) this.note('EXTINF changes', `${where}: ${own.seconds} to ${seconds}`);
    if (own && own.date !== date) this.note('PROGRAM-DATE-TIME changes', `${where}: by ${date - own.date} ms`);
    if (own && own.isGap !== segment.isGap) this.note('GAP changes', where);
    if (common && common.discontinuity !== discontinuity) this.note('discontinuity numbers disagree', `${where}: ${discontinuity}, ${common.discontinuity} in ${common.name}`);
    if (common && Math.abs(common.date - date) > FRAME_MS) this.note('PROGRAM-DATE-TIMEs disagree', `${where}: ${date - common.date} ms from ${common.name}`);
    if (common && Math.abs(common.seconds - seconds) * 1000 > ENDS_MS) this.note('EXTINFs disagree', `${where}: ${seconds}, ${common.seconds} in ${common.name}`);
    const last = this.last.get(name);
    // After a restart of the server gaps begin before the end of what was published: shaka needs it.
    if (last && sequence > last.sequence && !segment.isGap && date < last.end - FRAME_MS) this.note('PROGRAM-DATE-TIME falls back', `${where}: ${last.end - date} ms before the end of segment ${last.sequence}`);
    if (!last || sequence > last.sequence) this.last.set(name, { sequence, end: date + seconds * 1000 });
    this.known.set(`${name} ${sequence}`, segment);
    if (!common) this.known.set(sequence, { ...segment, name });
    return undefined;
  }

  checkMpd(kind, answer) {
    if (!answer) return;
    const { text } = answer;
    const availability = text.match(/availabilityStartTime="([^"]+)"/)?.[1];
    if (!text.includes('<MPD') || !availability) return this.note('no MPD', `${kind}: ${text.slice(0, 100)}`);
    if (!text.includes('type="dynamic"')) this.note('MPD is not dynamic', kind);
    if (!text.includes('<UTCTiming')) this.note('no UTCTiming', kind);
    this.availability ??= availability;
    if (availability !== this.availability) this.note('availabilityStartTime changes', `${kind}: ${this.availability} to ${availability}`);
    let last = -1;
    for (const [, attributes, body] of text.matchAll(/<Period([^>]*)>([\s\S]*?)<\/Period>/g)) {
      const id = attributes.match(/id="([^"]+)"/)?.[1];
      const begin = Number(attributes.match(/start="PT([\d.]+)S"/)?.[1] ?? Number.NaN);
      const before = this.starts.get(`${kind} ${id}`);
      if (before !== undefined && before !== begin) this.note('Period@start changes', `${kind} ${id}: ${before} to ${begin}`);
      this.starts.set(`${kind} ${id}`, begin);
      if (begin <= last) this.note('Periods out of order', `${kind} ${id}: ${begin} after ${last}`);
      if (!Number.isNaN(begin)) last = begin;
      for (const [, timeline] of body.matchAll(/<SegmentTimeline>([\s\S]*?)<\/SegmentTimeline>/g)) this.checkTimeline(kind, id, timeline);
    }
    return undefined;
  }

  checkTimeline(kind, id, timeline) {
    let end = null;
    for (const [, attributes] of timeline.matchAll(/<S ([^>]*)\/>/g)) {
      const value = (name) => number(attributes, new RegExp(`\\b${name}="(\\d+)"`));
      const begin = value('t') ?? end;
      if (end !== null && begin !== end) this.note('gap or overlap in a SegmentTimeline', `${kind} ${id}: ${end} to ${begin}`);
      end = begin + value('d') * ((value('r') ?? 0) + 1);
    }
  }
}
