package embedded

import (
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"unsafe"

	"github.com/ebitengine/purego"

	"github.com/modelwatch/modelwatch/internal/embedded/child"
)

const (
	// engineArg is the hidden first argument of the engine's child process.
	engineArg = "modelwatch-clickhouse-engine"
	// engineMark is set in the environment of every engine's child. A program
	// that forgot ChildMain would otherwise start itself without end.
	engineMark = "MODELWATCH_CLICKHOUSE_ENGINE"
	// engineExit is the child's exit code when the engine could not run.
	engineExit = 70
)

// serve is what the engine runs for as long as it lives. Its listeners exist
// only while a query of its command line runs, so the last one never ends; it
// sleeps three seconds a row, which is the longest the engine allows.
const serve = "SYSTEM START LISTEN TCP; SYSTEM START LISTEN HTTP; " +
	"SELECT count() FROM system.numbers WHERE NOT sleepEachRow(3) " +
	"SETTINGS max_block_size=1, function_sleep_max_microseconds_per_block=0, max_execution_time=0"

// ChildMain runs the engine if this process was started for it, and reports
// whether it was and the exit code to end with. It must be the first thing
// main and TestMain do:
//
//	if handled, code := embedded.ChildMain(os.Args[1:]); handled {
//		os.Exit(code)
//	}
func ChildMain(args []string) (handled bool, code int) {
	if len(args) < 2 || args[0] != engineArg {
		return false, 0
	}
	// Exit, not a return, ends the process: the engine's threads cannot be
	// stopped, and what it has acknowledged is already in its files.
	end := func() { os.Exit(0) } //nolint:forbidigo // this is a whole program
	if err := child.WatchParent(end); err != nil {
		say(err)
		return true, engineExit
	}
	say(runEngine(args[1], args[2:]))
	return true, engineExit
}

// say tells the parent, which quotes it in its error.
func say(err error) { _, _ = io.WriteString(os.Stderr, err.Error()+"\n") }

// runEngine loads the shared library and runs ClickHouse's command line in it.
// It returns only when that failed.
func runEngine(library string, args []string) error {
	engine, err := purego.Dlopen(library, purego.RTLD_NOW|purego.RTLD_GLOBAL)
	if err != nil {
		return fmt.Errorf("loading the ClickHouse engine: %w: it needs Linux with glibc and %d MB of memory; "+
			"point clickhouse.addr at a ClickHouse server instead, or remove the file to have it fetched again",
			err, engineResident>>20)
	}
	for _, symbol := range []string{"chdb_query_cmdline", "chdb_result_error"} {
		if _, err := purego.Dlsym(engine, symbol); err != nil {
			return fmt.Errorf("loading the ClickHouse engine: %w: %s is not version %s; "+
				"remove it to have it fetched again", err, library, engineVersion)
		}
	}
	var (
		queryCmdline func(argc int32, argv unsafe.Pointer) unsafe.Pointer
		resultError  func(result unsafe.Pointer) string
	)
	purego.RegisterLibFunc(&queryCmdline, engine, "chdb_query_cmdline")
	purego.RegisterLibFunc(&resultError, engine, "chdb_result_error")

	argv := cStrings(append([]string{"clickhouse"}, args...))
	result := queryCmdline(int32(len(args)+1), unsafe.Pointer(&argv[0]))
	runtime.KeepAlive(argv)
	if result != nil {
		if text := resultError(result); text != "" {
			return fmt.Errorf("running the ClickHouse engine: %s", text)
		}
	}
	return errors.New("running the ClickHouse engine: its endless query ended")
}

// cStrings is a C program's argv: pointers to bytes ending in zero, then nil.
func cStrings(args []string) []*byte {
	argv := make([]*byte, len(args)+1)
	for i, arg := range args {
		argv[i] = &append([]byte(arg), 0)[0]
	}
	return argv
}
