-- What a user declared: a film, when, and how often. Goes with its user and its tenant.
CREATE TABLE events (
    -- UUID
    id                  TEXT PRIMARY KEY NOT NULL,
    application_id      TEXT NOT NULL REFERENCES applications (id) ON DELETE CASCADE,
    user_id             TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    -- The channel whose name leads to it while it is active. Not a reference: without the channel there is
    -- no such name, and the event plays on its own.
    channel_id          TEXT,
    title               TEXT NOT NULL,
    description         TEXT,
    -- Of the run that is on or comes next.
    starts_us           INTEGER NOT NULL,
    ends_us             INTEGER,
    -- Of the first run, from which all others are counted.
    first_us            INTEGER NOT NULL,
    -- How long a run is as it was declared; one that is ended by hand is shorter.
    length_us           INTEGER,
    -- IANA name, in which repeats are counted.
    time_zone           TEXT NOT NULL,
    -- none, daily, weekly, monthly, until_end
    repeat              TEXT NOT NULL,
    repeat_until_end    INTEGER NOT NULL,
    -- scheduled, active, completed, error
    status              TEXT NOT NULL,
    error               TEXT,
    -- Its newest file that came whole, and the stream of that run. Not references: both are found by their
    -- own event_id.
    asset_id            TEXT,
    stream_id           TEXT NOT NULL UNIQUE,
    -- Of the run that is on, or was last. Not a reference: broadcasts go with their tenant only.
    broadcast_id        TEXT,
    playback_started_us INTEGER,
    -- Whether the owner's encoder is asked for.
    takeover            INTEGER NOT NULL DEFAULT 0,
    created_us          INTEGER NOT NULL,
    updated_us          INTEGER NOT NULL,
    -- What `revisions` counted at its last change, that of its shows and cuts included.
    revision            INTEGER NOT NULL
);

CREATE INDEX events_by_start ON events (application_id, starts_us, id);
CREATE INDEX events_by_user ON events (user_id, created_us);
CREATE INDEX events_by_channel ON events (channel_id, status);
CREATE INDEX events_by_revision ON events (revision);

-- One run of an event. Deleted some time after its end.
CREATE TABLE shows (
    -- UUID
    stream_id TEXT PRIMARY KEY NOT NULL,
    event_id  TEXT NOT NULL REFERENCES events (id) ON DELETE CASCADE,
    asset_id  TEXT,
    -- Time zero of its stream, a whole second.
    epoch_us  INTEGER NOT NULL,
    starts_us INTEGER NOT NULL,
    ends_us   INTEGER,
    looping   INTEGER NOT NULL,
    -- slate, end: what comes when the film is over before the show
    after     TEXT NOT NULL,
    -- When it was said to be over.
    ended_us  INTEGER
);

CREATE INDEX shows_by_event ON shows (event_id);
CREATE INDEX shows_by_asset ON shows (asset_id);
CREATE INDEX shows_by_end ON shows (ended_us);

-- From this time of the stream on, this is on. What has passed is never changed.
CREATE TABLE cuts (
    stream_id     TEXT NOT NULL REFERENCES shows (stream_id) ON DELETE CASCADE,
    at_90k        INTEGER NOT NULL,
    sequence      INTEGER NOT NULL,
    discontinuity INTEGER NOT NULL,
    -- slate, film, live, end
    kind          TEXT NOT NULL,
    -- Time zero of what is on.
    anchor_90k    INTEGER NOT NULL,
    PRIMARY KEY (stream_id, at_90k)
);

-- Uploaded files of events, and what is prepared of them, in folders of their ids. The rows go with the event;
-- a folder without a row is nobody's.
CREATE TABLE assets (
    -- UUID
    id             TEXT PRIMARY KEY NOT NULL,
    application_id TEXT NOT NULL REFERENCES applications (id) ON DELETE CASCADE,
    user_id        TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    event_id       TEXT NOT NULL REFERENCES events (id) ON DELETE CASCADE,
    -- As the user calls it. Nothing is opened by this name.
    name           TEXT NOT NULL,
    -- video, audio; NULL: not known yet
    kind           TEXT,
    -- That were said to come, then those that came.
    bytes          INTEGER NOT NULL,
    -- Hexadecimal, of the original; NULL: it is not whole.
    sha256         TEXT,
    -- uploading, uploaded, preparing, prepared, failed
    state          TEXT NOT NULL,
    -- Percent that are prepared.
    progress       INTEGER NOT NULL DEFAULT 0,
    error          TEXT,
    duration_us    INTEGER,
    created_us     INTEGER NOT NULL,
    -- The gateway that prepares it, and until when no other one does.
    holder         TEXT,
    held_until_us  INTEGER NOT NULL DEFAULT 0
);

CREATE INDEX assets_by_event ON assets (event_id);
CREATE INDEX assets_by_user ON assets (user_id);
CREATE INDEX assets_by_state ON assets (state, created_us);

-- Processes hold shows in memory: every change of an event counts. Writers count by themselves and put the
-- number into the event; what goes with something else is counted here.
INSERT INTO revisions (name, value) VALUES ('events', 1);

CREATE TRIGGER shows_deleted AFTER DELETE ON shows BEGIN
    UPDATE revisions SET value = value + 1 WHERE name = 'events';
END;
