package campaign

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/modelwatch/modelwatch/internal/testkit"
	"github.com/modelwatch/modelwatch/schemas"
)

// changes changes the monitor of a model while two replicas run that read it
// at different times, each from a folder of its own. What each spec counts is
// recounted with that spec alone, and taken for the windows of its interval.
func changes(s *stage) {
	s.newLog(plan{})
	second := s.TempDir()
	s.settings(second, s.c.proxy.Addr(), s.database, s.nats.URL, s.group)
	if err := copyTree(filepath.Join(s.dir, "monitors"), filepath.Join(second, "monitors")); err != nil {
		s.Fatal(err)
	}
	a, b := s.launch(s.dir).ready(), s.launch(second).ready()
	base := s.traffic.Baseline(s, "orders", 6_000, length)
	specs := []*schemas.Spec{&s.watched[0].Spec}
	yaml := s.yaml["orders"]
	s.produce(4)
	_ = s.recover()

	change := func(name, next string, baseline *schemas.Baseline) {
		yaml = next
		m, err := schemas.ParseMonitor("monitor", []byte(yaml))
		if err != nil {
			s.Fatal(err)
		}
		spec, _, err := schemas.BuildSpec(m, baseline)
		if err != nil {
			s.Fatal(err)
		}
		body, err := json.Marshal(baseline)
		if err != nil {
			s.Fatal(err)
		}
		for i, dir := range []string{s.dir, second} {
			if i > 0 { // the other goes on with the old one meanwhile
				s.produce(s.produced + 1)
				time.Sleep(3 * time.Second)
			}
			s.write(filepath.Join(dir, "monitors", "orders.json"), string(body))
			s.write(filepath.Join(dir, "monitors", "orders.yaml"), yaml)
		}
		specs = append(specs, spec)
		s.await(30*time.Second, func() string {
			if n := s.number("SELECT count() FROM %s.specs WHERE model = 'orders'"); n != int64(len(specs)) {
				return fmt.Sprintf("%s: %d specs are registered, want %d", name, n, len(specs))
			}
			return ""
		})
		s.produce(s.produced + 3)
		s.happened(name, fmt.Sprintf("spec %d of the model took effect", len(specs)), s.recover())
	}
	change("slices changed", strings.Replace(yaml, "slices: [country]", "slices: [country, channel]", 1), base)
	change("bins changed by a new baseline", yaml, s.traffic.Baseline(s, "orders", 4_000, length))
	base = s.traffic.Baseline(s, "orders", 4_000, length)
	change("rules changed", yaml+"features: {age: {min: 20, max: 60}}\n", base)
	change("window length changed", strings.Replace(yaml, "window: 10m", "window: 20m", 1), base)

	// A folder that is not sound is not put in force, by halves neither.
	s.write(filepath.Join(s.dir, "monitors", "another.yaml"), "model: another\nwindow: never\n")
	s.await(30*time.Second, func() string {
		if code, _ := a.get("/readyz"); code == 200 {
			return "a replica is ready although its monitors are unsound"
		}
		return ""
	})
	s.produce(s.produced + 2)
	recovered := s.recover()
	if n := s.number("SELECT count() FROM %s.specs"); n != int64(len(specs)) {
		s.Errorf("%d specs are registered, want %d", n, len(specs))
	}
	if err := os.Remove(filepath.Join(s.dir, "monitors", "another.yaml")); err != nil {
		s.Fatal(err)
	}
	a.ready()
	s.happened("unsound monitors", "the old ones stayed in force, and readiness said so", recovered)

	s.traffic.Models[0].Version = "8"
	s.blocks = nil
	s.produce(s.produced + 3)
	s.happened("new model version", "events name version 8", s.recover())

	s.programBeside(b, &specs, base)
	s.produce(s.produced + 4)
	s.rest(s.database, 2*time.Minute)
	s.verdict = s.windowsAre(s.bySpecs(specs))
}

