package bus_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"

	"github.com/modelwatch/modelwatch/internal/bus"
	"github.com/modelwatch/modelwatch/internal/testkit"
	"github.com/modelwatch/modelwatch/schemas"
)

func TestMain(m *testing.M) { os.Exit(testkit.Main(m)) }

func open(t *testing.T, url string) *bus.Bus {
	t.Helper()
	cfg := bus.DefaultConfig()
	cfg.URL, cfg.Timeout = url, 2*time.Second
	b, err := bus.Open(cfg, zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
	return b
}

func eventually(t *testing.T, what string, f func() bool) {
	t.Helper()
	for deadline := time.Now().Add(40 * time.Second); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		if f() {
			return
		}
	}
	t.Fatalf("never came: %s", what)
}

func alert(incident string, seq int) schemas.Message {
	id := fmt.Sprintf("%s.%d", incident, seq)
	return schemas.Message{
		ID: id, Stream: schemas.StreamAlerts, Incident: incident, Seq: seq, Body: []byte(`{"seq":1}`),
		Subject: schemas.SubjectAlerts + ".m.warning." + schemas.SubjectToken(incident) + fmt.Sprintf(".%d", seq),
		Headers: map[string]string{"ce-id": id, "ce-specversion": "1.0"},
	}
}

// stored reads a stream with a plain client: the ids in their order.
func stored(t *testing.T, url, stream string) []string {
	t.Helper()
	nc, err := nats.Connect(url)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	s, err := js.Stream(t.Context(), stream)
	if err != nil {
		t.Fatal(err)
	}
	var ids []string
	state := s.CachedInfo().State
	for n := state.FirstSeq; n > 0 && n <= state.LastSeq; n++ {
		m, err := s.GetMsg(t.Context(), n)
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, m.Header["ce-id"][0])
	}
	return ids
}

// journal is the store's side, kept in memory: the bus is what is tested.
type journal struct {
	mu      sync.Mutex
	all     []schemas.Message
	sent    map[string]bool
	created map[string]time.Time
}

func newJournal(messages ...schemas.Message) *journal {
	return &journal{all: messages, sent: map[string]bool{}, created: map[string]time.Time{}}
}

func (j *journal) add(m ...schemas.Message) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.all = append(j.all, m...)
}

func (j *journal) Unsent(context.Context) ([]schemas.Message, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(j.all), func(m schemas.Message) bool { return j.sent[m.ID] }), nil
}

func (j *journal) MarkSent(_ context.Context, ids []string) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, id := range ids {
		j.sent[id] = true
	}
	return nil
}

func (j *journal) Resend(_ context.Context, stream string, _ time.Time) ([]schemas.Message, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(j.all), func(m schemas.Message) bool { return m.Stream != stream }), nil
}

func (j *journal) BusCreated(_ context.Context, stream string) (time.Time, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.created[stream], nil
}

func (j *journal) SetBusCreated(_ context.Context, stream string, at time.Time) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.created[stream] = at
	return nil
}

func (j *journal) allSent() bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return !slices.ContainsFunc(j.all, func(m schemas.Message) bool { return !j.sent[m.ID] })
}

// run runs an outbox until the test ends or stop is called.
func run(t *testing.T, b *bus.Bus, j *journal) (o *bus.Outbox, stop func()) {
	t.Helper()
	o = bus.NewOutbox(b, j)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- o.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(stop)
	return o, stop
}

