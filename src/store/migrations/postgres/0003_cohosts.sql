-- The same as in SQLite, where the columns are explained.

ALTER TABLE broadcasts ADD COLUMN peak_viewers BIGINT NOT NULL DEFAULT 0;
ALTER TABLE broadcasts ADD COLUMN multi_host TEXT;

CREATE TABLE cohosts (
    id           TEXT COLLATE "C" PRIMARY KEY,
    broadcast_id TEXT COLLATE "C" NOT NULL REFERENCES broadcasts (id) ON DELETE CASCADE,
    user_id      TEXT COLLATE "C" NOT NULL,
    user_name    TEXT NOT NULL,
    permissions  TEXT NOT NULL,
    joined_us    BIGINT NOT NULL,
    removed_us   BIGINT,
    UNIQUE (broadcast_id, user_id)
);
