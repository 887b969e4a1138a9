package app_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/modelwatch/modelwatch/internal/testkit"
)

// TestMonitors starts without a monitor, adds one, breaks it, moves it to
// another topic and removes it.
func TestMonitors(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	first := s.kafka.CreateTopic(t, testkit.Name(t, "first"), 2, nil)
	second := s.kafka.CreateTopic(t, testkit.Name(t, "second"), 1, nil)
	r := s.start(t)
	s.monitor(t, "gates.yaml", gates, "gates", first, "10m", "")
	s.produce(t, first, "gates", 0, 0, 25, 200)
	s.produce(t, first, "gates", 1, 0, 25, 200)
	s.wants(t, 40*time.Second, "400", "SELECT sum(rows) FROM .windows WHERE role = 'rows' AND feature = 'features'")
	s.wants(t, 30*time.Second, "2", "SELECT uniqExact(window_start) FROM .windows WHERE closed")

	s.monitor(t, "broken.yaml", "model: [")
	eventually(t, 20*time.Second, func() string {
		if r.Ready()["monitors"] == nil {
			return "a broken monitor is not told"
		}
		return ""
	})
	s.produce(t, first, "gates", 0, 25, 1, 10)
	s.wants(t, 40*time.Second, "410", "SELECT sum(rows) FROM .windows WHERE role = 'rows' AND feature = 'features'")
	if err := os.Remove(filepath.Join(s.settings.Monitors, "broken.yaml")); err != nil {
		t.Fatal(err)
	}

	// On another topic: the first one holds up nothing.
	s.monitor(t, "gates.yaml", gates, "gates", second, "10m", "slices: [gate]\n")
	s.wants(t, 40*time.Second, "2", "SELECT count() FROM .specs")
	s.produce(t, second, "gates", 0, 26, 60, 600)
	s.wants(t, 40*time.Second, "1010", "SELECT sum(rows) FROM .windows WHERE role = 'rows' AND feature = 'features'")
	s.wants(t, 60*time.Second, "8", "SELECT uniqExact(window_start) FROM .windows WHERE closed")
	s.wants(t, 30*time.Second, "0", "SELECT count() FROM .verdicts WHERE reason LIKE '%%partitions%%'")

	if err := os.Remove(filepath.Join(s.settings.Monitors, "gates.yaml")); err != nil {
		t.Fatal(err)
	}
	eventually(t, 20*time.Second, func() string {
		if r.log.count(`"models":[],"message":"monitors in force"`) < 1 && r.log.count(`"monitors":0`) < 2 {
			return "the monitor is still in force"
		}
		return ""
	})
	s.produce(t, second, "gates", 0, 86, 1, 10)
	time.Sleep(3 * time.Second)
	s.wants(t, 0, "1010", "SELECT sum(rows) FROM .windows WHERE role = 'rows' AND feature = 'features'")
	// Back again: what came in the meantime is counted.
	s.monitor(t, "gates.yaml", gates, "gates", second, "10m", "slices: [gate]\n")
	s.wants(t, 40*time.Second, "1020", "SELECT sum(rows) FROM .windows WHERE role = 'rows' AND feature = 'features'")
	r.stop(t)
}
