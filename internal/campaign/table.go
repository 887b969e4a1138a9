package campaign

import (
	"fmt"
	"io"
	"text/tabwriter"
)

// Table prints a report for people.
func (r *Report) Table(to io.Writer) error {
	t := tabwriter.NewWriter(to, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "hurt\ttimes\trows\tdifferences\trecovery s\tpeak MiB\n")
	for _, h := range r.Hurts {
		fmt.Fprintf(t, "%s\t%d\t%d\t%d\t%.1f\t%d\n", h.Name, h.Times, h.Rows, h.Differences, h.Recovery, h.PeakMemory>>20)
	}
	fmt.Fprintln(t)
	if len(r.Guards) > 0 {
		fmt.Fprintf(t, "guard broken\tnoticed\tby\n")
		for _, g := range r.Guards {
			how := g.How
			if len(how) > 100 {
				how = how[:100] + " ..."
			}
			fmt.Fprintf(t, "%s\t%t\t%s\n", g.Name, g.Noticed, how)
		}
		fmt.Fprintln(t)
	}
	fmt.Fprintf(t, "seed %d, %d kills, %.0f s\n", r.Seed, r.Kills, r.Seconds)
	for _, p := range r.Problems {
		fmt.Fprintf(t, "WRONG: %s\n", p)
	}
	return t.Flush()
}
