package campaign

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/modelwatch/modelwatch/internal/faultpoint"
	"github.com/modelwatch/modelwatch/internal/testkit"
	"github.com/modelwatch/modelwatch/schemas"
)

// noon is when the traffic of every scene begins, in event time.
var noon = time.Date(2026, 1, 5, 12, 0, 0, 0, time.UTC)

// length is that of a window. It is long against the scenes: once the log has
// been read to its end event time goes on with the wall clock, and a scene
// must be over before it calls a window empty.
const length = 10 * time.Minute

// lateness in windows. Events come a thousand times faster than their own
// time, and for ten seconds a partition is believed to be idle although it may
// have got new ones: what is an instant in a service is hours here, in which a
// window must not close, or its first verdict would depend on who was hurt.
const lateness = 12

// horizon in windows, beyond which an event is too late.
const horizon = 22

// partitions of every topic.
const partitions = 6

// at is the event time at which window n begins.
func at(n float64) time.Time { return noon.Add(time.Duration(n * float64(length))) }

// world is one installation with its traffic.
type world struct {
	*ground
	c        *Campaign
	broken   faultpoint.Guard // "" for none
	database string
	nats     *testkit.NATSServer
	program  string // instead of the campaign's, "" for that
	dir      string
	traffic  *testkit.Traffic
	topics   []string
	group    string
	mirror   map[string]string // by topic: another with the same records, which nobody hurts; nil for none
	yaml     map[string]string // by model
	watched  []testkit.Watched
	produced float64 // windows
	blocks   [][]testkit.Record

	positions sync.Mutex
	asked     time.Time
	reached   map[testkit.PartitionKey]int64

	mu       sync.Mutex
	replicas []*replica
	peak     int64 // of replicas that are gone from the list
}

// plan says how a world is made.
type plan struct {
	models   []string
	topics   map[string]string // settings of the topics
	every    time.Duration     // between two requests of a model; 0: two seconds
	noise    testkit.Noise
	mirrored bool // there is a mirror of every topic
}

// noise is what is odd in traffic that nothing else is asked of.
var noise = testkit.Noise{Late: .01, TooLate: .0005, Future: .0005, Duplicate: .002, Malformed: .003}

// newWorld makes topics, monitors and servers; it starts no replica.
func (c *Campaign) newWorld(g *ground, broken faultpoint.Guard, p plan) *world {
	w := &world{
		ground: g, c: c, broken: broken, database: testkit.Name(g, "faults"), nats: testkit.NewNATS(g), dir: g.TempDir(),
		yaml: map[string]string{},
	}
	every := p.every
	if every == 0 {
		every = 2 * time.Second
	}
	w.traffic = &testkit.Traffic{Seed: c.cfg.Seed, Start: noon, Every: every, Noise: p.noise}
	for _, name := range []string{"features", "predictions", "labels"} {
		w.topics = append(w.topics, c.kafka.CreateTopic(g, testkit.Name(g, name), partitions, p.topics))
	}
	if p.mirrored {
		w.mirror = map[string]string{}
		for _, t := range w.topics {
			w.mirror[t] = c.kafka.CreateTopic(g, t+"_mirror", partitions, nil)
		}
	}
	for _, name := range p.models {
		w.traffic.Models = append(w.traffic.Models, testkit.TrafficModel{
			Name: name, Version: "7", Features: w.topics[0], Predictions: w.topics[1], Labels: w.topics[2], LabelDelay: 5 * time.Minute,
		})
		w.yaml[name] = fmt.Sprintf(`model: %s
task: binary
positive: "yes"
topics: [%s]
window: %dm
lateness: %dm
late_horizon: %dm
slices: [country]
baseline: %s.json
retrain:
  when: {drift: true}
  cooldown: 48h
`, name, strings.Join(w.topics, ", "), int(length.Minutes()), int(lateness*length.Minutes()), int(horizon*length.Minutes()), name)
	}
	address := c.proxy.Addr()
	w.group = testkit.Name(g, "watch")
	w.settings(w.dir, address, w.database, w.nats.URL, w.group)
	for _, name := range p.models {
		w.monitor(w.dir, name, w.yaml[name], w.traffic.Baseline(g, name, 6_000, length))
	}
	return w
}

