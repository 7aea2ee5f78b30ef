-- Where a tenant wants to hear of its broadcasts and publishers.
CREATE TABLE webhooks (
    -- UUID
    id               TEXT PRIMARY KEY NOT NULL,
    application_id   TEXT NOT NULL REFERENCES applications (id) ON DELETE CASCADE,
    url              TEXT NOT NULL,
    description      TEXT NOT NULL,
    -- JSON array of words; empty: all events.
    events           TEXT NOT NULL,
    -- What the body is signed with: whsec_…
    secret           TEXT NOT NULL,
    -- The one before, until when it signs as well.
    old_secret       TEXT,
    old_until_us     INTEGER,
    active           INTEGER NOT NULL,
    -- Why the gateway switched it off; NULL: it did not.
    off_reason       TEXT,
    -- Since when no attempt has succeeded, and how many have failed since; NULL: the last one succeeded.
    failing_since_us INTEGER,
    failures         INTEGER NOT NULL DEFAULT 0,
    -- Number of its newest delivery.
    last_sequence    INTEGER NOT NULL DEFAULT 0,
    -- One gateway at a time sends to it: until when, which one, and a word that tells its attempts apart.
    lease_until_us   INTEGER NOT NULL DEFAULT 0,
    lease_node       TEXT,
    lease            TEXT,
    created_us       INTEGER NOT NULL,
    updated_us       INTEGER NOT NULL
);

CREATE INDEX webhooks_by_application ON webhooks (application_id, created_us);

-- What is, or was, to be told to a webhook, in order.
CREATE TABLE webhook_deliveries (
    webhook_id   TEXT NOT NULL REFERENCES webhooks (id) ON DELETE CASCADE,
    sequence     INTEGER NOT NULL,
    -- msg_…
    id           TEXT NOT NULL,
    -- broadcast.created, …
    event        TEXT NOT NULL,
    -- JSON object
    data         TEXT NOT NULL,
    attempts     INTEGER NOT NULL DEFAULT 0,
    -- When it is tried next; NULL: no more.
    next_us      INTEGER,
    -- Of the last attempt: code of the answer, or why there was none.
    code         INTEGER,
    error        TEXT,
    created_us   INTEGER NOT NULL,
    attempted_us INTEGER,
    delivered_us INTEGER,
    PRIMARY KEY (webhook_id, sequence)
);

CREATE INDEX webhook_deliveries_due ON webhook_deliveries (next_us);
CREATE INDEX webhook_deliveries_of ON webhook_deliveries (webhook_id, next_us);
CREATE INDEX webhook_deliveries_by_time ON webhook_deliveries (created_us);
