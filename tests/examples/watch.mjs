// Addresses of watch pages, as the guide to /api prints them.

import assert from "node:assert/strict";
import { call, register } from "./lib.mjs";

const { apiKey } = await register();
const shown = await call("POST", "/api/v1/sessions", { "X-API-Key": apiKey }, { title: "My Live Stream" });
assert.equal(new URL(shown.watchUrl).pathname, `/streams/${shown.streamId}/watch`);
for (const id of [shown.streamId, shown.shortId]) {
  for (const path of [`/streams/${id}/watch`, `/watch/${id}`]) {
    const page = await fetch(path);
    assert.equal(page.status, 200, path);
    assert.match(page.headers.get("Content-Type"), /^text\/html/);
    assert.match(await page.text(), /<!doctype html>/i);
  }
}
