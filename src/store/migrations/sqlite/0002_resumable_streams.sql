-- What the next run of the server needs to take a stream up again. Streams of a run that did not write
-- this were told nothing of it: they count as silent since 1970 and are ended.

ALTER TABLE streams ADD COLUMN capabilities TEXT NOT NULL DEFAULT '[]';
ALTER TABLE streams ADD COLUMN tags TEXT NOT NULL DEFAULT '[]';
-- Segment target and longest segment, in ticks of 90 kHz: numbers and TARGETDURATION count on them.
ALTER TABLE streams ADD COLUMN segment_target_90k INTEGER NOT NULL DEFAULT 0;
ALTER TABLE streams ADD COLUMN longest_segment_90k INTEGER NOT NULL DEFAULT 0;
-- The last time that somebody was known to publish, and what players had been told by then: the next
-- media sequence number, discontinuities, and where media end in ticks of 90 kHz.
ALTER TABLE streams ADD COLUMN alive_us INTEGER NOT NULL DEFAULT 0;
ALTER TABLE streams ADD COLUMN next_sequence INTEGER NOT NULL DEFAULT 0;
ALTER TABLE streams ADD COLUMN discontinuities INTEGER NOT NULL DEFAULT 0;
ALTER TABLE streams ADD COLUMN end_90k INTEGER NOT NULL DEFAULT 0;
-- Whether the run ended with it, so that nothing was told since.
ALTER TABLE streams ADD COLUMN final INTEGER NOT NULL DEFAULT 0;
