"""What the guide to /api prints for Swift, written down again request by request; `swift.py` sends and decodes as
that language's clients do. Tokens, rooms and co-hosts are in streaming.py."""

import base64
import hashlib
import hmac
import os
import re
import time
from urllib.parse import quote

import requests

from lib import BASE, register
from swift import decode, encode, fetch, send, uuid_string

client = register()
API_KEY = {"X-API-Key": client["apiKey"]}


# ---- Broadcasts: created, active, kept alive, completed; without any credential, as printed


def create_request(title, **metadata):
    metadata = {"createdBy": "iOS-App", "deviceModel": "iPhone", **metadata}
    return {"title": title, "visibility": "public", "tags": ["live", "broadcast"], "metadata": metadata}


def set_status(broadcast_id, status):
    return fetch("BroadcastResponse", "POST", f"/api/broadcasts/{broadcast_id}/status", {"status": status})


def listed():
    return [one.id for one in fetch("[BroadcastResponse]", "GET", "/api/broadcasts")]


create = create_request("My Live Stream", clientId=uuid_string())
broadcast = fetch("BroadcastResponse", "POST", "/api/broadcasts", create)
assert broadcast.status == "created" and broadcast.id != broadcast.streamId
assert broadcast.watchUrl.endswith(f"/streams/{broadcast.streamId}/watch"), broadcast.watchUrl
assert listed() == [], "it is not active"
assert set_status(broadcast.id, "active").status == "active"
assert listed() == [broadcast.id]
send("POST", f"/api/sessions/{broadcast.id}/heartbeat")
for count in (0, 3):
    send("POST", f"/api/broadcasts/{broadcast.id}/viewer-count", {"viewerCount": count})
answer = send("GET", f"/api/broadcasts/{broadcast.id}").json()
assert answer["viewerCount"] == 3 and "streamKey" not in answer, answer
assert set_status(broadcast.id, "completed").status == "completed"
assert listed() == []

# The whole of what is needed, in one answer.
data = fetch("BroadcastData", "POST", "/api/broadcasts", create_request("Everything", appVersion="1.0"))
assert re.fullmatch("[0-9a-f]{32}", data.streamKey), data.streamKey
assert data.rtmpUrl.startswith("rtmp://"), data.rtmpUrl
assert data.hlsUrl.endswith(f"/{data.streamId}/index.m3u8"), data.hlsUrl
assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", data.createdAt), data.createdAt
assert data.description is None and data.title == "Everything"
assert set_status(data.id, "active").status == "active"
assert set_status(data.id, "error").status == "error"


# ---- Signed requests


def make_request(method, path, body=None):
    timestamp = str(int(time.time()))
    body = encode(body) if body is not None else b""
    payload = f"{method}{path}{body.decode()}{timestamp}"
    signature = hmac.new(client["secretKey"].encode(), payload.encode(), hashlib.sha256).hexdigest()
    headers = {**API_KEY, "X-Signature": signature, "X-Timestamp": timestamp, "Content-Type": "application/json"}
    return send(method, path, body or None, headers=headers).json()


made = make_request("POST", "/api/v1/sessions", {"title": "My Live Stream", "description": "Welcome! 1/2"})
session = decode("SessionResponse", made)
assert session.description == "Welcome! 1/2"
sessions = decode("[SessionResponse]", make_request("GET", "/api/v1/sessions"))
assert [one.id for one in sessions] == [session.id]


# ---- Users and contacts


def sign_up(name, **more):
    body = {"username": name, "email": f"{name}@media.example", "password": "correct horse", **more}
    made = send("POST", "/api/users/signup", body).json()
    return made["token"], made["user"]["id"]


token, user_id = sign_up("jane", phoneNumber="+1 212 555 0147", firstName="Jane")
_, friend_id = sign_up("john", phoneNumber="(416) 555-0123")

