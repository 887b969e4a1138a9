-- Progress that is ahead of the rows of open windows is only in progress_heads:
-- of each chunk the row that has come further is shown.
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
FROM
(
    SELECT *
    FROM
    (
        SELECT topic, topic_id, truncation, partition, chunk_start, end_offset, high_watermark, clock, rows, rejected_counts, late, written_at
        FROM progress_chunks FINAL
        UNION ALL
        SELECT topic, topic_id, truncation, partition, chunk_start, end_offset, high_watermark, clock, rows, rejected_counts, late, written_at
        FROM progress_heads FINAL
    )
    ORDER BY end_offset DESC, written_at DESC
    LIMIT 1 BY topic, topic_id, truncation, partition, chunk_start
)
WHERE (topic, topic_id) IN
(
    SELECT topic, argMax(topic_id, (first, topic_id))
    FROM (SELECT topic, topic_id, min(at) AS first FROM epochs GROUP BY topic, topic_id)
    GROUP BY topic
)
GROUP BY topic, topic_id, partition;
