package preflight

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"github.com/modelwatch/modelwatch/internal/config"
	"github.com/modelwatch/modelwatch/schemas"
)

// census counts what the usable events of each model hold. It is the target
// that decoders fill.
type census struct {
	monitors []config.Monitor
	blocks   map[string]*schemas.Block
	tallies  map[string]*tally
	names    []string // of the models
}

// tally counts the events of one model.
type tally struct {
	events   int
	parts    map[schemas.Part]int
	present  []int          // by feature: events that have it, null included
	mistyped []int          // by feature: events whose value is of another type
	unknown  map[string]int // by name of a feature that the monitor does not have
}

// maxUnknown bounds the names of unknown features that are kept of one model.
const maxUnknown = 1000

func newCensus(monitors []config.Monitor) *census {
	c := &census{monitors: monitors, blocks: map[string]*schemas.Block{}, tallies: map[string]*tally{}}
	for i := range monitors {
		m := &monitors[i]
		c.names = append(c.names, m.Model)
		c.tallies[m.Model] = &tally{
			parts: map[schemas.Part]int{}, unknown: map[string]int{},
			present: make([]int, m.Layout.Features()), mistyped: make([]int, m.Layout.Features()),
		}
	}
	return c
}

// Block implements decode.Target. A block is made for a model that comes up.
func (c *census) Block(model []byte) *schemas.Block {
	if b := c.blocks[string(model)]; b != nil {
		return b
	}
	for i := range c.monitors {
		if c.monitors[i].Model == string(model) {
			b := schemas.NewBlock(c.monitors[i].Layout)
			c.blocks[string(model)] = b
			return b
		}
	}
	return nil
}

// count takes the committed rows out of the blocks.
func (c *census) count() {
	for i := range c.monitors {
		m := &c.monitors[i]
		b := c.blocks[m.Model]
		if b == nil || b.N == 0 {
			continue
		}
		t := c.tallies[m.Model]
		for row := range b.N {
			t.row(m, b, row)
		}
		for _, e := range b.Extra {
			if name := b.String(e.Name); len(t.unknown) < maxUnknown || t.unknown[name] > 0 {
				t.unknown[name]++
			}
		}
		b.Reset()
	}
}

func (t *tally) row(m *config.Monitor, b *schemas.Block, row int) {
	t.events++
	for _, p := range schemas.Parts {
		if b.Parts[row]&p != 0 {
			t.parts[p]++
		}
	}
	if b.Parts[row]&schemas.PartFeatures == 0 {
		return
	}
	for f := range m.Layout.Features() {
		kind := b.Columns[f].Kind[row]
		if kind != schemas.KindAbsent {
			t.present[f]++
		}
		column := m.Spec.Column(schemas.RoleFeature, m.Layout.Columns[f].Name)
		number := column != nil && column.Type == schemas.TypeNumber
		if kind == schemas.KindNested || number && (kind == schemas.KindText || kind == schemas.KindBool) {
			t.mistyped[f]++
		}
	}
}

// near suggests the models that were meant by unknown names.
func (c *census) near(models []string) string {
	for _, name := range models {
		if near := schemas.Nearest(name, c.names); near != "" {
			return fmt.Sprintf("did you mean `%s`? Events and monitor have to give the same name", near)
		}
	}
	return "give them a monitor, or expect them among the dead letters"
}

// tell says, model by model, how events and monitor fit.
func (c *census) tell(say func(Finding)) {
	for i := range c.monitors {
		m := &c.monitors[i]
		c.tallies[m.Model].tell(m, func(s State, message, hint string) {
			say(Finding{s, "model " + m.Model, message, hint})
		})
	}
}

func (t *tally) tell(m *config.Monitor, say func(s State, message, hint string)) {
	if t.events == 0 {
		say(Warn, "none of its events is among those read", "see whether events name the model as the monitor does")
		return
	}
	fits := true
	note := func(message, hint string) {
		fits = false
		say(Warn, message, hint)
	}
	features := t.parts[schemas.PartFeatures]
	for _, name := range slices.SortedFunc(maps.Keys(t.unknown), func(a, b string) int {
		return cmp.Or(cmp.Compare(t.unknown[b], t.unknown[a]), cmp.Compare(a, b))
	}) {
		hint := "add it under `features`, or profile newer data"
		if near := schemas.Nearest(name, featureNames(m.Layout)); near != "" {
			hint = "did you mean `" + near + "`?"
		}
		note(fmt.Sprintf("`%s` is in %d of %s and not in the monitor", name, t.unknown[name], count(features, "event")), hint)
	}
	for f, n := range t.present {
		name := m.Layout.Columns[f].Name
		switch {
		case features > 0 && n == 0:
			note(fmt.Sprintf("`%s` is in the monitor and in none of %s", name, count(features, "event")), "correct its name, or take it out")
		case t.mistyped[f] > 0:
			note(fmt.Sprintf("`%s` is of another type than the monitor says in %d of %s", name, t.mistyped[f], count(features, "event")), "each such event is a wrong_type")
		}
	}
	if features == 0 {
		note("none of its events read carries features", "")
	}
	if fits {
		say(OK, fmt.Sprintf("%s read fit the monitor: %d with features, %d with predictions, %d with labels", count(t.events, "event"),
			features, t.parts[schemas.PartPrediction], t.parts[schemas.PartLabel]), "")
	}
}

func featureNames(l *schemas.Layout) []string {
	names := make([]string, l.Features())
	for f := range names {
		names[f] = l.Columns[f].Name
	}
	return names
}
