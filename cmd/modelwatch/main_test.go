package main_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/modelwatch/modelwatch/internal/testkit"
)

// binary is the program under test, built once.
var binary string

func TestMain(m *testing.M) {
	if handled, code := testkit.ChildMain(os.Args[1:]); handled {
		os.Exit(code)
	}
	os.Exit(tests(m))
}

func tests(m *testing.M) int {
	dir, err := os.MkdirTemp("", "modelwatch")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	binary = filepath.Join(dir, "modelwatch")
	if out, err := exec.Command("go", "build", "-o", binary, ".").CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "building the program: %v\n%s", err, out)
		return 1
	}
	return testkit.Main(m)
}

// result is what one run of the program left.
type result struct {
	out, err string
	code     int
}

// setup is where a run of the program takes place.
type setup struct {
	dir string
	env []string
}

// modelwatch runs the program to its end.
func (s setup) modelwatch(t *testing.T, args ...string) result {
	t.Helper()
	var out, messages bytes.Buffer
	cmd := exec.CommandContext(t.Context(), binary, args...)
	cmd.Stdout, cmd.Stderr, cmd.Dir = &out, &messages, s.dir
	cmd.Env = append(os.Environ(), s.env...)
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return result{out.String(), messages.String(), cmd.ProcessState.ExitCode()}
}

func modelwatch(t *testing.T, args ...string) result {
	t.Helper()
	return setup{}.modelwatch(t, args...)
}

// golden compares with a file of testdata, or writes it where UPDATE is set.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if os.Getenv("UPDATE") != "" {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s: got\n%s\nwant\n%s", path, got, want)
	}
}

func file(t *testing.T, dir, name, body string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(body), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestHelp(t *testing.T) {
	f := func(args ...string) {
		t.Helper()
		got := modelwatch(t, append(args, "--help")...)
		if got.code != 0 || got.err != "" || !strings.Contains(got.out, "\nExamples:\n  ") {
			t.Errorf("%v: exit %d, %s%s", args, got.code, got.out, got.err)
		}
		if again := modelwatch(t, append([]string{"help"}, args...)...); again != got {
			t.Errorf("help %v differs from %v --help: %+v", args, args, again)
		}
	}
	f()
	for _, name := range []string{"run", "check", "alerts", "explain", "profile", "version", "completion", "help"} {
		f(name)
	}
	f("completion", "zsh")
	if got := modelwatch(t); got != modelwatch(t, "--help") {
		t.Errorf("without arguments: %+v", got)
	}
}

func TestUsage(t *testing.T) {
	f := func(want string, args ...string) {
		t.Helper()
		got := modelwatch(t, args...)
		if got.code != 2 || got.out != "" || !strings.Contains(got.err, want) || !strings.Contains(got.err, "--help`") {
			t.Errorf("%v: exit %d, %q%q, want %q", args, got.code, got.out, got.err, want)
		}
	}
	f("unknown command \"chek\" for modelwatch; did you mean `check`?", "chek")
	f("unknown command \"chek\" for modelwatch; did you mean `check`?", "help", "chek")
	f("\"x\" is one argument too many", "demo", "x")
	f("\"x\" is one argument too many", "completion", "bash", "x")
	f("known here: bash, fish, powershell, zsh", "completion", "tcsh-like")
	f("did you mean --config?", "run", "--confg", "x")
	f("did you mean --kafka.brokers?", "run", "--kafka.broker", "x")
	f("unknown flag: --verbose", "version", "--verbose")
	f("\"now\" is one argument too many", "version", "now")
	f("a monitor file or a folder of them is missing", "check")
	f("the id of an incident is missing", "explain")
	f("--state: \"fring\" is not known; did you mean `firing`?", "alerts", "--state", "fring")
	f("--severity: \"page\" is not known", "alerts", "--severity", "page")
	f("--limit: 0 is not between 1 and 1000", "alerts", "--limit", "0")
	f("is not the address of a service", "alerts", "--url", "127.0.0.1:8080")
	f("--json goes with --check-config", "run", "--json")
	f("--model is missing", "profile", "data.csv")
	f("--window", "profile", "data.csv", "--model", "m", "--window", "long")
}

func TestVersion(t *testing.T) {
	got := modelwatch(t, "version")
	if got.code != 0 || !strings.HasPrefix(got.out, "modelwatch ") || !strings.Contains(got.out, " go1.") {
		t.Errorf("%+v", got)
	}
	var about struct{ Version, Go, Platform string }
	object(t, modelwatch(t, "version", "--json"), &about)
	if about.Version == "" || !strings.HasPrefix(about.Go, "go1.") || !strings.Contains(about.Platform, "/") {
		t.Errorf("%+v", about)
	}
}

func TestCompletion(t *testing.T) {
	for _, shell := range []string{"bash", "zsh", "fish", "powershell"} {
		if got := modelwatch(t, "completion", shell); got.code != 0 || !strings.Contains(got.out, "modelwatch") {
			t.Errorf("%s: exit %d, %d bytes", shell, got.code, len(got.out))
		}
	}
	f := func(want string, args ...string) {
		t.Helper()
		if got := modelwatch(t, append([]string{"__complete"}, args...)...); !strings.Contains(got.out, want) {
			t.Errorf("%v: %s, want %s", args, got.out, want)
		}
	}
	f("explain\t", "expl")
	f("resolved\n", "alerts", "--state", "r")
	f("--kafka.brokers", "run", "--kafka.b")
}
