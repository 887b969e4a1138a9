package demo

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/modelwatch/modelwatch/internal/app"
	"github.com/modelwatch/modelwatch/internal/config"
	"github.com/modelwatch/modelwatch/internal/embedded"
	"github.com/modelwatch/modelwatch/internal/testkit"
)

func TestMain(m *testing.M) { os.Exit(testkit.Main(m)) }

// The demo's own events, faults among them, through the service on real
// servers: what is stored equals an independent recount of the topics.
func TestDemoIsCountedRight(t *testing.T) {
	const days = 2
	dir, err := embedded.DefaultEngineDir()
	if err != nil {
		t.Fatal(err)
	}
	path, err := embedded.FetchNPM(t.Context(), dir, "vega-datasets", "3.2.1", filepath.Join("data", "flights-3m.parquet"), nil)
	if err != nil {
		t.Fatal(err)
	}
	start := begin.AddDate(0, 0, reference)
	flights, err := loadFlights(path, start.AddDate(0, 0, days))
	if err != nil {
		t.Fatal(err)
	}
	n := flights.before(start.UnixMilli())
	m := train(flights, n, 1)
	if auc := m.auc(flights, n, len(flights.rows)); auc < 0.6 {
		t.Errorf("the model's AUC is %.3f, no better than chance", auc)
	}
	monitors := t.TempDir()
	if err := writeMonitor(t.Context(), monitors, &healthy{flights, m, n}); err != nil {
		t.Fatal(err)
	}
	monitor, err := config.ReadMonitor(filepath.Join(monitors, modelName+".yaml"))
	if err != nil {
		t.Fatal(err)
	}

	kafka, clickHouse, nats := testkit.Kafka(t), testkit.ClickHouse(t), testkit.NewNATS(t)
	settings := *config.Default()
	settings.Kafka = config.Kafka{Brokers: []string{kafka.Addr}, Group: testkit.Name(t, "demo"), Isolation: "read_committed"}
	settings.ClickHouse = config.ClickHouse{Addr: []string{clickHouse.Addr}, Database: clickHouse.Database(t)}
	settings.NATS = config.NATS{URL: nats.URL, Replicas: 1}
	settings.HTTP.Listen, settings.Monitors = "127.0.0.1:0", monitors
	p, err := newProducer(t.Context(), kafka.Addr)
	if err != nil {
		t.Fatal(err)
	}
	service, err := app.New(settings, "test", zerolog.New(zerolog.NewTestWriter(t)).Level(zerolog.ErrorLevel))
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- service.Run(ctx) }()

	events := newStream(flights, m, start, plan(start), 1)
	for at := start; at.Before(start.AddDate(0, 0, days)); at = at.Add(time.Hour) {
		if err := events.each(at.Add(time.Hour), p.put); err != nil {
			t.Fatal(err)
		}
		if err := p.flush(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if err := p.close(); err != nil {
		t.Error(err)
	}
	want := testkit.Recount(t, []string{kafka.Addr}, testkit.Watched{Spec: *monitor.Spec, Topics: monitor.Topics})
	if n := testkit.CompareWindows(t, clickHouse, settings.ClickHouse.Database, want, 90*time.Second); n < 500 {
		t.Errorf("only %d rows of windows were compared", n)
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
