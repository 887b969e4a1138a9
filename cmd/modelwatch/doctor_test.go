package main_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/modelwatch/modelwatch/schemas"
)

// fitted is a baseline as profile writes it, with what was learnt of two columns.
func fitted(t *testing.T, dir string, days float64) string {
	t.Helper()
	column := func(name string, dead float64) schemas.BaselineColumn {
		return schemas.BaselineColumn{
			Name: name, Role: schemas.RoleFeature, Type: schemas.TypeNumber, Edges: []float64{1, 2, 3}, Unit: 1. / 1024,
			Streams: []schemas.BaselineStream{{Rows: 4000, Present: 4000, Bins: []uint64{1000, 1000, 1000, 1000}, Healthy: map[string]schemas.Healthy{
				"location": {
					Fitted: 672, Days: days, Rows: 2000, Sampling: .0005, Phi: .5, Noise: .05, Tail: 10, Scale: 1.05,
					LevelSD: .01, LevelSE: .005, Dead: dead, Honesty: .8, Share: .4,
				},
			}}},
		}
	}
	b := &schemas.Baseline{
		Format: schemas.BaselineFormat, Model: "flight-delay", Source: "test", Window: schemas.Duration(time.Hour), Rows: 4000,
		Columns: []schemas.BaselineColumn{column("distance", .05), column("noise", .4), column("speed", .05)},
	}
	if err := b.Seal(); err != nil {
		t.Fatal(err)
	}
	body, err := json.Marshal(b)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "flight-delay.baseline.json")
	if err := os.WriteFile(path, body, 0o600); err != nil {
		t.Fatal(err)
	}
	return file(t, dir, "flight-delay.yaml", "model: flight-delay\ntopics: [flights]\nbaseline: flight-delay.baseline.json\nbudget: {pages: 1, tickets: 4}\n")
}

func TestDoctor(t *testing.T) {
	path := fitted(t, t.TempDir(), 28)
	var d struct {
		Model   string
		Promise string
		Streams []struct {
			Feature  string
			DeadZone float64 `json:"dead_zone"`
			Noisy    bool
			Detect   []*float64 `json:"time_to_detect_hours"`
		}
		Noisiest []struct{ Stream, YAML string }
		Blind    []struct{ What string } `json:"blind_spots"`
		Budgets  []struct {
			Pages  float64
			Detect []*float64 `json:"time_to_detect_hours"`
		}
	}
	object(t, modelwatch(t, "doctor", path, "--json"), &d)
	if d.Model != "flight-delay" || len(d.Streams) != 3 || d.Streams[0].Noisy || !d.Streams[1].Noisy || len(d.Noisiest) != 1 || !strings.Contains(d.Noisiest[0].YAML, "noise") {
		t.Errorf("%+v", d)
	}
	// A larger shift is found sooner, a shift inside the dead zone never, and more money buys time.
	quiet, noisy := d.Streams[0].Detect, d.Streams[1].Detect
	if quiet[1] == nil || quiet[3] == nil || !(*quiet[3] < *quiet[1]) || noisy[1] != nil {
		t.Errorf("%+v", d.Streams)
	}
	if len(d.Budgets) != 3 || d.Budgets[1].Pages != 1 || !(*d.Budgets[2].Detect[1] <= *d.Budgets[0].Detect[1]) {
		t.Errorf("%+v", d.Budgets)
	}
	got := modelwatch(t, "doctor", path)
	for _, want := range []string{
		"flight-delay: 28 days of reference", "At most 1 false pages and 4 false tickets are expected per 30d", "model-based bound",
		"Time to detect", "Noisy streams", "Blind spots", "the baseline has no labels",
	} {
		if !strings.Contains(got.out, want) {
			t.Errorf("%q is missing in\n%s", want, got.out)
		}
	}
	if got.code != 0 || strings.Contains(got.out, "guarantee") {
		t.Errorf("%+v", got)
	}
}

func TestDoctor_ByModel(t *testing.T) {
	s := setup{dir: t.TempDir()}
	if err := os.Mkdir(filepath.Join(s.dir, "monitors"), 0o700); err != nil {
		t.Fatal(err)
	}
	fitted(t, filepath.Join(s.dir, "monitors"), 8)
	got := s.modelwatch(t, "doctor", "flight-delay")
	if got.code != 0 || !strings.Contains(got.out, "8 days of reference") || !strings.Contains(got.out, "not yet") {
		t.Errorf("%+v", got)
	}
	if got := s.modelwatch(t, "doctor", "fligt-delay"); got.code != 1 || !strings.Contains(got.err, "did you mean `flight-delay`?") {
		t.Errorf("%+v", got)
	}
}
