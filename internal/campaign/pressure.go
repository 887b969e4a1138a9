package campaign

import (
	"encoding/json"
	"fmt"
	"time"
)

// largestMemory is what a replica may have resident while the store is slow.
const largestMemory = 600 << 20

// pressure makes ClickHouse far too slow for what is produced.
func pressure(s *stage) {
	slow := 5 * time.Minute
	if s.c.cfg.Short {
		slow = 20 * time.Second
	}
	s.world = s.c.newWorld(s.ground, s.broken, plan{models: []string{"orders", "refunds"}})
	a, b := s.launch(s.dir).ready(), s.launch(s.dir).ready()
	read := func() float64 { return a.metric("modelwatch_records_total") + b.metric("modelwatch_records_total") }

	// Steady: two windows a second.
	s.produce(8)
	_ = s.recover()
	began, was := time.Now(), s.total()
	for time.Since(began) < 15*time.Second {
		s.produce(s.produced + 1)
		time.Sleep(500 * time.Millisecond)
	}
	steady := float64(s.total()-was) / time.Since(began).Seconds()
	_ = s.recover()

	s.c.proxy.SetDelay(6 * time.Second)
	defer s.c.proxy.SetDelay(0)
	began, was = time.Now(), s.total()
	before, lag, shown := read(), 0., false
	for time.Since(began) < slow {
		s.produce(s.produced + 1)
		time.Sleep(500 * time.Millisecond)
		lag = max(lag, a.metric("modelwatch_lag")+b.metric("modelwatch_lag"))
		var answer struct {
			Lag map[string]int64 `json:"lag"`
		}
		_, body := a.get("/readyz")
		_ = json.Unmarshal([]byte(body), &answer) // what is no answer shows no lag
		for _, behind := range answer.Lag {
			shown = shown || behind > 0
		}
	}
	lasted := time.Since(began)
	produced := float64(s.total() - was)
	taken := read() - before
	if taken > produced/5 {
		s.Errorf("the store took %.0f of %.0f records: it was not slow", taken, produced)
	}
	if lag == 0 || !shown {
		s.Errorf("lag of %.0f is in /metrics, and is in /readyz: %t", lag, shown)
	}
	if most := s.memory(); most > largestMemory && !s.c.cfg.Race {
		s.Errorf("a replica had %d MiB resident, the cap is %d", most>>20, largestMemory>>20)
	}
	s.c.proxy.SetDelay(0)
	behind := produced - taken
	began = time.Now()
	recovered := s.recover()
	catching := behind / time.Since(began).Seconds()
	s.happened("ClickHouse too slow for "+slow.String(), fmt.Sprintf("%.0f records/s were produced and %.0f read for %s, lag up to %.0f; caught up at %.0f records/s, %.1f times the steady rate",
		produced/lasted.Seconds(), taken/lasted.Seconds(), lasted.Round(time.Second), lag, catching, catching/steady), recovered)
	s.produce(s.produced + 2)
	s.rest(s.database, 2*time.Minute)
	s.verdict = s.counted(s.topics)
}

// total is how many records are in the logs of the topics.
func (w *world) total() int64 {
	var n int64
	for _, end := range w.ends() {
		n += end
	}
	return n
}
