package testkit

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"testing"
	"time"
)

// CompareWindows fails the test if the views windows and progress of a
// database do not hold exactly what is expected: every row, no other, and in
// each every count, the bins, and least, greatest and mean value to the last
// bit. Rows of open windows are stored a while after their events, so it looks
// again until all is equal or the time is over. It returns the number of rows
// of windows that were compared.
func CompareWindows(tb testing.TB, c *ClickHouseServer, database string, want *Expected, within time.Duration) int {
	tb.Helper()
	for deadline := time.Now().Add(within); ; {
		n, differences := Differences(tb, c, database, want)
		if len(differences) == 0 {
			return n
		}
		if time.Now().After(deadline) {
			const shown = 20
			tb.Errorf("%d rows of windows and %d partitions compared, %d differences:\n%s", n, len(want.Partitions),
				len(differences), strings.Join(differences[:min(len(differences), shown)], "\n"))
			return n
		}
		time.Sleep(500 * time.Millisecond)
	}
}

// windowRow is one row of the view windows as ClickHouse writes it.
type windowRow struct {
	Model      string            `json:"model"`
	Version    string            `json:"version"`
	Start      int64             `json:"start"`
	Role       string            `json:"role"`
	Feature    string            `json:"feature"`
	Slice      string            `json:"slice"`
	Rows       uint64            `json:"rows"`
	Present    uint64            `json:"present"`
	Absent     uint64            `json:"absent"`
	Nulls      uint64            `json:"nulls"`
	NaNs       uint64            `json:"nans"`
	Infs       uint64            `json:"infs"`
	Bad        uint64            `json:"bad"`
	Unseen     uint64            `json:"unseen"`
	Outside    uint64            `json:"outside"`
	Unexpected uint64            `json:"unexpected"`
	Clipped    uint64            `json:"clipped"`
	Late       uint64            `json:"late"`
	Bins       []uint64          `json:"bins"`
	Top        map[string]uint64 `json:"top"`
	Min        *uint64           `json:"min_bits"`
	Max        *uint64           `json:"max_bits"`
	Mean       *uint64           `json:"mean_bits"`
}

const windowQuery = `SELECT model, version, toUnixTimestamp64Milli(window_start) AS start, role, feature, slice,
	rows, present, absent, nulls, nans, infs, bad, unseen, outside, unexpected, clipped, late, bins, top,
	reinterpretAsUInt64(min) AS min_bits, reinterpretAsUInt64(max) AS max_bits, reinterpretAsUInt64(mean) AS mean_bits
	FROM %s.windows FORMAT JSONEachRow SETTINGS output_format_json_quote_64bit_integers = 0`

// Differences compares as CompareWindows does, once. It returns how many rows
// of windows it has seen, and each difference as a line, sorted.
func Differences(tb testing.TB, c *ClickHouseServer, database string, want *Expected) (rows int, differences []string) {
	tb.Helper()
	missing := maps.Clone(want.Windows)
	answer := c.Query(tb, fmt.Sprintf(windowQuery, database))
	for line := range strings.Lines(answer) {
		var got windowRow
		if err := json.Unmarshal([]byte(line), &got); err != nil {
			tb.Fatalf("reading a row of windows: %v: %s", err, line)
		}
		rows++
		k := WindowKey{got.Model, got.Version, got.Start, got.Role, got.Feature, got.Slice}
		w := want.Windows[k]
		if w == nil {
			differences = append(differences, fmt.Sprintf("%s: a row of %d events that nobody expects", k, got.Rows))
			continue
		}
		if missing[k] == nil {
			differences = append(differences, fmt.Sprintf("%s: a second row of %d events", k, got.Rows))
			continue
		}
		delete(missing, k)
		if d := w.differs(&got); d != "" {
			differences = append(differences, fmt.Sprintf("%s: %s", k, d))
		}
	}
	for k, w := range missing {
		differences = append(differences, fmt.Sprintf("%s: no row, want one of %d events", k, w.Rows))
	}
	slices.Sort(differences)
	return rows, append(progressDifferences(tb, c, database, want), differences...)
}

