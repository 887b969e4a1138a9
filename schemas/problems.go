package schemas

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// Problem is one mistake in a file that people write.
type Problem struct {
	File    string `json:"file,omitempty"`
	Line    int    `json:"line,omitempty"` // from 1; 0 where there is no place in the file
	Column  int    `json:"column,omitempty"`
	Path    string `json:"path,omitempty"` // of the key, as in $.features.distance.min
	Message string `json:"message"`
	Hint    string `json:"hint,omitempty"` // what to do
}

// String writes the problem as one line: `file:line:col: $.path: message; hint`.
func (p Problem) String() string {
	var b strings.Builder
	if p.File != "" {
		b.WriteString(p.File)
		b.WriteByte(':')
	}
	if p.Line > 0 {
		fmt.Fprintf(&b, "%d:%d:", p.Line, p.Column)
	}
	if b.Len() > 0 {
		b.WriteByte(' ')
	}
	if p.Path != "" {
		b.WriteString(p.Path)
		b.WriteString(": ")
	}
	b.WriteString(p.Message)
	if p.Hint != "" {
		b.WriteString("; ")
		b.WriteString(p.Hint)
	}
	return b.String()
}

// Problems is an error that lists all that is wrong at once. Its zero value
// is empty and ready to use.
type Problems struct {
	List []Problem `json:"problems"`
}

// MaxProblems is how many problems one file may report; a file with more is
// of another kind than expected, and the rest would not help.
const MaxProblems = 100

// Error writes one problem a line.
func (p *Problems) Error() string {
	lines := make([]string, len(p.List))
	for i := range p.List {
		lines[i] = p.List[i].String()
	}
	return strings.Join(lines, "\n")
}

// Add notes a problem at a node; a nil node is the file as a whole. Beyond
// MaxProblems of one collection nothing is noted.
func (p *Problems) Add(at *YAML, message, hint string) {
	if len(p.List) >= MaxProblems {
		return
	}
	q := Problem{Message: message, Hint: hint}
	if at != nil {
		q.File, q.Line, q.Column, q.Path = at.File, at.Line, at.Column, at.Path
	}
	p.List = append(p.List, q)
}

// Join takes over the problems of err: each of them where err is a *Problems,
// else one without a place. A nil err adds nothing.
func (p *Problems) Join(err error) {
	if err == nil {
		return
	}
	if q, ok := err.(*Problems); ok { //nolint:errorlint // a wrapped list has more to say than its entries
		p.List = append(p.List, q.List...)
		return
	}
	p.List = append(p.List, Problem{Message: err.Error()})
}

// Err returns the problems in order of file, line and column, or nil when
// there are none.
func (p *Problems) Err() error {
	if len(p.List) == 0 {
		return nil
	}
	slices.SortStableFunc(p.List, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	return p
}

// Nearest returns the known name that a person most likely meant by name, ""
// when none is near: the least number of inserted, dropped, changed or
// swapped neighbouring characters, at most a third of the name and at least
// one; of equally near names the first in the alphabet. Case does not count.
func Nearest(name string, known []string) string {
	if len(name) > 64 {
		return ""
	}
	low := strings.ToLower(name)
	best, bestDistance := "", max(1, utf8.RuneCountInString(name)/3)+1
	for _, k := range known {
		if len(k) > 64 || k == name {
			continue
		}
		d := editDistance(low, strings.ToLower(k))
		if d < bestDistance || d == bestDistance && best != "" && k < best {
			best, bestDistance = k, d
		}
	}
	return best
}

// editDistance is the optimal string alignment distance.
func editDistance(a, b string) int {
	x, y := []rune(a), []rune(b)
	rows := make([][]int, len(x)+1)
	for i := range rows {
		rows[i] = make([]int, len(y)+1)
		rows[i][0] = i
	}
	for j := range rows[0] {
		rows[0][j] = j
	}
	for i := 1; i <= len(x); i++ {
		for j := 1; j <= len(y); j++ {
			change := 1
			if x[i-1] == y[j-1] {
				change = 0
			}
			d := min(rows[i-1][j]+1, rows[i][j-1]+1, rows[i-1][j-1]+change)
			if i > 1 && j > 1 && x[i-1] == y[j-2] && x[i-2] == y[j-1] {
				d = min(d, rows[i-2][j-2]+1)
			}
			rows[i][j] = d
		}
	}
	return rows[len(x)][len(y)]
}

// DidYouMean is the hint `did you mean "window"?` for an unknown name, or the
// known names where none is near.
func DidYouMean(name string, known []string) string {
	if n := Nearest(name, known); n != "" {
		return "did you mean `" + n + "`?"
	}
	if len(known) == 0 || len(known) > 40 {
		return ""
	}
	return "known here: " + strings.Join(known, ", ")
}
