package app

import (
	"context"
	"fmt"
	"strings"

	"github.com/rs/zerolog"

	"github.com/modelwatch/modelwatch/consumers"
	"github.com/modelwatch/modelwatch/internal/bus"
	"github.com/modelwatch/modelwatch/internal/config"
	"github.com/modelwatch/modelwatch/internal/preflight"
	"github.com/modelwatch/modelwatch/internal/store"
)

// Preflight tries the servers of the settings, the topics of the monitors and
// their latest events, and tells what was found. It changes nothing. Servers
// that are embedded do not run before the service does, and are noted as not
// tried.
func Preflight(ctx context.Context, s config.Settings, monitors []config.Monitor, say func(preflight.Finding), log zerolog.Logger) error {
	cfg := preflight.DefaultConfig()
	for _, try := range []struct {
		name     string
		embedded bool
		reach    func() ([]preflight.Finding, error)
	}{
		{"clickhouse", s.ClickHouse.Embedded, func() ([]preflight.Finding, error) { return reachClickHouse(ctx, cfg, s, log) }},
		{"nats", s.NATS.Embedded, func() ([]preflight.Finding, error) { return reachNATS(ctx, cfg, s, log) }},
	} {
		if try.embedded {
			say(embeddedNote(try.name))
			continue
		}
		found, err := try.reach()
		if err != nil {
			return err
		}
		for _, f := range found {
			say(f)
		}
	}
	if s.Kafka.Embedded {
		say(embeddedNote("kafka"))
		return nil
	}
	kc, err := kafkaConfig(s.Kafka)
	if err != nil {
		return err
	}
	client, err := consumers.NewClient(kc, &consumers.Stats{}, log)
	if err != nil {
		return fmt.Errorf("preparing Kafka: %w", err)
	}
	defer client.Close()
	f := preflight.Reach(ctx, cfg, "kafka", strings.Join(kc.Brokers, ", "), "is it running? correct `kafka.brokers`, `kafka.tls` or `kafka.sasl`", client.Ping)
	say(f)
	if f.State != preflight.OK {
		return nil
	}
	if err := preflight.KafkaRights(ctx, cfg, client, kc.Group, monitors, say); err != nil {
		say(untold("kafka", err))
	}
	return preflight.Topics(ctx, cfg, client, formats, monitors, say)
}

func embeddedNote(name string) preflight.Finding {
	return preflight.Finding{State: preflight.Note, Subject: name, Message: "is embedded: it starts with the service and was not tried"}
}

// untold says that a server does not tell what its user may do.
func untold(subject string, err error) preflight.Finding {
	return preflight.Finding{State: preflight.Note, Subject: subject, Message: "what its user may do is not known: " + err.Error(), Hint: "docs/security.md lists the rights that are needed"}
}

func reachClickHouse(ctx context.Context, cfg preflight.Config, s config.Settings, log zerolog.Logger) ([]preflight.Finding, error) {
	c, err := storeConfig(s.ClickHouse)
	if err != nil {
		return nil, err
	}
	opened, err := store.Open(c, log)
	if err != nil {
		return nil, err
	}
	defer opened.Close() // nothing was written
	f := preflight.Reach(ctx, cfg, "clickhouse", strings.Join(c.Addr, ", "), "is it running? correct `clickhouse.addr`, its user or `clickhouse.tls`", opened.Reach)
	if f.State != preflight.OK {
		return []preflight.Finding{f}, nil
	}
	asking, cancel := context.WithTimeout(ctx, cfg.Timeout)
	defer cancel()
	r, err := opened.Rights(asking)
	if err != nil {
		return []preflight.Finding{f, untold("clickhouse", err)}, nil
	}
	return append([]preflight.Finding{f}, preflight.Rights("clickhouse", r.Missing, r.Extra, false)...), nil
}

func reachNATS(ctx context.Context, cfg preflight.Config, s config.Settings, log zerolog.Logger) ([]preflight.Finding, error) {
	c, err := busConfig(s.NATS)
	if err != nil {
		return nil, err
	}
	opened, err := bus.Open(c, log)
	if err != nil {
		return nil, err
	}
	defer opened.Close() // nothing was published
	f := preflight.Reach(ctx, cfg, "nats", c.URL, "is it running, with JetStream? correct `nats.url`, `nats.creds_file` or `nats.tls`", opened.Ping)
	if f.State != preflight.OK {
		return []preflight.Finding{f}, nil
	}
	asking, cancel := context.WithTimeout(ctx, cfg.Timeout)
	defer cancel()
	r, err := opened.Rights(asking)
	if err != nil {
		return []preflight.Finding{f, untold("nats", err)}, nil
	}
	return append([]preflight.Finding{f}, preflight.Rights("nats", r.Missing, r.Extra, r.Partly)...), nil
}
