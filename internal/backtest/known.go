package backtest

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/modelwatch/modelwatch/internal/profile"
	"github.com/modelwatch/modelwatch/schemas"
)

// maxKnown bounds a list of known incidents.
const maxKnown = 10_000

// ReadKnown reads a list of known incidents: CSV with a header line and the
// columns from, to, columns and note, or YAML, a list of mappings with those
// keys. from is needed; to is where it ended, empty where it went on; columns
// are parted by spaces, commas or semicolons; times are as profile reads them.
// All that is wrong is reported at once, with its line.
func ReadKnown(path string, body []byte) ([]Known, error) {
	var rows []knownRow
	var p schemas.Problems
	switch strings.ToLower(filepath.Ext(path)) {
	case ".csv":
		rows = knownCSV(path, body, &p)
	case ".yaml", ".yml":
		rows = knownYAML(path, body, &p)
	default:
		return nil, fmt.Errorf("reading the known incidents in %s: name the file .csv or .yaml", path)
	}
	var out []Known
	for _, r := range rows {
		k := Known{Columns: splitColumns(r.columns), Note: strings.TrimSpace(r.note)}
		var ok bool
		if k.From, ok = profile.ParseTime(strings.TrimSpace(r.from)); !ok {
			p.Add(r.at, fmt.Sprintf("`from` is %q, which is no time", r.from), "write it like 2008-11-04T14:05:00Z or 2008-11-04")
		}
		if to := strings.TrimSpace(r.to); to != "" {
			if k.To, ok = profile.ParseTime(to); !ok {
				p.Add(r.at, fmt.Sprintf("`to` is %q, which is no time", r.to), "write it like 2008-11-04T14:05:00Z, or leave it empty where it went on")
			} else if !k.To.After(k.From) {
				p.Add(r.at, fmt.Sprintf("it ends at %s, which is not after it began", to), "a day alone means its first moment, so one day long is to the next")
			}
		}
		out = append(out, k)
	}
	if len(out) > maxKnown {
		p.Add(&schemas.YAML{File: path}, fmt.Sprintf("it has %d incidents, at most %d are read", len(out), maxKnown), "")
	}
	slices.SortStableFunc(out, func(a, b Known) int { return a.From.Compare(b.From) })
	return out, p.Err()
}

// knownRow is one incident as it stands in the file.
type knownRow struct {
	at                      *schemas.YAML
	from, to, columns, note string
}

