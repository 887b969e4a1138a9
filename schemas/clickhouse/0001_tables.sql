-- What is kept. Event times are Unix milliseconds in Int64, because a producer
-- may stamp any year; the views show them as DateTime64. The column "at" is
-- the server's wall clock at the insert and takes part in no key.

-- What one chunk of one partition has given to one stream of one window, up to
-- end_offset. Of two writes for one key the one that has seen more of the log
-- wins, so a retry, a zombie or a replay changes nothing.
CREATE TABLE IF NOT EXISTS partials{{cluster}}
(
    model LowCardinality(String),
    spec_seq UInt64 CODEC(Delta, ZSTD(1)),
    part UInt8,
    window_start Int64 CODEC(Delta, ZSTD(1)),
    version LowCardinality(String),
    role UInt8,
    feature LowCardinality(String),
    slice LowCardinality(String),
    topic LowCardinality(String),
    topic_id FixedString(16) CODEC(ZSTD(1)),
    truncation UInt32 CODEC(ZSTD(1)),
    partition Int32 CODEC(Delta, ZSTD(1)),
    chunk_start Int64 CODEC(Delta, ZSTD(1)),
    end_offset Int64 CODEC(Delta, ZSTD(1)),
    rows UInt64 CODEC(T64, ZSTD(1)),
    present UInt64 CODEC(T64, ZSTD(1)),
    absent UInt64 CODEC(T64, ZSTD(1)),
    nulls UInt64 CODEC(T64, ZSTD(1)),
    nans UInt64 CODEC(T64, ZSTD(1)),
    pos_infs UInt64 CODEC(T64, ZSTD(1)),
    neg_infs UInt64 CODEC(T64, ZSTD(1)),
    bad UInt64 CODEC(T64, ZSTD(1)),
    outside UInt64 CODEC(T64, ZSTD(1)),
    unexpected UInt64 CODEC(T64, ZSTD(1)),
    clipped UInt64 CODEC(T64, ZSTD(1)),
    late UInt64 CODEC(T64, ZSTD(1)),
    bins Array(UInt64) CODEC(ZSTD(1)),
    sum Int64 CODEC(ZSTD(1)),
    square_high UInt64 CODEC(T64, ZSTD(1)),
    square_low UInt64 CODEC(ZSTD(1)),
    min Float64 CODEC(ZSTD(1)),
    max Float64 CODEC(ZSTD(1)),
    distinct_small Array(UInt64) CODEC(ZSTD(1)),
    registers String CODEC(ZSTD(1)),
    distinct_full UInt8 CODEC(ZSTD(1)),
    run UInt64 CODEC(T64, ZSTD(1)),
    at DateTime64(3, 'UTC') DEFAULT now64(3, 'UTC') CODEC(Delta, ZSTD(1)),
    INDEX by_chunk chunk_start TYPE minmax GRANULARITY 1,
    INDEX by_insert at TYPE minmax GRANULARITY 1
)
ENGINE = {{engine "ReplacingMergeTree" "end_offset"}}
PARTITION BY intDiv(window_start, 604800000)
ORDER BY (model, spec_seq, part, window_start, version, role, feature, slice, topic, topic_id, truncation, partition, chunk_start);

