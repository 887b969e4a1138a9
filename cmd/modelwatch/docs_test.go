package main_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var shell = regexp.MustCompile("(?ms)^```sh\n(.*?)^```")

// Every command that the pages show is one of the program, with flags that it has.
func TestCommandsOfThePagesExist(t *testing.T) {
	files, err := filepath.Glob("../../docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	shown := 0
	for _, file := range append(files, "../../README.md") {
		body, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, block := range shell.FindAllSubmatch(body, -1) {
			for line := range strings.Lines(string(block[1])) {
				if words := strings.Fields(line); len(words) > 1 && words[0] == "modelwatch" {
					shown++
					if why := unknown(t, words[1:]); why != "" {
						t.Errorf("%s: %s: %s", file, strings.TrimSpace(line), why)
					}
				}
			}
		}
	}
	if shown < 5 {
		t.Errorf("only %d commands are shown", shown)
	}
	for _, wrong := range []string{"runn", "run --chek-config", "bench ingst", "alerts --state all --modell m"} {
		if unknown(t, strings.Fields(wrong)) == "" {
			t.Errorf("`modelwatch %s` is not noticed", wrong)
		}
	}
}

// unknown says what of a command the program does not have, "" for nothing.
func unknown(t *testing.T, words []string) string {
	t.Helper()
	var names, flags []string
	for _, w := range words {
		if w == "#" || w == "|" || w == "&&" || w == ">" {
			break
		}
		if name, ok := strings.CutPrefix(w, "--"); ok {
			name, _, _ = strings.Cut(name, "=")
			flags = append(flags, name)
		} else if len(flags) == 0 {
			names = append(names, w)
		}
	}
	help := setup{}.modelwatch(t, append(names[:len(names):len(names)], "--help")...).out
	_, usage, _ := strings.Cut(help, "Usage:\n  modelwatch ")
	usage, _, _ = strings.Cut(usage, "\n")
	switch {
	case !strings.HasPrefix(usage, names[0]+" ") && usage != names[0]:
		return "there is no command " + names[0]
	case strings.Contains(help, "\nAvailable Commands:\n") && len(names) > 1:
		return "there is no command " + strings.Join(names, " ")
	}
	for _, f := range flags {
		if !regexp.MustCompile(`(?m)^ +(-\w, )?--` + regexp.QuoteMeta(f) + `\b`).MatchString(help) {
			return "there is no flag --" + f
		}
	}
	return ""
}