contacts = [
    {"phoneNumber": "416-555-0123", "displayName": "John Doe", "firstName": "John", "lastName": "Doe",
     "email": "john@media.example"},
    {"phoneNumber": "+44 20 7946 0958", "displayName": None, "firstName": "", "lastName": "", "email": None},
]
synced = fetch("ContactsSyncResponse", "POST", "/api/contacts/sync", {"contacts": contacts}, token=token)
assert synced.success and synced.totalContacts == 2 and synced.pubfuseUsers == 1
friend, stranger = synced.contacts
assert friend.isPubfuseUser and friend.pubfuseUserId == friend_id and not friend.isFollowing
assert not stranger.isPubfuseUser and stranger.pubfuseUserId is None

follow = f"/api/contacts/{uuid_string(friend.id)}/follow"
send("POST", follow, token=token)
send("POST", follow, token=token, wanted=409)
send("POST", f"/api/contacts/{uuid_string(stranger.id)}/follow", token=token, wanted=400)
send("DELETE", follow, token=token)
send("DELETE", follow, token=token)

changes = {"phoneNumber": None, "displayName": "Jane S.", "firstName": None, "lastName": None, "email": None}
path = f"/api/contacts/{friend.id}"
updated = fetch("ContactResponse", "PUT", path, changes, token=token, headers={"Content-Type": "application/json"})
assert updated.displayName == "Jane S." and updated.lastName == "Doe" and updated.phoneNumber == "416-555-0123"

profile = fetch("FullUserProfileResponse", "GET", "/api/users/profile/full", token=token)
assert profile.username == "jane" and profile.followingCount == 0 and profile.isActive
query = quote("john@media.example", safe="!$&'()*+,-./:;=?@_~")
found = fetch("[UserSearchResponse]", "GET", f"/api/users/search?q={query}&limit=20", token=token)
assert [one.id for one in found] == [friend_id] and not found[0].isFollowing
fetch("[UserSearchResponse]", "GET", "/api/users/search?q=a%20b&limit=20", token=token)

update = {"username": "jane.doe", "firstName": None, "lastName": "Doe", "avatarUrl": "https://media.example/a.png",
          "email": None, "phoneNumber": None}
send("PUT", "/api/users/profile", update, token=token, headers={"Content-Type": "application/json"})
profile = fetch("FullUserProfileResponse", "GET", "/api/users/profile/full", token=token)
assert (profile.username, profile.firstName, profile.lastName) == ("jane.doe", "Jane", "Doe")
assert profile.avatarUrl == "https://media.example/a.png" and profile.email == "jane@media.example"
words = {"currentPassword": "correct horse", "newPassword": "battery staple"}
send("POST", "/api/users/change-password", words, token=token)
send("POST", f"/api/users/follow/{friend_id}", token=token)
send("DELETE", f"/api/users/follow/{friend_id}", token=token)
# Who left out the phone number has an empty one: the model has no room for null.
plain, _ = sign_up("plain")
assert fetch("FullUserProfileResponse", "GET", "/api/users/profile/full", token=plain).phoneNumber == ""


# ---- Files


def profile_image():
    return {
        "name": "profile-photo.jpg", "description": "Profile picture", "mimeType": "image/jpeg",
        "filePathOriginal": f"/storage/original/profile-{uuid_string()}.jpg", "forContactID": None,
        "filePathThumbnail": f"/storage/thumb/profile-{uuid_string()}.jpg", "filePathSmall": None,
        "filePathMedium": None, "filePathLarge": None, "fileSizeBytes": 245890, "categoryName": "profile",
        "tags": ["profilepic", "avatar"], "location": None, "forMessageId": None, "forCallId": None,
        "forBroadcastId": None,
    }


request = profile_image()
file = fetch("File", "POST", "/api/files", request, token=token)
assert file.userID == user_id and file.filePathOriginal == request["filePathOriginal"] and file.tags
assert fetch("File", "GET", f"/api/files/profileimage/foruser/{user_id}", token=token).id == file.id
path = f"/api/files/foruser/{user_id}"
for query, wanted in (("", 1), ("?category=profile", 1), ("?tag=avatar", 1), ("?category=profile&tag=x", 0)):
    assert len(fetch("[File]", "GET", path + query, token=token)) == wanted, query
