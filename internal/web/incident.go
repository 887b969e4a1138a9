package web

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/modelwatch/modelwatch/schemas"
)

// Bounds of the page of an incident.
const (
	chartWindows   = 1000 // windows read of each column at most
	chartColumns   = 2    // columns drawn; the table names all
	sampleRows     = 20
	timelineRows   = 50
	evidenceRows   = 40
	listedSlices   = 30
	listedColumns  = 60
	listedOffsets  = 24
	nearIncidents  = 3
	nearCandidates = 1000
)

// incidentPage is the content of the page of one incident.
type incidentPage struct {
	schemas.Incident
	Owner    string
	Sign     string
	Word     string
	Does     string
	Found    moment
	Lead     string
	Marked   string // what somebody has said of it; "" for nothing
	RunnerUp string
	Facts    []pair
	Runbook  string // an http or https address
	Advice   []pair // what stands in bold, and the rest
	Command  string
	Charts   []*chart
	ChartWhy string // why there is no chart
	Evidence []evidenceRow
	Omitted  int // evidence that is not listed
	Columns  []string
	Slices   []string
	MoreCols int
	MoreSl   int
	Samples  []sampleRow
	Timeline []timelineRow
	Spec     string
	SpecFull string
	Offsets  []string
	MoreOff  int
	JSON     string
	Windows  string
	Troubles []string
}

type evidenceRow struct {
	Column, Slice, Statistic, Value, Expected, P, Rows, Detail string
	From, To                                                   moment
}

type sampleRow struct {
	At                            moment
	Feature, Value, Reason, Where string
	Hidden                        bool
}

type timelineRow struct {
	At     moment
	Sign   string
	Word   string
	Text   string
	Sent   moment
	Unsent bool
}

func (s *Server) incident(ctx context.Context, r *http.Request, who reader) (view, error) {
	id := r.PathValue("incident")
	in, found, err := s.deps.Store.Incident(ctx, id)
	if err != nil {
		return view{}, err
	}
	if !found {
		return view{}, s.unknownIncident(ctx, id)
	}
	var (
		transitions []schemas.TransitionRow
		windows     []schemas.WindowRow
		verdicts    []schemas.Verdict
		violations  []schemas.ViolationRow
		mark        *schemas.IncidentMark
		rs          reads
	)
	stored := s.deps.Store
	rules := s.monitorOf(in.Model)
	wf, vf := around(&in, rules)
	read(&rs, "timeline", &transitions, func() ([]schemas.TransitionRow, error) {
		return stored.Transitions(ctx, schemas.TransitionFilter{Incident: in.Incident, Limit: timelineRows})
	})
	read(&rs, "windows", &windows, func() ([]schemas.WindowRow, error) { return stored.Windows(ctx, wf) })
	read(&rs, "verdicts", &verdicts, func() ([]schemas.Verdict, error) { return stored.Verdicts(ctx, vf) })
	read(&rs, "sample rows", &violations, func() ([]schemas.ViolationRow, error) { return stored.Violations(ctx, samplesOf(&in)) })
	read(&rs, "mark", &mark, func() (*schemas.IncidentMark, error) { return s.markOf(ctx, &in) })
	troubles := rs.troubles()
	for _, part := range troubles {
		s.log.Warn().Err(rs.failed[part]).Str("part", part).Str("incident", in.Incident).Msg("reading for a page")
	}

	page := incidentPage{Incident: in, Does: does(in.Severity), Found: who.at(in.Detected), Troubles: troubles}
	page.Sign, page.Word = sign(in.Severity, in.Fault), "firing"
	if page.Sign != "plain" {
		page.Word = page.Sign + ", firing"
	}
	if in.State == schemas.IncidentResolved {
		page.Sign, page.Word = "ok", "resolved"
	}
	page.Lead = lead(&in, who)
	if in.RunnerUp != nil {
		page.RunnerUp = strings.ReplaceAll(string(in.RunnerUp.Fault), "_", " ") + " (score " + signed(in.RunnerUp.Score, 2) + ")"
	}
	page.Facts = facts(&in)
	page.Advice = advice(in.Fault)
	page.Command = "modelwatch explain " + shellWord(in.Incident) + "\nmodelwatch alerts mark " + shellWord(in.Incident) + " true   # or false"
	page.Marked = marked(mark, who)
	if rules != nil {
		page.Owner, page.Runbook = rules.Owner, webAddress(rules.Runbook)
	}
	if len(transitions) > 0 {
		replay(&page, &transitions[0].Alert)
	}
	page.Charts = charts(&in, windows, verdicts, who)
	if len(page.Charts) == 0 {
		page.ChartWhy = "No window of it is stored, so there is nothing to draw."
		if rs.failed["windows"] != nil {
			page.ChartWhy = "The windows could not be read."
		}
	}
	evidence(&page, &in, who)
	page.Columns, page.MoreCols = cut(in.Columns, listedColumns)
	page.Slices, page.MoreSl = cut(in.Slices, listedSlices)
	page.Samples = samples(violations, rules, who)
	page.Timeline = timeline(&in, transitions, who)
	page.JSON = "/api/v1/incidents/" + url.PathEscape(in.Incident)
	page.Windows = "/api/v1/windows?" + windowsQuery(wf)
	return view{template: "incident", title: plain(in.Title), here: "/incidents", content: page}, nil
}