// settings writes the settings file of an installation into a folder.
func (w *world) settings(dir, clickHouse, database, nats, group string) {
	w.write(filepath.Join(dir, "modelwatch.yaml"), fmt.Sprintf(`kafka: {brokers: [%q], group: %s}
clickhouse: {addr: [%q], database: %s}
nats: {url: %q}
monitors: monitors
http: {listen: "127.0.0.1:0"}
log: {level: info, format: json}
`, w.c.kafka.Proxy.Addr(), group, clickHouse, database, nats))
}

func (w *world) write(path, text string) {
	if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
		w.Fatal(err)
	}
	// A file is there whole or not at all, as an editor or a ConfigMap leaves it.
	next := path + ".next"
	if err := os.WriteFile(next, []byte(text), 0o600); err != nil {
		w.Fatal(err)
	}
	if err := os.Rename(next, path); err != nil {
		w.Fatal(err)
	}
}

// monitor writes a monitor with its baseline and keeps the spec that rows must
// count under.
func (w *world) monitor(dir, model, yaml string, baseline *schemas.Baseline) {
	body, err := json.Marshal(baseline)
	if err != nil {
		w.Fatal(err)
	}
	m, err := schemas.ParseMonitor("monitor", []byte(yaml))
	if err != nil {
		w.Fatal(err)
	}
	w.write(filepath.Join(dir, "monitors", m.Baseline), string(body))
	spec, _, err := schemas.BuildSpec(m, baseline)
	if err != nil {
		w.Fatal(err)
	}
	w.watched = append(w.watched, testkit.Watched{Spec: *spec, Topics: m.Topics})
	w.write(filepath.Join(dir, "monitors", model+".yaml"), yaml)
}

// produce sends the events up to the beginning of window n.
func (w *world) produce(n float64) {
	from := w.produced
	w.produced = n
	records := w.events(from, n)
	// Some come when their window is judged, and some beyond the horizon. They are
	// few, so that no verdict hangs on them: whoever reads the log from its
	// beginning in a moment has them before the first verdict.
	for _, late := range []struct{ windows, every int }{{lateness + 3, 499}, {horizon + 3, 733}} {
		if from < float64(late.windows) {
			continue
		}
		for i, r := range w.events(from-float64(late.windows), n-float64(late.windows)) {
			if i%late.every == 0 {
				r.Time = at(n).Add(-time.Millisecond)
				r.Value = bytes.Replace(r.Value, []byte(`"id":"`), []byte(`"id":"late-`), 1)
				records = append(records, r)
			}
		}
	}
	w.send(records)
	w.reflect(records)
}

// reflect sends records to the mirror.
func (w *world) reflect(records []testkit.Record) {
	if w.mirror == nil {
		return
	}
	again := slices.Clone(records)
	for i := range again {
		again[i].Topic = w.mirror[again[i].Topic]
	}
	w.send(again)
}

// block is how many windows of events are made at a time.
const block = 48

// events returns the records from one window to another.
func (w *world) events(from, to float64) []testkit.Record {
	for next := float64(len(w.blocks)); next*block < to; next++ {
		w.blocks = append(w.blocks, w.traffic.Records(at(next*block), at((next+1)*block)))
	}
	var out []testkit.Record
	for _, records := range w.blocks[int(from/block):] {
		for _, r := range records {
			if !r.Time.Before(at(from)) && r.Time.Before(at(to)) {
				out = append(out, r)
			}
		}
	}
	return out
}

// send sends records. A broker that has just started gives no producer ids
// yet, without which nothing is sent, and on a busy machine it may be away for
// longer than a send takes; what is in the log twice by that is counted twice
// by all, unless there is a mirror, in which it may not be twice.
func (w *world) send(records []testkit.Record) {
	for {
		err := testkit.Send(w.ctx, w.c.kafka.Addr, records)
		switch {
		case err == nil || w.ctx.Err() != nil:
			return
		case !strings.Contains(err.Error(), "unable to initialize a producer ID") && (w.mirror != nil || !errors.Is(err, context.DeadlineExceeded)):
			w.Fatal(err)
		}
		time.Sleep(200 * time.Millisecond)
	}
}

// memory is the most that any replica ever had resident, in bytes.
func (w *world) memory() int64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	most := w.peak
	for _, r := range w.replicas {
		r.mu.Lock()
		most = max(most, r.peak)
		r.mu.Unlock()
	}
	return most
}

// standing lists the replicas that run.
func (w *world) standing() []*replica {
	w.mu.Lock()
	defer w.mu.Unlock()
	var out []*replica
	for _, r := range w.replicas {
		if r.running() {
			out = append(out, r)
		}
	}
	return out
}
