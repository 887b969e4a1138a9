package preflight

import (
	"context"
	"time"

	"github.com/modelwatch/modelwatch/internal/config"
)

// State is how a finding is to be taken.
type State string

// The states of a finding.
const (
	OK    State = "ok"
	Note  State = "note"  // was not tried, or is good to know
	Warn  State = "warn"  // the service runs, and something is missed
	Error State = "error" // the service would not do its work
)

// Finding is one thing that was tried and what came of it.
type Finding struct {
	State   State  `json:"state"`
	Subject string `json:"subject"` // kafka, clickhouse, nats, a topic or a model
	Message string `json:"message"`
	Hint    string `json:"hint,omitempty"` // what to do
}

// Config bounds what is tried.
type Config struct {
	Sample  int           // events read of each topic, its latest
	Timeout time.Duration // for each server and each topic
}

// DefaultConfig reads 100 events of each topic and waits ten seconds.
func DefaultConfig() Config { return Config{Sample: 100, Timeout: 10 * time.Second} }

// Reach asks a server whether it answers. The hint is for all but trouble with
// certificates, for which there is a better one.
func Reach(ctx context.Context, cfg Config, subject, addr, hint string, ping func(context.Context) error) Finding {
	ctx, cancel := context.WithTimeout(ctx, cfg.Timeout)
	defer cancel()
	if err := ping(ctx); err != nil {
		if advice := config.TLSAdvice(err, subject+".tls"); advice != "" {
			hint = advice
		}
		return Finding{Error, subject, addr + " does not answer: " + err.Error(), hint}
	}
	return Finding{State: OK, Subject: subject, Message: addr + " answers"}
}
