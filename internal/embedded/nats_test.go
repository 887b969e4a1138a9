package embedded_test

import (
	"strings"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"

	"github.com/modelwatch/modelwatch/internal/embedded"
)

func startNATS(t *testing.T, cfg embedded.NATSConfig) *embedded.NATS {
	t.Helper()
	cfg.Logger = zerolog.Nop()
	n, err := embedded.StartNATS(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	})
	return n
}

func connect(t *testing.T, url string) jetstream.JetStream {
	t.Helper()
	conn, err := nats.Connect(url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	js, err := jetstream.New(conn)
	if err != nil {
		t.Fatal(err)
	}
	return js
}

func TestNATS_KeepsStreamAndConsumerOverRestart(t *testing.T) {
	ctx, cfg := t.Context(), embedded.NATSConfig{Dir: t.TempDir()}
	n := startNATS(t, cfg)
	js := connect(t, n.URL())
	stream, err := js.CreateStream(ctx, jetstream.StreamConfig{Name: "ALERTS", Subjects: []string{"alerts.>"}})
	if err != nil {
		t.Fatal(err)
	}
	for _, body := range []string{"one", "two"} {
		if _, err := js.Publish(ctx, "alerts.flights", []byte(body)); err != nil {
			t.Fatal(err)
		}
	}
	created := stream.CachedInfo().Created
	durable := jetstream.ConsumerConfig{Durable: "job", AckPolicy: jetstream.AckExplicitPolicy}
	consumer, err := stream.CreateConsumer(ctx, durable)
	if err != nil {
		t.Fatal(err)
	}
	msg, err := consumer.Next()
	if err != nil {
		t.Fatal(err)
	}
	if err := msg.DoubleAck(ctx); err != nil {
		t.Fatal(err)
	}
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}

	n = startNATS(t, cfg)
	js = connect(t, n.URL())
	stream, err = js.Stream(ctx, "ALERTS")
	if err != nil {
		t.Fatal(err)
	}
	state := stream.CachedInfo()
	if state.State.Msgs != 2 || !state.Created.Equal(created) {
		t.Errorf("after the restart %d messages in a stream of %s, want 2 of %s",
			state.State.Msgs, state.Created, created)
	}
	consumer, err = stream.Consumer(ctx, "job")
	if err != nil {
		t.Fatal(err)
	}
	msg, err = consumer.Next()
	if err != nil {
		t.Fatal(err)
	}
	if string(msg.Data()) != "two" {
		t.Errorf("the durable consumer goes on with %q, want two", msg.Data())
	}
}

func TestNATS_LoopbackAtTheConfiguredPort(t *testing.T) {
	k := startKafka(t, embedded.KafkaConfig{Dir: t.TempDir()})
	host, port := splitPort(t, k.Addr())
	_, err := embedded.StartNATS(t.Context(), embedded.NATSConfig{Dir: t.TempDir(), Port: port, Logger: zerolog.Nop()})
	if err == nil || !strings.Contains(err.Error(), "address already in use") {
		t.Fatalf("on a taken port: got %v, want it named", err)
	}
	if err := k.Close(); err != nil {
		t.Fatal(err)
	}
	n := startNATS(t, embedded.NATSConfig{Dir: t.TempDir(), Port: port})
	if want := "nats://" + k.Addr(); n.URL() != want || host != "127.0.0.1" {
		t.Errorf("listening on %s, want %s", n.URL(), want)
	}
}

func TestNATS_OneOwnerOfADirectory(t *testing.T) {
	dir := t.TempDir()
	startNATS(t, embedded.NATSConfig{Dir: dir})
	_, err := embedded.StartNATS(t.Context(), embedded.NATSConfig{Dir: dir, Logger: zerolog.Nop()})
	wantOwned(t, err, dir)
}
