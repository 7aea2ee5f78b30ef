-- Applications that were registered as SDK clients (contract, broadcasts, section 2): a tenant is an
-- application, whoever made it.
-- SHA-256 of the API key; NULL: the application has none.
ALTER TABLE applications ADD COLUMN api_key_hash BLOB;
-- What was said at registration, a JSON object.
ALTER TABLE applications ADD COLUMN registration TEXT;
-- Requests with the API key in an hour; NULL: the default.
ALTER TABLE applications ADD COLUMN requests_per_hour INTEGER;

CREATE UNIQUE INDEX applications_by_api_key ON applications (api_key_hash);

-- The one stream of a channel that belongs to a broadcast: UUID. NULL: a stream ends with its publishers,
-- and the next publish opens another.
ALTER TABLE channels ADD COLUMN stream_id TEXT;

-- A broadcast, a session and a streaming session are one thing. Its channel is there from its creation to
-- its end, so the key opens nothing afterwards.
CREATE TABLE broadcasts (
    -- UUID
    id               TEXT PRIMARY KEY NOT NULL,
    -- Of the short id: r5.
    number           INTEGER NOT NULL UNIQUE,
    application_id   TEXT NOT NULL REFERENCES applications (id) ON DELETE CASCADE,
    -- Not a reference: it outlives its channel.
    channel_id       TEXT NOT NULL,
    -- UUID of the stream, and the name of the room.
    stream_id        TEXT NOT NULL UNIQUE,
    stream_key       TEXT NOT NULL,
    -- The user whose token made it; it outlives the user.
    user_id          TEXT,
    -- Whether it was made without credentials, and from which address.
    anonymous        INTEGER NOT NULL,
    address          TEXT,
    title            TEXT NOT NULL,
    description      TEXT,
    -- public, private, unlisted
    visibility       TEXT NOT NULL,
    tags             TEXT NOT NULL,
    -- JSON object
    metadata         TEXT NOT NULL,
    max_participants INTEGER,
    -- created, active, completed, error
    status           TEXT NOT NULL,
    reported_viewers INTEGER NOT NULL DEFAULT 0,
    -- Of the last heartbeat, or of what stands for one.
    heartbeat_us     INTEGER NOT NULL,
    -- When media last came in, or when it was made.
    media_us         INTEGER NOT NULL,
    created_us       INTEGER NOT NULL,
    started_us       INTEGER,
    ended_us         INTEGER,
    updated_us       INTEGER NOT NULL
);

CREATE INDEX broadcasts_by_application ON broadcasts (application_id, number);
CREATE INDEX broadcasts_by_status ON broadcasts (status, number);

CREATE TABLE users (
    -- UUID
    id             TEXT PRIMARY KEY NOT NULL,
    application_id TEXT NOT NULL REFERENCES applications (id) ON DELETE CASCADE,
    username       TEXT NOT NULL,
    email          TEXT NOT NULL,
    -- As they are compared: folded to lower case.
    username_key   TEXT NOT NULL,
    email_key      TEXT NOT NULL,
    -- All names, folded, one in a line, for searches.
    names_key      TEXT NOT NULL,
    -- argon2id in PHC form.
    password       TEXT NOT NULL,
    -- As it was given, and in E.164; empty: unknown.
    phone          TEXT NOT NULL DEFAULT '',
    phone_e164     TEXT NOT NULL DEFAULT '',
    first_name     TEXT,
    last_name      TEXT,
    display_name   TEXT,
    avatar_url     TEXT,
    created_us     INTEGER NOT NULL,
    updated_us     INTEGER NOT NULL,
    UNIQUE (application_id, username_key),
    UNIQUE (application_id, email_key)
);

CREATE INDEX users_by_phone ON users (application_id, phone_e164);

-- Bearer tokens of users.
CREATE TABLE bearers (
    -- SHA-256 of the token.
    hash       BLOB PRIMARY KEY NOT NULL,
    user_id    TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    created_us INTEGER NOT NULL,
    expires_us INTEGER NOT NULL
);

CREATE INDEX bearers_by_user ON bearers (user_id, created_us);
CREATE INDEX bearers_by_end ON bearers (expires_us);

CREATE TABLE follows (
    follower_id TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    followed_id TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    created_us  INTEGER NOT NULL,
    PRIMARY KEY (follower_id, followed_id)
);

CREATE INDEX follows_by_followed ON follows (followed_id);

CREATE TABLE contacts (
    -- UUID
    id           TEXT PRIMARY KEY NOT NULL,
    user_id      TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    -- As it was given, and in E.164, by which it is found again.
    phone        TEXT NOT NULL,
    phone_e164   TEXT NOT NULL,
    display_name TEXT,
    first_name   TEXT,
    last_name    TEXT,
    email        TEXT,
    created_us   INTEGER NOT NULL,
    updated_us   INTEGER NOT NULL,
    UNIQUE (user_id, phone_e164)
);

CREATE TABLE files (
    -- UUID
    id               TEXT PRIMARY KEY NOT NULL,
    user_id          TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    for_contact_id   TEXT,
    for_message_id   TEXT,
    for_call_id      TEXT,
    for_broadcast_id TEXT,
    name             TEXT NOT NULL,
    description      TEXT,
    mime_type        TEXT NOT NULL,
    -- What the client says, or where the bytes are that it sent.
    path_original    TEXT NOT NULL,
    path_thumbnail   TEXT,
    path_small       TEXT,
    path_medium      TEXT,
    path_large       TEXT,
    size_bytes       INTEGER NOT NULL,
    category         TEXT,
    tags             TEXT,
    location         TEXT,
    -- Whether the bytes are here, in the folder of its id.
    stored           INTEGER NOT NULL,
    created_us       INTEGER NOT NULL,
    updated_us       INTEGER NOT NULL
);

CREATE INDEX files_by_user ON files (user_id, created_us);
CREATE INDEX files_by_contact ON files (for_contact_id);
CREATE INDEX files_by_message ON files (for_message_id);
CREATE INDEX files_by_call ON files (for_call_id);
CREATE INDEX files_by_broadcast ON files (for_broadcast_id);

-- Messages of a broadcast's chat, in order.
CREATE TABLE chats (
    broadcast_id TEXT NOT NULL REFERENCES broadcasts (id) ON DELETE CASCADE,
    sequence     INTEGER NOT NULL,
    -- UUID
    id           TEXT NOT NULL,
    sent_us      INTEGER NOT NULL,
    user_id      TEXT,
    user_name    TEXT NOT NULL,
    message      TEXT NOT NULL,
    PRIMARY KEY (broadcast_id, sequence)
);

CREATE INDEX chats_by_time ON chats (sent_us);
