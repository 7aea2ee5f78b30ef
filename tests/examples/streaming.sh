# What the guide to /api prints of tokens for curl, and what it names beside them.

source "$(dirname "$0")/lib.sh"
register

curl -X POST "$BASE/api/v1/sessions" -H "X-API-Key: $API_KEY" -H "Content-Type: application/json" \
  -d '{"title":"My Live Stream"}'
expect 200
room=$(said .streamId)

# By the id of the session, of its stream, and its short id
for SESSION_ID in $(said '.id, .streamId, .shortId'); do
  # Get LiveKit token for a session (UUID or short ID like r5)
  curl -s -X POST "http://127.0.0.1:8080/api/streaming/sessions/$SESSION_ID/token" \
  -H "Content-Type: application/json" \
  -H "X-API-Key: $API_KEY" \
  -d '{"userId":"550e8400-e29b-41d4-a716-446655440000","role":"subscriber"}' | jq .
  expect 200 '.room == "'"$room"'" and (.serverUrl | test("^wss?://")) and (.token | startswith("livekit_"))
    and (.expiresAt | test("^[0-9-]{10}T[0-9:]{8}Z$"))'
  # What a LiveKit server reads of it
  payload=$(said .token | cut -d . -f 2 | tr -- -_ +/)
  while [ $((${#payload} % 4)) != 0 ]; do payload+='='; done
  base64 -d <<< "$payload" > claims
  expires=$(said .expiresAt)
  jq --exit-status '.sub == "550e8400-e29b-41d4-a716-446655440000" and ([.nbf, .iat, .exp] | all(. == floor))
    and .video.roomJoin == true and .video.room == "'"$room"'" and .video.canSubscribe == true
    and .video.canPublish != true and (.metadata | fromjson | .role) == "subscriber"
    and (.exp | todate) == "'"$expires"'"' claims
done

curl -s -X POST "$BASE/api/streaming/sessions/$room/token" -H "Content-Type: application/json" \
  -d '{"userId":"550e8400-e29b-41d4-a716-446655440000","role":"subscriber"}'
expect 401 '.reason == "Invalid API key"'

curl -X GET "$BASE/api/streaming/providers"
expect 200 '.[0].id == "livekit" and .[0].provider.rawValue == "livekit" and .[0].isConfigured == true'
curl -X GET "$BASE/api/streaming/ice-config"
expect 200 '(.iceServers | type) == "array" and all(.iceServers[]; has("urls"))'
# Nobody is there
curl -X GET "$BASE/api/livekit/health"
expect 503 '.status == "unavailable"'

echo
echo "$examples examples"
