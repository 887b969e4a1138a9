package exactness

import (
	"fmt"
	"hash/maphash"
	"strings"
	"testing"
	"time"
)

// A system is what is searched. S holds no pointers, so that two equal values
// are one state.
type system[S comparable] struct {
	start S
	// next hands every step that is possible in s to take.
	next func(s S, take taker[S])
	// always says what is wrong with s, whatever comes next.
	always func(s *S) string
	// settled says what is wrong with s when nothing is left to do in it.
	settled func(s *S) string
}

// A taker takes a step to another state, with what it does in words. One by
// chance need not ever happen: a fault, or anything done by somebody who may
// as well stop.
type taker[S comparable] func(chance bool, to S, words string, with ...any)

// outcome is what a search has found.
type outcome struct {
	states  int
	settled int
	wrong   string   // "" when nothing is wrong
	trace   []string // the shortest way to it
	took    time.Duration
}

func (o outcome) String() string {
	if o.wrong == "" {
		return fmt.Sprintf("%d states, %d of them settled, in %s", o.states, o.settled, o.took.Round(time.Millisecond))
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s, after %d states and %s:\n", o.wrong, o.states, o.took.Round(time.Millisecond))
	for i, s := range o.trace {
		fmt.Fprintf(&b, "  %2d. %s\n", i+1, s)
	}
	return b.String()
}

// search visits every state that can be reached, the nearest first, and stops
// at the first that is wrong. Visited states are told apart by 64 bits of
// hash: among ten million states two of one hash are to be expected once in
// three hundred thousand runs.
func search[S comparable](sys system[S]) outcome {
	type open struct {
		state S
		at    int32
	}
	began := time.Now()
	seed := maphash.MakeSeed()
	visited := map[uint64]struct{}{maphash.Comparable(seed, sys.start): {}}
	nodes := []node{{}}
	level := []open{{sys.start, 0}}
	var out outcome
	end := func(wrong string, at int32) outcome {
		out.states, out.wrong, out.took = len(nodes), wrong, time.Since(began)
		if wrong != "" {
			out.trace = sys.trace(nodes, at)
		}
		return out
	}
	if wrong := sys.always(&sys.start); wrong != "" {
		return end(wrong, 0)
	}
	for len(level) > 0 {
		var further []open
		for i := range level {
			o := &level[i]
			due := false
			wrong, ordinal := "", int32(-1)
			sys.next(o.state, func(chance bool, to S, _ string, _ ...any) {
				ordinal++
				if wrong != "" || to == o.state {
					return
				}
				due = due || !chance
				h := maphash.Comparable(seed, to)
				if _, ok := visited[h]; ok {
					return
				}
				visited[h] = struct{}{}
				nodes = append(nodes, node{o.at, ordinal})
				further = append(further, open{to, int32(len(nodes) - 1)})
				wrong = sys.always(&to)
			})
			if wrong != "" {
				return end(wrong, int32(len(nodes)-1))
			}
			if !due {
				out.settled++
				if wrong := sys.settled(&o.state); wrong != "" {
					return end(wrong, o.at)
				}
			}
		}
		level = further
	}
	return end("", 0)
}

// node is how a state was reached: from where, and by which of the steps there.
type node struct{ from, ordinal int32 }

// trace says in words how the state of a node is reached.
func (sys *system[S]) trace(nodes []node, at int32) []string {
	var way []int32
	for ; at > 0; at = nodes[at].from {
		way = append(way, nodes[at].ordinal)
	}
	var words []string
	state := sys.start
	for i := len(way) - 1; i >= 0; i-- {
		n, from := int32(-1), state
		sys.next(from, func(_ bool, to S, format string, with ...any) {
			if n++; n == way[i] {
				state = to
				words = append(words, fmt.Sprintf(format, with...))
			}
		})
	}
	return words
}

// holds asserts that nothing is wrong in any state.
func holds[S comparable](t *testing.T, sys system[S]) {
	t.Helper()
	out := search(sys)
	if out.wrong != "" {
		t.Fatal(out)
	}
	if out.settled == 0 {
		t.Fatal("no state is settled: the model never comes to rest, and its last check is never made")
	}
	t.Log(out)
}

// breaks asserts that the search finds what is wrong, by a part of its words.
func breaks[S comparable](t *testing.T, sys system[S], wrong string) {
	t.Helper()
	out := search(sys)
	if !strings.Contains(out.wrong, wrong) || out.wrong == "" {
		t.Fatalf("looking for %q, the search found: %s", wrong, out)
	}
	t.Log(out)
}
