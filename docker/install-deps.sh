#!/bin/sh
# Installs what Forebay needs on Debian 12 and leaves alone what is there.
#
#   --runtime  what the binary needs to run: GStreamer and its plugins, libsrt
#   --build    what compiling needs: C compiler, headers, Node.js for the web pages
#   --run      runtime and build (the default)
#   --test     run, and the players and publishers that `make test` drives
#   --bench    test, and the servers that `make bench` compares with
#   --soak     test, and OBS and the desktop players
#
# Options add up. Asks nothing, works as root or through sudo, and takes a fraction of a second when
# nothing is missing. Rust (rustup's stable) is expected to be there.
set -eu

cd "$(dirname "$0")/.."

# A wheel that holds nothing but a static ffmpeg 9: Debian's 5.1 cannot send Enhanced RTMP.
FFMPEG_WHEEL='imageio-ffmpeg==0.8.1'
FFMPEG_LINK=target/tools/ffmpeg
# Asks a live server what its API description allows, and what it does not. It brings requests, with which
# tests/examples is written.
SCHEMATHESIS='schemathesis==4.32.5'
# What receivers of webhooks check signatures with.
STANDARDWEBHOOKS='standardwebhooks==1.1.0'
# What LiveKit's servers and clients read access tokens with.
LIVEKIT='livekit-api==1.2.2'
# A participant of LiveKit rooms with libwebrtc in it, which publishes and watches.
LIVEKIT_CLIENT='livekit==1.2.1'
# Oldest Node.js that builds the web pages; it is the one of Debian 12.
NODE_MAJOR=18

# The list is written against Debian 12 (bookworm).
RUNTIME='ca-certificates gstreamer1.0-plugins-base gstreamer1.0-plugins-good
  gstreamer1.0-plugins-bad gstreamer1.0-plugins-ugly gstreamer1.0-libav
  gstreamer1.0-tools gstreamer1.0-x libsrt1.5-gnutls'
# libsrt in the variant that GStreamer and FFmpeg load; two of them in one process do not go together.
BUILD='gcc libc6-dev make pkg-config libgstreamer1.0-dev libgstreamer-plugins-base1.0-dev
  libsrt-gnutls-dev'
# gstreamer1.0-tools brings gst-launch-1.0, which tests use as a player. Tests start PostgreSQL themselves.
TEST='chromium curl ffmpeg fonts-dejavu-core gstreamer1.0-tools jq postgresql python3 python3-pip
  python3-venv srt-tools'
BENCH='libnginx-mod-rtmp nginx-light wrk'
SOAK='libgl1-mesa-dri mpv obs-plugins obs-studio redis-server vlc-bin vlc-plugin-base xauth xvfb'

say() { echo "install-deps: $*"; }
fail() { echo "install-deps: $*" >&2; exit 1; }

installed() { [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]; }

# Whether a package, or the same tool from elsewhere, is there.
present() {
  installed "$1" && return 0
  case $1 in
    gcc) command -v gcc >/dev/null ;;
    make) command -v make >/dev/null ;;
    pkg-config) command -v pkg-config >/dev/null ;;
    nginx-light) [ -x /usr/sbin/nginx ] ;;
    postgresql) ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 ;;
    python3) command -v python3 >/dev/null ;;
    python3-pip) python3 -m pip --version >/dev/null 2>&1 ;;
    python3-venv) python3 -c 'import ensurepip, venv' 2>/dev/null ;;
    *) return 1 ;;
  esac
}

as_root() {
  if [ "$(id -u)" = 0 ]; then
    "$@"
  elif command -v sudo >/dev/null; then
    sudo "$@"
  else
    fail "packages are missing ($missing) and this is neither root nor is sudo installed"
  fi
}

# Node.js of another origin (nvm, NodeSource) conflicts with Debian's npm, so it is used as it is.
node_is_there() {
  command -v npm >/dev/null && command -v node >/dev/null &&
    [ "$(node -p 'process.versions.node.split(".")[0]')" -ge "$NODE_MAJOR" ]
}

