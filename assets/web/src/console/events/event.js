// One event: when it is on, what of it is on now, its file, its preview, and what can be done to it.
import { copyRow, told } from '../addresses.js';
import { ask } from '../dialogs.js';
import { button, facts, make, panel, show, write } from '../dom.js';
import { count, lasting } from '../words.js';
import * as api from './calls.js';
import { filePanel, uploadPart } from './file.js';
import { askForEvent } from './form.js';
import { previewPanel } from './player.js';
import { duration, isLive, nowPlaying } from './position.js';
import { takeoverPanel } from './takeover.js';
import { ownZone, span } from './times.js';
import { forget } from './tus.js';
import { badge, elsewhere, ends, positionWord, repeatWord, sentence, starts } from './words.js';

/** `context.changed` asks the server anew; `context.left` leads back to the calendar. */
export function eventView(first, context) {
  let current = first;
  const get = () => current;
  const title = make('h2', { tabindex: -1, dir: 'auto' });
  const [state, summary] = [make('b', { class: 'state' }), make('span', { class: 'dim' })];
  const description = make('p', { class: 'dim description', dir: 'auto' });
  const banner = make('p', { class: 'banner' });
  const watch = make('a', { class: 'button plain', target: '_blank', rel: 'noopener' }, 'Watch');

  const start = button('Start now…', 'plain', () => ask({
    title: `Start “${current.title}” now?`,
    text: 'It is on from the next second on, not at the time for which it was planned.',
    confirm: 'Start now',
    done: 'Started',
    action: () => api.start(current.id).then(context.changed),
  }));
  const end = button('End now…', 'plain warn', () => ask({
    title: `End “${current.title}” now?`,
    text: current.repeatMode === 'none' || current.repeatMode === 'until_end'
      ? 'It is over for all viewers.'
      : 'It is over for all viewers; it comes again at its next time.',
    confirm: 'End now',
    done: 'Ended',
    isDanger: true,
    action: () => api.end(current.id).then(context.changed),
  }));
  const change = button('Edit…', 'plain', async () => {
    if (await askForEvent(context, current)) context.changed();
  });
  const remove = button('Delete…', 'plain warn', async () => {
    const isDone = await ask({
      title: `Delete the event “${current.title}”?`,
      text: current.status === 'active' ? 'It ends for all viewers, and its file is gone.' : 'Its file is gone, too.',
      confirm: 'Delete',
      done: 'Event deleted',
      isDanger: true,
      action: () => api.remove(current.id),
    });
    if (!isDone) return;
    forget(current.id);
    context.left();
  });

  const at = (name) => (current[name] ? told(context, current[name]) : null);
  const now = facts('Now');
  const { element: playing } = panel('Now', now.element);
  playing.classList.add('now');
  const plan = facts('Schedule');
  const { element: schedule } = panel('Schedule', plan.element);
  const viewers = [
    [copyRow('Watch page', 'watch address', () => at('watchUrl')), 'watchUrl'],
    [copyRow('HLS', 'HLS address', () => at('hlsUrl')), 'hlsUrl'],
    [copyRow('DASH', 'DASH address', () => at('dashUrl')), 'dashUrl'],
  ];
  const id = copyRow('Event id', 'event id', () => current.id);
  const { element: addresses } = panel('Addresses', ...viewers.map(([row]) => row.element), id.element);
  const hasPart = ({ file }) => file?.state === 'prepared' || (file?.state === 'preparing' && file.progress > 0);
  const preview = previewPanel(get, (event) => {
    if (event.status === 'active') return at('hlsUrl');
    return hasPart(event) ? api.film(event.id) : null;
  });
  const file = filePanel(get, context.changed);
  const takeover = takeoverPanel(get, context.changed);
  const element = make('div', { class: 'channel one-event' },
    make('header', { class: 'head' },
      make('div', { class: 'title' }, title, make('p', {}, state, summary), description),
      make('div', { class: 'row' }, watch, start, end, change, remove)),
    make('div', { class: 'columns' },
      make('div', { class: 'wide' }, banner, preview.element, file.element),
      make('div', { class: 'narrow' }, playing, takeover.element, schedule, addresses)));

  function tick() {
    preview.tick();
    const [word, kind] = badge(current);
    if (state.textContent !== word) takeover.update();
    write(state, word);
    state.className = `state ${kind}`;
    const seconds = nowPlaying(current);
    if (current.status !== 'active') return;
    const length = duration(current);
    const until = ends(current);
    now.update([
      [isLive(current) ? 'The film would be at' : 'Position', seconds === null ? 'Begins in a moment' : positionWord(seconds, length)],
      ['Viewers', String(current.viewers ?? 0), false, 'Who play HLS and DASH now'],
      ['On since', current.playbackStartedAt ? span(Date.parse(current.playbackStartedAt), null, ownZone) : '–'],
      ['Left', until === null ? '–' : lasting(Math.max(0, until - Date.now()))],
    ]);
  }
  return {
    id: first.id,
    element,
    focus: () => title.focus(),
    tick,
    update(event) {
      current = event;
      const isOn = event.status === 'active';
      write(title, event.title);
      const watching = isOn ? ` · ${count(event.viewers ?? 0, 'viewer', 'viewers')}` : '';
      write(summary, ` ${span(starts(event), ends(event), ownZone)}${watching}${event.applicationId ? ` · ${event.applicationId}` : ''}`);
      write(description, event.description ?? '');
      show(description, Boolean(event.description));
      write(banner, event.status === 'error' ? sentence(event.error ?? 'It failed') : event.status === 'scheduled' && !event.file && uploadPart(event.id) === null ? 'It has no file yet: without one it cannot start.' : '');
      show(banner, banner.textContent !== '');
      const there = elsewhere(event);
      plan.update([
        ['Start', span(starts(event), null, ownZone)],
        ['End', event.scheduledEndTime ? span(Date.parse(event.scheduledEndTime), null, ownZone) : 'With the film'],
        ...(there ? [['There', there]] : []),
        ['Time zone', event.timeZone ?? 'UTC'],
        ['Repeat', repeatWord(event)],
        ...(event.channelId ? [['Channel', event.channelId]] : []),
        ['Made by', event.username ?? event.userId ?? 'An operator'],
      ]);
      for (const [row, name] of viewers) {
        write(row.value, at(name) ?? '');
        show(row.element, Boolean(event[name]));
      }
      write(id.value, event.id);
      show(playing, isOn);
      const page = at('watchUrl');
      show(watch, page !== null);
      if (page) watch.href = page;
      show(start, !isOn && event.status !== 'completed');
      show(end, isOn);
      file.update();
      preview.update();
      takeover.update();
      tick();
    },
    close() {
      preview.close();
      element.remove();
    },
  };
}
