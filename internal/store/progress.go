package store

import (
	"context"
	"encoding/hex"
	"fmt"
	"math"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/modelwatch/modelwatch/schemas"
)

// progressFields are the columns of a progress row in the order of scanProgress.
const progressFields = `topic, topic_id, truncation, partition, chunk_start, previous, end_offset, spec_seq, rewind_seq, clock_start, clock,
	rows, late, rejected_reasons, rejected_counts, mark_models, mark_parts, mark_starts, mark_maxima, mark_rows, mark_silent_starts, mark_silences,
	gap_from, gap_to, high_watermark, log_start, leader_epoch, idle_since, written_at`

func scanProgress(row driver.Rows) (schemas.Progress, error) {
	var (
		p              schemas.Progress
		id             string
		reasons        []string
		counts         []uint64
		models         []string
		parts          []uint8
		starts, maxima []int64
		rows           []uint64
		since, silent  []int64
	)
	err := row.Scan(&p.Topic, &id, &p.Epoch.Truncation, &p.Partition, &p.Start, &p.Previous, &p.End, &p.SpecSeq, &p.RewindSeq, &p.ClockStart, &p.Clock,
		&p.Rows, &p.Late, &reasons, &counts, &models, &parts, &starts, &maxima, &rows, &since, &silent,
		&p.GapFrom, &p.GapTo, &p.HighWatermark, &p.LogStart, &p.LeaderEpoch, &p.IdleSince, &p.At)
	if err != nil {
		return p, err
	}
	copy(p.Epoch.TopicID[:], id)
	for i := range reasons {
		p.Rejected = append(p.Rejected, schemas.RejectCount{Reason: reasons[i], Count: counts[i]})
	}
	for i := range models {
		m := schemas.Mark{Model: models[i], Part: schemas.Part(parts[i]), MaxStart: starts[i], Max: maxima[i], Rows: rows[i]}
		if i < len(silent) { // rows from before there were these columns have none
			m.SilentStart, m.Silent = since[i], silent[i]
		}
		p.Marks = append(p.Marks, m)
	}
	return p, nil
}

// Resume is where the reading of one partition goes on.
type Resume struct {
	// Progress is that of the last chunk of the newest sub-epoch; nil when
	// rows were stored but no progress yet.
	Progress *schemas.Progress
	// PartialsEnd is the largest end offset among the partials of that chunk
	// and of any later one; 0 when there is none. It is past Progress.End
	// when a writer died between partials and progress.
	PartialsEnd int64
}

// Resume returns where each partition of one epoch of a topic goes on;
// partitions of which nothing is stored are not in it.
func (s *Store) Resume(ctx context.Context, topic string, topicID [16]byte) (map[int32]Resume, error) {
	of := bound{"topic": topic, "id": hex.EncodeToString(topicID[:])}
	out := make(map[int32]Resume)
	err := s.read(ctx, "reading progress to resume", `SELECT `+progressFields+`
		FROM progress_chunks FINAL WHERE topic = {topic:String} AND topic_id = unhex({id:String})
		ORDER BY partition, truncation DESC, chunk_start DESC LIMIT 1 BY partition`, of,
		func() { clear(out) },
		func(row driver.Rows) error {
			p, err := scanProgress(row)
			out[p.Partition] = Resume{Progress: &p}
			return err
		})
	if err != nil {
		return nil, err
	}
	ends, err := s.partialsEnds(ctx, of, out)
	if err != nil {
		return nil, err
	}
	for partition, end := range ends {
		r := out[partition]
		r.PartialsEnd = end
		out[partition] = r
	}
	return out, nil
}

// partialsEnds finds, by partition, how far the partials go from the chunk of
// its progress on, and from the beginning where there is no progress.
func (s *Store) partialsEnds(ctx context.Context, of bound, known map[int32]Resume) (map[int32]int64, error) {
	var (
		partitions  []int32
		truncations []uint32
		starts      []int64
	)
	for partition, r := range known {
		partitions = append(partitions, partition)
		truncations = append(truncations, r.Progress.Epoch.Truncation)
		starts = append(starts, r.Progress.Start)
	}
	parameters := bound{
		"topic": of["topic"], "id": of["id"],
		"partitions": append(partitions, -1), "truncations": append(truncations, 0), "starts": append(starts, math.MinInt64), // never empty
	}
	ends := make(map[int32]int64)
	err := s.read(ctx, "reading how far partials go", `WITH
			transform(partition, {partitions:Array(Int32)}, {truncations:Array(UInt32)}, toUInt32(0)) AS known_truncation,
			transform(partition, {partitions:Array(Int32)}, {starts:Array(Int64)}, toInt64(-9223372036854775808)) AS known_start
		SELECT partition, max(end_offset) FROM partials
		WHERE topic = {topic:String} AND topic_id = unhex({id:String})
			AND (truncation > known_truncation OR truncation = known_truncation AND chunk_start >= known_start)
		GROUP BY partition, truncation ORDER BY partition, truncation DESC LIMIT 1 BY partition`, parameters,
		func() { clear(ends) },
		func(row driver.Rows) error {
			var partition int32
			var end int64
			if err := row.Scan(&partition, &end); err != nil {
				return err
			}
			ends[partition] = end
			return nil
		})
	return ends, err
}

