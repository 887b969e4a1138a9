package app_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/modelwatch/modelwatch/internal/app"
	"github.com/modelwatch/modelwatch/internal/config"
	"github.com/modelwatch/modelwatch/internal/replay"
	"github.com/modelwatch/modelwatch/internal/testkit"
)

const counter = `
model: %s
task: binary
positive: "yes"
topics: [%s]
window: 1m
lateness: 5s
late_horizon: 20m
slices: [country, channel]
baseline: %s.json
%s`

// counters writes monitors of models whose traffic has all that can be odd,
// and returns it.
func (s *site) counters(t *testing.T, partitions int32, models ...string) *testkit.Traffic {
	t.Helper()
	tr := &testkit.Traffic{
		Seed: 7, Start: noon, Every: 100 * time.Millisecond,
		Noise: testkit.Noise{Late: .02, TooLate: .001, Future: .001, Duplicate: .005, Malformed: .002},
	}
	topic := s.kafka.CreateTopic(t, testkit.Name(t, "counter"), partitions, nil)
	for _, name := range models {
		tr.Models = append(tr.Models, testkit.TrafficModel{Name: name, Version: "3", Features: topic, Predictions: topic, Labels: topic, LabelDelay: 20 * time.Second})
		s.counter(t, tr, name, topic, "")
	}
	return tr
}

