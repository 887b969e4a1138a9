package embedded

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"

	"github.com/modelwatch/modelwatch/internal/embedded/filelock"
)

const (
	// enginePackage is pinned: the package's tag "latest" points at an engine
	// whose listeners never open.
	enginePackage = "@chdb/lib-linux-x64-gnu"
	engineVersion = "26.7.3-stable.1"
	engineFile    = "libchdb.so"
	engineSize    = 566330096
	// engineNeed is the disk the installation takes: the library, and npm's
	// own copies of the package while it unpacks.
	engineNeed = 1300 << 20

	// receiptName is the file that says a package is wholly there.
	receiptName = "installed.json"
)

// ErrNoNPM says that npm is needed and not on PATH.
var ErrNoNPM = errors.New("npm is not on PATH")

// Progress is how far a download is.
type Progress struct {
	Package string // name@version
	Bytes   int64  // on disk so far
	Total   int64  // 0 when not known beforehand
}

// String is one line for a terminal.
func (p Progress) String() string {
	if p.Total == 0 {
		return fmt.Sprintf("fetching %s: %d MB", p.Package, p.Bytes>>20)
	}
	// npm keeps more on disk than the package for a moment.
	return fmt.Sprintf("fetching %s: %d of %d MB", p.Package, min(p.Bytes, p.Total)>>20, p.Total>>20)
}

// DefaultEngineDir is the folder modelwatch in the user's cache directory.
func DefaultEngineDir() (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("finding the user's cache directory: %w", err)
	}
	return filepath.Join(cache, "modelwatch"), nil
}

// FetchEngine returns the path of ClickHouse's engine below dir, and installs
// it with npm first where it is missing, incomplete or of another size than
// the pinned one. Errors name the next step.
func FetchEngine(ctx context.Context, dir string, progress func(Progress)) (string, error) {
	if runtime.GOOS != "linux" || runtime.GOARCH != "amd64" {
		return "", fmt.Errorf("fetching the ClickHouse engine: there is none for %s/%s: "+
			"install ClickHouse so that clickhouse is on PATH, or point clickhouse.addr at a server",
			runtime.GOOS, runtime.GOARCH)
	}
	path, err := npmPackage{
		name: enginePackage, version: engineVersion, file: engineFile, size: engineSize, need: engineNeed,
	}.fetch(ctx, dir, progress)
	if errors.Is(err, ErrNoNPM) {
		return "", fmt.Errorf("fetching the ClickHouse engine: %w: install Node.js with npm, "+
			"or point clickhouse.addr at a ClickHouse server", err)
	}
	if err != nil {
		return "", fmt.Errorf("fetching the ClickHouse engine: %w", err)
	}
	return path, nil
}

// FetchNPM returns the path of one file of an npm package at one exact version
// below dir, and installs the package first where it is missing or incomplete.
// file is relative to the package. progress is called each second meanwhile
// and may be nil. Several processes may call it at once for one package: one
// installs, the others wait. No script of the package is run.
func FetchNPM(ctx context.Context, dir, name, version, file string, progress func(Progress)) (string, error) {
	path, err := npmPackage{name: name, version: version, file: file}.fetch(ctx, dir, progress)
	if errors.Is(err, ErrNoNPM) {
		return "", fmt.Errorf("fetching %s@%s: %w: install Node.js with npm", name, version, err)
	}
	if err != nil {
		return "", fmt.Errorf("fetching %s@%s: %w", name, version, err)
	}
	return path, nil
}

// npmPackage is what to fetch. size is the exact size of file and need the
// disk it takes to install, both 0 when not known.
type npmPackage struct {
	name, version, file string
	size, need          int64
}

// receipt is left in a package's folder after everything else.
type receipt struct {
	Package string `json:"package"`
	File    string `json:"file"`
	Size    int64  `json:"size"`
}

func (p npmPackage) String() string { return p.name + "@" + p.version }

func (p npmPackage) fetch(ctx context.Context, dir string, progress func(Progress)) (string, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	// Each package has a folder of its own: npm removes what it does not know.
	home := filepath.Join(dir, strings.NewReplacer("@", "", "/", "-").Replace(p.name)+"-"+p.version)
	if p.complete(home) == nil {
		return p.path(home), nil
	}
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return "", fmt.Errorf("making the cache directory: %w", err)
	}
	if progress == nil {
		progress = func(Progress) {}
	}
	staging := home + ".partial"
	stop := p.watch(staging, progress)
	defer stop()
	lock, err := filelock.Acquire(ctx, home+".lock", -1)
	if err != nil {
		return "", err
	}
	defer func() { _ = lock.Release() }()
	if p.complete(home) == nil { // another process has just done it
		return p.path(home), nil
	}
	if err := p.install(ctx, staging); err != nil {
		return "", errors.Join(err, os.RemoveAll(staging))
	}
	if err := os.RemoveAll(home); err != nil {
		return "", fmt.Errorf("removing an incomplete installation: %w", err)
	}
	if err := os.Rename(staging, home); err != nil {
		return "", fmt.Errorf("moving the installation into place: %w", err)
	}
	return p.path(home), nil
}

func (p npmPackage) path(home string) string {
	return filepath.Join(home, "node_modules", filepath.FromSlash(p.name), filepath.FromSlash(p.file))
}

