-- The highest number of viewers that was reported of a broadcast.
ALTER TABLE broadcasts ADD COLUMN peak_viewers INTEGER NOT NULL DEFAULT 0;
-- Whether it takes co-hosts, and how its hosts are laid out: a JSON object. NULL: the defaults.
ALTER TABLE broadcasts ADD COLUMN multi_host TEXT;

CREATE TABLE cohosts (
    -- UUID
    id           TEXT PRIMARY KEY NOT NULL,
    broadcast_id TEXT NOT NULL REFERENCES broadcasts (id) ON DELETE CASCADE,
    -- Its identity in the room.
    user_id      TEXT NOT NULL,
    user_name    TEXT NOT NULL,
    -- JSON object
    permissions  TEXT NOT NULL,
    joined_us    INTEGER NOT NULL,
    -- Who was removed stays, so that it does not come back. NULL: it is there.
    removed_us   INTEGER,
    UNIQUE (broadcast_id, user_id)
);
