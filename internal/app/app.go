package app

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/rs/zerolog"
	"golang.org/x/sync/errgroup"

	"github.com/modelwatch/modelwatch/consumers"
	"github.com/modelwatch/modelwatch/internal/bus"
	"github.com/modelwatch/modelwatch/internal/config"
	"github.com/modelwatch/modelwatch/internal/evaluate"
	"github.com/modelwatch/modelwatch/internal/faultpoint"
	"github.com/modelwatch/modelwatch/internal/ingest"
	"github.com/modelwatch/modelwatch/internal/store"
	"github.com/modelwatch/modelwatch/internal/telemetry"
	"github.com/modelwatch/modelwatch/internal/web"
	"github.com/modelwatch/modelwatch/schemas"
)

// App is the service.
type App struct {
	settings config.Settings
	version  string
	log      zerolog.Logger

	kafka     *consumers.Client
	group     *consumers.Group
	store     *store.Store
	bus       *bus.Bus
	outbox    *bus.Outbox
	registry  *registry
	reading   *reading
	evaluator *evaluate.Evaluator
	web       *web.Server

	reads     ingest.Stats
	judges    evaluate.Stats
	kafkaRead consumers.Stats

	migrated atomic.Bool
	loaded   atomic.Bool
	reload   sync.Mutex // one at a time
	mu       sync.Mutex
	problems error // of the monitor files as they are now
	files    string
}

// New builds the service from settings whose servers all have addresses (see
// StartServers). It starts nothing and waits for nobody.
func New(s config.Settings, version string, log zerolog.Logger) (*App, error) {
	a := &App{settings: s, version: version, log: log}
	kafka, err := kafkaConfig(s.Kafka)
	if err != nil {
		return nil, err
	}
	if a.kafka, err = consumers.NewClient(kafka, &a.kafkaRead, log); err != nil {
		return nil, fmt.Errorf("preparing Kafka: %w", err)
	}
	sc, err := storeConfig(s.ClickHouse)
	if err != nil {
		return nil, err
	}
	sc.Program = version
	if a.store, err = store.Open(sc, log); err != nil {
		return nil, err
	}
	bc, err := busConfig(s.NATS)
	if err != nil {
		return nil, err
	}
	if a.bus, err = bus.Open(bc, log); err != nil {
		return nil, err
	}
	a.outbox = bus.NewOutbox(a.bus, a.store)
	a.registry = newRegistry(a.store, component(log, "registry"))
	a.registry.hashKey = []byte(s.HashKey.Reveal())
	a.group = consumers.NewGroup(a.kafka, nil)
	a.evaluator = evaluate.New(a.evaluateConfig(), a.evaluateDeps())
	a.reading = &reading{
		client: a.kafka, store: a.store, registry: a.registry, rewinds: &rewinds{store: a.store, log: component(log, "rewinds")}, letters: consumers.NewDeadLetters(a.kafka),
		stats: &a.reads, wrote: a.evaluator.Nudge, log: component(log, "ingest"),
	}
	if err := a.buildWeb(); err != nil {
		return nil, err
	}
	return a, nil
}

func component(log zerolog.Logger, name string) zerolog.Logger {
	return log.With().Str("component", name).Logger()
}

func kafkaConfig(k config.Kafka) (consumers.Config, error) {
	c := consumers.DefaultConfig()
	c.Brokers, c.Group = k.Brokers, k.Group
	if k.Isolation == "read_uncommitted" {
		c.Isolation = consumers.ReadUncommitted
	}
	if k.SASL != nil {
		c.SASL = consumers.SASL{Mechanism: k.SASL.Mechanism, User: k.SASL.User, Password: k.SASL.Password.Reveal()}
	}
	var err error
	if c.TLS, err = k.TLS.Config(); err != nil {
		return c, fmt.Errorf("preparing Kafka: %w", err)
	}
	return c, nil
}

func storeConfig(c config.ClickHouse) (store.Config, error) {
	sc := store.DefaultConfig()
	sc.Addr, sc.Database, sc.Cluster, sc.Password = c.Addr, c.Database, c.Cluster, c.Password.Reveal()
	if c.User != "" {
		sc.User = c.User
	}
	var err error
	if sc.TLS, err = c.TLS.Config(); err != nil {
		return sc, fmt.Errorf("preparing ClickHouse: %w", err)
	}
	return sc, nil
}

func busConfig(n config.NATS) (bus.Config, error) {
	bc := bus.DefaultConfig()
	bc.URL, bc.CredsFile, bc.Replicas = n.URL, n.CredsFile, n.Replicas
	var err error
	if bc.TLS, err = n.TLS.Config(); err != nil {
		return bc, fmt.Errorf("preparing NATS: %w", err)
	}
	return bc, nil
}

