// Scheduled events from JavaScript, as a page of the guide's would: the file as a form, then everybody follows one
// position. In: FILM, a short one.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { answer, call, register } from "./lib.mjs";

const { apiKey } = await register();
const signup = { username: "ann", email: "ann@media.example", password: "annspass" };
const { token } = await call("POST", "/api/users/signup", { "X-API-Key": apiKey }, signup);
const bearer = { Authorization: `Bearer ${token}` };
const inAnHour = new Date(Date.now() + 3600 * 1000);

const event = await call("POST", "/api/events/schedule", bearer, {
  scheduledStartTime: inAnHour,
  scheduledEndTime: new Date(inAnHour.getTime() + 1800 * 1000),
  title: "My Scheduled Event",
  repeatMode: "none",
  repeatUntilEnd: false,
});
assert.equal(event.status, "scheduled");

const form = new FormData();
form.append("file", new Blob([readFileSync(process.env.FILM)], { type: "video/mp4" }), "video.mp4");
const sent = await fetch(`/api/events/${event.id}/upload`, { method: "POST", headers: bearer, body: form });
const uploaded = await sent.json();
assert.equal(sent.status, 200, JSON.stringify(uploaded));
assert.equal(uploaded.file.name, "video.mp4");
assert.ok(["uploaded", "preparing", "prepared"].includes(uploaded.file.state), uploaded.file.state);

// The sync algorithm, as it is printed: currentPosition = initialPosition + (now - playbackStartedAt).
const started = await call("POST", `/api/events/${event.id}/start-video`, bearer);
assert.equal(started.status, "active");
const position = async () => {
  const sync = await call("GET", `/api/events/${event.id}/sync`);
  const passed = (Date.parse(sync.serverTime) - Date.parse(sync.playbackStartedAt)) / 1000;
  const computed = Math.max(0, sync.initialPosition + passed);
  const most = sync.duration ?? Infinity;
  assert.ok(Math.abs(Math.min(computed, most) - sync.currentPosition) < 0.002, JSON.stringify(sync));
  return sync;
};
let sync = await position();
while (!sync.isPlaying) sync = await position();
assert.equal(sync.status, "active");

const taken = await call("POST", `/api/events/${event.id}/takeover`, bearer);
assert.equal(taken.streamId, sync.streamId);
assert.ok(taken.streamKey && taken.rtmpUrl, "where to publish");
const listed = await call("GET", "/api/events?status=active");
assert.deepEqual(listed.map(({ id }) => id), [event.id]);
assert.ok(!JSON.stringify(listed).includes(taken.streamKey), "the key is its owner's");
assert.equal((await call("DELETE", `/api/events/${event.id}`, bearer)).success, true);
await fetch(`/api/events/${event.id}`);
assert.equal(answer.status, 404);
