package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"runtime/pprof"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/modelwatch/modelwatch/consumers"
	"github.com/modelwatch/modelwatch/schemas"
)

// Config says what is measured, and on which servers.
type Config struct {
	Servers  *Servers
	Seed     uint64
	Runs     int // of each measurement; the median counts
	Rows     int // of 20 features; wider rows are fewer
	Cases    []Case
	Beside   []string      // what is measured beside the limit, see Rivals
	Decoders string        // the program of other decoders, internal/bench/decoders; "" where it is not at hand
	Live     time.Duration // how long latency is taken of each case
	Flush    bool          // measure what keeping a wide model fresh costs
	Profile  io.Writer     // gets the CPU profile of all; nil for nobody
	Progress func(string)  // told what is being measured; nil for nobody
}

// NotAsked is why something was not measured that could have been.
const NotAsked = "not asked for"

// Rivals are what can be measured beside the limit.
func Rivals() []string {
	return []string{"naive", "franz", "clickhouse-file", "clickhouse-kafka", "decoders", "latency"}
}

// Case is one line of the table.
type Case struct {
	Shape
	Codec      string
	Partitions int
}

// String names the case as the table does.
func (c Case) String() string {
	name := fmt.Sprintf("%d %s, %d slices, %d models, %s, %d partitions", c.Features, c.Kind, c.Slices, c.Models, c.Codec, c.Partitions)
	if c.Sample > 0 {
		name += fmt.Sprintf(", %g of their id rows", c.Sample)
	}
	return name
}

// Report is all that was measured.
type Report struct {
	Machine  Machine   `json:"machine"`
	Runs     []Result  `json:"runs"`
	Decoders []Decoded `json:"decoders"`
	Flush    *Flush    `json:"flush,omitempty"`
	Targets  []Target  `json:"targets"`
}

// Machine is where it was measured, and with how many runs and rows.
type Machine struct {
	Processor  string `json:"processor"`
	Processors int    `json:"gomaxprocs"`
	Go         string `json:"go"`
	Load       string `json:"load"` // averages of the machine at the end
	Runs       int    `json:"runs"`
	Rows       int    `json:"rows"`
}

// Result is what was measured of one case: medians of all runs. A ratio says
// how many rows of the program pass in the time of one of the other's; nil
// where that was not run, for the reason in NotRun.
type Result struct {
	Kind             Kind              `json:"kind"`
	Features         int               `json:"features"`
	Slices           int               `json:"slices"`
	Models           int               `json:"models"`
	Sample           float64           `json:"sample,omitempty"` // share of id rows that are kept; 0 for all
	Codec            string            `json:"codec"`
	Partitions       int               `json:"partitions"`
	Processors       int               `json:"gomaxprocs"`
	RowBytes         float64           `json:"row_bytes"`
	RowsPerCPUSecond float64           `json:"rows_per_cpu_second"`
	AllocsPerEvent   float64           `json:"allocs_per_event"` // steady state
	BytesPerEvent    float64           `json:"bytes_per_event"`  // allocated, steady state
	P50              *float64          `json:"p50_ms"`
	P99              *float64          `json:"p99_ms"`
	RatioLimit       float64           `json:"ratio_limit"`
	RatioNaive       *float64          `json:"ratio_naive"`
	RatioFile        *float64          `json:"ratio_clickhouse_file"`
	RatioFileEqual   *float64          `json:"ratio_clickhouse_file_equal_bins"` // bins of one width instead of the reference's
	RatioKafka       *float64          `json:"ratio_clickhouse_kafka"`
	RatioFranz       *float64          `json:"ratio_franz"`
	Nanos            Nanos             `json:"cpu_nanoseconds_per_row"`
	Stages           *Stages           `json:"profile_nanoseconds_per_row"`
	Partials         int               `json:"partials"`
	BytesPerPartial  float64           `json:"stored_bytes_per_partial"` // compressed
	RowsPerInsert    float64           `json:"partials_per_insert"`
	NotRun           map[string]string `json:"not_run,omitempty"`
}

// Nanos is what a row costs of the processor's time.
type Nanos struct {
	Total     float64  `json:"total"`
	Fetch     float64  `json:"fetch"` // alone, with checksum, decompression and walk
	Decode    float64  `json:"decode"`
	Rest      float64  `json:"accumulate_and_store"`
	Naive     *float64 `json:"naive"`
	Franz     *float64 `json:"franz"`
	File      *float64 `json:"clickhouse_file"`
	FileEqual *float64 `json:"clickhouse_file_equal_bins"`
	Kafka     *float64 `json:"clickhouse_kafka"`
}

