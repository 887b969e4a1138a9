package store

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"math"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/modelwatch/modelwatch/schemas"
)

// Rewinds returns the rewinds after that number, in order.
func (s *Store) Rewinds(ctx context.Context, after uint64) ([]schemas.Rewind, error) {
	var out []schemas.Rewind
	err := s.read(ctx, "reading rewinds", `SELECT seq, topic, topic_id, truncation, partition, from_offset, until_offset, reason, at
		FROM rewinds WHERE seq > {after:UInt64} ORDER BY seq, topic, partition`, bound{"after": after},
		func() { out = nil },
		func(row driver.Rows) error {
			var r schemas.Rewind
			var id string
			err := row.Scan(&r.Seq, &r.Topic, &id, &r.Epoch.Truncation, &r.Partition, &r.From, &r.Until, &r.Reason, &r.At)
			copy(r.Epoch.TopicID[:], id)
			out = append(out, r)
			return err
		})
	return out, err
}

// AddRewinds stores the partitions of one request under one number, and
// returns it. It is stored whole or not at all, and once.
func (s *Store) AddRewinds(ctx context.Context, partitions []schemas.Rewind) (seq uint64, err error) {
	if len(partitions) == 0 {
		return 0, fmt.Errorf("storing a rewind: %w: it names no partition", errUsage)
	}
	writer := rand.Text()
	for {
		err := s.read(ctx, "counting rewinds", "SELECT max(seq) FROM rewinds", nil, func() {}, func(row driver.Rows) error { return row.Scan(&seq) })
		if err != nil {
			return 0, err
		}
		seq++
		rows := rewindColumns(partitions, seq, writer)
		token := fmt.Sprintf("rewind/%d", seq)
		err = s.forever(ctx, "storing a rewind", func(ctx context.Context) error { return s.insertOnce(ctx, "rewinds", token, rows) })
		if err != nil {
			return 0, err
		}
		var winner string
		err = s.read(ctx, "reading back a rewind", "SELECT writer FROM rewinds WHERE seq = {seq:UInt64} LIMIT 1", bound{"seq": seq},
			func() {}, func(row driver.Rows) error { return row.Scan(&winner) })
		if err != nil || winner == writer {
			return seq, err
		}
	}
}

func rewindColumns(partitions []schemas.Rewind, seq uint64, writer string) columns {
	var (
		seqs               list[uint64]
		topics, ids        list[string]
		truncations        list[uint32]
		numbers            list[int32]
		from, until        list[int64]
		reasons, whoWrites list[string]
	)
	for i := range partitions {
		r := &partitions[i]
		seqs.add(seq)
		topics.add(r.Topic)
		ids.add(string(r.Epoch.TopicID[:]))
		truncations.add(r.Epoch.Truncation)
		numbers.add(r.Partition)
		from.add(r.From)
		until.add(r.Until)
		reasons.add(r.Reason)
		whoWrites.add(writer)
	}
	return columns{
		{"seq", &seqs},
		{"topic", &topics},
		{"topic_id", &ids},
		{"truncation", &truncations},
		{"partition", &numbers},
		{"from_offset", &from},
		{"until_offset", &until},
		{"reason", &reasons},
		{"writer", &whoWrites},
	}
}

// of binds a partition of one epoch.
func of(c schemas.Chunk) bound {
	return bound{"topic": c.Topic, "id": hex.EncodeToString(c.Epoch.TopicID[:]), "truncation": c.Epoch.Truncation, "partition": c.Partition}
}

const ofPartition = `topic = {topic:String} AND topic_id = unhex({id:String}) AND truncation = {truncation:UInt32} AND partition = {partition:Int32}`

