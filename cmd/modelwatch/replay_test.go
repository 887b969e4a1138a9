package main_test

import (
	"strings"
	"testing"
)

// The commands that read the log again say what they do, and refuse at once
// what they cannot do.
func TestReplayCommands(t *testing.T) {
	for _, name := range []string{"backtest", "rewind", "backfill"} {
		if got := modelwatch(t, name, "--help"); got.code != 0 || !strings.Contains(got.out, "\nExamples:\n  modelwatch "+name) || !strings.Contains(got.out, "--json") {
			t.Errorf("%s: exit %d, %s", name, got.code, got.out)
		}
	}
	dir := t.TempDir()
	file(t, dir, "monitors/m.yaml", "model: shop\ntopics: [shop]\nfeatures: {price: {type: number}}\n")
	here := setup{dir: dir}
	wrong := func(want string, args ...string) {
		t.Helper()
		got := here.modelwatch(t, args...)
		if got.code != 2 || got.out != "" || !strings.Contains(got.err, want) || !strings.Contains(got.err, "--help`") {
			t.Errorf("%v: exit %d, %q%q, want %q", args, got.code, got.out, got.err, want)
		}
	}
	wrong("--model is missing", "backtest", "--verify")
	wrong("--from: \"yesterday\" is no moment", "backtest", "--verify", "--model", "shop", "--from", "yesterday")
	wrong("is not before", "backtest", "--verify", "--model", "shop", "--from", "2026-02-01", "--to", "2026-01-01")
	wrong("--streams: 3 is below 1000", "backtest", "--verify", "--model", "shop", "--streams", "3")
	wrong("either --topic or --model", "rewind", "--from", "earliest")
	wrong("either --topic or --model", "rewind", "--from", "earliest", "--topic", "shop", "--model", "shop")
	wrong("--from is missing", "rewind", "--topic", "shop")
	wrong("is an offset, which is one of a single --partition", "rewind", "--topic", "shop", "--from", "17")
	wrong("--partition goes with --topic", "rewind", "--model", "shop", "--partition", "1", "--from", "earliest")
	wrong("--model is missing", "backfill")
	wrong("--from: \"-3h\" is no moment", "backfill", "--model", "shop", "--from=-3h")

	// Nobody is there: that fails, and says what was tried.
	away := []string{"--clickhouse.addr", "127.0.0.1:1", "--kafka.brokers", "127.0.0.1:1"}
	failed := func(args ...string) {
		t.Helper()
		got := here.modelwatch(t, append(args, away...)...)
		if got.code != 1 || got.out != "" || !strings.Contains(got.err, "127.0.0.1:1") || strings.Contains(got.err, "--help`") {
			t.Errorf("%v: exit %d, %q%q", args, got.code, got.out, got.err)
		}
	}
	failed("backtest", "--verify", "--model", "shop")
	failed("rewind", "--topic", "shop", "--from", "earliest")
	failed("rewind", "--status")
	failed("backfill", "--model", "shop")
	if got := here.modelwatch(t, append([]string{"rewind", "--model", "shob", "--from", "earliest"}, away...)...); got.code != 1 || !strings.Contains(got.err, "did you mean `shop`?") {
		t.Errorf("a model that is misspelled: exit %d, %q", got.code, got.err)
	}
	if got := here.modelwatch(t, "__complete", "backfill", "--model", ""); !strings.Contains(got.out, "shop\n") {
		t.Errorf("models are not offered: %s", got.out)
	}
}
