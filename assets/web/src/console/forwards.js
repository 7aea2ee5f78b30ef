// Where a channel is pushed, and how that goes. Keys and tokens go to the server and never come back.
import * as api from './api.js';
import { ask, field } from './dialogs.js';
import { Rows, button, make, panel, show, toggle, write } from './dom.js';
import { bytes, moment, sentence } from './words.js';

const KINDS = { rtmp: 'RTMP', whip: 'WHIP', ingress: 'LiveKit Ingress', livekit: 'LiveKit room' };
const STATES = { waiting: 'Waiting', connecting: 'Connecting', live: 'Live', retrying: 'Tries again', refused: 'Refused' };

/** What is known of a forward, as a row of facts: kind, state with its reason, whether it is bad, where it goes. */
export function fact(forward) {
  const isAway = forward.state === 'retrying' || forward.state === 'refused';
  const why = isAway && forward.reason ? `: ${forward.reason}` : '';
  return [KINDS[forward.kind] ?? forward.kind, `${STATES[forward.state] ?? forward.state}${why}`, isAway, forward.note ?? forward.url];
}

/** Fields of the kinds: those of others are not shown, and not sent. */
function form() {
  const text = (properties) => make('input', { type: 'text', autocomplete: 'off', spellcheck: 'false', ...properties });
  const secret = () => make('input', { type: 'password', autocomplete: 'off', maxlength: 2048 });
  const kind = make('select', {}, ...['rtmp', 'whip', 'ingress'].map((value) => make('option', { value }, KINDS[value])));
  const inputs = {
    rtmp: { url: text({ placeholder: 'rtmp://host/application', maxlength: 2048 }), key: secret() },
    whip: { url: text({ placeholder: 'https://host/whip', maxlength: 2048 }), token: secret() },
    ingress: { room: text({ maxlength: 256 }) },
  };
  const groups = {
    rtmp: [field('Server', inputs.rtmp.url), field('Stream key', inputs.rtmp.key, 'Without it the last part of the address is the key.')],
    whip: [field('Endpoint', inputs.whip.url), field('Token', inputs.whip.token, 'Sent as bearer, if the endpoint wants one.')],
    ingress: [field('Room', inputs.ingress.room, 'LiveKit’s Ingress service plays the channel’s HLS into it.')],
  };
  function update() {
    for (const [name, group] of Object.entries(groups)) for (const part of group) show(part, name === kind.value);
  }
  kind.addEventListener('change', update);
  update();
  return {
    fields: [field('To', kind), ...Object.values(groups).flat()],
    value() {
      const given = Object.entries(inputs[kind.value]).map(([name, input]) => [name, input.value.trim()]);
      return { kind: kind.value, ...Object.fromEntries(given.filter(([, value]) => value !== '')) };
    },
  };
}

export function forwards(id) {
  const list = make('ul', { class: 'recordings', 'aria-label': 'Destinations' });
  const empty = make('p', { class: 'dim' }, 'Nowhere but here.');
  const { element, head } = panel('Pushed to', list, empty);
  head.append(button('Add…', 'plain small', () => {
    const { fields, value } = form();
    return ask({
      title: 'Push this channel to another place',
      text: 'It goes there while it is on air.',
      confirm: 'Add',
      done: 'Destination added',
      isWide: true,
      fields,
      action: () => api.addForward(id, value()).then(load),
    });
  }));
  const rows = new Rows(list, (forward) => {
    const [state, about, why] = [make('b'), make('span', { class: 'dim' }), make('span')];
    const remove = button('Remove…', 'plain small', () => ask({
      title: 'Push to this destination no more?',
      text: `${KINDS[forward.kind] ?? forward.kind} ${forward.url}`,
      confirm: 'Remove',
      done: 'Destination removed',
      isDanger: true,
      action: () => api.removeForward(id, forward.id).then(load),
    }), { 'aria-label': `Remove ${forward.url}` });
    return {
      element: make('li', {}, make('div', {}, state, about, why), make('div', { class: 'row' }, remove)),
      update(now) {
        write(state, `${STATES[now.state] ?? now.state} · ${KINDS[now.kind] ?? now.kind}`);
        toggle(state, 'bad', now.state === 'retrying' || now.state === 'refused');
        const sent = now.bytes ? ` · ${bytes(now.bytes)} sent` : '';
        const dropped = now.droppedUnits ? ` · ${now.droppedUnits} units left out` : '';
        write(about, `${now.url}${sent}${dropped}`);
        const again = now.nextAttemptUnixMs ? ` Next attempt at ${moment(now.nextAttemptUnixMs)}.` : '';
        const isAway = now.state === 'retrying' || now.state === 'refused';
        write(why, isAway && now.reason ? `${sentence(now.reason)}${again}` : sentence(now.note ?? ''));
        show(why, why.textContent !== '');
        show(remove, now.removable);
      },
    };
  });
  let listed = [];
  let running = new Map();
  /** What is told with the stream is newer than the list. */
  function draw() {
    const now = listed.map((forward) => ({ ...forward, ...running.get(forward.id), removable: forward.removable }));
    rows.update(now, (forward) => forward.id);
    show(list, now.length > 0);
    show(empty, now.length === 0);
  }
  async function load() {
    listed = await api.forwards(id);
    draw();
  }
  return {
    element,
    load,
    /** `told`: how those fare that run. */
    update(told) {
      running = new Map(told.map((forward) => [forward.id, forward]));
      draw();
    },
  };
}
