package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
)

// blockRows is how many rows are gathered before the columns are emptied.
const blockRows = 512

// columns receive the values of rows, as the program's own decoder fills them.
type columns struct {
	names []string
	by    map[string]int
	text  []bool // the column is a category

	rows  int
	num   [][]float64
	null  [][]bool
	ends  [][]int // of texts in arena
	arena []byte
	sum   Sum
}

// Sum is what a pass over rows has seen, by which passes are compared.
type Sum struct {
	Rows    int     `json:"rows"`
	Numbers float64 `json:"numbers"` // their sum, in the order of the rows
	Nulls   int     `json:"nulls"`
	Bytes   int     `json:"bytes"` // of all texts
}

// errMember says that a row has a member that its workload does not have.
var errMember = errors.New("a member that rows do not have")

// learn finds the columns in the first rows, in the order of their members.
func learn(lines [][]byte) (*columns, error) {
	c := &columns{by: map[string]int{}}
	for _, line := range lines {
		var event struct {
			Features json.RawMessage `json:"features"`
		}
		if err := json.Unmarshal(line, &event); err != nil {
			return nil, fmt.Errorf("reading a row: %w", err)
		}
		d := json.NewDecoder(bytes.NewReader(event.Features))
		for first := true; ; first = false {
			key, err := d.Token()
			if err != nil {
				return nil, fmt.Errorf("reading a row: %w", err)
			}
			if first {
				continue // the brace
			}
			name, ok := key.(string)
			if !ok {
				break
			}
			value, err := d.Token()
			if err != nil {
				return nil, fmt.Errorf("reading a row: %w", err)
			}
			at, known := c.by[name]
			if !known {
				at = len(c.names)
				c.by[name] = at
				c.names, c.text = append(c.names, name), append(c.text, false)
			}
			if _, ok := value.(string); ok {
				c.text[at] = true
			}
		}
	}
	c.num = make([][]float64, len(c.names))
	c.null = make([][]bool, len(c.names))
	c.ends = make([][]int, len(c.names))
	for i := range c.names {
		c.num[i], c.null[i], c.ends[i] = make([]float64, blockRows), make([]bool, blockRows), make([]int, blockRows)
	}
	return c, nil
}

// of finds a column by name; guess is where it stood in the rows before.
func (c *columns) of(name []byte, guess int) (int, error) {
	if guess < len(c.names) && c.names[guess] == string(name) {
		return guess, nil
	}
	at, ok := c.by[string(name)]
	if !ok {
		return 0, errMember
	}
	return at, nil
}

func (c *columns) number(at int, v float64) { c.num[at][c.rows], c.null[at][c.rows] = v, false }
func (c *columns) none(at int)              { c.null[at][c.rows] = true }
func (c *columns) string(at int, v []byte) {
	c.arena = append(c.arena, v...)
	c.ends[at][c.rows], c.null[at][c.rows] = len(c.arena), false
}

// member takes one of the event's own texts.
func (c *columns) member(v []byte) { c.arena = append(c.arena, v...) }

// next ends a row.
func (c *columns) next() {
	if c.rows++; c.rows == blockRows {
		c.rows, c.arena = 0, c.arena[:0]
	}
}

// add takes the values of the row that was filled last into the sum; outside
// of what is measured.
func (c *columns) add() {
	row := (c.rows + blockRows - 1) % blockRows
	c.sum.Rows++
	for i := range c.names {
		switch {
		case c.null[i][row]:
			c.sum.Nulls++
		case !c.text[i]:
			c.sum.Numbers += c.num[i][row]
		}
	}
}

// same says whether two passes have seen the same; a decoder may round the
// last bit of a number as it likes.
func (s Sum) same(o Sum) bool {
	return s.Rows == o.Rows && s.Nulls == o.Nulls && s.Bytes == o.Bytes && math.Abs(s.Numbers-o.Numbers) <= 1e-9*math.Abs(o.Numbers)
}
