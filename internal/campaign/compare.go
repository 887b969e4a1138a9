package campaign

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/modelwatch/modelwatch/internal/testkit"
	"github.com/modelwatch/modelwatch/schemas"
)

// said is what a database says in the end, by kind: one line for each row,
// sorted. Rule 17 says what of it has to be equal: wall-clock times, evidence
// that is provisional and the number of updates may differ.
type said map[string][]string

var questions = map[string]string{
	"windows": `SELECT model, version, toUnixTimestamp64Milli(window_start), role, feature, slice, rows, present, absent, nulls, nans, infs, bad, unseen,
		hex(reinterpretAsUInt64(min)), hex(reinterpretAsUInt64(max)), hex(reinterpretAsUInt64(mean)), hex(reinterpretAsUInt64(sd)), distinct,
		edges, bins, mapSort(top), late, outside, unexpected, clipped, longest_run FROM %[1]s.windows`,
	"violations": `SELECT model, version, fault, feature, value, reason, ts, topic, partition, offset FROM %[1]s.violations`,
	"incidents":  `SELECT model, fault, columns, onset, state FROM %[1]s.incidents`,
	"requests":   `SELECT request, model, version, causes, state FROM %[1]s.retrain_requests`,
}

// ask reads a database.
func (w *world) ask(database string) said {
	out := said{}
	for kind, question := range questions {
		lines := strings.Split(w.c.clickHouse.Query(w, fmt.Sprintf(question, database)), "\n")
		lines = slices.DeleteFunc(lines, func(l string) bool { return l == "" })
		slices.Sort(lines)
		out[kind] = lines
	}
	return out
}

// unlike lists in what two databases differ.
func unlike(got, want said) (rows int, differences []string) {
	for _, kind := range slices.Sorted(maps.Keys(questions)) {
		n := map[string]int{}
		for _, l := range want[kind] {
			n[l]++
		}
		for _, l := range got[kind] {
			n[l]--
		}
		rows += len(want[kind])
		for _, l := range slices.Sorted(maps.Keys(n)) {
			switch {
			case n[l] > 0:
				differences = append(differences, fmt.Sprintf("%s: missing: %s", kind, l))
			case n[l] < 0:
				differences = append(differences, fmt.Sprintf("%s: too much: %s", kind, l))
			}
		}
	}
	return rows, differences
}

