package acceptance

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/modelwatch/modelwatch/schemas"
)

// message is one message as a subscriber has got it.
type message struct {
	subject string
	headers nats.Header
	body    []byte
	at      time.Time
	alert   schemas.Alert
}

// subscriber is what somebody else writes to be told: a plain durable consumer.
type subscriber struct {
	stream string

	mu       sync.Mutex
	messages []message
}

// subscribe reads a stream from its beginning, once somebody has made it.
func subscribe(t *testing.T, url, stream string) *subscriber {
	t.Helper()
	conn, err := nats.Connect(url, nats.MaxReconnects(-1), nats.ReconnectWait(50*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	js, err := jetstream.New(conn)
	if err != nil {
		t.Fatal(err)
	}
	s := &subscriber{stream: stream}
	var consumer jetstream.Consumer
	eventually(t, 60*time.Second, func() string {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		consumer, err = js.CreateOrUpdateConsumer(ctx, stream, jetstream.ConsumerConfig{
			Durable: "reader", AckPolicy: jetstream.AckExplicitPolicy, DeliverPolicy: jetstream.DeliverAllPolicy,
		})
		if err != nil {
			return fmt.Sprintf("subscribing to %s: %v", stream, err)
		}
		return ""
	})
	reading, err := consumer.Consume(func(m jetstream.Msg) {
		got := message{subject: m.Subject(), headers: m.Headers(), body: m.Data(), at: time.Now()}
		_ = json.Unmarshal(got.body, &got.alert) // of the retrain stream it is none
		s.mu.Lock()
		if !slices.ContainsFunc(s.messages, func(o message) bool { return o.subject == got.subject }) {
			s.messages = append(s.messages, got)
		}
		s.mu.Unlock()
		_ = m.Ack() // else it comes again
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		reading.Stop()
		<-reading.Closed()
	})
	return s
}

// all returns what has come so far.
func (s *subscriber) all() []message {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.messages)
}

// firing returns the firing message of a fault of columns, nil before it comes.
func (s *subscriber) firing(model string, fault schemas.Fault, columns ...string) *message {
	for _, m := range s.all() {
		if a := &m.alert; a.Model == model && a.Fault == fault && slices.Equal(a.Columns, columns) && a.Transition == schemas.TransitionFiring {
			return &m
		}
	}
	return nil
}

// story is what was told of each incident: one line for each, sorted.
func (s *subscriber) story() []string {
	told := map[string][]string{}
	for _, m := range s.all() {
		a := &m.alert
		k := fmt.Sprintf("%s %s %v", a.Model, a.Fault, a.Columns)
		switch a.Transition {
		case schemas.TransitionUpdated, schemas.TransitionRevised:
			// How often is left open.
		default:
			told[k] = append(told[k], string(a.Transition))
		}
	}
	var out []string
	for k, transitions := range told {
		out = append(out, k+": "+strings.Join(transitions, " "))
	}
	slices.Sort(out)
	return out
}

// titles lists all messages for people who read a failed test.
func (s *subscriber) titles() string {
	var out strings.Builder
	for _, m := range s.all() {
		a := &m.alert
		fmt.Fprintf(&out, "%s %s %d %s %s slices %v onset %s detected %s: %s (%s)\n", a.Incident, a.Transition, a.Seq, a.Fault, a.Columns, a.Slices,
			a.Onset.Format("15:04:05"), a.Detected.Format("15:04:05"), a.Title, a.Reason)
	}
	return out.String()
}

// wantStory waits for exactly these incidents.
func (s *subscriber) wantStory(t *testing.T, within time.Duration, want ...string) {
	t.Helper()
	slices.Sort(want)
	eventually(t, within, func() string {
		if got := s.story(); !slices.Equal(got, want) {
			return fmt.Sprintf("alerts are told as\n  %s\nwant\n  %s\nall messages:\n%s", strings.Join(got, "\n  "), strings.Join(want, "\n  "), s.titles())
		}
		return ""
	})
}

// wantOrder checks what must hold of any messages: every subject once in the
// stream, numbers of an incident from 1 without a hole and in order, the
// subject and the headers those of the body.
func (s *subscriber) wantOrder(t *testing.T, url string) {
	t.Helper()
	conn, err := nats.Connect(url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	js, err := jetstream.New(conn)
	if err != nil {
		t.Fatal(err)
	}
	stream, err := js.Stream(t.Context(), s.stream)
	if err != nil {
		t.Fatal(err)
	}
	info, err := stream.Info(t.Context(), jetstream.WithSubjectFilter(">"))
	if err != nil {
		t.Fatal(err)
	}
	for subject, n := range info.State.Subjects {
		if n != 1 {
			t.Errorf("%d messages on %s, want one", n, subject)
		}
	}
	all := s.all()
	if int(info.State.Msgs) != len(all) {
		t.Errorf("%d messages in %s, %d were read", info.State.Msgs, s.stream, len(all))
	}
	last := map[string]int{}
	for _, m := range all {
		a := &m.alert
		if last[a.Incident]++; a.Seq != last[a.Incident] {
			t.Errorf("message %d of %s comes as its number %d", a.Seq, a.Incident, last[a.Incident])
		}
		want := fmt.Sprintf("modelwatch.alerts.%s.%s.%s.%d", a.Model, a.Severity, a.Incident, a.Seq)
		if m.subject != want {
			t.Errorf("the subject is %s, want %s", m.subject, want)
		}
		wantHeaders(t, &m, "modelwatch.alert."+string(a.Transition), fmt.Sprintf("%s.%d", a.Incident, a.Seq))
		wantSchema(t, &m, "alert")
	}
}

// wantHeaders checks the envelope of CloudEvents 1.0.
func wantHeaders(t *testing.T, m *message, kind, id string) {
	t.Helper()
	for name, want := range map[string]string{"ce-specversion": "1.0", "ce-type": kind, "ce-id": id, "content-type": "application/json"} {
		if got := m.headers.Get(name); got != want {
			t.Errorf("%s: header %s is %q, want %q", m.subject, name, got, want)
		}
	}
	if source := m.headers.Get("ce-source"); source == "" {
		t.Errorf("%s has no ce-source", m.subject)
	}
	if _, err := time.Parse(time.RFC3339, m.headers.Get("ce-time")); err != nil {
		t.Errorf("%s: ce-time: %v", m.subject, err)
	}
}

// wantSchema checks a body against the JSON Schema that is shipped for it.
func wantSchema(t *testing.T, m *message, name string) {
	t.Helper()
	text, err := schemas.JSONSchema(name)
	if err != nil {
		t.Fatal(err)
	}
	shipped, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	if err := c.AddResource(name+".json", shipped); err != nil {
		t.Fatal(err)
	}
	compiled, err := c.Compile(name + ".json")
	if err != nil {
		t.Fatal(err)
	}
	body, err := jsonschema.UnmarshalJSON(bytes.NewReader(m.body))
	if err != nil {
		t.Errorf("%s is no JSON: %v", m.subject, err)
		return
	}
	if err := compiled.Validate(body); err != nil {
		t.Errorf("%s: %v\n%s", m.subject, err, m.body)
	}
}
