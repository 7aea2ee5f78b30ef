// One channel: what is on air, who publishes, what is made of it, and what can be done to it.
import * as api from './api.js';
import { ask, attempt, choice, field } from './dialogs.js';
import { Rows, button, copy, facts, make, show, toggle, write } from './dom.js';
import { publisherCard } from './publisher.js';
import { bytes, count, lasting, millis, moment, stateWord } from './words.js';

/** How often messages and recordings are asked for while they are on the page. */
const REFRESH_MS = 10_000;
const MASK = '••••••••••••••••';

const panel = (title, ...children) => {
  const head = make('header', {}, make('h3', {}, title));
  return { element: make('section', { class: 'panel' }, head, ...children), head };
};

/** Where viewers go. */
function base(context) {
  const { publicUrl, publicPort } = context.addresses();
  return publicUrl?.replace(/\/$/, '') ?? `${location.protocol}//${location.hostname}:${publicPort}`;
}

/** An address with a button that copies it. `get` gives what is copied, which may take a while. */
function copyRow(label, what, get) {
  const value = make('code');
  const element = make('div', { class: 'copy' }, make('span', { class: 'dim' }, label), value);
  const action = () => attempt(async () => copy(await get(), what));
  element.append(button('Copy', 'plain small', action, { 'aria-label': `Copy ${what}` }));
  return { element, value };
}

/** Where encoders and viewers go. The key is asked for when somebody wants it, and shown only then. */
function publishing(context, get) {
  let key = null;
  let fingerprint;
  let isShown = false;
  let live = null;
  const host = location.hostname;
  const rtmpUrl = ({ rtmpUrl: whole, rtmpPort }) => whole ?? (rtmpPort ? `rtmp://${host}:${rtmpPort}/ingest` : '');
  const srtUrl = (streamKey) => `srt://${host}:${context.addresses().srtPort}?mode=caller&streamid=${streamKey}`;
  const need = async () => {
    key ??= await api.key(get().channel.channelId);
    return key;
  };
  const server = copyRow('RTMP server', 'RTMP address', () => rtmpUrl(context.addresses()));
  const secret = copyRow('Stream key', 'stream key', need);
  const srt = copyRow('SRT address, with the key', 'SRT address', async () => srtUrl(await need()));
  const watch = copyRow('Watch page', 'watch address', () => live);
  const reveal = button('Show', 'plain small', () => attempt(async () => {
    if (!isShown) await need();
    isShown = !isShown;
    update();
  }), { 'aria-pressed': 'false', 'aria-label': 'Show the stream key' });
  secret.element.insertBefore(reveal, secret.element.lastChild);
  const note = make('p', { class: 'dim' }, 'SRT wants the passphrase of this server too.');
  const { element, head } = panel('Publish and watch', server.element, secret.element, srt.element, watch.element, note);
  const rotate = button('New key…', 'plain small', () => ask({
    title: 'Make a new stream key?',
    text: 'The old one is refused from then on. An encoder that is on air stays so until it connects again.',
    confirm: 'Make a new key',
    isDanger: true,
    async action() {
      await api.rotateKey(get().channel.channelId);
      await context.reload();
    },
  }));
  head.append(rotate);
  function update() {
    const { channel, stream } = get();
    const at = context.addresses();
    // There is a new key: the one that was asked for is of no use.
    if (fingerprint !== channel.keyFingerprint) {
      key = null;
      isShown = false;
      fingerprint = channel.keyFingerprint;
    }
    const isManaged = context.isManaged() && !channel.isGuessed;
    write(server.value, rtmpUrl(at));
    show(server.element, rtmpUrl(at) !== '');
    write(secret.value, isShown ? key : MASK);
    write(reveal, isShown ? 'Hide' : 'Show');
    reveal.setAttribute('aria-pressed', String(isShown));
    write(srt.value, srtUrl(isShown ? key : MASK));
    show(srt.element, Boolean(at.srtPort) && isManaged);
    show(note, Boolean(at.srtPort) && at.srtEncrypted);
    for (const part of [secret.element, rotate]) show(part, isManaged);
    live = stream && stream.state !== 'ended' ? `${base(context)}/watch/${stream.streamId}` : null;
    write(watch.value, live ?? '');
    show(watch.element, live !== null);
    return live;
  }
  return { element, update };
}

