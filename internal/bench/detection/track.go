package detection

import (
	"context"
	"fmt"
	"math"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/modelwatch/modelwatch/detectors/budget"
	"github.com/modelwatch/modelwatch/schemas"
)

// Track is one world under one budget, with severity rules off: every stream
// has page spend and ticket spend. Counts are of firings, firings again and
// escalations.
type Track struct {
	World           string   `json:"world"`
	Gated           bool     `json:"gated"`
	Budget          float64  `json:"budget"` // of pages, and of tickets, in 30 days
	Streams         int      `json:"streams"`
	Months          int      `json:"months"`
	PagesStated     float64  `json:"pages_stated"` // in 30 days, as all that follows
	PagesRealised   float64  `json:"pages_realised"`
	PagesUpper95    float64  `json:"pages_upper95"` // exact Poisson limit × dispersion
	TicketsStated   float64  `json:"tickets_stated"`
	TicketsRealised float64  `json:"tickets_realised"`
	TicketsUpper95  float64  `json:"tickets_upper95"`
	PagesEvidence   float64  `json:"pages_evidence"` // e-value of a breach; 1000 proves it
	TicketsEvidence float64  `json:"tickets_evidence"`
	Burst24h        int      `json:"burst_24h"`                      // most events in 24 h of one month
	DeadZoneMedian  *float64 `json:"dead_zone_median"`               // of location, in sd
	Unknown         float64  `json:"unknown_share"`                  // of verdicts
	Microseconds    float64  `json:"microseconds_per_stream_window"` // lowest tenth of the windows
	StateBytes      float64  `json:"state_bytes_per_stream"`

	Pages   []int        `json:"pages_by_month"`
	Tickets []int        `json:"tickets_by_month"`
	Alarms  []TrackAlarm `json:"alarms"` // the first of them
}

// TrackAlarm is one false page or ticket.
type TrackAlarm struct {
	Month  int           `json:"month"`
	At     time.Time     `json:"at"`
	Fault  schemas.Fault `json:"fault"`
	Column string        `json:"column"`
	Slice  string        `json:"slice,omitempty"`
	Page   bool          `json:"page"`
	Reason string        `json:"reason"`
}

// alarmsKept of each month are in the report.
const alarmsKept = 10

// calendarOf is what is known beforehand in a world.
func calendarOf(w *World) budget.Calendar {
	var c budget.Calendar
	if w.Holidays {
		for _, d := range holidays {
			c.Days = append(c.Days, budget.Holiday{Date: epoch.AddDate(0, 0, d).Format(time.DateOnly), Name: "holiday"})
		}
	}
	return c
}

// monthOf is what one month of one model has shown, by budget.
type monthOf struct {
	streams, pages, tickets, burst int
	dead                           []float64
	unknown, verdicts              int
	micros                         []float64
	bytes                          float64
	alarms                         []TrackAlarm
}

