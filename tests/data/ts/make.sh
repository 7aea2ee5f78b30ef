#!/bin/sh
# Makes the clips of this folder and what must come out of them: see README.md.
set -eu
cd "$(dirname "$0")"
NEW=${FFMPEG_NEW:-../../../target/tools/ffmpeg}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# expect CLIP PTS_SOURCE HASH_VIDEO HASH_AUDIO: kind,pts,dts,key of ffprobe, size and adler32 of the same
# packets in MP4 with parameter sets, delimiters and filler taken out.
expect() {
  clip=$1 remove=$2 audio=${3:-}
  for kind in v a; do
    ffprobe -v error -select_streams $kind:0 -show_entries packet=pts,dts,flags -of csv=p=0 "$clip.ts" |
      grep . | awk -F, -v kind=$kind '{ key = index($3, "K") ? 1 : 0; print kind "," $1 "," $2 "," key }' > "$work/$kind.times"
    case $kind in
      v) "$NEW" -v error -i "$clip.ts" -map 0:v:0 -c copy -bsf:v "filter_units=remove_types=$remove" -y "$work/$kind.mp4" ;;
      a) "$NEW" -v error -i "${audio:-$clip.ts}" -map 0:a:0 -c copy -y "$work/$kind.mp4" ;;
    esac
    "$NEW" -v error -i "$work/$kind.mp4" -c copy -f framecrc - | grep -v '^#' |
      awk -F, '{ gsub(/ /, ""); print $5 "," $6 }' > "$work/$kind.hash"
    paste -d, "$work/$kind.times" "$work/$kind.hash"
  done > "$clip.csv"
}

pictures="-f lavfi -i testsrc2=s=160x90:r=25"
tone="-f lavfi -i sine=440:r=48000"
x264="-c:v libx264 -preset veryfast -crf 38 -g 15 -bf 2 -threads 1"

# shellcheck disable=SC2086
ffmpeg -v error -y $pictures $tone -t 1 $x264 -c:a aac -b:a 32k -f mpegts avc-aac.ts
expect avc-aac '7|8|9|12'

x265="-c:v libx265 -preset ultrafast -crf 40 -g 15 -threads 1 -x265-params log-level=none:pools=1:frame-threads=1:bframes=2:open-gop=0"

# Two seconds per clip would be more of the same; tables, PES and frames all wrap within one.
# shellcheck disable=SC2086
"$NEW" -v error -y $pictures $tone -t 1 $x265 -c:a libopus -b:a 24k -f mpegts hevc-opus.ts
expect hevc-opus '32|33|34|35|38'

# shellcheck disable=SC2086
"$NEW" -v error -y $tone -t 1 -c:a aac -b:a 32k "$work/latm.m4a"
# shellcheck disable=SC2086
"$NEW" -v error -y $pictures -i "$work/latm.m4a" -t 1 $x264 -c:a copy -mpegts_flags latm -f mpegts avc-latm.ts
expect avc-latm '7|8|9|12' "$work/latm.m4a"

# GStreamer: H.264 with two slices in each picture, AAC in ADTS.
gst-launch-1.0 -q videotestsrc num-buffers=25 ! video/x-raw,format=I420,width=160,height=90,framerate=25/1 ! \
  x264enc threads=1 key-int-max=15 bframes=2 bitrate=64 option-string=slices=2 ! h264parse ! queue ! mux. \
  audiotestsrc num-buffers=47 samplesperbuffer=1024 ! audio/x-raw,rate=48000,channels=2 ! \
  avenc_aac bitrate=32000 ! aacparse ! queue ! mux. mpegtsmux name=mux ! filesink location=gst.ts
expect gst '7|8|9|12'
