// An encoder in the place of the film: where it publishes, and back.
import { copyRow, MASK } from '../addresses.js';
import { ask, attempt } from '../dialogs.js';
import { button, make, panel, show, write } from '../dom.js';
import * as api from './calls.js';
import { isCalledFor, isLive } from './position.js';

/** `changed` is called when the server has something new to tell of the event. */
export function takeoverPanel(get, changed) {
  /** What an encoder needs, once it was asked for. */
  let door = null;
  let isShown = false;
  const server = copyRow('RTMP server', 'RTMP address', () => door.rtmpUrl);
  const secret = copyRow('Stream key', 'stream key', () => door.streamKey);
  const reveal = button('Show', 'plain small', () => {
    isShown = !isShown;
    update();
  }, { 'aria-pressed': 'false', 'aria-label': 'Show the stream key' });
  secret.element.insertBefore(reveal, secret.element.lastChild);
  const note = make('p', { class: 'dim' });
  const open = async () => {
    const answer = await api.takeOver(get().id);
    door = answer.event?.streamKey ? answer.event : answer;
    isShown = false;
    await changed();
    update();
  };
  const take = button('Take over…', 'plain', () => ask({
    title: 'Take over with an encoder?',
    text: 'The film goes on until the encoder sends: it is made ready off air, and goes on air at its next key picture. Viewers keep their player.',
    confirm: 'Take over',
    action: open,
  }));
  const again = button('Show where to publish', 'plain', () => attempt(open));
  const back = button('Give back to the film…', 'plain', () => ask({
    title: 'Give back to the film?',
    text: 'The encoder is disconnected, and the film is where the clock says.',
    confirm: 'Give back',
    done: 'Given back',
    async action() {
      await api.giveBack(get().id);
      door = null;
      await changed();
    },
  }));
  const { element } = panel('Takeover', note, server.element, secret.element, make('div', { class: 'row' }, take, again, back));
  function update() {
    const event = get();
    const isOn = event.status === 'active';
    const isCalled = isCalledFor(event);
    if (!isCalled) door = null;
    write(server.value, door?.rtmpUrl ?? '');
    write(secret.value, isShown && door ? door.streamKey : MASK);
    write(reveal, isShown ? 'Hide' : 'Show');
    reveal.setAttribute('aria-pressed', String(isShown));
    for (const row of [server, secret]) show(row.element, door !== null);
    show(take, !isCalled);
    show(again, isCalled && door === null);
    show(back, isCalled);
    write(note, isLive(event)
      ? 'An encoder is on air in place of the film.'
      : isCalled ? 'Viewers have the film until an encoder publishes there.' : 'An encoder can go on air in place of the film, and give back to it.');
    show(element, isOn);
  }
  return { element, update };
}
