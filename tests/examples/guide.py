"""What the guide to /api prints for Python: the SDK class as it stands there, its use, and the calls that the
guide only names, made through it."""

import json  # the printed sample uses it without importing it

import requests
import hmac
import hashlib
import time
from typing import Dict, Any, Optional

from lib import BASE, WebSocket, register


# As printed.
class MediaSDK:
    def __init__(self, api_key: str, secret_key: str, base_url: str = 'https://media.example'):
        self.api_key = api_key
        self.secret_key = secret_key
        self.base_url = base_url

    def _generate_signature(self, method: str, path: str, body: str, timestamp: str) -> str:
        payload = f"{method}{path}{body}{timestamp}"
        return hmac.new(
            self.secret_key.encode(),
            payload.encode(),
            hashlib.sha256
        ).hexdigest()

    def _make_request(self, method: str, path: str, data: Optional[Dict[str, Any]] = None) -> Dict[str, Any]:
        timestamp = str(int(time.time()))
        body = json.dumps(data) if data else ''
        signature = self._generate_signature(method, path, body, timestamp)

        headers = {
            'X-API-Key': self.api_key,
            'X-Signature': signature,
            'X-Timestamp': timestamp,
            'Content-Type': 'application/json'
        }

        response = requests.request(
            method,
            f"{self.base_url}{path}",
            headers=headers,
            json=data
        )

        return response.json()

    def create_session(self, title: str, description: str = '') -> Dict[str, Any]:
        return self._make_request('POST', '/api/v1/sessions', {
            'title': title,
            'description': description
        })

    def get_sessions(self) -> Dict[str, Any]:
        return self._make_request('GET', '/api/v1/sessions')

    def register_user(self, user_data: Dict[str, Any]) -> Dict[str, Any]:
        return self._make_request('POST', '/api/users/signup', user_data)

    def login_user(self, email: str, password: str) -> Dict[str, Any]:
        return self._make_request('POST', '/api/users/login', {
            'email': email,
            'password': password
        })


client = register()
sdk = MediaSDK(client['apiKey'], client['secretKey'], BASE)

# Usage, as printed, except that an error ends it.
session = sdk.create_session('My Live Stream', 'Welcome to my stream!')
print('Session created:', session)
assert session['title'] == 'My Live Stream' and session['description'] == 'Welcome to my stream!', session
assert session['status'] == 'created' and session['id'] != session['streamId'], session
plain = sdk.create_session('Straße – «日本»')
assert plain['title'] == 'Straße – «日本»' and plain['description'] == '', plain

sessions = sdk.get_sessions()
assert [one['id'] for one in sessions] == [plain['id'], session['id']], sessions

user_data = {
    'username': 'jane',
    'email': 'jane@media.example',
    'password': 'correct horse',
    'firstName': 'Jane',
    'phoneNumber': '+1 212 555 0147',
}
jane = sdk.register_user(user_data)
assert jane['user']['username'] == 'jane' and jane['token'], jane
again = sdk.login_user('jane@media.example', 'correct horse')
assert again['user'] == jane['user'] and again['token'], again
refused = sdk.login_user('jane@media.example', 'battery staple')
assert refused['error'] is True and refused['success'] is False and refused['reason'], refused

# What the guide names beside them.
assert [user['id'] for user in sdk._make_request('GET', '/api/v1/users')] == [jane['user']['id']]
path = f"/api/v1/sessions/{session['id']}"
for method, status in (('PATCH', 'active'), ('PUT', 'active')):
    changed = sdk._make_request(method, path, {'status': status, 'metadata': {'by': method}})
    assert changed['status'] == status and changed['metadata'] == {'by': method}, changed
listed = requests.get(f"{BASE}/api/broadcasts").json()
assert [one['id'] for one in listed] == [session['id']], listed
assert 'streamKey' not in listed[0] and 'rtmpUrl' not in listed[0], listed

# Chat, spoken in by the user, and a reaction by the app.
chat = WebSocket(f"/ws/streams/{session['streamId']}/chat?token={again['token']}")
chat.send(json.dumps({'type': 'message', 'message': 'hi', 'userName': 'Jo'}))
told = chat.receive()
assert told['type'] == 'message' and told['message'] == 'hi' and told['streamId'] == session['streamId'], told
assert told['userId'] == jane['user']['id'] and told['id'] and told['timestamp'].endswith('Z'), told
chat.send('plain text is a message')
assert chat.receive()['message'] == 'plain text is a message'
for name in ('type', 'kind', 'reaction', 'emoji'):
    assert sdk._make_request('POST', f'{path}/reactions', {name: 'heart'}) == {'success': True}
    told = chat.receive()
    assert told['type'] == 'reaction' and told['reaction'] == 'heart', told
chat.close()

# Signatures that are wrong.
wrong = MediaSDK(client['apiKey'], 'sk_8510CDE5A7ED4E749D15E1008FBD7B7E', BASE).get_sessions()
assert wrong['reason'] == 'Invalid signature', wrong
wrong = MediaSDK('pk_your_api_key', 'sk_your_secret_key', BASE).get_sessions()
assert wrong['reason'] == 'Invalid API key', wrong
