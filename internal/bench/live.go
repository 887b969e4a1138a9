package bench

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// Rate is how many rows of 20 features a second are produced while latency is
// taken; wider rows are fewer.
const Rate = 10_000

// warm is how long rows flow before their latency counts.
const warm = time.Second

// paced produces rows to a topic at a steady rate and remembers when.
type paced struct {
	mu   sync.Mutex
	at   map[int32][]time.Time // when each record was handed to the producer, by partition and offset
	err  error
	rows int
}

// produce passes rows on for a while. It returns when all are acknowledged.
func (p *paced) produce(ctx context.Context, client *kgo.Client, t *topic, w *Workload, rate int, seconds time.Duration) error {
	began := time.Now()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for {
		gone := time.Since(began)
		for due := int(min(gone, seconds).Seconds() * float64(rate)); p.rows < due; p.rows++ {
			value, at := w.Append(nil)
			t.wire += int64(len(value))
			r := &kgo.Record{Topic: t.name, Partition: int32(p.rows % t.partitions), Value: value, Timestamp: at}
			handed := time.Now()
			client.Produce(ctx, r, func(r *kgo.Record, err error) {
				p.mu.Lock()
				defer p.mu.Unlock()
				if err != nil {
					p.err = err
					return
				}
				of := p.at[r.Partition]
				for int64(len(of)) <= r.Offset {
					of = append(of, time.Time{})
				}
				of[r.Offset] = handed
				p.at[r.Partition] = of
			})
		}
		if gone >= seconds {
			break
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-tick.C:
		}
	}
	if err := client.Flush(ctx); err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.err
}

// latency returns the median and the 99th percentile, in milliseconds, of the
// time from handing a row to the producer until it is stored how far events
// have come with it: its hard checks, its id and the progress that alerts rest
// on. Summaries of windows that are still open follow within 15 s.
func (b *Bench) latency(ctx context.Context, c Case) (p50, p99 float64, err error) {
	w := New(c.Shape, b.cfg.Seed)
	client, t, err := b.pacedTopic(ctx, c)
	if err != nil {
		return 0, 0, err
	}
	defer client.Close()
	defer func() { err = errors.Join(err, remove(context.WithoutCancel(ctx), b.cfg.Servers.Kafka, t.name)) }()
	r, err := b.open(ctx, t, w.Specs())
	if err != nil {
		return 0, 0, err
	}
	defer func() { err = errors.Join(err, b.drop(r.db)) }()
	r.start(ctx)
	p := &paced{at: map[int32][]time.Time{}}
	err = p.produce(r.ctx, client, t, w, max(100, Rate*20/max(20, c.Features)), warm+b.cfg.Live)
	t.rows = p.rows
	if err == nil {
		err = until(r.ctx, p.rows, 10*time.Millisecond, func() int { return int(r.stats.Records.Load()) })
	}
	if err = errors.Join(r.close(), err); err != nil {
		return 0, 0, fmt.Errorf("taking the latency of %s: %w", c, err)
	}
	if err := b.verify(ctx, r.db, t); err != nil {
		return 0, 0, err
	}
	took := p.took(r.into.writes)
	if len(took) == 0 {
		return 0, 0, fmt.Errorf("taking the latency of %s: no row was stored while rows came", c)
	}
	return quantile(took, .5), quantile(took, .99), nil
}

// pacedTopic makes an empty topic and a producer that sends at once.
func (b *Bench) pacedTopic(ctx context.Context, c Case) (*kgo.Client, *topic, error) {
	client, err := kgo.NewClient(kgo.SeedBrokers(b.cfg.Servers.Kafka), kgo.ProducerBatchCompression(codecs[c.Codec]), kgo.ProducerLinger(5*time.Millisecond),
		kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		return nil, nil, fmt.Errorf("preparing a producer: %w", err)
	}
	t := &topic{name: fresh("modelwatch.bench"), partitions: c.Partitions}
	if t.id, err = create(ctx, client, t.name, c.Partitions); err != nil {
		client.Close()
		return nil, nil, fmt.Errorf("making topic %s: %w", t.name, err)
	}
	return client, t, nil
}

// took returns what each row took until it was stored, in milliseconds, after
// the first second.
func (p *paced) took(writes []written) []float64 {
	var out []float64
	var first time.Time
	for _, of := range p.at {
		if first.IsZero() || of[0].Before(first) {
			first = of[0]
		}
	}
	next := map[int32]int64{}
	for _, w := range writes {
		of := p.at[w.partition]
		for ; next[w.partition] < min(w.end, int64(len(of))); next[w.partition]++ {
			if at := of[next[w.partition]]; at.Sub(first) >= warm {
				out = append(out, float64(w.at.Sub(at).Nanoseconds())/1e6)
			}
		}
	}
	return out
}

// quantile returns the smallest value that at least a share q of all does not exceed.
func quantile(v []float64, q float64) float64 {
	s := slices.Sorted(slices.Values(v))
	at := int(q * float64(len(s)))
	if float64(at) == q*float64(len(s)) {
		at--
	}
	return s[max(at, 0)]
}
