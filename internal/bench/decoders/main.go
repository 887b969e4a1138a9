// Command decoders measures how fast the JSON decoders of others read rows of
// a workload into columns of numbers and texts, on one core. It stands in a
// module of its own, so that their libraries are no part of the program.
//
//	modelwatch bench rows --features 20 --rows 20000 | decoders
//
// It prints one JSON object: what each took of the processor's time a row. Each
// decoder must see the same values, else the command fails.
package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"runtime"
	"syscall"
	"time"
)

// Took is what one decoder took.
type Took struct {
	Decoder string  `json:"decoder"`
	Nanos   float64 `json:"cpu_nanoseconds_per_row,omitempty"`
	Allocs  float64 `json:"allocs_per_row,omitempty"`
	NotRun  string  `json:"not_run,omitempty"` // why
}

// Result is what the command prints.
type Result struct {
	Sum      Sum    `json:"sum"`
	Decoders []Took `json:"decoders"`
}

func main() {
	if err := run(os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "decoders:", err)
		os.Exit(1)
	}
}

func run(in io.Reader, out io.Writer) error {
	text, err := io.ReadAll(in)
	if err != nil {
		return fmt.Errorf("reading rows: %w", err)
	}
	lines := split(text)
	if len(lines) < blockRows {
		return fmt.Errorf("%d rows on standard input; %d are the least", len(lines), blockRows)
	}
	var result Result
	for _, m := range decoders {
		took, sum, err := measure(m, lines)
		if err != nil {
			return fmt.Errorf("measuring %s: %w", m.name, err)
		}
		result.Decoders = append(result.Decoders, took)
		if took.NotRun != "" {
			continue
		}
		if result.Sum.Rows == 0 {
			result.Sum = sum
		}
		if !sum.same(result.Sum) {
			return fmt.Errorf("%s saw %+v where the first saw %+v", m.name, sum, result.Sum)
		}
	}
	return json.NewEncoder(out).Encode(result)
}

func split(text []byte) [][]byte {
	lines := bytes.Split(bytes.TrimSuffix(text, []byte("\n")), []byte("\n"))
	for i, l := range lines {
		lines[i] = l[:len(l):len(l)]
	}
	return lines
}

// measure passes all lines through a decoder twice: to see what it reads and
// to give its buffers their size, and to measure.
func measure(m maker, lines [][]byte) (Took, Sum, error) {
	c, err := learn(lines[:blockRows])
	if err != nil {
		return Took{}, Sum{}, err
	}
	decode, err := m.make(c)
	if err != nil {
		return Took{Decoder: m.name, NotRun: err.Error()}, Sum{}, nil
	}
	for _, line := range lines {
		before := len(c.arena)
		if err := decode(line); err != nil {
			return Took{}, Sum{}, err
		}
		c.sum.Bytes += len(c.arena) - before
		c.next()
		c.add()
	}
	runtime.GC()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	began := cpu()
	for _, line := range lines {
		if err := decode(line); err != nil {
			return Took{}, Sum{}, err
		}
		c.next()
	}
	spent := cpu() - began
	runtime.ReadMemStats(&after)
	rows := float64(len(lines))
	return Took{Decoder: m.name, Nanos: float64(spent.Nanoseconds()) / rows, Allocs: float64(after.Mallocs-before.Mallocs) / rows}, c.sum, nil
}

// cpu is the processor's time of this process, user and system.
func cpu() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0 // it cannot fail for the own process
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
