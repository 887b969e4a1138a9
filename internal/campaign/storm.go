package campaign

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/modelwatch/modelwatch/internal/faultpoint"
	"github.com/modelwatch/modelwatch/internal/testkit"
	"github.com/modelwatch/modelwatch/schemas"
)

// period is after how many windows the faults of the traffic come again.
const period = 24

// faults are wrong for some windows each, with repairs between, again and again.
func faults(until int) (out []testkit.TrafficFault) {
	for from := 0; from < until; from += period {
		when := func(n float64) time.Time { return at(float64(from) + n) }
		out = append(out,
			testkit.TrafficFault{Model: "orders", Fault: schemas.FaultWrongType, Column: "age", From: when(2), To: when(4), Share: 1},
			testkit.TrafficFault{Model: "refunds", Fault: schemas.FaultMissingColumn, Column: "channel", From: when(4), To: when(6), Share: 1},
			testkit.TrafficFault{Model: "orders", Fault: schemas.FaultNulls, Column: "ratio", From: when(6), To: when(9), Share: .5},
			testkit.TrafficFault{Model: "orders", Fault: schemas.FaultDrift, Column: "amount", From: when(11), To: when(15), Size: 30},
			testkit.TrafficFault{Model: "orders", Fault: schemas.FaultUnparsable, From: when(17), To: when(19), Share: .5},
			testkit.TrafficFault{Model: "refunds", Fault: schemas.FaultWrongType, Column: "amount", From: when(16), To: when(18), Share: .6},
		)
	}
	return out
}

// reaches says after how many times of a step, at most, a process is killed.
var reaches = map[faultpoint.Step]int{
	faultpoint.Fetch: 40, faultpoint.Decode: 1500, faultpoint.WindowAdd: 60, faultpoint.Storing: 3, faultpoint.Partials: 5, faultpoint.Progress: 5, faultpoint.Place: 1,
	faultpoint.Commit: 20, faultpoint.Journal: 2, faultpoint.Published: 1, faultpoint.Marked: 1,
}

// storm makes the world of a scene in which replicas are hurt while events
// come, and starts to produce.
type storm struct {
	*stage
	enough atomic.Bool // no more hurts are to come: the events may end
	ended  chan struct{}
}

// newStorm makes an installation with all kinds of faults in its traffic.
func (s *stage) newStorm(pace time.Duration) *storm {
	const most = 40 * period
	s.world = s.c.newWorld(s.ground, s.broken, plan{models: []string{"orders", "refunds"}, noise: noise})
	s.traffic.Faults = faults(most)
	st := &storm{stage: s, ended: make(chan struct{})}
	go func() {
		defer close(st.ended)
		last := most
		for n := 1; n <= last && s.ctx.Err() == nil; n++ {
			s.produce(float64(n))
			if n%period == 0 && st.enough.Load() && last == most {
				last = n + lateness + 1 // all faults of a period were repaired, and its windows are closed by then
			}
			select {
			case <-time.After(pace):
			case <-s.ctx.Done():
			}
		}
	}()
	return st
}

// finish waits for the last events, lets two replicas come to rest, and compares.
func (s *storm) finish() {
	s.enough.Store(true)
	s.Log("nothing more is hurt")
	<-s.ended
	for len(s.standing()) < 2 {
		s.launch(s.dir).ready()
	}
	s.rest(s.database, 10*time.Minute)
	s.Logf("at rest after %.0f windows", s.produced)
	s.verdict = s.compare()
}

// aim is a step at which a process is to be killed.
type aim struct {
	step faultpoint.Step
	at   int
}

// aims draws n steps, each kind as often as the others.
func (s *stage) aims(n int) []aim {
	steps := faultpoint.Steps()
	out := make([]aim, n)
	for i := range out {
		step := steps[i%len(steps)]
		out[i] = aim{step, 1 + s.random.IntN(reaches[step])}
	}
	s.random.Shuffle(n, func(i, j int) { out[i], out[j] = out[j], out[i] })
	return out
}