-- Windows as they were judged: all partials of a closed window merged. The
-- revision is the sum of the end offsets of the merged rows, so that it grows
-- with every row that comes later.
CREATE TABLE IF NOT EXISTS summaries{{cluster}}
(
    model LowCardinality(String),
    spec_seq UInt64 CODEC(Delta, ZSTD(1)),
    part UInt8,
    window_start Int64 CODEC(Delta, ZSTD(1)),
    version LowCardinality(String),
    role UInt8,
    feature LowCardinality(String),
    slice LowCardinality(String),
    revision UInt64 CODEC(ZSTD(1)),
    rows UInt64 CODEC(T64, ZSTD(1)),
    present UInt64 CODEC(T64, ZSTD(1)),
    absent UInt64 CODEC(T64, ZSTD(1)),
    nulls UInt64 CODEC(T64, ZSTD(1)),
    nans UInt64 CODEC(T64, ZSTD(1)),
    pos_infs UInt64 CODEC(T64, ZSTD(1)),
    neg_infs UInt64 CODEC(T64, ZSTD(1)),
    bad UInt64 CODEC(T64, ZSTD(1)),
    outside UInt64 CODEC(T64, ZSTD(1)),
    unexpected UInt64 CODEC(T64, ZSTD(1)),
    clipped UInt64 CODEC(T64, ZSTD(1)),
    late UInt64 CODEC(T64, ZSTD(1)),
    bins Array(UInt64) CODEC(ZSTD(1)),
    sum Int64 CODEC(ZSTD(1)),
    square_high UInt64 CODEC(T64, ZSTD(1)),
    square_low UInt64 CODEC(ZSTD(1)),
    min Float64 CODEC(ZSTD(1)),
    max Float64 CODEC(ZSTD(1)),
    distinct_small Array(UInt64) CODEC(ZSTD(1)),
    registers String CODEC(ZSTD(1)),
    distinct_full UInt8 CODEC(ZSTD(1)),
    run UInt64 CODEC(T64, ZSTD(1)),
    at DateTime64(3, 'UTC') DEFAULT now64(3, 'UTC') CODEC(Delta, ZSTD(1))
)
ENGINE = {{engine "ReplacingMergeTree" "revision"}}
PARTITION BY intDiv(window_start, 2419200000)
ORDER BY (model, spec_seq, part, window_start, version, role, feature, slice);

-- Which windows are closed, and with which revision; one row for each, so that
-- it is there for a window without any stream too.
CREATE TABLE IF NOT EXISTS closed_windows{{cluster}}
(
    model LowCardinality(String),
    spec_seq UInt64,
    part UInt8,
    window_start Int64,
    revision UInt64,
    at DateTime64(3, 'UTC') DEFAULT now64(3, 'UTC')
)
ENGINE = {{engine "ReplacingMergeTree" "revision"}}
PARTITION BY intDiv(window_start, 2419200000)
ORDER BY (model, spec_seq, part, window_start);

-- How far each chunk of a partition is stored. Of two rows with one end the
-- one inserted last counts: it knows more of the partition around it.
CREATE TABLE IF NOT EXISTS progress_chunks{{cluster}}
(
    topic LowCardinality(String),
    topic_id FixedString(16),
    truncation UInt32,
    partition Int32,
    chunk_start Int64,
    previous Int64,
    end_offset Int64,
    spec_seq UInt64,
    clock_start Int64,
    clock Int64,
    rows UInt64,
    late UInt64,
    rejected_reasons Array(String),
    rejected_counts Array(UInt64),
    mark_models Array(String),
    mark_parts Array(UInt8),
    mark_starts Array(Int64),
    mark_maxima Array(Int64),
    mark_rows Array(UInt64),
    gap_from Int64,
    gap_to Int64,
    high_watermark Int64,
    log_start Int64,
    leader_epoch Int32,
    idle_since Int64,
    written_at Int64,
    at DateTime64(3, 'UTC') DEFAULT now64(3, 'UTC')
)
ENGINE = {{engine "ReplacingMergeTree" "end_offset"}}
ORDER BY (topic, topic_id, truncation, partition, chunk_start);

-- The furthest row of progress_chunks of each partition, so that the sweep
-- reads a few rows however long the history is. The end grows from chunk to
-- chunk, so it is the version here too.
CREATE TABLE IF NOT EXISTS progress_heads{{cluster}}
(
    topic LowCardinality(String),
    topic_id FixedString(16),
    truncation UInt32,
    partition Int32,
    chunk_start Int64,
    previous Int64,
    end_offset Int64,
    spec_seq UInt64,
    clock_start Int64,
    clock Int64,
    rows UInt64,
    late UInt64,
    rejected_reasons Array(String),
    rejected_counts Array(UInt64),
    mark_models Array(String),
    mark_parts Array(UInt8),
    mark_starts Array(Int64),
    mark_maxima Array(Int64),
    mark_rows Array(UInt64),
    gap_from Int64,
    gap_to Int64,
    high_watermark Int64,
    log_start Int64,
    leader_epoch Int32,
    idle_since Int64,
    written_at Int64,
    at DateTime64(3, 'UTC') DEFAULT now64(3, 'UTC')
)
ENGINE = {{engine "ReplacingMergeTree" "end_offset"}}
ORDER BY (topic, topic_id, truncation, partition);

