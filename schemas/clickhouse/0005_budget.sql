-- What people have said of incidents; of one incident the last counts.
CREATE TABLE IF NOT EXISTS incident_marks{{cluster}}
(
    incident String,
    model LowCardinality(String),
    verdict LowCardinality(String),
    by String,
    note String,
    at DateTime64(3, 'UTC') DEFAULT now64(3, 'UTC')
)
ENGINE = {{engine "ReplacingMergeTree"}}
ORDER BY (model, incident, at, by);
CREATE OR REPLACE VIEW marks{{cluster}} AS
SELECT incident, verdict, by, at, note, model
FROM incident_marks FINAL;
-- What was learnt from windows of the stream itself, by the hash of the content.
CREATE TABLE IF NOT EXISTS references_learnt{{cluster}}
(
    model LowCardinality(String),
    hash String,
    body String CODEC(ZSTD(3)),
    at DateTime64(3, 'UTC') DEFAULT now64(3, 'UTC')
)
ENGINE = {{engine "ReplacingMergeTree"}}
ORDER BY (model, hash);
-- What is expected of each stream of a model in force.
CREATE TABLE IF NOT EXISTS stream_fits{{cluster}}
(
    model LowCardinality(String),
    role UInt8,
    feature LowCardinality(String),
    slice LowCardinality(String),
    channel LowCardinality(String),
    fit String,
    noise Float64,
    phi Float64,
    smallest_alarm Float64,
    time_to_detect Float64,
    honesty_p Float64,
    state LowCardinality(String),
    at DateTime64(3, 'UTC') DEFAULT now64(3, 'UTC')
)
ENGINE = {{engine "ReplacingMergeTree" "at"}}
ORDER BY (model, role, feature, slice, channel);
-- Of the fit that was written last.
CREATE OR REPLACE VIEW streams{{cluster}} AS
SELECT model,
    transform(f.role, [1, 2, 3, 4, 5, 6, 7], ['rows', 'feature', 'prediction', 'score', 'label', 'latency', 'joined'], '') AS role,
    feature, slice, channel, noise, phi, smallest_alarm, time_to_detect, honesty_p, state, fit
FROM stream_fits AS f FINAL
WHERE (model, fit) IN (SELECT model, argMax(fit, at) FROM stream_fits GROUP BY model);
-- Stated beside realised. An incident counts once as a page, and once as a
-- ticket, in the period of the first message that said so; what nobody has
-- marked true counts against the budget. factor is what the governor puts on
-- the weights now; below 1 it has made the monitor less sensitive.
CREATE OR REPLACE VIEW budget{{cluster}} AS
SELECT p.model AS model, p.severity AS severity, fromUnixTimestamp64Milli(p.period, 'UTC') AS period_start, p.stated AS stated,
    p.factor AS factor,
    countIf(s.incident != '') AS sent,
    countIf(s.incident != '' AND m.verdict = 'true') AS marked_true,
    countIf(s.incident != '' AND m.verdict = 'false') AS marked_false,
    countIf(s.incident != '' AND m.verdict = '') AS unmarked
FROM
(
    SELECT model, severity, stated, factor, period
    FROM
    (
        SELECT b.model AS model, b.pages AS pages, b.tickets AS tickets, b.factor AS factor,
            arrayMap(n -> n * b.per, range(toUInt64(intDiv(v.first, b.per)), toUInt64(intDiv(v.last, b.per)) + 1)) AS periods
        FROM
        (
            SELECT model, JSONExtractFloat(last, 'budget', 'pages') AS pages, JSONExtractFloat(last, 'budget', 'tickets') AS tickets,
                JSONExtractInt(last, 'budget', 'per_ms') AS per, JSONExtractFloat(last, 'budget', 'factor') AS factor
            FROM (SELECT model, argMax(parameters, step) AS last FROM journal WHERE kind = 'step' GROUP BY model)
            WHERE per > 0
        ) AS b
        INNER JOIN
        (
            SELECT model, greatest(min(window_start), 0) AS first, greatest(max(window_start), 0) AS last
            FROM journal WHERE kind = 'verdict' GROUP BY model
        ) AS v ON b.model = v.model
    )
    ARRAY JOIN periods AS period
    ARRAY JOIN ['critical', 'warning'] AS severity, [pages, tickets] AS stated
) AS p
LEFT JOIN
(
    SELECT i.model AS model, i.severity AS severity, i.incident AS incident, intDiv(i.first, b.per) * b.per AS period
    FROM
    (
        SELECT model, JSONExtractString(body, 'severity') AS severity, JSONExtractString(body, 'incident') AS incident,
            min(toUnixTimestamp64Milli(parseDateTime64BestEffortOrZero(JSONExtractString(body, 'detected'), 3, 'UTC'))) AS first
        FROM journal
        WHERE kind = 'message' AND JSONExtractString(body, 'transition') IN ('firing', 'updated')
        GROUP BY model, severity, incident
    ) AS i
    INNER JOIN
    (
        SELECT model, JSONExtractInt(last, 'budget', 'per_ms') AS per
        FROM (SELECT model, argMax(parameters, step) AS last FROM journal WHERE kind = 'step' GROUP BY model)
        WHERE per > 0
    ) AS b ON i.model = b.model
) AS s ON p.model = s.model AND p.severity = s.severity AND p.period = s.period
LEFT JOIN
(
    SELECT incident, argMax(verdict, at) AS verdict
    FROM incident_marks
    GROUP BY incident
) AS m ON s.incident = m.incident
GROUP BY p.model, p.severity, p.period, p.stated, p.factor;