// ends lists where the logs of the topics end, by topic and partition.
func (w *world) ends() map[testkit.PartitionKey]int64 {
	client, err := kgo.NewClient(kgo.SeedBrokers(w.c.kafka.Addr))
	if err != nil {
		w.Fatal(err)
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(w.ctx, time.Minute)
	defer cancel()
	listed, err := testkit.ListOffsets(ctx, kadm.NewClient(client).ListCommittedOffsets, w.topics...)
	if err != nil {
		w.Fatal(err)
	}
	out := map[testkit.PartitionKey]int64{}
	listed.Each(func(o kadm.ListedOffset) {
		if o.Err == nil {
			out[testkit.PartitionKey{Topic: o.Topic, Partition: o.Partition}] = o.Offset
		}
	})
	return out
}

// behind says which partition is not stored up to where its log ended.
func (w *world) behind(database string, ends map[testkit.PartitionKey]int64) string {
	at := w.stored(database)
	for k, end := range ends {
		if at[k] < end {
			return fmt.Sprintf("%s/%d is stored up to %d of %d", k.Topic, k.Partition, at[k], end)
		}
	}
	return ""
}

// stored tells how far each partition is stored, as it was half a second ago at
// the earliest: many wait for it at once.
func (w *world) stored(database string) map[testkit.PartitionKey]int64 {
	w.positions.Lock()
	defer w.positions.Unlock()
	if time.Since(w.asked) < 500*time.Millisecond {
		return w.reached
	}
	at := map[testkit.PartitionKey]int64{}
	for line := range strings.Lines(w.c.clickHouse.Query(w, fmt.Sprintf("SELECT topic, partition, offset FROM %s.progress", database))) {
		f := strings.Fields(line)
		if len(f) != 3 {
			continue
		}
		p, _ := strconv.ParseInt(f[1], 10, 32)
		o, _ := strconv.ParseInt(f[2], 10, 64)
		at[testkit.PartitionKey{Topic: f[0], Partition: int32(p)}] = o
	}
	w.asked, w.reached = time.Now(), at
	return at
}

// rest waits until a database has everything and nothing more is decided or to
// be sent.
func (w *world) rest(database string, within time.Duration) {
	ends := w.ends()
	last, since := "", time.Now()
	w.await(within, func() string {
		if wrong := w.behind(database, ends); wrong != "" {
			return wrong
		}
		now := w.c.clickHouse.Query(w, fmt.Sprintf(`SELECT count(), countIf(kind = 'message' AND subject NOT IN (SELECT id FROM %[1]s.sent)) FROM %[1]s.journal`, database))
		if now != last {
			last, since = now, time.Now()
		}
		if time.Since(since) < 4*time.Second {
			return "steps are still decided: " + now
		}
		if !strings.HasSuffix(now, "\t0") && w.broken == "" {
			return "messages are left in the outbox: " + now
		}
		return ""
	})
}

// reference runs one replica that nothing happens to over the same log, and
// returns the database that it writes.
func (w *world) reference() (database string, stop func()) {
	dir := w.TempDir()
	database = testkit.Name(w, "alone")
	bus := testkit.NewNATS(w)
	w.settings(dir, w.c.clickHouse.Addr, database, bus.URL, testkit.Name(w, "alone"))
	if err := copyTree(w.dir+"/monitors", dir+"/monitors"); err != nil {
		w.Fatal(err)
	}
	alone := &world{ground: w.ground, c: w.c, topics: w.topics} // without what is broken
	r := alone.launch(dir).ready()
	alone.rest(database, 10*time.Minute)
	return database, func() {
		r.stop()
		w.dropDatabase(database)
	}
}

// dropDatabase empties a database; dropping one kills the engine while
// somebody is connected to it.
func (w *world) dropDatabase(name string) {
	w.c.clickHouse.Query(w, "TRUNCATE ALL TABLES FROM "+name)
}

// verdict is the outcome of a comparison.
type verdict struct {
	rows        int
	differences []string
}

func (v *verdict) add(rows int, differences []string) {
	v.rows += rows
	v.differences = append(v.differences, differences...)
}

// compare compares all that was stored and told with an undisturbed run, a
// recount, and what ought to be in JetStream and among the dead letters.
func (w *world) compare() verdict {
	alone, stop := w.reference()
	defer stop()
	w.Log("the undisturbed replica is at rest")
	counted := testkit.Recount(w, []string{w.c.kafka.Addr}, w.watched...)
	var v verdict
	// On a busy machine a step may take its time: both have to have judged as much.
	closed := func(database string) string {
		return w.c.clickHouse.Query(w, "SELECT count() FROM "+database+".closed_windows FINAL")
	}
	if wrong := w.until(10*time.Minute, func() string {
		if a, b := closed(w.database), closed(alone); a != b {
			return fmt.Sprintf("%s windows are judged, and %s by the undisturbed replica", a, b)
		}
		return ""
	}); wrong != "" {
		v.differences = append(v.differences, wrong)
		return v
	}
	// Windows that got late rows are written anew some seconds after them.
	_ = w.until(45*time.Second, func() string {
		v = verdict{}
		v.add(unlike(w.ask(w.database), w.ask(alone)))
		v.add(testkit.Differences(w, w.c.clickHouse, w.database, counted))
		v.add(w.messages())
		if len(v.differences) > 0 {
			time.Sleep(time.Second)
			return "differences"
		}
		return ""
	})
	v.add(w.letters(counted))
	w.tell(v)
	return v
}

// tell prints the first differences.
func (w *world) tell(v verdict) {
	for i, d := range v.differences {
		if i == 12 {
			w.Logf("and %d more differences", len(v.differences)-i)
			break
		}
		w.Log("DIFFERENCE ", d[:min(len(d), 400)])
	}
}

// messages compares the streams with the journal: every message once, those of
// an incident in order.
func (w *world) messages() (rows int, differences []string) {
	wrong := func(format string, args ...any) { differences = append(differences, fmt.Sprintf(format, args...)) }
	want := map[string]bool{}
	for line := range strings.Lines(w.c.clickHouse.Query(w, fmt.Sprintf(
		"SELECT JSONExtractString(parameters, 'subject') FROM %s.journal WHERE kind = 'message'", w.database))) {
		want[strings.TrimSpace(line)] = true
	}
	conn, err := nats.Connect(w.nats.URL)
	if err != nil {
		w.Fatal(err)
	}
	defer conn.Close()
	js, err := jetstream.New(conn)
	if err != nil {
		w.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(w.ctx, time.Minute)
	defer cancel()
	got := map[string]int{}
	last := map[string]int{}
	for _, name := range []string{schemas.StreamAlerts, schemas.StreamRetrain} {
		stream, err := js.Stream(ctx, name)
		if err != nil {
			wrong("stream %s: %v", name, err)
			continue
		}
		info, err := stream.Info(ctx)
		if err != nil {
			w.Fatal(err)
		}
		for seq := info.State.FirstSeq; seq <= info.State.LastSeq && info.State.Msgs > 0; seq++ {
			m, err := stream.GetMsg(ctx, seq)
			if err != nil {
				continue // a number that holds nothing
			}
			rows++
			got[m.Subject]++
			var alert schemas.Alert
			if name == schemas.StreamAlerts && json.Unmarshal(m.Data, &alert) == nil {
				if last[alert.Incident]++; alert.Seq != last[alert.Incident] {
					wrong("message %d of incident %s comes as its number %d", alert.Seq, alert.Incident, last[alert.Incident])
				}
			}
		}
	}
	for subject, n := range got {
		switch {
		case n != 1:
			wrong("%d messages on %s", n, subject)
		case !want[subject]:
			wrong("a message on %s that was never decided", subject)
		}
	}
	for subject := range want {
		if got[subject] == 0 {
			wrong("no message on %s", subject)
		}
	}
	if unsent := w.c.clickHouse.Query(w, fmt.Sprintf("SELECT count() FROM %[1]s.journal WHERE kind = 'message' AND subject NOT IN (SELECT id FROM %[1]s.sent)", w.database)); unsent != "0" {
		wrong("%s messages are not marked as sent", unsent)
	}
	return rows, differences
}

// letters compares the dead letters with the events that cannot be used.
func (w *world) letters(counted *testkit.Expected) (rows int, differences []string) {
	type place struct {
		testkit.PartitionKey
		offset int64
	}
	want := map[place]string{}
	for k, p := range counted.Partitions {
		for offset, reason := range p.Letters {
			want[place{k, offset}] = reason
		}
	}
	got := map[place]bool{}
	for _, l := range w.deadLetters() {
		if !slices.Contains(w.topics, l["topic"]) {
			continue
		}
		p, _ := strconv.ParseInt(l["partition"], 10, 32)
		o, _ := strconv.ParseInt(l["offset"], 10, 64)
		k := place{testkit.PartitionKey{Topic: l["topic"], Partition: int32(p)}, o}
		switch reason, ok := want[k]; {
		case !ok:
			differences = append(differences, fmt.Sprintf("a dead letter of %v for %s, which can be used", k, l["reason"]))
		case reason != l["reason"]:
			differences = append(differences, fmt.Sprintf("the dead letter of %v says %s, want %s", k, l["reason"], reason))
		}
		got[k] = true
	}
	for k, reason := range want {
		if !got[k] {
			differences = append(differences, fmt.Sprintf("no dead letter of %v for %s", k, reason))
		}
	}
	return len(want), differences
}

// deadLetters reads the headers of all dead letters of the broker.
func (w *world) deadLetters() []map[string]string {
	const topic = "modelwatch.dead_letters"
	client, err := kgo.NewClient(kgo.SeedBrokers(w.c.kafka.Addr))
	if err != nil {
		w.Fatal(err)
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(w.ctx, time.Minute)
	defer cancel()
	ends, err := kadm.NewClient(client).ListEndOffsets(ctx, topic)
	if err != nil {
		w.Fatal(err)
	}
	left := int64(0)
	consume := map[string]map[int32]kgo.Offset{topic: {}}
	ends.Each(func(o kadm.ListedOffset) {
		if o.Err == nil && o.Offset > 0 {
			left += o.Offset
			consume[topic][o.Partition] = kgo.NewOffset().AtStart()
		}
	})
	client.AddConsumePartitions(consume)
	var out []map[string]string
	for left > 0 {
		fetches := client.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			w.Fatal(err)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			left--
			letter := map[string]string{}
			for _, h := range r.Headers {
				letter[h.Key] = string(h.Value)
			}
			out = append(out, letter)
		})
	}
	return out
}
