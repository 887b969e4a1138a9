package backtest_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/modelwatch/modelwatch/internal/backtest"
	"github.com/modelwatch/modelwatch/internal/profile"
	"github.com/modelwatch/modelwatch/schemas"
)

// monitor reads the monitor of the tests.
func monitor(t testing.TB, yaml string) *schemas.Monitor {
	t.Helper()
	m, err := schemas.ParseMonitor("flights.yaml", []byte(yaml))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// options are those of a file with the given content.
func options(t testing.TB, name string, body []byte) backtest.FileOptions {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, body, 0o600); err != nil {
		t.Fatal(err)
	}
	src, err := profile.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	return backtest.FileOptions{
		Options:   backtest.Options{Monitor: monitor(t, monitorYAML)},
		Source:    src,
		Profile:   profile.DefaultOptions(),
		Reference: 28 * 24 * time.Hour,
	}
}

func file(t testing.TB, o backtest.FileOptions) *backtest.Report {
	t.Helper()
	r, err := backtest.File(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func asJSON(t testing.TB, r *backtest.Report) []byte {
	t.Helper()
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetIndent("", " ")
	if err := e.Encode(r); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestFaultsOfAFileAreFound(t *testing.T) {
	o := options(t, "flights.csv", csvOf(flights{seed: 7, days: 42, hour: 300, spoil: faults}.rows()))
	var err error
	if o.Known, err = backtest.ReadKnown("known.csv", []byte(knownCSV)); err != nil {
		t.Fatal(err)
	}
	r := file(t, o)
	t.Logf("%s", asJSON(t, r))
}
