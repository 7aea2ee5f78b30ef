-- The same columns as in SQLite, where they are explained.

ALTER TABLE shows ADD COLUMN screened_by TEXT;
ALTER TABLE shows ADD COLUMN screened_until_us BIGINT NOT NULL DEFAULT 0;
ALTER TABLE shows ADD COLUMN screened_first BOOLEAN NOT NULL DEFAULT FALSE;
