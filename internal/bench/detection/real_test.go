package detection

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/parquet-go/parquet-go"
)

// flightsFile writes months of made-up flights in the form of flights-3m: the
// real ones are too large for a test.
func flightsFile(t *testing.T, days int) string {
	t.Helper()
	s := newSource().at(4)
	airports := []string{"ATL", "DFW", "LAX", "ORD", "PHX"}
	var rows []flightRow
	for h := range days * 24 {
		for range 40 + s.IntN(10) {
			at := epoch.Add(time.Duration(h)*time.Hour + time.Duration(s.IntN(3600))*time.Second)
			rows = append(rows, flightRow{
				Date: at.UnixMicro(), Delay: int64(10 * s.NormFloat64()), Distance: int64(400 + 300*s.Float64()),
				Origin: airports[s.IntN(5)], Destination: airports[s.IntN(5)],
			})
		}
	}
	path := filepath.Join(t.TempDir(), "flights.parquet")
	if err := parquet.WriteFile(path, rows); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestFlightsAreCountedAndJudged(t *testing.T) {
	f, err := loadFlights(flightsFile(t, 32))
	if err != nil {
		t.Fatal(err)
	}
	if len(f.hours) != 32*24 || len(f.origins) != 5 {
		t.Fatalf("%d hours, origins %v", len(f.hours), f.origins)
	}
	w := f.window(700, nil)
	if len(w.Entries) != 1+4*6 || w.Entries[0].Rows != uint64(len(f.hours[700])) {
		t.Fatalf("%d entries, %d rows", len(w.Entries), w.Entries[0].Rows)
	}
	l, err := f.learn()
	if err != nil {
		t.Fatal(err)
	}
	clean, _, err := f.judge(t.Context(), l, 1, "clean", nil, 0, "", nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(clean.Alerts) > 3 {
		t.Errorf("%d alarms on four healthy days: %+v", len(clean.Alerts), clean.Alerts)
	}
	onset := f.ref + 24
	fault := flightFaults()[0]
	hurt, _, err := f.judge(t.Context(), l, 1, fault.name, fault.harm(onset), onset, fault.column, map[string]map[int]bool{})
	if err != nil {
		t.Fatal(err)
	}
	if !*hurt.Found || *hurt.Delay > 12 {
		t.Errorf("kilometres instead of miles are found: %v", *hurt.Found)
	}
}
