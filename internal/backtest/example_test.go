package backtest_test

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/parquet-go/parquet-go"

	"github.com/modelwatch/modelwatch/internal/backtest"
	"github.com/modelwatch/modelwatch/internal/profile"
	"github.com/modelwatch/modelwatch/schemas"
)

// The example that docs/backtest.md works through.
const (
	exampleData    = "../../examples/flights.parquet"
	exampleKnown   = "../../examples/incidents.csv"
	exampleMonitor = "../../examples/monitors/flight-delay.yaml"
)

// exampleRow is a row of the example's file.
type exampleRow struct {
	TS         time.Time `parquet:"ts,timestamp(millisecond)"`
	Distance   *int32    `parquet:"distance,optional,dict"`
	Origin     string    `parquet:"origin,dict"`
	Temp       float64   `parquet:"temp,dict"`
	Prediction string    `parquet:"prediction,dict"`
	Score      float64   `parquet:"score,dict"`
	Label      string    `parquet:"label,dict"`
}

// example is six weeks of seeded flights with three faults in the last two.
func example() []exampleRow {
	within := func(at time.Time, day, hours int) bool {
		from := start.AddDate(0, 0, day).Add(9 * time.Hour)
		return !at.Before(from) && at.Before(from.Add(time.Duration(hours)*time.Hour))
	}
	var out []exampleRow
	for _, f := range (flights{seed: 21, days: 42, hour: 60, spoil: func(at time.Time, x *flight, p float64) {
		switch {
		case within(at, 31, 24):
			t, _ := strconv.ParseFloat(x.temp, 64)
			x.temp = fmt.Sprintf("%.1f", t*1.8+32) // degrees Fahrenheit
		case within(at, 35, 12) && p < .3:
			x.distance = ""
		case within(at, 38, 6):
			x.origin = strings.ToLower(x.origin)
		}
	}}).rows() {
		r := exampleRow{TS: f.at, Origin: f.origin, Prediction: f.prediction, Label: f.label}
		r.Temp, _ = strconv.ParseFloat(f.temp, 64)
		score, _ := strconv.ParseFloat(f.score, 64)
		r.Score = float64(int(score*100)) / 100
		if n, err := strconv.Atoi(f.distance); err == nil {
			d := int32(n / 10 * 10)
			r.Distance = &d
		}
		out = append(out, r)
	}
	return out
}

var update = flag.Lookup("update")

// The example's file is what its generator makes, and the page tells of it as it is.
func TestExampleOfThePage(t *testing.T) {
	rows := example()
	if update != nil && update.Value.String() == "true" {
		var b bytes.Buffer
		w := parquet.NewGenericWriter[exampleRow](&b, parquet.Compression(&parquet.Zstd), parquet.CreatedBy("modelwatch", "1", "example"))
		if _, err := w.Write(rows); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(exampleData, b.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := parquet.ReadFile[exampleRow](exampleData)
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != len(rows) || !got[12345].TS.Equal(rows[12345].TS) || got[12345].Temp != rows[12345].Temp {
		t.Fatal("the example's file is not what its generator makes; write it anew with -update")
	}

	body, err := os.ReadFile(exampleMonitor)
	if err != nil {
		t.Fatal(err)
	}
	m, err := schemas.ParseMonitor(exampleMonitor, body)
	if err != nil {
		t.Fatal(err)
	}
	o := backtest.FileOptions{Options: backtest.Options{Monitor: m}, Profile: profile.DefaultOptions(), Reference: 28 * 24 * time.Hour}
	if o.Source, err = profile.Open(exampleData); err != nil {
		t.Fatal(err)
	}
	if body, err = os.ReadFile(exampleKnown); err != nil {
		t.Fatal(err)
	}
	if o.Known, err = backtest.ReadKnown(exampleKnown, body); err != nil {
		t.Fatal(err)
	}
	r := file(t, o)
	page, err := os.ReadFile("../../docs/backtest.md")
	if err != nil {
		t.Fatal(err)
	}
	text := string(page)
	for i, k := range r.Runs[0].Known {
		if k.State != backtest.Found {
			t.Errorf("incident %d is %+v", i, k)
		}
	}
	for _, a := range r.Runs[0].Alerts {
		name, _, _ := strings.Cut(a.Title, " since ")
		if !strings.Contains(text, name) {
			t.Errorf("docs/backtest.md does not show %q of %v", name, a.At)
		}
	}
	if r.Runs[0].Pages.NotTrue+r.Runs[0].Tickets.NotTrue > 1 {
		t.Errorf("alerts %+v", r.Runs[0].Alerts)
	}
}