// programBeside starts a program that counts differently beside the old one.
func (s *stage) programBeside(old *replica, specs *[]*schemas.Spec, _ *schemas.Baseline) {
	here, err := exec.CommandContext(s.ctx, "go", "list", "-f", "{{.Dir}}", "github.com/modelwatch/modelwatch/schemas").Output()
	if err != nil {
		s.Fatal(err)
	}
	dir := strings.TrimSpace(string(here))
	overlay := map[string]map[string]string{"Replace": {}}
	files, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		s.Fatal(err)
	}
	was := fmt.Sprintf("RowFunction = %d", schemas.RowFunction)
	for _, f := range files {
		body, err := os.ReadFile(f)
		if err != nil {
			s.Fatal(err)
		}
		if strings.Contains(string(body), was) {
			other := filepath.Join(s.TempDir(), filepath.Base(f))
			s.write(other, strings.Replace(string(body), was, fmt.Sprintf("RowFunction = %d", schemas.RowFunction+1), 1))
			overlay["Replace"][f] = other
		}
	}
	if len(overlay["Replace"]) != 1 {
		s.Fatalf("%s is found in %d files", was, len(overlay["Replace"]))
	}
	text, err := json.Marshal(overlay)
	if err != nil {
		s.Fatal(err)
	}
	list := filepath.Join(s.TempDir(), "overlay.json")
	s.write(list, string(text))
	program := filepath.Join(s.TempDir(), "modelwatch")
	if out, err := exec.CommandContext(s.ctx, "go", "build", "-tags", "faultpoint", "-overlay", list, "-o", program, "github.com/modelwatch/modelwatch/cmd/modelwatch").CombinedOutput(); err != nil {
		s.Fatalf("building a program that counts differently: %v\n%s", err, out)
	}
	next := *(*specs)[len(*specs)-1]
	next.RowFunction = schemas.RowFunction + 1
	s.program = program
	s.launch(s.dir).ready()
	s.program = ""
	*specs = append(*specs, &next)
	s.await(30*time.Second, func() string {
		if n := s.number("SELECT count() FROM %s.specs WHERE model = 'orders'"); n != int64(len(*specs)) {
			return fmt.Sprintf("%d specs are registered, want %d", n, len(*specs))
		}
		return ""
	})
	s.produce(s.produced + 3)
	recovered := s.recover()
	if !old.running() {
		s.Errorf("the old program has ended\n%s", old.tail(20))
	}
	s.happened("new program version beside the old one", fmt.Sprintf("row function %d beside %d", schemas.RowFunction+1, schemas.RowFunction), recovered)
}

// bySpecs recounts the log with each spec and takes the windows of its interval.
func (s *stage) bySpecs(specs []*schemas.Spec) map[testkit.WindowKey]*testkit.WindowCounts {
	var from []int64
	for line := range strings.Lines(s.c.clickHouse.Query(s, fmt.Sprintf("SELECT effective_from FROM %s.specs WHERE model = 'orders' ORDER BY seq", s.database))) {
		n, err := strconv.ParseInt(strings.TrimSpace(line), 10, 64)
		if err != nil {
			s.Fatal(err)
		}
		from = append(from, n)
	}
	if len(from) != len(specs) {
		s.Fatalf("%d specs are registered, want %d", len(from), len(specs))
	}
	from = append(from, math.MaxInt64)
	out := map[testkit.WindowKey]*testkit.WindowCounts{}
	for i, spec := range specs {
		counted := testkit.Recount(s, []string{s.c.kafka.Addr}, testkit.Watched{Spec: *spec, Topics: s.topics})
		n := 0
		for k, w := range counted.Windows {
			if k.Start >= from[i] && k.Start < from[i+1] {
				out[k] = w
				n++
			}
		}
		if n == 0 {
			s.Errorf("spec %d has no window of its own", i+1)
		}
	}
	return out
}