// EarliestChunkForSpec returns the earliest chunk of the partition and epoch of c
// that was read under an older spec than seq although it holds events of
// the model that belong to seq, being at or after effectiveFrom: a reader
// that learns of the spec goes back to it. Chunks that start before the offset
// from, where the log begins by now, cannot be read again and are passed over.
// It is nil when there is none.
//
// With history also chunks count that were read before the model was known.
func (s *Store) EarliestChunkForSpec(ctx context.Context, c schemas.Chunk, model string, seq uint64, effectiveFrom, from int64, history bool) (*schemas.Progress, error) {
	var out *schemas.Progress
	err := s.read(ctx, "looking for the chunk where a spec begins", `SELECT `+progressFields+`
		FROM progress_chunks FINAL
		WHERE topic = {topic:String} AND topic_id = unhex({id:String}) AND truncation = {truncation:UInt32} AND partition = {partition:Int32}
			AND spec_seq < {seq:UInt64} AND chunk_start >= {start:Int64}
			AND (arrayExists((m, t) -> m = {model:String} AND t >= {from:Int64}, mark_models, mark_maxima)
				OR {history:UInt8} = 1 AND NOT has(mark_models, {model:String}) AND clock >= {from:Int64})
		ORDER BY chunk_start LIMIT 1`,
		bound{
			"topic": c.Topic, "id": hex.EncodeToString(c.Epoch.TopicID[:]), "truncation": c.Epoch.Truncation, "partition": c.Partition,
			"seq": seq, "model": model, "from": effectiveFrom, "start": from, "history": truth(history),
		},
		func() { out = nil },
		func(row driver.Rows) error {
			p, err := scanProgress(row)
			out = &p
			return err
		})
	return out, err
}

// Chunk returns the progress of one chunk, nil when it is not stored. Readers
// ask for the chunk before the one they resume at, to warm up with its ids.
func (s *Store) Chunk(ctx context.Context, c schemas.Chunk) (*schemas.Progress, error) {
	var out *schemas.Progress
	err := s.read(ctx, "reading the progress of a chunk", `SELECT `+progressFields+`
		FROM progress_chunks FINAL
		WHERE topic = {topic:String} AND topic_id = unhex({id:String}) AND truncation = {truncation:UInt32} AND partition = {partition:Int32}
			AND chunk_start = {start:Int64}`,
		bound{
			"topic": c.Topic, "id": hex.EncodeToString(c.Epoch.TopicID[:]), "truncation": c.Epoch.Truncation, "partition": c.Partition, "start": c.Start,
		},
		func() { out = nil },
		func(row driver.Rows) error {
			p, err := scanProgress(row)
			out = &p
			return err
		})
	return out, err
}

// Progress returns the furthest progress of every partition of the newest
// epoch of every topic, sorted by topic and partition. Its counts of rows are
// those of the last chunk; its marks are running maxima, as they were written.
func (s *Store) Progress(ctx context.Context) ([]schemas.Progress, error) {
	var out []schemas.Progress
	err := s.read(ctx, "reading progress", fmt.Sprintf(`SELECT %s
		FROM progress_heads FINAL
		WHERE (topic, topic_id) IN (SELECT topic, argMax(topic_id, (first, topic_id)) FROM (
			SELECT topic, topic_id, min(at) AS first FROM epochs GROUP BY topic, topic_id) GROUP BY topic)
		ORDER BY topic, partition, truncation DESC LIMIT 1 BY topic, partition`, progressFields), nil,
		func() { out = out[:0] },
		func(row driver.Rows) error {
			p, err := scanProgress(row)
			out = append(out, p)
			return err
		})
	return out, err
}

// EpochSince returns when an epoch of a topic was first read, by the server's
// clock; the zero time when it never was.
func (s *Store) EpochSince(ctx context.Context, topic string, topicID [16]byte) (time.Time, error) {
	var since time.Time
	err := s.read(ctx, "reading since when a topic is read", `SELECT toUnixTimestamp64Milli(min(at)) FROM epochs
		WHERE topic = {topic:String} AND topic_id = unhex({id:String}) HAVING count() > 0`,
		bound{"topic": topic, "id": hex.EncodeToString(topicID[:])},
		func() { since = time.Time{} },
		func(row driver.Rows) error {
			var at int64
			err := row.Scan(&at)
			since = moment(at)
			return err
		})
	return since, err
}

// Epochs returns the topic ids under which a topic was read, oldest first.
func (s *Store) Epochs(ctx context.Context, topic string) ([][16]byte, error) {
	var out [][16]byte
	err := s.read(ctx, "reading the epochs of a topic", `SELECT topic_id FROM epochs WHERE topic = {topic:String}
		GROUP BY topic_id ORDER BY min(at), topic_id`, bound{"topic": topic},
		func() { out = nil },
		func(row driver.Rows) error {
			var id string
			err := row.Scan(&id)
			var e [16]byte
			copy(e[:], id)
			out = append(out, e)
			return err
		})
	return out, err
}
