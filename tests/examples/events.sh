# Scheduled events with curl, as the guide to /api names their calls: scheduled, uploaded, started, followed, taken
# over, given back and deleted. In: FILM, a short one.

source "$(dirname "$0")/lib.sh"
register

json='Content-Type: application/json'
curl -X POST "$BASE/api/users/signup" -H "X-API-Key: $API_KEY" -H "$json" \
  -d '{"username":"ann","email":"ann@media.example","password":"annspass"}'
expect 200
TOKEN=$(said .token)
curl -X POST "$BASE/api/users/signup" -H "X-API-Key: $API_KEY" -H "$json" \
  -d '{"username":"bob","email":"bob@media.example","password":"bobspass"}'
expect 200
OTHER=$(said .token)

# Schedule
start=$(date -u -d '+1 hour' +%Y-%m-%dT%H:%M:%SZ)
end=$(date -u -d '+90 minutes' +%Y-%m-%dT%H:%M:%SZ)
event='{"title":"My Scheduled Event","description":"Event description","repeatMode":"until_end","repeatUntilEnd":true,
  "scheduledStartTime":"'$start'","scheduledEndTime":"'$end'"}'
curl -X POST "$BASE/api/events/schedule" -H "$json" -d "$event"
expect 401
curl -X POST "$BASE/api/events/schedule" -H "Authorization: Bearer $TOKEN" -H "$json" -d "$event"
expect 200 '.status == "scheduled" and .scheduledStartTime == "'"$start"'" and .repeatUntilEnd == true and (has("file") | not)'
EVENT_ID=$(said .id)
curl -X GET "$BASE/api/events/$EVENT_ID/sync"
expect 200 '.playbackStartedAt == null and .currentPosition == 0 and .currentPlaybackPosition == 0 and .isPlaying == false'
for call in start-video takeover; do
  curl -X POST "$BASE/api/events/$EVENT_ID/$call" -H "Authorization: Bearer $TOKEN"
  expect 409 '.success == false and .reason != ""'
  curl -X POST "$BASE/api/events/$EVENT_ID/$call" -H "Authorization: Bearer $OTHER"
  expect 403
done

# Upload
curl -X POST "$BASE/api/events/$EVENT_ID/upload" -H "Authorization: Bearer $OTHER" -F "file=@$FILM;type=video/mp4"
expect 403
curl -X POST "$BASE/api/events/$EVENT_ID/upload" -H "Authorization: Bearer $TOKEN" -F "film=@$FILM;type=video/mp4"
expect 400 '.reason | contains("\"film\", not in \"file\"")'
curl -X POST "$BASE/api/events/$EVENT_ID/upload" -H "Authorization: Bearer $TOKEN" -F "file=;filename=empty.mp4"
expect 415 '.reason == "the file is empty"'
echo "not a film" > words.mp4
curl -X POST "$BASE/api/events/$EVENT_ID/upload" -H "Authorization: Bearer $TOKEN" -F "file=@words.mp4;type=video/mp4"
expect 415 '.reason | test("no known kind|text")'
curl -X POST "$BASE/api/events/$EVENT_ID/upload" -H "Authorization: Bearer $TOKEN" -F "file=@$FILM;type=video/mp4"
expect 200 '.file.bytes == '"$(stat -c %s "$FILM")"' and .contentMimeType == "video/mp4" and .file.sha256 == "'"$(sha256sum "$FILM" | cut -d' ' -f1)"'"'

# The same in pieces, the connection breaking off in between (tus 1.0)
size=$(stat -c %s "$FILM")
half=$((size / 2))
tus='Tus-Resumable: 1.0.0'
curl -D head -X POST "$BASE/api/events/$EVENT_ID/uploads" -H "Authorization: Bearer $TOKEN" -H "$tus" \
  -H "Upload-Length: $size" -H "Upload-Metadata: filename $(printf film.mp4 | base64)"
expect 201
place=$(grep -i '^location:' head | cut -d' ' -f2 | tr -d '\r')
head -c "$half" "$FILM" > piece
curl -X PATCH "$BASE$place" -H "Authorization: Bearer $TOKEN" -H "$tus" -H 'Upload-Offset: 0' \
  -H 'Content-Type: application/offset+octet-stream' --data-binary @piece
expect 204
curl --head -D head "$BASE$place" -H "Authorization: Bearer $TOKEN" -H "$tus"
expect 200
offset=$(grep -i '^upload-offset:' head | cut -d' ' -f2 | tr -d '\r')
[ "$offset" = "$half" ]
tail -c +$((offset + 1)) "$FILM" > piece
curl -X PATCH "$BASE$place" -H "Authorization: Bearer $TOKEN" -H "$tus" -H "Upload-Offset: $offset" \
  -H 'Content-Type: application/offset+octet-stream' --data-binary @piece
expect 204
curl -X GET "$BASE/api/events/$EVENT_ID"
expect 200 '.contentFilename == "film.mp4" and .file.bytes == '"$size"

# Start, and where it is
curl -X POST "$BASE/api/events/$EVENT_ID/start-video" -H "Authorization: Bearer $TOKEN"
expect 200 '.status == "active" and (.playbackStartedAt | fromdate) > 0 and .broadcastId != null and .hlsUrl != ""'
began=$(said .playbackStartedAt)
curl -X GET "$BASE/api/events/$EVENT_ID/sync"
expect 200 '.playbackStartedAt == "'"$began"'" and .currentPosition == .currentPlaybackPosition and .looping == true
  and (.serverTime | test("\\.[0-9]{3}Z$"))'
curl -X POST "$BASE/api/events/$EVENT_ID/start-video" -H "Authorization: Bearer $TOKEN"
expect 200 '.playbackStartedAt == "'"$began"'"'
curl -X GET "$BASE/api/events?limit=10&offset=0&status=active"
expect 200 'length == 1 and .[0].id == "'"$EVENT_ID"'" and (.[0] | has("streamKey") | not)'

# Take over, and give back
curl -X POST "$BASE/api/events/$EVENT_ID/takeover" -H "Authorization: Bearer $TOKEN"
expect 200 '.status == "active" and (.streamKey | length) > 20 and (.rtmpUrl | startswith("rtmp://")) and .streamId != null'
curl -X POST "$BASE/api/events/$EVENT_ID/start-video" -H "Authorization: Bearer $TOKEN"
expect 200 '.live == false and .playbackStartedAt == "'"$began"'"'

curl -X DELETE "$BASE/api/events/$EVENT_ID" -H "Authorization: Bearer $OTHER"
expect 403
curl -X DELETE "$BASE/api/events/$EVENT_ID" -H "Authorization: Bearer $TOKEN"
expect 200 '.success == true'
curl -X GET "$BASE/api/events/$EVENT_ID/sync"
expect 404

echo
echo "$examples examples"
