-- Where operators have channels pushed. Goes with its channel.
CREATE TABLE forwards (
    -- UUID
    id         TEXT PRIMARY KEY NOT NULL,
    channel_id TEXT NOT NULL REFERENCES channels (id) ON DELETE CASCADE,
    -- rtmp, whip, ingress
    kind       TEXT NOT NULL,
    -- Address, or name of a room. That of WHIP may hold a key.
    place      TEXT NOT NULL,
    -- Stream key or token, in clear: it is sent as it is.
    secret     TEXT,
    created_us INTEGER NOT NULL
);

CREATE INDEX forwards_by_channel ON forwards (channel_id, created_us);
