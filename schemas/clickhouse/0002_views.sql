-- Views for people, Grafana and tests: de-duplicated, with names that stay.

-- The event times for which each spec counts: a row belongs to the last spec
-- of its model that takes effect at or before it.
CREATE OR REPLACE VIEW spec_intervals{{cluster}} AS
SELECT seq AS spec_seq, model, hash, window_ms, effective_from, if(later = 0, 9223372036854775807, next) AS until
FROM
(
    SELECT seq, model, hash, window_ms, effective_from, count() OVER following AS later, min(effective_from) OVER following AS next
    FROM specs
    WINDOW following AS (PARTITION BY model ORDER BY seq ROWS BETWEEN 1 FOLLOWING AND UNBOUNDED FOLLOWING)
);

-- The windows with times in milliseconds and roles as numbers. Closed windows
-- come from their summaries, all others from the partials as they are now.
-- Parts of an event that count the same fault are added up here.
CREATE OR REPLACE VIEW window_rows{{cluster}} AS
WITH
    arrayResize(emptyArrayUInt8(), 1024, toUInt8(0)) AS no_registers,
    if(empty(m.registers), no_registers, m.registers) AS base,
    -- The hashes that chunks told apart exactly, as registers: index * 64 + rank, greatest rank first.
    arrayReverseSort(arrayMap(h -> toUInt32(bitShiftRight(h, 54)) * 64
        + toUInt32(64 - length(bin(bitOr(bitShiftLeft(h, 10), 512))) + position(bin(bitOr(bitShiftLeft(h, 10), 512)), '1')), m.small)) AS ranks,
    arrayFilter((x, i) -> (i = 1 OR intDiv(x, 64) != intDiv(ranks[i - 1], 64)) AND x % 64 > base[intDiv(x, 64) + 1], ranks, arrayEnumerate(ranks)) AS raised,
    arraySum(r -> exp2(-toFloat64(r)), base) + arraySum(x -> exp2(-toFloat64(x % 64)) - exp2(-toFloat64(base[intDiv(x, 64) + 1])), raised) AS harmonic,
    toInt64(countEqual(base, 0)) - toInt64(arrayCount(x -> base[intDiv(x, 64) + 1] = 0, raised)) AS zeros,
    0.7213 / (1 + 1.079 / 1024) * 1024 * 1024 / harmonic AS raw_estimate,
    toFloat64(m.present) AS n,
    m.present * (toInt256(m.square_high) * 4294967296 + toInt256(m.square_low)) - toInt256(m.total) * toInt256(m.total) AS squares
SELECT
    m.model AS model,
    m.version AS version,
    m.window_start AS window_start,
    m.window_start + s.window_ms AS window_end,
    m.role AS role,
    m.feature AS feature,
    m.slice AS slice,
    m.rows AS rows,
    m.present AS present,
    m.absent AS absent,
    m.nulls AS nulls,
    m.nans AS nans,
    m.infs AS infs,
    m.bad AS bad,
    if(c.type = 'category', m.bins[-1], 0) AS unseen,
    if(c.type = 'number' AND m.present > 0, m.least, NULL) AS min,
    if(c.type = 'number' AND m.present > 0, m.greatest, NULL) AS max,
    if(c.type = 'number' AND m.present > 0, c.anchor + c.unit * (toFloat64(m.total) / n), NULL) AS mean,
    if(c.type = 'number' AND m.present > 1, c.unit * sqrt(toFloat64(squares) / (n * (n - 1))), NULL) AS sd,
    multiIf(
        m.full, NULL,
        empty(m.registers) AND length(m.small) <= 64, toUInt64(length(m.small)),
        m.slice != '', NULL,
        raw_estimate <= 2.5 * 1024 AND zeros > 0, toUInt64(round(1024 * log(1024 / toFloat64(zeros)))),
        toUInt64(round(raw_estimate))) AS distinct,
    c.edges AS edges,
    m.bins AS bins,
    if(c.type = 'category',
        mapAdd(
            mapFromArrays(c.categories, arrayResize(arraySlice(m.bins, 1, length(c.categories)), length(c.categories), toUInt64(0))),
            if(m.bins[-1] > 0, map('other', m.bins[-1]), CAST(map(), 'Map(String, UInt64)'))),
        CAST(map(), 'Map(String, UInt64)')) AS top,
    m.late AS late,
    m.revision AS revision,
    m.closed AS closed,
    m.outside AS outside,
    m.unexpected AS unexpected,
    m.clipped AS clipped,
    m.run AS longest_run,
    m.spec_seq AS spec_seq
