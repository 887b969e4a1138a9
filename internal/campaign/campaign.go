package campaign

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/modelwatch/modelwatch/internal/faultpoint"
	"github.com/modelwatch/modelwatch/internal/testkit"
)

// Config says what is hurt, and how often.
type Config struct {
	Seed   uint64
	Kills  int       // by SIGKILL, in all
	Faults []string  // names of scenes; all where empty
	Short  bool      // the form that is part of the tests: less of each
	Race   bool      // the program is built with the race detector
	Until  time.Time // after which no more kills are begun; zero for no bound
	Built  string    // a program with fault points that is built already, "" to build one
	Out    io.Writer
}

// DefaultConfig is the long run.
func DefaultConfig() Config { return Config{Seed: 1, Kills: 200, Out: io.Discard} }

// Hurt is what came of one kind of hurt.
type Hurt struct {
	Name        string  `json:"name"`
	Times       int     `json:"times"`            // that it happened, with evidence
	Rows        int     `json:"rows"`             // compared after it
	Differences int     `json:"differences"`      // found by that
	Recovery    float64 `json:"recovery_seconds"` // the longest
	PeakMemory  int64   `json:"peak_memory"`      // bytes that a replica had resident at most
	Scene       string  `json:"scene"`
	Evidence    string  `json:"evidence"` // of the last time
}

// Guard is what came of a guard that was broken on purpose.
type Guard struct {
	Name    string `json:"name"`
	Noticed bool   `json:"noticed"`
	Scene   string `json:"scene"`
	How     string `json:"how"` // the first difference
}

// Report is the outcome of a campaign.
type Report struct {
	Seed     uint64   `json:"seed"`
	Kills    int      `json:"kills"`
	Hurts    []Hurt   `json:"hurts"`
	Guards   []Guard  `json:"guards"`
	Seconds  float64  `json:"seconds"`
	Problems []string `json:"problems"`
}

// Sound says whether every hurt took place and changed nothing, and every
// broken guard was noticed.
func (r *Report) Sound() bool {
	return len(r.Problems) == 0 &&
		!slices.ContainsFunc(r.Hurts, func(h Hurt) bool { return h.Times == 0 || h.Differences > 0 || h.Rows == 0 }) &&
		!slices.ContainsFunc(r.Guards, func(g Guard) bool { return !g.Noticed })
}

// Campaign is one run.
type Campaign struct {
	cfg     Config
	ground  *ground
	program string

	kafka      *testkit.KafkaServer
	logs       string // where the broker keeps its logs
	clickHouse *testkit.ClickHouseServer
	proxy      *testkit.FaultProxy // before ClickHouse
	small      string              // the file system that ClickHouse has for itself, "" for none

	mu     sync.Mutex
	report Report
}

// scene is one installation and what is done to it.
type scene struct {
	name  string
	short bool // part of the short form
	play  func(*stage)
}

// stage is where a scene is played.
type stage struct {
	*world
	name    string
	round   int
	random  *rand.Rand
	kills   int
	hurts   []*Hurt
	verdict verdict
}

// New prepares a campaign.
func New(cfg Config) *Campaign { return &Campaign{cfg: cfg} }

// Scenes lists the names that Config.Faults may hold.
func Scenes() []string {
	var out []string
	for _, s := range scenes() {
		out = append(out, s.name)
	}
	for _, g := range broken() {
		out = append(out, "guard:"+string(g.guard))
	}
	return out
}

// Run builds the program, hurts it, and says what came of it. Its error is
// that the campaign could not be held, not that something was found.
func (c *Campaign) Run(ctx context.Context) (Report, error) {
	began := time.Now()
	for _, f := range c.cfg.Faults {
		if !slices.Contains(Scenes(), f) {
			return Report{}, fmt.Errorf("choosing faults: %q is none of %s", f, strings.Join(Scenes(), ", "))
		}
	}
	c.report.Seed = c.cfg.Seed
	problems := stand(ctx, "campaign", c.say, func(g *ground) {
		c.ground = g
		c.build(g)
		g.Log("starting Kafka and ClickHouse")
		c.logs = filepath.Join(g.TempDir(), "log")
		c.kafka = testkit.NewKafka(g, testkit.KafkaOptions{Proxied: true, Properties: map[string]string{
			"group.min.session.timeout.ms": "1000", "log.retention.check.interval.ms": "1000", "log.cleaner.backoff.ms": "200",
			"log.dirs": c.logs,
		}})
		c.disk(g)
		c.clickHouse = testkit.NewClickHouse(g)
		g.tmp = ""
		c.proxy = testkit.Proxy(g, c.clickHouse.Addr)
		for _, s := range scenes() {
			for round := 0; c.chosen(s.name, s.short) && g.ctx.Err() == nil && c.more(s, round); round++ {
				c.play(g, s, round)
			}
		}
		for _, b := range broken() {
			if c.chosen("guard:"+string(b.guard), b.short) && g.ctx.Err() == nil {
				c.breakGuard(g, b)
			}
		}
	})
	c.report.Problems = append(c.report.Problems, problems...)
	c.report.Seconds = time.Since(began).Seconds()
	return c.report, ctx.Err()
}

func (c *Campaign) chosen(name string, short bool) bool {
	if len(c.cfg.Faults) > 0 {
		return slices.Contains(c.cfg.Faults, name)
	}
	return short || !c.cfg.Short
}

func (c *Campaign) say(line string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	fmt.Fprintln(c.cfg.Out, line)
}

// eachRound is how many kills one installation sees.
const eachRound = 50

// more says whether a scene is to be played once more: that of kills until
// there were as many as are asked for.
func (c *Campaign) more(s scene, round int) bool {
	return round == 0 || s.name == "kills" && !c.cfg.Short && round*eachRound < c.cfg.Kills && !c.late()
}

