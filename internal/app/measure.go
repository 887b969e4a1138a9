package app

import (
	"errors"
	"strconv"
	"sync/atomic"

	"github.com/modelwatch/modelwatch/internal/telemetry"
)

// measure shows the counters of all rooms.
func (a *App) measure(m *telemetry.Metrics) error {
	var errs []error
	counter := func(name, help string, v *atomic.Int64) {
		errs = append(errs, m.Counter(name, help, func() float64 { return float64(v.Load()) }))
	}
	k, r, j := &a.kafkaRead, &a.reads, &a.judges
	counter("modelwatch_kafka_fetches_total", "Fetch requests answered.", &k.Fetches)
	counter("modelwatch_kafka_fetched_bytes_total", "Bytes of record batches read, before decompression.", &k.FetchedBytes)
	counter("modelwatch_kafka_bad_batches_total", "Batches that could not be read, each attempt counted.", &k.BadBatches)
	counter("modelwatch_kafka_aborted_batches_total", "Batches dropped as part of an aborted transaction.", &k.Aborted)
	counter("modelwatch_kafka_generations_total", "Generations of the consumer group taken part in.", &k.Generations)
	counter("modelwatch_dead_letters_total", "Dead letters acknowledged by the broker.", &k.DeadLetters)
	counter("modelwatch_dead_letters_lost_total", "Dead letters that the broker refused for good.", &k.LostLetters)
	errs = append(errs, m.Counters("modelwatch_kafka_errors_total", "Errors of brokers, by kind.", "error", k.Errors))

	counter("modelwatch_records_total", "Records passed.", &r.Records)
	counter("modelwatch_rows_total", "Events that count.", &r.Rows)
	errs = append(errs, m.Counters("modelwatch_rejected_total", "Events that cannot be used, by reason.", "reason", r.Reasons.All))
	counter("modelwatch_gaps_total", "Stretches of offsets left out.", &r.Gaps)
	counter("modelwatch_gap_offsets_total", "Offsets left out.", &r.GapOffsets)
	counter("modelwatch_chunks_total", "Chunks sealed.", &r.Chunks)
	counter("modelwatch_flushes_total", "Writes to the store.", &r.Flushes)
	counter("modelwatch_partials_total", "Partial summaries written.", &r.Partials)
	errs = append(errs, m.Counter("modelwatch_flush_seconds_total", "Time spent waiting for writes to the store.", func() float64 { return float64(r.FlushNanos.Load()) / 1e9 }))
	errs = append(errs, m.Gauges("modelwatch_lag", "Records in Kafka that are not yet read, by topic and partition.", "partition", a.Lag))

	counter("modelwatch_steps_total", "Steps written to the journal.", &j.Steps)
	counter("modelwatch_steps_lost_total", "Steps that another replica had decided.", &j.Lost)
	counter("modelwatch_windows_judged_total", "Closed windows judged.", &j.Windows)
	counter("modelwatch_windows_revised_total", "Closed windows judged again for late rows.", &j.Revised)
	counter("modelwatch_alerts_total", "Alerts decided.", &j.Alerts)
	counter("modelwatch_retrain_requests_total", "Retrain requests decided.", &j.Requests)
	counter("modelwatch_findings_over_total", "Findings that found no room among the incidents of a model.", &j.Over)
	counter("modelwatch_evaluate_errors_total", "Sweeps of a model that failed.", &j.Errors)
	return errors.Join(errs...)
}

// Judged is how many windows this process has judged.
func (a *App) Judged() int64 { return a.judges.Windows.Load() }

// Lag tells how far each partition that is read here is behind.
func (a *App) Lag() map[string]int64 {
	if f := a.reading.fetcher.Load(); f != nil {
		out := map[string]int64{}
		for _, s := range f.States() {
			out[s.Topic+"/"+strconv.Itoa(int(s.Partition))] = s.Lag()
		}
		return out
	}
	return map[string]int64{}
}
