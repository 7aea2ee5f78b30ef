// What walks through pages of ours have in common: a browser, and looks at a page as people with other eyes and hands
// than the author's.
import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { chromium } from 'playwright-core';

const AXE = await readFile(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
/** What a person can reach, in the page's own order. */
const CONTROLS = 'a[href], button, input, select, textarea, [tabindex="0"]';

/** A browser whose pages are all in front of somebody. */
export const launch = () => chromium.launch({
  executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
  headless: true,
  args: [
    '--no-sandbox', '--disable-gpu', '--no-first-run', '--disable-background-networking', '--disable-component-update',
    '--disable-sync', '--autoplay-policy=no-user-gesture-required', '--mute-audio',
    '--disable-renderer-backgrounding', '--disable-background-timer-throttling', '--disable-backgrounding-occluded-windows',
  ],
});

/** A page whose sockets are in `window.sockets`, and whose console is written to `said`. */
export async function open(context, said) {
  const page = await context.newPage();
  await page.addInitScript(() => {
    window.sockets = [];
    window.WebSocket = class extends WebSocket {
      constructor(address) {
        super(address);
        window.sockets.push(this);
      }
    };
  });
  page.on('console', (message) => ['error', 'warning'].includes(message.type()) && said.push(`${message.text()} ${message.location().url}`));
  page.on('pageerror', (error) => said.push(String(error)));
  return page;
}

/** What axe finds wrong, contrast included, and whether the page is wider than the screen. */
async function faults(page) {
  await page.evaluate(AXE);
  return page.evaluate(async () => {
    // What fades in or floats by has another colour a moment later.
    for (const animation of document.getAnimations()) if (animation.effect.getComputedTiming().iterations !== Infinity) animation.finish();
    const { violations } = await window.axe.run(document, { runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa'] });
    const found = violations.flatMap(({ id, nodes }) => nodes.map((node) => `${id}: ${node.target} ${node.any[0]?.message ?? ''}`));
    const overhang = document.documentElement.scrollWidth - innerWidth;
    if (overhang > 0) found.push(`${overhang} px wider than the screen`);
    return found;
  });
}

/** Looks at the page on each screen by each light. */
export async function look(page, stage, screenshots) {
  for (const [width, height] of [[1280, 800], [390, 844]]) {
    for (const colorScheme of ['dark', 'light']) {
      await page.setViewportSize({ width, height });
      await page.emulateMedia({ colorScheme });
      const found = await faults(page);
      if (screenshots) await page.screenshot({ path: join(screenshots, `${stage}-${width}-${colorScheme}.png`), fullPage: width < 600 });
      if (found.length) throw new Error(`${stage}, ${width} px, ${colorScheme}: ${found.join('; ')}`);
    }
  }
  await page.setViewportSize({ width: 1280, height: 800 });
  await page.emulateMedia({ colorScheme: 'dark' });
}

/** Names what the Tab key does not reach, or reaches without showing it. */
export async function tabThrough(page) {
  await page.evaluate(() => document.activeElement?.blur());
  const wanted = await page.evaluate((selector) => [...document.querySelectorAll(selector)]
    .filter((element) => element.tabIndex >= 0 && !element.disabled && element.checkVisibility({ checkVisibilityCSS: true }))
    .map((element, at) => { element.dataset.stop = String(at); return element.id || element.className || element.tagName; }), CONTROLS);
  const reached = new Set();
  const dim = [];
  for (let tabs = 0; tabs < wanted.length + 8; tabs += 1) {
    await page.keyboard.press('Tab');
    const at = await page.evaluate(() => {
      const element = document.activeElement;
      const style = getComputedStyle(element);
      return { stop: element.dataset.stop, isSeen: element.matches(':focus-visible') && style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 2 };
    });
    if (at.stop === undefined) continue;
    reached.add(Number(at.stop));
    if (!at.isSeen) dim.push(wanted[at.stop]);
  }
  const missed = wanted.filter((_, at) => !reached.has(at));
  return [...missed.map((name) => `${name} is not reached`), ...dim.map((name) => `${name} does not show its focus`)];
}