FROM
(
    SELECT
        model, version, window_start, role, feature, slice, spec_seq,
        min(u_closed) AS closed,
        sum(u_revision) AS revision,
        sum(u_rows) AS rows,
        sum(u_present) AS present,
        sum(u_absent) AS absent,
        sum(u_nulls) AS nulls,
        sum(u_nans) AS nans,
        sum(u_infs) AS infs,
        sum(u_bad) AS bad,
        sum(u_outside) AS outside,
        sum(u_unexpected) AS unexpected,
        sum(u_clipped) AS clipped,
        sum(u_late) AS late,
        sumForEach(u_bins) AS bins,
        sum(u_sum) AS total,
        sum(u_square_high) AS square_high,
        sum(u_square_low) AS square_low,
        min(u_min) AS least,
        max(u_max) AS greatest,
        groupUniqArrayArray(u_small) AS small,
        maxForEach(reinterpret(u_registers, 'Array(UInt8)')) AS registers,
        max(u_full) AS full,
        max(u_run) AS run
    FROM
    (
        SELECT model, version, window_start, role, feature, slice, spec_seq, 1 AS u_closed, revision AS u_revision,
            rows AS u_rows, present AS u_present, absent AS u_absent, nulls AS u_nulls, nans AS u_nans, pos_infs + neg_infs AS u_infs, bad AS u_bad,
            outside AS u_outside, unexpected AS u_unexpected, clipped AS u_clipped, late AS u_late, bins AS u_bins,
            sum AS u_sum, square_high AS u_square_high, square_low AS u_square_low, min AS u_min, max AS u_max,
            distinct_small AS u_small, registers AS u_registers, distinct_full AS u_full, run AS u_run
        FROM summaries FINAL
        WHERE (model, spec_seq, part, window_start) IN (SELECT model, spec_seq, part, window_start FROM closed_windows)
        UNION ALL
        SELECT model, version, window_start, role, feature, slice, spec_seq, 0, toUInt64(end_offset),
            rows, present, absent, nulls, nans, pos_infs + neg_infs, bad,
            outside, unexpected, clipped, late, bins,
            sum, square_high, square_low, min, max,
            distinct_small, registers, distinct_full, run
        FROM partials FINAL
        WHERE (model, spec_seq, part, window_start) NOT IN (SELECT model, spec_seq, part, window_start FROM closed_windows)
    )
    GROUP BY model, version, window_start, role, feature, slice, spec_seq
) AS m
INNER JOIN spec_intervals AS s ON m.spec_seq = s.spec_seq
LEFT JOIN (SELECT * FROM spec_columns FINAL) AS c ON m.model = c.model AND s.hash = c.hash AND m.role = c.role AND m.feature = c.feature
WHERE m.window_start >= s.effective_from AND m.window_start < s.until
SETTINGS do_not_merge_across_partitions_select_final = 1;

CREATE OR REPLACE VIEW windows{{cluster}} AS
SELECT
    model,
    version,
    fromUnixTimestamp64Milli(w.window_start, 'UTC') AS window_start,
    fromUnixTimestamp64Milli(w.window_end, 'UTC') AS window_end,
    transform(w.role, [1, 2, 3, 4, 5, 6, 7], ['rows', 'feature', 'prediction', 'score', 'label', 'latency', 'joined'], '') AS role,
    feature, slice, rows, present, absent, nulls, nans, infs, bad, unseen, min, max, mean, sd, distinct, edges, bins, top, late, revision, closed,
    outside, unexpected, clipped, longest_run, spec_seq
FROM window_rows AS w;

-- Each incident as the last step that touched it left it.
CREATE OR REPLACE VIEW incidents{{cluster}} AS
SELECT
    incident,
    model,
    JSONExtractString(last, 'version') AS version,
    JSONExtractString(last, 'severity') AS severity,
    JSONExtractString(last, 'state') AS state,
    JSONExtractString(last, 'fault') AS fault,
    JSONExtractRaw(last, 'runner_up') AS runner_up,
    JSONExtract(last, 'columns', 'Array(String)') AS columns,
    JSONExtract(last, 'slices', 'Array(String)') AS slices,
    JSONExtractString(last, 'title') AS title,
    parseDateTime64BestEffortOrNull(JSONExtractString(last, 'onset'), 3, 'UTC') AS onset,
    parseDateTime64BestEffortOrNull(JSONExtractString(last, 'detected'), 3, 'UTC') AS detected,
    parseDateTime64BestEffortOrNull(JSONExtractString(last, 'resolved'), 3, 'UTC') AS resolved,
    parseDateTime64BestEffortOrNull(JSONExtractString(last, 'updated'), 3, 'UTC') AS updated,
    JSONExtractUInt(last, 'messages') AS messages,
    JSONExtractRaw(last, 'evidence') AS evidence
FROM
(
    SELECT model, subject AS incident, argMax(body, (step, ordinal)) AS last
    FROM journal
    WHERE kind = 'incident'
    GROUP BY model, subject
);

-- Of each (model, fault, feature) in a chunk the eight smallest ranks.
CREATE OR REPLACE VIEW violations{{cluster}} AS
SELECT model, version, fault, feature, value, reason, fromUnixTimestamp64Milli(time, 'UTC') AS ts, topic, partition, offset
FROM
(
    SELECT * FROM violation_samples FINAL
    ORDER BY model, fault, feature, topic, topic_id, truncation, partition, chunk_start, rank, offset
    LIMIT 8 BY model, fault, feature, topic, topic_id, truncation, partition, chunk_start
);

