// Command publish-go shows how a service written in Go publishes what its model
// sees, says and later learns. There is nothing of modelwatch in it: the events
// are JSON, one a message, and any Kafka client will do.
//
//	go run ./examples/publish-go -brokers 127.0.0.1:9092
package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"time"

	"github.com/segmentio/kafka-go"
)

// Event is what modelwatch reads. The id joins the features of a request with
// its prediction and, hours or weeks later, its label.
type Event struct {
	ID         string         `json:"id"`
	Model      string         `json:"model"`
	Version    string         `json:"version,omitempty"` // of the model; a label has none
	Time       time.Time      `json:"ts"`
	Features   map[string]any `json:"features,omitempty"`
	Prediction any            `json:"prediction,omitempty"`
	Score      *float64       `json:"score,omitempty"` // a pointer: a score of 0 must be sent
	Label      any            `json:"label,omitempty"`
}

func main() {
	brokers := flag.String("brokers", "127.0.0.1:9092", "addresses of Kafka, separated by commas")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := publish(ctx, strings.Split(*brokers, ","))
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// publish sends one request of the model, its answer and its label.
func publish(ctx context.Context, brokers []string) (err error) {
	w := &kafka.Writer{
		Addr: kafka.TCP(brokers...),
		// The key decides the partition, so all events of one id stay in order.
		Balancer:     &kafka.Hash{},
		RequiredAcks: kafka.RequireAll,
		// A real service sets Async: monitoring must never make a request wait. Events then go
		// out in batches, Completion says which failed, and Close sends what is left.
		BatchTimeout:           10 * time.Millisecond,
		AllowAutoTopicCreation: true,
	}
	defer func() { err = errors.Join(err, w.Close()) }()

	id, score, now := rand.Text(), 0.83, time.Now().UTC()
	return send(ctx, w, map[string]Event{
		// A feature that is missing is sent as null, so that it is counted as null and not as absent.
		"flights.features": {
			ID: id, Model: "flight-delay", Version: "3", Time: now,
			Features: map[string]any{"distance": 733, "origin": "ORD", "temp": nil},
		},
		"flights.predictions": {
			ID: id, Model: "flight-delay", Version: "3", Time: now,
			Prediction: "late", Score: &score,
		},
		// The label comes when it is known, hours or weeks later, from whoever learns it.
		"flights.labels": {
			ID: id, Model: "flight-delay", Time: now,
			Label: "late",
		},
	})
}

// send writes one event to each topic, keyed by its id. A topic that is not there
// yet is made by Kafka at the first try, which itself still fails: nothing was
// written, so trying again doubles nothing.
func send(ctx context.Context, w *kafka.Writer, events map[string]Event) error {
	messages := make([]kafka.Message, 0, len(events))
	for topic, e := range events {
		value, err := json.Marshal(e)
		if err != nil {
			return fmt.Errorf("encoding an event of %s: %w", topic, err)
		}
		messages = append(messages, kafka.Message{Topic: topic, Key: []byte(e.ID), Value: value, Time: e.Time})
	}
	err := w.WriteMessages(ctx, messages...)
	for tries := 1; errors.Is(err, kafka.UnknownTopicOrPartition) && tries < 20; tries++ {
		time.Sleep(250 * time.Millisecond)
		err = w.WriteMessages(ctx, messages...)
	}
	if err != nil {
		return fmt.Errorf("publishing %d events: %w", len(messages), err)
	}
	return nil
}
