// The dialog in which an event is made or changed.
import * as console from '../api.js';
import { ask, choice, refusal } from '../dialogs.js';
import { make, show, write } from '../dom.js';
import * as api from './calls.js';
import { fromWall, isKnown, ownZone, toWall, zones } from './times.js';
import { REPEATS } from './words.js';

const HOUR_MS = 3_600_000;

/** A labelled control that says below itself what is wrong with it. */
function entry(name, label, input, hint) {
  const trouble = make('small', { class: 'trouble', id: `wrong-${name}`, hidden: true });
  const note = hint && make('small', { class: 'dim', id: `about-${name}` }, hint);
  input.id = `event-${name}`;
  input.setAttribute('aria-describedby', `${note ? `${note.id} ` : ''}${trouble.id}`);
  const element = make('div', { class: 'field' }, make('label', { for: input.id }, label), input, note, trouble);
  const refuse = (text) => {
    write(trouble, text ?? '');
    show(trouble, Boolean(text));
    if (text) input.setAttribute('aria-invalid', 'true');
    else input.removeAttribute('aria-invalid');
  };
  input.addEventListener('input', () => refuse(null));
  return { element, input, refuse };
}

const options = (pairs, chosen) => pairs.map(([value, text]) => make('option', { value, selected: value === chosen }, text));

/** The zone's name with what its clocks show now, which is what people know of it. */
function zoneOptions(chosen) {
  return zones(...(chosen ? [chosen] : [])).map((zone) => make('option', { value: zone, selected: zone === (chosen ?? ownZone) }, zone.replaceAll('_', ' ')));
}

/**
 * Asks for an event: a new one, or changes of one that is there. Resolves to the event, or `null`.
 */
export async function askForEvent(context, event = null) {
  const owners = event ? [] : await console.applications().catch(() => []);
  const zone = event?.timeZone && isKnown(event.timeZone) ? event.timeZone : ownZone;
  // The next full hour, for one hour.
  const soon = Math.ceil((Date.now() + 60_000) / HOUR_MS) * HOUR_MS;
  const begin = event ? Date.parse(event.scheduledStartTime) : soon;
  const finish = event ? Date.parse(event.scheduledEndTime ?? '') : soon + HOUR_MS;
  const wall = (ms) => (Number.isNaN(ms) ? '' : toWall(ms, zone));
  const time = (ms, more) => make('input', { type: 'datetime-local', value: wall(ms), ...more });

  const owner = entry('applicationId', 'Application', make('select', {}, ...owners.map(({ applicationId }) => make('option', {}, applicationId))));
  const title = entry('title', 'Title', make('input', { type: 'text', autocomplete: 'off', required: true, value: event?.title ?? '' }));
  const description = entry('description', 'Description', make('textarea', { rows: 2 }));
  description.input.value = event?.description ?? '';
  const start = entry('scheduledStartTime', 'Start', time(begin, { required: true }));
  const end = entry('scheduledEndTime', 'End', time(finish, { required: Boolean(event?.scheduledEndTime) }), event?.scheduledEndTime ? null : 'Empty: with the film.');
  const place = entry('timeZone', 'Time zone', make('select', {}, ...zoneOptions(event?.timeZone)), 'Of these times, and in which it repeats.');
  const repeat = entry('repeatMode', 'Repeat', make('select', {}, ...options(Object.entries(REPEATS), event?.repeatMode ?? 'none')));
  const loop = choice('Start the film again until the end', 'Without it, it plays once.');
  loop.input.checked = event ? event.repeatUntilEnd === true : true;
  loop.input.id = 'event-repeatUntilEnd';
  const channel = entry('channelId', 'Channel', make('select', {}), 'Its addresses lead to the event while it is on.');

  function fit() {
    show(loop.element, repeat.input.value === 'until_end');
    // Channels of the same tenant only.
    const tenant = event?.applicationId ?? owner.input.value;
    const all = context.channels().filter((one) => !one.isGuessed && (!tenant || one.applicationId === tenant));
    const chosen = channel.input.value || event?.channelId || '';
    const pairs = [['', 'None: it plays on its own'], ...all.map((one) => [one.channelId, `${one.name || one.alias} (${one.alias})`])];
    if (event?.channelId && !all.some((one) => one.channelId === event.channelId)) pairs.push([event.channelId, event.channelId]);
    channel.input.replaceChildren(...options(pairs, chosen));
  }
  repeat.input.addEventListener('change', fit);
  owner.input.addEventListener('change', fit);
  fit();

  const entries = { title, description, scheduledStartTime: start, scheduledEndTime: end, timeZone: place, repeatMode: repeat, channelId: channel, applicationId: owner };
  let made = null;
  const isDone = await ask({
    title: event ? 'Change the event' : 'New event',
    confirm: event ? 'Save' : 'Create',
    done: event ? 'Event changed' : 'Event created',
    isWide: true,
    fields: [
      owners.length > 1 && owner.element,
      title.element, description.element,
      make('div', { class: 'pair' }, start.element, end.element),
      place.element,
      make('div', { class: 'pair' }, repeat.element, channel.element),
      loop.element,
    ],
    /** The sentence goes to the field that it names. */
    refused(error) {
      const text = refusal(error);
      const named = Object.keys(entries).filter((name) => error.message?.includes(name));
      // "scheduledEndTime is not after scheduledStartTime" is about the first.
      const [name] = named.sort((one, other) => error.message.indexOf(one) - error.message.indexOf(other));
      for (const one of Object.values(entries)) one.refuse(null);
      if (!name || !entries[name].element.isConnected) return false;
      const labels = { title: 'Title', description: 'Description', scheduledStartTime: 'Start', scheduledEndTime: 'End', timeZone: 'Time zone', repeatMode: 'Repeat', channelId: 'Channel', applicationId: 'Application' };
      entries[name].refuse(named.reduce((words, one) => words.replace(new RegExp(one, 'gi'), words.toLowerCase().startsWith(one.toLowerCase()) ? labels[one] : labels[one].toLowerCase()), text));
      entries[name].input.focus();
      return true;
    },
    async action() {
      const at = (input) => (input.value ? new Date(fromWall(input.value, place.input.value)).toISOString().replace('.000Z', 'Z') : null);
      const wanted = {
        title: title.input.value.trim(),
        description: description.input.value.trim(),
        scheduledStartTime: at(start.input),
        scheduledEndTime: at(end.input),
        timeZone: place.input.value,
        repeatMode: repeat.input.value,
        repeatUntilEnd: repeat.input.value === 'until_end' && loop.input.checked,
        channelId: channel.input.value,
      };
      if (!event) {
        for (const name of ['scheduledEndTime', 'channelId']) if (!wanted[name]) delete wanted[name];
      } else {
        // What was not touched is left alone: of an event that is on, not everything can be changed.
        const same = (name) => (name.endsWith('Time') ? Date.parse(wanted[name] ?? '') === Date.parse(event[name] ?? '') || (!wanted[name] && !event[name]) : (wanted[name] ?? '') === (event[name] ?? ''));
        for (const name of Object.keys(wanted)) if (same(name)) delete wanted[name];
        // A time that has seconds is not cut by showing it without.
        if (wanted.scheduledStartTime && start.input.value === wall(begin) && place.input.value === zone) delete wanted.scheduledStartTime;
        if (wanted.scheduledEndTime && end.input.value === wall(finish) && place.input.value === zone) delete wanted.scheduledEndTime;
      }
      const answer = event ? await api.change(event.id, wanted) : await api.create(owner.input.value, wanted);
      made = answer.event ?? answer;
    },
  });
  return isDone ? made : null;
}