/** What the gateway mended of what encoders sent, or had to leave out. */
function repairs() {
  const figures = facts('Mended and left out');
  const { element } = panel('Mended and left out', figures.element);
  return {
    element,
    update(now) {
      figures.update([
        ['Frames dropped', String(now.droppedUnits), false, 'Frames that could not be shown'],
        ['Overlaps', String(now.overlappingFrames), false, 'Audio frames left out because they overlapped'],
        ['Silence put in', String(now.silentFrames), false, 'Audio frames put in where some were missing'],
        ['Jumps in time', String(now.timeJumps), false, 'Jumps of the encoder’s clock that viewers do not see'],
        ['Long key intervals', String(now.longGops), false, 'Segments that had to be longer than wanted'],
      ]);
    },
  };
}

function rungs() {
  const body = make('tbody');
  const head = ['Rung', 'Lag', 'Speed'].map((text) => make('th', { scope: 'col' }, text));
  const table = make('table', {}, make('thead', {}, make('tr', {}, ...head)), body);
  const rows = new Rows(body, () => {
    const [name, lag, speed] = [make('th', { scope: 'row' }), make('td'), make('td')];
    const element = make('tr', {}, name, lag, speed);
    return {
      element,
      update(rung) {
        write(name, rung.name);
        write(lag, millis(rung.lagMs));
        toggle(lag, 'bad', rung.lagMs > 1000);
        write(speed, rung.speed ? `${rung.speed.toFixed(2)} ×` : '–');
        toggle(speed, 'bad', rung.speed > 0 && rung.speed < 0.98);
      },
    };
  });
  const { element } = panel('Rungs', table);
  return {
    element,
    update(list) {
      show(element, list.length > 0);
      rows.update(list, (rung) => rung.name);
    },
  };
}

function history() {
  const list = make('ol', { class: 'history' });
  const rows = new Rows(list, () => {
    const [time, text] = [make('time'), make('span')];
    return {
      element: make('li', {}, time, text),
      update(incident) {
        write(time, moment(incident.atUnixMs));
        time.dateTime = new Date(incident.atUnixMs).toISOString();
        write(text, incident.text);
      },
    };
  });
  const { element } = panel('What happened', list);
  return {
    element,
    update(incidents) {
      show(element, incidents.length > 0);
      const newest = incidents.map((incident, place) => ({ ...incident, place })).reverse();
      rows.update(newest, (incident) => `${incident.atUnixMs} ${incident.text}`);
    },
  };
}

function messages(id) {
  const list = make('ol', { class: 'messages' });
  const empty = make('p', { class: 'dim' }, 'None in the last 90 days.');
  const input = make('input', { type: 'text', 'aria-label': 'Message', placeholder: 'Write to this channel', maxlength: 1024, autocomplete: 'off' });
  const form = make('form', { class: 'row' }, input, make('button', { class: 'button plain' }, 'Send'));
  const { element, head } = panel('Messages', list, empty, form);
  head.append(button('Delete all…', 'plain small', () => ask({
    title: 'Delete all messages of this channel?',
    text: 'This cannot be taken back.',
    confirm: 'Delete all',
    isDanger: true,
    action: () => api.purge(id).then(load),
  })));
  const rows = new Rows(list, () => {
    const [who, time, text] = [make('b'), make('time', { class: 'dim' }), make('p')];
    return {
      element: make('li', {}, who, time, text),
      update(message) {
        write(who, message.from.screenName);
        write(time, moment(message.timestamp));
        write(text, message.message);
      },
    };
  });
  async function load() {
    const all = await api.messages(id);
    rows.update([...all].reverse(), (message) => message.messageId);
    show(empty, all.length === 0);
    show(head.lastChild, all.length > 0);
  }
  form.addEventListener('submit', async (event) => {
    event.preventDefault();
    const text = input.value.trim();
    if (text && await attempt(() => api.send(id, text))) {
      input.value = '';
      attempt(load);
    }
  });
  return { element, load };
}

