package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os/exec"
	"strings"
)

// Decoded is what one decoder takes to read rows into columns.
type Decoded struct {
	Features int      `json:"features"`
	Decoder  string   `json:"decoder"`
	Nanos    *float64 `json:"cpu_nanoseconds_per_row"`
	Allocs   *float64 `json:"allocs_per_row"`
	MBps     *float64 `json:"megabytes_per_cpu_second"`
	Ratio    *float64 `json:"ratio"` // of its time to that of the program's own
	NotRun   string   `json:"not_run,omitempty"`
}

// outside takes turns with the decoders of others, which are a program of
// their own: internal/bench/decoders.
type outside struct {
	names  []string
	nanos  map[string][]float64
	allocs map[string]float64
	notRun map[string]string
}

// run gives the lines to the program of the other decoders.
func (o *outside) run(ctx context.Context, program string, lines [][]byte) error {
	cmd := exec.CommandContext(ctx, program) //nolint:gosec // what the user names
	cmd.Stdin = bytes.NewReader(append(bytes.Join(lines, []byte("\n")), '\n'))
	var said bytes.Buffer
	cmd.Stderr = &said
	out, err := cmd.Output()
	if err != nil {
		return fmt.Errorf("running %s: %w: %s", program, err, strings.TrimSpace(said.String()))
	}
	var got struct {
		Decoders []struct {
			Decoder string  `json:"decoder"`
			Nanos   float64 `json:"cpu_nanoseconds_per_row"`
			Allocs  float64 `json:"allocs_per_row"`
			NotRun  string  `json:"not_run"`
		} `json:"decoders"`
	}
	if err := json.Unmarshal(out, &got); err != nil {
		return fmt.Errorf("reading what %s printed: %w", program, err)
	}
	if o.nanos == nil {
		o.nanos, o.allocs, o.notRun = map[string][]float64{}, map[string]float64{}, map[string]string{}
	}
	for _, d := range got.Decoders {
		if len(o.nanos[d.Decoder]) == 0 && o.notRun[d.Decoder] == "" {
			o.names = append(o.names, d.Decoder)
		}
		if d.NotRun != "" {
			o.notRun[d.Decoder] = d.NotRun
			continue
		}
		o.nanos[d.Decoder] = append(o.nanos[d.Decoder], d.Nanos)
		o.allocs[d.Decoder] = d.Allocs
	}
	return nil
}

// table lists the own decoder and all others.
func (o *outside) table(p *prepared) []Decoded {
	bytes := 0
	for _, r := range p.rows {
		bytes += len(r)
	}
	size := float64(bytes) / float64(len(p.rows))
	own := median(p.decode)
	row := func(name string, nanos, allocs float64) Decoded {
		speed, ratio := 1000*size/nanos, nanos/own
		return Decoded{Features: p.Features, Decoder: name, Nanos: &nanos, Allocs: &allocs, MBps: &speed, Ratio: &ratio}
	}
	out := []Decoded{row("modelwatch", own, median(p.decodeAllocs))}
	for _, name := range o.names {
		if why := o.notRun[name]; why != "" {
			out = append(out, Decoded{Features: p.Features, Decoder: name, NotRun: why})
			continue
		}
		ratios := make([]float64, len(o.nanos[name]))
		for i, v := range o.nanos[name] {
			ratios[i] = v / p.decode[i]
		}
		d := row(name, median(o.nanos[name]), o.allocs[name])
		*d.Ratio = median(ratios)
		out = append(out, d)
	}
	return out
}