// slay keeps two replicas running, each of which kills itself at a step, until
// all aims were hit. Both may be away at once.
func (s *storm) slay(aims []aim) {
	var mu sync.Mutex
	take := func() (a aim, ok bool) {
		mu.Lock()
		defer mu.Unlock()
		if len(aims) == 0 {
			return a, false
		}
		a, aims = aims[0], aims[1:]
		return a, true
	}
	var slots, accounts sync.WaitGroup
	for range 2 {
		slots.Go(func() {
			for s.ctx.Err() == nil && !s.c.late() {
				a, ok := take()
				if !ok {
					return
				}
				r := s.launch(s.dir, fmt.Sprintf("MODELWATCH_FAULT=%s:%d", a.step, a.at))
				select {
				case <-r.ended:
				case <-s.ctx.Done():
					return
				case <-time.After(30 * time.Second):
					// It waits for something to decide or to tell, which the other may have done.
					r.kill()
					s.account(&accounts, "kill at any moment", fmt.Sprintf("process %d was killed", r.cmd.Process.Pid))
					mu.Lock()
					aims = append(aims, aim{a.step, 1})
					mu.Unlock()
					continue
				}
				switch {
				case r.killed() && r.said("faultpoint: ", a.step.String()):
					s.account(&accounts, "kill at "+a.step.String(), fmt.Sprintf("process %d killed itself at the %d. %s", r.cmd.Process.Pid, a.at, a.step))
				default:
					s.Errorf("a replica that was to be killed at %s ended by itself: %s\n%s", a.step, r.cmd.ProcessState, r.tail(30))
					return
				}
			}
		})
	}
	slots.Wait()
	for len(s.standing()) < 2 && s.ctx.Err() == nil {
		s.launch(s.dir)
	}
	accounts.Wait()
}

// account counts a kill, and in the background how long it took until all that
// was in the log by then is stored.
func (s *storm) account(wait *sync.WaitGroup, name, evidence string) {
	s.mu.Lock()
	s.kills++
	s.mu.Unlock()
	wait.Go(func() { s.happened(name, evidence, s.recover()) })
}

// killing is a storm of kills at every step.
func killing(s *stage) {
	n := min(s.c.cfg.Kills-s.round*eachRound, eachRound)
	if s.c.cfg.Short {
		n = len(faultpoint.Steps())
	}
	st := s.newStorm(700 * time.Millisecond)
	st.slay(s.aims(n))
	st.finish()
}

// together is the short form: a kill at every step, a zombie and lost servers
// in one installation, which is compared once.
func together(s *stage) {
	st := s.newStorm(700 * time.Millisecond)
	st.slay(s.aims(len(faultpoint.Steps())))
	for _, r := range st.standing() {
		r.ready()
	}
	st.wake(aim{faultpoint.WindowAdd, 30})
	st.deprive(4 * time.Second)
	st.finish()
}

// zombies are processes that were away for longer than their session and go on
// as if nothing had happened, with rows that another has stored by then.
func zombies(s *stage) {
	st := s.newStorm(700 * time.Millisecond)
	st.launch(st.dir).ready()
	for _, a := range []aim{{faultpoint.WindowAdd, 30}, {faultpoint.Partials, 2}} {
		st.wake(a)
	}
	st.finish()
}

// wake stops a process at a step, and lets it go on when others have its
// partitions.
func (s *storm) wake(a aim) {
	z := s.launch(s.dir, fmt.Sprintf("MODELWATCH_FAULT=%s:%d:stop", a.step, a.at))
	s.await(60*time.Second, func() string {
		if !z.stopped() {
			return "the replica does not stop at " + a.step.String()
		}
		return ""
	})
	began := time.Now()
	recovered := s.recover() // by the others
	if away := 5*time.Second - time.Since(began); away > 0 {
		time.Sleep(away)
	}
	z.signal(syscall.SIGCONT)
	s.await(30*time.Second, func() string {
		if !z.said("partitions assigned") || strings.Count(z.tail(1<<20), "partitions assigned") < 2 && z.running() {
			return "the zombie does not join again"
		}
		return ""
	})
	s.happened("zombie", fmt.Sprintf("process %d was stopped at %s for %s, lost its partitions, and joined again", z.cmd.Process.Pid, a.step, time.Since(began).Round(time.Second)), recovered)
}

