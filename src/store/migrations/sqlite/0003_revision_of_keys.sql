-- Counts changes of what a publish is found by, so that a process that holds stream keys in memory sees
-- by one number whether another process has changed them. Triggers, so that no writer can forget it.

CREATE TABLE revisions (
    name  TEXT PRIMARY KEY NOT NULL,
    value INTEGER NOT NULL
);

INSERT INTO revisions (name, value) VALUES ('keys', 1);

CREATE TRIGGER keys_inserted AFTER INSERT ON channels BEGIN
    UPDATE revisions SET value = value + 1 WHERE name = 'keys';
END;

-- Channels that go with their application as well.
CREATE TRIGGER keys_deleted AFTER DELETE ON channels BEGIN
    UPDATE revisions SET value = value + 1 WHERE name = 'keys';
END;

CREATE TRIGGER keys_updated AFTER UPDATE OF id, application_id, alias, key_hash ON channels BEGIN
    UPDATE revisions SET value = value + 1 WHERE name = 'keys';
END;
