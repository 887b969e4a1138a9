package config

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/modelwatch/modelwatch/schemas"
)

// maxBaselineBytes bounds a baseline file.
const maxBaselineBytes = 256 << 20

// Monitor is a monitor file with what it names and what it compiles to.
type Monitor struct {
	*schemas.Monitor
	File     string
	Baseline *schemas.Baseline // nil where it names none
	Spec     *schemas.Spec
	Layout   *schemas.Layout
}

// Monitors reads every monitor file of a folder, in order of their names. It
// returns those that are sound together with a *schemas.Problems for the
// others; two files of one model are a problem of the second. A folder without
// files is no error.
func Monitors(dir string) ([]Monitor, error) {
	paths, err := MonitorFiles(dir)
	if err != nil {
		var p schemas.Problems
		p.Join(err)
		return nil, p.Err()
	}
	return ReadMonitors(paths)
}

// MonitorFiles lists the monitor files of a folder (.yaml, .yml, not hidden),
// in order of their names.
func MonitorFiles(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("reading the folder of monitors: %w", err)
	}
	var paths []string
	for _, e := range entries {
		ext := filepath.Ext(e.Name())
		if !e.IsDir() && (ext == ".yaml" || ext == ".yml") && !strings.HasPrefix(e.Name(), ".") {
			paths = append(paths, filepath.Join(dir, e.Name()))
		}
	}
	return paths, nil
}

// ReadMonitors reads the named monitor files as Monitors does.
func ReadMonitors(paths []string) ([]Monitor, error) {
	var p schemas.Problems
	var out []Monitor
	for _, path := range paths {
		m, err := ReadMonitor(path)
		if err != nil {
			p.Join(err)
			continue
		}
		if i := slices.IndexFunc(out, func(o Monitor) bool { return o.Model == m.Model }); i >= 0 {
			p.Add(m.Place("model"), fmt.Sprintf("model `%s` has a monitor already, in %s", m.Model, out[i].File), "keep one of them")
			continue
		}
		out = append(out, *m)
	}
	return out, p.Err()
}

// ReadMonitor reads one monitor file, the baseline that it names, relative to
// the file, and compiles both. Its error is a *schemas.Problems.
func ReadMonitor(path string) (*Monitor, error) {
	var p schemas.Problems
	body, err := readBounded(path, schemas.MaxYAMLBytes)
	if err != nil {
		p.Add(&schemas.YAML{File: path}, err.Error(), "")
		return nil, p.Err()
	}
	parsed, err := schemas.ParseMonitor(path, body)
	if err != nil {
		return nil, err
	}
	m := &Monitor{Monitor: parsed, File: path}
	if parsed.Baseline != "" {
		file := parsed.Baseline
		if !filepath.IsAbs(file) {
			file = filepath.Join(filepath.Dir(path), file)
		}
		if m.Baseline, err = LoadBaseline(file); err != nil {
			p.Add(parsed.Place("baseline"), err.Error(), "write it with `modelwatch profile`")
			return nil, p.Err()
		}
	}
	m.Spec, m.Layout, err = schemas.BuildSpec(parsed, m.Baseline)
	if err != nil {
		for line := range strings.SplitSeq(err.Error(), "\n") {
			p.Add(parsed.Place(), line, "")
		}
		return nil, p.Err()
	}
	return m, nil
}

// LoadBaseline reads a baseline, checks that it is as it was written and that
// rows can be counted by it.
func LoadBaseline(path string) (*schemas.Baseline, error) {
	body, err := readBounded(path, maxBaselineBytes)
	if err != nil {
		return nil, fmt.Errorf("reading baseline: %w", err)
	}
	b, err := schemas.ParseBaseline(body)
	if err != nil {
		return nil, fmt.Errorf("reading baseline %s: %w", path, err)
	}
	if err := b.Validate(); err != nil {
		return nil, fmt.Errorf("reading baseline %s: %w", path, err)
	}
	return b, nil
}
