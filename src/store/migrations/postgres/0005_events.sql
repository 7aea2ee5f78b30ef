-- The same tables as in SQLite, where the columns are explained.

CREATE TABLE events (
    id                  TEXT COLLATE "C" PRIMARY KEY,
    application_id      TEXT COLLATE "C" NOT NULL REFERENCES applications (id) ON DELETE CASCADE,
    user_id             TEXT COLLATE "C" NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    channel_id          TEXT COLLATE "C",
    title               TEXT NOT NULL,
    description         TEXT,
    starts_us           BIGINT NOT NULL,
    ends_us             BIGINT,
    first_us            BIGINT NOT NULL,
    length_us           BIGINT,
    time_zone           TEXT NOT NULL,
    repeat              TEXT NOT NULL,
    repeat_until_end    BOOLEAN NOT NULL,
    status              TEXT NOT NULL,
    error               TEXT,
    asset_id            TEXT COLLATE "C",
    stream_id           TEXT COLLATE "C" NOT NULL UNIQUE,
    broadcast_id        TEXT COLLATE "C",
    playback_started_us BIGINT,
    takeover            BOOLEAN NOT NULL DEFAULT FALSE,
    created_us          BIGINT NOT NULL,
    updated_us          BIGINT NOT NULL,
    revision            BIGINT NOT NULL
);

CREATE INDEX events_by_start ON events (application_id, starts_us, id);
CREATE INDEX events_by_user ON events (user_id, created_us);
CREATE INDEX events_by_channel ON events (channel_id, status);
CREATE INDEX events_by_revision ON events (revision);

CREATE TABLE shows (
    stream_id TEXT COLLATE "C" PRIMARY KEY,
    event_id  TEXT COLLATE "C" NOT NULL REFERENCES events (id) ON DELETE CASCADE,
    asset_id  TEXT COLLATE "C",
    epoch_us  BIGINT NOT NULL,
    starts_us BIGINT NOT NULL,
    ends_us   BIGINT,
    looping   BOOLEAN NOT NULL,
    after     TEXT NOT NULL,
    ended_us  BIGINT
);

CREATE INDEX shows_by_event ON shows (event_id);
CREATE INDEX shows_by_asset ON shows (asset_id);
CREATE INDEX shows_by_end ON shows (ended_us);

CREATE TABLE cuts (
    stream_id     TEXT COLLATE "C" NOT NULL REFERENCES shows (stream_id) ON DELETE CASCADE,
    at_90k        BIGINT NOT NULL,
    sequence      BIGINT NOT NULL,
    discontinuity BIGINT NOT NULL,
    kind          TEXT NOT NULL,
    anchor_90k    BIGINT NOT NULL,
    PRIMARY KEY (stream_id, at_90k)
);

CREATE TABLE assets (
    id             TEXT COLLATE "C" PRIMARY KEY,
    application_id TEXT COLLATE "C" NOT NULL REFERENCES applications (id) ON DELETE CASCADE,
    user_id        TEXT COLLATE "C" NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    event_id       TEXT COLLATE "C" NOT NULL REFERENCES events (id) ON DELETE CASCADE,
    name           TEXT NOT NULL,
    kind           TEXT,
    bytes          BIGINT NOT NULL,
    sha256         TEXT,
    state          TEXT NOT NULL,
    progress       BIGINT NOT NULL DEFAULT 0,
    error          TEXT,
    duration_us    BIGINT,
    created_us     BIGINT NOT NULL,
    holder         TEXT,
    held_until_us  BIGINT NOT NULL DEFAULT 0
);

CREATE INDEX assets_by_event ON assets (event_id);
CREATE INDEX assets_by_user ON assets (user_id);
CREATE INDEX assets_by_state ON assets (state, created_us);

INSERT INTO revisions (name, value) VALUES ('events', 1);

CREATE FUNCTION count_show() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE revisions SET value = value + 1 WHERE name = 'events';
    RETURN NULL;
END
$$;

CREATE TRIGGER shows_deleted AFTER DELETE ON shows
    FOR EACH STATEMENT EXECUTE FUNCTION count_show();
