package house

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// root is the top level of the repository, seen from this package.
const root = "../.."

// goPackage is what `go list -json` says of a package, as far as it is used here.
type goPackage struct {
	ImportPath string
	Dir        string
	GoFiles    []string
	Imports    []string // of the program, without its tests
}

func TestEveryImportStaysInItsRoom(t *testing.T) {
	packages := listPackages(t)
	if !slices.ContainsFunc(packages, func(p goPackage) bool { return slices.ContainsFunc(p.Imports, isOwn) }) {
		t.Fatal("go list told of no import between packages: nothing would be checked")
	}
	for _, p := range packages {
		for _, v := range importViolations(rooms, p) {
			t.Error(v)
		}
	}
}

func TestPureRoomsHaveNoClock(t *testing.T) {
	read := 0
	for _, p := range listPackages(t) {
		r, ok := roomOf(rooms, relative(p.ImportPath))
		if !ok || !r.pure && !r.single {
			continue
		}
		for _, name := range p.GoFiles {
			files := token.NewFileSet()
			file, err := parser.ParseFile(files, filepath.Join(p.Dir, name), nil, parser.SkipObjectResolution)
			if err != nil {
				t.Errorf("parsing %s: %v", name, err)
				continue
			}
			read++
			for _, v := range codeViolations(r, files, file) {
				t.Error(v)
			}
		}
	}
	if read == 0 {
		t.Error("no file of a pure room was read")
	}
}

func TestTopLevelHoldsOnlyKnownFolders(t *testing.T) {
	entries, err := os.ReadDir(root)
	if err != nil {
		t.Fatal(err)
	}
	ignore, err := os.ReadFile(filepath.Join(root, ".gitignore"))
	if err != nil {
		t.Fatal(err)
	}
	known := 0
	for _, e := range entries {
		switch {
		case !e.IsDir():
		case slices.Contains(folders, e.Name()):
			known++
		case e.Name() == ".git" || strings.Contains("\n"+string(ignore), "\n/"+e.Name()+"/\n"):
		default:
			t.Errorf("folder %s at the top level: the rooms are %s", e.Name(), strings.Join(folders, ", "))
		}
	}
	if known == 0 {
		t.Errorf("none of %s stands in %s", strings.Join(folders, ", "), root)
	}
}

// The table itself can be wrong: a room above that imports a room below would
// let a cycle of duties in, and a misspelt path would never match.
func TestTableGoesOneWay(t *testing.T) {
	for i, r := range rooms {
		if slices.ContainsFunc(rooms[:i], func(above room) bool { return above.path == r.path }) {
			t.Errorf("room %s is listed twice", r.path)
		}
		for _, pattern := range append(slices.Clone(r.may), r.never...) {
			if pattern == "..." {
				continue
			}
			path := strings.TrimSuffix(pattern, "/...")
			target, ok := roomOf(rooms, path)
			if !ok {
				t.Errorf("room %s names %s, which is in no room", r.path, pattern)
				continue
			}
			if at := slices.IndexFunc(rooms, func(o room) bool { return o.path == target.path }); at >= i {
				t.Errorf("room %s may import %s, which stands below it", r.path, pattern)
			}
		}
	}
}