// tracks runs the worlds for as many months as are asked for.
func (b *Bench) tracks(ctx context.Context) ([]Track, error) {
	type job struct{ world, month int }
	months := make([][][]monthOf, len(b.cfg.Worlds)) // [world][month][budget]
	var jobs []job
	most := 0
	for _, n := range b.cfg.Months {
		most = max(most, n)
	}
	for w := range b.cfg.Worlds {
		months[w] = make([][]monthOf, most)
		for k := range most {
			jobs = append(jobs, job{w, k})
		}
	}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(b.cfg.Workers)
	for _, j := range jobs {
		g.Go(func() error {
			if err := ctx.Err(); err != nil {
				return err
			}
			out, err := b.month(&b.cfg.Worlds[j.world], j.month)
			if err != nil {
				return err
			}
			months[j.world][j.month] = out
			b.say("tracks: world %s, month %d of %d", b.cfg.Worlds[j.world].Name, j.month+1, most)
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	var out []Track
	for w := range b.cfg.Worlds {
		for i, budget := range b.cfg.Budgets {
			var of []monthOf
			for _, m := range months[w][:b.cfg.Months[i]] {
				of = append(of, m[i])
			}
			out = append(out, trackOf(&b.cfg.Worlds[w], budget, of))
		}
	}
	return append(out, b.pooled(months)...), nil
}

// pooled puts the gated worlds together, one line for each budget.
func (b *Bench) pooled(months [][][]monthOf) []Track {
	var out []Track
	for i, budget := range b.cfg.Budgets {
		var of []monthOf
		worlds := 0
		for w := range b.cfg.Worlds {
			if !b.cfg.Worlds[w].Gated {
				continue
			}
			worlds++
			for _, m := range months[w][:b.cfg.Months[i]] {
				of = append(of, m[i])
			}
		}
		if worlds > 1 {
			out = append(out, trackOf(&World{Name: "all gated", Gated: true}, budget, of))
		}
	}
	return out
}

func trackOf(w *World, budget float64, months []monthOf) Track {
	t := Track{Alarms: []TrackAlarm{}, World: w.Name, Gated: w.Gated, Budget: budget, Months: len(months), PagesStated: budget, TicketsStated: budget}
	var dead, micros []float64
	unknown, verdicts := 0, 0
	for _, m := range months {
		t.Pages, t.Tickets = append(t.Pages, m.pages), append(t.Tickets, m.tickets)
		t.Streams, t.Burst24h = max(t.Streams, m.streams), max(t.Burst24h, m.burst)
		dead, micros = append(dead, m.dead...), append(micros, m.micros...)
		unknown, verdicts = unknown+m.unknown, verdicts+m.verdicts
		t.StateBytes = max(t.StateBytes, m.bytes)
		t.Alarms = append(t.Alarms, m.alarms...)
	}
	t.PagesRealised, t.TicketsRealised = perMonth(t.Pages), perMonth(t.Tickets)
	t.PagesUpper95, t.TicketsUpper95 = upper95(t.Pages), upper95(t.Tickets)
	t.PagesEvidence, t.TicketsEvidence = min(breach(t.Pages, budget), math.MaxFloat64), min(breach(t.Tickets, budget), math.MaxFloat64)
	t.DeadZoneMedian = finite(median(dead))
	if verdicts > 0 {
		t.Unknown = float64(unknown) / float64(verdicts)
	}
	if m := median(micros); !math.IsNaN(m) {
		t.Microseconds = m
	}
	return t
}

func perMonth(counts []int) float64 {
	sum := 0.0
	for _, n := range counts {
		sum += float64(n)
	}
	return sum / float64(len(counts))
}

// lowest is the tenth part of the times from below: what others do on the
// machine only adds to them. It is NaN of nothing.
func lowest(v []float64) float64 {
	s := slices.Sorted(slices.Values(v))
	if len(s) == 0 {
		return math.NaN()
	}
	return s[len(s)/10]
}

// median is NaN of nothing.
func median(v []float64) float64 {
	s := slices.Sorted(slices.Values(v))
	n := len(s)
	if n == 0 {
		return math.NaN()
	}
	return (s[(n-1)/2] + s[n/2]) / 2
}

// month is one healthy month of one model of a world, judged under each budget.
func (b *Bench) month(w *World, k int) ([]monthOf, error) {
	shape := Shape{Features: b.cfg.Features, Categories: .2, Nulls: .5}
	if w.Coming {
		shape.Features, shape.Slices = max(2, shape.Features/20), 20
	}
	m, err := NewModel(*w, shape, b.seed("track "+w.Name, k))
	if err != nil {
		return nil, err
	}
	calendar := calendarOf(w)
	l, err := learn(b.cfg.Detector, m, calendar)
	if err != nil {
		return nil, err
	}
	out := make([]monthOf, len(b.cfg.Budgets))
	judges, memories, tallies, events := make([]judge, len(out)), make([]memory, len(out)), make([]tally, len(out)), make([][]int, len(out))
	for i, budget := range b.cfg.Budgets {
		if k >= b.cfg.Months[i] {
			continue
		}
		judges[i], _ = l.plan(spend{pages: budget, tickets: budget, parameters: ruleless(), calendar: calendar})
		tallies[i] = tally{}
		out[i].streams = len(l.keys)
		out[i].dead = l.deadZones(budgetLocation)
	}
	for t := ReferenceWindows; t < allWindows; t++ {
		win := m.Window(t, nil)
		for i := range out {
			if judges[i] == nil {
				continue
			}
			began := time.Now()
			verdicts, findings, next, err := judges[i](win, memories[i])
			if err != nil {
				return nil, fmt.Errorf("judging world %s: %w", w.Name, err)
			}
			o := &out[i]
			if len(verdicts) > 0 {
				o.micros = append(o.micros, float64(time.Since(began).Nanoseconds())/1e3/float64(len(verdicts)))
			}
			memories[i] = next
			for _, v := range verdicts {
				if v.State == schemas.StateUnknown {
					o.unknown++
				}
			}
			o.verdicts += len(verdicts)
			for _, e := range tallies[i].take(t, findings) {
				if e.page {
					o.pages++
				}
				if e.ticket {
					o.tickets++
				}
				events[i] = append(events[i], t)
				if len(o.alarms) < alarmsKept {
					o.alarms = append(o.alarms, TrackAlarm{k + 1, Start(t).UTC(), e.fault, e.column, e.slice, e.page, e.reason})
				}
			}
		}
	}
	for i := range out {
		out[i].burst = burst(events[i], 24)
		if judges[i] != nil {
			out[i].bytes = l.bytesPerStream(memories[i])
		}
		out[i].micros = []float64{lowest(out[i].micros)}
	}
	return out, nil
}

const budgetLocation = budget.Location

// deadZones are those of the whole columns on a channel.
func (l *learnt) deadZones(channel string) []float64 {
	var out []float64
	for _, k := range l.keys {
		if k.Slice == "" && k.Channel == channel {
			if h, ok := l.ref.Healthy(k); ok {
				out = append(out, h.Dead)
			}
		}
	}
	return out
}

// burst is the most events within so many windows.
func burst(at []int, within int) int {
	most := 0
	for i, j := 0, 0; j < len(at); j++ {
		for at[j]-at[i] >= within {
			i++
		}
		most = max(most, j-i+1)
	}
	return most
}
