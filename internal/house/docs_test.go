package house

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"unicode"

	"github.com/modelwatch/modelwatch/schemas"
)

// pages returns README.md and all of docs, by path.
func pages(t *testing.T) map[string]string {
	t.Helper()
	out := map[string]string{}
	read := func(path string) {
		body, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		out[path] = string(body)
	}
	read(filepath.Join(root, "README.md"))
	err := filepath.WalkDir(filepath.Join(root, "docs"), func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && filepath.Ext(path) == ".md" {
			read(path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(out) < 10 {
		t.Fatalf("only %d pages", len(out))
	}
	return out
}

var (
	fence   = regexp.MustCompile("(?ms)^```([a-z]*)\n(.*?)^```")
	link    = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	heading = regexp.MustCompile(`(?m)^#+ (.*)$`)
)

func TestLinksOfPagesResolve(t *testing.T) {
	all := pages(t)
	links := 0
	for page, body := range all {
		for _, found := range link.FindAllStringSubmatch(fence.ReplaceAllString(body, ""), -1) {
			links++
			target, part, _ := strings.Cut(found[1], "#")
			if strings.Contains(target, "://") {
				t.Errorf("%s: %s leads outside the repository", page, found[1])
				continue
			}
			path := page
			if target != "" {
				path = filepath.Join(filepath.Dir(page), filepath.FromSlash(target))
			}
			if _, err := os.Stat(path); err != nil {
				t.Errorf("%s: %s leads nowhere", page, found[1])
			} else if part != "" && !anchors(all[path])[part] {
				t.Errorf("%s: %s has no heading #%s", page, target, part)
			}
		}
	}
	if links < 20 {
		t.Errorf("only %d links were found", links)
	}
}

// anchors are the names that readers of Markdown give to headings.
func anchors(body string) map[string]bool {
	out := map[string]bool{}
	for _, h := range heading.FindAllStringSubmatch(fence.ReplaceAllString(body, ""), -1) {
		out[strings.Map(func(r rune) rune {
			switch {
			case r == ' ':
				return '-'
			case r == '-' || r == '_' || unicode.IsLetter(r) || unicode.IsDigit(r):
				return unicode.ToLower(r)
			}
			return -1
		}, h[1])] = true
	}
	return out
}

func TestMakeTargetsOfPagesExist(t *testing.T) {
	makefile, err := os.ReadFile(filepath.Join(root, "Makefile"))
	if err != nil {
		t.Fatal(err)
	}
	shown := 0
	for page, body := range pages(t) {
		for _, block := range fence.FindAllStringSubmatch(body, -1) {
			if block[1] != "sh" {
				continue
			}
			for line := range strings.Lines(block[2]) {
				words := strings.Fields(line)
				if len(words) < 2 || words[0] != "make" {
					continue
				}
				shown++
				if !bytes.Contains(makefile, []byte("\n"+words[1]+":")) {
					t.Errorf("%s: there is no `make %s`", page, words[1])
				}
			}
		}
	}
	if shown < 2 {
		t.Error("the two commands of the README are not shown")
	}
}

// The monitors that the pages show are sound, and every key in them does something.
func TestMonitorsOfPagesAreSound(t *testing.T) {
	shown := 0
	for page, body := range pages(t) {
		for _, block := range fence.FindAllStringSubmatch(body, -1) {
			if block[1] != "yaml" || !strings.HasPrefix(block[2], "model:") {
				continue
			}
			shown++
			m, err := schemas.ParseMonitor(page, []byte(block[2]))
			if err != nil {
				t.Error(err)
			} else if keys := m.Unserved(); len(keys) > 0 {
				t.Errorf("%s shows keys that nothing acts on: %v", page, keys)
			}
		}
	}
	if shown == 0 {
		t.Error("no page shows a monitor")
	}
}

// Every room has a line in the map of the house, and every decision is found by its number.
func TestInternalsNameEveryRoom(t *testing.T) {
	page := pages(t)[filepath.Join(root, "docs", "internals.md")]
	for _, r := range rooms {
		if !strings.Contains(page, "`"+r.path+"`") {
			t.Errorf("docs/internals.md does not name the room %s", r.path)
		}
	}
}

func TestDecisionsAreNumbered(t *testing.T) {
	seen := map[string]string{}
	for page, body := range pages(t) {
		if filepath.Base(filepath.Dir(page)) != "decisions" {
			continue
		}
		number, _, _ := strings.Cut(filepath.Base(page), "-")
		if other := seen[number]; other != "" {
			t.Errorf("%s and %s have one number", page, other)
		}
		seen[number] = page
		title, _, _ := strings.Cut(body, "\n")
		if want := "# " + strings.TrimLeft(number, "0") + ". "; !strings.HasPrefix(title, want) {
			t.Errorf("%s is titled %q, it should begin with %q", page, title, want)
		}
		for _, part := range []string{"\n## Context\n", "\n## Decision\n", "\n## Consequence\n"} {
			if !strings.Contains(body, part) {
				t.Errorf("%s has no part %q", page, strings.TrimSpace(part))
			}
		}
	}
}