/** `at` gives an address of the viewers' side. */
function recordings(id, at) {
  const list = make('ol', { class: 'recordings' });
  const empty = make('p', { class: 'dim' }, 'None. Streams with the capability “on-demand” are kept.');
  const more = make('p', { class: 'dim' }, 'Older ones are not listed here.');
  const { element } = panel('Recordings', list, more, empty);
  const rows = new Rows(list, (recording) => {
    const [time, about] = [make('b'), make('span', { class: 'dim' })];
    const play = make('a', { class: 'button plain small', target: '_blank', rel: 'noopener' }, 'Play');
    // Where the encoder changed its configuration another file begins.
    const parts = make('span', { class: 'row' });
    const save = button('Download', 'plain small', () => attempt(async () => {
      const { download, parts: count } = await api.recording(recording.recordingId);
      const links = Array.from({ length: count }, (_, at) => make('a', {
        class: 'button plain small', download: '', href: `${download}?part=${at + 1}`,
      }, `Part ${at + 1}`));
      if (count === 1) links[0].click();
      else parts.replaceChildren(...links);
    }));
    const remove = button('Delete…', 'plain small', () => ask({
      title: 'Delete this recording?',
      text: 'Its media are gone then.',
      confirm: 'Delete',
      isDanger: true,
      action: () => api.removeRecording(recording.recordingId).then(load),
    }));
    return {
      element: make('li', {}, make('div', {}, time, about), make('div', { class: 'row' }, play, save, parts, remove)),
      update(now) {
        write(time, moment(now.startedUnixMs));
        const word = now.state === 'complete' ? '' : ` · ${now.state}${now.reason ? `: ${now.reason}` : ''}`;
        const lost = now.missedSegments ? ` · ${now.missedSegments} segments missed` : '';
        write(about, `${lasting(now.durationMs)} · ${bytes(now.bytes)}${lost}${word}`);
        // While it is written it cannot be had as one file, nor be deleted.
        const isOver = now.endedUnixMs !== null;
        for (const part of [save, remove]) show(part, isOver);
        // Behind a token, which the console does not make.
        show(play, !now.capabilities.includes('token-auth'));
        play.href = at(`/watch/${now.recordingId}`);
      },
    };
  });
  async function load() {
    const { recordings: newest, next } = await api.recordings(id);
    rows.update(newest, (recording) => recording.recordingId);
    show(more, next !== null);
    show(empty, newest.length === 0);
  }
  return { element, load };
}

