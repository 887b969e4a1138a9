package bench

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"runtime/pprof"
	"strings"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
)

// caseLabel marks, in CPU profiles, the work of the measured way: its value is
// the number of the case.
const caseLabel = "bench_case"

// Stages is where the processor's time of the way goes, by the samples of a
// CPU profile: nanoseconds per row.
type Stages struct {
	Fetch      float64 `json:"fetch"` // requests, checksums, walk
	Decompress float64 `json:"decompress"`
	Decode     float64 `json:"decode"`
	Accumulate float64 `json:"accumulate"` // event time, checks, summaries, samples
	Store      float64 `json:"store"`      // in this process
	Rest       float64 `json:"rest"`       // of the whole: garbage collector, scheduler
	Samples    int     `json:"samples"`    // ten milliseconds each
}

// stage tells a function's stage by its name; the first on the way from the
// innermost to the outermost function counts.
func stage(function string, s *Stages) *float64 {
	in := func(places ...string) bool {
		for _, p := range places {
			if strings.Contains(function, p) {
				return true
			}
		}
		return false
	}
	switch {
	case in("pierrec/lz4", "klauspost/compress", "consumers.decodeLZ4", "consumers.appendLZ4", "consumers.decodeSnappy", "consumers.appendSnappy"):
		return &s.Decompress
	case in("internal/store.", "ClickHouse/"):
		return &s.Store
	case in("consumers/decode"):
		return &s.Decode
	case in("modelwatch/consumers.", "segmentio/kafka-go"):
		return &s.Fetch
	case in("internal/window.", "internal/summary.", "internal/ingest.", "detectors/hard."):
		return &s.Accumulate
	}
	return nil
}

// profiled runs with a CPU profile and returns it.
func profiled(run func() error) (profile []byte, err error) {
	var to bytes.Buffer
	if err := pprof.StartCPUProfile(&to); err != nil {
		return nil, fmt.Errorf("taking a CPU profile: %w", err)
	}
	err = run()
	pprof.StopCPUProfile()
	return to.Bytes(), err
}

// errProfile says that a profile is not of the form of the runtime's.
var errProfile = errors.New("reading a CPU profile: unexpected form")

// breakdown sums up the samples of each case, as time. Rest is left open.
func breakdown(compressed []byte) (map[string]*Stages, error) {
	unzip, err := gzip.NewReader(bytes.NewReader(compressed))
	if err != nil {
		return nil, fmt.Errorf("reading a CPU profile: %w", err)
	}
	body, err := io.ReadAll(unzip)
	if err != nil {
		return nil, fmt.Errorf("reading a CPU profile: %w", err)
	}
	p := profile{names: map[uint64]int{}, places: map[uint64][]uint64{}}
	if err := fields(body, p.take); err != nil {
		return nil, err
	}
	out := map[string]*Stages{}
	for _, s := range p.samples {
		if err := p.add(out, s); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// profile is what is needed of profile.proto's message Profile.
type profile struct {
	samples [][]byte
	places  map[uint64][]uint64 // functions of a location, innermost first
	names   map[uint64]int      // of functions, in strings
	strings []string
}

// The fields of profile.proto that are read.
const (
	profileSample, profileLocation, profileFunction, profileStrings = 2, 4, 5, 6
	sampleLocations, sampleValues, sampleLabel                      = 1, 2, 3
	labelKey, labelString                                           = 1, 2
	locationID, locationLine, lineFunction                          = 1, 4, 1
	functionID, functionName                                        = 1, 2
)

func (p *profile) take(field protowire.Number, v uint64, body []byte) error {
	switch field {
	case profileSample:
		p.samples = append(p.samples, body)
	case profileStrings:
		p.strings = append(p.strings, string(body))
	case profileFunction:
		var id uint64
		var name int
		err := fields(body, func(field protowire.Number, v uint64, _ []byte) error {
			switch field {
			case functionID:
				id = v
			case functionName:
				name = int(v)
			}
			return nil
		})
		p.names[id] = name
		return err
	case profileLocation:
		var id uint64
		var functions []uint64
		err := fields(body, func(field protowire.Number, v uint64, line []byte) error {
			switch field {
			case locationID:
				id = v
			case locationLine:
				return fields(line, func(field protowire.Number, v uint64, _ []byte) error {
					if field == lineFunction {
						functions = append(functions, v)
					}
					return nil
				})
			}
			return nil
		})
		p.places[id] = functions
		return err
	}
	return nil
}

// add counts a sample for its case, if it has one.
func (p *profile) add(out map[string]*Stages, body []byte) error {
	var stack, values []uint64
	of := ""
	err := fields(body, func(field protowire.Number, v uint64, body []byte) error {
		switch field {
		case sampleLocations:
			return packed(&stack, v, body)
		case sampleValues:
			return packed(&values, v, body)
		case sampleLabel:
			var key, text int
			err := fields(body, func(field protowire.Number, v uint64, _ []byte) error {
				switch field {
				case labelKey:
					key = int(v)
				case labelString:
					text = int(v)
				}
				return nil
			})
			if err == nil && key < len(p.strings) && text < len(p.strings) && p.strings[key] == caseLabel {
				of = p.strings[text]
			}
			return err
		}
		return nil
	})
	if err != nil || of == "" {
		return err
	}
	if len(values) < 2 {
		return errProfile
	}
	s := out[of]
	if s == nil {
		s = &Stages{}
		out[of] = s
	}
	s.Samples += int(values[0])
	for _, at := range stack {
		for _, f := range p.places[at] {
			name := p.names[f]
			if name >= len(p.strings) {
				return errProfile
			}
			if sum := stage(p.strings[name], s); sum != nil {
				*sum += float64(time.Duration(values[1]))
				return nil
			}
		}
	}
	return nil
}

// fields calls with every field of a message: its number, or its bytes.
func fields(body []byte, visit func(protowire.Number, uint64, []byte) error) error {
	for len(body) > 0 {
		field, kind, n := protowire.ConsumeTag(body)
		if n < 0 {
			return errProfile
		}
		body = body[n:]
		var v uint64
		var part []byte
		switch kind {
		case protowire.VarintType:
			v, n = protowire.ConsumeVarint(body)
		case protowire.BytesType:
			part, n = protowire.ConsumeBytes(body)
		default:
			n = protowire.ConsumeFieldValue(field, kind, body)
		}
		if n < 0 {
			return errProfile
		}
		body = body[n:]
		if err := visit(field, v, part); err != nil {
			return err
		}
	}
	return nil
}

// packed appends numbers that stand alone or in a row.
func packed(to *[]uint64, v uint64, body []byte) error {
	if body == nil {
		*to = append(*to, v)
		return nil
	}
	for len(body) > 0 {
		v, n := protowire.ConsumeVarint(body)
		if n < 0 {
			return errProfile
		}
		*to = append(*to, v)
		body = body[n:]
	}
	return nil
}
