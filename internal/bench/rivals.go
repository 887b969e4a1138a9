package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"sort"

	"github.com/rs/zerolog"
	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/modelwatch/modelwatch/consumers"
	"github.com/modelwatch/modelwatch/consumers/decode"
	"github.com/modelwatch/modelwatch/consumers/decode/native"
	"github.com/modelwatch/modelwatch/internal/window"
	"github.com/modelwatch/modelwatch/schemas"
)

// fetch is the limit of reading: fetch, checksum, decompress, walk, drop.
func (b *Bench) fetch(ctx context.Context, t *topic) (usage, error) {
	client, err := consumers.NewClient(b.kafka(), new(consumers.Stats), zerolog.Nop())
	if err != nil {
		return usage{}, err
	}
	defer client.Close()
	before := used()
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	fetcher := consumers.NewFetcher(client)
	left := t.rows
	sources := make([]*consumers.Source, t.partitions)
	for p := range sources {
		sources[p] = fetcher.Add(consumers.Position{Topic: t.name, ID: t.id, Partition: int32(p), LeaderEpoch: -1})
	}
	fetched := make(chan error, 1)
	go func() { fetched <- fetcher.Run(ctx) }()
	var r consumers.Record
	var bytes int
	for i := 0; left > 0; i++ {
		f, err := sources[i%len(sources)].Fetch(ctx)
		if err != nil {
			return usage{}, fmt.Errorf("fetching %s: %w", t.name, err)
		}
		for f.Next(&r) {
			bytes += len(r.Value)
			left--
		}
		if f.Err() != nil {
			return usage{}, fmt.Errorf("fetching %s: %w", t.name, f.Err())
		}
	}
	stop()
	if err := <-fetched; err != nil {
		return usage{}, err
	}
	if int64(bytes) != t.wire {
		return usage{}, fmt.Errorf("fetching %s: %d bytes of %d", t.name, bytes, t.wire)
	}
	return used().since(before), nil
}

// target hands out one block per model, and empties them when they are full.
type target struct {
	models *window.Models
	blocks map[string]*schemas.Block
	last   *schemas.Block
}

// Block implements decode.Target.
func (t *target) Block(model []byte) *schemas.Block {
	if t.last != nil && t.last.Layout.Model == string(model) {
		return t.last
	}
	b := t.blocks[string(model)]
	if b == nil {
		m := t.models.Model(model)
		if m == nil {
			return nil
		}
		b = schemas.NewBlock(m.Layout)
		t.blocks[m.Name] = b
	}
	t.last = b
	return b
}

// decodeOnly is the limit of decoding: rows in memory, into blocks that are emptied.
func decodeOnly(rows [][]byte, specs []schemas.SpecRecord) (usage, error) {
	models, err := window.Compile(specs)
	if err != nil {
		return usage{}, fmt.Errorf("compiling the specs: %w", err)
	}
	t := &target{models: models, blocks: map[string]*schemas.Block{}}
	d := native.New(decode.DefaultConfig())
	var r decode.Record
	before := used()
	for i, row := range rows {
		r.Offset, r.Value = int64(i), row
		if got := d.Decode(&r, t); !got.OK() {
			return usage{}, fmt.Errorf("decoding row %d: %s", i, got)
		}
		if t.last.Full() {
			t.last.Reset()
		}
	}
	return used().since(before), nil
}

// franz polls the topic with franz-go and drops what comes.
func (b *Bench) franz(ctx context.Context, t *topic) (usage, error) {
	before := used()
	at := map[int32]kgo.Offset{}
	for p := range t.partitions {
		at[int32(p)] = kgo.NewOffset().AtStart()
	}
	client, err := kgo.NewClient(kgo.SeedBrokers(b.cfg.Servers.Kafka), kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{t.name: at}))
	if err != nil {
		return usage{}, fmt.Errorf("preparing franz-go: %w", err)
	}
	defer client.Close()
	for n := 0; n < t.rows; {
		f := client.PollFetches(ctx)
		if err := f.Err0(); err != nil {
			return usage{}, fmt.Errorf("polling with franz-go: %w", err)
		}
		n += f.NumRecords()
	}
	return used().since(before), nil
}

// naive is what one would write first: kafka.Reader, encoding/json into a map
// and the same summaries, plainly.
func (b *Bench) naive(ctx context.Context, t *topic, rows int, specs []schemas.SpecRecord) (u usage, err error) {
	before := used()
	reader := kafka.NewReader(kafka.ReaderConfig{Brokers: []string{b.cfg.Servers.Kafka}, Topic: t.name, Partition: 0, MinBytes: 1, MaxBytes: 4 << 20})
	defer func() { err = errors.Join(err, reader.Close()) }()
	byModel := map[string]*plainModel{}
	for i := range specs {
		s := &specs[i].Spec
		byModel[s.Model] = &plainModel{spec: s, windows: map[int64]plains{}}
	}
	for range rows {
		m, err := reader.ReadMessage(ctx)
		if err != nil {
			return u, fmt.Errorf("reading with kafka-go: %w", err)
		}
		var event map[string]any
		if err := json.Unmarshal(m.Value, &event); err != nil {
			return u, fmt.Errorf("decoding with encoding/json: %w", err)
		}
		name, _ := event["model"].(string)
		if err := byModel[name].add(event, m.Time.UnixMilli()); err != nil {
			return u, err
		}
	}
	return used().since(before), nil
}

// plainModel holds the plain summaries of a model.
type plainModel struct {
	spec    *schemas.Spec
	windows map[int64]plains // by start, by column and slice
}

// plain is a plain summary.
type plain struct {
	rows, nulls uint64
	bins        []uint64
	categories  map[string]uint64
	sum, square float64
	min, max    float64
	distinct    map[any]struct{}
}

func (m *plainModel) add(event map[string]any, at int64) error {
	start := m.spec.WindowStart(at)
	w := m.windows[start]
	if w == nil {
		w = plains{}
		m.windows[start] = w
	}
	values, _ := event["features"].(map[string]any)
	for i := range m.spec.Columns {
		c := &m.spec.Columns[i]
		v, ok := values[c.Name]
		if c.Role != schemas.RoleFeature {
			v, ok = event[c.Name]
		}
		if !ok {
			continue
		}
		w.of(c.Name).add(c, v)
		for _, s := range m.spec.Slices {
			of, _ := values[s.Columns[0]].(string)
			w.of(c.Name+"|"+s.Columns[0]+"="+of).add(c, v)
		}
	}
	return nil
}

type plains map[string]*plain

func (m *plain) add(c *schemas.SpecColumn, v any) {
	m.rows++
	switch v := v.(type) {
	case nil:
		m.nulls++
		return
	case string:
		m.categories[v]++
	case float64:
		if m.bins == nil {
			m.bins = make([]uint64, len(c.Edges)+1)
		}
		m.bins[sort.SearchFloat64s(c.Edges, v)]++
		m.sum += v
		m.square += v * v
		m.min, m.max = math.Min(m.min, v), math.Max(m.max, v)
	}
	if len(m.distinct) < 1000 {
		m.distinct[v] = struct{}{}
	}
}

func (m plains) of(name string) *plain {
	p := m[name]
	if p == nil {
		p = &plain{categories: map[string]uint64{}, distinct: map[any]struct{}{}, min: math.Inf(1), max: math.Inf(-1)}
		m[name] = p
	}
	return p
}
