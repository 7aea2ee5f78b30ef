// Bundles the three players, each with the probe, into dist/, which play.mjs serves to the browser; the viewer in a
// LiveKit room, which room.mjs serves; and what is laid over a page of ours.
import { build } from 'esbuild';
import { rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = dirname(fileURLToPath(import.meta.url));
await rm(join(root, 'dist'), { recursive: true, force: true });
const bundle = (names, more) => build({
  absWorkingDir: root,
  entryPoints: names.map((name) => `src/${name}.js`),
  outdir: join(root, 'dist'),
  bundle: true,
  minify: true,
  target: 'es2022',
  legalComments: 'none',
  logLevel: 'warning',
  ...more,
});
await bundle(['hls', 'dash', 'shaka', 'livekit'], { format: 'esm' });
await bundle(['watch'], { format: 'iife', globalName: 'watching' });