func (a *App) evaluateConfig() evaluate.Config {
	c := evaluate.DefaultConfig()
	c.PublicURL = publicURL(a.settings.HTTP)
	host, _ := os.Hostname()
	c.Writer = host + "/" + strconv.Itoa(os.Getpid()) + "/" + uuid.NewString()[:8]
	return c
}

// publicURL is where alerts say that their incident can be read: where the
// pages listen, unless that is every address or a port the system chooses.
func publicURL(h config.HTTP) string {
	host, port, err := net.SplitHostPort(h.Listen)
	if ip := net.ParseIP(host); err != nil || port == "0" || host == "" || ip != nil && ip.IsUnspecified() {
		return ""
	}
	scheme := "http://"
	if h.TLS != nil {
		scheme = "https://"
	}
	return scheme + net.JoinHostPort(host, port)
}

func (a *App) evaluateDeps() evaluate.Deps {
	judges := &judgeStore{Store: a.store, revised: map[string]look{}}
	own := &owner{a.group, a.registry}
	return evaluate.Deps{
		Windows: judges, Signals: judges, Journal: a.store,
		Models: a.registry.models, Baseline: a.registry.baseline, Owns: own.owns, Partitions: own.partitions,
		Marks: a.store.Views().Marks, Learnt: a.store,
		Decided: a.outbox.Nudge, Now: faultpoint.Now, Stats: &a.judges, Log: component(a.log, "evaluate"),
	}
}

func (a *App) buildWeb() error {
	metrics, err := telemetry.NewMetrics(a.version)
	if err != nil {
		return fmt.Errorf("preparing metrics: %w", err)
	}
	if err := a.measure(metrics); err != nil {
		return fmt.Errorf("preparing metrics: %w", err)
	}
	h := a.settings.HTTP
	c := web.Config{Listen: h.Listen, Token: h.Token.Reveal(), Operator: h.OperatorToken.Reveal()}
	if h.TLS != nil {
		c.TLSCert, c.TLSKey, c.ClientCA = h.TLS.Cert, h.TLS.Key, h.TLS.ClientCA
	}
	a.web, err = web.New(c, web.Deps{
		Store: a.store.Views(), Mark: a.store.Mark, Monitors: a.registry.list, Ready: a.Ready, Lag: a.Lag, Metrics: metrics.Handler(), Version: a.version, Log: a.log,
	})
	return err
}

// Addr is where pages and API are served; it waits for Run to listen and is
// "" when ctx ends before.
func (a *App) Addr(ctx context.Context) string { return a.web.Addr(ctx) }

// Run serves until ctx ends. It starts what others rely on first and stops it
// last. A server that is away at the start is waited for. Pages that cannot be
// served end it: an address that is taken must not go unnoticed.
func (a *App) Run(ctx context.Context) error {
	defer a.kafka.Close()
	ctx, end := context.WithCancel(ctx)
	defer end()
	pages := errgroup.Group{}
	serving, stopServing := context.WithCancel(context.WithoutCancel(ctx))
	defer stopServing()
	pages.Go(func() error {
		defer end()
		return a.web.Run(serving)
	})
	err := a.work(ctx)
	stopServing()
	return errors.Join(err, pages.Wait(), a.bus.Close(), a.store.Close())
}

// work is everything but the pages.
func (a *App) work(ctx context.Context) error {
	if err := a.prepare(ctx); err != nil {
		if ctx.Err() != nil {
			return nil //nolint:nilerr // it was told to stop, and that is no failure
		}
		return err
	}
	// Each layer runs until those above it have stopped.
	layers := []func(context.Context) error{a.outbox.Run, a.hear, a.evaluator.Run, a.reading.letters.Run}
	g := errgroup.Group{}
	top, failed := errgroup.WithContext(ctx)
	var stops []context.CancelFunc
	for _, run := range layers {
		layer, stop := context.WithCancel(context.WithoutCancel(ctx))
		stops = append(stops, stop)
		g.Go(func() error { return run(layer) })
	}
	top.Go(func() error { return a.group.Run(failed, a.reading.serve) })
	top.Go(func() error { return a.registry.watch(failed) })
	top.Go(func() error { return a.reading.rewinds.watch(failed) })
	top.Go(func() error { return a.watchMonitors(failed) })
	top.Go(func() error { return a.retain(failed) })
	err := top.Wait()
	for _, stop := range slices.Backward(stops) {
		stop()
	}
	return errors.Join(err, g.Wait())
}

// hear keeps what retraining jobs say of their requests.
func (a *App) hear(ctx context.Context) error {
	return a.bus.WatchStatuses(ctx, func(ctx context.Context, s bus.Status) error { return a.store.SaveStatus(ctx, store.Status(s)) })
}

