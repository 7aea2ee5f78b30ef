// The file of an event: chosen or dropped, sent with its progress, and then prepared.
import { ask } from '../dialogs.js';
import { button, facts, make, panel, show, toggle, write } from '../dom.js';
import { bytes, lasting, sentence } from '../words.js';
import { locate, uploads } from './calls.js';
import { unfinished, Upload } from './tus.js';
import { fileWord } from './words.js';

/** What the server takes, by the ends of names; it looks into the file itself. */
const KINDS = ['mp4', 'mov', 'webm', 'mp3', 'wav', 'm4a', 'aac'];
/** Bytes of a file, at most, unless the server says otherwise. */
const MOST_BYTES = 2 ** 30;

/** Uploads go on while other parts of the console are looked at. */
const running = new Map();

addEventListener('beforeunload', (event) => {
  // The browser asks; the upload can go on later.
  if ([...running.values()].some(({ state }) => state === 'sending' || state === 'waiting')) event.preventDefault();
});

/** Ends all, as when somebody signs out. They can go on later. */
export function pauseAll() {
  for (const upload of running.values()) upload.pause();
  running.clear();
}

/** How far an upload into an event is, 0 to 1; `null`: there is none. */
export function uploadPart(eventId) {
  const upload = running.get(eventId);
  return upload && !upload.isOver ? upload.offset / upload.file.size : null;
}

/** Why a file is not even sent. */
function unfit(file) {
  const kind = file.name.includes('.') ? file.name.split('.').at(-1).toLowerCase() : '';
  const isMedia = /^(video|audio)\//.test(file.type);
  if (!KINDS.includes(kind) && !isMedia) {
    return `“${file.name}” is no film or sound that can be played: ${KINDS.slice(0, -1).join(', ')} or ${KINDS.at(-1)} can.`;
  }
  if (file.size > MOST_BYTES) return `“${file.name}” has ${bytes(file.size)}: at most ${bytes(MOST_BYTES)} are possible.`;
  if (file.size === 0) return `“${file.name}” is empty.`;
  return null;
}

/** The server's refusal as a sentence, also where a proxy refused without one. */
function refused({ status, message }) {
  if (message) return sentence(message);
  const words = {
    401: 'You are not signed in any more.',
    403: 'The server does not take uploads of operators here.',
    404: 'The event is not there any more.',
    413: 'The file is too large for the server, or for a proxy in front of it.',
    415: 'The server cannot play this kind of file.',
    507: 'The disk of the server is full.',
  };
  return words[status] ?? `The server refused (${status}).`;
}

