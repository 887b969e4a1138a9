package demo

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/modelwatch/modelwatch/internal/profile"
	"github.com/modelwatch/modelwatch/schemas"
)

// window is the length of the demo's windows. The hours of a day differ more
// than most faults do; the reference has learnt that.
const window = time.Hour

// healthy is the first days of the flights as a source to profile: what the
// model saw of each, and what it said.
type healthy struct {
	flights *flights
	model   *model
	rows    int
}

// Name implements profile.Source.
func (h *healthy) Name() string { return "the first 28 days of flights" }

// Columns implements profile.Source.
func (h *healthy) Columns() []profile.Column {
	return []profile.Column{
		{Name: "distance", Role: schemas.RoleFeature},
		{Name: "origin", Role: schemas.RoleFeature},
		{Name: "destination", Role: schemas.RoleFeature},
		{Name: "hour", Role: schemas.RoleFeature},
		{Name: "weekday", Role: schemas.RoleFeature},
		{Name: "origin_delay", Role: schemas.RoleFeature},
		{Name: "network_delay", Role: schemas.RoleFeature},
		{Name: "prediction", Role: schemas.RolePrediction},
		{Name: "score", Role: schemas.RoleScore},
		{Name: "label", Role: schemas.RoleLabel},
	}
}

// Rows implements profile.Source.
func (h *healthy) Rows(ctx context.Context, row func(*profile.Row) error, _ func(int64, string)) error {
	seen := newLookback(h.flights)
	number := func(x float64) profile.Value { return profile.Value{Kind: schemas.KindNumber, Num: x} }
	text := func(s string) profile.Value { return profile.Value{Kind: schemas.KindText, Text: s} }
	r := profile.Row{HasTime: true}
	for i := range h.rows {
		x := seen.of(i)
		score := h.model.score(&x)
		delay := number(round(x.originDelay))
		if x.quiet {
			delay = profile.Value{Kind: schemas.KindNull}
		}
		r.Number, r.Time = int64(i+1), h.flights.rows[i].at
		r.Values = append(r.Values[:0],
			number(x.distance), text(h.flights.airports[x.origin]), text(h.flights.airports[x.destination]),
			number(float64(x.hour)), text(weekdays[x.weekday]), delay, number(round(x.networkDelay)),
			text(class(score > 0.5)), number(score), text(class(h.flights.rows[i].delay > lateAfter)),
		)
		if err := row(&r); err != nil {
			return err
		}
		if i%4096 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
	}
	return nil
}

// round is to two decimals, as the events write delays.
func round(x float64) float64 { return float64(int64(x*100+copysignHalf(x))) / 100 }

func copysignHalf(x float64) float64 {
	if x < 0 {
		return -0.5
	}
	return 0.5
}

const monitorYAML = `# The demo's monitor, as an owner would write it.
model: ` + modelName + `
owner: travel-ml
task: binary
positive: late
topics: [` + featuresTopic + `, ` + predictionTopic + `, ` + labelsTopic + `]
window: 1h
lateness: 30m
features:
  distance: {type: number, min: 0, unit: mi}
  origin: {type: category}
  origin_delay: {type: number}
slices: [origin]
baseline: ` + modelName + `.baseline.json
retrain:
  when: {drift: true}
  cooldown: 7d
`

// writeMonitor profiles the healthy days and writes monitor and baseline into
// dir, unless they are there.
func writeMonitor(ctx context.Context, dir string, h *healthy) error {
	path := filepath.Join(dir, modelName+".yaml")
	if _, err := os.Stat(path); err == nil {
		return nil
	} else if !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("looking for the demo's monitor: %w", err)
	}
	o := profile.DefaultOptions()
	o.Model, o.Version, o.Positive, o.Window = modelName, "1", classLate, window
	o.Slices = [][]string{{"origin"}}
	o.BaselineFile = modelName + ".baseline.json"
	result, err := profile.Profile(ctx, h, o)
	if err != nil {
		return err
	}
	body, err := profile.EncodeBaseline(result.Baseline)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("writing the demo's monitor: %w", err)
	}
	if err := os.WriteFile(filepath.Join(dir, o.BaselineFile), body, 0o644); err != nil {
		return fmt.Errorf("writing the demo's baseline: %w", err)
	}
	if err := os.WriteFile(path, []byte(monitorYAML), 0o644); err != nil {
		return fmt.Errorf("writing the demo's monitor: %w", err)
	}
	return nil
}
