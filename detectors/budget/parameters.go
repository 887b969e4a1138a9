package budget

import (
	"errors"
	"fmt"
)

// Parameters are those of one decision; they are recorded with it.
type Parameters struct {
	DeadZone    float64 `json:"dead_zone"`    // least shift that is called one, on the scale of the channel
	LevelFactor float64 `json:"level_factor"` // times the sd of the level between weeks, for the dead zone
	ErrorFactor float64 `json:"error_factor"` // times the standard error of the level, for the dead zone
	MaxTail     float64 `json:"max_tail"`     // most degrees of freedom of the likelihoods
	Honesty     float64 `json:"honesty"`      // least p-value of the placebo run; the dead zone grows until it is reached
	MaxCut      float64 `json:"max_cut"`      // share of the windows of a reference that may be cut as incidents
	MaxGrowth   float64 `json:"max_growth"`   // factor by which a refit may raise a noise parameter
	Clear       int     `json:"clear"`        // ok windows in a row that are told after a finding; at least as many as clear an incident
	Forget      int     `json:"forget"`       // windows without a judgement after which a stream is forgotten
	MinCoverage float64 `json:"min_coverage"` // share of the partitions that must have delivered
	SliceRows   float64 `json:"slice_rows"`   // rows in SliceDays below which a slice is not judged
	SliceDays   float64 `json:"slice_days"`
	TicketDays  float64 `json:"ticket_days"` // of reference, from which tickets are given
	FullDays    float64 `json:"full_days"`   // of reference, from which pages are given
	Widen       float64 `json:"widen"`       // factor on the dead zone before FullDays
	Spend       Spend   `json:"spend"`
}

// Spend says how a budget is shared out. The shares of pages need not add up
// to 1: the rest belongs to rules outside this package (hard patterns,
// performance, no data and capture).
type Spend struct {
	PageRates      float64 `json:"page_rates"`      // of the pages: rates of whole columns and slices, half of the hard patterns
	PageVolume     float64 `json:"page_volume"`     // of the pages: volume and label rate
	PagePrediction float64 `json:"page_prediction"` // of the pages: shifts of prediction and score
	PageFeatures   float64 `json:"page_features"`   // of the pages: shifts of features; 0, they are tickets
	Shock          float64 `json:"shock"`           // of each: alarms on one window; the rest is for what lasts
	Slices         float64 `json:"slices"`          // of each: slices; the rest is for the whole
	Shift          float64 `json:"shift"`           // of each: location and scale
	Rates          float64 `json:"rates"`           // of each: null, NaN, absent and unseen rates; the rest is for shape, top share, distinct, volume, latency
	Importance     float64 `json:"importance"`      // of each: by importance; the rest evenly over the columns
}

// DefaultParameters returns the parameters in use where none are given.
func DefaultParameters() Parameters {
	return Parameters{
		DeadZone: .05, LevelFactor: 4, ErrorFactor: 3, MaxTail: 20, Honesty: .05, MaxCut: .1, MaxGrowth: 1.1,
		Clear: 3, Forget: 2000, MinCoverage: 1, SliceRows: 200, SliceDays: 3, TicketDays: 6.5, FullDays: 27.5, Widen: 1.5,
		Spend: Spend{
			PageRates: .25, PageVolume: .0625, PagePrediction: .125,
			Shock: .25, Slices: .5, Shift: .5, Rates: .25, Importance: .5,
		},
	}
}

// Validate reports what cannot be.
func (p Parameters) Validate() error {
	switch {
	case !(p.DeadZone > 0 && p.LevelFactor >= 0 && p.ErrorFactor >= 0 && p.Widen >= 1):
		return errors.New("dead_zone must be positive, level_factor and error_factor not negative, widen at least 1")
	case !(p.MaxTail >= 2 && p.MaxTail <= 40):
		return fmt.Errorf("max_tail is %v, it must be between 2 and 40", p.MaxTail)
	case !(p.Honesty >= 0 && p.Honesty < 1 && p.MaxCut >= 0 && p.MaxCut < .5 && p.MaxGrowth >= 1):
		return errors.New("honesty must be a probability, max_cut a share below one half, max_growth at least 1")
	case p.Clear < 1, p.Forget < 1, !(p.MinCoverage >= 0 && p.MinCoverage <= 1):
		return errors.New("clear and forget must be at least 1, min_coverage a share")
	case !(p.SliceRows >= 0 && p.SliceDays > 0 && p.TicketDays >= 0 && p.FullDays >= p.TicketDays):
		return errors.New("slice_rows must not be negative, slice_days positive, full_days at least ticket_days")
	}
	return p.Spend.validate()
}

func (s Spend) validate() error {
	pages := 0.0
	for _, x := range []float64{s.PageRates, s.PageVolume, s.PagePrediction, s.PageFeatures} {
		if !(x >= 0) {
			return fmt.Errorf("a share of the pages is %v", x)
		}
		pages += x
	}
	if pages > 1 {
		return fmt.Errorf("the shares of the pages add up to %v, which is more than there is", pages)
	}
	for _, x := range []float64{s.Shock, s.Slices, s.Shift, s.Rates, s.Importance, s.Shift + s.Rates} {
		if !(x >= 0 && x <= 1) {
			return fmt.Errorf("a share of the spend is %v, it must be between 0 and 1", x)
		}
	}
	return nil
}
