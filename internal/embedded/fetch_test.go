package embedded_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/modelwatch/modelwatch/internal/embedded"
)

// fakeNPM puts a program named npm on PATH, alone, with this body. In it $to
// is the folder the package belongs to.
func fakeNPM(t *testing.T, body string) (calls func() int) {
	t.Helper()
	bin, log := t.TempDir(), filepath.Join(t.TempDir(), "calls")
	script := "#!/bin/sh\nPATH=/usr/bin:/bin\necho \"$@\" >> '" + log + "'\nto=\"$3/node_modules/@data/flights\"\n" + body + "\n"
	if err := os.WriteFile(filepath.Join(bin, "npm"), []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", bin)
	return func() int {
		text, err := os.ReadFile(log)
		if errors.Is(err, os.ErrNotExist) {
			return 0
		}
		if err != nil {
			t.Fatal(err)
		}
		return strings.Count(string(text), "\n")
	}
}

const installs = `mkdir -p "$to" && echo '{"version":"1.2.3"}' > "$to/package.json" && echo content > "$to/data.csv"`

func fetch(t *testing.T, dir string) (string, error) {
	t.Helper()
	return embedded.FetchNPM(t.Context(), dir, "@data/flights", "1.2.3", "data.csv", nil)
}

func wantError(t *testing.T, err error, parts ...string) {
	t.Helper()
	if err == nil {
		t.Fatalf("no error, want one with %q", parts)
	}
	for _, part := range parts {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("error %q lacks %q", err, part)
		}
	}
}

func wantContent(t *testing.T, path string) {
	t.Helper()
	got, err := os.ReadFile(path)
	if err != nil || string(got) != "content\n" {
		t.Fatalf("got %q (%v), want the package's file", got, err)
	}
}

func TestFetchNPM_OnceForSeveralCallers(t *testing.T) {
	calls := fakeNPM(t, "sleep 0.2; "+installs)
	dir := t.TempDir()
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			path, err := fetch(t, dir)
			if err != nil {
				t.Error(err)
				return
			}
			if got, err := os.ReadFile(path); err != nil || string(got) != "content\n" {
				t.Errorf("got %q (%v)", got, err)
			}
		})
	}
	wg.Wait()
	if n := calls(); n != 1 {
		t.Errorf("npm ran %d times, want once", n)
	}
	t.Setenv("PATH", t.TempDir()) // what is there needs no npm
	path, err := fetch(t, dir)
	if err != nil {
		t.Fatal(err)
	}
	wantContent(t, path)
}

func TestFetchNPM_RepairsWhatIsIncomplete(t *testing.T) {
	calls := fakeNPM(t, installs)
	dir := t.TempDir()
	path, err := fetch(t, dir)
	if err != nil {
		t.Fatal(err)
	}
	home := strings.TrimSuffix(path, "/node_modules/@data/flights/data.csv")
	for what, spoil := range map[string]func() error{
		"cut file":     func() error { return os.Truncate(path, 3) },
		"missing file": func() error { return os.Remove(path) },
		"no receipt":   func() error { return os.Remove(filepath.Join(home, "installed.json")) },
		"interrupted download": func() error {
			if err := os.RemoveAll(home); err != nil {
				return err
			}
			return os.MkdirAll(filepath.Join(home+".partial", "node_modules", "@data", "flights", "data.csv"), 0o750)
		},
	} {
		before := calls()
		if err := spoil(); err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		got, err := fetch(t, dir)
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		if got != path || calls() != before+1 {
			t.Errorf("%s: %s after %d runs of npm, want %s after 1", what, got, calls()-before, path)
		}
		wantContent(t, got)
	}
}

func TestFetchNPM_Failure(t *testing.T) {
	f := func(what, body string, want ...string) {
		t.Helper()
		fakeNPM(t, body)
		dir := t.TempDir()
		_, err := fetch(t, dir)
		wantError(t, err, append(want, "fetching @data/flights@1.2.3")...)
		fakeNPM(t, installs)
		if _, err := fetch(t, dir); err != nil {
			t.Errorf("after %s the next start fails too: %v", what, err)
		}
	}
	f("no network", "echo npm warn old >&2; echo npm error network down >&2; exit 1",
		"network down", "check the network")
	f("another version", strings.Replace(installs, "1.2.3", "1.2.4", 1), "version 1.2.4 instead of 1.2.3")
	f("a missing file", strings.Replace(installs, "data.csv", "other.csv", 1), "has no file data.csv")
	f("nothing installed", "exit 0", "checking what npm installed")
}

func TestFetchNPM_WithoutNPM(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	_, err := fetch(t, t.TempDir())
	wantError(t, err, "npm is not on PATH", "install Node.js")
	if !errors.Is(err, embedded.ErrNoNPM) {
		t.Error("the error does not wrap ErrNoNPM")
	}
}

func TestFetchNPM_EndsWithContext(t *testing.T) {
	fakeNPM(t, "exec sleep 60")
	ctx, cancel := context.WithCancel(t.Context())
	reports := make(chan embedded.Progress, 100)
	_, err := embedded.FetchNPM(ctx, t.TempDir(), "@data/flights", "1.2.3", "data.csv", func(p embedded.Progress) {
		reports <- p
		cancel()
	})
	if !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v, want that it was cancelled", err)
	}
	if p := <-reports; p.Package != "@data/flights@1.2.3" {
		t.Errorf("progress of %q", p.Package)
	}
}

func TestFetchEngine_WithoutNPM(t *testing.T) {
	if runtime.GOOS != "linux" || runtime.GOARCH != "amd64" {
		_, err := embedded.FetchEngine(t.Context(), t.TempDir(), nil)
		wantError(t, err, runtime.GOOS+"/"+runtime.GOARCH, "clickhouse.addr")
		return
	}
	t.Setenv("PATH", t.TempDir())
	_, err := embedded.FetchEngine(t.Context(), t.TempDir(), nil)
	wantError(t, err, "npm is not on PATH", "install Node.js", "clickhouse.addr")
}

func TestFetchEngine_RefusesAnotherSize(t *testing.T) {
	if runtime.GOOS != "linux" || runtime.GOARCH != "amd64" {
		t.Skip("there is no engine for this platform")
	}
	fakeNPM(t, `to="$3/node_modules/@chdb/lib-linux-x64-gnu"
mkdir -p "$to" && echo '{"version":"26.7.3-stable.1"}' > "$to/package.json" && echo short > "$to/libchdb.so"`)
	dir := t.TempDir()
	_, err := embedded.FetchEngine(t.Context(), dir, nil)
	wantError(t, err, "libchdb.so has 6 bytes instead of 566330096")
	if left, _ := filepath.Glob(filepath.Join(dir, "*.partial")); len(left) != 0 {
		t.Errorf("left behind: %q", left)
	}
}

func TestProgress_String(t *testing.T) {
	got := []string{
		embedded.Progress{Package: "a@1", Bytes: 5 << 20}.String(),
		embedded.Progress{Package: "a@1", Bytes: 5 << 20, Total: 10 << 20}.String(),
		embedded.Progress{Package: "a@1", Bytes: 15 << 20, Total: 10 << 20}.String(),
	}
	want := []string{"fetching a@1: 5 MB", "fetching a@1: 5 of 10 MB", "fetching a@1: 10 of 10 MB"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}
