package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"syscall"
	"time"

	"github.com/rs/zerolog"
	"github.com/spf13/cobra"

	"github.com/modelwatch/modelwatch/internal/app"
	"github.com/modelwatch/modelwatch/internal/config"
	"github.com/modelwatch/modelwatch/internal/telemetry"
)

// stopTime is how long a clean stop may take, all of it.
const stopTime = 30 * time.Second

// oneWish is the time within which a second signal is the same wish: what
// started the program passes on what the terminal has sent already.
const oneWish = 500 * time.Millisecond

func (p *program) run() *cobra.Command {
	var checkConfig, asJSON bool
	cmd := &cobra.Command{
		Use:   "run",
		Short: "Run the service",
		Long: `run is the service: it reads the topics of all monitors, judges, tells, and serves
pages and API. Settings come from --config, or ./modelwatch.yaml where it exists;
without a file Kafka, ClickHouse and NATS are started inside the process. Every
key of the file is a flag too and goes before the file.

SIGINT and SIGTERM stop it cleanly within 30 seconds, a second one at once;
SIGHUP reads the monitor files again, which also happens when they change.`,
		Example: `  modelwatch run
  modelwatch run --config modelwatch.yaml --log.format console
  modelwatch run --kafka.brokers kafka1:9092,kafka2:9092 --monitors monitors
  modelwatch run --check-config && echo sound`,
		Args: arguments(0, 0, ""),
	}
	settings := p.settingsFlags(cmd)
	cmd.Flags().BoolVar(&checkConfig, "check-config", false, "check settings and monitors, and end")
	cmd.Flags().BoolVar(&asJSON, "json", false, "with --check-config: print one JSON object")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if asJSON && !checkConfig {
			return usage(cmd, "--json goes with --check-config; the form of the log is --log.format")
		}
		s, path, err := settings()
		if checkConfig {
			r := newReport()
			r.Settings = path
			r.wrong(err)
			if err == nil {
				monitors, err := config.Monitors(s.Monitors)
				r.wrong(err)
				r.sound(monitors)
			}
			return p.print(r, asJSON)
		}
		if err != nil {
			return fmt.Errorf("reading the settings:\n%w", err)
		}
		// Before servers are started, and perhaps fetched, for nothing.
		if _, err := config.Monitors(s.Monitors); err != nil {
			return fmt.Errorf("reading the monitors:\n%w\nEach model has its file in the folder %s; `modelwatch profile` writes a first one", err, s.Monitors)
		}
		log, err := telemetry.NewLogger(s.Log.Level, s.Log.Format, p.err)
		if err != nil {
			return err
		}
		if s.Limits.Memory > 0 {
			debug.SetMemoryLimit(int64(s.Limits.Memory))
		}
		return p.serve(cmd.Context(), *s, log)
	}
	return cmd
}

// signals are those that the service listens to.
type signals struct {
	stop   chan os.Signal
	reload chan os.Signal
}

func listen() (signals, func()) {
	s := signals{make(chan os.Signal, 2), make(chan os.Signal, 1)}
	signal.Notify(s.stop, syscall.SIGINT, syscall.SIGTERM)
	signal.Notify(s.reload, syscall.SIGHUP)
	return s, func() { signal.Stop(s.stop); signal.Stop(s.reload) }
}

// serve runs the service until a signal stops it.
func (p *program) serve(ctx context.Context, s config.Settings, log zerolog.Logger) error {
	heard, deaf := listen()
	defer deaf()
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	ended := make(chan error, 1)
	reload := make(chan struct{}, 1)
	go func() { ended <- p.work(ctx, s, reload, log) }()

	var late <-chan time.Time
	var asked time.Time
	for {
		select {
		case err := <-ended:
			if errors.Is(err, context.Canceled) && late != nil {
				return nil // stopped while it started
			}
			return err
		case <-heard.reload:
			select {
			case reload <- struct{}{}:
			default: // one is asked for already
			}
		case got := <-heard.stop:
			if late != nil && time.Since(asked) < oneWish {
				continue
			}
			if late != nil {
				return fmt.Errorf("stopping: %s came again, so what was left is cut off", got)
			}
			log.Info().Stringer("signal", got).Msg("stopping; once more stops at once")
			late, asked = time.After(stopTime), time.Now()
			stop()
		case <-late:
			return fmt.Errorf("stopping: not done within %s", stopTime)
		}
	}
}

// work starts the servers that are embedded, and the service upon them.
func (p *program) work(ctx context.Context, s config.Settings, reload <-chan struct{}, log zerolog.Logger) (err error) {
	secure := s.HTTP.TLS != nil
	asked := s
	servers, s, err := app.StartServers(ctx, s, func(line string) { fmt.Fprintln(p.err, plain(line)) }, log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, servers.Close()) }()
	for _, line := range inside(&asked, &s) {
		fmt.Fprintf(p.err, "modelwatch: %s\n", line)
	}
	if s.Notify != (config.Notify{}) {
		fmt.Fprintln(p.err, "modelwatch: notify is accepted and not acted on yet: nobody is told but the subscribers of NATS")
	}
	service, err := app.New(s, readBuild().Version, log)
	if err != nil {
		return err
	}
	done := make(chan error, 1)
	go func() { done <- service.Run(ctx) }()
	go func() {
		if addr := service.Addr(ctx); addr != "" {
			fmt.Fprintf(p.err, "modelwatch: pages at %s\n", pages(addr, secure))
		}
	}()
	for {
		select {
		case err := <-done:
			return err
		case <-reload:
			if err := service.Reload(ctx); err != nil {
				log.Error().Err(err).Msg("reloading: what was in force stays so")
			}
		}
	}
}

// inside tells where the servers that were started in the process are reached:
// whoever publishes or subscribes has to know.
func inside(asked, started *config.Settings) []string {
	var lines []string
	if asked.Kafka.Embedded {
		lines = append(lines, "embedded Kafka at "+strings.Join(started.Kafka.Brokers, ","))
	}
	if asked.ClickHouse.Embedded {
		lines = append(lines, "embedded ClickHouse at "+strings.Join(started.ClickHouse.Addr, ","))
	}
	if asked.NATS.Embedded {
		lines = append(lines, "embedded NATS at "+started.NATS.URL)
	}
	return lines
}

// pages is the address to open in a browser; one that is served on all
// interfaces is opened on this machine.
func pages(addr string, secure bool) string {
	host, port, err := net.SplitHostPort(addr)
	if err == nil {
		if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
			host = "localhost"
		}
		addr = net.JoinHostPort(host, port)
	}
	if secure {
		return "https://" + addr + "/"
	}
	return "http://" + addr + "/"
}
