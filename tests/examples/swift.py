"""What a client built with URLSession and Codable sends and reads. In: values and the models below. Out: the same
bytes and headers on the wire, and the same refusals of what comes back.

Encoding leaves out what is nil, and writes `\\/`; UUIDs have capital letters. Decoding fails for a field without
`?` that is missing, null or of another type. Dates are read by the strategy `iso8601`, which knows no fraction.
"""

import json
import re
import uuid

import requests

from lib import BASE, DEADLINE_S

# Models as the guide declares them; where it only uses one, the fields that it uses.
MODELS = """
BroadcastResponse: id String, streamId String, title String, status String, createdAt String, watchUrl String
BroadcastData: id String, streamId String?, title String, description String?, status String, streamKey String?,
    rtmpUrl String?, hlsUrl String?, watchUrl String?, createdAt String
SessionResponse: id String, streamId String, title String, description String?, status String, createdAt String
ContactsSyncResponse: success Bool, message String, contacts [ContactResponse], totalContacts Int, pubfuseUsers Int
ContactResponse: id UUID, phoneNumber String, displayName String?, firstName String?, lastName String?,
    email String?, isPubfuseUser Bool, pubfuseUserId UUID?, isFollowing Bool, isFollowedBy Bool, createdAt Date,
    updatedAt Date
FullUserProfileResponse: id UUID, username String, email String, phoneNumber String, firstName String?,
    lastName String?, avatarUrl String?, isActive Bool, emailVerified Bool, phoneVerified Bool, appIdName String,
    followerCount Int, followingCount Int, connectionCount Int, createdAt Date, updatedAt Date
UserSearchResponse: id UUID, username String, email String, firstName String?, lastName String?, avatarUrl String?,
    isFollowing Bool
File: id String, userID String, forContactID String?, name String, description String?, mimeType String,
    filePathOriginal String, filePathThumbnail String?, filePathSmall String?, filePathMedium String?,
    filePathLarge String?, fileSizeBytes Int, categoryName String?, tags [String]?, location String?,
    forMessageId String?, forCallId String?, forBroadcastId String?, createdAt Date?, updatedAt Date?
CoHostPermissions: canInviteOthers Bool, canRemoveOthers Bool, canControlLayout Bool, canModerateChat Bool,
    canTriggerAds Bool, canAccessAnalytics Bool
CoHost: id String, userName String, permissions CoHostPermissions
CoHostResponse: success Bool, message String, coHost CoHost?, inviteToken String?
LiveKitTokenResponse: token String, room String, serverUrl String
PFEvent: id String, title String, description String?, scheduledStartTime Date, scheduledEndTime Date?,
    repeatMode String, repeatUntilEnd Bool, status String, userId String?, broadcastId String?, streamId String?,
    hlsUrl String?, watchUrl String?, playbackStartedAt Date?, createdAt Date?, updatedAt Date?
PFEventSync: currentPosition Double, playbackStartedAt Date?
PFDeleteEventResponse: success Bool
MultiHostResponse: coHosts [CoHost], gridLayout GridLayoutConfig
GridLayoutConfig: maxHosts Int, gridColumns Int, gridRows Int, aspectRatio String, showNames Bool, showControls Bool
"""


def _models():
    found = {}
    for entry in re.split(r"\n(?=\w)", MODELS.strip()):
        name, fields = entry.split(":")
        found[name] = dict(field.split() for field in fields.split(","))
    return found


_MODELS = _models()
_DATE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")
_PLAIN = {
    "Bool": lambda value: isinstance(value, bool),
    "Date": lambda value: isinstance(value, str) and _DATE.fullmatch(value),
    "Double": lambda value: isinstance(value, (int, float)) and not isinstance(value, bool),
    "Int": lambda value: isinstance(value, int) and not isinstance(value, bool),
    "String": lambda value: isinstance(value, str),
    "UUID": lambda value: isinstance(value, str) and str(uuid.UUID(value)) == value.lower(),
}


class Model:
    """A decoded value; a field that is absent reads as None."""

    def __init__(self, fields):
        self.__dict__.update(fields)


def decode(kind, value, place=None):
    """The JSON value as a `kind`; fails where JSONDecoder would."""
    place = place or kind
    if kind.endswith("?"):
        return None if value is None else decode(kind[:-1], value, place)
    if kind.startswith("["):
        assert isinstance(value, list), f"{place} is no array: {value!r}"
        return [decode(kind[1:-1], one, f"{place}[{at}]") for at, one in enumerate(value)]
    if kind in _PLAIN:
        assert _PLAIN[kind](value), f"{place} is no {kind}: {value!r}"
        return value
    assert isinstance(value, dict), f"{place} is no object: {value!r}"
    fields = _MODELS[kind].items()
    return Model({name: decode(of, value.get(name), f"{place}.{name}") for name, of in fields})


def encode(fields):
    """What JSONEncoder makes of a structure."""
    def without_nil(value):
        if isinstance(value, dict):
            return {key: without_nil(one) for key, one in value.items() if one is not None}
        return [without_nil(one) for one in value] if isinstance(value, list) else value

    text = json.dumps(without_nil(fields), ensure_ascii=False, separators=(",", ":"))
    return text.replace("/", "\\/").encode()


def uuid_string(text=None):
    """What a UUID looks like in text."""
    return str(uuid.UUID(text) if text else uuid.uuid4()).upper()


def send(method, path, body=None, *, token=None, headers=None, wanted=200):
    """A request, which must be answered with the code that the guide's clients compare with."""
    headers = dict(headers or {})
    # Some send it without a body, too.
    if body is not None or method == "POST":
        headers.setdefault("Content-Type", "application/json")
    if token is not None:
        headers["Authorization"] = f"Bearer {token}"
    data = encode(body) if isinstance(body, dict) else body
    answer = requests.request(method, BASE + path, headers=headers, data=data, timeout=DEADLINE_S)
    assert answer.status_code == wanted, f"{method} {path}: {answer.status_code} {answer.text}"
    return answer


def fetch(kind, method, path, *arguments, **options):
    """The same, decoded."""
    return decode(kind, send(method, path, *arguments, **options).json())
