package store

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"math"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/modelwatch/modelwatch/schemas"
)

// noHistory stands in the column history_until of a spec without a past.
const noHistory = math.MinInt64

// Specs returns the specs registered after that sequence number, in order.
func (s *Store) Specs(ctx context.Context, after uint64) ([]schemas.SpecRecord, error) {
	return s.specs(ctx, "WHERE seq > {after:UInt64} ORDER BY seq", bound{"after": after})
}

func (s *Store) specs(ctx context.Context, where string, parameters bound) ([]schemas.SpecRecord, error) {
	var out []schemas.SpecRecord
	err := s.read(ctx, "reading specs", "SELECT seq, effective_from, history_until, hash, spec FROM specs "+where, parameters,
		func() { out = nil },
		func(row driver.Rows) error {
			var r schemas.SpecRecord
			var body string
			if err := row.Scan(&r.Seq, &r.EffectiveFrom, &r.HistoryUntil, &r.Hash, &body); err != nil {
				return err
			}
			if r.History = r.HistoryUntil > noHistory; !r.History {
				r.HistoryUntil = 0
			}
			if err := json.Unmarshal([]byte(body), &r.Spec); err != nil {
				return fmt.Errorf("spec %d: %w", r.Seq, err)
			}
			out = append(out, r)
			return nil
		})
	return out, err
}

// RegisterSpec makes spec the last one of its model, unless it is already,
// and returns its record. EffectiveFrom is asked for the start of its
// interval, with the model's last record or nil; it may be asked again when
// another replica registers a spec at the same moment.
func (s *Store) RegisterSpec(ctx context.Context, spec schemas.Spec, effectiveFrom func(last *schemas.SpecRecord) int64) (schemas.SpecRecord, error) {
	return s.register(ctx, spec, func(last *schemas.SpecRecord, r *schemas.SpecRecord) bool {
		if last != nil && last.Hash == r.Hash {
			*r = *last
			return false
		}
		r.EffectiveFrom = effectiveFrom(last)
		return true
	})
}

// RegisterHistory makes spec the last one of its model for all windows from
// effectiveFrom on, although they lie in the past: rows of them are read again
// under it. What starts before until is history, see schemas.SpecRecord. A
// request that the last record of the model has granted already changes nothing.
func (s *Store) RegisterHistory(ctx context.Context, spec schemas.Spec, effectiveFrom, until int64) (schemas.SpecRecord, error) {
	return s.register(ctx, spec, func(last *schemas.SpecRecord, r *schemas.SpecRecord) bool {
		if last != nil && last.Hash == r.Hash && last.History && last.EffectiveFrom == effectiveFrom {
			*r = *last
			return false
		}
		r.EffectiveFrom, r.History, r.HistoryUntil = effectiveFrom, true, until
		return true
	})
}

// register stores the record that complete makes of the last one of the model
// and of a new one; where it says no, the record is returned as it left it.
func (s *Store) register(ctx context.Context, spec schemas.Spec, complete func(last, r *schemas.SpecRecord) bool) (schemas.SpecRecord, error) {
	body, err := json.Marshal(&spec)
	if err != nil {
		return schemas.SpecRecord{}, fmt.Errorf("registering a spec of %s: %w", spec.Model, err)
	}
	r := schemas.SpecRecord{Hash: spec.Hash(), Spec: spec}
	err = s.forever(ctx, "storing the columns of a spec", func(ctx context.Context) error {
		return s.insert(ctx, "spec_columns", specColumns(&spec, r.Hash))
	})
	if err != nil {
		return schemas.SpecRecord{}, err
	}
	for {
		// The number first: a spec that comes after it is read takes it, and so
		// nothing can come between the last spec that is seen and this one.
		if r.Seq, err = s.nextSpec(ctx); err != nil {
			return schemas.SpecRecord{}, err
		}
		last, err := s.lastSpec(ctx, spec.Model)
		if err != nil {
			return schemas.SpecRecord{}, err
		}
		if !complete(last, &r) {
			return r, nil
		}
		won, err := s.insertSpec(ctx, r, string(body))
		if err != nil {
			return schemas.SpecRecord{}, err
		}
		if won {
			return r, nil
		}
	}
}

func (s *Store) lastSpec(ctx context.Context, model string) (*schemas.SpecRecord, error) {
	records, err := s.specs(ctx, "WHERE model = {model:String} ORDER BY seq DESC LIMIT 1", bound{"model": model})
	if err != nil || len(records) == 0 {
		return nil, err
	}
	return &records[0], nil
}

func (s *Store) nextSpec(ctx context.Context) (uint64, error) {
	var seq uint64
	err := s.read(ctx, "counting specs", "SELECT max(seq) FROM specs", nil, func() {}, func(row driver.Rows) error { return row.Scan(&seq) })
	return seq + 1, err
}

// insertSpec says whether it was this record that got its number.
func (s *Store) insertSpec(ctx context.Context, r schemas.SpecRecord, body string) (won bool, err error) {
	writer := rand.Text()
	history := int64(noHistory)
	if r.History {
		history = r.HistoryUntil
	}
	row := columns{
		{"seq", &list[uint64]{r.Seq}},
		{"model", &list[string]{r.Spec.Model}},
		{"hash", &list[string]{r.Hash}},
		{"effective_from", &list[int64]{r.EffectiveFrom}},
		{"history_until", &list[int64]{history}},
		{"window_ms", &list[int64]{r.Spec.Window.Milliseconds()}},
		{"writer", &list[string]{writer}},
		{"spec", &list[string]{body}},
	}
	token := fmt.Sprintf("spec/%d", r.Seq)
	err = s.forever(ctx, "storing a spec", func(ctx context.Context) error { return s.insertOnce(ctx, "specs", token, row) })
	if err != nil {
		return false, err
	}
	var winner string
	err = s.read(ctx, "reading back a spec", "SELECT writer FROM specs WHERE seq = {seq:UInt64}", bound{"seq": r.Seq},
		func() {}, func(row driver.Rows) error { return row.Scan(&winner) })
	return winner == writer, err
}

func specColumns(spec *schemas.Spec, hash string) columns {
	var (
		model, hashes, feature, kind list[string]
		role                         list[uint8]
		edges                        lists[float64]
		categories                   lists[string]
		anchor, unit                 list[float64]
	)
	for i := range spec.Columns {
		c := &spec.Columns[i]
		model.add(spec.Model)
		hashes.add(hash)
		role.add(uint8(c.Role))
		feature.add(c.Name)
		kind.add(string(c.Type))
		edges.add(c.Edges)
		categories.add(c.Categories)
		anchor.add(c.Anchor)
		unit.add(c.Unit)
	}
	return columns{
		{"model", &model},
		{"hash", &hashes},
		{"role", &role},
		{"feature", &feature},
		{"type", &kind},
		{"edges", &edges},
		{"categories", &categories},
		{"anchor", &anchor},
		{"unit", &unit},
	}
}
