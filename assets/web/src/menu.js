// A pop-up menu of radio items after the ARIA menu pattern: arrows, Home, End, Escape.

/** `items()` yields `{group}` or `{label, note, checked, pick}` entries each time the menu is drawn. */
export function makeMenu({ button, menu, items, onOpen }) {
  const entries = () => [...menu.querySelectorAll('button')];

  function element(item) {
    if (item.group) {
      const head = document.createElement('div');
      head.className = 'group';
      head.setAttribute('role', 'presentation');
      head.textContent = item.group;
      return head;
    }
    const entry = document.createElement('button');
    entry.type = 'button';
    entry.tabIndex = -1;
    entry.setAttribute('role', 'menuitemradio');
    entry.setAttribute('aria-checked', String(Boolean(item.checked)));
    const label = document.createElement('span');
    label.textContent = item.label;
    const note = document.createElement('small');
    note.textContent = item.note ?? '';
    entry.append(label, note);
    entry.onclick = () => {
      close(true);
      item.pick();
    };
    return entry;
  }

  function draw() {
    if (menu.hidden) return;
    const focused = entries().indexOf(document.activeElement);
    menu.replaceChildren(...items().map(element));
    if (focused >= 0) entries()[focused]?.focus();
  }

  function open() {
    menu.hidden = false;
    button.setAttribute('aria-expanded', 'true');
    draw();
    (menu.querySelector('[aria-checked=true]') ?? entries()[0])?.focus();
    onOpen();
  }

  function close(refocus) {
    if (menu.hidden) return;
    menu.hidden = true;
    button.setAttribute('aria-expanded', 'false');
    if (refocus) button.focus();
  }

  const toggle = () => (menu.hidden ? open() : close(true));
  button.onclick = toggle;
  document.addEventListener('pointerdown', (event) => {
    if (!menu.contains(event.target) && !button.contains(event.target)) close(false);
  });
  menu.addEventListener('keydown', (event) => {
    const all = entries();
    const at = all.indexOf(document.activeElement);
    const to = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: all.length - 1 }[event.key];
    if (to !== undefined) all[(to + all.length) % all.length]?.focus();
    else if (event.key === 'Escape' || event.key === 'Tab' || event.key === 'q') close(true);
    else return;
    event.stopPropagation();
    if (event.key !== 'Tab') event.preventDefault();
  });
  return { draw, toggle };
}
