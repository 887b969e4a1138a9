package main

import (
	"cmp"
	"context"
	"fmt"
	"net/url"
	"os/signal"
	"slices"
	"strconv"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/modelwatch/modelwatch/schemas"
)

// followEvery is the time between two looks of --follow.
const followEvery = 2 * time.Second

// followed is how many incidents --follow looks at, the most the API gives.
const followed = 1000

// alertFilter is what the flags of alerts choose.
type alertFilter struct {
	state, model, severity string
	limit                  int
}

// incidents is the answer of /api/v1/incidents.
type incidents struct {
	Incidents []schemas.Incident `json:"incidents"`
}

func (p *program) alerts() *cobra.Command {
	var f alertFilter
	var asJSON, follow bool
	cmd := &cobra.Command{
		Use:   "alerts",
		Short: "List incidents of the running service",
		Long: `alerts asks the running service for its incidents: those that fire now, or all.
With --follow it stays and prints each change as it comes, until Ctrl-C.
alerts mark says whether one was worth being told; the budget counts what is
marked false, and what nobody has marked.`,
		Example: `  modelwatch alerts
  modelwatch alerts --state all --model flight-delay
  modelwatch alerts --follow --json | jq .title
  modelwatch alerts --url https://modelwatch.example:8443 --token-file token`,
		Args: arguments(0, 0, ""),
	}
	service := p.serviceFlags(cmd)
	flags := cmd.Flags()
	flags.StringVar(&f.state, "state", string(schemas.IncidentFiring), "firing, resolved or all")
	flags.StringVar(&f.model, "model", "", "only those of this `model`")
	flags.StringVar(&f.severity, "severity", "", "only critical, warning or info")
	flags.IntVar(&f.limit, "limit", 200, "most incidents listed, up to 1000")
	flags.BoolVar(&follow, "follow", false, "print changes as they come, until Ctrl-C")
	flags.BoolVar(&asJSON, "json", false, "print one JSON object, with --follow one a line")
	offer(cmd, "state", "firing", "resolved", "all")
	offer(cmd, "severity", "critical", "warning", "info")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if err := oneOf(cmd, "state", f.state, "firing", "resolved", "all"); err != nil {
			return err
		}
		if f.severity != "" {
			if err := oneOf(cmd, "severity", f.severity, "critical", "warning", "info"); err != nil {
				return err
			}
		}
		if f.limit < 1 || f.limit > followed {
			return usage(cmd, "--limit: %d is not between 1 and %d", f.limit, followed)
		}
		s, err := service()
		if err != nil {
			return err
		}
		if follow {
			ctx, stop := signal.NotifyContext(cmd.Context(), syscall.SIGINT, syscall.SIGTERM)
			defer stop()
			return p.follow(ctx, s, f, asJSON)
		}
		return p.list(cmd.Context(), s, f, asJSON)
	}
	cmd.AddCommand(p.mark())
	return cmd
}

func (f alertFilter) query() url.Values {
	q := url.Values{"limit": {strconv.Itoa(f.limit)}}
	if f.state != "all" {
		q.Set("state", f.state)
	}
	if f.model != "" {
		q.Set("model", f.model)
	}
	if f.severity != "" {
		q.Set("severity", f.severity)
	}
	return q
}

func (p *program) list(ctx context.Context, s *service, f alertFilter, asJSON bool) error {
	var got incidents
	if err := s.get(ctx, "/api/v1/incidents", f.query(), &got); err != nil {
		return err
	}
	if len(got.Incidents) == f.limit {
		fmt.Fprintf(p.err, "Only %d are listed; there may be more (--limit).\n", f.limit)
	}
	if asJSON {
		return printJSON(p.out, got)
	}
	if len(got.Incidents) == 0 {
		return p.nothing(ctx, s, f)
	}
	rows := [][]string{{"STATE", "SEVERITY", "MODEL", "VERSION", "SINCE", "RESOLVED", "INCIDENT", "TITLE"}}
	for i := range got.Incidents {
		in := &got.Incidents[i]
		rows = append(rows, []string{
			string(in.State), string(in.Severity), in.Model, in.Version, moment(in.Onset), moment(in.Resolved), in.Incident, in.Title,
		})
	}
	table(p.out, rows...)
	return nil
}

// models is the part of /api/v1/models that an empty list needs.
type models struct {
	Models []struct {
		Model  string        `json:"model"`
		State  schemas.State `json:"state"`
		Reason string        `json:"reason"`
	} `json:"models"`
}

// nothing says that the list is empty, and what was not judged: a list is also
// empty where nobody looked.
func (p *program) nothing(ctx context.Context, s *service, f alertFilter) error {
	of := ""
	if f.model != "" || f.severity != "" {
		of = " of those asked for"
	}
	switch f.state {
	case "all":
		fmt.Fprintf(p.err, "There is no incident%s.\n", of)
	default:
		fmt.Fprintf(p.err, "Nothing%s is %s.\n", of, f.state)
	}
	var got models
	if err := s.get(ctx, "/api/v1/models", nil, &got); err != nil {
		return err
	}
	if len(got.Models) == 0 {
		fmt.Fprintln(p.err, "No model is watched yet.")
	}
	for _, m := range got.Models {
		if m.State != schemas.StateUnknown || f.model != "" && f.model != m.Model {
			continue
		}
		line := m.Model + " is not judged"
		if m.Reason != "" {
			line += ": " + m.Reason
		}
		fmt.Fprintln(p.err, plain(line))
	}
	return nil
}

// follow prints what the filter selects, and from then on every change of it.
func (p *program) follow(ctx context.Context, s *service, f alertFilter, asJSON bool) error {
	want := f.state
	f.state, f.limit = "all", followed // what was shown as firing is shown again as resolved
	told := map[string]schemas.Incident{}
	away := false
	for first := true; ctx.Err() == nil; first = false {
		var got incidents
		err := s.get(ctx, "/api/v1/incidents", f.query(), &got)
		if err != nil && ctx.Err() == nil {
			if first {
				return err
			}
			if !away {
				fmt.Fprintf(p.err, "%s; trying again.\n", lines(err.Error()))
			}
		}
		away = err != nil
		if err := p.changes(got.Incidents, told, want, asJSON); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
		case <-time.After(followEvery):
		}
	}
	return nil
}

// changes prints the incidents that are not as they were told last, oldest change first.
func (p *program) changes(list []schemas.Incident, told map[string]schemas.Incident, want string, asJSON bool) error {
	slices.SortStableFunc(list, func(a, b schemas.Incident) int {
		return cmp.Or(a.Updated.Compare(b.Updated), cmp.Compare(a.Incident, b.Incident))
	})
	for _, in := range list {
		before, known := told[in.Incident]
		if known && before.State == in.State && before.Messages == in.Messages && before.Updated.Equal(in.Updated) {
			continue
		}
		if !known && want != "all" && string(in.State) != want {
			continue
		}
		told[in.Incident] = in
		if asJSON {
			if err := printJSON(p.out, in); err != nil {
				return err
			}
			continue
		}
		fmt.Fprintf(p.out, "%s  %-8s  %-8s  %s  %s  (%s)\n", moment(in.Updated), in.State, in.Severity, plain(in.Model), plain(in.Title), plain(in.Incident))
	}
	return nil
}
