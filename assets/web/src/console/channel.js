// One channel: what is on air, who publishes, what is made of it, and what can be done to it.
import { publishing, viewersBase, watching } from './addresses.js';
import * as api from './api.js';
import { broadcastPanel } from './broadcast.js';
import { ask, attempt, choice, field } from './dialogs.js';
import { Rows, button, facts, make, panel, say, show, toggle, write } from './dom.js';
import { forwards } from './forwards.js';
import { picture as thumbnail } from './picture.js';
import { publisherCard } from './publisher.js';
import { bytes, channelWord, count, isLive, lasting, millis, moment, sentence } from './words.js';

/** How often messages and recordings are asked for while they are on the page. */
const REFRESH_MS = 10_000;

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
        write(text, sentence(incident.text));
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
    done: 'Messages deleted',
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
      done: 'Recording deleted',
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

/** Words that a stream has or a channel asks for, and where a fork comes from. */
function particulars(context) {
  const words = make('ul', { class: 'words' });
  const rows = new Rows(words, () => {
    const element = make('li');
    return {
      element,
      update({ word, kind }) {
        write(element, kind === 'Tag' ? `#${word}` : word);
        element.title = kind;
      },
    };
  });
  const source = make('a');
  const fork = make('p', { class: 'dim' }, 'Fork of ', source);
  const description = make('p', { class: 'dim' });
  return {
    element: make('div', {}, description, fork, words),
    update(channel, { capabilities, tags, originStreamId }) {
      const list = [...(capabilities ?? []).map((word) => ({ word, kind: 'Capability' })), ...tags.map((word) => ({ word, kind: 'Tag' }))];
      rows.update(list, ({ word, kind }) => `${kind} ${word}`);
      show(words, list.length > 0);
      write(description, channel.description ?? '');
      show(description, Boolean(channel.description));
      const origin = originStreamId && context.streams().find(({ streamId }) => streamId === originStreamId);
      show(fork, Boolean(origin));
      if (!origin) return;
      const named = context.channels().find(({ channelId }) => channelId === origin.channelId);
      write(source, named?.name || origin.alias);
      source.href = `#${encodeURIComponent(origin.channelId)}`;
    },
  };
}

