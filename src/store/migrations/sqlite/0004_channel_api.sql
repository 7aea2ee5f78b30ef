-- Options of the ingest as the channel API gave them, JSON; NULL: none were given. What a publish takes of
-- them is in capabilities and tags as well.
ALTER TABLE channels ADD COLUMN ingest TEXT;
-- Of these options the one that may hold credentials, whole; in the JSON they are hidden.
ALTER TABLE channels ADD COLUMN source_uri TEXT;

-- Not unique: channels of the configuration file may have any name.
CREATE INDEX channels_by_name ON channels (application_id, name);

-- Processes hold whole channels and applications in memory: every change of either counts.
UPDATE revisions SET name = 'known' WHERE name = 'keys';

DROP TRIGGER keys_inserted;
DROP TRIGGER keys_updated;
DROP TRIGGER keys_deleted;

CREATE TRIGGER channels_inserted AFTER INSERT ON channels BEGIN
    UPDATE revisions SET value = value + 1 WHERE name = 'known';
END;

CREATE TRIGGER channels_updated AFTER UPDATE ON channels BEGIN
    UPDATE revisions SET value = value + 1 WHERE name = 'known';
END;

-- Those that go with their application as well.
CREATE TRIGGER channels_deleted AFTER DELETE ON channels BEGIN
    UPDATE revisions SET value = value + 1 WHERE name = 'known';
END;

CREATE TRIGGER applications_inserted AFTER INSERT ON applications BEGIN
    UPDATE revisions SET value = value + 1 WHERE name = 'known';
END;

CREATE TRIGGER applications_updated AFTER UPDATE ON applications BEGIN
    UPDATE revisions SET value = value + 1 WHERE name = 'known';
END;

CREATE TRIGGER applications_deleted AFTER DELETE ON applications BEGIN
    UPDATE revisions SET value = value + 1 WHERE name = 'known';
END;

-- The gateway that has the stream, and when it last said that it is there: no other one touches it for some
-- time after that. Empty and 0: nobody has it.
ALTER TABLE streams ADD COLUMN node TEXT NOT NULL DEFAULT '';
ALTER TABLE streams ADD COLUMN leased_us INTEGER NOT NULL DEFAULT 0;

-- Where messages of a channel are, and the number of the newest one. Without a channel they can no longer
-- be reached, and are deleted bit by bit.
CREATE TABLE rooms (
    -- Random; the part of message ids that tells a channel from a later one of the same id.
    id         TEXT PRIMARY KEY NOT NULL,
    channel_id TEXT UNIQUE REFERENCES channels (id) ON DELETE SET NULL,
    sequence   INTEGER NOT NULL
);

CREATE TABLE messages (
    room_id         TEXT NOT NULL,
    sequence        INTEGER NOT NULL,
    sent_us         INTEGER NOT NULL,
    -- Who sent it, in the words of the sender.
    session_id      TEXT NOT NULL,
    screen_name     TEXT NOT NULL,
    role            TEXT NOT NULL,
    -- Milliseconds since 1970, as the sender gave them.
    from_updated_ms INTEGER NOT NULL,
    mime_type       TEXT NOT NULL,
    message         TEXT NOT NULL,
    tags            TEXT NOT NULL,
    PRIMARY KEY (room_id, sequence)
);

CREATE INDEX messages_by_time ON messages (sent_us);