// differs lists what is not as expected, "" for nothing.
func (w *WindowCounts) differs(got *windowRow) string {
	var out []string
	number := func(name string, got, want uint64) {
		if got != want {
			out = append(out, fmt.Sprintf("%s is %d, want %d", name, got, want))
		}
	}
	number("rows", got.Rows, w.Rows)
	number("present", got.Present, w.Present)
	number("absent", got.Absent, w.Absent)
	number("nulls", got.Nulls, w.Nulls)
	number("nans", got.NaNs, w.NaNs)
	number("infs", got.Infs, w.Infs)
	number("bad", got.Bad, w.Bad)
	number("unseen", got.Unseen, w.Unseen)
	number("outside", got.Outside, w.Outside)
	number("unexpected", got.Unexpected, w.Unexpected)
	number("clipped", got.Clipped, w.Clipped)
	number("late", got.Late, w.Late)
	if !slices.Equal(got.Bins, w.Bins) {
		out = append(out, fmt.Sprintf("bins are %v, want %v", got.Bins, w.Bins))
	}
	nonzero := func(m map[string]uint64) map[string]uint64 {
		m = maps.Clone(m)
		maps.DeleteFunc(m, func(_ string, n uint64) bool { return n == 0 })
		return m
	}
	if g, v := nonzero(got.Top), nonzero(w.Top); !maps.Equal(g, v) {
		out = append(out, fmt.Sprintf("top is %v, want %v", g, v))
	}
	float := func(name string, bits *uint64, want float64) {
		got := math.NaN()
		if bits != nil {
			got = math.Float64frombits(*bits)
		}
		if math.Float64bits(got) != math.Float64bits(want) && !(math.IsNaN(want) && bits == nil) {
			out = append(out, fmt.Sprintf("%s is %v, want %v", name, got, want))
		}
	}
	float("min", got.Min, w.Min)
	float("max", got.Max, w.Max)
	float("mean", got.Mean, w.Mean)
	return strings.Join(out, ", ")
}

// progressDifferences compares the view progress.
func progressDifferences(tb testing.TB, c *ClickHouseServer, database string, want *Expected) []string {
	tb.Helper()
	type progressRow struct {
		Topic     string `json:"topic"`
		Partition int32  `json:"partition"`
		Offset    int64  `json:"offset"`
		Rows      uint64 `json:"rows"`
		Rejected  uint64 `json:"rejected"`
		Late      uint64 `json:"late"`
	}
	answer := c.Query(tb, fmt.Sprintf(`SELECT topic, partition, offset, rows, rejected, late FROM %s.progress
		FORMAT JSONEachRow SETTINGS output_format_json_quote_64bit_integers = 0`, database))
	missing := maps.Clone(want.Partitions)
	var out []string
	for line := range strings.Lines(answer) {
		var got progressRow
		if err := json.Unmarshal([]byte(line), &got); err != nil {
			tb.Fatalf("reading a row of progress: %v: %s", err, line)
		}
		k := PartitionKey{got.Topic, got.Partition}
		w := want.Partitions[k]
		if w == nil {
			out = append(out, fmt.Sprintf("%s/%d: progress that nobody expects", k.Topic, k.Partition))
			continue
		}
		delete(missing, k)
		expected := progressRow{k.Topic, k.Partition, w.Offset, w.Rows, w.rejected(), w.Late}
		if got != expected {
			out = append(out, fmt.Sprintf("%s/%d: progress is %+v, want %+v (%v)", k.Topic, k.Partition, got, expected, w.Rejected))
		}
	}
	for k := range missing {
		out = append(out, fmt.Sprintf("%s/%d: no progress", k.Topic, k.Partition))
	}
	slices.SortFunc(out, cmp.Compare[string])
	return out
}

// rejected is the number of events that could not be used, for any reason.
func (p *PartitionCounts) rejected() uint64 {
	var n uint64
	for _, c := range p.Rejected {
		n += c
	}
	return n
}