export function channelView(first, context) {
  const id = first.channelId;
  let current = { channel: first, stream: null };
  const get = () => current;
  const title = make('h2', { tabindex: -1 });
  const state = make('b');
  const summary = make('span', { class: 'dim' });
  const watch = make('a', { class: 'button plain', target: '_blank', rel: 'noopener' }, 'Watch');
  const name = () => current.channel.name || current.channel.alias;

  const kill = button('Kill…', 'plain warn', () => {
    const reason = make('input', { type: 'text', maxlength: 256, autocomplete: 'off' });
    const keep = choice('Keep the streams', 'Publishers leave the list, their connections stay.');
    ask({
      title: `Kill what is on air in “${name()}”?`,
      text: current.stream?.originStreamId
        ? 'The fork ends for its viewers. Its source, and the encoders there, stay.'
        : 'Its encoders are disconnected and the stream ends for all viewers. Channel and key stay.',
      confirm: 'Kill',
      done: 'Killed',
      isDanger: true,
      fields: [field('Reason', reason, 'Kept in the log.'), keep.element],
      action: () => api.kill(id, reason.value.trim(), keep.input.checked),
    });
  });
  const fork = button('Fork…', 'plain', () => {
    const others = context.channels().filter((channel) => channel.channelId !== id && !channel.isGuessed);
    const source = make('select', { required: true }, ...others.map((channel) => make('option', { value: channel.channelId }, `${channel.name || channel.alias} (${channel.alias})${channel.isOn ? ' · on air' : ''}`)));
    const additive = choice('Beside its own publishers', 'Otherwise they are removed.');
    const force = choice('Start again', 'A fork that runs already is replaced.');
    ask({
      title: `Show another channel in “${name()}”`,
      text: others.length ? 'It plays what the other one has on air, without a second encoder.' : 'There is no other channel.',
      confirm: 'Fork',
      fields: others.length ? [field('Source', source), additive.element, force.element] : [],
      async action() {
        if (!others.length) return;
        const members = await api.fork(id, source.value, [additive.input.checked && 'additive', force.input.checked && 'force'].filter(Boolean));
        say(members.length ? 'Forked' : 'Nothing to fork: nobody publishes there, or it is shown here already.', !members.length);
      },
    });
  });
  const remove = button('Delete…', 'plain warn', async () => {
    const isDone = await ask({
      title: `Delete the channel “${name()}”?`,
      text: 'Its encoders are disconnected, its key is refused from then on, its messages are gone.',
      confirm: 'Delete',
      done: 'Channel deleted',
      isDanger: true,
      action: () => api.remove(id),
    });
    if (isDone) {
      location.hash = '';
      await context.reload();
    }
  });

  const [picture, broadcast] = [thumbnail(), broadcastPanel()];
  const banner = make('p', { class: 'banner' });
  const publishers = make('div', { class: 'publishers' });
  const nobody = make('p', { class: 'nobody dim' }, 'Nobody publishes. Encoders appear here by themselves.');
  const cards = new Rows(publishers, () => publisherCard((stream, publisher) => attempt(
    () => api.switchTo(stream.streamId, publisher.id),
    'Switched',
  ), context.rates));
  const [about, made, mended, happened] = [particulars(context), rungs(), repairs(), history()];
  const [publish, viewing, pushed, said, kept] = [publishing(context, get), watching(context, get), forwards(id), messages(id), recordings(id, (path) => viewersBase(context) + path)];
  const element = make('div', { class: 'channel' },
    make('header', { class: 'head' },
      make('div', { class: 'title' }, title, make('p', {}, state, summary), about.element),
      make('div', { class: 'row' }, watch, fork, kill, remove)),
    make('div', { class: 'columns' },
      make('div', { class: 'wide' }, banner, publishers, nobody, made.element, mended.element, happened.element),
      make('div', { class: 'narrow' }, picture.element, broadcast.element, publish.element, viewing.element, pushed.element, said.element, kept.element)));

  /** Parts that are asked for, and not shown while there is no answer. */
  const asked = [pushed, said, kept];
  function load() {
    // Of what the channel API says, broadcasts have their destinations only.
    for (const part of current.channel.broadcast ? [pushed] : asked) {
      if (document.hidden) continue;
      part.load().then(() => show(part.element, true), () => show(part.element, false));
    }
  }
  for (const part of asked) show(part.element, false);
  let timer = null;

  return {
    id,
    element,
    focus: () => title.focus(),
    /** `stream`: the one that is looked at; `others`: what else lives in this channel. */
    update(channel, stream, others, incidents) {
      current = { channel, stream };
      const isOn = isLive(stream);
      write(title, name());
      write(state, channelWord(channel, stream));
      state.className = `state ${isOn ? stream.state : 'off'}`;
      const since = stream ? ` · since ${moment(stream.sinceUnixMs)}` : '';
      const viewers = isOn ? ` · ${count(stream.viewers, 'viewer', 'viewers')}` : '';
      const alias = channel.alias && channel.alias !== name() ? ` · ${channel.alias}` : '';
      write(summary, `${channel.applicationId ? ` ${channel.applicationId}` : ''}${alias}${viewers}${since}`.replace(/^ · /, ' '));
      picture.update(name(), stream);
      show(picture.element, isOn && stream.hasThumbnail);
      broadcast.update(channel.broadcast, stream);
      pushed.update((isOn && stream.forwards) || []);
      const covers = { freeze: 'the last picture', slate: 'the slate', gap: 'a stated gap' };
      const hole = isOn && stream.state === 'hole' ? `Nothing comes from the encoder: viewers have ${covers[stream.cover] ?? 'a stand-in'}.` : '';
      const letGo = isOn && !stream.current ? 'The channel let go of this stream: its encoders stay connected, but no viewer is led to it any more.' : '';
      write(banner, letGo || hole);
      show(banner, banner.textContent !== '');
      const shown = isOn ? [stream, ...others] : [];
      const rows = shown.flatMap((from) => from.publishers.map((publisher) => ({ publisher, stream: from, isAside: from !== stream })));
      cards.update(rows, ({ publisher, stream: { streamId } }) => `${streamId} ${publisher.id}`);
      show(nobody, rows.length === 0);
      made.update(isOn ? stream.rungs : []);
      show(mended.element, isOn);
      if (isOn) mended.update(stream.repairs);
      happened.update(incidents);
      const has = isOn ? stream : { capabilities: channel.capabilities ?? null, tags: channel.tags ?? [] };
      about.update(channel, has);
      publish.update();
      // Who made a broadcast has its key.
      show(publish.element, !channel.broadcast);
      const page = viewing.update(has.capabilities);
      // The page of a broadcast says what it waits for.
      show(watch, page !== null && (Boolean(channel.broadcast) || (isOn && stream.current)));
      if (page) watch.href = page;
      const isManaged = context.isManaged() && !channel.isGuessed;
      show(kill, isManaged && isOn && stream.current);
      show(fork, isManaged);
      show(remove, isManaged && !channel.declared);
      if ((isManaged || (context.isManaged() && channel.broadcast)) && timer === null) {
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
