// Command faults hurts the program on real servers and compares what it counts
// and tells with a run that was left alone. It prints a table, writes
// faults.json, and exits with 0 when nothing was found, 1 when something was,
// and 2 when the campaign could not be held.
//
// The environment selects: SEED, KILLS, FAULTS (names of scenes, separated by
// commas; all where it is empty), RACE=1 for the race detector, SHORT=1 for the
// form that is part of the tests, MINUTES after which no more kills are begun, BUILT for a program with fault points that is
// built already.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/modelwatch/modelwatch/internal/campaign"
	"github.com/modelwatch/modelwatch/internal/testkit"
)

func main() {
	if handled, code := testkit.ChildMain(os.Args[1:]); handled {
		os.Exit(code)
	}
	sound, err := run()
	switch {
	case err != nil:
		fmt.Fprintln(os.Stderr, "faults:", err)
		os.Exit(2)
	case !sound:
		os.Exit(1)
	}
}

func run() (sound bool, err error) {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	cfg := campaign.DefaultConfig()
	cfg.Out = os.Stderr
	if text := os.Getenv("SEED"); text != "" {
		if cfg.Seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			return false, fmt.Errorf("reading SEED: %w", err)
		}
	}
	if text := os.Getenv("KILLS"); text != "" {
		if cfg.Kills, err = strconv.Atoi(text); err != nil {
			return false, fmt.Errorf("reading KILLS: %w", err)
		}
	}
	if text := os.Getenv("FAULTS"); text != "" {
		cfg.Faults = strings.Split(text, ",")
	}
	if text := os.Getenv("MINUTES"); text != "" {
		minutes, err := strconv.Atoi(text)
		if err != nil {
			return false, fmt.Errorf("reading MINUTES: %w", err)
		}
		cfg.Until = time.Now().Add(time.Duration(minutes) * time.Minute)
	}
	cfg.Built = os.Getenv("BUILT")
	cfg.Race, cfg.Short = os.Getenv("RACE") != "", os.Getenv("SHORT") != ""
	report, err := campaign.New(cfg).Run(ctx)
	if err != nil {
		return false, err
	}
	if err := report.Table(os.Stdout); err != nil {
		return false, fmt.Errorf("printing the table: %w", err)
	}
	body, err := json.MarshalIndent(report, "", "  ")
	if err != nil {
		return false, fmt.Errorf("writing faults.json: %w", err)
	}
	if err := os.WriteFile("faults.json", append(body, '\n'), 0o600); err != nil {
		return false, fmt.Errorf("writing faults.json: %w", err)
	}
	return report.Sound(), nil
}
