package app

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/rs/zerolog"

	"github.com/modelwatch/modelwatch/consumers"
	"github.com/modelwatch/modelwatch/internal/config"
	"github.com/modelwatch/modelwatch/internal/ingest"
	"github.com/modelwatch/modelwatch/internal/replay"
	"github.com/modelwatch/modelwatch/internal/store"
	"github.com/modelwatch/modelwatch/internal/window"
	"github.com/modelwatch/modelwatch/schemas"
)

// offline is what a command uses of an installation beside the service: its
// database as it is, its log, and its monitors.
type offline struct {
	store    *store.Store
	kafka    *consumers.Client
	monitors []config.Monitor
	log      zerolog.Logger
}

func openOffline(ctx context.Context, s config.Settings, monitors []config.Monitor, log zerolog.Logger) (*offline, error) {
	s = storedAt(s)
	sc, err := storeConfig(s.ClickHouse)
	if err != nil {
		return nil, err
	}
	kc, err := kafkaConfig(s.Kafka)
	if err != nil {
		return nil, err
	}
	o := &offline{monitors: monitors, log: log}
	if o.kafka, err = consumers.NewClient(kc, &consumers.Stats{}, log); err != nil {
		return nil, fmt.Errorf("preparing Kafka: %w", err)
	}
	if o.store, err = store.Open(sc, log); err != nil {
		return nil, err
	}
	if err := o.store.Attach(ctx); err != nil {
		o.close()
		if s.ClickHouse.Embedded {
			err = fmt.Errorf("%w (it is embedded in `modelwatch run`, which has to run)", err)
		}
		return nil, err
	}
	if err := o.kafka.Ping(ctx); err != nil {
		o.close()
		return nil, fmt.Errorf("reaching Kafka at %s: %w", strings.Join(s.Kafka.Brokers, ", "), err)
	}
	return o, nil
}

// storedAt returns settings with the addresses of servers that are embedded:
// they run in the service, which has noted where.
func storedAt(s config.Settings) config.Settings {
	ports := readPorts(s.Data)
	if s.Kafka.Embedded {
		s.Kafka.Brokers = []string{net.JoinHostPort("127.0.0.1", strconv.Itoa(ports.Kafka))}
	}
	if s.ClickHouse.Embedded {
		s.ClickHouse.Addr = []string{net.JoinHostPort("127.0.0.1", strconv.Itoa(ports.ClickHouse))}
	}
	return s
}

func (o *offline) close() {
	o.kafka.Close()
	_ = o.store.Close() // nothing is under way any more
}

// monitor returns the monitor of a model.
func (o *offline) monitor(model string) (*config.Monitor, error) {
	i := slices.IndexFunc(o.monitors, func(m config.Monitor) bool { return m.Model == model })
	if i < 0 {
		return nil, fmt.Errorf("there is no monitor of model %s%s", model, o.didYouMean(model))
	}
	return &o.monitors[i], nil
}

func (o *offline) didYouMean(model string) string {
	names := make([]string, len(o.monitors))
	for i := range o.monitors {
		names[i] = o.monitors[i].Model
	}
	return "; " + schemas.DidYouMean(model, names)
}

// specs are those of the database that the monitors are read under.
func (o *offline) specs(ctx context.Context) (*ingest.Specs, error) {
	all, err := o.store.Specs(ctx, 0)
	if err != nil {
		return nil, err
	}
	out := &ingest.Specs{}
	for _, r := range all {
		if slices.ContainsFunc(o.monitors, func(m config.Monitor) bool { return m.Model == r.Spec.Model }) {
			out.Records = append(out.Records, r)
		}
	}
	if out.Models, err = window.Compile(out.Records); err != nil {
		return nil, fmt.Errorf("compiling specs: %w", err)
	}
	return out, nil
}

// partitionsOf lists the partitions of topics as they are now; those of a
// topic that does not exist are not among them.
func (o *offline) partitionsOf(ctx context.Context, topics []string) ([]replay.Log, error) {
	meta, err := o.kafka.Metadata(ctx, topics...)
	if err != nil {
		return nil, err
	}
	var out []replay.Log
	for _, name := range topics {
		t := meta.Topic(name)
		if t == nil || t.Err != nil {
			continue
		}
		for _, p := range t.Partitions {
			l := replay.Log{Part: ingest.Partition{Topic: name, TopicID: t.ID, Partition: p.Partition}}
			if l.Bounds.Start, err = o.kafka.ListOffset(ctx, name, p.Partition, consumers.LogStart); err != nil {
				return nil, err
			}
			if l.Bounds.End, err = o.kafka.ListOffset(ctx, name, p.Partition, consumers.LogEnd); err != nil {
				return nil, err
			}
			out = append(out, l)
		}
	}
	return out, nil
}

// readable completes partitions by what it takes to read them.
func (o *offline) readable(ctx context.Context, logs []replay.Log) {
	for i := range logs {
		l := &logs[i]
		var models []string
		for _, m := range o.monitors {
			if slices.Contains(m.Topics, l.Part.Topic) {
				l.Format = m.Format
				models = append(models, m.Model)
			}
		}
		if len(models) == 1 {
			l.OnlyModel = models[0]
		}
		at := consumers.Position{Topic: l.Part.Topic, ID: l.Part.TopicID, Partition: l.Part.Partition, LeaderEpoch: -1}
		l.Source = func() (ingest.Source, func()) {
			fetcher := consumers.NewFetcher(o.kafka)
			source := fetcher.Add(at)
			ctx, stop := context.WithCancel(ctx)
			ended := make(chan struct{})
			go func() {
				defer close(ended)
				_ = fetcher.Run(ctx) // it ends with its context, and in no other way
			}()
			return source, func() { stop(); <-ended }
		}
	}
}

// Verify recomputes the stored windows of a model from Kafka's log and compares
// them. It changes nothing: it joins no group, commits nothing, writes nothing.
// told hears how far it is.
func Verify(ctx context.Context, s config.Settings, monitors []config.Monitor, cfg replay.Config, told func(read, of int64), log zerolog.Logger) (*replay.Result, error) {
	o, err := openOffline(ctx, s, monitors, log)
	if err != nil {
		return nil, err
	}
	defer o.close()
	m, err := o.monitor(cfg.Model)
	if err != nil {
		return nil, err
	}
	cfg.Topics = m.Topics
	specs, err := o.specs(ctx)
	if err != nil {
		return nil, err
	}
	return replay.New(cfg, replay.Deps{
		Store: o.store, Specs: specs, Formats: formats, Now: time.Now, Log: component(log, "replay"), Told: told,
		Logs: func(ctx context.Context) ([]replay.Log, error) {
			logs, err := o.partitionsOf(ctx, m.Topics)
			o.readable(ctx, logs)
			return logs, err
		},
	}).Verify(ctx)
}
