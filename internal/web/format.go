package web

import (
	"math"
	"strconv"
	"strings"
	"time"
)

// none stands where there is no value; the reason stands beside it.
const none = "–"

// minus is the sign that numbers carry; the hyphen is for words.
const minus = "\u2212"

// count writes a number of things: 1,075.
func count(n uint64) string {
	digits := strconv.FormatUint(n, 10)
	var b strings.Builder
	for i, d := range digits {
		if i > 0 && (len(digits)-i)%3 == 0 {
			b.WriteByte(',')
		}
		b.WriteRune(d)
	}
	return b.String()
}

// percent writes a share: one decimal below 10%, else none. What is more than
// nothing is never written as 0, and what is less than all never as 100%.
func percent(share float64) string {
	switch abs := math.Abs(share); {
	case !finite(share):
		return none
	case share == 0:
		return "0%"
	case abs < 0.0005:
		return "<0.1%"
	case abs < 0.0995:
		return signed(share*100, 1) + "%"
	case abs < 1 && abs >= 0.995:
		return ">99%"
	}
	return signed(share*100, 0) + "%"
}

// sd writes an effect in reference standard deviations: 1.81 sd.
func sd(effect float64) string {
	if !finite(effect) {
		return none
	}
	return signed(effect, 2) + " sd"
}

// number writes a value of unknown kind with four significant digits, whole
// numbers up to a million with commas.
func number(x float64) string {
	switch abs := math.Abs(x); {
	case !finite(x):
		return none
	case x == math.Trunc(x) && abs < 1e6:
		if x < 0 {
			return minus + count(uint64(abs))
		}
		return count(uint64(abs))
	case abs >= 1e6 || abs < 1e-4:
		return strings.ReplaceAll(strconv.FormatFloat(x, 'g', 4, 64), "-", minus)
	case abs >= 1000:
		return number(math.Round(x))
	default:
		decimals := 3 - int(math.Floor(math.Log10(abs)))
		text := strings.TrimRight(signed(x, decimals), "0")
		return strings.TrimSuffix(text, ".")
	}
}

// signed writes x with a number of decimals and the real minus sign; what
// rounds to zero has no sign.
func signed(x float64, decimals int) string {
	text := strconv.FormatFloat(math.Abs(x), 'f', decimals, 64)
	if x < 0 && strings.Trim(text, "0.") != "" {
		return minus + text
	}
	return text
}

func finite(x float64) bool { return !math.IsNaN(x) && !math.IsInf(x, 0) }

// length writes a duration in at most two units: 41 s, 14 min, 1 h 17 min,
// 13 d. From two days on it is in days alone.
func length(d time.Duration) string {
	sign := ""
	if d < 0 {
		sign, d = minus, -d
	}
	switch minutes := int(d.Minutes()); {
	case d < time.Minute:
		return sign + strconv.Itoa(int(d.Seconds())) + " s"
	case minutes < 60:
		return sign + strconv.Itoa(minutes) + " min"
	case minutes >= 48*60:
		return sign + count(uint64(minutes/(24*60))) + " d"
	case minutes%60 == 0:
		return sign + strconv.Itoa(minutes/60) + " h"
	default:
		return sign + strconv.Itoa(minutes/60) + " h " + strconv.Itoa(minutes%60) + " min"
	}
}

// hash shortens a hash that is longer than its short form: sha256:5be1c0d4…91aa.
func hash(h string) string {
	scheme, digits, ok := strings.Cut(h, ":")
	if !ok {
		scheme, digits = "", h
	} else {
		scheme += ":"
	}
	if len(digits) <= 16 {
		return h
	}
	return scheme + digits[:8] + "…" + digits[len(digits)-4:]
}

// small writes numbers up to ten as words, as they stand in a sentence.
func small(n int) string {
	words := [...]string{"no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"}
	if n >= 0 && n < len(words) {
		return words[n]
	}
	return count(uint64(max(n, 0)))
}

// upper makes the first letter of a sentence of ours a capital.
func upper(sentence string) string {
	if sentence == "" {
		return ""
	}
	return strings.ToUpper(sentence[:1]) + sentence[1:]
}

// moment is a time as a page shows it.
type moment struct {
	ISO  string // for the attribute datetime; "" when there is no time
	Text string
}

// at writes a time in a zone as short as a reader who knows that it is now
// can read it without mistake: 14:05 today, 6 Nov 09:20 this year, else with
// the year. Seconds are left out.
func at(t, now time.Time, zone *time.Location) moment {
	if t.IsZero() {
		return moment{Text: none}
	}
	local, today := t.In(zone), now.In(zone)
	layout := "2 Jan 2006 15:04"
	switch {
	case local.Year() == today.Year() && local.YearDay() == today.YearDay():
		layout = "15:04"
	case local.Year() == today.Year():
		layout = "2 Jan 15:04"
	}
	return moment{ISO: t.UTC().Format(time.RFC3339), Text: local.Format(layout)}
}

// words splits a text of ours at its `backticks`; odd pieces are names of
// columns. A backtick without its partner is text.
func words(text string) []word {
	var out []word
	for {
		before, rest, ok := strings.Cut(text, "`")
		name, after, closed := strings.Cut(rest, "`")
		if !ok || !closed {
			if text != "" {
				out = append(out, word{Text: text})
			}
			return out
		}
		if before != "" {
			out = append(out, word{Text: before})
		}
		if name != "" {
			out = append(out, word{Text: name, Code: true})
		}
		text = after
	}
}

// word is a piece of a text.
type word struct {
	Text string
	Code bool
}
