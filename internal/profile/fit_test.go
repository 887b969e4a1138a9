package profile_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/modelwatch/modelwatch/detectors/budget"
	"github.com/modelwatch/modelwatch/internal/profile"
	"github.com/modelwatch/modelwatch/schemas"
)

// season is seeded hourly data with a season of the day; shift is added to x
// in units of its sd.
func season(days, rows int, shift func(at time.Time) float64) string {
	r := rand.New(rand.NewPCG(5, 6))
	var b strings.Builder
	b.WriteString("ts,x,c\n")
	start := time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC)
	for h := range days * 24 {
		hour := start.Add(time.Duration(h) * time.Hour)
		for i := range rows {
			at := hour.Add(time.Duration(i) * time.Hour / time.Duration(rows))
			x := math.Sin(2*math.Pi*float64(hour.Hour())/24)/2 + r.NormFloat64()
			if shift != nil {
				x += shift(at)
			}
			fmt.Fprintf(&b, "%s,%.3f,%s\n", at.Format(time.RFC3339), x, []string{"a", "b"}[r.IntN(2)])
		}
	}
	return b.String()
}

func learnt(t *testing.T, body string) *profile.Result {
	t.Helper()
	o := options()
	o.Slices = [][]string{{"c"}}
	return run(t, file(t, "x.csv", body), o)
}

func TestProfile_LearnsHealthyBehaviour(t *testing.T) {
	r := learnt(t, season(28, 60, nil))
	l := r.Report.Learnt
	if l == nil || l.Windows != 28*24-1 || l.Streams < 10 || len(l.Cuts) > 0 || l.Level != nil {
		t.Fatalf("learnt %+v", l)
	}
	for i, s := range l.Stages {
		if !s.Reached {
			t.Errorf("stage %d (%s) is not reached after %v days", i, s.After, l.Days)
		}
	}
	ref := budget.NewReference(r.Baseline)
	h, ok := ref.Healthy(budget.Key{Role: schemas.RoleFeature, Feature: "x", Channel: budget.Location})
	if !ok || h.Share < .5 || h.Dead > .2 || h.Honesty < .05 {
		t.Errorf("x: %+v", h)
	}
	if h, ok = ref.Healthy(budget.Key{Role: schemas.RoleRows, Feature: "features", Channel: budget.Volume}); !ok || math.Abs(h.Level-math.Log(60)) > .01 {
		t.Errorf("volume: %+v", h)
	}
	if _, ok = ref.Healthy(budget.Key{Role: schemas.RoleFeature, Feature: "x", Slice: "c=a", Channel: budget.Location}); !ok {
		t.Error("nothing is known of the slice c=a")
	}
	if week := learnt(t, season(7, 60, nil)).Report.Learnt; week == nil || !week.Stages[2].Reached || week.Stages[3].Reached {
		t.Errorf("after a week: %+v", week)
	}
}

// What is wrong within the reference is cut, and said.
func TestProfile_CutsIncidents(t *testing.T) {
	from := time.Date(2026, 3, 12, 6, 0, 0, 0, time.UTC)
	r := learnt(t, season(28, 60, func(at time.Time) float64 {
		if !at.Before(from) && at.Before(from.Add(24*time.Hour)) {
			return 1.5
		}
		return 0
	}))
	found := false
	for _, c := range r.Report.Learnt.Cuts {
		if c.Column == "x" && c.Channel == budget.Location && c.Slice == "" {
			found = true
			if math.Abs(c.From.Sub(from).Hours()) > 4 || math.Abs(c.To.Sub(from).Hours()-24) > 4 || c.Kept || !strings.Contains(c.Sentence(), "not learnt from") {
				t.Errorf("cut %s", c.Sentence())
			}
		}
	}
	if !found {
		t.Errorf("the incident is not cut: %+v", r.Report.Learnt.Cuts)
	}
	clean := learnt(t, season(28, 60, nil))
	k := budget.Key{Role: schemas.RoleFeature, Feature: "x", Channel: budget.Location}
	dirty, _ := budget.NewReference(r.Baseline).Healthy(k)
	if want, _ := budget.NewReference(clean.Baseline).Healthy(k); dirty.Dead > 1.5*want.Dead || dirty.Noise > 1.5*want.Noise+.02 {
		t.Errorf("with the incident %+v, without %+v", dirty, want)
	}
}

// A new level that lasts to the end is a question, and not an average.
func TestProfile_AsksWhichLevelIsNormal(t *testing.T) {
	at := time.Date(2026, 3, 30, 0, 0, 0, 0, time.UTC)
	r := learnt(t, season(35, 60, func(when time.Time) float64 {
		if when.Before(at) {
			return 0
		}
		return 1
	}))
	l := r.Report.Learnt.Level
	if l == nil || l.Column != "x" || math.Abs(l.At.Sub(at).Hours()) > 48 || !strings.Contains(l.Question(), "which is normal?") {
		t.Fatalf("asks %+v; cuts %+v", l, r.Report.Learnt.Cuts)
	}
}

func TestProfile_WithoutTimesNothingIsLearnt(t *testing.T) {
	body := strings.ReplaceAll(season(3, 10, nil), "ts,", "when,")
	o := options()
	o.Time = "-"
	if r := run(t, file(t, "x.csv", body), o); r.Report.Learnt != nil || len(r.Report.Warnings) == 0 {
		t.Errorf("learnt %+v, warns %v", r.Report.Learnt, r.Report.Warnings)
	}
}