// A checker that finds nothing is only worth something when it is seen to find.
func TestCheckerFindsFabricatedImports(t *testing.T) {
	f := func(importer, imported, want string) {
		t.Helper()
		got := importViolations(rooms, goPackage{ImportPath: module + "/" + importer, Imports: []string{imported}})
		switch {
		case want == "" && len(got) > 0:
			t.Errorf("%s imports %s: %q, want no violation", importer, imported, got)
		case want != "" && len(got) != 1:
			t.Errorf("%s imports %s: %q, want one violation", importer, imported, got)
		case want != "" && !(strings.Contains(got[0], want) && strings.Contains(got[0], imported)):
			t.Errorf("%s imports %s: %q, want the import and %q", importer, imported, got[0], want)
		}
	}
	own := func(path string) string { return module + "/" + path }

	f("consumers", own("schemas"), "")
	f("consumers", kafka, "")
	f("consumers", kafka+"/compress", "")
	f("consumers", kafka+"-fork", "library")
	f("consumers", own("consumers/decode"), "")
	f("consumers", own("internal/window"), "room consumers may not import internal/window")
	f("consumers", own("detectors"), "room consumers may not import detectors")
	f("consumers", own("alerting"), "room consumers may not import alerting")
	f("consumers/decode/avro", kafka, "room consumers/decode")
	f("consumers", "github.com/hamba/avro/v2", "library")
	f("detectors/drift", own("detectors"), "")
	f("detectors/drift", own("internal/store"), "room detectors may not import internal/store")
	f("detectors/drift", own("internal/bus"), "room detectors")
	f("detectors", own("alerting"), "room detectors")
	f("detectors", "gonum.org/v1/gonum/stat", "")
	f("alerting/retrain", own("detectors"), "")
	f("alerting", own("detectors/drift"), "room alerting may not import detectors/drift")
	f("alerting", "github.com/rs/zerolog", "pure")
	f("alerting/notify", "github.com/rs/zerolog", "")
	f("internal/window", "net/http", "pure")
	f("internal/window", "net/url", "")
	f("internal/window", own("schemas"), "")
	f("internal/summary", own("schemas"), "")
	f("internal/summary", own("detectors"), "room internal/summary")
	f("schemas", "os", "pure")
	f("schemas", "github.com/rs/zerolog/log", "pure")
	f("internal/ingest", own("detectors/hard"), "")
	f("internal/ingest", own("detectors/drift"), "room internal/ingest")
	f("internal/ingest", own("internal/store"), "room internal/ingest")
	f("internal/evaluate", own("alerting/fallback"), "")
	f("internal/evaluate", own("alerting/notify"), "room internal/evaluate")
	f("internal/evaluate", own("internal/bus"), "room internal/evaluate")
	f("internal/store", "github.com/nats-io/nats.go", "library")
	f("internal/bus", "github.com/nats-io/nats.go/jetstream", "")
	f("internal/bus", "github.com/ClickHouse/clickhouse-go/v2", "library")
	f("internal/bus", prometheus+"/prometheus", "library")
	f("internal/telemetry", prometheus+"/prometheus", "")
	f("internal/embedded", own("schemas"), "room internal/embedded")
	f("internal/app", own("internal/evaluate"), "")
	f("internal/app", own("cmd/modelwatch"), "room internal/app")
	f("cmd/modelwatch", own("internal/app"), "")
	f("cmd/modelwatch", own("detectors"), "room cmd/modelwatch")
	f("internal/demo", own(testOnly), "tests only")
	f("internal/testkit/cmd/testservers", own(testOnly), "")
	f("internal/campaign/cmd/faults", own(testOnly), "")
	f("examples/publish-go", kafka, "")
	f("examples/publish-go", own("schemas"), "room examples")
	f("internal/helpers", "fmt", "no room")
	f("cmd/other", "fmt", "no room")
}

func TestCheckerFindsFabricatedClocks(t *testing.T) {
	f := func(path, source string, want ...string) {
		t.Helper()
		r, ok := roomOf(rooms, path)
		if !ok {
			t.Fatalf("%s is in no room", path)
		}
		files := token.NewFileSet()
		file, err := parser.ParseFile(files, "fabricated.go", "package p\n"+source, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		got := codeViolations(r, files, file)
		if len(got) != len(want) {
			t.Errorf("%s with %q: %q, want %d violations", path, source, got, len(want))
			return
		}
		for i := range want {
			if !strings.Contains(got[i], want[i]) {
				t.Errorf("%s with %q: %q, want it to name %q", path, source, got[i], want[i])
			}
		}
	}

	f("schemas", `import "time"; var now = time.Now`, "fabricated.go:2:26: time.Now")
	f("detectors", `import clock "time"; func f() { _ = clock.Since(clock.Time{}) }`, "clock.Since")
	f("alerting/retrain", `import "time"; func f() { time.Sleep(1); time.Sleep(2) }`, "time.Sleep", "time.Sleep")
	f("schemas", `import . "time"; var now = Now()`, "dot import")
	f("schemas", `import "time"; const hour = time.Hour; func f(t time.Time) bool { return t.After(t) }`)
	f("schemas", `import time "example.org/time"; var now = time.Now`)
	f("internal/window", `func f() { go f() }`, "goroutine")
	f("detectors", `func f() { go f() }`)
	f("internal/store", `import "time"; var now = time.Now`)
}

// listPackages runs `go list` over the module. Packages that do not build yet
// are listed all the same: what they import is known from their import clauses.
func listPackages(t *testing.T) []goPackage {
	t.Helper()
	list := exec.CommandContext(t.Context(), "go", "list", "-e", "-json=ImportPath,Dir,GoFiles,Imports", "./...")
	list.Dir = root
	var stderr bytes.Buffer
	list.Stderr = &stderr
	out, err := list.Output()
	if err != nil {
		t.Fatalf("running go list: %v\n%s", err, stderr.Bytes())
	}
	var packages []goPackage
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		var p goPackage
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatalf("reading go list: %v", err)
		}
		packages = append(packages, p)
	}
	if !slices.ContainsFunc(packages, func(p goPackage) bool { return p.ImportPath == module+"/internal/house" }) {
		t.Fatalf("go list named %d packages and not this one", len(packages))
	}
	return packages
}