update = {"name": None, "description": "Older", "tags": None, "location": "Oslo", "categoryName": None}
json = {"Content-Type": "application/json"}
file = fetch("File", "PUT", f"/api/files/{file.id}", update, token=token, headers=json)
assert (file.description, file.location, file.categoryName) == ("Older", "Oslo", "profile")
send("DELETE", f"/api/files/{file.id}", token=token, wanted=204)
send("GET", f"/api/files/profileimage/foruser/{user_id}", token=token, wanted=404)

# A poster: its bytes as a form, its paths behind the base URL and one more slash.
mine = fetch("BroadcastData", "POST", "/api/broadcasts", create_request("With a poster"), token=token)
pixel = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
form = requests.Request("POST", BASE, files={"file": ("poster.png", pixel, "image/png")}, data={
    "name": "poster.png", "description": "Poster for my live stream", "mimeType": "image/png",
    "categoryName": "poster", "tags": ["poster"], "forBroadcastId": mine.id,
}).prepare()
poster = fetch("File", "POST", "/api/files", form.body, token=token,
               headers={"Content-Type": form.headers["Content-Type"]})
assert poster.forBroadcastId == mine.id and poster.description == "Poster for my live stream"
shown = fetch("[File]", "GET", f"/api/files/forbroadcast/{mine.id}", token=token)
assert [one.id for one in shown] == [poster.id]
image_path = poster.filePathThumbnail or poster.filePathSmall or poster.filePathMedium or poster.filePathOriginal
assert send("GET", f"/{image_path}").headers["Content-Type"].startswith("image/")
assert send("GET", f"/{poster.filePathOriginal}").content == pixel

# ---- Scheduled events: from an hour from now for half an hour, as printed


def date(seconds_from_now):
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + seconds_from_now))


request = {
    "scheduledStartTime": date(3600), "scheduledEndTime": date(3600 + 1800), "title": "My Scheduled Event",
    "description": "Event description", "repeatMode": "none", "repeatUntilEnd": False,
}
send("POST", "/api/events/schedule", request, wanted=401)
event = fetch("PFEvent", "POST", "/api/events/schedule", request, token=token)
assert (event.status, event.userId) == ("scheduled", user_id)
assert event.scheduledEndTime == request["scheduledEndTime"]
assert [one.id for one in fetch("[PFEvent]", "GET", "/api/events")] == [event.id]
assert fetch("PFEvent", "GET", f"/api/events/{event.id}").title == "My Scheduled Event"
update = {
    "scheduledStartTime": date(7200), "scheduledEndTime": date(7200 + 1800), "title": "Updated Title",
    "description": "Updated description", "repeatMode": "daily", "repeatUntilEnd": True,
}
event = fetch("PFEvent", "PUT", f"/api/events/{event.id}", update, token=token)
assert (event.title, event.repeatMode, event.repeatUntilEnd) == ("Updated Title", "daily", True)
assert event.scheduledStartTime == update["scheduledStartTime"]
# Upload content for an event, start it by hand, and where it is
edge = uuid_string()
film = (
    f'--{edge}\r\nContent-Disposition: form-data; name="file"; filename="video.mp4"\r\n'
    "Content-Type: video/mp4\r\n\r\n"
).encode() + open(os.environ["FILM"], "rb").read() + f"\r\n--{edge}--\r\n".encode()
form = {"Content-Type": f"multipart/form-data; boundary={edge}"}
event = fetch("PFEvent", "POST", f"/api/events/{event.id}/upload", film, token=token, headers=form)
sync = fetch("PFEventSync", "GET", f"/api/events/{event.id}/sync")
assert (sync.currentPosition, sync.playbackStartedAt) == (0, None)
event = fetch("PFEvent", "POST", f"/api/events/{event.id}/start-video", token=token)
assert event.status == "active" and event.broadcastId and event.playbackStartedAt
sync = fetch("PFEventSync", "GET", f"/api/events/{event.id}/sync")
assert sync.playbackStartedAt == event.playbackStartedAt
response = fetch("PFDeleteEventResponse", "DELETE", f"/api/events/{event.id}", token=token)
assert response.success
send("GET", f"/api/events/{event.id}", wanted=404)

send("DELETE", "/api/users/profile", token=token)
send("GET", "/api/users/profile/full", token=token, wanted=401)
print("all of them work")
