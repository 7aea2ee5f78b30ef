"""What Python samples need around them. In: BASE and ADMIN_KEY in the environment."""

import base64
import json
import os
import socket
import struct
from pathlib import Path
from urllib.parse import urlsplit

import requests

BASE = os.environ["BASE"]
ADMIN_KEY = os.environ["ADMIN_KEY"]
DEADLINE_S = 10


def register():
    """Makes an SDK client as the guide prints it."""
    body = Path(__file__).with_name("registration.json").read_bytes()
    headers = {"Content-Type": "application/json", "X-Admin-Key": ADMIN_KEY}
    answer = requests.post(f"{BASE}/api/admin/sdk-clients", headers=headers, data=body, timeout=DEADLINE_S)
    assert answer.status_code == 200, answer.text
    made = answer.json()
    assert made["success"] is True and made["apiKey"].startswith("pk_") and made["secretKey"].startswith("sk_")
    return made


class WebSocket:
    """A client of text frames (RFC 6455), with nothing but the standard library."""

    def __init__(self, path):
        address = urlsplit(BASE)
        self.stream = socket.create_connection((address.hostname, address.port), DEADLINE_S)
        self.file = self.stream.makefile("rb")
        key = base64.b64encode(os.urandom(16)).decode()
        lines = [
            f"GET {path} HTTP/1.1",
            f"Host: {address.netloc}",
            "Connection: Upgrade",
            "Upgrade: websocket",
            "Sec-WebSocket-Version: 13",
            f"Sec-WebSocket-Key: {key}",
        ]
        self.stream.sendall("\r\n".join([*lines, "", ""]).encode())
        status = self.file.readline()
        assert b" 101 " in status, status
        while self.file.readline().strip():
            pass

    def send(self, text):
        data, mask = text.encode(), os.urandom(4)
        masked = bytes(byte ^ mask[at % 4] for at, byte in enumerate(data))
        self.stream.sendall(struct.pack("!BBH", 0x81, 0x80 | 126, len(data)) + mask + masked)

    def receive(self):
        """The next text frame, which is JSON."""
        while True:
            kind, length = self.file.read(2)
            if length == 126:
                (length,) = struct.unpack("!H", self.file.read(2))
            data = self.file.read(length)
            if kind == 0x81:
                return json.loads(data)
            assert kind == 0x89, f"frame {kind:#x} {data}"

    def close(self):
        self.stream.close()
