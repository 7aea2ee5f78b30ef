# What printed curl commands need around them. In: BASE and ADMIN_KEY in the environment, a working folder.

set -euo pipefail
here=$(dirname "${BASH_SOURCE[0]}")
examples=0

# The real curl with the arguments as they are, except that printed hosts are the gateway under test. The body
# goes to standard output, as always; it is kept with the code for what is expected of them.
curl() {
  local arguments=("${@//https:\/\/media.example/$BASE}")
  arguments=("${arguments[@]//http:\/\/127.0.0.1:8080/$BASE}")
  command curl --silent --show-error --max-time 10 --output body --write-out '%{http_code}' \
    "${arguments[@]}" > code
  cat body
}

# expect CODE [FILTER]: the last answer has this code, and jq finds the filter true of its body.
expect() {
  local code
  code=$(cat code)
  if [ "$code" != "$1" ] || { [ $# -gt 1 ] && ! jq --exit-status "$2" body > /dev/null; }; then
    echo >&2
    echo "line ${BASH_LINENO[0]}: wanted $1 ${2-}, got $code $(cat body)" >&2
    exit 1
  fi
  examples=$((examples + 1))
}

# said FILTER: a text of the last answer.
said() {
  jq --raw-output --exit-status "$1" body
}

# register: makes an SDK client as the guide prints it; sets API_KEY and SECRET_KEY.
register() {
  curl -X POST "$BASE/api/admin/sdk-clients" -H "X-Admin-Key: $ADMIN_KEY" \
    -H "Content-Type: application/json" -d @"$here/registration.json"
  expect 200 '.success == true and (.message | type) == "string"
    and (.apiKey | test("^pk_[0-9A-F]{32}$")) and (.secretKey | test("^sk_[0-9A-F]{32}$"))
    and (.clientId | test("^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$"))'
  API_KEY=$(said .apiKey)
  SECRET_KEY=$(said .secretKey)
}
