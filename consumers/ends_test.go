package consumers

import (
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
)

// What is behind a partition that nothing is fetched of is seen once it is asked for.
func TestEnds_ShowWhatWaits(t *testing.T) {
	k := fake(t, kfake.SeedTopics(1, "t"))
	c := connect(t, k.ListenAddrs(), nil)
	f := NewFetcher(c)
	s := f.Add(Position{Topic: "t", ID: topicID(t, c, "t"), LeaderEpoch: -1})
	stop := background(t, f.Run)
	p := produce(t, k.ListenAddrs())
	p.send("t", 0, "a")
	drain(t, s, 1)
	stop()
	p.send("t", 0, "b", "c", "d")
	if lag := s.State().Lag(); lag != 0 {
		t.Fatalf("the lag is %d before anybody asks", lag)
	}
	f.Ends(t.Context(), time.Now().Add(-time.Hour))
	if lag := s.State().Lag(); lag != 0 {
		t.Errorf("a partition that was just fetched is asked for: the lag is %d", lag)
	}
	f.Ends(t.Context(), time.Now().Add(time.Hour))
	if lag := s.State().Lag(); lag != 3 {
		t.Errorf("the lag is %d, want 3", lag)
	}
}
