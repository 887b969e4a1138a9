package main

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/modelwatch/modelwatch/schemas"
)

// The exit codes.
const (
	exitOK     = 0
	exitFailed = 1
	exitUsage  = 2
)

// program is what the commands share.
type program struct {
	out, err io.Writer
	env      func(string) (string, bool)
}

// usageError is a mistake in how the program was called.
type usageError struct {
	error
	command string // whose help tells more
}

// Unwrap returns the mistake itself.
func (e usageError) Unwrap() error { return e.error }

func usage(cmd *cobra.Command, format string, values ...any) error {
	return usageError{fmt.Errorf(format, values...), cmd.CommandPath()}
}

// errTold ends a command as failed whose output has said why.
var errTold = errors.New("failed")

// execute runs the command that args name and returns the exit code.
func (p *program) execute(args []string) int {
	root := p.root()
	root.SetArgs(args)
	root.SetOut(p.out)
	root.SetErr(p.err)
	err := root.Execute()
	var wrong usageError
	switch {
	case err == nil:
		return exitOK
	case errors.Is(err, errTold):
		return exitFailed
	case errors.As(err, &wrong):
		fmt.Fprintf(p.err, "modelwatch: %s\nSee `%s --help`.\n", lines(err.Error()), wrong.command)
		return exitUsage
	}
	fmt.Fprintf(p.err, "modelwatch: %s\n", lines(err.Error()))
	return exitFailed
}

func (p *program) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "modelwatch",
		Short: "Watch machine-learning models in production",
		Long: `modelwatch watches machine-learning models in production on the event bus: it
reads features, predictions and labels from Kafka, finds hard errors, soft
errors and drift, and tells people and retraining jobs.

Exit codes: 0 ok, 1 failed, 2 wrong usage.`,
		Example: `  modelwatch run                       # everything embedded, on this machine
  modelwatch check monitors            # are the monitor files sound?
  modelwatch alerts                    # what is wrong now?`,
		SilenceErrors: true,
		SilenceUsage:  true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return cmd.Help()
		},
	}
	root.Args = unknownCommand
	root.SetFlagErrorFunc(flagError)
	root.SetHelpCommand(p.help())
	root.AddCommand(p.demo(), p.run(), p.check(), p.alerts(), p.explain(), p.profile(), p.backtest(), p.doctor(), p.rewind(), p.backfill(), p.bench(), p.version())
	root.InitDefaultCompletionCmd()
	if completion, _, err := root.Find([]string{"completion"}); err == nil && completion != root {
		completion.Args = unknownCommand
		completion.RunE = func(cmd *cobra.Command, _ []string) error { return cmd.Help() }
		completion.Example = "  source <(modelwatch completion bash)\n  modelwatch completion fish > ~/.config/fish/completions/modelwatch.fish"
		for _, shell := range completion.Commands() {
			shell.Example = "  modelwatch completion " + shell.Name()
			shell.Args = arguments(0, 0, "")
		}
	}
	return root
}

// unknownCommand takes no arguments: whatever is left was meant as a command.
func unknownCommand(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	var names []string
	for _, c := range cmd.Commands() {
		if c.IsAvailableCommand() || c.Name() == "help" {
			names = append(names, c.Name())
		}
	}
	return usage(cmd, "unknown command %q for %s; %s", args[0], cmd.CommandPath(), schemas.DidYouMean(args[0], names))
}

func flagError(cmd *cobra.Command, err error) error {
	var unknown *pflag.NotExistError
	if !errors.As(err, &unknown) {
		return usageError{err, cmd.CommandPath()}
	}
	var names []string
	cmd.Flags().VisitAll(func(f *pflag.Flag) { names = append(names, f.Name) })
	if near := schemas.Nearest(unknown.GetSpecifiedName(), names); near != "" {
		return usage(cmd, "%w; did you mean --%s?", err, near)
	}
	return usageError{err, cmd.CommandPath()}
}

// arguments checks the number of arguments; most < 0 is no bound.
func arguments(least, most int, names string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		switch {
		case len(args) < least:
			return usage(cmd, "%s is missing", names)
		case most >= 0 && len(args) > most:
			return usage(cmd, "%q is one argument too many", args[most])
		}
		return nil
	}
}

// oneOf checks the value of a flag.
func oneOf(cmd *cobra.Command, flag, value string, known ...string) error {
	for _, k := range known {
		if value == k {
			return nil
		}
	}
	return usage(cmd, "--%s: %q is not known; %s", flag, value, schemas.DidYouMean(value, known))
}

// offer completes the values of a flag in the shell.
func offer(cmd *cobra.Command, flag string, values ...string) {
	// The only error is a flag that does not exist, which every test of the command would show.
	_ = cmd.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp))
}

func (p *program) help() *cobra.Command {
	return &cobra.Command{
		Use:     "help [COMMAND]",
		Short:   "Tell about a command",
		Example: "  modelwatch help run",
		RunE: func(cmd *cobra.Command, args []string) error {
			about, left, err := cmd.Root().Find(args)
			if err != nil || len(left) > 0 {
				return unknownCommand(cmd.Root(), args)
			}
			about.InitDefaultHelpFlag()
			return about.Help()
		},
		ValidArgsFunction: func(cmd *cobra.Command, args []string, start string) ([]string, cobra.ShellCompDirective) {
			var names []string
			for _, c := range cmd.Root().Commands() {
				if len(args) == 0 && c.IsAvailableCommand() && strings.HasPrefix(c.Name(), start) {
					names = append(names, c.Name())
				}
			}
			return names, cobra.ShellCompDirectiveNoFileComp
		},
	}
}
