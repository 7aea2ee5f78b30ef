-- The same tables as in SQLite, where the columns are explained.

CREATE TABLE webhooks (
    id               TEXT COLLATE "C" PRIMARY KEY,
    application_id   TEXT COLLATE "C" NOT NULL REFERENCES applications (id) ON DELETE CASCADE,
    url              TEXT NOT NULL,
    description      TEXT NOT NULL,
    events           TEXT NOT NULL,
    secret           TEXT NOT NULL,
    old_secret       TEXT,
    old_until_us     BIGINT,
    active           BOOLEAN NOT NULL,
    off_reason       TEXT,
    failing_since_us BIGINT,
    failures         BIGINT NOT NULL DEFAULT 0,
    last_sequence    BIGINT NOT NULL DEFAULT 0,
    lease_until_us   BIGINT NOT NULL DEFAULT 0,
    lease_node       TEXT,
    lease            TEXT,
    created_us       BIGINT NOT NULL,
    updated_us       BIGINT NOT NULL
);

CREATE INDEX webhooks_by_application ON webhooks (application_id, created_us);

CREATE TABLE webhook_deliveries (
    webhook_id   TEXT COLLATE "C" NOT NULL REFERENCES webhooks (id) ON DELETE CASCADE,
    sequence     BIGINT NOT NULL,
    id           TEXT NOT NULL,
    event        TEXT NOT NULL,
    data         TEXT NOT NULL,
    attempts     BIGINT NOT NULL DEFAULT 0,
    next_us      BIGINT,
    code         BIGINT,
    error        TEXT,
    created_us   BIGINT NOT NULL,
    attempted_us BIGINT,
    delivered_us BIGINT,
    PRIMARY KEY (webhook_id, sequence)
);

CREATE INDEX webhook_deliveries_due ON webhook_deliveries (next_us);
CREATE INDEX webhook_deliveries_of ON webhook_deliveries (webhook_id, next_us);
CREATE INDEX webhook_deliveries_by_time ON webhook_deliveries (created_us);
