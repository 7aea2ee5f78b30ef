"""What the guide to /api prints of rooms and co-hosts for Swift, up to where a room is connected to."""

import base64
import json

from lib import register
from swift import decode, fetch, send, uuid_string

DEFAULT = dict.fromkeys(
    ("canInviteOthers", "canRemoveOthers", "canControlLayout", "canModerateChat", "canTriggerAds",
     "canAccessAnalytics"), False)
MODERATOR = {**dict.fromkeys(DEFAULT, True), "canTriggerAds": False}

key = {"X-API-Key": register()["apiKey"]}


def livekit_token(stream_id, role):
    body = {"userId": uuid_string(), "role": role}
    token = fetch("LiveKitTokenResponse", "POST", f"/api/streaming/sessions/{stream_id}/token", body, headers=key)
    assert token.token.startswith("livekit_") and token.serverUrl.startswith("ws"), token.serverUrl
    part = token.token.split(".")[1]
    claims = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    assert claims["sub"] == body["userId"] and claims["video"]["room"] == token.room
    assert json.loads(claims["metadata"])["role"] == role
    return token, claims["video"]


def join(stream_id, user_name, wanted=200):
    body = {"userName": user_name, "permissions": DEFAULT}
    path = f"/api/streaming/sessions/{stream_id}/join-cohost"
    return fetch("CoHostResponse", "POST", path, body, wanted=wanted)


# ---- A viewer

create = {"title": "My Live Stream", "visibility": "public", "tags": ["live", "broadcast"], "metadata": {}}
broadcast = fetch("BroadcastData", "POST", "/api/broadcasts", create)
token, video = livekit_token(broadcast.streamId, "subscriber")
assert token.room == broadcast.streamId and video["canSubscribe"] and not video.get("canPublish")

# ---- The whole of a broadcast: made, published, active, kept alive, completed

token, video = livekit_token(broadcast.streamId, "publisher")
assert token.room == broadcast.streamId and video["canPublish"]
refused = join(broadcast.streamId, "Too Early", wanted=409)
assert not refused.success and refused.message
status = f"/api/broadcasts/{broadcast.id}/status"
send("POST", status, {"status": "active"})
send("POST", f"/api/sessions/{broadcast.id}/heartbeat")
send("POST", f"/api/broadcasts/{broadcast.id}/viewer-count", {"viewerCount": 1})

# ---- Co-hosts

first = join(broadcast.streamId, "iOS User")
assert first.success and first.message, first.message
assert first.coHost.userName == "iOS User" and first.coHost.permissions.__dict__ == DEFAULT
for name in ("Second", "Third"):
    assert join(broadcast.streamId, name).success
refused = join(broadcast.streamId, "Fifth Host", wanted=409)
assert not refused.success and refused.message and refused.coHost is None

session = f"/api/streaming/sessions/{broadcast.streamId}"
hosts = fetch("MultiHostResponse", "GET", f"{session}/multihost")
assert [one.userName for one in hosts.coHosts] == ["iOS User", "Second", "Third"]
assert hosts.gridLayout.__dict__ == {
    "maxHosts": 4, "gridColumns": 2, "gridRows": 2, "aspectRatio": "16:9", "showNames": True, "showControls": True}
for method in ("PUT", "PATCH"):
    changed = fetch("CoHostResponse", method, f"{session}/cohosts/{first.coHost.id}", {"permissions": MODERATOR},
                    headers={"Content-Type": "application/json"})
    assert changed.success and changed.coHost.permissions.__dict__ == MODERATOR, method
metrics = send("GET", f"{session}/metrics").json()
assert metrics["coHostCount"] == 3 and metrics["viewerCount"] == 1, metrics
assert send("DELETE", f"{session}/cohosts/{first.coHost.id}").json()["success"] is True
hosts = fetch("MultiHostResponse", "GET", f"{session}/multihost")
assert [one.userName for one in hosts.coHosts] == ["Second", "Third"]

assert decode("BroadcastResponse", send("POST", status, {"status": "completed"}).json()).status == "completed"
print("all of them work")
