package main

import (
	"cmp"
	"fmt"
	"net/url"

	"github.com/spf13/cobra"

	"github.com/modelwatch/modelwatch/schemas"
)

func (p *program) mark() *cobra.Command {
	var by, note string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "mark INCIDENT true|false",
		Short: "Say whether an incident was worth being told",
		Long: `mark keeps what you say of an incident: true, it was worth being told, or false, it
was not. Of several marks the last counts. The budget of a model counts what is
marked false or not marked at all; where false ones exceed what chance allows,
the monitor becomes less sensitive from the next window on, until the promise
holds again. With operator tokens in use, marking needs one.`,
		Example: `  modelwatch alerts mark flight-delay-20081104T1405-7c1e true
  modelwatch alerts mark flight-delay-20081104T1405-7c1e false --note "a storm"`,
		Args: arguments(2, 2, "the id of an incident, and true or false"),
		ValidArgsFunction: func(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			if len(args) == 1 {
				return []string{string(schemas.MarkTrue), string(schemas.MarkFalse)}, cobra.ShellCompDirectiveNoFileComp
			}
			return nil, cobra.ShellCompDirectiveNoFileComp
		},
	}
	service := p.serviceFlags(cmd)
	cmd.Flags().StringVar(&by, "by", "", "`name` of who says so (else USER of the environment)")
	cmd.Flags().StringVar(&note, "note", "", "`text` for whoever reads it later")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON object")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		verdict := schemas.MarkVerdict(args[1])
		if verdict != schemas.MarkTrue && verdict != schemas.MarkFalse {
			return usage(cmd, "%q is neither true nor false", args[1])
		}
		s, err := service()
		if err != nil {
			return err
		}
		user, _ := p.env("USER")
		var m schemas.IncidentMark
		said := schemas.IncidentMark{Verdict: verdict, By: cmp.Or(by, user), Note: note}
		if err := s.post(cmd.Context(), "/api/v1/incidents/"+url.PathEscape(args[0])+"/mark", said, &m); err != nil {
			return fmt.Errorf("marking %s: %w", args[0], err)
		}
		if asJSON {
			return printJSON(p.out, m)
		}
		fmt.Fprintf(p.out, "%s is marked %s.\n", plain(m.Incident), m.Verdict)
		return nil
	}
	return cmd
}