// plain is a title without the marks of its names.
func plain(title string) string { return strings.ReplaceAll(title, "`", "") }

func cut(list []string, most int) (shown []string, more int) {
	more = max(0, len(list)-most)
	return list[:len(list)-more], more
}

func (s *Server) monitorOf(model string) *schemas.Monitor {
	for _, m := range s.monitors() {
		if m.Model == model {
			return m
		}
	}
	return nil
}

// unknownIncident says that there is no such incident and which may have been meant.
func (s *Server) unknownIncident(ctx context.Context, id string) error {
	no := &refusal{http.StatusNotFound, trouble{
		What: "There is no incident of this name.",
		Hint: "It may have been shown by another modelwatch, or be older than what is kept.",
	}}
	all, err := s.deps.Store.Incidents(ctx, schemas.IncidentFilter{Limit: nearCandidates})
	if err != nil {
		return err
	}
	for len(no.Near) < nearIncidents {
		names := make([]string, len(all))
		for i := range all {
			names[i] = all[i].Incident
		}
		i := slices.Index(names, schemas.Nearest(id, names))
		if i < 0 {
			break
		}
		no.Near = append(no.Near, all[i])
		all = slices.Delete(all, i, i+1)
	}
	return no
}

// around selects the windows and verdicts of the incident's first columns,
// from a day (or 24 windows) before it began.
func around(in *schemas.Incident, rules *schemas.Monitor) (schemas.WindowFilter, schemas.VerdictFilter) {
	window := in.Window.End.Sub(in.Window.Start)
	if rules != nil && time.Duration(rules.Window) > 0 {
		window = time.Duration(rules.Window)
	}
	before := min(max(day, 24*window), 60*day)
	from, until := in.Onset.Add(-before), time.Time{}
	if in.State == schemas.IncidentResolved {
		until = in.Resolved.Add(min(6*window+time.Hour, 14*day))
	}
	slice := ""
	if len(in.Slices) > 0 {
		slice = in.Slices[0]
	}
	columns, _ := cut(in.Columns, chartColumns)
	role := schemas.Role(0)
	if len(columns) == 0 {
		// A fault of no column is one of whole events, which are counted under their part or the fault.
		role, columns = schemas.RoleRows, []string{string(in.Fault), schemas.PartFeatures.String(), schemas.PartPrediction.String()}
	}
	wf := schemas.WindowFilter{
		Model: in.Model, Version: in.Version, Role: role, Features: columns, Slice: slice,
		From: from, To: until, Limit: chartWindows * len(columns),
	}
	vf := schemas.VerdictFilter{
		Model: in.Model, Version: in.Version, Role: role, Features: columns, Slice: slice,
		From: from, To: until, Limit: 4 * chartWindows * len(columns), // a few channels each
	}
	return wf, vf
}

func samplesOf(in *schemas.Incident) schemas.ViolationFilter {
	f := schemas.ViolationFilter{Model: in.Model, Features: in.Columns, From: in.Onset, Limit: sampleRows}
	if len(in.Columns) == 0 {
		f.Fault = in.Fault
	}
	if in.State == schemas.IncidentResolved {
		f.To = in.Resolved
	}
	return f
}

