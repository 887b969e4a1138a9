package main

import (
	"bufio"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/modelwatch/modelwatch/internal/bench"
)

func (p *program) benchRows() *cobra.Command {
	shape := bench.Shape{Kind: bench.Features}
	var kind string
	var seed uint64
	var rows int
	cmd := &cobra.Command{
		Use:   "rows",
		Short: "Print the rows that the measurements use",
		Long: `rows prints the rows of a workload, one JSON object a line, so that other
programs can be measured on them. Equal seeds give equal rows.`,
		Example: `  modelwatch bench rows --features 20 --rows 500000 > rows.jsonl
  modelwatch bench rows --features 100 --rows 20000 | decoders`,
		Args: arguments(0, 0, ""),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := oneOf(cmd, "kind", kind, string(bench.Features), string(bench.Predictions)); err != nil {
				return err
			}
			if shape.Features < 1 || shape.Models < 1 || rows < 0 {
				return usage(cmd, "--features and --models are at least 1, --rows at least 0")
			}
			shape.Kind = bench.Kind(kind)
			w := bench.New(shape, seed)
			out := bufio.NewWriterSize(p.out, 1<<20)
			var line []byte
			for range rows {
				line, _ = w.Append(line[:0])
				if _, err := out.Write(append(line, '\n')); err != nil {
					return fmt.Errorf("printing rows: %w", err)
				}
			}
			return out.Flush()
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&kind, "kind", "features", "events: features or predictions")
	flags.IntVar(&shape.Features, "features", 20, "a row's features")
	flags.IntVar(&shape.Models, "models", 1, "models, in turns by chance")
	flags.IntVar(&rows, "rows", 10_000, "how many")
	flags.Uint64Var(&seed, "seed", 1, "of the rows")
	offer(cmd, "kind", string(bench.Features), string(bench.Predictions))
	return cmd
}
