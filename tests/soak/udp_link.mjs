// A bad line for UDP, as tests/common/lossy.rs has it: loses packets by a seed, one by one and in bursts, both ways,
// and delays them. Each caller has a socket of its own towards the listener.
import { createSocket } from 'node:dgram';
import { once } from 'node:events';

/** One way, milliseconds: a round trip of 40. */
const DELAY_MS = 20;
/** Share of packets with which a burst of losses begins, and the most packets that it takes. */
const [BURSTS, BURST_PACKETS] = [0.002, 8];

/** The same throws in every run. */
export function dice(seed) {
  let state = seed >>> 0;
  return () => {
    // Mulberry32.
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

class Direction {
  constructor(link, seed) {
    Object.assign(this, { link, random: dice(seed), burstLeft: 0, sent: 0, lost: 0 });
  }

  /** Hands a packet on later, or never. */
  carry(deliver) {
    this.sent += 1;
    const { loss } = this.link;
    if (this.burstLeft > 0) {
      this.burstLeft -= 1;
      this.lost += 1;
    } else if (loss > 0 && this.random() < BURSTS) {
      this.burstLeft = Math.floor(this.random() * BURST_PACKETS);
      this.lost += 1;
    } else if (this.random() < loss) {
      this.lost += 1;
    } else {
      setTimeout(deliver, DELAY_MS);
    }
  }
}

export class UdpLink {
  static async start(port, loss, seed) {
    const link = new UdpLink();
    Object.assign(link, { loss, callers: new Map() });
    link.there = new Direction(link, seed);
    link.back = new Direction(link, seed + 1);
    link.front = createSocket('udp4');
    link.front.on('message', (packet, from) => {
      const socket = link.upstream(from, port);
      link.there.carry(() => !link.isClosed && socket.send(packet, port, '127.0.0.1'));
    });
    link.front.bind(0, '127.0.0.1');
    await once(link.front, 'listening');
    link.port = link.front.address().port;
    return link;
  }

  upstream({ address, port }) {
    const name = `${address}:${port}`;
    let socket = this.callers.get(name);
    if (!socket) {
      socket = createSocket('udp4');
      socket.on('error', () => {});
      socket.on('message', (packet) => this.back.carry(() => !this.isClosed && this.front.send(packet, port, address)));
      this.callers.set(name, socket);
    }
    return socket;
  }

  close() {
    this.isClosed = true;
    this.front.close();
    for (const socket of this.callers.values()) socket.close();
  }
}