# Debian's package makes a cluster and starts it unless it is told not to. Who has the package, or has
# decided about clusters before, keeps what is there.
without_cluster() {
  conf=/etc/postgresql-common/createcluster.conf
  case " $missing " in *' postgresql '*) ;; *) return 0 ;; esac
  [ ! -e "$conf" ] || return 0
  as_root mkdir -p "${conf%/*}"
  echo "create_main_cluster = false" | as_root tee "$conf" >/dev/null
}

install_packages() {
  missing=
  for package in "$@"; do
    present "$package" || missing="$missing${missing:+ }$package"
  done
  [ -n "$missing" ] || return 0
  command -v apt-get >/dev/null || fail "apt-get not found; install the counterparts of: $missing"
  say "installing $missing"
  without_cluster
  as_root apt-get -q -o DPkg::Lock::Timeout=300 update
  # shellcheck disable=SC2086 # a list of package names
  as_root env DEBIAN_FRONTEND=noninteractive \
    apt-get -q -y -o DPkg::Lock::Timeout=300 install --no-install-recommends $missing
}

install_ffmpeg() {
  [ -x "$FFMPEG_LINK" ] && return 0
  say "unpacking $FFMPEG_WHEEL into ${FFMPEG_LINK%/*}"
  mkdir -p target/tools
  scratch=$(mktemp -d target/tools/wheel.XXXXXX)
  python3 -m pip --disable-pip-version-check download -q --no-deps --dest "$scratch" "$FFMPEG_WHEEL"
  python3 -m zipfile -e "$scratch"/*.whl "$scratch"
  chmod +x "$scratch"/imageio_ffmpeg/binaries/ffmpeg-*
  # The rename comes last, so that a run that was cut off leaves nothing that looks complete.
  mv "$scratch"/imageio_ffmpeg/binaries/ffmpeg-* "$FFMPEG_LINK"
  rm -r "$scratch"
}

# Into a virtual environment, whose programs name their folder: it is made where it stays, and marked when
# it is complete.
install_from_pypi() {
  folder="target/tools/${1%%==*}"
  [ "$(cat "$folder/complete" 2>/dev/null)" = "$1" ] && return 0
  say "installing $1 into $folder"
  rm -rf "$folder"
  mkdir -p target/tools
  python3 -m venv "$folder"
  "$folder"/bin/python -m pip --disable-pip-version-check install -q "$1"
  echo "$1" > "$folder/complete"
}

runtime= build= test= bench= soak=
[ $# -gt 0 ] || set -- --run
for option in "$@"; do
  case $option in
    --runtime) runtime=1 ;;
    --build) build=1 ;;
    --run) runtime=1 build=1 ;;
    --test) runtime=1 build=1 test=1 ;;
    --bench) runtime=1 build=1 test=1 bench=1 ;;
    --soak) runtime=1 build=1 test=1 soak=1 ;;
    -h | --help) sed -n '2,12s/^# \{0,1\}//p' "$0"; exit 0 ;;
    *) fail "unknown option $option; known: --runtime --build --run --test --bench --soak" ;;
  esac
done

packages=
[ -z "$runtime" ] || packages="$packages $RUNTIME"
[ -z "$build" ] || packages="$packages $BUILD"
[ -z "$test" ] || packages="$packages $TEST"
[ -z "$bench" ] || packages="$packages $BENCH"
[ -z "$soak" ] || packages="$packages $SOAK"
if [ -n "$build" ] && ! node_is_there; then
  packages="$packages nodejs npm"
fi
# shellcheck disable=SC2086 # a list of package names
install_packages $packages
[ -z "$test" ] || install_ffmpeg
[ -z "$test" ] || install_from_pypi "$SCHEMATHESIS"
[ -z "$test" ] || install_from_pypi "$STANDARDWEBHOOKS"
[ -z "$test" ] || install_from_pypi "$LIVEKIT"
[ -z "$test" ] || install_from_pypi "$LIVEKIT_CLIENT"
if [ -n "$build" ] && ! node_is_there; then
  fail "Node.js $NODE_MAJOR or newer with npm is needed; $(node --version 2>/dev/null || echo none) was found"
fi
if [ -n "$build" ] && ! command -v cargo >/dev/null; then
  fail "cargo not found: install Rust's stable toolchain (https://rustup.rs), then run this again"
fi
