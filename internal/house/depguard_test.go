package house

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
)

// depguardRule is one rule of depguard in the manner of golangci-lint.
type depguardRule struct {
	ListMode string            `yaml:"list-mode"`
	Files    []string          `yaml:"files"`
	Allow    []string          `yaml:"allow"`
	Deny     []depguardRefusal `yaml:"deny"`
}

type depguardRefusal struct {
	Package string `yaml:"pkg"`
	Reason  string `yaml:"desc"`
}

// Two lists of the same rules would drift apart; this one names what to paste.
func TestLintKnowsTheSameRooms(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(root, ".golangci.yml"))
	if err != nil {
		t.Fatal(err)
	}
	var settings struct {
		Linters struct {
			Settings struct {
				Depguard struct {
					Rules map[string]depguardRule `yaml:"rules"`
				} `yaml:"depguard"`
			} `yaml:"settings"`
		} `yaml:"linters"`
	}
	if err := yaml.Unmarshal(text, &settings); err != nil {
		t.Fatalf("reading .golangci.yml: %v", err)
	}
	got := settings.Linters.Settings.Depguard.Rules
	delete(got, "everywhere") // libraries that the whole module does without, written by hand

	want := lintRules(rooms)
	for name, rule := range want {
		if !equalRules(got[name], rule) {
			block, err := yaml.Marshal(map[string]depguardRule{name: rule})
			if err != nil {
				t.Fatal(err)
			}
			t.Errorf("depguard in .golangci.yml differs from the table, which asks for\n%s", block)
		}
	}
	for name := range got {
		if _, ok := want[name]; !ok {
			t.Errorf("depguard in .golangci.yml has a rule %s, which the table does not ask for", name)
		}
	}
}

// lintRules states the table for depguard: a rule per room, except for those
// that may use everything, one for what is pure, and one for the kit of tests.
func lintRules(rooms []room) map[string]depguardRule {
	const here, mode = "${config-path}/", "original"
	pure := depguardRule{ListMode: mode}
	for _, path := range impure {
		pure.Deny = append(pure.Deny, depguardRefusal{path + "$", "this room is pure"})
	}
	rules := map[string]depguardRule{
		"tests-only": {
			ListMode: mode,
			Files:    []string{"$all", "!" + here + testOnly + "/**", "!" + here + hurting + "/**", "!$test"},
			Deny:     []depguardRefusal{{lintPattern(testOnly + "/..."), "for tests only"}},
		},
	}
	for _, r := range rooms {
		files := []string{here + r.path + "/**"}
		for _, o := range rooms {
			if strings.HasPrefix(o.path, r.path+"/") {
				files = append(files, "!"+here+o.path+"/**")
			}
		}
		if r.pure {
			pure.Files = append(pure.Files, files...)
		}
		if slices.Contains(r.libraries, "*") {
			continue
		}
		rule := depguardRule{ListMode: mode, Files: append(files, "!$test"), Allow: []string{"$gostd"}}
		for _, pattern := range append([]string{r.path + "/..."}, r.may...) {
			rule.Allow = append(rule.Allow, lintPattern(pattern))
		}
		rule.Allow = append(rule.Allow, r.allowedLibraries()...)
		for _, pattern := range r.never {
			rule.Deny = append(rule.Deny, depguardRefusal{lintPattern(pattern), "not in " + r.path})
		}
		rules[strings.ReplaceAll(r.path, "/", "-")] = rule
	}
	pure.Files = append(pure.Files, "!$test")
	rules["pure"] = pure
	return rules
}

// lintPattern writes a pattern of own packages as depguard does: a prefix, or a
// path closed by a dollar sign.
func lintPattern(pattern string) string {
	if tree, ok := strings.CutSuffix(pattern, "..."); ok {
		return strings.TrimSuffix(module+"/"+tree, "/")
	}
	return module + "/" + pattern + "$"
}

func equalRules(a, b depguardRule) bool {
	return a.ListMode == b.ListMode && slices.Equal(a.Files, b.Files) &&
		slices.Equal(a.Allow, b.Allow) && slices.Equal(a.Deny, b.Deny)
}
