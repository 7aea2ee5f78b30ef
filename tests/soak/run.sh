#!/bin/sh
# The long tests against the real release binary, with real OBS and real players. Each stage prints its figures
# as a table and whether each promise was kept; one broken promise and the exit code is 1.
#
#   tests/soak/run.sh [obs] [players] [desktop] [continuity] [lossy] [srt] [latency] [upload] [show] [rooms] [fuzz]
#   (no name: all)
#
# SOAK_SECONDS changes how long a player of obs, players, lossy, srt, latency and show plays and how long rooms are
# watched. SOAK_CASES picks cases of obs, continuity, lossy, srt and latency by number or by a part of the name:
# SOAK_CASES=0,2 or SOAK_CASES='away 2 s,worker'.
# SOAK_SHORT=1 leaves the most telling cases of continuity, six minutes instead of half an hour.
# MULTIMUX names that peer's binary (cargo install multimux-cli) if it is not on the PATH.
# SOAK_BINARY names another build of the gateway. FOREBAY_FUZZ_INPUTS is the number of inputs that a fuzz target gets.
set -u
cd "$(dirname "$0")/../.."

ALL='obs players desktop continuity lossy srt latency upload show rooms fuzz'
[ $# -gt 0 ] || set -- $ALL
for stage in "$@"; do
  case " $ALL " in
    *" $stage "*) ;;
    *) echo "soak: no stage $stage; there are: $ALL" >&2; exit 2 ;;
  esac
done

broken=
for stage in "$@"; do
  if [ "$stage" = fuzz ]; then
    echo
    echo '== fuzz'
    FOREBAY_FUZZ_INPUTS=${FOREBAY_FUZZ_INPUTS:-1000000} \
      cargo test --release --locked --quiet --test behaviour fuzz -- --nocapture || broken="$broken $stage"
  elif [ "$stage" = rooms ]; then
    # LiveKit's own libraries watch; the LiveKit server is that of the tests, and a real one where
    # FOREBAY_TEST_LIVEKIT names it.
    cargo test --release --locked --quiet --test behaviour -- --ignored --test-threads 1 --nocapture \
      livekit::soak || broken="$broken $stage"
  else
    node "tests/soak/$stage.mjs" || broken="$broken $stage"
  fi
  if [ "$stage" = srt ]; then
    echo
    echo '== srt: every frame, counted'
    # Pictures are decoded by ffmpeg; the gateway runs in the test's own process.
    FOREBAY_LOSSY_SECONDS=${SOAK_SECONDS:-120} FOREBAY_LOSSY_SEEDS=4 \
      cargo test --release --locked --quiet --test behaviour -- --test-threads 1 --nocapture \
      srt::lossy::every_frame srt::lossy::six || broken="$broken $stage"
  fi
done
echo
if [ -n "$broken" ]; then
  echo "soak: promises were broken in:$broken"
  exit 1
fi
echo 'soak: every promise was kept'
