package alerting

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/modelwatch/modelwatch/schemas"
)

// Title says in one sentence what is wrong, where, since when and how much. With an
// end that is not zero it speaks of the past. Times are UTC, with the day where it
// is not the day of detection. Names of columns and slices are data: whatever
// could break out of their backticks or of a line is replaced.
func Title(i schemas.Incident, end time.Time) string {
	over := !end.IsZero()
	var b strings.Builder
	b.WriteString(sentence(i.Fault, quoted(i.Columns), over))
	if len(i.Slices) > 0 {
		b.WriteString(" for " + list(plain(i.Slices)))
	}
	if over {
		fmt.Fprintf(&b, ", %s to %s", strings.TrimSuffix(clock(i.Onset, i.Detected), " UTC"), clock(end, i.Onset))
	} else {
		b.WriteString(" since " + clock(i.Onset, i.Detected))
	}
	if s := size(i.Effect); s != "" {
		b.WriteString(" (" + s + ")")
	}
	return b.String()
}

// sentence tells the fault of those columns, without time and place.
func sentence(f schemas.Fault, columns []string, over bool) string {
	many := len(columns) > 1
	verb := func(one, more, was, were string) string {
		switch {
		case over && many:
			return were
		case over:
			return was
		case many:
			return more
		}
		return one
	}
	who := list(columns)
	of := "" // the part of the events, where a fault is of one
	if who != "" {
		of = " of " + who
	}
	if who == "" {
		who = "a feature"
	}
	is, has := verb("is", "are", "was", "were"), verb("has", "have", "had", "had")
	stay := func(now, then string) string {
		if over {
			return then
		}
		return now
	}
	switch f {
	case schemas.FaultUnparsable:
		return "events " + stay("cannot", "could not") + " be read"
	case schemas.FaultWrongType:
		return who + " " + has + " the wrong type"
	case schemas.FaultMissingColumn:
		return who + " " + is + " missing"
	case schemas.FaultExtraColumn:
		if len(columns) == 0 {
			return "events " + stay("carry", "carried") + " features that the monitor does not know"
		}
		return who + " " + is + " not known to the monitor"
	case schemas.FaultOutOfRange:
		return who + " " + is + " out of range"
	case schemas.FaultUnexpectedValue:
		return who + " " + has + " values outside the allowed set"
	case schemas.FaultRule:
		return who + " " + verb("breaks", "break", "broke", "broke") + " a rule"
	case schemas.FaultNotFinite:
		return who + " " + is + " NaN or infinite"
	case schemas.FaultDuplicates:
		return "events " + stay("come", "came") + " more than once"
	case schemas.FaultFutureEvents:
		return "events " + stay("carry", "carried") + " times in the future"
	case schemas.FaultLateData:
		return "events " + stay("come", "came") + " too late"

	case schemas.FaultSwap:
		return who + " " + is + " swapped"
	case schemas.FaultMixedRows:
		return who + " " + is + " mixed up in a part of the rows"
	case schemas.FaultShiftedCols:
		return who + " " + is + " shifted by one column"
	case schemas.FaultUnitChange:
		return who + " " + is + " in another unit"
	case schemas.FaultStuck:
		return who + " " + is + " stuck at one value"
	case schemas.FaultDefaultSpike:
		return who + " " + is + " a default value too often"
	case schemas.FaultTruncation:
		return who + " " + is + " cut off"
	case schemas.FaultEncoding:
		return who + " " + is + " written in another way"
	case schemas.FaultPrecisionLoss:
		return who + " " + has + " lost precision"
	case schemas.FaultClockShift:
		return who + " " + is + " shifted in time"
	case schemas.FaultSkew:
		return who + " " + verb("differs", "differ", "differed", "differed") + " from training"

	case schemas.FaultNulls:
		return who + " " + is + " null too often"
	case schemas.FaultUnseenValues:
		return who + " " + has + " values that the baseline has not"
	case schemas.FaultVolume:
		return "the number of events" + of + " " + stay("is", "was") + " unusual"
	case schemas.FaultNoData:
		return stay("no data", "there was no data") + of
	case schemas.FaultCaptureGap:
		return "features and predictions " + stay("do", "did") + " not match in number"
	case schemas.FaultRetentionGap:
		return "events " + stay("are", "were") + " gone before they were read"

	case schemas.FaultDrift:
		return who + " " + stay(verb("has", "have", "", "")+" drifted", "had drifted")
	case schemas.FaultPredictionDrift:
		return "predictions " + stay("have", "had") + " drifted"
	case schemas.FaultScoreDrift:
		return "scores " + stay("have", "had") + " drifted"
	case schemas.FaultMultivariateDrift:
		return "features " + stay("have", "had") + " drifted together"
	case schemas.FaultPerformanceDrop:
		return "the model " + stay("performs", "performed") + " worse"
	case schemas.FaultCalibration:
		return "scores " + stay("are", "were") + " not calibrated"
	case schemas.FaultLabelGap:
		return "labels " + stay("are", "were") + " missing"
	case schemas.FaultLatency:
		return "the model " + stay("answers", "answered") + " slowly"
	case schemas.FaultStaleVersion:
		return "the version " + stay("is", "was") + " stale"
	case schemas.FaultVersionWorse:
		return "the new version " + stay("is", "was") + " worse"
	}
	text := strings.ReplaceAll(safe(string(f)), "_", " ")
	if len(columns) > 0 {
		text += " of " + who
	}
	return text
}

