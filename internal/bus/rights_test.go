package bus_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/modelwatch/modelwatch/internal/bus"
	"github.com/modelwatch/modelwatch/internal/testkit"
)

// leastPublish is what docs/security.md lists.
var leastPublish = []string{
	"modelwatch.alerts.>", "modelwatch.retrain.>", "modelwatch.retrain_status.>", "modelwatch.fallback.>",
	"$JS.API.INFO",
	"$JS.API.STREAM.CREATE.MODELWATCH_ALERTS", "$JS.API.STREAM.INFO.MODELWATCH_ALERTS",
	"$JS.API.STREAM.CREATE.MODELWATCH_RETRAIN", "$JS.API.STREAM.INFO.MODELWATCH_RETRAIN",
	"$JS.API.STREAM.CREATE.MODELWATCH_FALLBACK", "$JS.API.STREAM.INFO.MODELWATCH_FALLBACK",
	"$JS.API.CONSUMER.CREATE.MODELWATCH_RETRAIN.modelwatch-statuses.>",
	"$JS.API.CONSUMER.INFO.MODELWATCH_RETRAIN.modelwatch-statuses",
	"$JS.API.CONSUMER.MSG.NEXT.MODELWATCH_RETRAIN.modelwatch-statuses",
	"$JS.ACK.MODELWATCH_RETRAIN.modelwatch-statuses.>",
	"$SYS.REQ.USER.INFO",
}

func without(list []string, name string) []string {
	return slices.DeleteFunc(slices.Clone(list), func(s string) bool { return s == name })
}

func TestRightsOnTheBus(t *testing.T) {
	inbox := []string{"_INBOX.>"}
	addr := testkit.GuardedNATS(t, nil,
		testkit.NATSUser{Name: "least", Password: "p", Publish: leastPublish, Subscribe: inbox},
		testkit.NATSUser{Name: "mute", Password: "p", Publish: without(leastPublish, "modelwatch.alerts.>"), Subscribe: inbox},
		testkit.NATSUser{Name: "many", Password: "p", Publish: append([]string{"orders.*"}, leastPublish...), Subscribe: []string{">"}},
		testkit.NATSUser{Name: "all", Password: "p"},
		testkit.NATSUser{Name: "unlisted", Password: "p", Publish: without(without(leastPublish, "$SYS.REQ.USER.INFO"), "$JS.API.INFO"), Subscribe: inbox},
	)
	as := func(name string) *bus.Bus { return open(t, "nats://"+name+":p@"+addr) }
	f := func(name string, partly bool, missing, extra []string) {
		t.Helper()
		got, err := as(name).Rights(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if got.Partly != partly || !slices.Equal(got.Missing, missing) || !slices.Equal(got.Extra, extra) {
			t.Errorf("%s: %+v", name, got)
		}
	}
	f("least", false, nil, nil)
	f("mute", false, []string{"publish modelwatch.alerts.>"}, nil)
	f("many", false, nil, []string{"publish orders.*", "subscribe >"})
	f("all", false, nil, []string{"publish >", "subscribe >"})
	f("unlisted", true, []string{"publish $JS.API.INFO"}, nil)

	// What is listed is enough: streams, a message and a status.
	b := as("least")
	eventually(t, "a connection", b.Connected)
	if err := b.EnsureStreams(t.Context()); err != nil {
		t.Fatal(err)
	}
	if stored, err := b.Publish(t.Context(), alert("i", 1)); err != nil || !stored {
		t.Fatal(stored, err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	heard := make(chan struct{})
	go func() {
		_ = b.WatchStatuses(ctx, func(context.Context, bus.Status) error {
			close(heard)
			return nil
		})
	}()
	job := as("all")
	status := alert("x", 1)
	status.Stream, status.Subject, status.Body = "MODELWATCH_RETRAIN", "modelwatch.retrain_status.m.r1", []byte(`{"request":"r1","model":"m","state":"succeeded","by":"job"}`)
	if _, err := job.Publish(ctx, status); err != nil {
		t.Fatal(err)
	}
	select {
	case <-heard:
		cancel()
	case <-ctx.Done():
		t.Error("no status was heard")
	}
	if _, err := as("mute").Publish(t.Context(), alert("i", 2)); err == nil {
		t.Error("a user without the right has published")
	}
}

func TestRightsOfAStranger(t *testing.T) {
	addr := testkit.GuardedNATS(t, nil, testkit.NATSUser{Name: "known", Password: "p"})
	cfg := bus.DefaultConfig()
	cfg.URL = "nats://known:guess-4711@" + addr
	b, err := bus.Open(cfg, zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	if _, err := b.Rights(t.Context()); err == nil || !strings.Contains(err.Error(), "Authorization Violation") || strings.Contains(err.Error(), "4711") {
		t.Errorf("%v", err)
	}
}
