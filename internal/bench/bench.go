package bench

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/modelwatch/modelwatch/consumers"
	"github.com/modelwatch/modelwatch/schemas"
)

// Config says what is measured, and on which servers.
type Config struct {
	Kafka      string // host:port of a broker
	ClickHouse string // host:port of the native protocol
	Seed       uint64
	Runs       int // of each measurement; the median counts
	Rows       int // of 20 features; wider rows are fewer
	Cases      []Case
	Progress   func(string) // told what is being measured; nil for nobody
}

// Case is one line of the table.
type Case struct {
	Shape
	Codec      string
	Partitions int
}

// String names the case as the table does.
func (c Case) String() string {
	return fmt.Sprintf("%d %s, %d slices, %d models, %s, %d partitions", c.Features, c.Kind, c.Slices, c.Models, c.Codec, c.Partitions)
}

// Result is what was measured of one case: medians of all runs.
type Result struct {
	Kind             Kind     `json:"kind"`
	Features         int      `json:"features"`
	Slices           int      `json:"slices"`
	Models           int      `json:"models"`
	Codec            string   `json:"codec"`
	Partitions       int      `json:"partitions"`
	RowBytes         float64  `json:"row_bytes"`
	RowsPerCPUSecond float64  `json:"rows_per_cpu_second"`
	AllocsPerEvent   float64  `json:"allocs_per_event"` // steady state
	BytesPerEvent    float64  `json:"bytes_per_event"`  // allocated, steady state
	P50              *float64 `json:"p50_ms"`
	P99              *float64 `json:"p99_ms"`
	RatioLimit       float64  `json:"ratio_limit"`
	RatioNaive       float64  `json:"ratio_naive"`
	RatioFile        *float64 `json:"ratio_clickhouse_file"`
	RatioKafka       *float64 `json:"ratio_clickhouse_kafka"`
	RatioFranz       float64  `json:"ratio_franz"`
	Nanos            Nanos    `json:"cpu_nanoseconds_per_row"`
	Partials         int      `json:"partials"`
}

// Nanos is where the processor's time goes, per row.
type Nanos struct {
	Total  float64 `json:"total"`
	Fetch  float64 `json:"fetch"` // with checksum, decompression and walk
	Decode float64 `json:"decode"`
	Rest   float64 `json:"accumulate_and_store"`
	Naive  float64 `json:"naive"`
	Franz  float64 `json:"franz"`
}

// Bench measures.
type Bench struct {
	cfg  Config
	conn driver.Conn
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
	conn, err := connect(cfg.ClickHouse)
	if err != nil {
		return nil, err
	}
	return &Bench{cfg: cfg, conn: conn}, nil
}

// kafka is the configuration of the service for the broker.
func (b *Bench) kafka() consumers.Config {
	c := consumers.DefaultConfig()
	c.Brokers = []string{b.cfg.Kafka}
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
	topic *topic
	specs []schemas.SpecRecord
	rows  [][]byte // some of them, in memory

	total, fetch, decode, naive, franz []float64 // ns per row
	allocs, bytes                      []float64
	partials                           int
}

// Run measures all cases and returns them in their order. The runs of all
// cases take turns.
func (b *Bench) Run(ctx context.Context) (out []Result, err error) {
	defer func() { err = errors.Join(err, b.conn.Close()) }()
	var all []*prepared
	defer func() {
		var names []string
		for _, p := range all {
			names = append(names, p.topic.name)
		}
		if len(names) > 0 {
			err = errors.Join(err, remove(context.WithoutCancel(ctx), b.cfg.Kafka, names...))
		}
	}()
	for _, c := range b.cfg.Cases {
		p, err := b.prepare(ctx, c)
		if err != nil {
			return nil, err
		}
		all = append(all, p)
	}
	for run := range b.cfg.Runs {
		for _, p := range all {
			b.say("run %d of %d: %s", run+1, b.cfg.Runs, p.Case)
			if err := b.measure(ctx, p); err != nil {
				return nil, fmt.Errorf("measuring %s: %w", p.Case, err)
			}
		}
	}
	for _, p := range all {
		out = append(out, p.result())
	}
	return out, nil
}

func (b *Bench) prepare(ctx context.Context, c Case) (*prepared, error) {
	rows := b.cfg.Rows
	if c.Kind == Features {
		rows = max(1000, rows*20/c.Features)
	}
	b.say("filling a topic: %d rows of %s", rows, c)
	p := &prepared{Case: c, specs: New(c.Shape, b.cfg.Seed).Specs(), rows: New(c.Shape, b.cfg.Seed).Rows(min(rows, 50_000))}
	var err error
	p.topic, err = fill(ctx, b.cfg.Kafka, fresh("modelwatch.bench"), c.Codec, c.Partitions, New(c.Shape, b.cfg.Seed), rows)
	return p, err
}

// measure takes one turn of a case.
func (b *Bench) measure(ctx context.Context, p *prepared) error {
	perRow := func(u usage, n int) float64 { return float64(u.cpu.Nanoseconds()) / float64(n) }
	got, err := b.read(ctx, p.topic, p.specs)
	if err != nil {
		return err
	}
	p.total = append(p.total, perRow(got.usage, p.topic.rows))
	p.allocs = append(p.allocs, float64(got.steady.allocs)/float64(got.rows))
	p.bytes = append(p.bytes, float64(got.steady.bytes)/float64(got.rows))
	p.partials = got.partials
	u, err := b.fetch(ctx, p.topic)
	if err != nil {
		return err
	}
	p.fetch = append(p.fetch, perRow(u, p.topic.rows))
	if u, err = decodeOnly(p.rows, p.specs); err != nil {
		return err
	}
	p.decode = append(p.decode, perRow(u, len(p.rows)))
	if u, err = b.franz(ctx, p.topic); err != nil {
		return err
	}
	p.franz = append(p.franz, perRow(u, p.topic.rows))
	few := max(1, p.topic.rows/p.Partitions/10)
	if u, err = b.naive(ctx, p.topic, few, p.specs); err != nil {
		return err
	}
	p.naive = append(p.naive, perRow(u, few))
	return nil
}

func (p *prepared) result() Result {
	n := Nanos{Total: median(p.total), Fetch: median(p.fetch), Decode: median(p.decode), Naive: median(p.naive), Franz: median(p.franz)}
	n.Rest = n.Total - n.Fetch - n.Decode
	ratio := func(other func(i int) float64) float64 {
		r := make([]float64, len(p.total))
		for i := range r {
			r[i] = other(i) / p.total[i]
		}
		return median(r)
	}
	return Result{
		Kind: p.Kind, Features: p.Features, Slices: p.Slices, Models: p.Models, Codec: p.Codec, Partitions: p.Partitions,
		RowBytes: float64(p.topic.wire) / float64(p.topic.rows), RowsPerCPUSecond: 1e9 / n.Total,
		AllocsPerEvent: median(p.allocs), BytesPerEvent: median(p.bytes), Nanos: n, Partials: p.partials,
		RatioLimit: ratio(func(i int) float64 { return p.fetch[i] + p.decode[i] }),
		RatioNaive: ratio(func(i int) float64 { return p.naive[i] }),
		RatioFranz: ratio(func(i int) float64 { return p.franz[i] }),
	}
}

// median returns the middle value, the mean of the two middle ones where
// there are two.
func median(v []float64) float64 {
	s := slices.Sorted(slices.Values(v))
	n := len(s)
	return (s[(n-1)/2] + s[n/2]) / 2
}