// leaving stops replicas in order, in the middle of chunks, and lets the group
// grow and shrink.
func leaving(s *stage) {
	st := s.newStorm(700 * time.Millisecond)
	first := st.launch(st.dir).ready()
	time.Sleep(time.Second)
	first.stop()
	next := st.launch(st.dir).ready()
	st.happened("SIGTERM in mid-chunk", fmt.Sprintf("process %d ended with 0", first.cmd.Process.Pid), st.recover())
	second, third := st.launch(st.dir).ready(), st.launch(st.dir).ready()
	recovered := st.recover()
	for _, r := range []*replica{second, third} {
		st.await(30*time.Second, func() string {
			if r.metric("modelwatch_records_total") == 0 {
				return "a replica that was added reads nothing"
			}
			return ""
		})
	}
	next.stop()
	third.stop()
	st.happened("scale 1, 3, 1", fmt.Sprintf("processes %d and %d came and read, %d and %d left", second.cmd.Process.Pid, third.cmd.Process.Pid, next.cmd.Process.Pid, third.cmd.Process.Pid), max(recovered, st.recover()))
	st.finish()
}

// servers takes each server away and brings it back.
func servers(s *stage) {
	st := s.newStorm(700 * time.Millisecond)
	st.launch(st.dir).ready()
	st.launch(st.dir).ready()
	time.Sleep(2 * time.Second)
	st.deprive(60 * time.Second)
	st.finish()
}

// heard says whether a replica that runs has said something.
func (s *storm) heard(words ...string) bool {
	return slices.ContainsFunc(s.standing(), func(r *replica) bool { return r.said(words...) })
}

// deprive takes each server away for a while.
func (s *storm) deprive(away time.Duration) {
	pid := s.c.clickHouse.PID()
	s.inserting()
	s.c.clickHouse.Kill(s)
	time.Sleep(away)
	s.c.clickHouse.Start(s)
	s.happened("ClickHouse killed during an insert, away "+away.String(), fmt.Sprintf("the engine's process was %d, is %d", pid, s.c.clickHouse.PID()), s.recover())

	pid = s.nats.PID()
	s.nats.Kill(s)
	time.Sleep(away / 2)
	s.nats.Start(s)
	s.await(30*time.Second, func() string {
		if !s.heard("NATS is back") {
			return "nobody says that NATS is back"
		}
		return ""
	})
	s.happened("NATS away "+(away/2).String(), fmt.Sprintf("the server's process was %d, is %d", pid, s.nats.PID()), s.recover())

	pid = s.nats.PID()
	s.nats.Kill(s)
	s.nats.Wipe(s)
	s.nats.Start(s)
	s.await(30*time.Second, func() string {
		if !s.heard("the stream was made anew") {
			return "nobody says that the stream was made anew"
		}
		return ""
	})
	s.happened("NATS's disk wiped", fmt.Sprintf("the server's process was %d, is %d, and the streams were filled from the journal", pid, s.nats.PID()), s.recover())

	pid = s.c.kafka.PID()
	s.c.kafka.Stop(s)
	s.c.kafka.Start(s)
	s.happened("broker restarted", fmt.Sprintf("the broker's process was %d, is %d", pid, s.c.kafka.PID()), s.recover())
	pid = s.c.kafka.PID()
	s.c.kafka.Kill(s)
	time.Sleep(away)
	s.c.kafka.Start(s)
	s.happened("broker killed, away "+away.String(), fmt.Sprintf("the broker's process was %d, is %d", pid, s.c.kafka.PID()), s.recover())
}

// inserting waits for the moment in which an insert is under way.
func (s *storm) inserting() {
	for deadline := time.Now().Add(5 * time.Second); time.Now().Before(deadline); {
		if s.c.clickHouse.Query(s, "SELECT count() FROM system.processes WHERE query_kind = 'Insert'") != "0" {
			return
		}
	}
}
