-- The same tables as in SQLite, where the columns are explained.

ALTER TABLE applications ADD COLUMN api_key_hash BYTEA;
ALTER TABLE applications ADD COLUMN registration TEXT;
ALTER TABLE applications ADD COLUMN requests_per_hour BIGINT;

CREATE UNIQUE INDEX applications_by_api_key ON applications (api_key_hash);

ALTER TABLE channels ADD COLUMN stream_id TEXT;

CREATE TABLE broadcasts (
    id               TEXT COLLATE "C" PRIMARY KEY,
    number           BIGINT NOT NULL UNIQUE,
    application_id   TEXT COLLATE "C" NOT NULL REFERENCES applications (id) ON DELETE CASCADE,
    channel_id       TEXT COLLATE "C" NOT NULL,
    stream_id        TEXT COLLATE "C" NOT NULL UNIQUE,
    stream_key       TEXT NOT NULL,
    user_id          TEXT COLLATE "C",
    anonymous        BOOLEAN NOT NULL,
    address          TEXT,
    title            TEXT NOT NULL,
    description      TEXT,
    visibility       TEXT NOT NULL,
    tags             TEXT NOT NULL,
    metadata         TEXT NOT NULL,
    max_participants BIGINT,
    status           TEXT NOT NULL,
    reported_viewers BIGINT NOT NULL DEFAULT 0,
    heartbeat_us     BIGINT NOT NULL,
    media_us         BIGINT NOT NULL,
    created_us       BIGINT NOT NULL,
    started_us       BIGINT,
    ended_us         BIGINT,
    updated_us       BIGINT NOT NULL
);

CREATE INDEX broadcasts_by_application ON broadcasts (application_id, number);
CREATE INDEX broadcasts_by_status ON broadcasts (status, number);

CREATE TABLE users (
    id             TEXT COLLATE "C" PRIMARY KEY,
    application_id TEXT COLLATE "C" NOT NULL REFERENCES applications (id) ON DELETE CASCADE,
    username       TEXT NOT NULL,
    email          TEXT NOT NULL,
    username_key   TEXT COLLATE "C" NOT NULL,
    email_key      TEXT COLLATE "C" NOT NULL,
    names_key      TEXT COLLATE "C" NOT NULL,
    password       TEXT NOT NULL,
    phone          TEXT NOT NULL DEFAULT '',
    phone_e164     TEXT COLLATE "C" NOT NULL DEFAULT '',
    first_name     TEXT,
    last_name      TEXT,
    display_name   TEXT,
    avatar_url     TEXT,
    created_us     BIGINT NOT NULL,
    updated_us     BIGINT NOT NULL,
    UNIQUE (application_id, username_key),
    UNIQUE (application_id, email_key)
);

CREATE INDEX users_by_phone ON users (application_id, phone_e164);

CREATE TABLE bearers (
    hash       BYTEA PRIMARY KEY,
    user_id    TEXT COLLATE "C" NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    created_us BIGINT NOT NULL,
    expires_us BIGINT NOT NULL
);

CREATE INDEX bearers_by_user ON bearers (user_id, created_us);
CREATE INDEX bearers_by_end ON bearers (expires_us);

CREATE TABLE follows (
    follower_id TEXT COLLATE "C" NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    followed_id TEXT COLLATE "C" NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    created_us  BIGINT NOT NULL,
    PRIMARY KEY (follower_id, followed_id)
);

CREATE INDEX follows_by_followed ON follows (followed_id);

CREATE TABLE contacts (
    id           TEXT COLLATE "C" PRIMARY KEY,
    user_id      TEXT COLLATE "C" NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    phone        TEXT NOT NULL,
    phone_e164   TEXT COLLATE "C" NOT NULL,
    display_name TEXT,
    first_name   TEXT,
    last_name    TEXT,
    email        TEXT,
    created_us   BIGINT NOT NULL,
    updated_us   BIGINT NOT NULL,
    UNIQUE (user_id, phone_e164)
);

CREATE TABLE files (
    id               TEXT COLLATE "C" PRIMARY KEY,
    user_id          TEXT COLLATE "C" NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    for_contact_id   TEXT COLLATE "C",
    for_message_id   TEXT COLLATE "C",
    for_call_id      TEXT COLLATE "C",
    for_broadcast_id TEXT COLLATE "C",
    name             TEXT NOT NULL,
    description      TEXT,
    mime_type        TEXT NOT NULL,
    path_original    TEXT NOT NULL,
    path_thumbnail   TEXT,
    path_small       TEXT,
    path_medium      TEXT,
    path_large       TEXT,
    size_bytes       BIGINT NOT NULL,
    category         TEXT,
    tags             TEXT,
    location         TEXT,
    stored           BOOLEAN NOT NULL,
    created_us       BIGINT NOT NULL,
    updated_us       BIGINT NOT NULL
);

CREATE INDEX files_by_user ON files (user_id, created_us);
CREATE INDEX files_by_contact ON files (for_contact_id);
CREATE INDEX files_by_message ON files (for_message_id);
CREATE INDEX files_by_call ON files (for_call_id);
CREATE INDEX files_by_broadcast ON files (for_broadcast_id);

CREATE TABLE chats (
    broadcast_id TEXT COLLATE "C" NOT NULL REFERENCES broadcasts (id) ON DELETE CASCADE,
    sequence     BIGINT NOT NULL,
    id           TEXT NOT NULL,
    sent_us      BIGINT NOT NULL,
    user_id      TEXT COLLATE "C",
    user_name    TEXT NOT NULL,
    message      TEXT NOT NULL,
    PRIMARY KEY (broadcast_id, sequence)
);

CREATE INDEX chats_by_time ON chats (sent_us);