func windowsQuery(f schemas.WindowFilter) string {
	q := url.Values{"model": {f.Model}, "from": {f.From.UTC().Format(time.RFC3339)}}
	if f.Version != "" {
		q.Set("version", f.Version)
	}
	if len(f.Features) > 0 {
		q.Set("feature", f.Features[0])
	}
	if f.Slice != "" {
		q.Set("slice", f.Slice)
	}
	if f.Role != 0 {
		q.Set("role", f.Role.String())
	}
	if !f.To.IsZero() {
		q.Set("to", f.To.UTC().Format(time.RFC3339))
	}
	return q.Encode()
}

// lead says since when, and whether it goes on.
func lead(in *schemas.Incident, who reader) string {
	text := "Began " + who.at(in.Onset).Text
	if delay := in.Detected.Sub(in.Onset); delay > 0 {
		text += ", shown by events of " + who.at(in.Detected).Text + " (" + length(delay) + " later)"
	}
	switch {
	case in.State != schemas.IncidentResolved && in.Window.End.After(in.Onset):
		text += "; it still held at " + who.at(in.Window.End).Text + "."
	case in.State != schemas.IncidentResolved:
		text += "; it is still open."
	default:
		text += "; over since " + who.at(in.Resolved).Text + "."
	}
	if in.Reason != "" {
		text += " " + upper(strings.TrimSuffix(in.Reason, ".")) + "."
	}
	return text
}

// facts is the size of an incident in a few numbers.
func facts(in *schemas.Incident) []pair {
	var out []pair
	if in.State == schemas.IncidentResolved {
		out = append(out, pair{"from start to end", length(in.Resolved.Sub(in.Onset))})
	} else if in.Window.End.After(in.Onset) {
		out = append(out, pair{"of event time so far", length(in.Window.End.Sub(in.Onset))})
	}
	if in.Effect.SD != nil {
		out = append(out, pair{"effect, in healthy sd", sd(*in.Effect.SD)})
	}
	if in.Effect.Share != nil {
		out = append(out, pair{"of the rows", percent(*in.Effect.Share)})
	}
	var rows uint64
	for i := range in.Evidence {
		rows = max(rows, in.Evidence[i].Rows)
	}
	if rows > 0 {
		out = append(out, pair{"rows behind it", count(rows)})
	}
	if n := len(in.Columns); n > 0 {
		out = append(out, pair{plural(n, "column", "columns"), count(uint64(n))})
	}
	if n := len(in.Slices); n > 0 {
		out = append(out, pair{plural(n, "slice", "slices"), count(uint64(n))})
	}
	return out
}

func plural(n int, one, many string) string {
	if n == 1 {
		return one
	}
	return many
}

// advice says what helps against a fault and what does not.
func advice(f schemas.Fault) []pair {
	switch f {
	case schemas.FaultDrift, schemas.FaultPredictionDrift, schemas.FaultScoreDrift, schemas.FaultMultivariateDrift:
		return []pair{
			{"Look first whether the change is real.", "A new season or market is; a changed source, unit or join is not."},
			{"Retraining may help", "if it is real and labels for the new data have come. If the data are wrong it would make things worse."},
		}
	case schemas.FaultPerformanceDrop, schemas.FaultCalibration, schemas.FaultStaleVersion:
		return []pair{
			{"Retraining may help.", "See first that no data fault is open for this model: labels of wrong rows teach the wrong thing."},
		}
	case schemas.FaultVersionWorse:
		return []pair{{"Going back helps:", "the version before did better on the same requests."}}
	case schemas.FaultLatency:
		return []pair{{"Look at the service that runs the model.", "The data are not the cause, so retraining will not help."}}
	case schemas.FaultNoData, schemas.FaultVolume, schemas.FaultCaptureGap, schemas.FaultRetentionGap, schemas.FaultLabelGap:
		return []pair{
			{"Find where events stop.", "Look at who publishes them and at the topic, then at /readyz of modelwatch."},
			{"Until they come again the model is not judged.", "No other incident of it is closed by silence."},
		}
	}
	return []pair{
		{"Find who writes the columns named here.", "The fault is upstream of the model."},
		{"Retraining will not help:", "the data are wrong, not the world."},
		{"Falling back will not help", "where the other version reads the same columns."},
	}
}

