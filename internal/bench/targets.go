package bench

import (
	"fmt"
	"strings"
)

// Target is one figure beside what it has to reach.
type Target struct {
	Figure  string  `json:"figure"`
	Want    string  `json:"want"`
	Got     float64 `json:"got"`
	Reached bool    `json:"reached"`
}

// targets judges what can be judged of the measured cases.
func targets(all []Result) []Target {
	var out []Target
	least := func(figure string, got, want float64) {
		out = append(out, Target{figure, fmt.Sprintf("≥ %.6g", want), got, got >= want})
	}
	beside := func(name string, r Result, ratio *float64, want float64) {
		if ratio != nil {
			least(fmt.Sprintf("%s, %d features", name, r.Features), *ratio, want)
		}
	}
	for _, r := range all {
		plain := r.Kind == Features && r.Slices == 0 && r.Models == 1 && r.Codec == "lz4" && r.Partitions == 1
		switch {
		case plain && r.Features == 20:
			least("rows/CPU-s, 20 features", r.RowsPerCPUSecond, 1e6)
			least("× limit, 20 features", r.RatioLimit, .6)
			beside("× naive", r, r.RatioNaive, 15)
			beside("× ClickHouse from a file", r, r.RatioFile, 2)
			beside("× ClickHouse from Kafka", r, r.RatioKafka, 5)
			beside("× franz-go", r, r.RatioFranz, .5)
		case plain && r.Features == 100:
			least("rows/CPU-s, 100 features", r.RowsPerCPUSecond, 2e5)
			beside("× naive", r, r.RatioNaive, 15)
		case r.Kind == Predictions && r.Slices == 0 && r.Models == 1 && r.Codec == "lz4" && r.Partitions == 1 && r.Sample == 0:
			least("predictions/CPU-s, every id row stored", r.RowsPerCPUSecond, 5e5)
		case r.Kind == Predictions && r.Slices == 0 && r.Models == 1 && r.Codec == "lz4" && r.Partitions == 1 && r.Sample == .1:
			least("predictions/CPU-s, id rows sampled at 10 %", r.RowsPerCPUSecond, 9e5)
		}
		if r.Kind == Features {
			out = append(out, against(all, r)...)
		}
	}
	return out
}

// against judges a case beside the one that differs from it in one thing.
func against(all []Result, r Result) (out []Target) {
	beside := func(figure string, want float64, change func(*Result)) {
		like := r
		change(&like)
		for _, o := range all {
			if o.Kind == like.Kind && o.Features == like.Features && o.Slices == like.Slices && o.Models == like.Models && o.Codec == like.Codec && o.Partitions == like.Partitions {
				got := r.RowsPerCPUSecond / o.RowsPerCPUSecond
				out = append(out, Target{fmt.Sprintf("%s, %d features, %s", figure, r.Features, r.Codec), fmt.Sprintf("≥ %.6g", want), got, got >= want})
				return
			}
		}
	}
	switch {
	case r.Features == 20 && r.Slices == 1 && r.Models == 1 && r.Partitions == 1:
		beside("one slice column to none", .7, func(l *Result) { l.Slices = 0 })
	case r.Features == 20 && r.Slices == 3 && r.Models == 1 && r.Partitions == 1:
		beside("three slice columns to none", .5, func(l *Result) { l.Slices = 0 })
	case r.Slices == 0 && r.Models == 8 && r.Partitions == 1:
		beside("8 models to one", .8, func(l *Result) { l.Models = 1 })
	case r.Slices == 0 && r.Models == 1 && r.Partitions == 2:
		beside(fmt.Sprintf("two partitions to one, GOMAXPROCS=%d", r.Processors), .9, func(l *Result) { l.Partitions = 1 })
	}
	return out
}

// scaled judges what cost does when work grows to four and sixteen times, as
// far as these cases were measured: the cost of a unit of work beside its cost
// at the least work.
func scaled(all []Result) (out []Target) {
	cost := func(c Case) (float64, bool) {
		for _, r := range all {
			if r.Kind == c.Kind && r.Features == c.Features && r.Slices == c.Slices && r.Models == c.Models && r.Codec == c.Codec && r.Partitions == c.Partitions {
				return r.Nanos.Total, true
			}
		}
		return 0, false
	}
	none, wide := cost(like(func(c *Case) { c.Features = 100 }))
	for _, kind := range []struct {
		name   string
		most   float64
		change func(c *Case, times int)
		unit   func(nanos float64, times int) float64
	}{
		{"a value, features", 1.1, func(c *Case, times int) { c.Features *= times }, func(ns float64, times int) float64 { return ns / float64(times) }},
		{"a row, partitions", 1.1, func(c *Case, times int) { c.Partitions *= times }, func(ns float64, _ int) float64 { return ns }},
		{"a row, models", 1.25, func(c *Case, times int) { c.Models *= times }, func(ns float64, _ int) float64 { return ns }},
		{"a slice column, of 100 features", 1.25, func(c *Case, times int) { c.Features, c.Slices = 100, times }, func(ns float64, times int) float64 { return (ns - none) / float64(times) }},
	} {
		of := func(times int) (float64, bool) {
			ns, ok := cost(like(func(c *Case) { kind.change(c, times) }))
			return kind.unit(ns, times), ok
		}
		one, ok := of(1)
		if strings.Contains(kind.name, "slice") {
			ok = ok && wide
		}
		for _, times := range []int{4, 16} {
			if many, known := of(times); ok && known && one > 0 {
				got := many / one
				out = append(out, Target{fmt.Sprintf("cost of %s, %d × to 1 ×", kind.name, times), fmt.Sprintf("≤ %.6g", kind.most), got, got <= kind.most})
			}
		}
	}
	return out
}