func splitColumns(s string) []string {
	out := strings.FieldsFunc(s, func(r rune) bool { return r == ' ' || r == ',' || r == ';' || r == '\t' })
	if out == nil {
		out = []string{}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

var knownKeys = []string{"from", "to", "columns", "note"}

func knownCSV(path string, body []byte, p *schemas.Problems) []knownRow {
	r := csv.NewReader(bytes.NewReader(bytes.TrimPrefix(body, []byte("\ufeff"))))
	r.FieldsPerRecord = -1
	r.TrimLeadingSpace = true
	head, err := r.Read()
	if err != nil {
		p.Add(&schemas.YAML{File: path}, "it has no header line", "begin it with: from,to,columns,note")
		return nil
	}
	at := map[string]int{}
	for i, h := range head {
		h = strings.ToLower(strings.TrimSpace(h))
		if !slices.Contains(knownKeys, h) {
			p.Add(&schemas.YAML{File: path, Line: 1, Column: 1}, fmt.Sprintf("there is no column %q", h), schemas.DidYouMean(h, knownKeys))
		}
		at[h] = i
	}
	if _, ok := at["from"]; !ok {
		p.Add(&schemas.YAML{File: path, Line: 1, Column: 1}, "the column `from` is missing", "begin the file with: from,to,columns,note")
		return nil
	}
	var out []knownRow
	for {
		record, err := r.Read()
		if errors.Is(err, io.EOF) {
			return out
		}
		if err != nil {
			p.Add(&schemas.YAML{File: path}, err.Error(), "")
			return out
		}
		line, column := r.FieldPos(0)
		get := func(key string) string {
			if i, ok := at[key]; ok && i < len(record) {
				return record[i]
			}
			return ""
		}
		if len(record) > len(head) {
			p.Add(&schemas.YAML{File: path, Line: line, Column: column}, fmt.Sprintf("it has %d fields, the header %d", len(record), len(head)), "several columns go into one field, parted by spaces")
		}
		out = append(out, knownRow{&schemas.YAML{File: path, Line: line, Column: column}, get("from"), get("to"), get("columns"), get("note")})
	}
}

func knownYAML(path string, body []byte, p *schemas.Problems) []knownRow {
	root := schemas.ParseYAML(path, body, p)
	if root == nil {
		return nil
	}
	if root.Kind != schemas.YAMLList {
		p.Add(root, "it is "+root.Kind.String()+", not a list of incidents", "write each one like: - {from: 2008-11-04T14:05:00Z, to: 2008-11-05, columns: [temp], note: \"stuck\"}")
		return nil
	}
	var out []knownRow
	for _, item := range root.Items {
		if item.Kind != schemas.YAMLMap {
			p.Add(item, "it is "+item.Kind.String()+", not a mapping with the key `from`", "")
			continue
		}
		row := knownRow{at: item}
		for _, e := range item.Entries {
			text := e.Value.Text
			if e.Value.Kind == schemas.YAMLList {
				var names []string
				for _, n := range e.Value.Items {
					names = append(names, n.Text)
				}
				text = strings.Join(names, ";")
			}
			if e.Value.Kind == schemas.YAMLNull {
				text = ""
			}
			switch e.Key.Text {
			case "from":
				row.from = text
			case "to":
				row.to = text
			case "columns":
				row.columns = text
			case "note":
				row.note = text
			default:
				p.Add(e.Key, fmt.Sprintf("there is no key %q", e.Key.Text), schemas.DidYouMean(e.Key.Text, knownKeys))
			}
		}
		out = append(out, row)
	}
	return out
}

// fits says whether an alert may be of a known incident: what showed it came
// after the incident began, it says that it began before the incident ended,
// and they have a column in common or one of them is of none.
func (k *Known) fits(a *Alert) bool {
	if !a.At.After(k.From) || !k.To.IsZero() && !a.Onset.Before(k.To) {
		return false
	}
	if len(k.Columns) == 0 || len(a.Columns) == 0 {
		return true
	}
	return slices.ContainsFunc(a.Columns, func(c string) bool { return slices.Contains(k.Columns, c) })
}

// mark holds the alerts of a run against what is known, and says what became
// of each known incident. Notes find nothing: nobody is told.
func (r *Report) mark(run *Run) {
	run.Known = make([]Outcome, len(r.Known))
	for i := range r.Known {
		run.Known[i].State = Missed
		if k := &r.Known[i]; !k.From.Before(r.To) || !k.To.IsZero() && !k.To.After(r.From) {
			run.Known[i].State = Outside
		}
	}
	if len(r.Known) == 0 {
		return
	}
	for i := range run.Alerts {
		a := &run.Alerts[i]
		a.Mark = False
		for n := range r.Known {
			if !r.Known[n].fits(a) {
				continue
			}
			a.Fits = append(a.Fits, n)
			if a.Mark == False {
				a.Mark = Again
			}
			if o := &run.Known[n]; o.State == Missed && a.Kind != Note {
				delay := a.At.Sub(r.Known[n].From).Seconds()
				*o = Outcome{State: Found, Kind: a.Kind, Incident: a.Incident, At: a.At, Delay: &delay}
				a.Mark = Hit
			}
		}
	}
}

// tally counts the alerts of a kind.
func (r *Report) tally(run *Run, kind Kind, stated float64) Tally {
	per := time.Duration(run.Budget.Per).Hours() / 24
	t := Tally{}
	if per > 0 {
		t.Stated = stated * 30 / per
	}
	for i := range run.Alerts {
		if a := &run.Alerts[i]; a.Kind == kind {
			t.Sent++
			if a.Mark == False || a.Mark == "" {
				t.NotTrue++
			}
		}
	}
	if r.Days > 0 {
		t.Realised = float64(t.NotTrue) * 30 / r.Days
	}
	return t
}