// Bench measures.
type Bench struct {
	cfg    Config
	conn   driver.Conn
	engine *engine // nil where there is none
}

// NewBench prepares the measurements of a configuration.
func NewBench(cfg Config) (*Bench, error) {
	if cfg.Runs < 1 || cfg.Rows < 1000 {
		return nil, errors.New("at least one run of a thousand rows is needed")
	}
	for _, c := range cfg.Cases {
		if _, ok := codecs[c.Codec]; !ok {
			return nil, fmt.Errorf("codec %q is none of lz4, none and zstd", c.Codec)
		}
	}
	b := &Bench{cfg: cfg}
	var err error
	if b.conn, err = connect(cfg.Servers.ClickHouse); err != nil {
		return nil, err
	}
	if cfg.Servers.Engine != "" {
		conn, err := connect(cfg.Servers.Engine)
		if err != nil {
			return nil, errors.Join(err, b.conn.Close())
		}
		b.engine = &engine{conn, cfg.Servers.EnginePID}
	}
	return b, nil
}

// close ends the connections.
func (b *Bench) close() error {
	err := b.conn.Close()
	if b.engine != nil {
		err = errors.Join(err, b.engine.conn.Close())
	}
	return err
}

// kafka is the configuration of the service for the broker.
func (b *Bench) kafka() consumers.Config {
	c := consumers.DefaultConfig()
	c.Brokers = []string{b.cfg.Servers.Kafka}
	return c
}

func (b *Bench) say(format string, values ...any) {
	if b.cfg.Progress != nil {
		b.cfg.Progress(fmt.Sprintf(format, values...))
	}
}

// prepared is a case with its topic filled.
type prepared struct {
	Case
	place string // in the list of cases
	topic *topic
	specs []schemas.SpecRecord
	rows  [][]byte // some of them, in memory

	file     string // some of them, for ClickHouse
	fileRows int

	total, fetch, decode, decodeAllocs []float64 // ns per row
	allocs, bytes                      []float64
	beside                             map[string][]float64 // ns per row, by rival
	notRun                             map[string]string
	outside                            outside
	partials                           int
	space                              space
	p50, p99                           *float64
}

// fileEqual is the second form of the rival that reads a file.
const fileEqual = "clickhouse-file-equal"

