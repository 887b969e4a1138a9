package testkit

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/modelwatch/modelwatch/internal/embedded/filelock"
)

// packageOf names the system package that brings each tool.
func packageOf(tool string) string {
	switch tool {
	case "java":
		return "default-jre-headless"
	case "mvn":
		return "maven"
	default:
		return tool
	}
}

// needTools makes sure that the tools are on PATH. What is missing is
// installed where that is possible without asking anybody: as root, on a system
// with apt-get, as in a fresh container. Elsewhere the error says what to do.
func needTools(ctx context.Context, tools ...string) error {
	missing := missingOf(tools)
	if len(missing) == 0 {
		return nil
	}
	packages := make([]string, len(missing))
	for i, tool := range missing {
		packages[i] = packageOf(tool)
	}
	apt, err := exec.LookPath("apt-get")
	if err != nil || os.Geteuid() != 0 {
		return fmt.Errorf("finding %s on PATH: not there: install it (on Debian or Ubuntu: "+
			"sudo apt-get install %s) and start again", strings.Join(missing, ", "), strings.Join(packages, " "))
	}
	// Several test binaries may find the same tool missing at once.
	lock, err := filelock.Acquire(ctx, filepath.Join(os.TempDir(), "modelwatch-test-tools.lock"), -1)
	if err != nil {
		return err
	}
	defer func() { _ = lock.Release() }()
	if len(missingOf(missing)) == 0 {
		return nil
	}
	fmt.Fprintln(os.Stderr, "installing", strings.Join(packages, " "))
	for _, args := range [][]string{
		{"update"},
		append([]string{"install", "-y", "--no-install-recommends"}, packages...),
	} {
		cmd := exec.CommandContext(ctx, apt, args...)
		cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("installing %s: apt-get %s: %w\n%s", strings.Join(packages, " "), args[0], err, out)
		}
	}
	if missing := missingOf(missing); len(missing) > 0 {
		return fmt.Errorf("installing %s: still not on PATH", strings.Join(missing, ", "))
	}
	return nil
}

func missingOf(tools []string) []string {
	var missing []string
	for _, tool := range tools {
		if _, err := exec.LookPath(tool); err != nil {
			missing = append(missing, tool)
		}
	}
	return missing
}
