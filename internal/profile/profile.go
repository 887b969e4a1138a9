package profile

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/modelwatch/modelwatch/detectors/budget"
	"github.com/modelwatch/modelwatch/schemas"
)

// Options say what is profiled and how. Start from DefaultOptions; Model must
// be set.
type Options struct {
	Model    string // its name
	Version  string // of the model, where known
	Positive string // the class that the score is the probability of; "" to find it

	// Names of the columns of a flat source. "" finds the column by its usual
	// names, "-" says that there is none.
	Time, ID, Prediction, Score, Label, Latency string

	Numbers    []string   // columns that are numbers, whatever they look like
	Categories []string   // columns that are categories
	Skip       []string   // columns to leave out
	Slices     [][]string // columns, or pairs, to split rows by

	Window        time.Duration // of event time, behind Healthy
	Bins          int           // of a number; values that come often get bins of their own beyond it
	MaxCategories int           // kept of a column
	MaxValues     int           // of a column, that quantiles are taken from exactly

	// BaselineFile is the name under which the monitor refers to the baseline.
	BaselineFile string
	// Statistics and Calendar are those by which healthy behaviour is learnt.
	Statistics budget.Parameters
	Calendar   budget.Calendar
	// Progress is told now and then how many rows of how many readings are
	// done; nil for nobody.
	Progress func(reading int, rows int64)
}

// DefaultOptions returns hourly windows, 40 bins and 100 categories.
func DefaultOptions() Options {
	return Options{Window: time.Hour, Bins: 40, MaxCategories: 100, MaxValues: 1 << 19, Statistics: budget.DefaultParameters()}
}

// Validate reports what is wrong with the options.
func (o *Options) Validate() error {
	var errs []error
	if o.Model == "" {
		errs = append(errs, errors.New("the model has no name"))
	}
	if o.Window < time.Second || o.Window%time.Second != 0 {
		errs = append(errs, fmt.Errorf("windows of %v are not whole seconds", o.Window))
	}
	if o.Bins < 2 || o.Bins > 200 {
		errs = append(errs, fmt.Errorf("%d bins are not between 2 and 200", o.Bins))
	}
	if o.MaxCategories < 1 || o.MaxCategories > schemas.MaxCategories {
		errs = append(errs, fmt.Errorf("%d categories are not between 1 and %d", o.MaxCategories, schemas.MaxCategories))
	}
	if o.MaxValues < 1000 {
		errs = append(errs, errors.New("at least 1000 values of a column are needed"))
	}
	for _, s := range o.Slices {
		if len(s) < 1 || len(s) > 2 || len(s) == 2 && s[0] == s[1] {
			errs = append(errs, fmt.Errorf("a slice is a column or a pair of two, not %q", s))
		}
	}
	return errors.Join(errs...)
}

// Result is what a profile gives.
type Result struct {
	Baseline *schemas.Baseline // sealed
	YAML     []byte            // a first monitor
	Report   Report
}

// Report says what was read, and what was left out and why.
type Report struct {
	Source    string         `json:"source"`
	Rows      int64          `json:"rows"`
	Malformed int64          `json:"malformed"`
	Examples  []Malformed    `json:"examples,omitempty"` // the first malformed rows
	From      time.Time      `json:"from,omitzero"`
	To        time.Time      `json:"to,omitzero"`
	Windows   int            `json:"windows"` // with rows in them; counted up to 200 001
	Columns   []ColumnReport `json:"columns"`
	Learnt    *Learnt        `json:"learnt,omitempty"` // nil where rows have no time
	Warnings  []string       `json:"warnings,omitempty"`
}

// Malformed is a row that could not be read.
type Malformed struct {
	Row    int64  `json:"row"` // line or row in the source
	Reason string `json:"reason"`
}

// ColumnReport says what became of a column of the source.
type ColumnReport struct {
	Name    string             `json:"name"`
	Role    string             `json:"role,omitempty"` // "" for a column that is not in the baseline
	Type    schemas.ColumnType `json:"type,omitempty"`
	Skipped string             `json:"skipped,omitempty"` // why it is not in the baseline
	Sampled bool               `json:"sampled,omitempty"` // quantiles are from a sample
	Notes   []string           `json:"notes,omitempty"`
}

