// The cable between encoders and a server: a TCP proxy that can stop carrying (without a word to either end), lose a
// connection for good, reset all, stall at random and be narrow. It writes down when media came through.
import { once } from 'node:events';
import { connect, createServer } from 'node:net';

/** RTMP's handshake and commands end before this, the first key unit of the test picture after it. */
const KEY_UNIT_BYTES = 12_000;
/** A narrow link carries this often, milliseconds. */
const SLICE_MS = 50;

export class Link {
  static async start(port) {
    const link = new Link();
    Object.assign(link, { port, connections: [], arrivals: [], isCut: false, bytesPerSecond: Infinity });
    link.server = createServer({ allowHalfOpen: true, pauseOnConnect: true }, (client) => link.accept(client));
    link.server.listen(0, '127.0.0.1');
    await once(link.server, 'listening');
    return link;
  }

  /** The address of a stream behind it. */
  url(key) {
    return `rtmp://127.0.0.1:${this.server.address().port}/live/${key}`;
  }

  accept(client) {
    const connection = { client, upstream: null, bytes: 0, openedAt: Date.now(), keyUnitAt: null, wasConnected: false, isLost: false, isCarrying: false };
    this.connections.push(connection);
    client.on('error', () => {});
    client.on('close', () => this.carries(connection) && connection.upstream.destroy());
    client.on('end', () => this.carries(connection) && connection.upstream.end());
    client.on('data', (data) => this.carry(connection, data));
    if (!this.isCut) this.open(connection);
  }

  open(connection) {
    const { client } = connection;
    const upstream = connect({ port: this.port, host: '127.0.0.1', allowHalfOpen: true });
    connection.upstream = upstream;
    connection.isCarrying = true;
    upstream.on('connect', () => {
      connection.wasConnected = true;
      client.resume();
    });
    upstream.on('error', () => {});
    upstream.on('data', (data) => client.write(data));
    upstream.on('end', () => this.carries(connection) && client.end());
    upstream.on('close', () => this.carries(connection) && client.destroy());
    upstream.on('drain', () => connection.isCarrying && this.bytesPerSecond === Infinity && client.resume());
  }

  carries(connection) {
    return connection.isCarrying && !connection.isLost;
  }

  carry(connection, data) {
    connection.bytes += data.length;
    const now = Date.now();
    if (connection.bytes >= KEY_UNIT_BYTES) {
      connection.keyUnitAt ??= now;
      this.arrivals.push(now);
    }
    const hasRoom = connection.upstream.write(data);
    if (!hasRoom) connection.client.pause();
    if (this.bytesPerSecond === Infinity) return;
    // Narrow: nothing more before this much would have gone through.
    connection.client.pause();
    setTimeout(() => connection.isCarrying && connection.client.resume(), Math.max(SLICE_MS, (data.length / this.bytesPerSecond) * 1000));
  }

  /** Nothing goes through any more, and nobody is told. New connections wait. */
  cut() {
    this.isCut = true;
    for (const connection of this.connections) {
      connection.isCarrying = false;
      connection.client.pause();
      connection.upstream?.pause();
    }
  }

  /** Carries again, except for what was lost. */
  mend() {
    this.isCut = false;
    for (const connection of this.connections) {
      if (connection.isLost || connection.client.destroyed) continue;
      if (!connection.upstream) {
        this.open(connection);
        continue;
      }
      connection.isCarrying = true;
      connection.client.resume();
      connection.upstream.resume();
    }
  }

  /** The connections of now are never heard of again: neither end learns it. */
  lose() {
    for (const connection of this.connections) {
      connection.isLost = true;
      connection.client.pause();
      connection.upstream?.pause();
    }
  }

  /** Both ends of all connections get a RST. */
  reset() {
    for (const { client, upstream } of this.connections) {
      client.resetAndDestroy();
      upstream?.resetAndDestroy();
    }
  }

  close() {
    this.server.close();
    this.lose();
    for (const { client, upstream } of this.connections) {
      client.destroy();
      upstream?.destroy();
    }
  }
}
