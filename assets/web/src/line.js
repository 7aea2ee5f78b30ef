// Shares of packets on an encoder's line. The server counts since the session began; what is shown is
// of the last minute, or of the time since this page was opened.
const WINDOW_MS = 60_000;

const COUNTS = ['packets', 'lostPackets', 'retransmittedPackets', 'droppedPackets', 'undecryptedPackets'];

/** Remembers readings of one session's line. */
export class Line {
  #readings = [];

  /** What happened since the oldest reading that is kept, shares in percent. */
  add(now, link) {
    const readings = this.#readings;
    const newest = readings.at(-1);
    // Fewer packets than before: another session.
    if (newest && link.packets < newest.link.packets) readings.length = 0;
    readings.push({ now, link });
    while (now - readings[0].now > WINDOW_MS) readings.shift();
    // The first answer has nothing to compare with: what the whole session counted.
    const before = readings.length > 1 ? readings[0].link : {};
    const [packets, lost, again, dropped, undecrypted] = COUNTS.map((name) => link[name] - (before[name] ?? 0));
    const share = (part, whole) => (whole > 0 ? Math.min(100, (part * 100) / whole) : 0);
    return {
      loss: share(lost, packets - again + lost),
      again: share(again, packets),
      dropped,
      undecrypted,
    };
  }
}
