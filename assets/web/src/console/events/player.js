// The preview of an event: what viewers have, and which place of the film that is.
import { button, make, panel, show, write } from '../dom.js';
import { duration, isLive, positionAt, serverNow } from './position.js';
import { positionWord } from './words.js';

/** `get` gives the event, `address` what is to be played, or `null`. */
export function previewPanel(get, address) {
  const video = make('video', { controls: true, playsinline: true, 'aria-label': 'Preview' });
  video.muted = true;
  const note = make('p', { class: 'note' });
  const stage = make('div', { class: 'screen' }, video, note);
  const place = make('p', { class: 'dim place' });
  const none = make('p', { class: 'dim' });
  const look = button('Show', 'plain small', () => (player ? close() : open()), { 'aria-pressed': 'false' });
  const { element, head } = panel('Preview', none, stage, place);
  head.append(look);
  let player = null;
  let playing = null;
  let turn = 0;

  async function open() {
    const [mine, url] = [++turn, address(get())];
    if (!url) return;
    playing = url;
    say('waiting');
    player = { destroy() {}, date: () => null };
    update();
    const { play } = await import('./preview.js').catch(() => ({}));
    if (mine !== turn) return;
    if (!play) return say('missing');
    player = play({ video, url, id: get().streamId ?? get().id, on: { state: say } });
  }
  function say(state) {
    const words = {
      playing: '',
      waiting: 'The picture comes.',
      unsupported: 'This browser cannot play it.',
      missing: 'The player was not loaded.',
    };
    write(note, words[state]);
    show(note, note.textContent !== '');
  }
  function close() {
    turn += 1;
    player?.destroy();
    player = null;
    playing = null;
    update();
  }
  function update() {
    const url = address(get());
    if (player && url !== playing) {
      close();
      if (url) open();
    }
    const words = get().status === 'active' ? 'What viewers have now, without sound at first.' : 'What is prepared of the film, without sound at first.';
    write(none, url ? words : 'There is something to see as soon as a part of the file is prepared.');
    show(none, player === null);
    show(look, Boolean(url));
    write(look, player ? 'Close' : 'Show');
    look.setAttribute('aria-pressed', String(player !== null));
    show(stage, player !== null);
    show(place, player !== null);
  }
  return {
    element,
    update,
    close,
    /** Says where the picture is, which is a little behind what the server says. */
    tick() {
      const event = get();
      if (!player) return;
      if (event.status !== 'active') {
        const isThere = Number.isFinite(video.duration);
        write(place, isThere ? `The picture is at ${positionWord(video.currentTime, video.duration)}` : '');
        return;
      }
      const date = player.date();
      const seconds = date === null ? null : positionAt(event, date);
      if (seconds === null) {
        write(place, '');
        return;
      }
      const behind = (serverNow() - date) / 1000;
      write(place, isLive(event) ? `${behind.toFixed(1)} s behind the encoder` : `The picture is at ${positionWord(seconds, duration(event))}, ${behind.toFixed(1)} s behind the server`);
    },
  };
}
