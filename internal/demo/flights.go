package demo

import (
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/parquet-go/parquet-go"
)

// flight is one row of the data.
type flight struct {
	at          int64 // scheduled departure, Unix milliseconds
	delay       int16 // minutes
	distance    int16 // miles
	origin      uint16
	destination uint16
}

// flights is the data in order of departure, with the names of the airports.
type flights struct {
	rows     []flight
	airports []string
}

type parquetRow struct {
	Date        int64  `parquet:"date,optional"` // microseconds
	Delay       int64  `parquet:"delay,optional"`
	Distance    int64  `parquet:"distance,optional"`
	Origin      string `parquet:"origin,optional"`
	Destination string `parquet:"destination,optional"`
}

// loadFlights reads flights-3m.parquet of vega-datasets up to a moment.
func loadFlights(path string, until time.Time) (*flights, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("opening the flights: %w", err)
	}
	defer f.Close()
	r := parquet.NewGenericReader[parquetRow](f)
	defer r.Close()
	out := &flights{}
	code := map[string]uint16{}
	airport := func(name string) uint16 {
		c, ok := code[name]
		if !ok {
			c = uint16(len(out.airports))
			code[name] = c
			out.airports = append(out.airports, name)
		}
		return c
	}
	end := until.UnixMilli()
	buffer := make([]parquetRow, 4096)
	for {
		n, err := r.Read(buffer)
		for _, b := range buffer[:n] {
			row := flight{
				at: b.Date / 1000, delay: int16(b.Delay), distance: int16(b.Distance),
				origin: airport(b.Origin), destination: airport(b.Destination),
			}
			if len(out.rows) > 0 && row.at < out.rows[len(out.rows)-1].at {
				return nil, fmt.Errorf("reading the flights: row %d departs before the one above it", len(out.rows))
			}
			if row.at >= end {
				return out, nil
			}
			out.rows = append(out.rows, row)
		}
		if errors.Is(err, io.EOF) {
			return out, nil
		}
		if err != nil {
			return nil, fmt.Errorf("reading the flights: %w", err)
		}
	}
}

// before returns how many rows depart before t.
func (f *flights) before(t int64) int {
	lo, hi := 0, len(f.rows)
	for lo < hi {
		if m := (lo + hi) / 2; f.rows[m].at < t {
			lo = m + 1
		} else {
			hi = m
		}
	}
	return lo
}
