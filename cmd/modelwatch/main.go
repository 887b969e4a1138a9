// Command modelwatch watches machine-learning models in production on the
// event bus. Its commands parse flags, call the package that does the work and
// print what came of it: results go to standard output, everything else to
// standard error.
package main

import (
	"os"

	"github.com/modelwatch/modelwatch/internal/embedded"
)

func main() {
	if handled, code := embedded.ChildMain(os.Args[1:]); handled {
		os.Exit(code)
	}
	p := program{out: os.Stdout, err: os.Stderr, env: os.LookupEnv}
	os.Exit(p.execute(os.Args[1:]))
}
