-- The same tables as in SQLite, where the columns are explained. Times are microseconds since 1970-01-01
-- UTC; lists are JSON arrays of text. Text sorts by bytes, as in SQLite.

CREATE TABLE applications (
    id         TEXT COLLATE "C" PRIMARY KEY,
    secret     TEXT NOT NULL,
    created_us BIGINT NOT NULL
);

CREATE TABLE channels (
    id             TEXT COLLATE "C" PRIMARY KEY,
    application_id TEXT COLLATE "C" NOT NULL REFERENCES applications (id) ON DELETE CASCADE,
    alias          TEXT COLLATE "C" NOT NULL,
    name           TEXT NOT NULL,
    description    TEXT NOT NULL DEFAULT '',
    stream_key     TEXT NOT NULL,
    key_hash       BYTEA NOT NULL UNIQUE,
    capabilities   TEXT,
    tags           TEXT NOT NULL DEFAULT '[]',
    options        TEXT NOT NULL DEFAULT '[]',
    declared       BOOLEAN NOT NULL DEFAULT FALSE,
    ingest         TEXT,
    source_uri     TEXT,
    created_us     BIGINT NOT NULL,
    updated_us     BIGINT NOT NULL,
    UNIQUE (application_id, alias)
);

CREATE INDEX channels_by_alias ON channels (alias);
CREATE INDEX channels_by_name ON channels (application_id, name);

CREATE TABLE streams (
    id                  TEXT COLLATE "C" PRIMARY KEY,
    channel_id          TEXT COLLATE "C" NOT NULL REFERENCES channels (id) ON DELETE CASCADE,
    epoch_us            BIGINT NOT NULL,
    opened_us           BIGINT NOT NULL,
    ended_us            BIGINT,
    capabilities        TEXT NOT NULL DEFAULT '[]',
    tags                TEXT NOT NULL DEFAULT '[]',
    segment_target_90k  BIGINT NOT NULL DEFAULT 0,
    longest_segment_90k BIGINT NOT NULL DEFAULT 0,
    alive_us            BIGINT NOT NULL DEFAULT 0,
    next_sequence       BIGINT NOT NULL DEFAULT 0,
    discontinuities     BIGINT NOT NULL DEFAULT 0,
    end_90k             BIGINT NOT NULL DEFAULT 0,
    final               BOOLEAN NOT NULL DEFAULT FALSE,
    node                TEXT COLLATE "C" NOT NULL DEFAULT '',
    leased_us           BIGINT NOT NULL DEFAULT 0
);

CREATE INDEX streams_by_channel ON streams (channel_id, opened_us);
CREATE INDEX streams_open ON streams (opened_us) WHERE ended_us IS NULL;

CREATE TABLE rooms (
    id         TEXT COLLATE "C" PRIMARY KEY,
    channel_id TEXT COLLATE "C" UNIQUE REFERENCES channels (id) ON DELETE SET NULL,
    sequence   BIGINT NOT NULL
);

CREATE TABLE messages (
    room_id         TEXT COLLATE "C" NOT NULL,
    sequence        BIGINT NOT NULL,
    sent_us         BIGINT NOT NULL,
    session_id      TEXT NOT NULL,
    screen_name     TEXT NOT NULL,
    role            TEXT NOT NULL,
    from_updated_ms BIGINT NOT NULL,
    mime_type       TEXT NOT NULL,
    message         TEXT NOT NULL,
    tags            TEXT NOT NULL,
    PRIMARY KEY (room_id, sequence)
);

CREATE INDEX messages_by_time ON messages (sent_us);

-- Counts changes of what processes hold in memory, as in SQLite. Once for each statement, not for each row.
CREATE TABLE revisions (
    name  TEXT PRIMARY KEY,
    value BIGINT NOT NULL
);

INSERT INTO revisions (name, value) VALUES ('known', 1);

CREATE FUNCTION count_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE revisions SET value = value + 1 WHERE name = 'known';
    RETURN NULL;
END
$$;

CREATE TRIGGER channels_changed AFTER INSERT OR UPDATE OR DELETE ON channels
    FOR EACH STATEMENT EXECUTE FUNCTION count_change();

CREATE TRIGGER applications_changed AFTER INSERT OR UPDATE OR DELETE ON applications
    FOR EACH STATEMENT EXECUTE FUNCTION count_change();