// late says that no more kills are to be begun.
func (c *Campaign) late() bool { return !c.cfg.Until.IsZero() && time.Now().After(c.cfg.Until) }

// disk gives ClickHouse a file system of its own where the scene needs it that
// fills it up.
func (c *Campaign) disk(g *ground) {
	if !c.chosen("disk", false) {
		return
	}
	dir := g.TempDir()
	if err := syscall.Mount("none", dir, "tmpfs", 0, "size=3g"); err != nil {
		g.Logf("making a small file system: %v: the scene disk will say that it was not played", err)
		return
	}
	g.Cleanup(func() { _ = syscall.Unmount(dir, syscall.MNT_DETACH) })
	g.tmp, c.small = dir, dir
}

// build builds the program with its fault points.
func (c *Campaign) build(g *ground) {
	if c.cfg.Built != "" {
		c.program = c.cfg.Built
		return
	}
	c.program = filepath.Join(g.TempDir(), "modelwatch")
	args := []string{"build", "-tags", "faultpoint"}
	if c.cfg.Race {
		args = append(args, "-race")
	}
	cmd := exec.CommandContext(g.ctx, "go", append(args, "-o", c.program, "github.com/modelwatch/modelwatch/cmd/modelwatch")...)
	g.Log("building the program: go ", strings.Join(args, " "))
	if out, err := cmd.CombinedOutput(); err != nil {
		g.Fatalf("building the program: %v\n%s", err, out)
	}
}

// play plays a scene and takes what came of it into the report.
func (c *Campaign) play(g *ground, s scene, round int) {
	began := time.Now()
	st, problems := c.stage(g, s, round, "")
	c.report.Problems = append(c.report.Problems, problems...)
	for _, h := range st.hurts {
		h.Scene, h.Rows, h.Differences, h.PeakMemory = s.name, st.verdict.rows, len(st.verdict.differences), st.memory()
		if h.Times == 0 {
			c.report.Problems = append(c.report.Problems, fmt.Sprintf("%s: %s did not take place", s.name, h.Name))
		}
		c.report.Hurts = merge(c.report.Hurts, *h)
	}
	if len(st.verdict.differences) > 0 {
		c.report.Problems = append(c.report.Problems, fmt.Sprintf("%s: %d differences, the first: %s", s.name, len(st.verdict.differences), st.verdict.differences[0]))
	}
	c.report.Kills += st.kills
	g.Logf("%s: %d rows compared, %d differences, in %s", s.name, st.verdict.rows, len(st.verdict.differences), time.Since(began).Round(time.Second))
}

// merge adds what came of a hurt to what came of it before.
func merge(all []Hurt, h Hurt) []Hurt {
	i := slices.IndexFunc(all, func(o Hurt) bool { return o.Name == h.Name })
	if i < 0 {
		return append(all, h)
	}
	o := &all[i]
	o.Times += h.Times
	o.Rows += h.Rows
	o.Differences += h.Differences
	o.Recovery = max(o.Recovery, h.Recovery)
	o.PeakMemory = max(o.PeakMemory, h.PeakMemory)
	o.Evidence = cmp.Or(h.Evidence, o.Evidence)
	return all
}

// stage plays a scene on ground of its own.
func (c *Campaign) stage(g *ground, s scene, round int, broken faultpoint.Guard) (*stage, []string) {
	name := s.name
	if broken != "" {
		name = "guard:" + string(broken)
	}
	var seed [32]byte
	copy(seed[:], fmt.Sprintf("%d %d %s", c.cfg.Seed, round, s.name))
	st := &stage{name: name, round: round, random: rand.New(rand.NewChaCha8(seed))}
	problems := stand(g.ctx, name, c.say, func(g *ground) {
		st.world = &world{ground: g, c: c, broken: broken}
		s.play(st)
		st.races()
	})
	for i := range problems {
		problems[i] = name + ": " + problems[i]
	}
	return st, problems
}

// races fails a scene in which the race detector has spoken.
func (s *stage) races() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.replicas {
		if r.said("WARNING: DATA RACE") {
			s.Errorf("the race detector has spoken:\n%s", r.tail(200))
			return
		}
		if r.said("panic: ") && !r.said("faultpoint: ") {
			s.Errorf("a replica has panicked:\n%s", r.tail(60))
		}
	}
}

// hurt returns the account of a kind of hurt in this scene.
func (s *stage) hurt(name string) *Hurt {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, h := range s.hurts {
		if h.Name == name {
			return h
		}
	}
	h := &Hurt{Name: name}
	s.hurts = append(s.hurts, h)
	return h
}

// happened counts a hurt that has evidence, and how long it took until all
// that was in the log when it ended was stored.
func (s *stage) happened(name, evidence string, recovery time.Duration) {
	h := s.hurt(name)
	s.mu.Lock()
	defer s.mu.Unlock()
	h.Times++
	h.Evidence = evidence
	h.Recovery = max(h.Recovery, recovery.Seconds())
	s.Logf("%s: %s; recovered in %.1f s", name, evidence, recovery.Seconds())
}

// recover waits until all that is in the log now is stored.
func (s *stage) recover() time.Duration {
	began := time.Now()
	ends := s.ends()
	s.await(10*time.Minute, func() string { return s.behind(s.database, ends) })
	return time.Since(began)
}

// copyTree copies a folder of files.
func copyTree(from, to string) error {
	return filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		body, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		name, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		target := filepath.Join(to, name)
		return errors.Join(os.MkdirAll(filepath.Dir(target), 0o750), os.WriteFile(target, body, 0o600))
	})
}