// complete checks an installation against its receipt and the known size.
func (p npmPackage) complete(home string) error {
	text, err := os.ReadFile(filepath.Join(home, receiptName))
	if err != nil {
		return fmt.Errorf("reading the receipt: %w", err)
	}
	var r receipt
	if err := json.Unmarshal(text, &r); err != nil {
		return fmt.Errorf("reading the receipt: %w", err)
	}
	if r.Package != p.String() {
		return fmt.Errorf("reading the receipt: it is of %s", r.Package)
	}
	want := p.size
	if want == 0 && r.File == p.file {
		want = r.Size
	}
	return p.check(home, want)
}

// check compares the size of the wanted file; 0 accepts any but an empty file.
func (p npmPackage) check(home string, want int64) error {
	stat, err := os.Stat(p.path(home))
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("the package has no file %s", p.file)
	}
	if err != nil {
		return err
	}
	if got := stat.Size(); got == 0 || want != 0 && got != want {
		return fmt.Errorf("file %s has %d bytes instead of %d", p.file, got, want)
	}
	return nil
}

// install lets npm unpack the package into an empty staging folder and leaves
// the receipt there.
func (p npmPackage) install(ctx context.Context, staging string) error {
	npm, err := exec.LookPath("npm")
	if err != nil {
		return ErrNoNPM
	}
	if err := os.RemoveAll(staging); err != nil {
		return fmt.Errorf("removing an interrupted download: %w", err)
	}
	if err := os.MkdirAll(staging, 0o750); err != nil {
		return fmt.Errorf("making a folder for the download: %w", err)
	}
	if err := roomFor(staging, p.need); err != nil {
		return err
	}
	if err := p.runNPM(ctx, npm, staging); err != nil {
		return err
	}
	if err := p.checkVersion(staging); err != nil {
		return err
	}
	if err := p.check(staging, p.size); err != nil {
		return fmt.Errorf("checking what npm installed: %w", err)
	}
	stat, err := os.Stat(p.path(staging))
	if err != nil {
		return err
	}
	text, err := json.Marshal(receipt{Package: p.String(), File: p.file, Size: stat.Size()})
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(staging, receiptName), text, 0o600); err != nil {
		return fmt.Errorf("leaving the receipt: %w", err)
	}
	return nil
}

func (p npmPackage) runNPM(ctx context.Context, npm, staging string) error {
	cmd := exec.CommandContext(ctx, npm, "install", "--prefix", staging,
		"--no-audit", "--no-fund", "--no-save", "--no-package-lock", "--ignore-scripts", p.String())
	cmd.Dir = staging // a package.json of the caller's folder must not matter
	var words bytes.Buffer
	cmd.Stdout, cmd.Stderr = &words, &words
	cmd.WaitDelay = time.Second
	err := cmd.Run()
	switch {
	case ctx.Err() != nil:
		return fmt.Errorf("running npm: %w", context.Cause(ctx))
	case err != nil:
		return fmt.Errorf("running npm: %w: %s: check the network and npm's registry, then start again",
			err, complaint(words.String()))
	}
	return nil
}

// complaint picks npm's errors out of its warnings and advice.
func complaint(words string) string {
	var errs []string
	for line := range strings.Lines(words) {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "npm error") && !strings.Contains(line, "complete log") {
			errs = append(errs, strings.TrimSpace(strings.TrimPrefix(line, "npm error")))
		}
	}
	if len(errs) == 0 {
		return strings.TrimSpace(words)
	}
	return strings.Join(errs[:min(len(errs), 3)], "; ")
}

func (p npmPackage) checkVersion(home string) error {
	text, err := os.ReadFile(filepath.Join(home, "node_modules", filepath.FromSlash(p.name), "package.json"))
	if err != nil {
		return fmt.Errorf("checking what npm installed: %w", err)
	}
	var manifest struct {
		Version string `json:"version"`
	}
	if err := json.Unmarshal(text, &manifest); err != nil {
		return fmt.Errorf("checking what npm installed: %w", err)
	}
	if manifest.Version != p.version {
		return fmt.Errorf("checking what npm installed: version %s instead of %s: "+
			"check which registry npm asks (npm config get registry)", manifest.Version, p.version)
	}
	return nil
}

// roomFor fails when the file system of dir has less than need bytes free for
// this user.
func roomFor(dir string, need int64) error {
	var stat syscall.Statfs_t
	if err := syscall.Statfs(dir, &stat); err != nil {
		return fmt.Errorf("measuring free disk: %w", err)
	}
	free := int64(stat.Bavail) * int64(stat.Bsize)
	if free < need {
		return fmt.Errorf("%s has %d MB of disk free and %d MB are needed: "+
			"make room there, or choose a directory on another disk", dir, free>>20, need>>20)
	}
	return nil
}

// watch reports the size of the staging folder each second until stopped. It
// does so while waiting for another process too, whose folder is the same.
func (p npmPackage) watch(staging string, progress func(Progress)) (stop func()) {
	quit, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		for {
			select {
			case <-quit:
				return
			case <-tick.C:
				progress(Progress{Package: p.String(), Bytes: sizeOf(staging), Total: p.size})
			}
		}
	}()
	return func() { close(quit); <-done }
}

// sizeOf adds up the files below dir. Files come and go under npm's hands, so
// what cannot be read counts nothing.
func sizeOf(dir string) int64 {
	var sum int64
	_ = filepath.WalkDir(dir, func(_ string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return nil //nolint:nilerr // see above
		}
		if stat, err := entry.Info(); err == nil {
			sum += stat.Size()
		}
		return nil
	})
	return sum
}
