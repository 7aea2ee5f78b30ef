// What printed JavaScript needs around it. In: BASE and ADMIN_KEY in the environment.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

const { BASE, ADMIN_KEY } = process.env;
/** What the players' tests have installed. */
export const require = createRequire(new URL("../players/package.json", import.meta.url));

/** Browsers have one, Node.js since version 22. */
export const WebSocket = globalThis.WebSocket ?? require("playwright-core/lib/utilsBundle").ws;

/** The last answer that `fetch` gave. */
export let answer;

// As on a page of the gateway, whichever host is printed.
const { fetch } = globalThis;
globalThis.fetch = async (resource, options) => {
  const url = new URL(resource, "https://media.example");
  assert.equal(url.host, "media.example");
  answer = await fetch(BASE + url.pathname + url.search, options);
  return answer;
};

/** Makes an SDK client as the guide prints it. */
export async function register() {
  const response = await globalThis.fetch("/api/admin/sdk-clients", {
    method: "POST",
    headers: { "Content-Type": "application/json", "X-Admin-Key": ADMIN_KEY },
    body: readFileSync(new URL("registration.json", import.meta.url), "utf8"),
  });
  assert.equal(response.status, 200);
  const made = await response.json();
  assert.equal(made.success, true);
  assert.match(made.apiKey, /^pk_[0-9A-F]{32}$/);
  assert.match(made.secretKey, /^sk_[0-9A-F]{32}$/);
  return made;
}

/** A call that the guide names without a sample. Its answer's JSON. */
export async function call(method, path, headers, body) {
  const response = await globalThis.fetch(path, {
    method,
    headers: { "Content-Type": "application/json", ...headers },
    body: body && JSON.stringify(body),
  });
  const text = await response.text();
  assert.equal(response.status, 200, `${method} ${path}: ${response.status} ${text}`);
  return JSON.parse(text);
}

/** The frames of a socket, one after the other. */
export class Frames {
  #waiting = [];
  #come = [];

  constructor(path) {
    this.socket = new WebSocket(BASE.replace("http", "ws") + path);
    this.socket.onmessage = ({ data }) => {
      const waiting = this.#waiting.shift();
      waiting ? waiting(JSON.parse(data)) : this.#come.push(JSON.parse(data));
    };
  }

  opened() {
    return new Promise((resolve, reject) => {
      this.socket.onopen = resolve;
      this.socket.onerror = reject;
    });
  }

  next() {
    return this.#come.length ? this.#come.shift() : new Promise((resolve) => this.#waiting.push(resolve));
  }
}