func TestPublishStoresOnce(t *testing.T) {
	server := testkit.NewNATS(t)
	b := open(t, server.URL)
	eventually(t, "a connection", b.Connected)
	if err := b.EnsureStreams(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := b.EnsureStreams(t.Context()); err != nil {
		t.Fatalf("a second time: %v", err)
	}
	publish := func(m schemas.Message, want bool) {
		t.Helper()
		if got, err := b.Publish(t.Context(), m); err != nil || got != want {
			t.Fatalf("publishing %s: stored %v, %v", m.ID, got, err)
		}
	}
	m := alert("i", 1)
	publish(m, true)
	publish(m, false)
	// Another id on the subject, as after the time in which ids are remembered.
	other := m
	other.ID = "forgotten"
	publish(other, false)

	server.Kill(t)
	server.Start(t)
	eventually(t, "a connection after the kill", b.Connected)
	publish(other, false)
	publish(alert("i", 2), true)
	if got := stored(t, server.URL, schemas.StreamAlerts); !slices.Equal(got, []string{"i.1", "i.2"}) {
		t.Errorf("stored %v", got)
	}
}

func TestPublishSaysWhatCanBeTriedAgain(t *testing.T) {
	server := testkit.NewNATS(t)
	b := open(t, server.URL)
	eventually(t, "a connection", b.Connected)
	if _, err := b.Publish(t.Context(), alert("i", 1)); err == nil || errors.Is(err, bus.ErrRefused) {
		t.Errorf("without a stream: %v", err)
	}
	if err := b.EnsureStreams(t.Context()); err != nil {
		t.Fatal(err)
	}
	big := alert("i", 1)
	big.Body = make([]byte, 2<<20)
	if _, err := b.Publish(t.Context(), big); !errors.Is(err, bus.ErrRefused) {
		t.Errorf("two megabytes: %v", err)
	}
	server.Stop(t)
	if _, err := b.Publish(t.Context(), alert("i", 1)); err == nil || errors.Is(err, bus.ErrRefused) {
		t.Errorf("without a server: %v", err)
	}
}

func TestHostileNamesAreStored(t *testing.T) {
	server := testkit.NewNATS(t)
	b := open(t, server.URL)
	eventually(t, "a connection", b.Connected)
	if err := b.EnsureStreams(t.Context()); err != nil {
		t.Fatal(err)
	}
	for n, name := range []string{"a.b", "*", ">", "a b", "", "\r\nPUB x 1", "größe", "\xff", "\x00", "%", strings.Repeat("x", 200)} {
		m := alert(fmt.Sprint(n), 1)
		m.Subject = schemas.SubjectAlerts + "." + schemas.SubjectToken(name) + ".warning.i.1"
		if stored, err := b.Publish(t.Context(), m); err != nil || !stored {
			t.Errorf("model %q: stored %v, %v", name, stored, err)
		}
	}
}

func TestOpenDoesNotWaitForTheServer(t *testing.T) {
	server := testkit.NewNATS(t)
	server.Stop(t)
	b := open(t, server.URL)
	if b.Connected() {
		t.Fatal("connected to nothing")
	}
	j := newJournal(alert("i", 1), alert("i", 2))
	run(t, b, j)
	server.Start(t)
	eventually(t, "the messages", j.allSent)
	if got := stored(t, server.URL, schemas.StreamAlerts); !slices.Equal(got, []string{"i.1", "i.2"}) {
		t.Errorf("stored %v", got)
	}
}

// Messages go out once and in order of each incident, though the connection
// breaks with answers on their way and the server is killed.
func TestOutboxKeepsOrderThroughFailures(t *testing.T) {
	server := testkit.NewNATS(t)
	at, err := url.Parse(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	proxy := testkit.Proxy(t, at.Host)
	b := open(t, "nats://"+proxy.Addr())
	j := newJournal()
	o, _ := run(t, b, j)
	const each = 8
	for seq := 1; seq <= each; seq++ {
		if seq%3 == 0 {
			hit := proxy.DropAfterRequest()
			defer func() {
				select {
				case <-hit:
				default:
					t.Error("an answer was to be lost and was not")
				}
			}()
		}
		if seq == 5 {
			server.Kill(t)
			proxy.Cut()
		}
		j.add(alert("one", seq), alert("two", seq), alert("three", seq))
		o.Nudge()
		if seq == 5 {
			server.Start(t)
		}
		time.Sleep(50 * time.Millisecond)
	}
	eventually(t, "all messages", j.allSent)
	next := map[string]int{}
	for _, id := range stored(t, server.URL, schemas.StreamAlerts) {
		incident, seq, _ := strings.Cut(id, ".")
		if next[incident]++; fmt.Sprint(next[incident]) != seq {
			t.Errorf("%s comes as number %d", id, next[incident])
		}
	}
	for _, incident := range []string{"one", "two", "three"} {
		if next[incident] != each {
			t.Errorf("%s has %d messages", incident, next[incident])
		}
	}
}

func TestOutboxFillsAStreamThatWasLost(t *testing.T) {
	server := testkit.NewNATS(t)
	b := open(t, server.URL)
	j := newJournal(alert("i", 1), alert("i", 2))
	o, _ := run(t, b, j)
	eventually(t, "the messages", j.allSent)
	server.Stop(t)
	server.Wipe(t)
	server.Start(t)
	// Nothing new is to be said: the loss itself must be noticed.
	eventually(t, "the messages again", func() bool { return o.Stats.Refilled.Load() == 2 })
	if got := stored(t, server.URL, schemas.StreamAlerts); !slices.Equal(got, []string{"i.1", "i.2"}) {
		t.Errorf("stored %v", got)
	}
}

// interrupted is a journal that is read while something happens.
type interrupted struct {
	*journal
	during func()
}

func (j *interrupted) Unsent(ctx context.Context) ([]schemas.Message, error) {
	out, err := j.journal.Unsent(ctx)
	if len(out) > 0 && j.during != nil {
		during := j.during
		j.during = nil
		during()
	}
	return out, err
}

// A turn that began before the server lost its disk must not go on after it:
// another replica has made the stream anew by then, and it is empty.
func TestOutboxEndsItsTurnWithTheConnection(t *testing.T) {
	server := testkit.NewNATS(t)
	first, b := open(t, server.URL), open(t, server.URL)
	j := newJournal(alert("i", 1))
	_, stop := run(t, first, j)
	eventually(t, "the first message", j.allSent)
	stop()
	j.add(alert("i", 2))
	lost := &interrupted{journal: j, during: func() {
		server.Stop(t)
		server.Wipe(t)
		server.Start(t)
		eventually(t, "the stream made by another", func() bool { return first.EnsureStreams(t.Context()) == nil })
		eventually(t, "the connection", b.Connected)
	}}
	o := bus.NewOutbox(b, lost)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- o.Run(ctx) }()
	eventually(t, "both messages", func() bool { return j.allSent() && o.Stats.Refilled.Load() > 0 })
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if got := stored(t, server.URL, schemas.StreamAlerts); !slices.Equal(got, []string{"i.1", "i.2"}) {
		t.Errorf("stored %v", got)
	}
}

func TestOutboxPassesOverWhatIsRefused(t *testing.T) {
	server := testkit.NewNATS(t)
	b := open(t, server.URL)
	big := alert("i", 2)
	big.Body = make([]byte, 2<<20)
	j := newJournal(alert("i", 1), big, alert("i", 3), alert("k", 1))
	o, _ := run(t, b, j)
	eventually(t, "the others", func() bool { return o.Stats.Published.Load() == 3 })
	if n := o.Stats.Refused.Load(); n != 1 {
		t.Errorf("%d refused", n)
	}
	if j.allSent() {
		t.Error("the refused message is marked as sent")
	}
}

func TestTwoOutboxesAreHarmless(t *testing.T) {
	server := testkit.NewNATS(t)
	var want []string
	var messages []schemas.Message
	for seq := 1; seq <= 20; seq++ {
		messages = append(messages, alert("i", seq))
		want = append(want, fmt.Sprintf("i.%d", seq))
	}
	one, two := newJournal(messages...), newJournal(messages...)
	run(t, open(t, server.URL), one)
	run(t, open(t, server.URL), two)
	eventually(t, "both", func() bool { return one.allSent() && two.allSent() })
	if got := stored(t, server.URL, schemas.StreamAlerts); !slices.Equal(got, want) {
		t.Errorf("stored %v", got)
	}
}

// say publishes a status as a job does.
func say(t *testing.T, url, subject string, body any, headers nats.Header) {
	t.Helper()
	nc, err := nats.Connect(url)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	data, ok := body.([]byte)
	if !ok {
		if data, err = json.Marshal(body); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := js.PublishMsg(t.Context(), &nats.Msg{Subject: subject, Data: data, Header: headers}); err != nil {
		t.Fatal(err)
	}
}

func TestStatusesAreKept(t *testing.T) {
	server := testkit.NewNATS(t)
	b := open(t, server.URL)
	eventually(t, "a connection", b.Connected)
	if err := b.EnsureStreams(t.Context()); err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var kept []bus.Status
	failed := false
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		done <- b.WatchStatuses(ctx, func(_ context.Context, s bus.Status) error {
			mu.Lock()
			defer mu.Unlock()
			if !failed {
				failed = true
				return errors.New("the store is away")
			}
			kept = append(kept, s)
			return nil
		})
	}()
	count := func() int {
		mu.Lock()
		defer mu.Unlock()
		return len(kept)
	}
	subject := schemas.SubjectRetrainStatus + ".flight-delay.r1"
	status := schemas.RetrainStatus{Request: "r1", Model: "flight-delay", State: "claimed", By: "airflow/retrain"}
	say(t, server.URL, subject, status, nats.Header{"ce-id": {"r1:airflow:0"}, "Nats-Expected-Last-Subject-Sequence": {"0"}})
	say(t, server.URL, subject, []byte("{"), nil)
	lie := status
	lie.Request = "r2"
	say(t, server.URL, subject, lie, nil)
	strange := status
	strange.State = "sleeping"
	say(t, server.URL, subject, strange, nil)
	status.State, status.Version = "succeeded", "4"
	say(t, server.URL, subject, status, nil)
	eventually(t, "two statuses", func() bool { return count() == 2 })

	mu.Lock()
	first, last := kept[0], kept[1]
	mu.Unlock()
	if first.State != "claimed" || first.Sequence != 1 || last.State != "succeeded" || last.Version != "4" || last.Time.IsZero() {
		t.Errorf("kept %+v and %+v", first, last)
	}
	if m := first.Message; m.Subject != subject || m.Headers["ce-id"] != "r1:airflow:0" || m.Headers["Nats-Expected-Last-Subject-Sequence"] != "" {
		t.Errorf("message %+v", m)
	}

	// A lost disk takes the consumer with it; the final status can be brought back.
	server.Stop(t)
	server.Wipe(t)
	server.Start(t)
	eventually(t, "a connection", b.Connected)
	if err := b.EnsureStreams(t.Context()); err != nil {
		t.Fatal(err)
	}
	if ok, err := b.Publish(t.Context(), last.Message); err != nil || !ok {
		t.Fatalf("the status again: %v, %v", ok, err)
	}
	eventually(t, "the status of the new stream", func() bool { return count() == 3 })
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