// size writes an effect: a share of the rows before standard deviations.
func size(e schemas.Effect) string {
	switch {
	case e.Share != nil && *e.Share != 0:
		p := 100 * math.Abs(*e.Share)
		digits := 0
		switch {
		case p < 0.1:
			return "less than 0.1% of rows"
		case p < 10:
			digits = 1
		}
		return strings.TrimSuffix(strconv.FormatFloat(p, 'f', digits, 64), ".0") + "% of rows"
	case e.SD != nil && *e.SD != 0:
		return "by " + strconv.FormatFloat(math.Abs(*e.SD), 'f', max(1, 1-int(math.Floor(math.Log10(math.Abs(*e.SD))))), 64) + " sd"
	}
	return ""
}

// clock writes a time of day in UTC, with the day and, if need be, the year
// where they are not those of the other time.
func clock(t, beside time.Time) string {
	t, beside = t.UTC(), beside.UTC()
	switch {
	case t.Year() != beside.Year():
		return t.Format("2 Jan 2006 15:04 UTC")
	case t.YearDay() != beside.YearDay():
		return t.Format("2 Jan 15:04 UTC")
	}
	return t.Format("15:04 UTC")
}

const (
	shownNames = 4
	shownRunes = 48
)

// list joins names as in "a, b and 3 more".
func list(names []string) string {
	switch n := len(names); {
	case n == 0:
		return ""
	case n == 1:
		return names[0]
	case n <= shownNames:
		return strings.Join(names[:n-1], ", ") + " and " + names[n-1]
	default:
		return fmt.Sprintf("%s and %d more", strings.Join(names[:shownNames-1], ", "), n-shownNames+1)
	}
}

func quoted(names []string) []string {
	out := make([]string, 0, len(names))
	for _, n := range names {
		out = append(out, "`"+safe(n)+"`")
	}
	return out
}

func plain(names []string) []string {
	out := make([]string, 0, len(names))
	for _, n := range names {
		out = append(out, safe(n))
	}
	return out
}

// safe makes a name that stays on its line and inside its backticks.
func safe(name string) string {
	var b strings.Builder
	n := 0
	for _, r := range name {
		if n++; n > shownRunes {
			b.WriteRune('…')
			break
		}
		switch {
		case r == '`':
			b.WriteRune('\'')
		case unicode.IsPrint(r):
			b.WriteRune(r)
		default: // control, direction and formatting characters, line separators
			b.WriteRune(unicode.ReplacementChar)
		}
	}
	return b.String()
}