export function channelView(first, context) {
  const id = first.channelId;
  let current = { channel: first, stream: null };
  const title = make('h2', { tabindex: -1 });
  const state = make('b');
  const about = make('span', { class: 'dim' });
  const watch = make('a', { class: 'button plain', target: '_blank', rel: 'noopener' }, 'Watch');
  const name = () => current.channel.name || current.channel.alias;

  const kill = button('Kill…', 'plain warn', () => {
    const reason = make('input', { type: 'text', maxlength: 256, autocomplete: 'off' });
    const keep = choice('Keep the streams', 'Publishers leave the list, their connections stay.');
    ask({
      title: `Kill what is on air in “${name()}”?`,
      text: 'Its encoders are disconnected and the stream ends for all viewers. Channel and key stay.',
      confirm: 'Kill',
      isDanger: true,
      fields: [field('Reason', reason, 'Kept in the log.'), keep.element],
      action: () => api.kill(id, reason.value.trim(), keep.input.checked),
    });
  });
  const fork = button('Fork…', 'plain', () => {
    const others = context.channels().filter((channel) => channel.channelId !== id && !channel.isGuessed);
    const source = make('select', { required: true }, ...others.map((channel) => make('option', { value: channel.channelId }, `${channel.name || channel.alias} (${channel.alias})`)));
    const additive = choice('Beside its own publishers', 'Otherwise they are removed.');
    const force = choice('Start again', 'A fork that runs already is replaced.');
    ask({
      title: `Show another channel in “${name()}”`,
      text: others.length ? 'It plays what the other one has on air, without a second encoder.' : 'There is no other channel.',
      confirm: 'Fork',
      fields: others.length ? [field('Source', source), additive.element, force.element] : [],
      async action() {
        if (!others.length) return;
        await api.fork(id, source.value, [additive.input.checked && 'additive', force.input.checked && 'force'].filter(Boolean));
      },
    });
  });
  const remove = button('Delete…', 'plain warn', async () => {
    const isDone = await ask({
      title: `Delete the channel “${name()}”?`,
      text: 'Its encoders are disconnected, its key is refused from then on, its messages are gone.',
      confirm: 'Delete',
      isDanger: true,
      action: () => api.remove(id),
    });
    if (isDone) {
      location.hash = '';
      await context.reload();
    }
  });

  const picture = context.picture();
  const banner = make('p', { class: 'banner' });
  const publishers = make('div', { class: 'publishers' });
  const nobody = make('p', { class: 'nobody dim' }, 'Nobody publishes. Encoders appear here by themselves.');
  const cards = new Rows(publishers, () => publisherCard((publisher) => attempt(
    () => api.switchTo(current.stream.streamId, publisher.id),
    'Switched',
  ), context.rates));
  const [made, mended, happened, publish, said, kept] = [rungs(), repairs(), history(), publishing(context, () => current), messages(id), recordings(id, (path) => base(context) + path)];
  const element = make('div', { class: 'channel' },
    make('header', { class: 'head' },
      make('div', { class: 'title' }, title, make('p', {}, state, about)),
      make('div', { class: 'row' }, watch, fork, kill, remove)),
    make('div', { class: 'columns' },
      make('div', { class: 'wide' }, banner, publishers, nobody, made.element, mended.element, happened.element),
      make('div', { class: 'narrow' }, picture.element, publish.element, said.element, kept.element)));

  /** Parts that are asked for, and not shown while there is no answer. */
  const asked = [said, kept];
  function load() {
    for (const part of asked) {
      if (document.hidden) continue;
      part.load().then(() => show(part.element, true), () => show(part.element, false));
    }
  }
  for (const part of asked) show(part.element, false);
  let timer = null;

  return {
    id,
    element,
    update(channel, stream, incidents) {
      current = { channel, stream };
      const isOn = stream !== null && stream.state !== 'ended';
      write(title, name());
      write(state, stateWord(stream?.state ?? 'off'));
      state.className = `state ${isOn ? stream.state : 'off'}`;
      const since = stream ? ` · since ${moment(stream.sinceUnixMs)}` : '';
      const viewers = isOn ? ` · ${count(stream.viewers, 'viewer', 'viewers')}` : '';
      const alias = channel.alias && channel.alias !== name() ? ` · ${channel.alias}` : '';
      write(about, `${channel.applicationId ? ` ${channel.applicationId}` : ''}${alias}${viewers}${since}`.replace(/^ · /, ' '));
      picture.update(name(), stream);
      show(picture.element, isOn && stream.hasThumbnail);
      const covers = { freeze: 'the last picture', slate: 'the slate', gap: 'a stated gap' };
      write(banner, isOn && stream.state === 'hole' ? `Nothing comes from the encoder: viewers have ${covers[stream.cover] ?? 'a stand-in'}.` : '');
      show(banner, banner.textContent !== '');
      const members = isOn ? stream.publishers : [];
      const rows = members.map((publisher) => ({ publisher, stream, at: stream.heardAt }));
      cards.update(rows, ({ publisher }) => `${stream.streamId} ${publisher.id}`);
      show(nobody, members.length === 0);
      made.update(isOn ? stream.rungs : []);
      show(mended.element, isOn);
      if (isOn) mended.update(stream.repairs);
      happened.update(incidents);
      const live = publish.update();
      show(watch, live !== null);
      if (live) watch.href = live;
      const isManaged = context.isManaged() && !channel.isGuessed;
      show(kill, isManaged && isOn);
      show(fork, isManaged);
      show(remove, isManaged && !channel.declared);
      if (isManaged && timer === null) {
        load();
        timer = setInterval(load, REFRESH_MS);
      }
    },
    close() {
      clearInterval(timer);
      element.remove();
    },
  };
}