/** `changed` is called when the server has something new to tell of the event. */
export function filePanel(get, changed) {
  const input = make('input', { type: 'file', class: 'aside', accept: [...KINDS.map((kind) => `.${kind}`), 'video/*', 'audio/*'].join(), 'aria-label': 'File', tabindex: -1 });
  const choose = button('Choose a file', 'solid', () => input.click());
  const hint = make('p', { class: 'dim' });
  const drop = make('div', { class: 'drop' }, choose, input, hint);
  const trouble = make('p', { class: 'trouble', role: 'alert', hidden: true });
  const what = make('p', { class: 'name' });
  const progress = make('progress', { max: 1 });
  const figures = make('p', { class: 'dim' });
  const pause = button('Pause', 'plain small', () => {
    const upload = running.get(get().id);
    if (upload.state === 'paused') upload.start();
    else upload.pause();
  });
  const cancel = button('Cancel', 'plain small', () => ask({
    title: 'Cancel the upload?',
    text: 'What was sent of it is lost.',
    confirm: 'Cancel the upload',
    isDanger: true,
    async action() {
      const upload = running.get(get().id);
      running.delete(get().id);
      await upload?.cancel();
      update();
      changed();
    },
  }));
  const sending = make('div', { class: 'sending' }, what, progress, make('div', { class: 'row' }, figures, make('span', { class: 'spring' }), pause, cancel));
  const about = facts('The file');
  const prepared = make('progress', { max: 1, 'aria-label': 'Preparation' });
  const { element } = panel('File', about.element, prepared, sending, trouble, drop);
  let wrong = '';

  function take(files) {
    const event = get();
    wrong = files.length > 1 ? 'An event has one file.' : '';
    const [file] = files;
    if (file && !wrong) wrong = unfit(file) ?? '';
    if (file && !wrong) {
      const upload = new Upload(file, { eventId: event.id, uploads: uploads(event.id), locate, changed: heard });
      running.set(event.id, upload);
      upload.start();
    }
    input.value = '';
    update();
  }
  function heard(upload) {
    if (running.get(upload.eventId) !== upload) return;
    if (upload.isOver) {
      running.delete(upload.eventId);
      if (upload.state === 'failed' && upload.eventId === get().id) wrong = refused(upload.refusal);
      changed();
    }
    if (upload.eventId === get().id) update();
  }
  input.addEventListener('change', () => take(input.files));
  // Files that are dropped beside it are not to replace the page.
  const isFile = (event) => event.dataTransfer?.types.includes('Files');
  const over = (event) => {
    if (!isFile(event) || drop.hidden) return;
    event.preventDefault();
    event.dataTransfer.dropEffect = 'copy';
    toggle(element, 'over', true);
  };
  element.addEventListener('dragenter', over);
  element.addEventListener('dragover', over);
  element.addEventListener('dragleave', (event) => element.contains(event.relatedTarget) || toggle(element, 'over', false));
  element.addEventListener('drop', (event) => {
    if (!isFile(event) || drop.hidden) return;
    event.preventDefault();
    toggle(element, 'over', false);
    take(event.dataTransfer.files);
  });

  function update() {
    const event = get();
    const { file } = event;
    const upload = running.get(event.id);
    const isSending = Boolean(upload);
    show(sending, isSending);
    if (isSending) {
      upload.changed = heard;
      const part = upload.offset / upload.file.size;
      write(what, upload.file.name);
      progress.value = part;
      progress.setAttribute('aria-label', `Upload of ${upload.file.name}`);
      const left = upload.speed ? ((upload.file.size - upload.offset) / upload.speed) * 1000 : null;
      const speed = upload.speed ? ` · ${bytes(upload.speed)}/s · ${lasting(left)} left` : '';
      const isAlone = upload.refusal?.status === undefined;
      const states = { paused: ' · paused', waiting: isAlone ? ' · no connection, it goes on by itself' : ' · the server is busy, it goes on by itself' };
      const isLookedAt = upload.state === 'sending' && upload.offset >= upload.file.size;
      write(figures, isLookedAt ? '100 % · the server looks into it' : `${Math.floor(part * 100)} % of ${bytes(upload.file.size)}${states[upload.state] ?? speed}`);
      write(pause, upload.state === 'paused' ? 'Go on' : 'Pause');
    }
    const { text, part, isBad } = fileWord(file);
    const has = Boolean(file) && file.state !== 'uploading';
    show(about.element, has);
    show(prepared, has && part !== undefined);
    prepared.value = part ?? 0;
    if (has) {
      about.update([
        ['Name', file.name ?? '–'],
        ['State', text.replace(/^File (is )?/, '').replace(/^./, (letter) => letter.toUpperCase()), isBad],
        ['Kind', { video: 'Film', audio: 'Sound' }[file.kind] ?? '–'],
        ['Size', file.bytes ? bytes(file.bytes) : '–'],
        ['Length', file.duration ? lasting(file.duration * 1000) : '–'],
      ]);
    }
    const left = !isSending && unfinished(event.id);
    show(drop, !isSending && event.status !== 'completed' && event.status !== 'active');
    write(choose, has ? 'Replace the file' : 'Choose a file');
    toggle(choose, 'solid', !has);
    toggle(choose, 'plain', has);
    write(hint, left
      ? `The upload of “${left.name}” was not finished: choose it again, and it goes on where it stopped.`
      : `or drop it here: ${KINDS.join(', ')}, up to ${bytes(MOST_BYTES)}`);
    write(trouble, wrong);
    show(trouble, wrong !== '');
  }
  return { element, update };
}
