// Servers beside ours, each a process with settings and a folder of its own, with the face of lib.mjs's Gateway that
// a case needs: `rtmpPort`, `key`, `playlist()`, `stop()`.
import { existsSync } from 'node:fs';
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { delimiter, join } from 'node:path';
import { freePort, scratch, start, stop, until } from './lib.mjs';

const find = (name, places) => places.map((place) => join(place, name)).find(existsSync);
const PATHS = process.env.PATH.split(delimiter);
const NGINX = find('nginx', ['/usr/sbin', ...PATHS]);
const RTMP_MODULE = '/usr/lib/nginx/modules/ngx_rtmp_module.so';
const MULTIMUX = process.env.MULTIMUX ?? find('multimux', PATHS);

class Peer {
  static async make(name) {
    const peer = new this();
    Object.assign(peer, { folder: await scratch(name), httpPort: await freePort(), rtmpPort: await freePort(), key: 'stream' });
    await peer.launch();
    return peer;
  }

  /** The address for players, once there is something to play. */
  async playlist() {
    await until('a playlist', async () => /#EXTINF|#EXT-X-STREAM-INF/.test(await (await fetch(this.url)).text()), 60_000, () => this.process.said);
    return this.url;
  }

  async stop() {
    await stop(this.process);
    await rm(this.folder, { recursive: true, force: true });
  }
}

/** nginx with the RTMP module: TS files of 2 s, of which players begin three behind the newest. */
export class NginxRtmp extends Peer {
  static name = 'nginx-rtmp';
  static isHere = Boolean(NGINX) && existsSync(RTMP_MODULE);

  async launch() {
    const files = join(this.folder, 'files');
    await mkdir(files);
    const config = join(this.folder, 'nginx.conf');
    await writeFile(config, `load_module ${RTMP_MODULE};
daemon off; master_process off; worker_processes 1; pid ${this.folder}/nginx.pid; error_log ${this.folder}/error.log;
events { }
rtmp { access_log off; server { listen 127.0.0.1:${this.rtmpPort}; application live { live on; hls on; hls_path ${files}; hls_fragment 2s; hls_playlist_length 60s; } } }
http {
  access_log off;
  types { application/vnd.apple.mpegurl m3u8; video/mp2t ts; }
  server { listen 127.0.0.1:${this.httpPort}; root ${files}; add_header Access-Control-Allow-Origin *; add_header Cache-Control no-store; }
}
`);
    this.url = `http://127.0.0.1:${this.httpPort}/${this.key}.m3u8`;
    this.process = start(NGINX, ['-e', join(this.folder, 'error.log'), '-c', config]);
  }
}

/** LL-HLS from memory, with our segment and part targets. `MULTIMUX` names its binary, or it lies on the PATH. */
export class Multimux extends Peer {
  static name = 'multimux';
  static isHere = Boolean(MULTIMUX);

  async launch() {
    const config = join(this.folder, 'multimux.json');
    await writeFile(config, JSON.stringify({
      bind: `127.0.0.1:${this.httpPort}`, target_duration_secs: 2, part_target_ms: 200, window_segments: 30,
      routes: [{ name: 'live', input: { type: 'rtmp', listen: `127.0.0.1:${this.rtmpPort}`, app: 'live', stream_key: this.key }, outputs: ['llhls'] }],
    }));
    this.url = `http://127.0.0.1:${this.httpPort}/live/master.m3u8`;
    this.process = start(MULTIMUX, ['--config', config], { stdio: ['ignore', 'pipe', 'pipe'] });
  }
}
