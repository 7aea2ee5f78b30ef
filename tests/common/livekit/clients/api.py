"""LiveKit's own API client and webhook receiver, driven by tests over standard input and output.

    api.py api URL     calls: {"do": "room.create_room", "value": {...}}, as LiveKit's library names them
    api.py hooks -     receives webhooks; says {"event": "port"}, then each event that it could verify

The first line of standard input is key and secret with a colon between; the rest is a JSON object a line.
"""
import asyncio
import json
import sys

from aiohttp import web
from google.protobuf.json_format import MessageToDict, ParseDict
from livekit import api
from livekit.protocol import egress, ingress, room

REQUESTS = {
    "create_room": room.CreateRoomRequest, "list_rooms": room.ListRoomsRequest,
    "delete_room": room.DeleteRoomRequest, "list_participants": room.ListParticipantsRequest,
    "get_participant": room.RoomParticipantIdentity, "remove_participant": room.RoomParticipantIdentity,
    "mute_published_track": room.MuteRoomTrackRequest, "update_participant": room.UpdateParticipantRequest,
    "update_room_metadata": room.UpdateRoomMetadataRequest, "send_data": room.SendDataRequest,
    "update_subscriptions": room.UpdateSubscriptionsRequest,
    "start_room_composite_egress": egress.RoomCompositeEgressRequest,
    "start_participant_egress": egress.ParticipantEgressRequest, "list_egress": egress.ListEgressRequest,
    "stop_egress": egress.StopEgressRequest, "update_stream": egress.UpdateStreamRequest,
    "create_ingress": ingress.CreateIngressRequest, "list_ingress": ingress.ListIngressRequest,
    "delete_ingress": ingress.DeleteIngressRequest,
}


def say(event, **more):
    sys.stdout.write(json.dumps({"event": event, **more}) + "\n")
    sys.stdout.flush()


async def call(client, command):
    service, method = command["do"].split(".")
    request = ParseDict(command["value"] or {}, REQUESTS[method]())
    try:
        answer = await getattr(getattr(client, service), method)(request)
        if hasattr(answer, "DESCRIPTOR"):
            answer = MessageToDict(answer)
        elif isinstance(answer, list):
            answer = {"items": [MessageToDict(one) for one in answer]}
        say("answer", value=answer)
    except api.TwirpError as error:
        say("error", code=error.code, message=error.message)
    except Exception as error:
        say("error", code="", message=repr(error))


async def hooks(key, secret):
    receiver = api.WebhookReceiver(api.TokenVerifier(key, secret))

    async def take(request):
        body = await request.text()
        try:
            event = receiver.receive(body, request.headers["Authorization"])
        except Exception as error:
            say("forged", why=repr(error))
            return web.Response(status=400)
        kind = request.headers["Content-Type"]
        say("hook", name=event.event, kind=kind, value=MessageToDict(event))
        return web.Response()

    app = web.Application()
    app.router.add_post("/{tail:.*}", take)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    say("port", value=site._server.sockets[0].getsockname()[1])


async def main():
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    key, secret = (await reader.readline()).decode().strip().split(":")
    role, url = sys.argv[1:3]
    client = None
    if role == "hooks":
        await hooks(key, secret)
    else:
        client = api.LiveKitAPI(url, key, secret)
    while line := (await reader.readline()).strip():
        command = json.loads(line)
        if command["do"] == "leave":
            break
        await call(client, command)
    if client:
        await client.aclose()


asyncio.run(main())