// counter writes one monitor with its baseline.
func (s *site) counter(t *testing.T, tr *testkit.Traffic, name, topic, more string) {
	t.Helper()
	body, err := json.Marshal(tr.Baseline(t, name, 6000, time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(s.settings.Monitors, name+".json"), body, 0o600); err != nil {
		t.Fatal(err)
	}
	s.monitor(t, name+".yaml", counter, name, topic, name, more)
}

// verify recomputes the windows of a model.
func (s *site) verify(t *testing.T, model string, change func(*replay.Config)) *replay.Result {
	t.Helper()
	monitors, err := config.Monitors(s.settings.Monitors)
	if err != nil {
		t.Fatal(err)
	}
	cfg := replay.DefaultConfig()
	cfg.Model = model
	if change != nil {
		change(&cfg)
	}
	r, err := app.Verify(t.Context(), s.settings, monitors, cfg, nil, zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%s: equal %t: %d windows, %d streams, %d rows, %d chunks in %d passes over %d records, %.1f s; %d differences, left out: %v",
		model, r.Equal, r.Windows, r.Streams, r.Rows, r.Chunks, r.Passes, r.Records, r.Seconds, r.Differing, r.NotCompared)
	return r
}

// stored waits until the windows hold that many events of features.
func (s *site) stored(t *testing.T, model string, want int) {
	t.Helper()
	s.wants(t, 60*time.Second, fmt.Sprint(want), "SELECT sum(rows) FROM .windows WHERE model = '%s' AND role = 'rows' AND feature = 'features'", model)
}

// wantEqual fails the test unless all windows that were compared are as stored.
func wantEqual(t *testing.T, r *replay.Result, windows int) {
	t.Helper()
	if !r.Equal || r.Windows < windows || r.Streams < 3*windows || r.Rows == 0 || r.Differing != 0 {
		t.Errorf("%+v", r)
	}
}

// TestVerifyFindsOneCount recomputes what a service has stored, over kills of
// its reading and while it runs, and finds a single count that is off by one.
func TestVerifyFindsOneCount(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	tr := s.counters(t, 3, "north", "south")
	r := s.start(t)
	n := 0
	for m := range 6 {
		records := tr.Records(noon.Add(time.Duration(m)*time.Minute), noon.Add(time.Duration(m+1)*time.Minute))
		testkit.Produce(t, s.kafka.Addr, records)
		n += len(records)
	}
	s.wants(t, 60*time.Second, fmt.Sprint(n), "SELECT sum(offset) FROM .progress")
	s.wants(t, 60*time.Second, "10", "SELECT uniqExact(model, window_start) FROM .windows WHERE closed AND role = 'label'")
	wantEqual(t, s.verify(t, "north", nil), 6)
	// In passes, each of which reads the log for itself.
	small := s.verify(t, "south", func(c *replay.Config) { c.Streams = 300 })
	wantEqual(t, small, 6)
	if small.Passes < 3 {
		t.Errorf("300 streams at a time take %d passes", small.Passes)
	}
	part := s.verify(t, "north", func(c *replay.Config) { c.From, c.To = noon.Add(2*time.Minute), noon.Add(4*time.Minute) })
	if !part.Equal || part.Windows != 2 {
		t.Errorf("two windows: %+v", part)
	}
	r.stop(t)
	rows := func() string {
		return s.query(t, "SELECT sum(total_rows) FROM system.tables WHERE database = '%s'", s.database)
	}
	before := rows()
	wantEqual(t, s.verify(t, "north", nil), 6)
	if now := rows(); now != before || now == "0" {
		t.Errorf("there were %s rows and are %s", before, now)
	}

	change := func(table, where, set string) {
		t.Helper()
		s.clickHouse.Query(t, fmt.Sprintf("ALTER TABLE %s.%s UPDATE %s WHERE %s SETTINGS mutations_sync = 2", s.database, table, set, where))
	}
	f := func(table, column, set, back, more string) {
		t.Helper()
		where := fmt.Sprintf("model = 'north' AND role = 2 AND feature = 'amount' AND slice = '' AND window_start = %d AND %s", noon.Add(2*time.Minute).UnixMilli(), more)
		change(table, where, set)
		got := s.verify(t, "north", func(c *replay.Config) { c.Settle = 3 * time.Second })
		i := slices.IndexFunc(got.Differences, func(d replay.Difference) bool { return d.Column == column })
		if got.Equal || i < 0 || got.Differences[i].Feature != "amount" || !got.Differences[i].Window.Equal(noon.Add(2*time.Minute)) {
			t.Errorf("%s: %+v", column, got)
		} else {
			t.Logf("found: %+v", got.Differences[i])
		}
		change(table, where, back)
	}
	f("summaries", "nulls", "nulls = nulls + 1", "nulls = nulls - 1", "1")
	f("summaries", "bins", "bins = arrayMap((b, i) -> b + (i = 3), bins, arrayEnumerate(bins))", "bins = arrayMap((b, i) -> b - (i = 3), bins, arrayEnumerate(bins))", "1")
	f("summaries", "mean", "sum = sum + 1000000000", "sum = sum - 1000000000", "1")
	f("summaries", "max", "max = max + 1", "max = max - 1", "1")
	wantEqual(t, s.verify(t, "north", nil), 6)
	// A row that is gone, and one that is too many.
	s.clickHouse.Query(t, fmt.Sprintf("ALTER TABLE %s.summaries DELETE WHERE model = 'north' AND feature = 'age' AND slice = '' AND window_start = %d SETTINGS mutations_sync = 2", s.database, noon.UnixMilli()))
	if got := s.verify(t, "north", func(c *replay.Config) { c.Settle = 3 * time.Second }); got.Equal || got.Differing != 1 || got.Differences[0].Stored != "none" {
		t.Errorf("a row is gone: %+v", got)
	}
}

// TestVerifyNamesWhatRetentionTook leaves out the windows whose log is gone.
func TestVerifyNamesWhatRetentionTook(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	topic := s.kafka.CreateTopic(t, testkit.Name(t, "gates"), 2, nil)
	s.monitor(t, "gates.yaml", gates, "gates", topic, "10m", "")
	r := s.start(t)
	for p := range int32(2) {
		for m := range 3 {
			s.produce(t, topic, "gates", p, float64(20*m), 20, 3000)
		}
	}
	s.stored(t, "gates", 18000)
	r.stop(t)
	wantEqual(t, s.verify(t, "gates", nil), 6)
	chunks := strings.Fields(s.query(t, "SELECT chunk_start FROM .progress_chunks FINAL WHERE partition = 1 ORDER BY chunk_start"))
	if len(chunks) < 2 {
		t.Fatalf("the chunks of a partition begin at %v", chunks)
	}
	// In the middle of the first chunk: its windows are not to be had.
	s.kafka.DeleteRecordsBefore(t, topic, 1, 50)
	got := s.verify(t, "gates", nil)
	if !got.Equal || got.Windows == 0 || got.Windows >= 6 || len(got.NotCompared) != 1 || !strings.Contains(got.NotCompared[0].Reason, "/1 no longer holds offsets below 50") ||
		got.Windows+got.NotCompared[0].Windows != 6 {
		t.Errorf("%+v", got)
	}
	// All of it: nothing is compared, and that is no proof.
	for p := range int32(2) {
		s.kafka.DeleteRecordsBefore(t, topic, p, 9000)
	}
	if got := s.verify(t, "gates", nil); got.Equal || got.Windows != 0 || len(got.NotCompared) == 0 {
		t.Errorf("%+v", got)
	}
}

// rewind asks for a rewind and waits until it is done.
func (s *site) rewind(t *testing.T, cfg app.RewindConfig) *app.Rewinding {
	t.Helper()
	plan, err := app.Rewind(t.Context(), s.settings, cfg, false, zerolog.Nop())
	if err != nil || plan.Rewind != 0 {
		t.Fatalf("planning: %+v, %v", plan, err)
	}
	done, err := app.Rewind(t.Context(), s.settings, cfg, true, zerolog.Nop())
	if err != nil || done.Rewind == 0 || !slices.Equal(fromOf(plan), fromOf(done)) {
		t.Fatalf("planned %+v, asked for %+v, %v", plan, done, err)
	}
	eventually(t, 60*time.Second, func() string {
		states, err := app.Rewinds(t.Context(), s.settings, 100, zerolog.Nop())
		if err != nil {
			return err.Error()
		}
		for _, r := range states {
			if r.Seq == done.Rewind && (r.Done < r.Chunks || r.Chunks == 0) {
				return fmt.Sprintf("%+v", r)
			}
		}
		return ""
	})
	t.Logf("rewind %d: %+v", done.Rewind, done.Partitions)
	return done
}

func fromOf(r *app.Rewinding) (out []int64) {
	for _, p := range r.Partitions {
		out = append(out, p.From)
	}
	return out
}

// TestRewindMendsWhatIsStored loses and damages rows of two replicas that go on
// meanwhile: reading again puts all of it right, once, and tells nobody.
func TestRewindMendsWhatIsStored(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	tr := s.counters(t, 3, "north", "south")
	topic := tr.Models[0].Features
	one, two := s.start(t), s.start(t)
	n := 0
	produce := func(from, to int) {
		t.Helper()
		for m := from; m < to; m++ {
			records := tr.Records(noon.Add(time.Duration(m)*time.Minute), noon.Add(time.Duration(m+1)*time.Minute))
			testkit.Produce(t, s.kafka.Addr, records)
			n += len(records)
		}
	}
	produce(0, 12) // 42 000 records: more than one chunk a partition
	s.wants(t, 90*time.Second, fmt.Sprint(n), "SELECT sum(offset) FROM .progress")
	s.wants(t, 60*time.Second, "22", "SELECT uniqExact(model, window_start) FROM .windows WHERE closed AND role = 'label'")
	wantEqual(t, s.verify(t, "north", nil), 12)
	told := s.alerts(t)

	hurt := func(statement string) {
		t.Helper()
		s.clickHouse.Query(t, strings.ReplaceAll(statement, " .", " "+s.database+".")+" SETTINGS mutations_sync = 2")
	}
	at := noon.Add(3 * time.Minute).UnixMilli()
	hurt("ALTER TABLE .partials DELETE WHERE partition = 1")
	hurt(fmt.Sprintf("ALTER TABLE .summaries DELETE WHERE window_start = %d", at))
	hurt("ALTER TABLE .partials UPDATE nulls = nulls + 1 WHERE model = 'north' AND role = 2 AND feature = 'age' AND slice = ''")
	hurt(fmt.Sprintf("ALTER TABLE .summaries UPDATE rows = rows + 1 WHERE model = 'south' AND window_start = %d", noon.Add(5*time.Minute).UnixMilli()))
	hurt("ALTER TABLE .ids DELETE WHERE partition = 1")
	if r := s.verify(t, "south", func(c *replay.Config) { c.Settle = 0 }); r.Equal {
		t.Fatal("nothing is wrong")
	}
	produce(12, 13)
	done := s.rewind(t, app.RewindConfig{Topics: []string{topic}, Offset: -1, Reason: "a test"})
	produce(13, 14)
	s.wants(t, 60*time.Second, fmt.Sprint(n), "SELECT sum(offset) FROM .progress")
	for _, model := range []string{"north", "south"} {
		wantEqual(t, s.verify(t, model, nil), 14)
	}
	s.wants(t, 20*time.Second, "0", "SELECT countIf(n != 1) FROM (SELECT count() AS n FROM .ids FINAL GROUP BY topic, partition, offset, part)")
	if got := s.query(t, "SELECT count() FROM .ids FINAL WHERE partition = 1"); got == "0" {
		t.Error("the ids of a partition are not there again")
	}
	if now := s.alerts(t); len(now) < len(told) || !slices.Equal(now[:len(told)], told) {
		t.Errorf("told before:%s\nand by now:%s", join(told), join(now))
	} else if slices.ContainsFunc(now[len(told):], func(a string) bool { return strings.Contains(a, "revised") }) {
		t.Errorf("reading again has told:%s", join(now[len(told):]))
	}
	again := func(rs ...*service) (n int) {
		for _, r := range rs {
			n += r.log.count("reading again as asked for")
		}
		return n
	}
	if got := again(one, two); got != len(done.Partitions) {
		t.Errorf("%d partitions were read again %d times", len(done.Partitions), got)
	}
	// One of them from the middle.
	part := s.rewind(t, app.RewindConfig{Topics: []string{topic}, Partitions: []int32{2}, Offset: 8000})
	if len(part.Partitions) != 1 || part.Partitions[0].From == 0 || part.Partitions[0].From > 8000 {
		t.Errorf("asked to begin at 8000: %+v", part)
	}
	one.stop(t)
	two.stop(t)
	third := s.start(t)
	time.Sleep(3 * time.Second)
	if again(third) != 0 {
		t.Error("a new start reads again what was read again")
	}
	third.stop(t)
	wantEqual(t, s.verify(t, "north", nil), 14)
}