// ChunkForRewind returns the first chunk of the partition and epoch of c that a
// rewind speaks of and that was not read under it yet, among those that start
// at from or later; nil where there is none. A gap before it that has been read
// since is not told any more.
func (s *Store) ChunkForRewind(ctx context.Context, c schemas.Chunk, from int64) (*schemas.Progress, error) {
	of := of(c)
	of["start"] = from
	var out *schemas.Progress
	err := s.read(ctx, "looking for the chunk to read again", `SELECT `+progressFields+` FROM progress_chunks FINAL
		WHERE `+ofPartition+` AND chunk_start >= {start:Int64} AND chunk_start IN (
			SELECT p.chunk_start FROM progress_chunks AS p FINAL INNER JOIN rewinds AS r
			ON p.topic = r.topic AND p.topic_id = r.topic_id AND p.truncation = r.truncation AND p.partition = r.partition
			WHERE `+ofPartition+` AND p.rewind_seq < r.seq AND p.chunk_start >= r.from_offset AND p.chunk_start < r.until_offset)
		ORDER BY chunk_start LIMIT 1`, of,
		func() { out = nil },
		func(row driver.Rows) error {
			p, err := scanProgress(row)
			out = &p
			return err
		})
	if err != nil || out == nil || out.GapFrom == out.GapTo {
		return out, err
	}
	of["start"] = out.Start
	end := int64(math.MinInt64)
	err = s.read(ctx, "reading what is before a gap", `SELECT end_offset FROM progress_chunks FINAL
		WHERE `+ofPartition+` AND chunk_start < {start:Int64} ORDER BY chunk_start DESC LIMIT 1`, of,
		func() {}, func(row driver.Rows) error { return row.Scan(&end) })
	if end >= out.GapTo {
		out.GapFrom, out.GapTo = 0, 0
	}
	return out, err
}

// NextChunk returns where the first chunk of the partition behind c starts,
// math.MaxInt64 where there is none.
func (s *Store) NextChunk(ctx context.Context, c schemas.Chunk) (int64, error) {
	of := of(c)
	of["start"] = c.Start
	next := int64(math.MaxInt64)
	err := s.read(ctx, "looking for the next chunk", `SELECT chunk_start FROM progress_chunks
		WHERE `+ofPartition+` AND chunk_start > {start:Int64} ORDER BY chunk_start LIMIT 1`, of,
		func() {}, func(row driver.Rows) error { return row.Scan(&next) })
	return next, err
}

// RewindState tells how far the rewinds are, by request and partition, the
// latest first.
func (s *Store) RewindState(ctx context.Context, most int) ([]schemas.RewindState, error) {
	var out []schemas.RewindState
	err := s.read(ctx, "reading how far rewinds are", `SELECT r.seq, r.topic, r.topic_id, r.truncation, r.partition, r.from_offset, r.until_offset, r.reason, r.at,
			countIf(p.chunk_start >= r.from_offset AND p.chunk_start < r.until_offset),
			countIf(p.chunk_start >= r.from_offset AND p.chunk_start < r.until_offset AND p.rewind_seq >= r.seq),
			minIf(p.chunk_start, p.chunk_start >= r.from_offset AND p.chunk_start < r.until_offset AND p.rewind_seq < r.seq)
		FROM (SELECT * FROM rewinds ORDER BY seq DESC, topic, partition LIMIT {most:UInt64}) AS r
		LEFT JOIN (SELECT topic, topic_id, truncation, partition, chunk_start, rewind_seq FROM progress_chunks FINAL) AS p
		ON p.topic = r.topic AND p.topic_id = r.topic_id AND p.truncation = r.truncation AND p.partition = r.partition
		GROUP BY ALL ORDER BY r.seq DESC, r.topic, r.partition`, bound{"most": uint64(max(most, 1))},
		func() { out = nil },
		func(row driver.Rows) error {
			var r schemas.RewindState
			var id string
			err := row.Scan(&r.Seq, &r.Topic, &id, &r.Epoch.Truncation, &r.Partition, &r.From, &r.Until, &r.Reason, &r.At, &r.Chunks, &r.Done, &r.Pending)
			copy(r.Epoch.TopicID[:], id)
			out = append(out, r)
			return err
		})
	return out, err
}
