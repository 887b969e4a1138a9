package app_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/modelwatch/modelwatch/internal/testkit"
	"github.com/modelwatch/modelwatch/schemas"
)

// TestLateRowsFlipAVerdict delivers most events of a window after it was judged:
// what was said of its volume is taken back, once. Of another window the late
// events are the bad ones: then people are told, once.
func TestLateRowsFlipAVerdict(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	tr := s.counters(t, 1, "north")
	tr.Noise = testkit.Noise{}
	minute := func(m int) time.Time { return noon.Add(time.Duration(m) * time.Minute) }
	r := s.start(t)
	// Of minute 3 most features come later, of minute 5 some that are wrong.
	var later, wrong []testkit.Record
	for m := range 7 {
		var now []testkit.Record
		for _, e := range tr.Records(minute(m), minute(m+1)) {
			if m == 3 && e.Time.Sub(minute(3)) > 6*time.Second && strings.Contains(string(e.Value), `"features"`) {
				later = append(later, e)
				continue
			}
			now = append(now, e)
			if m == 5 && len(wrong) < 60 && strings.Contains(string(e.Value), `"features"`) {
				bad := e
				bad.Value = fmt.Appendf(nil, `{"id":"late-%d","model":"north","version":"3","ts":%d,"features":{"age":30,"amount":"much","channel":"app","country":"DE","ratio":0.5}}`,
					len(wrong), e.Time.UnixMilli())
				wrong = append(wrong, bad)
			}
		}
		testkit.Produce(t, s.kafka.Addr, now)
	}
	of := func(transition string) int {
		return strings.Count(join(s.alerts(t)), transition)
	}
	verdict := func(m int, channel string) string {
		return s.query(t, "SELECT DISTINCT state FROM .verdicts WHERE model = 'north' AND channel = '%s' AND role = 'rows' AND feature = 'features' AND slice = '' AND window_start = %d", channel, minute(m).Unix())
	}
	eventually(t, 90*time.Second, func() string {
		if of("volume [features] firing") == 0 {
			return "told:" + join(s.alerts(t)) + "\nverdict: " + verdict(3, "volume")
		}
		return ""
	})
	if of("revised") != 0 {
		t.Errorf("told before a row came late:%s", join(s.alerts(t)))
	}
	testkit.Produce(t, s.kafka.Addr, later)
	eventually(t, 90*time.Second, func() string {
		if of("volume [features] revised") == 0 || verdict(3, "volume") != "ok" {
			return "told:" + join(s.alerts(t)) + "\nverdict: " + verdict(3, "volume")
		}
		return ""
	})
	// Still later rows change the figures, and nobody is told again.
	again := slices.Clone(later[:20])
	for i := range again {
		again[i].Value = []byte(strings.Replace(string(again[i].Value), `"id":"`, `"id":"again-`, 1))
	}
	testkit.Produce(t, s.kafka.Addr, again)
	rows := 600 + len(again)
	s.wants(t, 60*time.Second, fmt.Sprint(rows), "SELECT sum(rows) FROM .windows WHERE model = 'north' AND role = 'rows' AND feature = 'features' AND closed AND window_start = %d", minute(3).Unix())
	// The other way: the window of minute 5 was judged, and well.
	s.wants(t, 60*time.Second, "1", "SELECT min(closed) FROM .windows WHERE model = 'north' AND role = 'rows' AND feature = 'features' AND window_start = %d", minute(5).Unix())
	if of(string(schemas.FaultWrongType)) != 0 {
		t.Errorf("told before a wrong row came:%s", join(s.alerts(t)))
	}
	testkit.Produce(t, s.kafka.Addr, wrong)
	eventually(t, 90*time.Second, func() string {
		if of("wrong_type [amount] firing") == 0 {
			return "told:" + join(s.alerts(t))
		}
		return ""
	})
	s.wants(t, 60*time.Second, "60", "SELECT bad FROM .windows WHERE model = 'north' AND role = 'feature' AND feature = 'amount' AND slice = '' AND closed AND window_start = %d", minute(5).Unix())
	time.Sleep(3 * time.Second)
	if n, w := of("revised"), of("wrong_type [amount] firing"); n != 1 || w != 1 {
		t.Errorf("%d times revised, %d times wrong_type:%s", n, w, join(s.alerts(t)))
	}
	r.stop(t)
	fresh := s.start(t)
	time.Sleep(3 * time.Second)
	if n, w := of("revised"), of("wrong_type [amount] firing"); n != 1 || w != 1 {
		t.Errorf("after a new start %d times revised, %d times wrong_type:%s", n, w, join(s.alerts(t)))
	}
	fresh.stop(t)
	wantEqual(t, s.verify(t, "north", nil), 7)
}