const (
	maxExamples       = 20
	maxMalformedShare = 0.1
)

// Profile reads the source twice, and once or twice more where its rows have
// times, and returns the baseline of its rows, a
// first monitor that uses it, and a report. A row that cannot be read is
// counted and left out; more than a tenth of them is an error, and so is a
// source without rows or without a usable feature.
func Profile(ctx context.Context, src Source, o Options) (*Result, error) {
	if err := o.Validate(); err != nil {
		return nil, fmt.Errorf("profiling %s: %w", src.Name(), err)
	}
	s := newScan(src, &o)
	if err := s.read(ctx); err != nil {
		return nil, fmt.Errorf("profiling %s: %w", src.Name(), err)
	}
	if err := s.decide(); err != nil {
		return nil, fmt.Errorf("profiling %s: %w", src.Name(), err)
	}
	c, err := newCount(s)
	if err != nil {
		return nil, fmt.Errorf("profiling %s: %w", src.Name(), err)
	}
	if err := c.read(ctx); err != nil {
		return nil, fmt.Errorf("profiling %s: %w", src.Name(), err)
	}
	b := c.baseline()
	learnt, err := c.fit(ctx, b)
	if err != nil {
		return nil, fmt.Errorf("profiling %s: %w", src.Name(), err)
	}
	if err := b.Validate(); err != nil {
		return nil, fmt.Errorf("profiling %s: %w", src.Name(), err)
	}
	r := s.report()
	r.Windows, r.Learnt = len(s.starts), learnt
	return &Result{Baseline: b, YAML: monitorYAML(s, b, r), Report: *r}, nil
}

// each calls row for every row of the source, and notes malformed ones in the
// first reading.
func (s *scan) each(ctx context.Context, reading int, row func(*Row) error) error {
	var rows int64
	tell := func() {
		if s.o.Progress != nil {
			s.o.Progress(reading, rows)
		}
	}
	err := s.src.Rows(ctx, func(r *Row) error {
		if rows++; rows%100_000 == 0 {
			tell()
		}
		return row(r)
	}, func(number int64, reason string) {
		if reading == 1 {
			s.bad(number, reason)
		}
	})
	tell()
	return err
}

func (s *scan) bad(number int64, reason string) {
	s.malformed++
	if len(s.examples) < maxExamples {
		s.examples = append(s.examples, Malformed{number, reason})
	}
}

func (s *scan) report() *Report {
	r := &Report{Source: s.src.Name(), Rows: s.rows, Malformed: s.malformed, Examples: s.examples, Warnings: s.warnings}
	if s.from <= s.to {
		r.From, r.To = time.UnixMilli(s.from).UTC(), time.UnixMilli(s.to).UTC()
	}
	for _, c := range s.columns {
		cr := ColumnReport{Name: c.Name, Skipped: c.skipped, Notes: c.notes}
		if c.skipped == "" {
			cr.Role, cr.Type, cr.Sampled = c.role.String(), c.form.Type, c.form.Type == schemas.TypeNumber && c.seen > int64(len(c.values))
		}
		r.Columns = append(r.Columns, cr)
	}
	slices.SortStableFunc(r.Columns, func(a, b ColumnReport) int {
		switch {
		case a.Name < b.Name:
			return -1
		case a.Name > b.Name:
			return 1
		}
		return 0
	})
	return r
}

// EncodeBaseline returns the bytes of a baseline file.
func EncodeBaseline(b *schemas.Baseline) ([]byte, error) {
	body, err := json.Marshal(b)
	if err != nil {
		return nil, fmt.Errorf("encoding baseline of %s: %w", b.Model, err)
	}
	return append(body, '\n'), nil
}

// finite returns a pointer to x, nil where it is no number.
func finite(x float64) *float64 {
	if math.IsNaN(x) || math.IsInf(x, 0) {
		return nil
	}
	return &x
}
