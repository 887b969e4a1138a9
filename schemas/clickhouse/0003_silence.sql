-- For how long a part of a model has not delivered while its partition went on.
ALTER TABLE progress_chunks{{cluster}} ADD COLUMN IF NOT EXISTS mark_silent_starts Array(Int64) AFTER mark_rows;
ALTER TABLE progress_chunks{{cluster}} ADD COLUMN IF NOT EXISTS mark_silences Array(Int64) AFTER mark_silent_starts;
ALTER TABLE progress_heads{{cluster}} ADD COLUMN IF NOT EXISTS mark_silent_starts Array(Int64) AFTER mark_rows;
ALTER TABLE progress_heads{{cluster}} ADD COLUMN IF NOT EXISTS mark_silences Array(Int64) AFTER mark_silent_starts;
