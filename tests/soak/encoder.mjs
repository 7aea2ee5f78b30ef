// An encoder as a broadcaster has it: behind a cable of its own, and coming back by itself when it is thrown out.
import { Link } from './link.mjs';
import { publish, sleep, stop, until } from './lib.mjs';

/** OBS tries again after this. */
const RETRY_MS = 2000;
/** No server takes longer to let an encoder on the air. */
const PATIENCE_MS = 60_000;
/** The width of the first encoder's picture, which all numbers are drawn for. */
export const WIDTH = 640;
/** Added to the clock in pictures of a later encoder, so that they can be told from the first one's: 37 hours. */
export const MARK = 2 ** 27;

export class Encoder {
  /** Begins to publish on the key of `server`. `isLater`: its pictures are marked. */
  static async start(server, { isLater = false, ...settings } = {}) {
    const encoder = new Encoder();
    Object.assign(encoder, { link: await Link.start(server.rtmpPort), isWanted: true, refusals: 0, drops: 0, isLater });
    encoder.running = encoder.run(server, settings);
    return encoder;
  }

  async run(server, settings) {
    while (this.isWanted) {
      const index = this.link.connections.length;
      this.spawnedAt = Date.now();
      this.process = publish(this.link.url(server.key), { ...settings, clock: true, offset: this.isLater ? MARK : 0, like: WIDTH });
      await this.process.ended;
      if (!this.isWanted) return;
      // It left against its will: before it was on the air, or from it.
      const connection = this.link.connections[index];
      if (connection?.wasConnected) this[connection.keyUnitAt === null ? 'refusals' : 'drops'] += 1;
      await sleep(RETRY_MS);
    }
  }

  /** When the server had its first key unit (of its newest connection). */
  async onAir(after = 0) {
    return until('a key unit of the encoder', () => this.link.connections.map(({ keyUnitAt }) => keyUnitAt).find((at) => at > after), PATIENCE_MS, () => this.process.said);
  }

  freeze() {
    process.kill(-this.process.pid, 'SIGSTOP');
  }

  thaw() {
    process.kill(-this.process.pid, 'SIGCONT');
  }

  /** SIGINT lets it say good-bye, SIGKILL does not. */
  async stop(signal = 'SIGKILL') {
    this.isWanted = false;
    await stop(this.process, signal);
  }

  async end() {
    await this.stop();
    this.link.close();
  }
}
