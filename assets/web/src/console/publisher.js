// One encoder: what it sends, over which line, what is wrong with it, and the button that puts it on air.
import { Line } from '../line.js';
import { Rows, button, facts, make, show, toggle, write } from './dom.js';
import { graph } from './graph.js';
import { codec, megabits, millis, percent, sentence, stateWord } from './words.js';

function media({ video, audio, ...publisher }) {
  const size = video?.width ? `${video.width} × ${video.height}` : '–';
  const speakers = { 1: ' mono', 2: ' stereo' }[audio?.channels] ?? (audio?.channels ? ` ${audio.channels} ch` : '');
  return [
    ['Video', video ? codec(video.codec) : 'none', false, video?.codec],
    ['Size', size],
    ['Frame rate', `${publisher.frameRate.toFixed(2)} fps`],
    ['Key interval', publisher.keyIntervalMs === null ? '–' : `${(publisher.keyIntervalMs / 1000).toFixed(1)} s`, publisher.keyIntervalMs > 6000, 'The longest of the last distances between key frames'],
    ['Audio', audio ? `${codec(audio.codec)}${speakers}` : 'none', false, audio?.codec],
    ['Sample rate', audio?.sampleRate ? `${audio.sampleRate / 1000} kHz` : '–'],
    ['Delay', millis(publisher.delayMs), publisher.delayMs > 2000, 'How much later than its most punctual frame the newest one came'],
    ['Drift', publisher.driftPpm === null ? '–' : `${publisher.driftPpm} ppm`, Math.abs(publisher.driftPpm ?? 0) > 200, 'How much slower than ours the encoder’s clock runs'],
    ['Pauses', publisher.stalls ? `${publisher.stalls} · ${millis(publisher.stallMs)}` : 'none', false, 'Pauses of more than half a second, and their sum'],
  ];
}

function line(link, recent) {
  const figures = [
    ['Round trip', millis(link.rttMs), link.latencyMs < 3 * link.rttMs],
    ['Latency', millis(link.latencyMs), false, 'Time in which a lost packet may be sent again'],
    ['Buffer', millis(link.bufferMs)],
    ['Lost', percent(recent.loss), recent.loss >= 3],
    ['Sent again', percent(recent.again)],
    ['Dropped', String(recent.dropped), recent.dropped > 0, 'Packets that came too late'],
    ['Encrypted', link.encrypted ? 'yes' : 'no'],
  ];
  if (recent.undecrypted > 0) figures.push(['Not decrypted', String(recent.undecrypted), true]);
  return figures;
}

export function findings(parent) {
  return new Rows(parent, () => {
    const [text, remedy] = [make('p'), make('p', { class: 'remedy' })];
    const element = make('li', {}, text, remedy);
    return {
      element,
      update(finding) {
        element.className = `finding ${finding.severity}`;
        write(text, finding.text);
        write(remedy, finding.remedy);
      },
    };
  });
}

/** `giveAir(stream, publisher)` is called when its button is pressed; `rates` knows its past. */
export function publisherCard(giveAir, rates) {
  const state = make('b');
  const name = make('h4');
  const peer = make('span', { class: 'dim' });
  const take = button('Put on air', 'plain', () => giveAir(current.stream, current.publisher));
  const rate = make('strong');
  const curve = graph();
  const reason = make('p', { class: 'dim' });
  const ignored = make('p', { class: 'dim' });
  const mediaFacts = facts('Media');
  const lineHead = make('h5', {}, 'SRT line, last minute');
  const lineFacts = facts('Line');
  const list = make('ul', { class: 'findings' });
  const found = findings(list);
  const readings = new Line();
  let current = null;
  const element = make('article', { class: 'publisher' },
    make('header', {}, state, make('div', { class: 'who' }, name, peer), take),
    reason, ignored,
    make('div', { class: 'rate' }, make('div', {}, make('span', { class: 'dim' }, 'Bit rate'), rate), curve.element),
    mediaFacts.element, lineHead, lineFacts.element, list);
  let heard = null;
  return {
    element,
    update({ publisher, stream, isAside }) {
      current = { publisher, stream };
      const at = stream.heardAt;
      write(state, stateWord(publisher.state));
      state.className = `state ${publisher.state}`;
      const role = stream.publishers.length > 1 ? ` · ${publisher.onAir ? 'Primary' : 'Backup'}` : '';
      const aside = isAside ? ' · in an older stream' : '';
      write(name, publisher.encoder || 'Encoder');
      write(peer, `Publisher ${publisher.id}${role}${aside} · ${publisher.proto.toUpperCase()} · ${publisher.peer}`);
      toggle(element, 'on-air', publisher.onAir);
      show(take, stream.publishers.length > 1 && !publisher.onAir);
      take.disabled = publisher.state === 'silent' || stream.state === 'ended';
      write(reason, sentence(publisher.reason));
      show(reason, Boolean(publisher.reason) && stream.publishers.length > 1);
      const refused = publisher.ignoredCapabilities ?? [];
      write(ignored, `It asked for ${refused.join(', ')}; what the stream began with holds.`);
      show(ignored, refused.length > 0);
      write(rate, megabits(publisher.bitrateBps));
      if (heard !== at) curve.update(rates.of(stream, publisher));
      mediaFacts.update(media(publisher));
      show(lineHead, Boolean(publisher.link));
      show(lineFacts.element, Boolean(publisher.link));
      if (publisher.link && heard !== at) lineFacts.update(line(publisher.link, readings.add(at, publisher.link)));
      heard = at;
      const mine = stream.findings.filter((finding) => finding.publisher === publisher.id);
      found.update(mine, (finding) => finding.code);
      show(list, mine.length > 0);
    },
  };
}
