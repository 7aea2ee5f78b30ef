// What the console calls what events say of themselves.
import { lasting, sentence } from '../words.js';
import { isLive } from './position.js';
import { isSame, ownZone, span } from './times.js';

export const REPEATS = { none: 'Once', daily: 'Every day', weekly: 'Every week', monthly: 'Every month', until_end: 'Until its end' };

export const repeatWord = ({ repeatMode, repeatUntilEnd }) => {
  if (repeatMode === 'until_end') return repeatUntilEnd ? 'Loops until its end' : REPEATS.none;
  return REPEATS[repeatMode] ?? repeatMode;
};

/** What an event does, and the class of its badge. */
export function badge(event) {
  if (event.status === 'active') return isLive(event) ? ['Live', 'on-air'] : ['On air', 'on-air'];
  return { scheduled: ['Scheduled', 'soon'], completed: ['Over', 'off'], error: ['Failed', 'failed'] }[event.status] ?? [event.status, 'off'];
}

/** Where an event's file is; `part` of 1 while something of it is done. `sent`: what was uploaded of it from here. */
export function fileWord(file, sent = null) {
  if (sent !== null) return { text: `Uploading, ${Math.floor(sent * 100)} %`, part: sent };
  const part = Math.min(100, Math.max(0, file?.progress ?? 0));
  switch (file?.state) {
    case undefined: return { text: 'No file' };
    case 'uploading': return { text: 'File is uploaded' };
    case 'uploaded': return { text: 'File waits to be prepared' };
    case 'preparing': return { text: `Preparing, ${Math.floor(part)} %`, part: part / 100 };
    case 'prepared': return { text: 'File is ready', isReady: true };
    case 'failed': return { text: file.error ? `Preparation failed: ${file.error}` : 'Preparation failed', isBad: true };
    default: return { text: file.state };
  }
}

/** Of these a new look is worth it soon. */
export const isBusy = ({ file }) => ['uploading', 'uploaded', 'preparing'].includes(file?.state);

export const planned = (event) => Date.parse(event.scheduledStartTime);
/** When it begins or, also by hand, began. */
export const starts = (event) => (event.status === 'active' && event.playbackStartedAt ? Date.parse(event.playbackStartedAt) : planned(event));
/** How long a run is, as far as that is said or follows from its film, ms; `null`: nobody knows. */
export function length(event) {
  if (event.scheduledEndTime) return Date.parse(event.scheduledEndTime) - planned(event);
  return event.file?.duration ? event.file.duration * 1000 : null;
}
/** When it is over; `null`: nobody knows. */
export function ends(event) {
  if (event.scheduledEndTime) return Date.parse(event.scheduledEndTime);
  return event.file?.duration ? starts(event) + event.file.duration * 1000 : null;
}

/** In the zone of the event, where its clocks differ from those here. */
export function elsewhere(event, start = starts(event), end = ends(event), day = '') {
  const zone = event.timeZone;
  if (!zone || isSame(start, zone, ownZone)) return '';
  try {
    return `${span(start, end, zone, day)} ${zone.split('/').at(-1).replaceAll('_', ' ')}`;
  } catch {
    return zone;
  }
}

/** How far the film is: `1:02 of 7:30`. */
export const positionWord = (seconds, length) => `${lasting(Math.floor(seconds) * 1000)}${length ? ` of ${lasting(length * 1000)}` : ''}`;

export { sentence };
