package app_test

import (
	"testing"
	"time"

	"github.com/modelwatch/modelwatch/internal/testkit"
)

const gates = `
model: %s
topics: [%s]
window: %s
lateness: 5s
late_horizon: 1h
features:
  price: {type: number, min: 0}
  gate: {type: category, set: [north, south]}
%s`

// TestSpecChange changes what is counted while events come: rows of two specs
// never mix, windows go on under the new one, and nothing is read for ever.
func TestSpecChange(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	topic := s.kafka.CreateTopic(t, testkit.Name(t, "gates"), 2, nil)
	s.monitor(t, "gates.yaml", gates, "gates", topic, "1h", "")
	r := s.start(t)
	for p := range int32(2) {
		s.produce(t, topic, "gates", p, 0, 90, 900)
	}
	s.wants(t, 30*time.Second, "1800", "SELECT sum(rows) FROM .windows WHERE role = 'rows' AND feature = 'features'")
	s.monitor(t, "gates.yaml", gates, "gates", topic, "30m", "slices: [gate]\n")
	s.wants(t, 30*time.Second, "2", "SELECT count() FROM .specs")
	for p := range int32(2) {
		s.produce(t, topic, "gates", p, 90, 90, 900)
	}
	s.wants(t, 30*time.Second, "3600", "SELECT sum(rows) FROM .windows WHERE role = 'rows' AND feature = 'features'")
	s.wants(t, 30*time.Second, "12:00 13:00 1\n13:00 14:00 1\n14:00 14:30 1\n14:30 15:00 0",
		`SELECT formatDateTime(window_start, '%%H:%%i') || ' ' || formatDateTime(window_end, '%%H:%%i') || ' ' || toString(closed)
		FROM .windows WHERE role = 'rows' AND feature = 'features' ORDER BY window_start`)
	s.wants(t, 30*time.Second, "600", "SELECT sum(rows) FROM .windows WHERE role = 'feature' AND feature = 'price' AND slice = 'gate=north'")
	records := s.query(t, "SELECT count() FROM .journal")
	reading := r.log.count("reading again for new specs")
	time.Sleep(5 * time.Second)
	if now := s.query(t, "SELECT count() FROM .journal"); now != records {
		t.Errorf("the journal grew from %s to %s rows while nothing came", records, now)
	}
	if now := r.log.count("reading again for new specs"); now != reading || now > 2 {
		t.Errorf("chunks were read again %d times, then %d times", reading, now)
	}
	r.stop(t)
	// A new start finds nothing to read again for.
	again := s.start(t)
	time.Sleep(3 * time.Second)
	if n := again.log.count("reading again for new specs"); n != 0 {
		t.Errorf("a new start reads %d chunks again", n)
	}
	again.stop(t)
	s.wants(t, 0, "3600", "SELECT sum(rows) FROM .windows WHERE role = 'rows' AND feature = 'features'")
}

// TestRetentionOvertakes deletes records before they are read: what is lost is
// a gap, and the rest goes on.
func TestRetentionOvertakes(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	topic := s.kafka.CreateTopic(t, testkit.Name(t, "gates"), 1, nil)
	s.monitor(t, "gates.yaml", gates, "gates", topic, "10m", "")
	r := s.start(t)
	s.produce(t, topic, "gates", 0, 0, 5, 100)
	s.wants(t, 30*time.Second, "100", "SELECT sum(rows) FROM .windows WHERE role = 'rows' AND feature = 'features'")
	// In the middle of an open chunk: nothing unread is lost.
	s.kafka.DeleteRecordsBefore(t, topic, 0, 60)
	s.produce(t, topic, "gates", 0, 5, 1, 100)
	s.wants(t, 30*time.Second, "200", "SELECT sum(rows) FROM .windows WHERE role = 'rows' AND feature = 'features'")
	r.stop(t)
	// While nobody reads: 30 are lost.
	s.produce(t, topic, "gates", 0, 6, 1, 100)
	s.kafka.DeleteRecordsBefore(t, topic, 0, 230)
	r = s.start(t)
	s.wants(t, 30*time.Second, "270", "SELECT sum(rows) FROM .windows WHERE role = 'rows' AND feature = 'features'")
	s.wants(t, 30*time.Second, "200 230", "SELECT toString(gap_from) || ' ' || toString(gap_to) FROM .progress_chunks FINAL WHERE gap_to > gap_from")
	s.produce(t, topic, "gates", 0, 7, 30, 300)
	s.wants(t, 30*time.Second, "570", "SELECT sum(rows) FROM .windows WHERE role = 'rows' AND feature = 'features'")
	r.stop(t)
	r = s.start(t)
	time.Sleep(3 * time.Second)
	s.wants(t, 0, "570", "SELECT sum(rows) FROM .windows WHERE role = 'rows' AND feature = 'features'")
	s.wants(t, 0, "1", "SELECT countIf(gap_to > gap_from) FROM .progress_chunks FINAL")
	eventually(t, 20*time.Second, func() string {
		if got := s.alerts(t); len(got) != 2 || got[0] != "gates retention_gap [features] firing" {
			return "alerts are " + join(got)
		}
		return ""
	})
	r.stop(t)
}

// TestTopicMadeAgain deletes a topic and makes it again under its name.
func TestTopicMadeAgain(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	topic := s.kafka.CreateTopic(t, testkit.Name(t, "gates"), 2, nil)
	s.monitor(t, "gates.yaml", gates, "gates", topic, "10m", "")
	r := s.start(t)
	s.produce(t, topic, "gates", 0, 0, 15, 200)
	s.produce(t, topic, "gates", 1, 0, 15, 100)
	s.wants(t, 30*time.Second, "300", "SELECT sum(rows) FROM .windows WHERE role = 'rows' AND feature = 'features'")
	s.kafka.DeleteTopic(t, topic)
	time.Sleep(2 * time.Second)
	s.kafka.CreateTopic(t, topic, 3, nil)
	for p := range int32(3) {
		s.produce(t, topic, "gates", p, 15, 30, 50)
	}
	s.wants(t, 60*time.Second, "450", "SELECT sum(rows) FROM .windows WHERE role = 'rows' AND feature = 'features'")
	s.wants(t, 30*time.Second, "4 1", `SELECT toString(uniqExactIf(window_start, closed)) || ' ' || toString(uniqExactIf(window_start, NOT closed))
		FROM .windows WHERE role = 'rows' AND feature = 'features'`)
	r.stop(t)
}

func join(lines []string) string {
	out := ""
	for _, l := range lines {
		out += "\n  " + l
	}
	return out
}

// TestAddedPartition reads from now on, and all of a partition that is added
// then: what came before it was noticed too.
func TestAddedPartition(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	topic := s.kafka.CreateTopic(t, testkit.Name(t, "gates"), 1, nil)
	now := func() float64 { return time.Since(noon).Minutes() }
	s.produce(t, topic, "gates", 0, now(), 0, 100)
	s.monitor(t, "gates.yaml", gates, "gates", topic, "10m", "start: latest\n")
	r := s.start(t)
	s.wants(t, 30*time.Second, "1", "SELECT count() FROM .progress_heads FINAL")
	s.produce(t, topic, "gates", 0, now(), 0, 10)
	s.kafka.AddPartitions(t, topic, 2)
	time.Sleep(time.Second)
	s.produce(t, topic, "gates", 1, now(), 0, 20)
	s.wants(t, 40*time.Second, "2", "SELECT count() FROM .progress_heads FINAL")
	s.wants(t, 20*time.Second, "30", "SELECT sum(rows) FROM .windows WHERE role = 'rows' AND feature = 'features'")
	r.stop(t)
}
