-- Which of several gateways sends a show on to rooms and other places, and until when if it is not heard of.
ALTER TABLE shows ADD COLUMN screened_by TEXT;
ALTER TABLE shows ADD COLUMN screened_until_us INTEGER NOT NULL DEFAULT 0;
-- Whether the encoder in the film's place is there: nobody takes the show from that one.
ALTER TABLE shows ADD COLUMN screened_first INTEGER NOT NULL DEFAULT 0;