// importViolations names every import of p that its room does not allow.
func importViolations(rooms []room, p goPackage) []string {
	path := relative(p.ImportPath)
	r, ok := roomOf(rooms, path)
	if !ok {
		return []string{fmt.Sprintf("package %s with imports %q stands in no room: give it a row in rooms_test.go", path, p.Imports)}
	}
	var found []string
	for _, imported := range p.Imports {
		if rule := r.forbids(rooms, imported); rule != "" {
			found = append(found, fmt.Sprintf("package %s imports %s: %s", path, imported, rule))
		}
	}
	return found
}

// forbids returns the rule that an import breaks, "" if there is none.
func (r room) forbids(rooms []room, imported string) string {
	switch {
	case isOwn(imported):
		return r.forbidsOwn(rooms, relative(imported))
	case !strings.Contains(strings.Split(imported, "/")[0], "."):
		if r.pure && slices.Contains(impure, imported) {
			return fmt.Sprintf("room %s is pure: nothing that reaches outside its arguments", r.path)
		}
		return ""
	case slices.ContainsFunc(r.allowedLibraries(), func(l string) bool { return l == "*" || covers(l+"/...", imported) }):
		return ""
	case r.pure && slices.ContainsFunc(everywhere, func(l string) bool { return covers(l+"/...", imported) }):
		return fmt.Sprintf("room %s is pure: no logger and no goroutines of its own", r.path)
	default:
		return fmt.Sprintf("room %s may use no library but %q", r.path, r.allowedLibraries())
	}
}

// forbidsOwn is forbids for a package of this module, given by its relative path.
func (r room) forbidsOwn(rooms []room, path string) string {
	target, ok := roomOf(rooms, path)
	if ok && target.path == r.path {
		return ""
	}
	if covers(testOnly+"/...", path) && r.path != hurting {
		return fmt.Sprintf("%s is for tests only", testOnly)
	}
	at := func(path string) int { return slices.IndexFunc(rooms, func(o room) bool { return o.path == path }) }
	matches := func(pattern string) bool { return covers(pattern, path) }
	if ok && at(target.path) < at(r.path) && slices.ContainsFunc(r.may, matches) && !slices.ContainsFunc(r.never, matches) {
		return ""
	}
	return fmt.Sprintf("room %s may not import %s, only %q but %q", r.path, path, r.may, r.never)
}

// allowedLibraries lists the room's own libraries and those that rooms share.
func (r room) allowedLibraries() []string {
	if r.pure || slices.Contains(r.libraries, "*") {
		return r.libraries
	}
	return append(slices.Clone(r.libraries), everywhere...)
}

// codeViolations names every use of the clock in a file of a pure room, and
// every goroutine started in a room without any.
func codeViolations(r room, files *token.FileSet, file *ast.File) []string {
	var found []string
	report := func(at token.Pos, format string, args ...any) {
		found = append(found, fmt.Sprintf("%s: %s in room %s", files.Position(at), fmt.Sprintf(format, args...), r.path))
	}

	clock := ""
	for _, imported := range file.Imports {
		if path, err := strconv.Unquote(imported.Path.Value); err != nil || path != "time" || !r.pure {
			continue
		}
		clock = "time"
		if imported.Name != nil {
			clock = imported.Name.Name
		}
		if clock == "." {
			report(imported.Pos(), "dot import of time hides the clock")
		}
	}

	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.GoStmt:
			if r.single {
				report(n.Pos(), "goroutine started")
			}
		case *ast.SelectorExpr:
			if x, ok := n.X.(*ast.Ident); ok && clock != "" && x.Name == clock && slices.Contains(clocks, n.Sel.Name) {
				report(n.Pos(), "%s.%s read: event time is a parameter", clock, n.Sel.Name)
			}
		}
		return true
	})
	return found
}

// roomOf finds the room with the longest path that holds the package.
func roomOf(rooms []room, path string) (room, bool) {
	var best room
	for _, r := range rooms {
		if covers(r.path+"/...", path) && len(r.path) > len(best.path) {
			best = r
		}
	}
	return best, best.path != ""
}

// covers says whether a pattern in the manner of the go command matches a path.
func covers(pattern, path string) bool {
	if pattern == "..." {
		return true
	}
	if tree, ok := strings.CutSuffix(pattern, "/..."); ok {
		return path == tree || strings.HasPrefix(path, tree+"/")
	}
	return path == pattern
}

func isOwn(imported string) bool { return covers(module+"/...", imported) }

// relative turns an import path of this module into a path inside it.
func relative(imported string) string {
	return strings.TrimPrefix(strings.TrimPrefix(imported, module), "/")
}
