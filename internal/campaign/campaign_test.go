package campaign

import (
	"os"
	"strings"
	"testing"

	"github.com/modelwatch/modelwatch/internal/faultpoint"
	"github.com/modelwatch/modelwatch/internal/testkit"
)

func TestMain(m *testing.M) { os.Exit(testkit.Main(m)) }

// lines writes what a campaign says into the log of a test.
type lines struct{ t *testing.T }

func (l lines) Write(p []byte) (int, error) {
	l.t.Logf("%s", p[:max(0, len(p)-1)])
	return len(p), nil
}

// TestShortCampaign is the guard of every change: the program, built with the
// race detector, is killed at every step, stopped, and loses its servers; what
// it has counted and told in the end is what it is without all that.
func TestShortCampaign(t *testing.T) {
	cfg := DefaultConfig()
	cfg.Short, cfg.Race, cfg.Out = true, true, lines{t}
	report, err := New(cfg).Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var table strings.Builder
	if err := report.Table(&table); err != nil {
		t.Fatal(err)
	}
	t.Log("\n" + table.String())
	if !report.Sound() {
		t.Errorf("the campaign has found something: %q", report.Problems)
	}
	for _, h := range report.Hurts {
		if h.Times == 0 || h.Rows == 0 {
			t.Errorf("%s happened %d times, and %d rows were compared", h.Name, h.Times, h.Rows)
		}
	}
	if n := len(faultpoint.Steps()) + 6; len(report.Hurts) < n {
		t.Errorf("%d kinds of hurts, want the %d of the short form", len(report.Hurts), n)
	}
}
