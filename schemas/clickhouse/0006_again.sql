-- What operators want read again: the chunks of a partition that begin in
-- [from_offset, until_offset). One request is one number.
CREATE TABLE IF NOT EXISTS rewinds{{cluster}}
(
    seq UInt64,
    topic LowCardinality(String),
    topic_id FixedString(16),
    truncation UInt32,
    partition Int32,
    from_offset Int64,
    until_offset Int64,
    reason String,
    writer String,
    at DateTime64(3, 'UTC') DEFAULT now64(3, 'UTC')
)
ENGINE = {{engine "MergeTree"}}
ORDER BY (seq, topic, partition)
SETTINGS {{deduplication 100000}};

-- Up to which request a chunk was read.
ALTER TABLE progress_chunks{{cluster}} ADD COLUMN IF NOT EXISTS rewind_seq UInt64 AFTER spec_seq;
ALTER TABLE progress_heads{{cluster}} ADD COLUMN IF NOT EXISTS rewind_seq UInt64 AFTER spec_seq;

-- Windows that a spec counts and that start before it are the past of the
-- model when the spec was registered: they are shown, and nobody is told.
ALTER TABLE specs{{cluster}} ADD COLUMN IF NOT EXISTS history_until Int64 DEFAULT -9223372036854775808 AFTER effective_from;