// Run measures all cases and returns them in their order. The runs of all
// cases take turns.
func (b *Bench) Run(ctx context.Context) (report *Report, err error) {
	defer func() { err = errors.Join(err, b.close()) }()
	var all []*prepared
	defer func() {
		var names []string
		for _, p := range all {
			names = append(names, p.topic.name)
			if p.file != "" {
				err = errors.Join(err, os.Remove(p.file))
			}
		}
		if len(names) > 0 {
			err = errors.Join(err, remove(context.WithoutCancel(ctx), b.cfg.Servers.Kafka, names...))
		}
	}()
	began := time.Now()
	for i, c := range b.cfg.Cases {
		p, err := b.prepare(ctx, c)
		if err != nil {
			return nil, err
		}
		p.place = strconv.Itoa(i)
		all = append(all, p)
	}
	profile, err := profiled(func() error {
		for run := range b.cfg.Runs {
			for i, p := range all {
				b.say("%s run %d of %d, case %d of %d: %s", time.Since(began).Round(time.Second), run+1, b.cfg.Runs, i+1, len(all), p.Case)
				if err := b.measure(ctx, p); err != nil {
					return fmt.Errorf("measuring %s: %w", p.Case, err)
				}
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	for i, p := range all {
		if b.beside(p, "latency") {
			b.say("%s latency, case %d of %d: %s", time.Since(began).Round(time.Second), i+1, len(all), p.Case)
			p50, p99, err := b.latency(ctx, p.Case)
			if err != nil {
				return nil, err
			}
			p.p50, p.p99 = &p50, &p99
		}
	}
	var fresh *Flush
	if b.cfg.Flush {
		b.say("%s keeping %d features in %d slices fresh on %d partitions for %s", time.Since(began).Round(time.Second), wideFeatures, SliceValues, widePartitions, wideFrom+wideFor)
		if fresh, err = b.flush(ctx); err != nil {
			return nil, err
		}
	}
	stages, err := breakdown(profile)
	if err != nil {
		return nil, err
	}
	if b.cfg.Profile != nil {
		if _, err := b.cfg.Profile.Write(profile); err != nil {
			return nil, fmt.Errorf("writing the profile: %w", err)
		}
	}
	report = &Report{Machine: machine(), Flush: fresh}
	report.Machine.Runs, report.Machine.Rows = b.cfg.Runs, b.cfg.Rows
	for _, p := range all {
		report.Runs = append(report.Runs, p.result(stages[p.place], b.cfg.Runs))
		if len(p.outside.names) > 0 {
			report.Decoders = append(report.Decoders, p.outside.table(p)...)
		}
	}
	report.Targets = append(targets(report.Runs), scaled(report.Runs)...)
	if fresh != nil && fresh.NotRun == "" {
		report.Targets = append(report.Targets, Target{"flush of 1000 features × 20 slices × 6 partitions, engine CPU-s a second", "≤ 0.1", fresh.EngineCPU, fresh.EngineCPU <= .1})
	}
	return report, nil
}

// machine describes where this runs.
func machine() Machine {
	m := Machine{Processors: runtime.GOMAXPROCS(0), Go: runtime.Version() + " " + runtime.GOOS + "/" + runtime.GOARCH}
	if text, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		for line := range strings.Lines(string(text)) {
			if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
				m.Processor = strings.TrimSpace(value)
				break
			}
		}
	}
	if text, err := os.ReadFile("/proc/loadavg"); err == nil {
		if f := strings.Fields(string(text)); len(f) > 2 {
			m.Load = strings.Join(f[:3], " ")
		}
	}
	return m
}

func (b *Bench) prepare(ctx context.Context, c Case) (*prepared, error) {
	rows := b.cfg.Rows
	if c.Kind == Features {
		rows = max(1000, rows*20/c.Features)
	}
	b.say("filling a topic: %d rows of %s", rows, c)
	p := &prepared{
		Case: c, specs: New(c.Shape, b.cfg.Seed).Specs(), rows: New(c.Shape, b.cfg.Seed).Rows(max(1000, min(rows, 50_000*20/max(20, c.Features)))),
		beside: map[string][]float64{}, notRun: map[string]string{},
	}
	if b.beside(p, "clickhouse-file") {
		var err error
		if p.file, p.fileRows, err = lines(c, b.cfg.Seed, rows); err != nil {
			return nil, err
		}
	}
	var err error
	p.topic, err = fill(ctx, b.cfg.Servers.Kafka, fresh("modelwatch.bench"), c.Codec, c.Partitions, New(c.Shape, b.cfg.Seed), rows)
	if err != nil && p.file != "" {
		err = errors.Join(err, os.Remove(p.file))
	}
	return p, err
}

// beside says whether a rival is measured, and notes the reason if it cannot be.
func (b *Bench) beside(p *prepared, rival string) bool {
	why := ""
	switch {
	case !slices.Contains(b.cfg.Beside, rival):
		why = NotAsked
	case strings.HasPrefix(rival, "clickhouse") && b.engine == nil:
		why = b.cfg.Servers.NoEngine
	case rival == "decoders" && b.cfg.Decoders == "":
		why = "the program of the other decoders was not given"
	case rival == "decoders" && (p.Kind != Features || p.Slices > 0 || p.Models > 1 || p.Codec != b.cfg.Cases[0].Codec || p.Partitions != b.cfg.Cases[0].Partitions):
		return false // as with the same rows in another case
	}
	if why != "" {
		p.notRun[rival] = why
	}
	return why == ""
}

// measure takes one turn of a case.
func (b *Bench) measure(ctx context.Context, p *prepared) error {
	perRow := func(d time.Duration, n int) float64 { return float64(d.Nanoseconds()) / float64(n) }
	var got stored
	var err error
	pprof.Do(ctx, pprof.Labels(caseLabel, p.place), func(ctx context.Context) { got, err = b.read(ctx, p.topic, p.specs) })
	if err != nil {
		return err
	}
	p.total = append(p.total, perRow(got.cpu, p.topic.rows))
	p.allocs = append(p.allocs, float64(got.steady.allocs)/float64(got.rows))
	p.bytes = append(p.bytes, float64(got.steady.bytes)/float64(got.rows))
	p.partials, p.space = got.partials, got.space
	u, err := b.fetch(ctx, p.topic)
	if err != nil {
		return err
	}
	p.fetch = append(p.fetch, perRow(u.cpu, p.topic.rows))
	if u, err = decodeOnly(p.rows, p.specs); err != nil {
		return err
	}
	p.decode = append(p.decode, perRow(u.cpu, len(p.rows)))
	p.decodeAllocs = append(p.decodeAllocs, float64(u.allocs)/float64(len(p.rows)))
	few := max(1, p.topic.rows/p.Partitions/10)
	for _, r := range []struct {
		name string
		rows int
		run  func() (time.Duration, error)
	}{
		{"franz", p.topic.rows, func() (time.Duration, error) { u, err := b.franz(ctx, p.topic); return u.cpu, err }},
		{"naive", few, func() (time.Duration, error) { u, err := b.naive(ctx, p.topic, few, p.specs); return u.cpu, err }},
		{"clickhouse-file", p.fileRows, func() (time.Duration, error) {
			return b.engine.file(ctx, ask(p.Case, &p.specs[0].Spec, referenceEdges), p.file, p.fileRows)
		}},
		{"clickhouse-kafka", p.topic.rows, func() (time.Duration, error) {
			return b.engine.topic(ctx, ask(p.Case, &p.specs[0].Spec, referenceEdges), b.cfg.Servers.Kafka, p.topic)
		}},
		{fileEqual, p.fileRows, func() (time.Duration, error) {
			return b.engine.file(ctx, ask(p.Case, &p.specs[0].Spec, equalWidth), p.file, p.fileRows)
		}},
	} {
		if !b.beside(p, strings.TrimSuffix(r.name, "-equal")) {
			continue
		}
		took, err := r.run()
		if err != nil {
			return err
		}
		p.beside[r.name] = append(p.beside[r.name], perRow(took, r.rows))
	}
	if b.beside(p, "decoders") {
		return p.outside.run(ctx, b.cfg.Decoders, p.rows)
	}
	return nil
}

func (p *prepared) result(stages *Stages, runs int) Result {
	n := Nanos{Total: median(p.total), Fetch: median(p.fetch), Decode: median(p.decode)}
	n.Rest = n.Total - n.Fetch - n.Decode
	ratio := func(other []float64) *float64 {
		if len(other) == 0 {
			return nil
		}
		r := make([]float64, len(p.total))
		for i := range r {
			r[i] = other[i] / p.total[i]
		}
		m := median(r)
		return &m
	}
	cost := func(rival string) *float64 {
		if len(p.beside[rival]) == 0 {
			return nil
		}
		m := median(p.beside[rival])
		return &m
	}
	n.Naive, n.Franz, n.File, n.FileEqual, n.Kafka = cost("naive"), cost("franz"), cost("clickhouse-file"), cost(fileEqual), cost("clickhouse-kafka")
	limit := make([]float64, len(p.total))
	for i := range limit {
		limit[i] = p.fetch[i] + p.decode[i]
	}
	if stages != nil {
		rows := float64(p.topic.rows * runs)
		sum := 0.0
		for _, s := range []*float64{&stages.Fetch, &stages.Decompress, &stages.Decode, &stages.Accumulate, &stages.Store} {
			*s /= rows
			sum += *s
		}
		mean := 0.0
		for _, t := range p.total {
			mean += t / float64(len(p.total))
		}
		stages.Rest = mean - sum
	}
	return Result{
		Kind: p.Kind, Features: p.Features, Slices: p.Slices, Models: p.Models, Sample: p.Sample, Codec: p.Codec, Partitions: p.Partitions, Processors: runtime.GOMAXPROCS(0),
		RowBytes: float64(p.topic.wire) / float64(p.topic.rows), RowsPerCPUSecond: 1e9 / n.Total,
		AllocsPerEvent: median(p.allocs), BytesPerEvent: median(p.bytes), P50: p.p50, P99: p.p99, Nanos: n, Stages: stages,
		Partials: p.partials, BytesPerPartial: p.space.bytesPerRow, RowsPerInsert: p.space.rowsPerInsert,
		RatioLimit: *ratio(limit), RatioNaive: ratio(p.beside["naive"]), RatioFranz: ratio(p.beside["franz"]),
		RatioFile: ratio(p.beside["clickhouse-file"]), RatioFileEqual: ratio(p.beside[fileEqual]), RatioKafka: ratio(p.beside["clickhouse-kafka"]),
		NotRun: p.notRun,
	}
}

// median returns the middle value, the mean of the two middle ones where
// there are two.
func median(v []float64) float64 {
	s := slices.Sorted(slices.Values(v))
	n := len(s)
	return (s[(n-1)/2] + s[n/2]) / 2
}
