package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/rs/zerolog"
	"github.com/spf13/cobra"

	"github.com/modelwatch/modelwatch/internal/app"
	"github.com/modelwatch/modelwatch/internal/config"
	"github.com/modelwatch/modelwatch/internal/preflight"
	"github.com/modelwatch/modelwatch/schemas"
)

// The weights of a remark: an error keeps a monitor from being put in force, a
// warning is something it will not see, a note a key that changes nothing yet.
const (
	weightError   = "error"
	weightWarning = "warning"
	weightNote    = "note"
)

// remark is one thing to say of a file.
type remark struct {
	Severity string `json:"severity"`
	schemas.Problem
}

// String writes the remark as compilers do, so that editors find the place.
func (r remark) String() string {
	message := r.Problem
	message.File, message.Line = "", 0
	s := r.Severity + ": " + message.String()
	switch {
	case r.Line > 0:
		s = fmt.Sprintf("%s:%d:%d: %s", r.File, r.Line, r.Column, s)
	case r.File != "":
		s = r.File + ": " + s
	}
	return plain(s)
}

// checked is a monitor that is sound.
type checked struct {
	Model    string `json:"model"`
	File     string `json:"file"`
	Features int    `json:"features"`
	Spec     string `json:"spec"`
}

// report is what a check found.
type report struct {
	OK          bool                `json:"ok"`
	Settings    string              `json:"settings,omitempty"` // the file, "" for none
	Monitors    []checked           `json:"monitors"`
	Problems    []remark            `json:"problems"`
	Connections []preflight.Finding `json:"connections,omitempty"`
}

func newReport() *report { return &report{OK: true, Monitors: []checked{}, Problems: []remark{}} }

// wrong notes everything that err says as errors.
func (r *report) wrong(err error) {
	if err == nil {
		return
	}
	r.OK = false
	list := config.Problems(err)
	if list == nil {
		list = []schemas.Problem{{Message: err.Error()}}
	}
	for _, p := range list {
		r.Problems = append(r.Problems, remark{weightError, p})
	}
}

// sound notes the monitors that can be put in force, and what they will not do.
func (r *report) sound(monitors []config.Monitor) {
	for i := range monitors {
		m := &monitors[i]
		r.Monitors = append(r.Monitors, checked{m.Model, m.File, m.Layout.Features(), m.Spec.Hash()})
		note := func(severity string, at *schemas.YAML, message, hint string) {
			p := schemas.Problem{File: m.File, Message: message, Hint: hint}
			if at != nil {
				p.Line, p.Column, p.Path = at.Line, at.Column, at.Path
			}
			r.Problems = append(r.Problems, remark{severity, p})
		}
		if m.Baseline == nil {
			note(weightWarning, m.Place(), "no baseline: drift, and rates without a rule, stay unknown", "write one with `modelwatch profile` and name it under `baseline`")
		}
		if b := m.Baseline; b != nil && b.Window != 0 && b.Window != m.Window {
			note(weightWarning, m.Place("window"), fmt.Sprintf("the baseline is of windows of %s: what it says of healthy windows does not hold for %s, so everything that compares stays unknown", b.Window, m.Window),
				fmt.Sprintf("set `window: %s`, or profile again with --window %s", b.Window, m.Window))
		}
		for _, rule := range m.Past(time.Now()) {
			note(weightWarning, m.Place("rules"), fmt.Sprintf("%s is over since %s", rule.String(), rule.Until.Format(time.DateOnly)), "remove it, or move the date if it is still right")
		}
		for _, path := range m.Unserved() {
			at := m.Place(strings.Split(strings.TrimPrefix(path, "$."), ".")...)
			place := schemas.YAML{Path: path}
			if at != nil {
				place.Line, place.Column = at.Line, at.Column
			}
			note(weightNote, &place, "this key is accepted, and this version does not act on it yet", "")
		}
	}
}

