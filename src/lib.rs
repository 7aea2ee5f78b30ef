//! Forebay: a live media gateway. The channel owns the timeline; publishers only feed it.
//!
//! An encoder may drop, come back, change its picture size or give way to another one: media
//! sequence, program date time and decode time of the stream run on, and no viewer reloads.
//!
//! ```text
//!  RTMP ──┬ ingest ──┐
//!  SRT ───┤          ├─> hub ── program ── package ── Timeline ── origin ── players, CDN
//!  rooms ─┘ (rtc)    │    └── tap ── forward       └─ record ── storage, VOD, MP4
//!                    │                └─ rooms (rtc), WHIP, RTMP servers
//!  ladder <── transcode (own process) ──> its renditions back into the hub
//!  films (uploads) ── transcode::film (own process) ──> playout ── Timeline ── origin
//!                                                         └── screen ── tap ── forward
//!  control (HTTP APIs, pages) ──> hub, playout, store (SQLite or PostgreSQL), files
//! ```
//!
//! The way of a frame, in five files to read in this order: `ingest/rtmp/session.rs` (bytes to
//! messages), `ingest/rtmp/publish.rs` (message to access unit), `hub/program.rs` (whose unit is on
//! air, at which channel time, where a segment begins), `package/segmenter.rs` (unit to part and
//! segment), `origin/hls.rs` (part to HTTP answer). Over SRT the first two are `ingest/srt/reactor.rs`
//! (libsrt's packets to batches) and `format/ts/mod.rs` (transport stream to access units).
//!
//! Other ways, file by file:
//!
//! - a publish on its way in: `ingest/rtmp/publish.rs` or `ingest/srt/door.rs`, `hub/publish.rs`,
//!   `control/gate.rs` (whose key), `control/admission.rs` (what a service of the operator's says),
//!   `hub/stream.rs`;
//! - a request of the channel API: `control/mod.rs` (routes), `control/pcast/call.rs` (whose it is), a file
//!   for each resource such as `control/pcast/channel.rs`, `store/channel.rs`;
//! - a request of `/api`: `control/api/mod.rs` (routes), `control/api/call.rs` (whose it is), a file for each
//!   resource such as `control/api/broadcast.rs` (who may, then what), `store/broadcast.rs`, and back through
//!   `control/api/broadcast/view.rs`;
//! - an event at its time: `store/event.rs` (declared, with the cut log of its show), `control/api/event/decision.rs`
//!   (what is due), `control/api/event/conductor.rs` (once, on one gateway), `store/event/run.rs` (with its
//!   broadcast), and in memory `control/api/event/playbill.rs`, which `/sync` and players are answered from;
//! - a film on its way in: `control/api/event/upload.rs` or `tus.rs`, `films/mod.rs` (to the disk, and what it is),
//!   `app/preparation.rs` (the queue), `app/film.rs` (the child), `transcode/film/mod.rs`, `playout/asset/writer.rs`;
//! - and out again: `playout/schedule.rs` (what is on at a time), `playout/listing.rs` (which segments that is),
//!   `playout/timeline/watched.rs` (whoever watches), `playout/piece.rs` (bytes with the show's times in them);
//! - an encoder in a film's place: `control/api/event/takeover.rs` (its key), `app/takeover.rs` (on air and off),
//!   `playout/takeover.rs` (when), `playout/leg.rs` (its segments under the show's numbers);
//! - the life of a broadcast: `store/broadcast.rs` (made with its channel and its key, over without them),
//!   `control/api/lifecycle.rs` (signs of life), `control/watch.rs` (what lost its channel goes off the air);
//! - a watch page of a broadcast: `control/pages.rs` (its head), `control/api/viewer.rs` (what it shows, and its
//!   pass), `control/api/chat/socket.rs`, `assets/web/src/broadcast.js`; in real time `control/api/viewer/realtime.rs`
//!   (the way into its room), `assets/web/src/realtime.js` (room or playlists), `assets/web/src/room.js` (whom it shows);
//! - the page of a show: `control/api/viewer/run.rs` (before there is a broadcast), `assets/web/src/show.js`, and
//!   `assets/web/sync.js` (every viewer at the same position);
//! - a chat message: `control/api/chat/socket.rs` (one connection), `control/api/chat/frame.rs` (what it says),
//!   `control/api/chat/rooms.rs` (to all who listen), `store/chat.rs` (the history);
//! - a file: `control/api/file/upload.rs` (a form, piece by piece), `files/mod.rs` (to the disk), `store/file.rs`;
//! - a stream into its room: `app/forwards.rs` (which streams go where), `hub/tap.rs` (its renditions, off the
//!   frame path), `forward/layers.rs` (which of them), `forward/livekit/publish.rs` (in the room),
//!   `rtc/webrtc/outgoing.rs` (unit to packets); what is made for rooms alone in `transcode/bridge/rooms.rs`;
//!   other destinations are folders beside `forward/livekit/`, declared through `app/pushes.rs`;
//! - a show into its room: `app/screens.rs` (which gateway reads it), `playout/projector.rs` (its timeline back into
//!   units, each at its time), `hub/screen.rs` (as a live stream is tapped), then like a stream;
//! - a room into a channel: `control/livekit/webhook.rs` (who publishes there), `app/rooms.rs`,
//!   `ingest/livekit/room.rs` (whom to follow), `ingest/livekit/visit.rs` (in the room), `rtc/webrtc/incoming.rs`
//!   (packets to unit), then like any publisher;
//! - an app on its way to LiveKit: `control/api/streaming.rs` (its token), `control/livekit/proxy/mod.rs` (its
//!   signalling, through us);
//! - a fork: `control/pcast/fork.rs`, `hub/fork.rs`, then `hub/fence.rs` (an end of its own on its source's
//!   timeline) or `hub/relay.rs` (a ladder of its own);
//! - a recording: `app/recordings.rs`, `record/follow.rs`, `record/recorder.rs` (to the disk),
//!   `record/vod.rs` (and back);
//! - a webhook: `store/delivery.rs` (what is to be told, written with the change), or
//!   `control/api/webhook/presence.rs` (who publishes), then `control/api/webhook/sender.rs`.
//!
//! # Layers
//!
//! `tests/architecture.rs` reads this table and holds the sources to it: `app` wires everybody, and
//! nobody knows `app`.
//!
//! | module | may import |
//! |---|---|
//! | base | nothing |
//! | media, store, files, films | base |
//! | format | media, base |
//! | hub, manifest, rtc | media, base |
//! | livekit | rtc, media, base |
//! | transcode, package, record, playout | hub, format, media, base |
//! | ingest, forward | livekit, rtc, hub, format, media, base |
//! | origin | hub, manifest, media, base |
//! | control | store, files, films, livekit, hub, record, playout, media, base |
//! | config | base |
//! | credentials | config, store, base |
//! | app, cli | all |
//!
//! # What always holds
//!
//! - `hub`'s program alone decides where segments begin; packagers cut at stamped units only.
//! - Whatever encoders do, a stream's media sequence, dates and decode times run on: `hub/program/` holds
//!   every rule of that, and `tests/continuity.rs` reads like its specification.
//! - Fragments are cut once; HLS, LL-HLS, DASH and LL-DASH serve the same bytes.
//! - Nobody waits for a slow reader: every queue has a bound, and what happens when it is full.
//! - The database is never on the way of a frame.
//! - Input from the network never panics and never allocates by an unchecked size.
//! - What reads strangers' files runs as a child that is told no secrets and ends with its gateway (`base/child.rs`).
//! - A change of what is on takes effect when every gateway knows of it (`base/lead.rs`).
//! - Unsafe code is in `ingest/srt/ffi.rs` only, and a process holds one libsrt.
//! - Clocks are read in `base::clock` only, and every task is joined at shutdown.
//!
//! # Words
//!
//! | word | meaning |
//! |:--|:--|
//! | channel | durable and named: alias, keys, capabilities |
//! | stream | one unbroken timeline of a channel, with its play id |
//! | publisher | one encoder's session on a channel |
//! | pull | the gateway calls a channel's source and publishes what it sends, instead of waiting for an encoder |
//! | program | what a stream has on air: it maps units to channel time and stamps boundaries |
//! | boundary | the stamp on the unit that opens a segment: sequence, time, discontinuity |
//! | member | one publisher session as its stream sees it: on air, standing by, or silent |
//! | session | what the channel API calls a publisher: an id that is the same in every fork |
//! | fork | another channel's stream id over a stream's timeline, or over its source units |
//! | hole | time in which the encoder on air sends nothing |
//! | hold | what rungs show in a hole: the last picture, then the slate |
//! | gap | a segment of which a rendition has no media, and says so |
//! | access unit | the smallest timed piece of one track: a picture or an audio frame |
//! | rendition, rung | an encoding that exists (the source included); one that is wanted |
//! | part, segment | a CMAF fragment, listed as soon as it is cut; the parts between two boundaries |
//! | recording | what is kept of a stream: its complete segments, playable when it has ended |
//! | application, tenant, SDK client | who owns channels; the same with regard to what is its own; the same registered for `/api`, with an API key |
//! | broadcast | what is on for a while, with a channel, a stream and a key of its own; `/api` calls it session, too |
//! | short id | a broadcast's number for people: r5 |
//! | user, contact | who signed up at a tenant; a number in a user's address book, whoever has it |
//! | pass | what a watch page has in the place of a key: it opens one broadcast and its chat, for minutes |
//! | room | where a broadcast is in LiveKit, named by its stream id; in `chat`, those who listen to it |
//! | co-host | who may publish into a broadcast's room beside its host, by an invite |
//! | webhook, delivery | where an application wants to hear of its events; one event on its way there |
//! | event | what a scheduler declared: a title, a time, a file, perhaps a repetition |
//! | show | one run of an event, on a stream of its own |
//! | asset, film | the file of an event and all that was made of it; the prepared media |
//! | slate | a still picture with the title: before and after a film, and in a hole |
//! | cut | a row of a show's log: from this channel time on, slate, film, encoder or nothing |
//! | takeover, leg | an encoder in a film's place; its segments as the show lists them |
//! | tap | who takes a stream's renditions as they are, off the frame path |
//! | screen | a show as those see it who tap it |
//! | push, destination | another place that a channel goes to while it is on air |
//! | forward | a stream on its way to one destination: its room, a WHIP endpoint, an RTMP server |
//! | layer | one of up to three sizes of a picture in a room (simulcast): a rung, sent untouched |
//! | listener | the gateway in a room that becomes a channel |
//! | timeline | the port between packager and HTTP: a snapshot of the window, bytes of a part |

pub mod app;
pub mod base;
pub mod cli;
pub mod config;
pub mod control;
pub mod credentials;
pub mod files;
pub mod films;
pub mod format;
pub mod forward;
pub mod hub;
pub mod ingest;
pub mod livekit;
pub mod manifest;
pub mod media;
pub mod origin;
pub mod package;
pub mod playout;
pub mod record;
pub mod rtc;
pub mod store;
pub mod transcode;
