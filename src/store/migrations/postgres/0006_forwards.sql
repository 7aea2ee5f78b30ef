-- The same table as in SQLite, where the columns are explained.

CREATE TABLE forwards (
    id         TEXT COLLATE "C" PRIMARY KEY,
    channel_id TEXT COLLATE "C" NOT NULL REFERENCES channels (id) ON DELETE CASCADE,
    kind       TEXT NOT NULL,
    place      TEXT NOT NULL,
    secret     TEXT,
    created_us BIGINT NOT NULL
);

CREATE INDEX forwards_by_channel ON forwards (channel_id, created_us);