-- When each epoch of a topic was first seen: the newest one counts.
CREATE TABLE IF NOT EXISTS epochs{{cluster}}
(
    topic LowCardinality(String),
    topic_id FixedString(16),
    at DateTime64(3, 'UTC') DEFAULT now64(3, 'UTC')
)
ENGINE = {{engine "MergeTree"}}
ORDER BY (topic, topic_id)
SETTINGS {{deduplication 10000}};

-- Narrow rows of predictions and labels, kept for joins.
CREATE TABLE IF NOT EXISTS ids{{cluster}}
(
    model LowCardinality(String),
    id UInt64,
    part UInt8,
    topic LowCardinality(String),
    topic_id FixedString(16) CODEC(ZSTD(1)),
    truncation UInt32 CODEC(ZSTD(1)),
    partition Int32 CODEC(ZSTD(1)),
    offset Int64 CODEC(ZSTD(1)),
    time Int64 CODEC(ZSTD(1)),
    version LowCardinality(String),
    number Float64 CODEC(ZSTD(1)),
    class LowCardinality(String),
    score Float64 CODEC(ZSTD(1)),
    latency_ms Float64 CODEC(ZSTD(1))
)
ENGINE = {{engine "ReplacingMergeTree"}}
PARTITION BY intDiv(time, 2419200000)
ORDER BY (model, id, part, topic, topic_id, truncation, partition, offset);

-- Sampled bad rows. A prefix of a chunk may have stored rows that the whole
-- chunk would not sample; readers take the smallest ranks.
CREATE TABLE IF NOT EXISTS violation_samples{{cluster}}
(
    model LowCardinality(String),
    fault LowCardinality(String),
    feature LowCardinality(String),
    topic LowCardinality(String),
    topic_id FixedString(16),
    truncation UInt32,
    partition Int32,
    chunk_start Int64,
    rank UInt64,
    offset Int64,
    version LowCardinality(String),
    value String CODEC(ZSTD(1)),
    reason String CODEC(ZSTD(1)),
    time Int64,
    at DateTime64(3, 'UTC') DEFAULT now64(3, 'UTC')
)
ENGINE = {{engine "ReplacingMergeTree"}}
PARTITION BY intDiv(time, 2419200000)
ORDER BY (model, fault, feature, topic, topic_id, truncation, partition, chunk_start, rank, offset);

-- The moments at which a per-event rule has been broken often enough.
CREATE TABLE IF NOT EXISTS trips{{cluster}}
(
    model LowCardinality(String),
    spec_seq UInt64,
    fault LowCardinality(String),
    feature LowCardinality(String),
    version LowCardinality(String),
    topic LowCardinality(String),
    topic_id FixedString(16),
    truncation UInt32,
    partition Int32,
    offset Int64,
    chunk_start Int64,
    end_offset Int64,
    window_start Int64,
    onset Int64,
    time Int64,
    onset_offset Int64,
    bad UInt64,
    rows UInt64,
    value String,
    reason String,
    at DateTime64(3, 'UTC') DEFAULT now64(3, 'UTC'),
    INDEX by_insert at TYPE minmax GRANULARITY 1
)
ENGINE = {{engine "ReplacingMergeTree" "end_offset"}}
ORDER BY (model, spec_seq, fault, feature, version, topic, topic_id, truncation, partition, offset);

-- Short stretches of one model in one partition, each with a sample of its rows.
CREATE TABLE IF NOT EXISTS panes{{cluster}}
(
    model LowCardinality(String),
    spec_seq UInt64,
    topic LowCardinality(String),
    topic_id FixedString(16),
    truncation UInt32,
    partition Int32,
    chunk_start Int64,
    seq UInt32,
    from_offset Int64,
    to_offset Int64,
    start Int64,
    end Int64,
    rows UInt64,
    at DateTime64(3, 'UTC') DEFAULT now64(3, 'UTC')
)
ENGINE = {{engine "ReplacingMergeTree"}}
PARTITION BY intDiv(start, 604800000)
ORDER BY (model, spec_seq, topic, topic_id, truncation, partition, chunk_start, seq);

