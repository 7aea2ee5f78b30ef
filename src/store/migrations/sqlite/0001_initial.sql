-- Times are microseconds since 1970-01-01 UTC; lists are JSON arrays of text.

CREATE TABLE applications (
    id         TEXT PRIMARY KEY NOT NULL,
    -- As it is: playback tokens are HMACs with it, so a hash would not do.
    secret     TEXT NOT NULL,
    created_us INTEGER NOT NULL
);

CREATE TABLE channels (
    -- {region}#{application}#{alias}
    id             TEXT PRIMARY KEY NOT NULL,
    application_id TEXT NOT NULL REFERENCES applications (id) ON DELETE CASCADE,
    alias          TEXT NOT NULL,
    name           TEXT NOT NULL,
    description    TEXT NOT NULL DEFAULT '',
    -- As it is, because the channel API returns it.
    stream_key     TEXT NOT NULL,
    -- SHA-256 of it, by which a publish finds its channel.
    key_hash       BLOB NOT NULL UNIQUE,
    -- NULL: the channel names none, the default applies.
    capabilities   TEXT,
    tags           TEXT NOT NULL DEFAULT '[]',
    options        TEXT NOT NULL DEFAULT '[]',
    -- Whether the configuration file declares it.
    declared       INTEGER NOT NULL DEFAULT 0,
    created_us     INTEGER NOT NULL,
    updated_us     INTEGER NOT NULL,
    UNIQUE (application_id, alias)
);

CREATE INDEX channels_by_alias ON channels (alias);

CREATE TABLE streams (
    -- UUID
    id         TEXT PRIMARY KEY NOT NULL,
    channel_id TEXT NOT NULL REFERENCES channels (id) ON DELETE CASCADE,
    -- Wall-clock point of media time zero.
    epoch_us   INTEGER NOT NULL,
    opened_us  INTEGER NOT NULL,
    -- NULL while it lives.
    ended_us   INTEGER
);

CREATE INDEX streams_by_channel ON streams (channel_id, opened_us);
CREATE INDEX streams_open ON streams (opened_us) WHERE ended_us IS NULL;
