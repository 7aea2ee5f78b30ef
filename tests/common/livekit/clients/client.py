"""A participant by LiveKit's own library (libwebrtc), driven by tests over its standard input and output.

    client.py view URL       [--no-subscribe] [--clock W]
    client.py publish URL    [--width W --height H --fps N --kbps N --simulcast --no-picture --no-sound]

The token is the first line of standard input; commands follow, a JSON object a line: {"do": "leave"},
{"do": "quality", "value": 0..2}, {"do": "subscribe", "value": bool}, {"do": "data", "value": text},
{"do": "mute", "value": bool}, {"do": "unpublish"}. Standard output is a JSON object a line; each has "event"
and "at", the time in seconds. A publisher shows a white picture and sounds a tone for the first 200 ms of each
second of its clock; a viewer says "flash" and "beep" when they begin, and "stats" once a second.

With --clock the picture is that of tests/players/source.mjs, drawn W wide: the time in it is read of every frame, and
the ages in milliseconds are in "stats". There the flash is a square in the corner at the bottom right.
"""
import argparse
import asyncio
import json
import sys
import time

import numpy as np
from livekit import rtc

RATE = 48000
SLICE = RATE // 100
MARK = 0.2  # how long flash and beep last, in seconds
EVERY = 1.0
# The clock in a picture (tests/players/pattern.mjs): squares in a row, with bits most significant first.
BLOCKS, BLOCK, BITS = 32, 16, 28
MODULUS = 1 << BITS


def say(event, **more):
    sys.stdout.write(json.dumps({"event": event, "at": time.time(), **more}) + "\n")
    sys.stdout.flush()


class Seen:
    """What came of one track."""

    def __init__(self, track, identity):
        self.track, self.identity = track, identity
        self.frames = 0
        self.size = [0, 0]
        self.is_on = False
        self.ages = []
        self.unread = 0

    def mark(self, name, is_on):
        if is_on and not self.is_on:
            say(name, identity=self.identity)
        self.is_on = is_on


def age(luma, drawn_width):
    """How old a picture is by the clock in it, in milliseconds; None where it cannot be read."""
    now = time.time() * 1000
    side = BLOCK * luma.shape[1] / drawn_width
    at = ((np.arange(BLOCKS) + 0.5) * side).astype(int)
    bits = [int(bit) for bit in luma[int(side / 2), at] >= 128]
    if bits[:2] != [1, 0] or sum(bits[2:31:2]) % 2 or sum(bits[3:32:2]) % 2:
        return None
    number = sum(bit << (BITS - 1 - index) for index, bit in enumerate(bits[2: 2 + BITS]))
    return round((now - number) % MODULUS)