CREATE TABLE IF NOT EXISTS pane_samples{{cluster}}
(
    model LowCardinality(String),
    spec_seq UInt64,
    topic LowCardinality(String),
    topic_id FixedString(16),
    truncation UInt32,
    partition Int32,
    chunk_start Int64,
    seq UInt32,
    rank UInt64,
    offset Int64,
    pane_start Int64,
    version LowCardinality(String),
    time Int64,
    numbers Array(Float64) CODEC(ZSTD(1)),
    categories Array(String) CODEC(ZSTD(1)),
    kinds Array(UInt8) CODEC(ZSTD(1))
)
ENGINE = {{engine "ReplacingMergeTree"}}
PARTITION BY intDiv(pane_start, 604800000)
ORDER BY (model, spec_seq, topic, topic_id, truncation, partition, chunk_start, seq, rank, offset);

-- The row functions of all models, in the order of registration.
CREATE TABLE IF NOT EXISTS specs{{cluster}}
(
    seq UInt64,
    model String,
    hash String,
    effective_from Int64,
    window_ms Int64,
    writer String,
    spec String CODEC(ZSTD(3)),
    at DateTime64(3, 'UTC') DEFAULT now64(3, 'UTC')
)
ENGINE = {{engine "MergeTree"}}
ORDER BY seq
SETTINGS {{deduplication 100000}};

-- The columns of each spec, written before the spec itself.
CREATE TABLE IF NOT EXISTS spec_columns{{cluster}}
(
    model LowCardinality(String),
    hash String,
    role UInt8,
    feature LowCardinality(String),
    type LowCardinality(String),
    edges Array(Float64),
    categories Array(String),
    anchor Float64,
    unit Float64
)
ENGINE = {{engine "ReplacingMergeTree"}}
ORDER BY (model, hash, role, feature);

-- What was decided. One step of one model is one insert block under the token
-- 'model/step': whole or not there, and only the first of several.
CREATE TABLE IF NOT EXISTS journal{{cluster}}
(
    model String,
    step UInt64,
    kind LowCardinality(String),
    ordinal UInt32,
    writer String,
    hash UInt64,
    time Int64,
    subject String,
    body String CODEC(ZSTD(1)),
    inputs String CODEC(ZSTD(1)),
    parameters String CODEC(ZSTD(1)),
    state String CODEC(ZSTD(1)),
    version LowCardinality(String),
    role UInt8,
    feature LowCardinality(String),
    slice LowCardinality(String),
    window_start Int64,
    channel LowCardinality(String),
    verdict LowCardinality(String),
    effect Float64,
    low Float64,
    expected Float64,
    high Float64,
    p Float64,
    n UInt64,
    revision UInt64,
    reason String,
    at DateTime64(3, 'UTC') DEFAULT now64(3, 'UTC'),
    INDEX by_kind kind TYPE set(8) GRANULARITY 1,
    INDEX by_window window_start TYPE minmax GRANULARITY 1,
    INDEX by_insert at TYPE minmax GRANULARITY 1,
    INDEX by_subject subject TYPE bloom_filter GRANULARITY 1
)
ENGINE = {{engine "MergeTree"}}
PARTITION BY cityHash64(model) % 16
ORDER BY (model, step, kind)
SETTINGS index_granularity = 512, {{deduplication 100000}};

-- Messages of the outbox that the bus has acknowledged.
CREATE TABLE IF NOT EXISTS sent{{cluster}}
(
    id String,
    at DateTime64(3, 'UTC') DEFAULT now64(3, 'UTC'),
    INDEX by_insert at TYPE minmax GRANULARITY 1
)
ENGINE = {{engine "ReplacingMergeTree"}}
ORDER BY id;

-- What jobs have said of their retrain requests, as it came from the bus.
CREATE TABLE IF NOT EXISTS statuses{{cluster}}
(
    request String,
    sequence UInt64,
    model LowCardinality(String),
    state LowCardinality(String),
    by String,
    status String CODEC(ZSTD(1)),
    message String CODEC(ZSTD(1)),
    time Int64,
    at DateTime64(3, 'UTC') DEFAULT now64(3, 'UTC')
)
ENGINE = {{engine "ReplacingMergeTree"}}
ORDER BY (request, time, sequence);

-- When each stream of the bus was created: another time means another stream.
CREATE TABLE IF NOT EXISTS bus_streams{{cluster}}
(
    stream String,
    created Int64,
    at DateTime64(3, 'UTC') DEFAULT now64(3, 'UTC')
)
ENGINE = {{engine "ReplacingMergeTree" "created"}}
ORDER BY stream;
