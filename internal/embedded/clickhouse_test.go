package embedded_test

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/rs/zerolog"

	"github.com/modelwatch/modelwatch/internal/embedded"
)

func startClickHouse(t *testing.T, cfg embedded.ClickHouseConfig) *embedded.ClickHouse {
	t.Helper()
	cfg.Logger = zerolog.New(zerolog.NewTestWriter(t))
	c, err := embedded.StartClickHouse(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

func open(t *testing.T, addr string) driver.Conn {
	t.Helper()
	conn, err := clickhouse.Open(&clickhouse.Options{Addr: []string{addr}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

func exec(t *testing.T, conn driver.Conn, statements ...string) {
	t.Helper()
	for _, s := range statements {
		if err := conn.Exec(t.Context(), s); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
}

func count(t *testing.T, conn driver.Conn, query string) uint64 {
	t.Helper()
	var n uint64
	if err := conn.QueryRow(t.Context(), query).Scan(&n); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return n
}

func splitPort(t *testing.T, addr string) (host string, port int) {
	t.Helper()
	host, text, err := net.SplitHostPort(addr)
	if err != nil {
		t.Fatal(err)
	}
	if port, err = strconv.Atoi(text); err != nil {
		t.Fatal(err)
	}
	return host, port
}

func TestClickHouse_KeepsTablesOverKillAndRestart(t *testing.T) {
	cfg := embedded.ClickHouseConfig{Dir: t.TempDir()}
	c := startClickHouse(t, cfg)
	conn := open(t, c.Addr())
	exec(t, conn,
		"CREATE DATABASE mw",
		"CREATE TABLE mw.t (a UInt64, b String) ENGINE = MergeTree ORDER BY a",
		"INSERT INTO mw.t SELECT number, toString(number) FROM numbers(1000000)")

	c.Kill()
	select {
	case <-c.Done():
	default:
		t.Fatal("Done is open after Kill")
	}
	if err := c.Err(); err == nil || !strings.Contains(err.Error(), "killed") {
		t.Errorf("got %v as the reason, want that it was killed", err)
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}

	// The same ports again, as a restart under a running client does it.
	_, cfg.TCPPort = splitPort(t, c.Addr())
	_, cfg.HTTPPort = splitPort(t, c.HTTPAddr())
	c = startClickHouse(t, cfg)
	conn = open(t, c.Addr())
	if got := count(t, conn, "SELECT count() FROM mw.t"); got != 1000000 {
		t.Fatalf("%d rows after kill -9, want 1000000", got)
	}
	exec(t, conn, "INSERT INTO mw.t VALUES (1, 'x')")
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	if err := c.Err(); err != nil {
		t.Errorf("after Close the reason is %v, want none", err)
	}

	c = startClickHouse(t, cfg)
	if got := count(t, open(t, c.Addr()), "SELECT count() FROM mw.t"); got != 1000001 {
		t.Fatalf("%d rows after the second restart, want 1000001", got)
	}
}

func TestClickHouse_EndsWithItsKilledParent(t *testing.T) {
	dir := t.TempDir()
	cmd, line := startProgram(t, "clickhouse", dir)
	pid, err := strconv.Atoi(line)
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(pid, 0); err != nil {
		t.Fatalf("the engine does not run: %v", err)
	}
	kill(cmd)
	// The directory is free as soon as the engine has ended, not before.
	startClickHouse(t, embedded.ClickHouseConfig{Dir: dir})
	eventually(t, "the engine of the killed program is gone", func() bool {
		return errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) || zombie(pid)
	})
}

// zombie tells a process that has ended and whose new parent has not yet
// looked: in a container nobody may ever do.
func zombie(pid int) bool {
	stat, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	return err != nil || strings.Contains(string(stat), ") Z ")
}

func TestClickHouse_OneOwnerOfADirectory(t *testing.T) {
	dir := t.TempDir()
	startClickHouse(t, embedded.ClickHouseConfig{Dir: dir})
	_, err := embedded.StartClickHouse(t.Context(), embedded.ClickHouseConfig{Dir: dir, Logger: zerolog.Nop()})
	wantOwned(t, err, dir)
}

// A killed client leaves a reset connection behind, between two queries or in
// the middle of an answer.
func TestClickHouse_OutlivesResetConnections(t *testing.T) {
	c := startClickHouse(t, embedded.ClickHouseConfig{Dir: t.TempDir()})
	for i := range 10 {
		var tcp *net.TCPConn
		conn, err := clickhouse.Open(&clickhouse.Options{
			Addr: []string{c.Addr()},
			DialContext: func(ctx context.Context, addr string) (net.Conn, error) {
				conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", addr)
				if err == nil {
					tcp = conn.(*net.TCPConn)
				}
				return conn, err
			},
		})
		if err != nil {
			t.Fatal(err)
		}
		if err := conn.Ping(t.Context()); err != nil {
			t.Fatalf("client %d: %v; the engine: %v", i, err, c.Err())
		}
		if i%2 == 0 {
			rows, err := conn.Query(t.Context(), "SELECT randomPrintableASCII(1000) FROM numbers(10000000)")
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = rows.Close() })
		}
		if err := errors.Join(tcp.SetLinger(0), tcp.Close()); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
	}
	if got := count(t, open(t, c.Addr()), "SELECT toUInt64(1)"); got != 1 {
		t.Errorf("got %d", got)
	}
	select {
	case <-c.Done():
		t.Errorf("the engine has ended: %v", c.Err())
	default:
	}
}

// A client that was told to use TLS, and one that speaks HTTP, at the native port.
func TestClickHouse_OutlivesOtherProtocols(t *testing.T) {
	c := startClickHouse(t, embedded.ClickHouseConfig{Dir: t.TempDir()})
	for _, says := range []string{"\x16\x03\x01\x02\x00", "GET / HTTP/1.1\r\n\r\n", "\xff"} {
		conn, err := net.Dial("tcp", c.Addr())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Write([]byte(says)); err != nil {
			t.Fatal(err)
		}
		if n, err := conn.Read(make([]byte, 1)); err == nil {
			t.Errorf("%q is answered with %d bytes", says, n)
		}
		_ = conn.Close()
	}
	conn, err := clickhouse.Open(&clickhouse.Options{Addr: []string{c.Addr()}})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.Ping(t.Context()); err != nil || c.Err() != nil {
		t.Errorf("%v; the engine: %v", err, c.Err())
	}
}

// A client with a wrong password, an unknown name or database is told so; the
// engine, which would end for it, does not hear of it.
func TestClickHouse_OutlivesFailedLogins(t *testing.T) {
	c := startClickHouse(t, embedded.ClickHouseConfig{Dir: t.TempDir(), Users: []embedded.ClickHouseUser{{Name: "ann", Password: "right"}}})
	login := func(auth clickhouse.Auth) error {
		conn, err := clickhouse.Open(&clickhouse.Options{Addr: []string{c.Addr()}, Auth: auth})
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		return conn.Ping(t.Context())
	}
	for _, auth := range []clickhouse.Auth{
		{Username: "ann", Password: "wrong"}, {Username: "ann"}, {Username: "bob", Password: "right"}, {Username: "default", Password: "x"},
	} {
		if err := login(auth); err == nil || !strings.Contains(err.Error(), "Authentication failed") {
			t.Errorf("%+v: %v", auth, err)
		}
	}
	if err := login(clickhouse.Auth{Username: "ann", Password: "right", Database: "nowhere"}); err == nil || !strings.Contains(err.Error(), "nowhere") {
		t.Errorf("an unknown database: %v", err)
	}
	if err := login(clickhouse.Auth{Username: "ann", Password: "right"}); err != nil || c.Err() != nil {
		t.Errorf("%v; the engine: %v", err, c.Err())
	}
}

func TestClickHouse_TakenPort(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	_, port := splitPort(t, listener.Addr().String())
	dir := t.TempDir()
	_, err = embedded.StartClickHouse(t.Context(), embedded.ClickHouseConfig{
		Dir: dir, TCPPort: port, Logger: zerolog.Nop(),
	})
	if err == nil || !strings.Contains(err.Error(), strconv.Itoa(port)) || !strings.Contains(err.Error(), "choose another") {
		t.Fatalf("got %v, want an error naming port %d and the next step", err, port)
	}
	startClickHouse(t, embedded.ClickHouseConfig{Dir: dir}) // the failed start let go of it
}

func TestClickHouse_LimitsAndLoopback(t *testing.T) {
	c := startClickHouse(t, embedded.ClickHouseConfig{Dir: t.TempDir(), MaxMemory: 1 << 30})
	for _, addr := range []string{c.Addr(), c.HTTPAddr()} {
		if host, _ := splitPort(t, addr); host != "127.0.0.1" {
			t.Errorf("listening on %s, want loopback", addr)
		}
	}
	conn := open(t, c.Addr())
	for query, want := range map[string]uint64{
		"SELECT toUInt64(value) FROM system.server_settings WHERE name = 'max_server_memory_usage'": 1 << 30,
		"SELECT toUInt64(value) FROM system.server_settings WHERE name = 'mark_cache_size'":         64 << 20,
		"SELECT toUInt64(value) FROM system.settings WHERE name = 'max_memory_usage'":               3 << 28,
	} {
		if got := count(t, conn, query); got != want {
			t.Errorf("%s: got %d, want %d", query, got, want)
		}
	}
	// One query over its limit is refused, and the engine goes on.
	err := conn.Exec(t.Context(), "SELECT groupArray(number) FROM numbers(1000000000) FORMAT Null")
	var exception *clickhouse.Exception
	if !errors.As(err, &exception) || exception.Code != 241 {
		t.Errorf("a query of 8 GB: got %v, want MEMORY_LIMIT_EXCEEDED", err)
	}
	if got := count(t, conn, "SELECT toUInt64(1)"); got != 1 {
		t.Error("the engine does not answer after a refused query")
	}
}

func TestClickHouse_MergesInTheBackground(t *testing.T) {
	c := startClickHouse(t, embedded.ClickHouseConfig{Dir: t.TempDir()})
	conn := open(t, c.Addr())
	exec(t, conn, "CREATE TABLE t (a UInt64) ENGINE = MergeTree ORDER BY a")
	for range 60 {
		exec(t, conn, "INSERT INTO t SELECT number FROM numbers(10)")
	}
	eventually(t, "fewer than 20 parts", func() bool {
		return count(t, conn, "SELECT count() FROM system.parts WHERE table = 't' AND active") < 20
	})
	if got := count(t, conn, "SELECT count() FROM t"); got != 600 {
		t.Errorf("%d rows, want 600", got)
	}
}

func TestClickHouse_EngineCannotLoad(t *testing.T) {
	engines := t.TempDir()
	library, err := embedded.FetchEngine(t.Context(), mustEngineDir(t), nil)
	if err != nil {
		t.Fatal(err)
	}
	// A library of the right size, but no library.
	home := filepath.Dir(filepath.Dir(filepath.Dir(filepath.Dir(library))))
	broken := filepath.Join(engines, filepath.Base(home), strings.TrimPrefix(library, home))
	if err := os.MkdirAll(filepath.Dir(broken), 0o750); err != nil {
		t.Fatal(err)
	}
	stat, err := os.Stat(library)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(broken, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(broken, stat.Size()); err != nil { // sparse
		t.Fatal(err)
	}
	receipt, err := os.ReadFile(filepath.Join(home, "installed.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(engines, filepath.Base(home), "installed.json"), receipt, 0o600); err != nil {
		t.Fatal(err)
	}
	started := time.Now()
	_, err = embedded.StartClickHouse(t.Context(), embedded.ClickHouseConfig{
		Dir: t.TempDir(), EngineDir: engines, Logger: zerolog.Nop(),
	})
	if err == nil || !strings.Contains(err.Error(), "loading the ClickHouse engine") ||
		!strings.Contains(err.Error(), "invalid ELF header") || !strings.Contains(err.Error(), "clickhouse.addr") {
		t.Fatalf("got %v, want the loader's words and the next step", err)
	}
	if took := time.Since(started); took > 20*time.Second {
		t.Errorf("it took %s to tell", took)
	}
}

func TestClickHouse_StartEndsWithContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	dir := t.TempDir()
	_, err := embedded.StartClickHouse(ctx, embedded.ClickHouseConfig{Dir: dir, Logger: zerolog.Nop()})
	if !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v, want that it was cancelled", err)
	}
	startClickHouse(t, embedded.ClickHouseConfig{Dir: dir})
}

func mustEngineDir(t *testing.T) string {
	t.Helper()
	dir, err := embedded.DefaultEngineDir()
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// A program clickhouse on PATH is preferred. The one here takes the server's
// arguments and all it needs from the configuration file, as the real one does,
// and runs the engine with them.
func TestClickHouse_ProgramOnPath(t *testing.T) {
	library, err := embedded.FetchEngine(t.Context(), mustEngineDir(t), nil)
	if err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	bin := t.TempDir()
	script := `#!/bin/sh
[ "$1" = server ] || exit 9
exec '` + self + `' modelwatch-clickhouse-engine '` + library + `' --config-file "${2#--config-file=}" \
	--query "SYSTEM START LISTEN TCP; SYSTEM START LISTEN HTTP; SELECT sleepEachRow(3) FROM system.numbers
		SETTINGS max_block_size=1, function_sleep_max_microseconds_per_block=0"
`
	if err := os.WriteFile(filepath.Join(bin, "clickhouse"), []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", bin)
	// An empty folder for the engine shows that nothing is fetched.
	engines := t.TempDir()
	c := startClickHouse(t, embedded.ClickHouseConfig{Dir: filepath.Join(t.TempDir(), "a <b> & c"), EngineDir: engines})
	conn := open(t, c.Addr())
	exec(t, conn, "CREATE TABLE t (a UInt8) ENGINE = MergeTree ORDER BY a", "INSERT INTO t VALUES (1)")
	if got := count(t, conn, "SELECT count() FROM t"); got != 1 {
		t.Errorf("%d rows, want 1", got)
	}
	if left, err := os.ReadDir(engines); err != nil || len(left) != 0 {
		t.Errorf("the engine's folder holds %v (%v), want nothing", left, err)
	}
}