// replay takes over from where the finding can be computed again.
func replay(page *incidentPage, a *schemas.Alert) {
	if page.Runbook == "" {
		page.Runbook = webAddress(a.Links.Runbook)
	}
	page.Spec, page.SpecFull = hash(a.Replay.Spec), a.Replay.Spec
	shown := a.Replay.Offsets[:min(len(a.Replay.Offsets), listedOffsets)]
	page.MoreOff = len(a.Replay.Offsets) - len(shown)
	for _, o := range shown {
		page.Offsets = append(page.Offsets, o.Topic+"/"+strconv.Itoa(int(o.Partition))+"@"+strconv.FormatInt(o.From, 10)+"…"+strconv.FormatInt(o.To-1, 10))
	}
}

// webAddress returns an address a browser may follow, "" for any other.
func webAddress(raw string) string {
	u, err := url.Parse(raw)
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
		return ""
	}
	return u.String()
}

// shellWord quotes an argument where a shell would read more into it.
func shellWord(arg string) string {
	plain := arg != "" && strings.IndexFunc(arg, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune("._-", r)
	}) < 0
	if plain && arg[0] != '-' {
		return arg
	}
	return "'" + strings.ReplaceAll(arg, "'", `'\''`) + "'"
}

// charts draws the first columns of the incident.
func charts(in *schemas.Incident, windows []schemas.WindowRow, verdicts []schemas.Verdict, who reader) []*chart {
	columns, _ := cut(in.Columns, chartColumns)
	if len(columns) == 0 {
		windows, verdicts = ofEvents(in, windows, verdicts)
		columns = []string{""}
	}
	var out []*chart
	for _, column := range columns {
		ws, vs := windows, verdicts
		if column != "" {
			ws, vs = ofColumn(column, windows, verdicts)
		}
		st := telling(in.Fault, ws, vs)
		points := series(st, ws, vs)
		c := draw(st, points, in.Onset, in.Resolved, who.now, who.zone)
		if c == nil {
			continue
		}
		c.Column, c.Finding = column, finding(st, points, in.Onset)
		if column == "" {
			c.Column = "events"
		}
		if len(in.Slices) > 0 {
			c.Slice = in.Slices[0]
		}
		c.Label = c.Column + ": " + c.Finding
		out = append(out, c)
	}
	return out
}

// telling chooses what is drawn of a stream: the channel that is outside most
// often, else the one that shows the fault, else, where that one needs
// verdicts and there are none, the mean.
func telling(f schemas.Fault, windows []schemas.WindowRow, verdicts []schemas.Verdict) statistic {
	channel := loudest(verdicts)
	if channel == "" {
		channel = ofFault(f)
	}
	st := statistics(channel)
	judged := slices.ContainsFunc(verdicts, func(v schemas.Verdict) bool { return v.Channel == channel })
	means := slices.ContainsFunc(windows, func(w schemas.WindowRow) bool { return w.Mean != nil })
	if st.of == nil && !judged && means {
		return statistics("mean")
	}
	return st
}

// ofColumn keeps one column: the feature of that name, else the other role of it.
func ofColumn(column string, windows []schemas.WindowRow, verdicts []schemas.Verdict) ([]schemas.WindowRow, []schemas.Verdict) {
	isFeature := slices.ContainsFunc(windows, func(w schemas.WindowRow) bool {
		return w.Feature == column && w.Role == schemas.RoleFeature.String()
	})
	var ws []schemas.WindowRow
	for _, w := range windows {
		if w.Feature == column && (w.Role == schemas.RoleFeature.String()) == isFeature && w.Role != schemas.RoleRows.String() {
			ws = append(ws, w)
		}
	}
	var vs []schemas.Verdict
	for _, v := range verdicts {
		if v.Feature == column && (v.Role == schemas.RoleFeature || !isFeature) && v.Role != schemas.RoleRows {
			vs = append(vs, v)
		}
	}
	return ws, vs
}

