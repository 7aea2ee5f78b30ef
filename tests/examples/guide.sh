# What the guide to /api prints for curl, and the calls that it only names. Commands stand as they are printed;
# hosts, keys, ids and what was elided are filled in.

source "$(dirname "$0")/lib.sh"
register

json='Content-Type: application/json'
key="X-API-Key: $API_KEY"

# Authentication
curl -X POST "$BASE/api/v1/sessions" -H "$key" -H "$json" -d '{"title":"My Live Stream"}'
expect 200 '.status == "created" and .title == "My Live Stream"'
session=$(said .id)
curl -X GET https://media.example/api/v1/sessions \
-H "X-API-Key: $API_KEY" \
-H "Content-Type: application/json"
expect 200 'type == "array" and length == 1 and .[0].id == "'"$session"'"'
curl -X GET https://media.example/api/v1/sessions \
-H "X-API-Key: pk_5951C5196A6C47EDA12D41B9A050AC5C" \
-H "Content-Type: application/json"
expect 401 '.error == true and .reason == "Invalid API key"'

# The sessions that are only named
for method in PATCH PUT; do
  curl -X $method "$BASE/api/v1/sessions/$session" -H "$key" -H "$json" \
    -d '{"status":"active","metadata":{"by":"'$method'"}}'
  expect 200 '.status == "active" and .metadata.by == "'$method'"'
done
curl -X POST "$BASE/api/v1/sessions/$session/reactions" -H "$key" -H "$json" -d '{"type":"heart"}'
expect 200 '.success == true'

# Users
curl -X POST "$BASE/api/users/signup" -H "$key" -H "$json" \
  -d '{"username":"name","email":"name@media.example","password":"oldpass"}'
expect 200 '(.token | type) == "string" and .user.username == "name"'
TOKEN=$(said .token)
curl -X POST "$BASE/api/users/signup" -H "$key" -H "$json" \
  -d '{"username":"jane","email":"jane@media.example","password":"janepass","phoneNumber":"(212) 555-0147"}'
expect 200
USER_ID=$(said .user.id)
curl -X POST "$BASE/api/users/login" -H "$key" -H "$json" \
  -d '{"email":"name@media.example","password":"oldpass"}'
expect 200 '(.token | type) == "string" and .user.username == "name"'
curl -X GET "$BASE/api/v1/users" -H "$key"
expect 200 'map(.username) | sort == ["jane", "name"]'
curl -X POST "$BASE/api/contacts/sync" -H "Authorization: Bearer $TOKEN" -H "$json" \
  -d '{"contacts":[{"phoneNumber":"+12125550147"}]}'
expect 200 '.totalContacts == 1 and .contacts[0].isPubfuseUser == true'
CONTACT_ID=$(said '.contacts[0].id')
curl -X POST "$BASE/api/users/follow/$USER_ID" -H "Authorization: Bearer $TOKEN"
expect 200

# Update profile
curl -X PUT "$BASE/api/users/profile" -H "Authorization: Bearer $TOKEN" -H "Content-Type: application/json" \
-d '{"username":"newname","firstName":"New","lastName":"Name","email":"newname@media.example","phoneNumber":"+1234567890"}'
expect 200 '.username == "newname" and .firstName == "New" and .phoneNumber == "+1234567890"'
# Change password
curl -X POST "$BASE/api/users/change-password" -H "Authorization: Bearer $TOKEN" -H "Content-Type: application/json" \
-d '{"currentPassword":"oldpass","newPassword":"newpass123"}'
expect 200 '.success == true'
# Unfollow by user id
curl -X DELETE "$BASE/api/users/follow/$USER_ID" -H "Authorization: Bearer $TOKEN"
expect 200 '.success == true'
# Update a contact
curl -X PUT "$BASE/api/contacts/$CONTACT_ID" -H "Authorization: Bearer $TOKEN" -H "Content-Type: application/json" \
-d '{"displayName":"Jane S."}'
expect 200 '.displayName == "Jane S." and .phoneNumber == "+12125550147"'
# The scheduled events that are only named
curl -X POST "$BASE/api/events/schedule" -H "Authorization: Bearer $TOKEN" -H "$json" \
  -d '{"title":"My Scheduled Event","scheduledStartTime":"2100-01-01T10:00:00Z","scheduledEndTime":"2100-01-01T10:30:00Z"}'
expect 200 '.status == "scheduled" and .repeatMode == "none" and .repeatUntilEnd == false'
EVENT_ID=$(said .id)
curl -X GET "$BASE/api/events?limit=10&offset=0&status=scheduled"
expect 200 'length == 1 and .[0].id == "'"$EVENT_ID"'"'
curl -X GET "$BASE/api/events/$EVENT_ID"
expect 200 '.scheduledEndTime == "2100-01-01T10:30:00Z"'
for method in PATCH PUT; do
  curl -X $method "$BASE/api/events/$EVENT_ID" -H "Authorization: Bearer $TOKEN" -H "$json" -d '{"title":"By '$method'"}'
  expect 200 '.title == "By '$method'"'
done
curl -X DELETE "$BASE/api/events/$EVENT_ID" -H "Authorization: Bearer $TOKEN"
expect 200 '.success == true'
# Delete profile: printed second, and the last of them that works
curl -X DELETE "$BASE/api/users/profile" -H "Authorization: Bearer $TOKEN"
expect 200 '.success == true'
curl -X GET "$BASE/api/users/profile/full" -H "Authorization: Bearer $TOKEN"
expect 401

echo
echo "$examples examples"
