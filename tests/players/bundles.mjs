// The bundled players on loopback, each on a page of its own: localhost is a secure context, which shaka wants. The
// media come from the server under test, across origins.
import { createReadStream } from 'node:fs';
import { createServer } from 'node:http';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const DIST = join(dirname(fileURLToPath(import.meta.url)), 'dist');
const PLAYERS = ['hls', 'dash', 'shaka'];

const PAGE = (player) => `<!doctype html><meta charset="utf-8"><title>${player}</title><link rel="icon" href="data:,">
<style>body{margin:0;background:#000}video{width:100vw;height:100vh}</style><video playsinline></video>
<script type="module" src="/${player}.js"></script>`;

/** Serves `/hls`, `/dash` and `/shaka`. */
export async function serve() {
  const server = createServer((request, response) => {
    const name = basename(new URL(request.url, 'http://localhost').pathname);
    if (name.endsWith('.js')) {
      response.setHeader('content-type', 'text/javascript');
      createReadStream(join(DIST, name)).on('error', () => response.destroy()).pipe(response);
    } else if (PLAYERS.includes(name)) {
      response.setHeader('content-type', 'text/html');
      response.end(PAGE(name));
    } else {
      response.statusCode = 404;
      response.end();
    }
  });
  await new Promise((resolve) => { server.listen(0, '127.0.0.1', resolve); });
  return server;
}
