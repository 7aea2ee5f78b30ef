// Requests of the guide to /api from a page of another origin, in headless Chromium: what browsers ask beforehand
// is answered, and the page may read what comes back.

import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { once } from "node:events";
import { createServer } from "node:http";
import { register, require } from "./lib.mjs";

const { chromium } = require("playwright-core");
const { BASE } = process.env;
const { apiKey, secretKey } = await register();

const body = JSON.stringify({ title: "My Stream" });
const timestamp = Math.floor(Date.now() / 1000).toString();
const signature = createHmac("sha256", secretKey).update(`POST/api/v1/sessions${body}${timestamp}`).digest("hex");

const site = createServer((_, response) => response.setHeader("Content-Type", "text/html").end("<!doctype html>"));
site.listen(0, "127.0.0.1");
await once(site, "listening");
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync"],
});
try {
  const page = await browser.newPage();
  const said = [];
  page.on("console", (message) => said.push(message.text()));
  await page.goto(`http://127.0.0.1:${site.address().port}/`);
  const seen = await page.evaluate(async ({ base, apiKey, signature, timestamp, body }) => {
    const session = await fetch(`${base}/api/v1/sessions`, {
      method: 'POST',
      headers: {
        'X-API-Key': apiKey,
        'X-Signature': signature,
        'X-Timestamp': timestamp,
        'Content-Type': 'application/json'
      },
      body: body
    }).then(response => response.json());

    const json = { 'Content-Type': 'application/json', 'X-API-Key': apiKey };
    const jane = { username: 'jane', email: 'jane@media.example', password: 'correct horse' };
    const { token } = await fetch(`${base}/api/users/signup`, {
      method: 'POST',
      headers: json,
      body: JSON.stringify(jane)
    }).then(response => response.json());
    const updates = await fetch(`${base}/api/users/profile`, {
      method: 'PUT',
      headers: {
        'Authorization': `Bearer ${token}`,
        'Content-Type': 'application/json'
      },
      body: JSON.stringify({ firstName: 'Jane' })
    }).then(response => response.json());
    const form = new FormData();
    form.append('file', new Blob(['<svg/>'], { type: 'image/png' }), 'a.png');
    const refused = await fetch(`${base}/api/files`, {
      method: 'POST',
      headers: { 'Authorization': `Bearer ${token}` },
      body: form
    });

    const chat = new WebSocket(`${base.replace('http', 'ws')}/ws/streams/${session.streamId}/chat?token=${token}`);
    const told = await new Promise((resolve, reject) => {
      chat.onopen = () => chat.send(JSON.stringify({ type: 'message', message: 'hi', userName: 'Jo' }));
      chat.onmessage = ({ data }) => resolve(JSON.parse(data));
      chat.onerror = reject;
    });
    const removed = await fetch(`${base}/api/users/profile`, {
      method: 'DELETE',
      headers: { 'Authorization': `Bearer ${token}` }
    });
    return { session, updates, refused: [refused.status, await refused.json()], told, removed: removed.status };
  }, { base: BASE, apiKey, signature, timestamp, body });
  assert.equal(seen.session.title, "My Stream");
  assert.equal(seen.updates.firstName, "Jane");
  assert.equal(seen.refused[0], 415);
  assert.equal(seen.refused[1].success, false, "a refusal can be read");
  assert.equal(seen.told.message, "hi");
  assert.equal(seen.removed, 200);
  // Chromium tells of the answer that is no good, and of nothing else.
  assert.equal(said.length, 1, said.join("\n"));
} finally {
  await browser.close();
  site.close();
}