CREATE OR REPLACE VIEW retrain_requests{{cluster}} AS
SELECT
    r.request AS request,
    r.model AS model,
    JSONExtractString(r.first, 'version') AS version,
    JSONExtractRaw(r.first, 'causes') AS causes,
    JSONExtractRaw(r.first, 'incidents') AS evidence,
    if(empty(s.states), 'requested', s.states[-1]) AS state,
    parseDateTime64BestEffortOrNull(JSONExtractString(r.first, 'requested'), 3, 'UTC') AS requested_at,
    if(empty(s.states), NULL, fromUnixTimestamp64Milli(s.times[1], 'UTC')) AS claimed_at,
    s.jobs[-1] AS claimed_by,
    if(s.states[-1] IN ('succeeded', 'failed'), fromUnixTimestamp64Milli(s.times[-1], 'UTC'), NULL) AS finished_at,
    if(s.states[-1] IN ('succeeded', 'failed'), s.bodies[-1], '') AS outcome,
    r.first AS body
FROM
(
    SELECT model, subject AS request, argMin(body, (step, ordinal)) AS first
    FROM journal
    WHERE kind = 'request'
    GROUP BY model, subject
) AS r
LEFT JOIN
(
    SELECT request,
        arraySort(groupArray((time, sequence, state, by, status))) AS said,
        arrayMap(x -> x.1, said) AS times, arrayMap(x -> x.3, said) AS states,
        arrayMap(x -> x.4, said) AS jobs, arrayMap(x -> x.5, said) AS bodies
    FROM (SELECT * FROM statuses FINAL)
    GROUP BY request
) AS s ON r.request = s.request;

-- Each partition of the newest epoch of each topic, over all its chunks.
CREATE OR REPLACE VIEW progress{{cluster}} AS
SELECT
    topic,
    concat(base64URLEncode(topic_id), if(max(truncation) = 0, '', concat('/', toString(max(truncation))))) AS epoch,
    partition,
    argMax(end_offset, (truncation, chunk_start)) AS offset,
    argMax(high_watermark, (truncation, chunk_start)) AS high_watermark,
    if(max(clock) = -9223372036854775808, NULL, fromUnixTimestamp64Milli(max(clock), 'UTC')) AS watermark,
    sum(rows) AS rows,
    sum(arraySum(rejected_counts)) AS rejected,
    sum(late) AS late,
    fromUnixTimestamp64Milli(max(written_at), 'UTC') AS at
FROM progress_chunks FINAL
WHERE (topic, topic_id) IN
(
    SELECT topic, argMax(topic_id, (first, topic_id))
    FROM (SELECT topic, topic_id, min(at) AS first FROM epochs GROUP BY topic, topic_id)
    GROUP BY topic
)
GROUP BY topic, topic_id, partition;

-- The last judgement of each channel of each stream in each window.
CREATE OR REPLACE VIEW verdicts{{cluster}} AS
SELECT
    model, version,
    fromUnixTimestamp64Milli(v.window_start, 'UTC') AS window_start,
    transform(v.role, [1, 2, 3, 4, 5, 6, 7], ['rows', 'feature', 'prediction', 'score', 'label', 'latency', 'joined'], '') AS role,
    feature, slice, channel,
    last.1 AS state, last.2 AS effect, last.3 AS low, last.4 AS expected, last.5 AS high,
    last.6 AS n, last.7 AS revision, last.8 AS reason, last.9 AS p, last.10 AS step
FROM
(
    SELECT model, version, window_start, role, feature, slice, channel,
        argMax((verdict, effect, low, expected, high, n, revision, reason, p, step), (step, ordinal)) AS last
    FROM journal
    WHERE kind = 'verdict'
    GROUP BY model, version, window_start, role, feature, slice, channel
) AS v;

-- Each message of an incident.
CREATE OR REPLACE VIEW transitions{{cluster}} AS
SELECT
    JSONExtractString(j.body, 'incident') AS incident,
    JSONExtractUInt(j.body, 'seq') AS seq,
    JSONExtractString(j.body, 'transition') AS transition,
    parseDateTime64BestEffortOrNull(if(JSONExtractString(j.body, 'transition') = 'firing',
        JSONExtractString(j.body, 'detected'), JSONExtractString(j.body, 'window', 'end')), 3, 'UTC') AS at,
    if(s.id = '', NULL, s.first) AS sent,
    JSONExtractString(j.body, 'reason') AS reason,
    j.model AS model
FROM (SELECT model, subject, body FROM journal WHERE kind = 'message' AND JSONHas(body, 'transition')) AS j
LEFT JOIN (SELECT id, min(at) AS first FROM sent GROUP BY id) AS s ON j.subject = s.id;
