// What the guide to /api prints of streaming for JavaScript, up to where a room is connected to.

import assert from "node:assert/strict";
import { answer, register } from "./lib.mjs";

const { apiKey } = await register();

/** What a LiveKit server reads of a token. */
function claims({ token }) {
  assert.match(token, /^livekit_/);
  return JSON.parse(Buffer.from(token.split(".")[1], "base64url"));
}

// ---- From a provider to a token

{
  // 1. Get streaming provider configuration
  const providers = await fetch('/api/streaming/providers').then(r => r.json());
  const activeProvider = providers.find(p => p.isConfigured);
  // 2. Create streaming session
  const session = await fetch('/api/streaming/sessions', {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify({
      title: 'My Live Stream',
      visibility: 'public',
      maxParticipants: 1000
    })
  }).then(r => r.json());
  assert.equal(answer.status, 200);
  // 3. Generate LiveKit JWT access token
  const token = await fetch(`/api/streaming/sessions/${session.id}/token`, {
    method: 'POST',
    headers: {
      'Content-Type': 'application/json',
      'X-API-Key': apiKey
    },
    body: JSON.stringify({
      userId: 'user-123',
      role: 'publisher'
    })
  }).then(r => r.json());
  assert.equal(answer.status, 200, JSON.stringify(token));
  // 4. Connect to LiveKit (if provider is LiveKit)
  assert.equal(activeProvider.provider.rawValue === 'livekit', true);
  assert.match(token.serverUrl, /^wss?:\/\//);
  const { sub, video } = claims(token);
  assert.equal(sub, "user-123");
  assert.equal(video.room, session.streamId);
  assert.deepEqual([video.roomJoin, video.canPublish, video.canSubscribe], [true, true, true]);
}

// ---- What the watch page does

const made = await fetch("/api/v1/sessions", {
  method: "POST",
  headers: { "Content-Type": "application/json", "X-API-Key": apiKey },
  body: JSON.stringify({ title: "My Live Stream" }),
});
const shown = await made.json();
const getSessionIdFromUrl = () => new URL(shown.watchUrl).pathname.split("/")[2];
const API_KEY = apiKey;
const USER_UUID = "550e8400-e29b-41d4-a716-446655440000";
{
  const sessionId = getSessionIdFromUrl();
  // 1) Provider
  const providers = await fetch('/api/streaming/providers').then(r => r.json());
  const livekit = providers.find(p => p.id === 'livekit' && p.isConfigured);
  // 2) Token (server returns: { token, room, serverUrl, expiresAt })
  const tRes = await fetch(`/api/streaming/sessions/${sessionId}/token`, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json', 'X-API-Key': API_KEY },
    body: JSON.stringify({ userId: USER_UUID, role: 'subscriber' })
  });
  const t = await tRes.json();
  // 3) Connect
  const url = t.serverUrl || livekit.configuration.url;
  assert.equal(tRes.status, 200, JSON.stringify(t));
  assert.equal(url, livekit.configuration.url, "one names what the other names");
  assert.equal(t.room, shown.streamId);
  const { video, exp } = claims(t);
  assert.notEqual(video.canPublish, true);
  assert.equal(new Date(t.expiresAt).getTime(), exp * 1000);
}