async def watch(seen, drawn_width):
    async for event in rtc.VideoStream(seen.track):
        frame = event.frame
        seen.frames += 1
        seen.size = [frame.width, frame.height]
        luma = np.frombuffer(frame.data, np.uint8)[: frame.width * frame.height]
        if drawn_width:
            luma = luma.reshape(frame.height, frame.width)
            known = age(luma, drawn_width)
            if known is None:
                seen.unread += 1
            elif len(seen.ages) < 1000:
                seen.ages.append(known)
            corner = luma[frame.height * 7 // 8: frame.height * 15 // 16, frame.width * 15 // 16: -8]
            seen.mark("flash", bool(corner.mean() > 128))
        else:
            seen.mark("flash", bool(luma[:: 97].mean() > 180))
        if seen.frames == 1:
            say("picture", identity=seen.identity, width=frame.width, height=frame.height)


async def listen(seen):
    async for event in rtc.AudioStream(seen.track, sample_rate=RATE, num_channels=1):
        samples = np.frombuffer(event.frame.data, np.int16).astype(np.float32)
        seen.frames += 1
        seen.mark("beep", bool(np.sqrt((samples * samples).mean()) > 2000))
        if seen.frames == 1:
            say("sound", identity=seen.identity)


async def statistics(tracks):
    while True:
        await asyncio.sleep(1)
        for seen in list(tracks.values()):
            figures = {}
            try:
                for one in await asyncio.wait_for(seen.track.get_stats(), 5):
                    if one.WhichOneof("stats") == "inbound_rtp":
                        inbound = one.inbound_rtp.inbound
                        figures = {
                            "decoded": inbound.frames_decoded, "keys": inbound.key_frames_decoded,
                            "dropped": inbound.frames_dropped, "freezes": inbound.freeze_count,
                            "plis": inbound.pli_count, "nacks": inbound.nack_count,
                            "concealed": inbound.concealed_samples,
                            "samples": inbound.total_samples_received,
                            "packets": one.inbound_rtp.received.packets_received,
                            "lost": one.inbound_rtp.received.packets_lost,
                            "buffer_ms": round(1000 * inbound.jitter_buffer_delay
                                               / max(1, inbound.jitter_buffer_emitted_count), 1),
                        }
            except Exception as error:  # the track has ended
                figures = {"error": repr(error)}
            if seen.ages or seen.unread:
                figures |= {"ages": seen.ages, "unread": seen.unread}
                seen.ages, seen.unread = [], 0
            kind = "video" if seen.track.kind == rtc.TrackKind.KIND_VIDEO else "audio"
            say("stats", identity=seen.identity, kind=kind, frames=seen.frames, width=seen.size[0],
                height=seen.size[1], **figures)


def pictures(width, height):
    """A grey picture that moves, and a white one, as I420."""
    x = np.arange(width, dtype=np.uint16)[None, :]
    y = np.arange(height, dtype=np.uint16)[:, None]
    chroma = bytes([128]) * (width * height // 2)
    moving = [(((x + y + 4 * n) % 120) + 20).astype(np.uint8).tobytes() + chroma for n in range(30)]
    return moving, bytes([235]) * (width * height) + chroma


async def show(source, options, begin):
    moving, white = pictures(options.width, options.height)
    number = 0
    while True:
        due = begin + number / options.fps
        await asyncio.sleep(max(0, due - time.monotonic()))
        data = white if (number / options.fps) % EVERY < MARK else moving[number % len(moving)]
        frame = rtc.VideoFrame(options.width, options.height, rtc.VideoBufferType.I420, data)
        source.capture_frame(frame, timestamp_us=int(due * 1e6))
        number += 1
        late = int((time.monotonic() - begin) * options.fps) - number
        number += max(0, late - options.fps)  # a machine that stood still does not catch up


async def sound(source, begin):
    number = 0
    when = np.arange(SLICE) / RATE
    while True:
        due = begin + number / 100
        await asyncio.sleep(max(0, due - time.monotonic()))
        at = (number / 100) % EVERY
        wave = np.sin(2 * np.pi * 1000 * (at + when)) * (12000 if at < MARK else 0)
        frame = rtc.AudioFrame(wave.astype(np.int16).tobytes(), RATE, 1, SLICE)
        await source.capture_frame(frame)
        number += 1
        late = int((time.monotonic() - begin) * 100) - number
        number += max(0, late - 100)


async def publish(room, options, tasks):
    begin = time.monotonic() + 0.5
    if not options.no_picture:
        source = rtc.VideoSource(options.width, options.height)
        track = rtc.LocalVideoTrack.create_video_track("picture", source)
        how = rtc.TrackPublishOptions(source=rtc.TrackSource.SOURCE_CAMERA, simulcast=options.simulcast,
                                      video_codec=rtc.VideoCodec.H264)
        how.video_encoding.max_bitrate = options.kbps * 1000
        how.video_encoding.max_framerate = options.fps
        publication = await room.local_participant.publish_track(track, how)
        say("published", kind="video", sid=publication.sid)
        tasks.append(asyncio.create_task(show(source, options, begin)))
    if not options.no_sound:
        source = rtc.AudioSource(RATE, 1, queue_size_ms=100)
        track = rtc.LocalAudioTrack.create_audio_track("sound", source)
        how = rtc.TrackPublishOptions(source=rtc.TrackSource.SOURCE_MICROPHONE, red=False, dtx=False)
        publication = await room.local_participant.publish_track(track, how)
        say("published", kind="audio", sid=publication.sid)
        tasks.append(asyncio.create_task(sound(source, begin)))


async def obey(room, command):
    what, value = command["do"], command.get("value")
    if what == "leave":
        await room.disconnect()
        say("left")
        return False
    for participant in room.remote_participants.values():
        for publication in participant.track_publications.values():
            if what == "quality" and publication.kind == rtc.TrackKind.KIND_VIDEO:
                publication.set_video_quality(value)
            if what == "subscribe":
                publication.set_subscribed(value)
    if what == "data":
        await room.local_participant.publish_data(value, reliable=True, topic="test")
    for publication in list(room.local_participant.track_publications.values()):
        if what == "mute":
            publication.track.mute() if value else publication.track.unmute()
        if what == "unpublish":
            await room.local_participant.unpublish_track(publication.sid)
    say("done", what=what)
    return True


async def main(options):
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    token = (await reader.readline()).decode().strip()
    room, tracks, tasks = rtc.Room(), {}, []

    @room.on("track_subscribed")
    def _(track, publication, participant):
        say("track", identity=participant.identity, kind=int(track.kind), sid=publication.sid,
            name=publication.name, source=int(publication.source), mime=publication.mime_type)
        seen = tracks[publication.sid] = Seen(track, participant.identity)
        is_video = track.kind == rtc.TrackKind.KIND_VIDEO
        tasks.append(asyncio.create_task(watch(seen, options.clock) if is_video else listen(seen)))

    @room.on("track_unsubscribed")
    def _(track, publication, participant):
        tracks.pop(publication.sid, None)
        say("track_gone", identity=participant.identity, sid=publication.sid)

    @room.on("track_muted")
    def _(participant, publication):
        say("muted", identity=participant.identity, sid=publication.sid)

    @room.on("participant_connected")
    def _(participant):
        say("came", identity=participant.identity, metadata=participant.metadata)

    @room.on("participant_disconnected")
    def _(participant):
        say("went", identity=participant.identity)

    @room.on("data_received")
    def _(packet):
        sender = packet.participant.identity if packet.participant else ""
        say("data", value=packet.data.decode(), topic=packet.topic, identity=sender)

    @room.on("room_metadata_changed")
    def _(_, new):
        say("room_metadata", value=new)

    @room.on("participant_permissions_changed")
    def _(participant, permission):
        say("permission", identity=participant.identity, can_publish=permission.can_publish,
            can_subscribe=permission.can_subscribe)

    for name in ("reconnecting", "reconnected"):
        room.on(name, lambda name=name: say(name))

    ended = asyncio.Event()

    @room.on("disconnected")
    def _(reason):
        say("disconnected", reason=int(reason))
        ended.set()

    how = rtc.RoomOptions(auto_subscribe=not options.no_subscribe, dynacast=False)
    try:
        await room.connect(options.url, token, how)
    except rtc.ConnectError as error:
        say("refused", why=str(error))
        return
    say("connected", sid=room.local_participant.sid,
        others=[other.identity for other in room.remote_participants.values()])
    tasks.append(asyncio.create_task(statistics(tracks)))
    if options.role == "publish":
        try:
            await publish(room, options, tasks)
        except Exception as error:
            say("not_published", why=repr(error))
    while not ended.is_set():
        line = asyncio.create_task(reader.readline())
        await asyncio.wait([line, asyncio.create_task(ended.wait())], return_when=asyncio.FIRST_COMPLETED)
        if not line.done():
            break
        text = line.result().strip()
        if not text or not await obey(room, json.loads(text)):
            break
    for task in tasks:
        task.cancel()


parser = argparse.ArgumentParser()
parser.add_argument("role", choices=["view", "publish"])
parser.add_argument("url")
parser.add_argument("--width", type=int, default=640)
parser.add_argument("--height", type=int, default=360)
parser.add_argument("--fps", type=int, default=25)
parser.add_argument("--kbps", type=int, default=1500)
parser.add_argument("--clock", type=int, default=0)
for flag in ("--simulcast", "--no-picture", "--no-sound", "--no-subscribe"):
    parser.add_argument(flag, action="store_true")
asyncio.run(main(parser.parse_args()))
