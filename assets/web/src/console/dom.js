// Elements from data. Names come from strangers: text goes in as text, never as markup.

const SVG = 'http://www.w3.org/2000/svg';

function fill(element, properties, children) {
  for (const [name, value] of Object.entries(properties)) {
    if (value === undefined || value === false || value === null) continue;
    if (name.startsWith('on')) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? '' : value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

export const make = (tag, properties = {}, ...children) => fill(document.createElement(tag), properties, children);
export const draw = (tag, properties = {}, ...children) => fill(document.createElementNS(SVG, tag), properties, children);

/** A button; `style` is one of the classes `plain`, `solid`, `danger`. */
export const button = (text, style, onclick, properties = {}) => make('button', { type: 'button', class: `button ${style}`, onclick, ...properties }, text);

/** Only what differs is written: selections and screen readers are left alone. */
export function write(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

export function toggle(element, name, on) {
  if (element.classList.contains(name) !== on) element.classList.toggle(name, on);
}

export function show(element, on) {
  if (element.hidden === on) element.hidden = !on;
}

/**
 * Keeps `parent`'s children in step with `items`. Rows are `{ element, update }` made by `create`; they stay
 * the same elements as long as their key does, so that focus and selection outlive an update.
 */
export class Rows {
  #rows = new Map();

  constructor(parent, create) {
    this.parent = parent;
    this.create = create;
  }

  update(items, keyOf) {
    const before = this.#rows;
    const rows = new Map();
    let place = this.parent.firstChild;
    for (const item of items) {
      const key = keyOf(item);
      if (rows.has(key)) continue;
      const row = before.get(key) ?? this.create(item);
      row.update(item);
      rows.set(key, row);
      if (row.element === place) place = place.nextSibling;
      else this.parent.insertBefore(row.element, place);
    }
    for (const [key, row] of before) if (!rows.has(key)) row.element.remove();
    this.#rows = rows;
  }
}

/** Label and value pairs that are updated in place. `figures`: `[label, value, isBad, explanation]`. */
export function facts(caption) {
  const element = make('dl', { class: 'facts', 'aria-label': caption });
  const rows = new Rows(element, ([label, , , explanation]) => {
    const value = make('dd');
    const pair = make('div', { title: explanation }, make('dt', {}, label), value);
    return {
      element: pair,
      update([, text, isBad]) {
        write(value, text);
        toggle(pair, 'bad', Boolean(isBad));
      },
    };
  });
  return { element, update: (figures) => rows.update(figures, ([label]) => label) };
}

/** A part of the page with a heading. */
export function panel(title, ...children) {
  const head = make('header', {}, make('h3', {}, title));
  return { element: make('section', { class: 'panel' }, head, ...children), head };
}

let announcer = null;

/** A short word at the bottom of the page, read out too. */
export function say(text, isBad = false) {
  announcer ??= document.getElementById('said');
  announcer.textContent = text;
  toggle(announcer, 'bad', isBad);
  toggle(announcer, 'shown', true);
  clearTimeout(say.timer);
  say.timer = setTimeout(() => toggle(announcer, 'shown', false), isBad ? 6000 : 2500);
}

export async function copy(text, what) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    // Without TLS there is no clipboard for scripts, but for selections.
    const field = make('textarea', { class: 'aside', 'aria-hidden': 'true' });
    field.value = text;
    (document.querySelector('dialog[open]') ?? document.body).append(field);
    const focused = document.activeElement;
    field.select();
    const isDone = document.execCommand('copy');
    field.remove();
    focused?.focus();
    if (!isDone) return say('The browser does not let this page copy.', true);
  }
  say(`${what} copied`);
}
