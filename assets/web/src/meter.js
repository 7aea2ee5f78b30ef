// Rebuffering as a viewer feels it: the picture stood still although it should have moved.

/** Counts interruptions of `video`. Start-up, pauses and the moment after a seek do not count. */
export class Meter {
  count = 0;
  totalMs = 0;
  #begun = false;
  #since = null;
  #quietUntil = 0;

  constructor(video) {
    this.video = video;
    video.addEventListener('playing', () => {
      this.#begun = true;
      this.#end();
    });
    video.addEventListener('timeupdate', () => {
      if (this.#since !== null && video.readyState >= 3 && !video.seeking) this.#end();
    });
    video.addEventListener('seeking', () => {
      this.#quietUntil = performance.now() + 1500;
    });
    video.addEventListener('pause', () => this.#end());
    video.addEventListener('waiting', () => {
      if (!this.#begun || video.paused || video.seeking || performance.now() < this.#quietUntil) return;
      this.begin();
    });
  }

  /** An interruption begins now (also called when the player has to start anew). */
  begin() {
    if (this.#since !== null || !this.#begun) return;
    this.count += 1;
    this.#since = performance.now();
  }

  /** Milliseconds spent waiting, an interruption that goes on included. */
  waitedMs() {
    return this.totalMs + (this.#since === null ? 0 : performance.now() - this.#since);
  }

  /** The viewer asked for something that starts the player anew: the wait for it is not an interruption. */
  forgive() {
    if (this.#since === null) this.#begun = false;
  }

  #end() {
    if (this.#since === null) return;
    this.totalMs += performance.now() - this.#since;
    this.#since = null;
  }
}
