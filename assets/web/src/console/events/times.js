// Times as a time zone writes them, and back. Dates are milliseconds since 1970; a wall time is the text of an
// `<input type="datetime-local">`.

export const ownZone = Intl.DateTimeFormat().resolvedOptions().timeZone || 'UTC';

const DAY_MS = 86_400_000;

const formats = new Map();

/** A format is expensive to make, and there are few of them. */
function format(zone, options) {
  const key = `${zone} ${JSON.stringify(options)}`;
  if (!formats.has(key)) formats.set(key, new Intl.DateTimeFormat(options.locale, { ...options, timeZone: zone }));
  return formats.get(key);
}

/** All that this browser knows, those first that are probably meant. */
export function zones(...first) {
  const known = Intl.supportedValuesOf?.('timeZone') ?? [];
  return [...new Set([...first, ownZone, 'UTC', ...known])];
}

/** Whether this browser knows a zone: the server may know newer ones. */
export function isKnown(zone) {
  try {
    format(zone, { hour: '2-digit' });
    return true;
  } catch {
    return false;
  }
}

/** What the clocks of a zone show: `2026-11-22T21:00`. */
export function toWall(ms, zone) {
  const options = { locale: 'en-CA', hourCycle: 'h23', year: 'numeric', month: '2-digit', day: '2-digit', hour: '2-digit', minute: '2-digit', second: '2-digit' };
  const parts = Object.fromEntries(format(zone, options).formatToParts(ms).map(({ type, value }) => [type, value]));
  return `${parts.year.padStart(4, '0')}-${parts.month}-${parts.day}T${parts.hour}:${parts.minute}`;
}

/**
 * When the clocks of a zone show that. A time that a night of daylight saving leaves out is as much later; of
 * two it is the first.
 */
export function fromWall(wall, zone) {
  const asUtc = Date.parse(`${wall}Z`);
  if (Number.isNaN(asUtc)) return NaN;
  const whole = (ms) => ms - (ms % 60_000);
  const offset = (ms) => Date.parse(`${toWall(ms, zone)}Z`) - whole(ms);
  // The offset is that of one of the days around it, or of the other.
  const [before, after] = [offset(asUtc - DAY_MS), offset(asUtc + DAY_MS)];
  for (const one of [Math.max(before, after), Math.min(before, after)]) {
    if (offset(asUtc - one) === one) return asUtc - one;
  }
  return asUtc - before;
}

const clock = (ms, zone) => format(zone, { hour: '2-digit', minute: '2-digit' }).format(ms);
const date = (ms, zone) => format(zone, { weekday: 'short', day: 'numeric', month: 'short' }).format(ms);

/** From one time to another, with the dates where they are not the one that is known from `day`. */
export function span(start, end, zone, day = '') {
  const at = (ms, known) => (date(ms, zone) === known ? clock(ms, zone) : `${date(ms, zone)}, ${clock(ms, zone)}`);
  const from = at(start, day);
  return end === null ? from : `${from} – ${at(end, date(start, zone))}`;
}

export const dayName = (ms, zone = ownZone) => date(ms, zone);
export const shortDay = (ms) => format(ownZone, { weekday: 'short' }).format(ms);

/** Whether clocks of two zones show the same at a time. */
export const isSame = (ms, zone, other) => zone === other || toWall(ms, zone) === toWall(ms, other);

/** Midnight of a day here, and of days after it: they are not all of 24 hours. */
export function midnight(ms, daysLater = 0) {
  const day = new Date(ms);
  return new Date(day.getFullYear(), day.getMonth(), day.getDate() + daysLater).getTime();
}

/** The first midnight of a week here; which day that is depends on the country. */
export function weekOf(ms) {
  let first = 1;
  try {
    const locale = new Intl.Locale(navigator.language);
    first = (locale.getWeekInfo?.() ?? locale.weekInfo)?.firstDay ?? 1;
  } catch {
    // Monday, as ISO 8601 has it.
  }
  return midnight(ms, -((new Date(ms).getDay() - first + 7) % 7));
}

export const weekName = (first) => {
  const range = new Intl.DateTimeFormat(undefined, { day: 'numeric', month: 'long', year: 'numeric' });
  return range.formatRange(first, midnight(first, 6));
};
