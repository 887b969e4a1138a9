package campaign

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/modelwatch/modelwatch/internal/faultpoint"
)

// stores makes ClickHouse slow and cuts its connections when a request is under
// way, so that nobody knows what came of it.
func stores(s *stage) {
	st := s.newStorm(800 * time.Millisecond)
	st.launch(st.dir).ready()
	st.launch(st.dir).ready()
	const delay, slow = 150 * time.Millisecond, 15 * time.Second
	began := time.Now()
	s.c.proxy.SetDelay(delay)
	time.Sleep(slow)
	s.c.proxy.SetDelay(0)
	st.happened("ClickHouse slow", fmt.Sprintf("every packet was held back for %s, for %s", delay, time.Since(began).Round(time.Second)), st.recover())
	const resets = 10
	for i := range resets {
		st.inserting()
		select {
		case <-s.c.proxy.DropAfterRequest():
			st.happened("connection reset after the request", fmt.Sprintf("the %d. connection was reset when its answer came", i+1), st.recover())
		case <-time.After(20 * time.Second):
			st.Error("no request came by whose connection could be reset")
		}
	}
	cut := 0
	for range 5 {
		cut += s.c.proxy.Cut()
		time.Sleep(time.Second)
	}
	if cut > 0 {
		st.happened("all connections cut", fmt.Sprintf("%d connections were reset", cut), st.recover())
	}
	st.finish()
}

// diskFull leaves the store without room.
func diskFull(s *stage) {
	if s.c.small == "" {
		s.hurt("disk full under the store")
		s.Fatal("a file system of a few gigabytes cannot be mounted here")
	}
	st := s.newStorm(800 * time.Millisecond)
	a, b := st.launch(st.dir).ready(), st.launch(st.dir).ready()
	time.Sleep(2 * time.Second)
	ballast := filepath.Join(s.c.small, "ballast")
	f, err := os.Create(ballast)
	if err != nil {
		st.Fatal(err)
	}
	page, err := make([]byte, 1<<20), error(nil)
	for err == nil {
		_, err = f.Write(page)
	}
	_ = f.Close()
	var free syscall.Statfs_t
	_ = syscall.Statfs(s.c.small, &free)
	wrong := st.until(40*time.Second, func() string {
		for _, word := range []string{"No space left", "NOT_ENOUGH_SPACE", "not enough space", "reserve"} {
			if a.said(word) || b.said(word) {
				return ""
			}
		}
		return "nobody says that there is no room"
	})
	if err := os.Remove(ballast); err != nil {
		st.Fatal(err)
	}
	if wrong != "" {
		st.Fatal(wrong + "\n" + a.tail(10))
	}
	st.happened("disk full under the store", fmt.Sprintf("%d bytes were left, and inserts failed", free.Bavail*uint64(free.Bsize)), st.recover())
	st.finish()
}

// clocks lets wall clocks jump by an hour, those of two replicas apart.
func clocks(s *stage) {
	st := s.newStorm(800 * time.Millisecond)
	files := []string{filepath.Join(st.dir, "clock0"), filepath.Join(st.dir, "clock1")}
	for _, f := range files {
		st.write(f, "0s")
		st.launch(st.dir, "MODELWATCH_CLOCK="+f).ready()
	}
	for i, jump := range []struct {
		name  string
		ahead []string
	}{
		{"wall clock of one replica jumps by +1 h", []string{"1h", "0s"}},
		{"wall clock of one replica jumps by -1 h", []string{"0s", "0s"}},
		{"wall clocks of all replicas jump by -1 h", []string{"-1h", "-1h"}},
	} {
		for j, f := range files {
			st.write(f, jump.ahead[j])
		}
		time.Sleep(4 * time.Second)
		recovered := st.recover()
		off := st.number("SELECT toInt64(argMax(abs(written_at - toUnixTimestamp64Milli(at)), at)) FROM %s.progress_heads")
		most := st.number("SELECT toInt64(max(abs(written_at - toUnixTimestamp64Milli(at)))) FROM %s.progress_heads WHERE at > now() - 4")
		if i != 1 && most < 3_000_000 {
			st.Errorf("%s: progress is stamped %d ms off", jump.name, most)
			continue
		}
		st.happened(jump.name, fmt.Sprintf("progress is stamped up to %d ms off the store's clock, the newest %d", most, off), recovered)
	}
	st.finish()
}

// lateZombie wakes a process when all is stored by another, and lets it store
// what it had.
func lateZombie(s *stage) {
	s.newLog(plan{mirrored: true})
	other := s.launch(s.dir).ready()
	z := s.launch(s.dir, fmt.Sprintf("MODELWATCH_FAULT=%s:1:stop", faultpoint.Storing))
	s.await(30*time.Second, func() string {
		if !z.said("partitions assigned") {
			return "the second replica has no partitions"
		}
		return ""
	})
	s.produce(.5) // of a window that goes on while it is away
	s.await(60*time.Second, func() string {
		if !z.stopped() {
			return "the replica does not stop"
		}
		return ""
	})
	s.produce(6)
	recovered := s.recover()
	if v := s.counted(s.mirrors()); len(v.differences) > 0 {
		s.Fatal("windows differ before the zombie wakes")
	}
	// It is alone, and ends as soon as it has stored: whoever joins a group makes
	// all read their open chunks again, and that would mend what it has done.
	other.kill()
	const inserts = "SELECT toInt64(count()) FROM %s.partials"
	before := s.number(inserts)
	z.signal(syscall.SIGCONT)
	s.await(30*time.Second, func() string {
		if s.number(inserts) == before {
			return "the zombie stores nothing"
		}
		return ""
	})
	z.kill()
	s.happened("zombie that stores what was stored", fmt.Sprintf("process %d woke alone when all was stored, stored what it had, and was killed", z.cmd.Process.Pid), recovered)
	time.Sleep(3 * time.Second)
	s.verdict = s.counted(s.mirrors())
}

// fewKills is a short storm of kills at the steps around the commit.
func fewKills(s *stage) {
	st := s.newStorm(800 * time.Millisecond)
	st.slay([]aim{{faultpoint.Progress, 3}, {faultpoint.WindowAdd, 20}, {faultpoint.Partials, 3}, {faultpoint.Decode, 900}})
	st.finish()
}

// publishedAgain kills a replica between publishing and marking, and starts the
// next when JetStream has forgotten the message's id.
func publishedAgain(s *stage) {
	st := s.newStorm(800 * time.Millisecond)
	for range 3 {
		r := st.launch(st.dir, "MODELWATCH_FAULT="+faultpoint.Published.String()+":1")
		select {
		case <-r.ended:
		case <-time.After(60 * time.Second):
			st.Fatalf("nothing was published\n%s", r.tail(20))
		}
		time.Sleep(2500 * time.Millisecond)
	}
	st.finish()
}
