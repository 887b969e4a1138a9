package bus

import (
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/modelwatch/modelwatch/schemas"
)

// letter is a message as a stream gives it.
type letter struct {
	jetstream.Msg
	subject string
	headers nats.Header
	data    []byte
}

func (l letter) Subject() string      { return l.subject }
func (l letter) Headers() nats.Header { return l.headers }
func (l letter) Data() []byte         { return l.data }
func (l letter) Metadata() (*jetstream.MsgMetadata, error) {
	return &jetstream.MsgMetadata{Sequence: jetstream.SequencePair{Stream: 3}, Timestamp: time.Unix(0, 0)}, nil
}

// FuzzStatus reads what anybody may have published as the status of a job, and
// what a server says of rights.
func FuzzStatus(f *testing.F) {
	f.Add("modelwatch.retrain_status.m.r1", "ce-id", "x", []byte(`{"request":"r1","model":"m","state":"claimed","by":"job","metrics":{"auc":0.9}}`))
	f.Add("modelwatch.retrain_status.m.%2E", "Nats-Msg-Id", "1", []byte(`{"request":".","model":"m","state":"succeeded"}`))
	f.Add("modelwatch.retrain_status.>", "\r\n", "\x1b", []byte(`{"data":{"permissions":{"publish":{"allow":["a.>","*"],"deny":["a.b"]}}}}`))
	f.Fuzz(func(t *testing.T, subject, name, value string, data []byte) {
		s, err := parseStatus(letter{subject: subject, headers: nats.Header{name: {value}}, data: data})
		if err == nil {
			if s.Request == "" || s.Message.Stream != schemas.StreamRetrain || s.Sequence != 3 {
				t.Fatalf("%+v", s)
			}
			switch schemas.RetrainState(s.State) {
			case schemas.RetrainClaimed, schemas.RetrainSucceeded, schemas.RetrainFailed:
			default:
				t.Fatalf("state %q", s.State)
			}
		} else if err.Error() == "" {
			t.Fatal("an error without a message")
		}
		if r, err := readRights(data); err == nil && len(r.Missing) > 40 {
			t.Fatalf("%d rights are missing", len(r.Missing))
		}
		if covers(subject, value) && !meets(subject, value) {
			t.Fatalf("%q covers %q and does not meet it", subject, value)
		}
	})
}
