#!/bin/sh
# The long tests against the real release binary, with real OBS and real players. Each stage prints its figures
# as a table and whether each promise was kept; one broken promise and the exit code is 1.
#
#   tests/soak/run.sh [obs] [players] [desktop] [away] [latency] [fuzz]     (no name: all)
#
# SOAK_SECONDS changes how long a player plays, SOAK_CASES=0,2 picks cases of obs, away and latency,
# FOREBAY_FUZZ_INPUTS the number of inputs a fuzz target gets.
set -u
cd "$(dirname "$0")/../.."

ALL='obs players desktop away latency fuzz'
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
  else
    node "tests/soak/$stage.mjs" || broken="$broken $stage"
  fi
done
echo
if [ -n "$broken" ]; then
  echo "soak: promises were broken in:$broken"
  exit 1
fi
echo 'soak: every promise was kept'