// retain drops stored rows that no row can change any more, by the event time
// of their model.
func (a *App) retain(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(retainEvery):
		}
		if dropped, err := a.retainOnce(ctx); err != nil && ctx.Err() == nil {
			a.log.Warn().Err(err).Msg("dropping what is past")
		} else if dropped > 0 {
			a.log.Info().Int("partitions", dropped).Msg("dropped what is past")
		}
	}
}

const (
	retainEvery = 10 * time.Minute
	retainMore  = 48 * time.Hour // kept beyond the late horizon
)

func (a *App) retainOnce(ctx context.Context) (int, error) {
	progress, err := a.store.Progress(ctx)
	if err != nil {
		return 0, err
	}
	return a.store.Retain(ctx, a.registry.cutoffs(progress))
}

// prepare migrates the store and loads the monitors, waiting for servers that
// are away.
func (a *App) prepare(ctx context.Context) error {
	for wait := time.Second; ; wait = min(2*wait, 15*time.Second) {
		a.files = a.fingerprint()
		err := a.begin(ctx)
		if err == nil || ctx.Err() != nil || !store.Retryable(err) || a.unsound() != nil {
			return err
		}
		a.log.Warn().Err(err).Dur("retry_in", wait).Msg("waiting for ClickHouse")
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(wait):
		}
	}
}

func (a *App) begin(ctx context.Context) error {
	if err := a.store.Migrate(ctx); err != nil {
		return fmt.Errorf("migrating the database: %w", err)
	}
	a.migrated.Store(true)
	return a.Reload(ctx)
}

// unsound says what is wrong with the monitor files as they were read last.
func (a *App) unsound() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.problems
}

// Reload reads the monitor files and puts them in force, all or none: if one
// is unsound, what was in force stays so, and the error says what is wrong.
func (a *App) Reload(ctx context.Context) error {
	a.reload.Lock()
	defer a.reload.Unlock()
	monitors, err := config.Monitors(a.settings.Monitors)
	a.mu.Lock()
	a.problems = err
	a.mu.Unlock()
	if err != nil {
		return fmt.Errorf("reading monitors: %w", err)
	}
	byModel := make(map[string]*config.Monitor, len(monitors))
	for i := range monitors {
		byModel[monitors[i].Model] = &monitors[i]
	}
	if err := a.registry.set(ctx, byModel); err != nil {
		return err
	}
	a.group.SetTopics(a.registry.topics())
	a.loaded.Store(true)
	a.log.Info().Int("monitors", len(monitors)).Strs("models", slices.Sorted(maps.Keys(byModel))).Msg("monitors in force")
	for i := range monitors {
		for _, rule := range monitors[i].Past(time.Now()) {
			a.log.Warn().Str("model", monitors[i].Model).Time("until", rule.Until.Time).Msg(rule.String() + " is over; remove it, or move its date")
		}
	}
	return nil
}

// watchMonitors reloads when the monitor files have changed.
func (a *App) watchMonitors(ctx context.Context) error {
	for {
		if now := a.fingerprint(); now != a.files {
			err := a.Reload(ctx)
			if err == nil || a.unsound() != nil {
				a.files = now // otherwise the database was away, and they are tried again
			}
			if err != nil && ctx.Err() == nil {
				a.log.Error().Err(err).Msg("the changed monitors are not put in force; the old ones stay")
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(2 * time.Second):
		}
	}
}

// fingerprint tells one state of the monitors' folder, baselines included,
// from another.
func (a *App) fingerprint() string {
	var out []byte
	_ = filepath.WalkDir(a.settings.Monitors, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return nil //nolint:nilerr // what cannot be looked at shows when it is read
		}
		if i, err := d.Info(); err == nil {
			out = fmt.Appendf(out, "%s %d %d\n", path, i.Size(), i.ModTime().UnixNano())
		}
		return nil
	})
	return "files:" + strconv.FormatUint(schemas.Hash(out), 16)
}

// Ready tells, check by check, what keeps the service from being ready.
func (a *App) Ready() map[string]error {
	checks := map[string]error{}
	say := func(name string, ok bool, why string) {
		checks[name] = nil
		if !ok {
			checks[name] = errors.New(why)
		}
	}
	say("migrations", a.migrated.Load(), "the database is not migrated yet")
	checks["monitors"] = a.unsound()
	if checks["monitors"] == nil {
		say("monitors", a.loaded.Load(), "the monitors are not loaded yet")
	}
	m := a.group.Snapshot()
	say("assignment", m.Generation >= 0 || m.Known && len(m.Topics) == 0, "the consumer group has assigned nothing yet")
	say("nats", a.bus.Connected(), "NATS is away; messages wait in the outbox")
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	checks["clickhouse"] = a.store.Ping(ctx)
	return checks
}
