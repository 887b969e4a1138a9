package ingest

import (
	"math"
	"strconv"

	"github.com/modelwatch/modelwatch/schemas"
)

// privacy is what may not be kept as it is, nil for nothing.
func (l *Loop) privacy() *schemas.Privacy {
	if l.deps.Privacy == nil {
		return nil
	}
	return l.deps.Privacy()
}

// hide replaces the values of sensitive features in the sampled rows of panes
// by what may be kept of them. A number becomes a text by that.
func (l *Loop) hide(panes []schemas.Pane) {
	p := l.privacy()
	if p == nil {
		return
	}
	for i := range panes {
		spec := l.spec(panes[i].SpecSeq)
		if spec == nil || !p.Model(spec.Model) {
			continue
		}
		for c := range spec.Columns {
			if sc := &spec.Columns[c]; sc.Role == schemas.RoleFeature && p.Sensitive(spec.Model, sc.Name) {
				for s := range panes[i].Samples {
					hideColumn(&panes[i].Samples[s], c, p, sc.Name)
				}
			}
		}
	}
}

func hideColumn(s *schemas.PaneSample, c int, p *schemas.Privacy, name string) {
	switch s.Kinds[c] {
	case schemas.KindNumber:
		s.Categories[c] = p.Hide(name, strconv.FormatFloat(s.Numbers[c], 'g', -1, 64))
		s.Numbers[c], s.Kinds[c] = math.NaN(), schemas.KindText
	case schemas.KindText, schemas.KindBool:
		s.Categories[c] = p.Hide(name, s.Categories[c])
	}
}

func (l *Loop) spec(seq uint64) *schemas.Spec {
	for i := range l.specs.Records {
		if l.specs.Records[i].Seq == seq {
			return &l.specs.Records[i].Spec
		}
	}
	return nil
}