// print writes the report and returns errTold where it holds an error.
func (p *program) print(r *report, asJSON bool) error {
	if asJSON {
		if err := printJSON(p.out, r); err != nil {
			return err
		}
	} else {
		counts := map[string]int{}
		for _, remark := range r.Problems {
			fmt.Fprintln(p.out, remark)
			counts[remark.Severity]++
		}
		for _, f := range r.Connections {
			p.printFinding(f)
		}
		fmt.Fprintf(p.out, "%s sound: %s, %s, %s\n", count(len(r.Monitors), "monitor"),
			count(counts[weightError], weightError), count(counts[weightWarning], weightWarning), count(counts[weightNote], weightNote))
	}
	if !r.OK {
		return errTold
	}
	return nil
}

func (p *program) printFinding(f preflight.Finding) {
	line := fmt.Sprintf("%-5s %s: %s", f.State, f.Subject, f.Message)
	if f.Hint != "" {
		line += "; " + f.Hint
	}
	fmt.Fprintln(p.out, plain(line))
}

func (p *program) check() *cobra.Command {
	var asJSON, connect bool
	cmd := &cobra.Command{
		Use:   "check PATH...",
		Short: "Check monitor files, and whether events fit them",
		Long: `check reads monitor files, or all those of a folder, with the baselines that they
name, and prints all that is wrong at once: place, key, what, and what to do.
Warnings say what a monitor will not see, notes which keys change nothing yet.

With --connect it also tries Kafka, ClickHouse and NATS as the settings name
them and says which rights their users lack or have beyond need, looks at each
topic and decodes its latest events: how many can be used, why the others
cannot, and which features events and monitor do not share.
Nothing is changed on the servers.`,
		Example: `  modelwatch check monitors
  modelwatch check monitors/flight-delay.yaml --json
  modelwatch check monitors --connect --config modelwatch.yaml`,
		Args: arguments(1, -1, "a monitor file or a folder of them"),
	}
	settings := p.settingsFlags(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON object")
	cmd.Flags().BoolVar(&connect, "connect", false, "also try the servers of the settings, and the latest events")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		r := newReport()
		files, err := monitorFiles(args)
		r.wrong(err)
		monitors, err := config.ReadMonitors(files)
		r.wrong(err)
		r.sound(monitors)
		if err == nil && len(files) == 0 && r.OK {
			r.wrong(errors.New("there is no monitor file; they end in .yaml or .yml"))
		}
		if connect {
			s, path, err := settings()
			r.Settings = path
			r.wrong(err)
			if err == nil {
				r.sensitive(*s, monitors)
				if err := r.connect(cmd.Context(), *s, monitors); err != nil {
					return err
				}
			}
		}
		return p.print(r, asJSON)
	}
	return cmd
}

// sensitive notes features whose values are left out for want of a key.
func (r *report) sensitive(s config.Settings, monitors []config.Monitor) {
	if s.HashKey.Reveal() != "" {
		return
	}
	for i := range monitors {
		m := &monitors[i]
		for _, name := range slices.Sorted(maps.Keys(m.Features)) {
			if !m.Features[name].Sensitive {
				continue
			}
			p := schemas.Problem{File: m.File, Message: fmt.Sprintf("values of `%s` are left out wherever rows are shown", name), Hint: "set `hash_key_file` to have equal ones told from others"}
			if at := m.Place("features", name, "sensitive"); at != nil {
				p.Line, p.Column, p.Path = at.Line, at.Column, at.Path
			}
			r.Problems = append(r.Problems, remark{weightNote, p})
		}
	}
}

// monitorFiles lists the files that paths name, folders by their monitor files.
func monitorFiles(paths []string) ([]string, error) {
	var files []string
	var p schemas.Problems
	for _, path := range paths {
		about, err := os.Stat(path)
		switch {
		case err != nil:
			p.Add(&schemas.YAML{File: path}, "there is no such file or folder", "")
		case about.IsDir():
			found, err := config.MonitorFiles(path)
			p.Join(err)
			files = append(files, found...)
		default:
			files = append(files, path)
		}
	}
	return files, p.Err()
}

func (r *report) connect(ctx context.Context, s config.Settings, monitors []config.Monitor) error {
	err := app.Preflight(ctx, s, monitors, func(f preflight.Finding) {
		r.Connections = append(r.Connections, f)
		r.OK = r.OK && f.State != preflight.Error
	}, zerolog.Nop())
	if err != nil {
		return fmt.Errorf("trying the servers: %w", err)
	}
	return nil
}
