// Bundles the pages into dist/, each file beside its gzip form. The binary embeds that folder
// (src/control/pages.rs), so names are fixed and nothing is fetched from elsewhere at run time.
import { build } from 'esbuild';
import { cp, mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';

const root = dirname(fileURLToPath(import.meta.url));
const dist = join(root, 'dist');

/** The licence texts of everything that ends up in the bundles. */
async function licences() {
  const lock = JSON.parse(await readFile(join(root, 'package-lock.json'), 'utf8'));
  const texts = [];
  for (const [path, entry] of Object.entries(lock.packages)) {
    if (!path.startsWith('node_modules/') || entry.dev) continue;
    const files = await readdir(join(root, path));
    const file = files.find((name) => /^(licen[cs]e|copying)/i.test(name));
    const text = file ? await readFile(join(root, path, file), 'utf8') : '';
    texts.push(`${path.slice('node_modules/'.length)} ${entry.version} (${entry.license})\n\n${text.trim()}\n`);
  }
  return texts.join(`\n${'-'.repeat(78)}\n\n`);
}

await rm(dist, { recursive: true, force: true });
await mkdir(dist);
await build({
  absWorkingDir: root,
  entryPoints: {
    watch: 'src/watch.js',
    live: 'src/live.js',
    console: 'src/console/main.js',
    // dash.js is large and seldom wanted: an entry of its own, imported when chosen.
    'engine-dash': 'src/engine-dash.js',
    // So is the console's player.
    preview: 'src/console/events/preview.js',
    // And LiveKit's client, for who watches in real time, and for the page that tries it out.
    room: 'src/room.js',
    'livekit-test': 'src/livekit-test.js',
    style: 'src/style.css',
    'console-style': 'src/console.css',
    'livekit-test-style': 'src/livekit-test.css',
  },
  external: ['./engine-dash.js', './preview.js', './room.js'],
  outdir: dist,
  bundle: true,
  minify: true,
  format: 'esm',
  target: ['es2022', 'safari15.4'],
  legalComments: 'none',
  logLevel: 'warning',
});
for (const name of ['watch.html', 'live.html', 'console.html', 'livekit-test.html', 'favicon.svg']) {
  await cp(join(root, 'src', name), join(dist, name));
}
// As it is: other people's pages import it, and whoever does can read it.
await cp(join(root, 'sync.js'), join(dist, 'sync.js'));
await writeFile(join(dist, 'licences.txt'), await licences());

let report = '';
for (const name of (await readdir(dist)).sort()) {
  const bytes = await readFile(join(dist, name));
  const packed = gzipSync(bytes, { level: 9 });
  await writeFile(join(dist, `${name}.gz`), packed);
  report += `${name.padEnd(18)}${String(bytes.length).padStart(9)} B ${String(packed.length).padStart(8)} B gzip\n`;
}
process.stdout.write(report);