// ofEvents keeps the counts that a fault of whole events shows in: those under
// the fault's own name, else those of the first part that has any.
func ofEvents(in *schemas.Incident, windows []schemas.WindowRow, verdicts []schemas.Verdict) ([]schemas.WindowRow, []schemas.Verdict) {
	for _, name := range []string{string(in.Fault), schemas.PartFeatures.String(), schemas.PartPrediction.String()} {
		var ws []schemas.WindowRow
		for _, w := range windows {
			if w.Feature == name {
				ws = append(ws, w)
			}
		}
		if len(ws) == 0 {
			continue
		}
		var vs []schemas.Verdict
		for _, v := range verdicts {
			if v.Feature == name {
				vs = append(vs, v)
			}
		}
		return ws, vs
	}
	return nil, verdicts
}

func evidence(page *incidentPage, in *schemas.Incident, who reader) {
	page.Omitted = max(0, len(in.Evidence)-evidenceRows)
	for i := range in.Evidence[:len(in.Evidence)-page.Omitted] {
		e := &in.Evidence[i]
		format := number
		if strings.HasSuffix(e.Statistic, "_rate") || strings.HasSuffix(e.Statistic, "share") {
			format = percent
		}
		row := evidenceRow{
			Column: e.Column, Slice: e.Slice, Statistic: strings.ReplaceAll(e.Statistic, "_", " "), Value: format(e.Value),
			Expected: none, P: none, Rows: count(e.Rows), Detail: e.Detail,
			From: who.at(e.Window.Start), To: who.at(e.Window.End),
		}
		if e.Expected != nil {
			row.Expected = format(*e.Expected)
		}
		if e.P != nil {
			row.P = chance(*e.P)
		}
		page.Evidence = append(page.Evidence, row)
	}
}

// chance writes a p-value; below a millionth the figure means nothing more.
func chance(p float64) string {
	if p >= 0 && p < 1e-6 {
		return "< 10⁻⁶"
	}
	return number(p)
}

// exposed says whether a sample holds a value of a sensitive feature as it was:
// a row that is older than the word `sensitive`.
func exposed(v *schemas.ViolationRow, rules *schemas.Monitor) bool {
	return rules != nil && rules.Features[v.Feature].Sensitive && v.Value != "" && !schemas.IsHidden(v.Value)
}

// samples are the sampled bad rows. Values of sensitive columns are not shown.
func samples(violations []schemas.ViolationRow, rules *schemas.Monitor, who reader) []sampleRow {
	var out []sampleRow
	for i := range violations {
		v := &violations[i]
		row := sampleRow{
			At: who.at(v.Time), Feature: v.Feature, Value: v.Value, Reason: v.Reason,
			Where: v.Topic + "/" + strconv.Itoa(int(v.Partition)) + "@" + strconv.FormatInt(v.Offset, 10),
		}
		switch {
		case exposed(v, rules):
			row.Hidden, row.Value, row.Reason = true, "", ""
		case v.Value == schemas.Hidden:
			row.Hidden, row.Value = true, ""
		}
		out = append(out, row)
	}
	return out
}

// timeline tells the life of the incident, the latest first, topmost what ends it.
func timeline(in *schemas.Incident, transitions []schemas.TransitionRow, who reader) []timelineRow {
	var out []timelineRow
	if in.State == schemas.IncidentFiring {
		out = append(out, timelineRow{At: moment{Text: "next"}, Sign: "next", Text: "Resolves by itself after windows that were measured and healthy. Missing data do not end it."})
	}
	for i := range transitions {
		t := &transitions[i]
		row := timelineRow{
			At: who.at(t.At), Sign: shape(t.Transition, t.Alert.Severity, t.Alert.Fault), Word: string(t.Transition),
			Text: "message " + strconv.Itoa(t.Seq), Sent: who.at(t.Sent), Unsent: t.Sent.IsZero(),
		}
		if t.Reason != "" {
			row.Text += ": " + t.Reason
		}
		out = append(out, row)
	}
	if in.Detected.After(in.Onset) {
		out = append(out, timelineRow{At: who.at(in.Detected), Sign: "plain", Text: "Shown by events of this time, " + length(in.Detected.Sub(in.Onset)) + " after the onset."})
	}
	return append(out, timelineRow{At: who.at(in.Onset), Sign: "plain", Text: "Onset, as far as is known."})
}
