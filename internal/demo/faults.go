package demo

import (
	"time"

	"github.com/modelwatch/modelwatch/schemas"
)

// injected is a fault that is put into the stream on purpose.
type injected struct {
	Name    string          `json:"name"`
	Says    string          `json:"says"` // for people
	From    time.Time       `json:"from"` // event time
	To      time.Time       `json:"to"`
	Faults  []schemas.Fault `json:"faults"`  // any of these names it
	Columns []string        `json:"columns"` // an alert about any of these; empty for none in particular
}

// day returns a moment of the stream, so many days after its beginning.
func day(start time.Time, days float64) time.Time {
	return start.Add(time.Duration(days * 24 * float64(time.Hour))).Truncate(time.Hour)
}

// plan lists the faults of a stream that begins at start.
func plan(start time.Time) []injected {
	return []injected{
		{
			Name: "type_change", Says: "`distance` is written as text",
			From: day(start, 1.25), To: day(start, 2),
			Faults: []schemas.Fault{schemas.FaultWrongType}, Columns: []string{"distance"},
		},
		{
			Name: "kilometres", Says: "`distance` comes in kilometres from " + kilometresAt,
			From: day(start, 4), To: day(start, 7),
			Faults: []schemas.Fault{schemas.FaultDrift, schemas.FaultUnitChange}, Columns: []string{"distance"},
		},
		{
			Name: "nulls", Says: "5 % of `origin_delay` are null at " + nullsAt,
			From: day(start, 9), To: day(start, 12),
			Faults: []schemas.Fault{schemas.FaultNulls}, Columns: []string{"origin_delay"},
		},
		{
			Name: "malformed", Says: "3 % of the events are cut off",
			From: day(start, 14.25), To: day(start, 15),
			Faults: []schemas.Fault{schemas.FaultUnparsable},
		},
		{
			Name: "shift", Says: "every flight leaves 20 minutes later: a real shift, until the end",
			From: day(start, 17), To: day(start, 1000),
			Faults:  []schemas.Fault{schemas.FaultDrift, schemas.FaultPredictionDrift, schemas.FaultScoreDrift},
			Columns: []string{"origin_delay", "network_delay", "prediction", "score"},
		},
	}
}

const (
	kilometresAt = "ATL"
	nullsAt      = "ORD"
)

// active says whether the named fault is in force at t; never when faults are off.
func active(faults []injected, name string, t time.Time) bool {
	for _, f := range faults {
		if f.Name == name {
			return !t.Before(f.From) && t.Before(f.To)
		}
	}
	return false
}
