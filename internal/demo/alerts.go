package demo

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/modelwatch/modelwatch/schemas"
)

// seen is an alert as it came out of JetStream.
type seen struct {
	schemas.Alert
	fault string // name of the injected fault that it is about, "" for none
	after time.Duration
}

// listener reads alerts and retrain requests like any subscriber.
type listener struct {
	conn   *nats.Conn
	faults []injected
	began  time.Time

	mu       sync.Mutex
	firing   []seen
	requests []schemas.RetrainRequest
	last     time.Time // when the last message came
}

func listen(ctx context.Context, url string, faults []injected, began time.Time, say func(string)) (*listener, error) {
	conn, err := nats.Connect(url, nats.Name("modelwatch demo"))
	if err != nil {
		return nil, fmt.Errorf("connecting to NATS: %w", err)
	}
	l := &listener{conn: conn, faults: faults, began: began, last: time.Now()}
	js, err := jetstream.New(conn)
	if err == nil {
		err = l.follow(ctx, js, schemas.StreamAlerts, func(m jetstream.Msg) { l.alert(m, say) })
	}
	if err == nil {
		err = l.follow(ctx, js, schemas.StreamRetrain, func(m jetstream.Msg) { l.request(m, say) })
	}
	if err != nil {
		conn.Close()
		return nil, fmt.Errorf("subscribing to alerts: %w", err)
	}
	return l, nil
}

func (l *listener) follow(ctx context.Context, js jetstream.JetStream, stream string, take func(jetstream.Msg)) error {
	c, err := js.OrderedConsumer(ctx, stream, jetstream.OrderedConsumerConfig{DeliverPolicy: jetstream.DeliverAllPolicy})
	if err != nil {
		return err
	}
	_, err = c.Consume(take)
	return err
}

func (l *listener) alert(m jetstream.Msg, say func(string)) {
	var a seen
	if err := json.Unmarshal(m.Data(), &a.Alert); err != nil {
		say(fmt.Sprintf("an alert cannot be read: %v", err))
		return
	}
	a.after = time.Since(l.began)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.last = time.Now()
	if a.Transition == schemas.TransitionFiring {
		a.fault = l.cause(&a.Alert)
		l.firing = append(l.firing, a)
	}
	say(line(&a))
}

// line is an alert as the terminal shows it.
func line(a *seen) string {
	mark := map[schemas.Transition]string{schemas.TransitionFiring: "FIRING", schemas.TransitionResolved: "resolved", schemas.TransitionUpdated: "updated", schemas.TransitionRevised: "revised"}[a.Transition]
	text := fmt.Sprintf("%-8s %-8s %s", mark, a.Severity, a.Title)
	if len(a.Slices) > 0 {
		text += " (" + strings.Join(a.Slices[:min(len(a.Slices), 3)], ", ") + ")"
	}
	if a.fault != "" {
		text += "   <- put in: " + a.fault
	}
	return text
}

func (l *listener) request(m jetstream.Msg, say func(string)) {
	if !strings.HasPrefix(m.Subject(), schemas.SubjectRetrain+".") {
		return
	}
	var r schemas.RetrainRequest
	if err := json.Unmarshal(m.Data(), &r); err != nil {
		say(fmt.Sprintf("a retrain request cannot be read: %v", err))
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.last = time.Now()
	l.requests = append(l.requests, r)
	say("RETRAIN  " + r.Request + ", because of " + strings.Join(kinds(r.Causes), ", "))
}

func kinds(causes []schemas.Cause) []string {
	var out []string
	for _, c := range causes {
		k := c.Kind
		if c.Column != "" {
			k += " of " + c.Column
		}
		out = append(out, k)
	}
	return slices.Compact(out)
}

// slack is by how much the onset of an alert may be off: it is where the
// evidence points to.
const slack = 24 * time.Hour

// cause finds the injected fault that an alert is about: one that names it,
// on one of its columns, while it was in force.
func (l *listener) cause(a *schemas.Alert) string {
	for _, f := range l.faults {
		if !slices.Contains(f.Faults, a.Fault) {
			continue
		}
		if len(f.Columns) > 0 && !slices.ContainsFunc(a.Columns, func(c string) bool { return slices.Contains(f.Columns, c) }) {
			continue
		}
		if a.Onset.Before(f.From.Add(-slack)) || a.Onset.After(f.To.Add(slack)) {
			continue
		}
		return f.Name
	}
	return ""
}

// quiet says for how long nothing has come.
func (l *listener) quiet() time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	return time.Since(l.last)
}

func (l *listener) close() { l.conn.Close() }
