// Reactions: a row of buttons, and what all send rising over the picture.

/** What the buttons send and what they are called. Each has a symbol in the page: not every system has emoji. */
const REACTIONS = { heart: 'Love', star: 'Bravo', laugh: 'Laugh', wow: 'Wow', fire: 'Fire' };
/** Rising at once: more would hide the picture. */
const MAX_FLOATS = 24;
/** Longest text that may be one emoji, of several parts. */
const MAX_UNITS = 16;
/** A button rests so long: the server takes two frames a second. */
const REST_MS = 500;

/** `send` gives whether it could. */
export function makeReactions({ buttons, floats, send }) {
  let restsUntil = 0;
  for (const [word, label] of Object.entries(REACTIONS)) {
    const button = document.createElement('button');
    button.type = 'button';
    button.className = 'reaction';
    button.dataset.reaction = word;
    button.setAttribute('aria-label', label);
    button.title = label;
    button.append(symbol(word));
    button.onclick = () => {
      if (performance.now() < restsUntil) return;
      restsUntil = performance.now() + REST_MS;
      send(word);
    };
    buttons.append(button);
  }
  return {
    enable(isOn) {
      for (const button of buttons.children) button.disabled = !isOn;
    },
    show(word) {
      const picture = Object.hasOwn(REACTIONS, word) ? symbol(word) : emoji(word);
      if (!picture || document.hidden || floats.childElementCount >= MAX_FLOATS) return;
      const float = document.createElement('span');
      float.append(picture);
      float.style.setProperty('--at', `${Math.random() * 100}%`);
      float.style.setProperty('--sway', `${(Math.random() - 0.5) * 60}px`);
      float.addEventListener('animationend', () => float.remove());
      floats.append(float);
    },
  };
}

function symbol(word) {
  const svg = document.createElementNS('http://www.w3.org/2000/svg', 'svg');
  svg.setAttribute('aria-hidden', 'true');
  const use = document.createElementNS('http://www.w3.org/2000/svg', 'use');
  use.setAttribute('href', `#r-${word}`);
  svg.append(use);
  return svg;
}

/** Other apps have words of their own; a picture is shown as it is, a word is not. */
function emoji(text) {
  return typeof text === 'string' && text.length <= MAX_UNITS && /^\p{Extended_Pictographic}/u.test(text) ? text : null;
}
