package profile

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/modelwatch/modelwatch/schemas"
)

// monitorYAML writes a first monitor that uses the baseline. It is sound as
// it stands; what the data cannot tell is there as a comment.
func monitorYAML(s *scan, b *schemas.Baseline, r *Report) []byte {
	var w bytes.Buffer
	o := s.o
	fmt.Fprintf(&w, "# Made by `modelwatch profile` from %s: %d rows", comment(r.Source), r.Rows)
	if !r.From.IsZero() {
		fmt.Fprintf(&w, ", %s to %s", r.From.Format("2006-01-02"), r.To.Format("2006-01-02"))
	}
	fmt.Fprintf(&w, ".\n# Every other key has a default; `modelwatch check` explains what is wrong.\n")
	fmt.Fprintf(&w, "model: %s\n", schemas.QuoteYAML(o.Model))
	w.WriteString("# owner: who is asked about it\n")
	writeTask(&w, s)
	fmt.Fprintf(&w, "topics: [%s]   # a guess: name the Kafka topics that carry its events\n", schemas.QuoteYAML(topicOf(o.Model)))
	fmt.Fprintf(&w, "window: %s\n", schemas.Duration(o.Window))
	if o.BaselineFile != "" {
		fmt.Fprintf(&w, "baseline: %s\n", schemas.QuoteYAML(o.BaselineFile))
	}
	writeSlices(&w, s)
	writeFeatures(&w, b, o.BaselineFile != "")
	return w.Bytes()
}

func writeTask(w *bytes.Buffer, s *scan) {
	p := s.used(schemas.RolePrediction)
	if p == nil {
		p = s.used(schemas.RoleLabel)
	}
	switch {
	case p == nil:
		w.WriteString("# task: binary, multiclass or regression; the data had no prediction\n")
	case p.form.Type == schemas.TypeNumber:
		w.WriteString("task: regression\n")
	case len(p.form.Categories) > 2:
		w.WriteString("task: multiclass\n")
	default:
		w.WriteString("task: binary\n")
		if class, sure := s.positiveClass(); sure {
			fmt.Fprintf(w, "positive: %s\n", schemas.QuoteYAML(class))
		} else {
			w.WriteString("# positive: the class that `score` is the probability of\n")
		}
	}
}

// positiveClass returns the class that was asked for, or that of the two
// whose scores are higher on average.
func (s *scan) positiveClass() (class string, sure bool) {
	if s.o.Positive != "" {
		return s.o.Positive, true
	}
	best, least := 0.0, 0.0
	for c, sum := range s.positive {
		m := sum.sum / float64(sum.n)
		if class == "" || m > best {
			class, best = c, m
		}
	}
	first := true
	for c, sum := range s.positive {
		if m := sum.sum / float64(sum.n); c != class && (first || m > least) {
			least, first = m, false
		}
	}
	return class, len(s.positive) == 2 && best > least
}

// topicOf is the topic that events of a model are most likely on.
func topicOf(model string) string {
	name := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '.' || r == '_' || r == '-' {
			return r
		}
		return '-'
	}, model)
	return name[:min(len(name), 200)] + ".events"
}

func writeSlices(w *bytes.Buffer, s *scan) {
	var parts []string
	for _, names := range s.o.Slices {
		quoted := make([]string, len(names))
		for i, n := range names {
			quoted[i] = schemas.QuoteYAML(n)
		}
		if len(quoted) == 1 {
			parts = append(parts, quoted[0])
		} else {
			parts = append(parts, "["+strings.Join(quoted, ", ")+"]")
		}
	}
	if len(parts) > 0 {
		fmt.Fprintf(w, "slices: [%s]\n", strings.Join(parts, ", "))
		return
	}
	for _, c := range s.columns {
		if n := len(c.form.Categories); c.skipped == "" && c.role == schemas.RoleFeature && n > 1 && n <= schemas.MaxSliceValues && len(parts) < 3 {
			parts = append(parts, schemas.QuoteYAML(c.Name))
		}
	}
	if len(parts) > 0 {
		fmt.Fprintf(w, "# slices: [%s]   # watch groups of rows apart; profile again with --slice for their own baselines\n", strings.Join(parts, ", "))
	}
}

func writeFeatures(w *bytes.Buffer, b *schemas.Baseline, baseline bool) {
	if baseline {
		w.WriteString("# The baseline knows these features; add rules where you know them, such as min, max, set, unit.\n")
	}
	w.WriteString("features:\n")
	for i := range b.Columns {
		c := &b.Columns[i]
		if c.Role != schemas.RoleFeature {
			continue
		}
		fmt.Fprintf(w, "  %s: {type: %s}", schemas.QuoteYAML(c.Name), c.Type)
		whole := c.Stream("")
		switch {
		case c.Type == schemas.TypeNumber && whole.Min != nil && whole.Max != nil:
			fmt.Fprintf(w, "   # %g to %g", *whole.Min, *whole.Max)
		case c.Type == schemas.TypeCategory:
			shown := c.Categories[:min(4, len(c.Categories))]
			more := ""
			if len(c.Categories) > len(shown) {
				more = fmt.Sprintf(", … (%d)", len(c.Categories))
			}
			fmt.Fprintf(w, "   # %s%s", comment(strings.Join(shown, ", ")), more)
		}
		w.WriteByte('\n')
	}
}

// comment makes a text fit for the end of a line.
func comment(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r == 0x85 || r == 0x2028 || r == 0x2029 || r == 0xfeff {
			return ' '
		}
		return r
	}, s)
	if r := []rune(s); len(r) > 80 {
		return string(r[:80]) + "…"
	}
	return s
}
