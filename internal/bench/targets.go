package bench

import "fmt"

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
		case r.Kind == Predictions && r.Slices == 0 && r.Models == 1 && r.Codec == "lz4" && r.Partitions == 1:
			least("predictions/CPU-s, every id row stored", r.RowsPerCPUSecond, 5e5)
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
