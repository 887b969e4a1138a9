package main

import (
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/modelwatch/modelwatch/schemas"
)

// explanation is the answer of /api/v1/incidents/{incident}.
type explanation struct {
	schemas.Incident
	Transitions []schemas.TransitionRow `json:"transitions"` // latest first
	Samples     []schemas.ViolationRow  `json:"samples"`
}

func (p *program) explain() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "explain INCIDENT",
		Short: "Show what is behind an incident",
		Long: `explain asks the running service for one incident and prints what was found, since
when, the evidence, sampled rows, what was sent, and the offsets from which the
finding can be computed again.`,
		Example: `  modelwatch alerts
  modelwatch explain flight-delay-20081104T1405-7c1e
  modelwatch explain flight-delay-20081104T1405-7c1e --json | jq .evidence`,
		Args: arguments(1, 1, "the id of an incident"),
	}
	service := p.serviceFlags(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON object")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		s, err := service()
		if err != nil {
			return err
		}
		var e explanation
		if err := s.get(cmd.Context(), "/api/v1/incidents/"+url.PathEscape(args[0]), nil, &e); err != nil {
			return fmt.Errorf("explaining %s: %w", args[0], err)
		}
		if asJSON {
			return printJSON(p.out, e)
		}
		p.show(&e)
		return nil
	}
	return cmd
}

// show writes the explanation for people.
func (p *program) show(e *explanation) {
	fmt.Fprintln(p.out, plain(e.Title))
	fmt.Fprintln(p.out)
	last := e.alert()
	table(p.out, facts(
		"state", string(e.State),
		"severity", string(e.Severity),
		"incident", e.Incident.Incident,
		"model", e.Model,
		"version", e.Version,
		"fault", string(e.Fault),
		"runner-up", runnerUp(e.RunnerUp),
		"columns", strings.Join(e.Columns, ", "),
		"slices", strings.Join(e.Slices, ", "),
		"onset", moment(e.Onset),
		"detected", moment(e.Detected),
		"resolved", moment(e.Resolved),
		"window", interval(e.Window),
		"effect", effect(e.Effect),
		"reason", e.Reason,
		"runbook", last.Links.Runbook,
		"page", last.Links.Incident,
	)...)
	p.section("Evidence", evidence(e.Evidence))
	p.section("Sample rows", samples(e.Samples))
	p.section("What was sent", transitions(e.Transitions))
	p.section("Replay", replay(last.Replay))
}

// alert is the last message of the incident, which tells from what it was found.
func (e *explanation) alert() schemas.Alert {
	if len(e.Transitions) == 0 {
		return schemas.Alert{}
	}
	return slices.MaxFunc(e.Transitions, func(a, b schemas.TransitionRow) int { return a.Seq - b.Seq }).Alert
}

// facts are rows of names and values; those without a value are left out.
func facts(pairs ...string) [][]string {
	var rows [][]string
	for i := 0; i < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			rows = append(rows, []string{pairs[i], pairs[i+1]})
		}
	}
	return rows
}

// section prints a table under a head; without rows it is left out.
func (p *program) section(head string, rows [][]string) {
	if len(rows) > 1 {
		fmt.Fprintf(p.out, "\n%s\n", head)
		table(p.out, rows...)
	}
}

func runnerUp(r *schemas.RunnerUp) string {
	if r == nil {
		return ""
	}
	return fmt.Sprintf("%s (score %s)", r.Fault, number(r.Score))
}

func interval(w schemas.Interval) string {
	if w.Start.IsZero() && w.End.IsZero() {
		return ""
	}
	return moment(w.Start) + " to " + moment(w.End)
}

func effect(e schemas.Effect) string {
	var parts []string
	if e.SD != nil {
		parts = append(parts, number(*e.SD)+" sd of the reference")
	}
	if e.Share != nil {
		parts = append(parts, number(100**e.Share)+" % of the rows")
	}
	return strings.Join(parts, ", ")
}

func evidence(list []schemas.Evidence) [][]string {
	rows := [][]string{{"COLUMN", "SLICE", "STATISTIC", "VALUE", "EXPECTED", "P", "ROWS", "WINDOW", "DETAIL"}}
	for i := range list {
		v := &list[i]
		rows = append(rows, []string{
			v.Column, v.Slice, v.Statistic, number(v.Value), optional(v.Expected), optional(v.P), strconv.FormatUint(v.Rows, 10), interval(v.Window), v.Detail,
		})
	}
	return rows
}

func samples(list []schemas.ViolationRow) [][]string {
	rows := [][]string{{"TIME", "FEATURE", "VALUE", "REASON", "TOPIC/PARTITION@OFFSET"}}
	for i := range list {
		v := &list[i]
		rows = append(rows, []string{moment(v.Time), v.Feature, v.Value, v.Reason, fmt.Sprintf("%s/%d@%d", v.Topic, v.Partition, v.Offset)})
	}
	return rows
}

func transitions(list []schemas.TransitionRow) [][]string {
	rows := [][]string{{"SEQ", "TRANSITION", "AT", "SENT", "REASON"}}
	for i := range list {
		t := &list[i]
		sent := moment(t.Sent)
		if sent == "" {
			sent = "not yet"
		}
		rows = append(rows, []string{strconv.Itoa(t.Seq), string(t.Transition), moment(t.At), sent, t.Reason})
	}
	return rows
}

func replay(r schemas.Replay) [][]string {
	rows := [][]string{{"TOPIC", "PARTITION", "FROM", "TO", "SPEC"}}
	for _, o := range r.Offsets {
		rows = append(rows, []string{o.Topic, strconv.Itoa(int(o.Partition)), strconv.FormatInt(o.From, 10), strconv.FormatInt(o.To, 10), r.Spec})
	}
	return rows
}
