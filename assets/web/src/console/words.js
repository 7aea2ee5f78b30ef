// Figures as people read them.

export const megabits = (bps) => (bps >= 1e6 ? `${(bps / 1e6).toFixed(2)} Mbit/s` : `${Math.round(bps / 1e3)} kbit/s`);
export const percent = (value) => `${value.toFixed(value > 0 && value < 10 ? 1 : 0)} %`;
export const millis = (ms) => (ms >= 10_000 ? `${(ms / 1000).toFixed(1)} s` : `${ms > 0 && ms < 10 ? ms.toFixed(1) : Math.round(ms)} ms`);
export const count = (number, one, many) => (number === 1 ? `1 ${one}` : `${number} ${many}`);

export function bytes(number) {
  const units = ['B', 'kB', 'MB', 'GB', 'TB'];
  let unit = 0;
  for (; number >= 1000 && unit < units.length - 1; unit += 1) number /= 1000;
  return `${number.toFixed(unit === 0 || number >= 100 ? 0 : 1)} ${units[unit]}`;
}

export function lasting(ms) {
  const seconds = Math.max(0, Math.round(ms / 1000));
  const [hours, minutes] = [Math.floor(seconds / 3600), Math.floor((seconds % 3600) / 60)];
  const two = (number) => String(number).padStart(2, '0');
  return hours ? `${hours}:${two(minutes)}:${two(seconds % 60)}` : `${minutes}:${two(seconds % 60)}`;
}

const day = new Intl.DateTimeFormat(undefined, { dateStyle: 'medium' });
const clock = new Intl.DateTimeFormat(undefined, { timeStyle: 'medium' });

/** The time of today, else with its date. */
export function moment(unixMs) {
  const date = new Date(unixMs);
  const isToday = date.toDateString() === new Date().toDateString();
  return isToday ? clock.format(date) : `${day.format(date)}, ${clock.format(date)}`;
}

const STATES = {
  'on-air': 'On air',
  silent: 'Silent',
  hole: 'No signal',
  waiting: 'Waiting',
  ended: 'Off air',
  off: 'Off air',
  standby: 'Standing by',
};
export const stateWord = (state) => STATES[state] ?? state;
export const isLive = (stream) => stream !== null && stream.state !== 'ended';

const STATUSES = { created: 'Not started', active: 'Started', completed: 'Over', error: 'Failed' };
export const statusWord = (status) => STATUSES[status] ?? status;

/** What a channel does: what is on air, or why nothing is. */
export function channelWord({ broadcast }, stream) {
  if (isLive(stream)) return stateWord(stream.state);
  return broadcast?.status === 'created' ? statusWord('created') : stateWord('off');
}

/** The server's half sentences as whole ones. */
export const sentence = (text) => text && `${text[0].toUpperCase()}${text.slice(1)}${/[.!?]$/.test(text) ? '' : '.'}`;

/** Codec strings (RFC 6381) by the names that encoders show. */
export function codec(text) {
  const names = { avc1: 'H.264', avc3: 'H.264', hvc1: 'H.265', hev1: 'H.265', av01: 'AV1', vp09: 'VP9', mp4a: 'AAC', opus: 'Opus', Opus: 'Opus', 'ac-3': 'AC-3' };
  return names[text.split('.')[0]] ?? text;
}
