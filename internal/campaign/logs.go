package campaign

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/modelwatch/modelwatch/internal/faultpoint"
	"github.com/modelwatch/modelwatch/internal/testkit"
)

// Hurts that change the log have contents of their own: what is expected is in
// the mirror, to which everything goes that has to be counted in the end.

// newLog makes an installation of one model whose log is to be hurt.
func (s *stage) newLog(p plan) {
	p.models = []string{"orders"}
	s.world = s.c.newWorld(s.ground, s.broken, p)
}

// number reads one number of the database.
func (w *world) number(query string) int64 {
	text := w.c.clickHouse.Query(w, fmt.Sprintf(query, w.database))
	n, err := strconv.ParseInt(strings.TrimSpace(text), 10, 64)
	if err != nil {
		w.Fatalf("%s: %v", query, err)
	}
	return n
}

// admin asks the broker something.
func (w *world) admin(do func(context.Context, *kadm.Client) error) {
	client, err := kgo.NewClient(kgo.SeedBrokers(w.c.kafka.Addr))
	if err != nil {
		w.Fatal(err)
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(w.ctx, time.Minute)
	defer cancel()
	if err := do(ctx, kadm.NewClient(client)); err != nil {
		w.Fatal(err)
	}
}

// counted compares the windows, and nothing else, with a recount of topics.
func (w *world) counted(topics []string) verdict {
	var watched []testkit.Watched
	for _, m := range w.watched {
		m.Topics = topics
		watched = append(watched, m)
	}
	return w.windowsAre(testkit.Recount(w, []string{w.c.kafka.Addr}, watched...).Windows)
}

// windowsAre compares the windows, and nothing else.
func (w *world) windowsAre(want map[testkit.WindowKey]*testkit.WindowCounts) (v verdict) {
	_ = w.until(45*time.Second, func() string {
		rows, differences := testkit.Differences(w, w.c.clickHouse, w.database, &testkit.Expected{Windows: want})
		v = verdict{rows: rows, differences: slices.DeleteFunc(differences, func(d string) bool {
			return strings.HasSuffix(d, "progress that nobody expects")
		})}
		if len(v.differences) > 0 {
			return "differences"
		}
		return ""
	})
	w.tell(v)
	return v
}

// mirrors lists the topics of the mirror.
func (w *world) mirrors() []string { return slices.Sorted(maps.Values(w.mirror)) }

// madeAgain deletes a topic and makes it again, and lets it grow past where
// it was.
func madeAgain(s *stage) {
	s.newLog(plan{mirrored: true})
	a, b := s.launch(s.dir).ready(), s.launch(s.dir).ready()
	// The second topic has rows of the same windows in the same chunks.
	var first, second []testkit.Record
	for i, r := range s.events(0, 4) {
		if i%2 == 0 {
			first = append(first, r)
		} else {
			second = append(second, r)
		}
	}
	s.send(first)
	s.reflect(first)
	s.produced = 4
	s.rest(s.database, 90*time.Second)
	old := s.ends()
	for _, t := range s.topics {
		s.c.kafka.DeleteTopic(s, t)
	}
	time.Sleep(time.Second)
	for _, t := range s.topics {
		s.await(30*time.Second, func() string {
			var wrong error
			s.admin(func(ctx context.Context, client *kadm.Client) error {
				_, wrong = client.CreateTopic(ctx, partitions, 1, nil, t)
				return nil
			})
			if wrong != nil {
				return wrong.Error() // the old one is still being deleted
			}
			return ""
		})
	}
	s.await(30*time.Second, func() string {
		if n := len(s.ends()); n != len(s.topics)*partitions {
			return fmt.Sprintf("%d partitions have a leader", n)
		}
		return ""
	})
	s.send(second)
	s.reflect(second)
	s.produce(12)
	for k, end := range s.ends() {
		if end <= old[k] {
			s.Errorf("%v has grown to %d only, and was %d", k, end, old[k])
		}
	}
	s.recoverOrNot(&a, &b)
	s.verdict = s.counted(s.mirrors())
}

// recoverOrNot waits for what a program without broken guards would do.
func (s *stage) recoverOrNot(replicas ...**replica) {
	began := time.Now()
	ends := s.ends()
	within := 2 * time.Minute
	if s.broken != "" {
		within = 20 * time.Second
	}
	if wrong := s.until(within, func() string { return s.behind(s.database, ends) }); wrong != "" && s.broken == "" {
		s.Fatal(wrong)
	}
	if s.broken == "" {
		if n := s.number("SELECT count() FROM (SELECT topic FROM %s.epochs GROUP BY topic HAVING uniqExact(topic_id) > 1)"); n == int64(len(s.topics)) {
			s.happened("topic deleted and made again", fmt.Sprintf("%d topics have two epochs", n), time.Since(began))
		}
	}
	for _, r := range replicas {
		if !(*r).running() {
			s.Errorf("a replica has ended\n%s", (*r).tail(20))
		}
	}
}

// retention deletes records before they are read.
func retention(s *stage) {
	s.newLog(plan{mirrored: true})
	r := s.launch(s.dir).ready()
	s.produce(5)
	s.rest(s.database, 90*time.Second)
	r.kill()
	lost := s.events(5, 8)
	s.produced = 8
	s.send(lost) // to the mirror they do not come
	for k, end := range s.ends() {
		s.c.kafka.DeleteRecordsBefore(s, k.Topic, k.Partition, end)
	}
	s.produce(14)
	s.launch(s.dir).ready()
	recovered := s.recover()
	s.rest(s.database, 90*time.Second)
	gap := s.number("SELECT toInt64(sum(gap_to - gap_from)) FROM %s.progress_chunks FINAL")
	if gap != int64(len(lost)) {
		s.Errorf("gaps of %d offsets are on record, %d records were deleted", gap, len(lost))
	}
	s.await(60*time.Second, func() string {
		if s.number("SELECT count() FROM %s.incidents WHERE fault = 'retention_gap'") == 0 {
			return "nobody is told of the gap"
		}
		return ""
	})
	s.happened("retention overtakes the reader", fmt.Sprintf("%d records were deleted unread, gaps of as many offsets are on record, and an incident says so", len(lost)), recovered)
	s.verdict = s.counted(s.mirrors())
}

// openChunk kills a replica in the middle of its first chunk, and deletes from
// the log what progress says is stored: nothing may be missing.
func openChunk(s *stage) {
	s.newLog(plan{mirrored: true})
	s.produce(12)
	r := s.launch(s.dir, "MODELWATCH_FAULT="+faultpoint.Place.String()+":1")
	select {
	case <-r.ended:
	case <-time.After(3 * time.Minute):
		s.Fatalf("the replica was not killed\n%s", r.tail(20))
	}
	stored := map[testkit.PartitionKey]int64{}
	for line := range strings.Lines(s.c.clickHouse.Query(s, fmt.Sprintf("SELECT topic, partition, max(end_offset) FROM %s.progress_chunks FINAL GROUP BY topic, partition", s.database))) {
		f := strings.Fields(line)
		p, _ := strconv.ParseInt(f[1], 10, 32)
		o, _ := strconv.ParseInt(f[2], 10, 64)
		stored[testkit.PartitionKey{Topic: f[0], Partition: int32(p)}] = o
	}
	deleted := int64(0)
	for k, end := range stored {
		if end > 0 {
			s.c.kafka.DeleteRecordsBefore(s, k.Topic, k.Partition, end)
			deleted += end
		}
	}
	if deleted == 0 {
		s.Fatal("nothing was stored when the replica was killed")
	}
	s.launch(s.dir).ready()
	recovered := s.recover()
	s.happened("retention inside an open chunk", fmt.Sprintf("%d records of open chunks of %d partitions were deleted after a kill", deleted, len(stored)), recovered)
	s.produce(14)
	s.rest(s.database, 90*time.Second)
	s.verdict = s.counted(s.mirrors())
}

// compacted reads topics from which compaction has taken records before anybody
// read them.
func compacted(s *stage) {
	s.newLog(plan{topics: map[string]string{
		"cleanup.policy": "compact", "segment.ms": "100", "min.cleanable.dirty.ratio": "0.001", "min.compaction.lag.ms": "0", "max.compaction.lag.ms": "200", "delete.retention.ms": "100",
	}})
	s.produce(4)
	s.send(s.events(1, 3)) // keys that are there again
	s.send(s.events(0, 1))
	s.produce(6)
	time.Sleep(time.Second)
	s.produce(10)
	end := int64(0)
	for _, o := range s.ends() {
		end += o
	}
	left := int64(0)
	s.await(60*time.Second, func() string {
		left = 0
		for _, p := range testkit.Recount(s, []string{s.c.kafka.Addr}, s.watched...).Partitions {
			left += int64(p.Rows)
			for _, n := range p.Rejected {
				left += int64(n)
			}
		}
		if left >= end {
			return "nothing was compacted"
		}
		return ""
	})
	said, err := exec.CommandContext(s.ctx, s.c.program, "check", filepath.Join(s.dir, "monitors"), "--connect", "--config", filepath.Join(s.dir, "modelwatch.yaml")).CombinedOutput()
	if exit := new(exec.ExitError); err != nil && !errors.As(err, &exit) {
		s.Fatal(err)
	}
	if !strings.Contains(string(said), "cleanup.policy") {
		s.Errorf("check --connect does not warn of a compacted topic:\n%s", said)
	}
	s.launch(s.dir).ready()
	recovered := s.recover()
	s.rest(s.database, 90*time.Second)
	s.happened("topic compacted before it was read", fmt.Sprintf("%d of %d records were left, and check --connect warned", left, end), recovered)
	s.verdict = s.counted(s.topics)
}

// corrupt spoils a batch on the broker's disk.
func corrupt(s *stage) {
	s.newLog(plan{mirrored: true})
	s.produce(5)
	topic := s.topics[0]
	before := s.ends()[testkit.PartitionKey{Topic: topic}]
	var spoilt []testkit.Record
	for _, r := range s.events(5, 6) {
		if r.Topic == topic && len(spoilt) < 20 {
			r.Pin = 1 // partition 0
			spoilt = append(spoilt, r)
		}
	}
	s.send(spoilt)
	mark := spoilt[0].Value
	s.produced = 6
	s.produce(12)
	s.c.kafka.Stop(s)
	files, err := filepath.Glob(filepath.Join(s.c.logs, topic+"-0", "*.log"))
	if err != nil || len(files) == 0 {
		s.Fatalf("finding the segments of %s: %v", topic, err)
	}
	changed := false
	for _, f := range files {
		body, err := os.ReadFile(f)
		if err != nil {
			s.Fatal(err)
		}
		if i := strings.Index(string(body), string(mark)); i >= 0 {
			body[i+len(mark)/2] ^= 0x40
			if err := os.WriteFile(f, body, 0o600); err != nil {
				s.Fatal(err)
			}
			changed = true
		}
	}
	s.c.kafka.Start(s)
	if !changed {
		s.Fatal("the batch was not found on the broker's disk")
	}
	r := s.launch(s.dir).ready()
	recovered := s.recover()
	s.rest(s.database, 90*time.Second)
	if r.metric("modelwatch_kafka_bad_batches_total") == 0 || r.metric("modelwatch_gaps_total") == 0 {
		s.Error("a batch that was spoilt is not counted")
	}
	quarantined := 0
	for _, l := range s.deadLetters() {
		if l["topic"] == topic && l["reason"] == "batch_checksum" && l["offset"] == strconv.FormatInt(before, 10) {
			quarantined++
		}
	}
	if quarantined == 0 {
		s.Error("there is no dead letter that points to the spoilt batch")
	}
	s.happened("corrupt batch", fmt.Sprintf("%d records of %s/0 from offset %d on were left out as a gap, with a dead letter", len(spoilt), topic, before), recovered)
	s.verdict = s.counted(s.mirrors())
}

// logs adds partitions, and produces in transactions of which some are aborted.
func logs(s *stage) {
	st := s.newStorm(800 * time.Millisecond)
	a, b := st.launch(st.dir).ready(), st.launch(st.dir).ready()
	st.transact()
	recovered := st.recover()
	st.await(20*time.Second, func() string {
		if a.metric("modelwatch_kafka_aborted_batches_total")+b.metric("modelwatch_kafka_aborted_batches_total") == 0 {
			return "no batch of an aborted transaction was met"
		}
		return ""
	})
	st.happened("transactions aborted", "batches of aborted transactions were dropped", recovered)
	for _, t := range st.topics {
		st.c.kafka.AddPartitions(st, t, partitions+2)
	}
	st.await(60*time.Second, func() string {
		if st.number("SELECT countIf(partition >= 6 AND offset > 0) FROM %s.progress") < 3 {
			return "the partitions that were added are not read"
		}
		return ""
	})
	st.happened("partitions added", fmt.Sprintf("three topics have %d partitions each, and the new ones are read", partitions+2), st.recover())
	st.finish()
}

// transact sends events in transactions, every other of which is aborted.
func (s *storm) transact() {
	client, err := kgo.NewClient(kgo.SeedBrokers(s.c.kafka.Addr), kgo.TransactionalID(testkit.Name(s, "transactions")), kgo.RecordPartitioner(kgo.StickyKeyPartitioner(nil)))
	if err != nil {
		s.Fatal(err)
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(s.ctx, time.Minute)
	defer cancel()
	traffic := *s.traffic
	traffic.Models = traffic.Models[:1]
	traffic.Noise, traffic.Faults = testkit.Noise{}, nil
	traffic.Seed++
	for n := range 6 {
		if err := client.BeginTransaction(); err != nil {
			s.Fatal(err)
		}
		for i, r := range traffic.Records(at(float64(n)), at(float64(n+1))) {
			if i%9 != 0 {
				continue
			}
			value := strings.Replace(string(r.Value), `"id":"`, fmt.Sprintf(`"id":"t%d-`, n), 1)
			client.Produce(ctx, &kgo.Record{Topic: r.Topic, Key: []byte(r.Key), Value: []byte(value), Timestamp: r.Time}, nil)
		}
		if err := client.Flush(ctx); err != nil {
			s.Fatal(err)
		}
		if err := client.EndTransaction(ctx, n%2 == 0); err != nil {
			s.Fatal(err)
		}
	}
}

// offsets sets the committed offsets by hand.
func offsets(s *stage) {
	st := s.newStorm(800 * time.Millisecond)
	r := st.launch(st.dir).ready()
	time.Sleep(3 * time.Second)
	for _, c := range []struct {
		name string
		to   func(end int64) int64
	}{
		{"committed offsets set to earlier", func(int64) int64 { return 0 }},
		{"committed offsets set to later", func(end int64) int64 { return end }},
	} {
		_ = st.recover()
		r.stop()
		time.Sleep(2 * time.Second) // for events that nobody has read
		set := kadm.Offsets{}
		for k, end := range st.ends() {
			set.Add(kadm.Offset{Topic: k.Topic, Partition: k.Partition, At: c.to(end), LeaderEpoch: -1})
		}
		st.admin(func(ctx context.Context, client *kadm.Client) error {
			answers, err := client.CommitOffsets(ctx, st.group, set)
			return errors.Join(err, answers.Error())
		})
		is := int64(-1)
		st.admin(func(ctx context.Context, client *kadm.Client) error {
			answers, err := client.FetchOffsets(ctx, st.group)
			if o, ok := answers.Lookup(st.topics[0], 0); ok {
				is = o.At
			}
			return err
		})
		r = st.launch(st.dir).ready()
		st.happened(c.name, fmt.Sprintf("the broker had %d for the first partition when reading went on", is), st.recover())
	}
	if !r.said("the committed offset was moved") {
		st.Error("nobody says that offsets were moved on")
	}
	st.finish()
}
