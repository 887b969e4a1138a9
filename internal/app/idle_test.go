package app_test

import (
	"strings"
	"testing"
	"time"

	"github.com/modelwatch/modelwatch/internal/testkit"
)

const quick = `
model: %s
topics: [%s]
window: 2s
lateness: 1s
late_horizon: 1h
features:
  price: {type: number, min: 0}
  gate: {type: category, set: [north, south]}
`

// TestNoData lets a model fall silent, alone on its topic and beside another
// one that goes on, and come back.
func TestNoData(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	alone := s.kafka.CreateTopic(t, testkit.Name(t, "alone"), 2, nil)
	shared := s.kafka.CreateTopic(t, testkit.Name(t, "shared"), 1, nil)
	s.monitor(t, "alone.yaml", quick, "alone", alone)
	s.monitor(t, "silent.yaml", quick, "silent", shared)
	s.monitor(t, "busy.yaml", quick, "busy", shared)
	r := s.start(t)
	now := func() float64 { return time.Since(noon).Minutes() }
	for range 6 {
		s.produce(t, alone, "alone", 0, now(), 0, 20)
		s.produce(t, alone, "alone", 1, now(), 0, 20)
		s.produce(t, shared, "silent", 0, now(), 0, 20)
		s.produce(t, shared, "busy", 0, now(), 0, 20)
		time.Sleep(500 * time.Millisecond)
	}
	silence := time.Now()
	firing := func(model string) func() string {
		return func() string {
			if time.Since(silence) < 40*time.Second {
				s.produce(t, shared, "busy", 0, now(), 0, 20)
			}
			got := s.alerts(t)
			if strings.Contains(join(got), model+" no_data [features] firing") {
				return ""
			}
			return "alerts are" + join(got)
		}
	}
	eventually(t, 60*time.Second, firing("alone"))
	t.Logf("alone is missed after %s", time.Since(silence))
	eventually(t, 30*time.Second, firing("silent"))
	t.Logf("silent is missed after %s", time.Since(silence))
	eventually(t, 60*time.Second, func() string {
		for _, model := range []string{"alone", "silent"} {
			topic := map[string]string{"alone": alone, "silent": shared}[model]
			s.produce(t, topic, model, 0, now(), 0, 40)
		}
		s.produce(t, shared, "busy", 0, now(), 0, 20)
		got := join(s.alerts(t))
		for _, model := range []string{"alone", "silent"} {
			if !strings.Contains(got, model+" no_data [features] resolved") {
				return "alerts are" + got
			}
		}
		if strings.Contains(got, "busy no_data") {
			t.Fatal("alerts are" + got)
		}
		return ""
	})
	r.stop(t)
}
