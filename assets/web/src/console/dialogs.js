// Questions in front of the page. The browser keeps the focus inside and closes them with Escape.
import { button, make, say, show, write } from './dom.js';
import { sentence } from './words.js';

/** Runs an action and says what became of it; false when it was refused. */
export async function attempt(action, done) {
  try {
    await action();
    if (done) say(done);
    return true;
  } catch (error) {
    say(refusal(error), true);
    return false;
  }
}

export function refusal(error) {
  const words = {
    'already-exists': 'There is one of this alias or name already.',
    'not-found': 'It is not there any more.',
    conflict: 'That is not possible now.',
    forbidden: 'That is not allowed.',
    capacity: 'The server has no room for that now.',
    'rate-limited': 'Too many requests: wait a moment.',
  };
  if (error.status === undefined) return 'The server does not answer.';
  return error.message !== error.word ? sentence(error.message) : (words[error.word] ?? `The server refused (${error.message}).`);
}

/**
 * Asks. `fields` are elements to show; `action` runs when it is confirmed and may refuse by throwing: the
 * dialog then stays and says why, unless `refused` has said it elsewhere. `done` is said after it. Resolves to
 * whether it was done.
 */
export function ask({ title, text, fields = [], confirm, done, isDanger = false, isWide = false, refused = () => false, action }) {
  return new Promise((resolve) => {
    let isDone = false;
    const trouble = make('p', { class: 'trouble', role: 'alert', hidden: true });
    const yes = make('button', { class: `button ${isDanger ? 'danger' : 'solid'}` }, confirm);
    const no = button('Cancel', 'plain', () => dialog.close());
    const heading = make('h2', { id: 'asked' }, title);
    const form = make('form', {}, heading, text && make('p', { class: 'dim' }, text), ...fields, trouble, make('div', { class: 'row end' }, no, yes));
    const dialog = make('dialog', { 'aria-labelledby': 'asked', class: isWide && 'roomy' }, form);
    form.addEventListener('submit', async (event) => {
      event.preventDefault();
      if (yes.disabled) return;
      yes.disabled = true;
      try {
        await action();
        isDone = true;
        dialog.close();
        if (done) say(done);
      } catch (error) {
        yes.disabled = false;
        const isSaid = refused(error);
        write(trouble, isSaid ? '' : refusal(error));
        show(trouble, !isSaid);
      }
    });
    dialog.addEventListener('close', () => {
      dialog.remove();
      resolve(isDone);
    });
    document.body.append(dialog);
    dialog.showModal();
    // What cannot be taken back is not under the Enter key.
    if (isDanger && !fields.length) no.focus();
  });
}

export function field(label, input, hint) {
  return make('label', { class: 'field' }, make('span', {}, label), input, hint && make('small', { class: 'dim' }, hint));
}

export function choice(label, hint) {
  const input = make('input', { type: 'checkbox' });
  const element = make('label', { class: 'choice' }, input, make('span', {}, label, hint && make('small', { class: 'dim' }, hint)));
  return { element, input };
}
