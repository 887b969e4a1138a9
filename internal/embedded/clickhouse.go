package embedded

import (
	"bytes"
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"text/template"
	"time"

	"github.com/ClickHouse/ch-go/proto"
	"github.com/rs/zerolog"

	"github.com/modelwatch/modelwatch/internal/embedded/child"
	"github.com/modelwatch/modelwatch/internal/embedded/filelock"
)

const (
	// engineReady bounds loading the library and the tables of a full disk.
	engineReady = 2 * time.Minute
	// engineStop is how long the engine may take to end when asked; it has
	// nothing to write then.
	engineStop = 5 * time.Second
	// engineResident is what the engine needs to start: 210 MB measured, most
	// of it the library's own pages.
	engineResident = 256 << 20
	// DefaultClickHouseMemory is the engine's limit when none is configured.
	DefaultClickHouseMemory = 2 << 30
	// portAttempts is how often free ports are drawn again when another
	// program takes one between the drawing and the engine's listening.
	portAttempts = 3
)

var errPortLost = errors.New("another program answers on its port")

// ClickHouseConfig says where ClickHouse keeps its tables and where its engine is.
type ClickHouseConfig struct {
	Dir string
	// EngineDir is where the engine is fetched to; empty: DefaultEngineDir.
	EngineDir string
	// TCPPort is for the native protocol, HTTPPort for HTTP; 0: a free one.
	TCPPort, HTTPPort int
	// MaxMemory in bytes is what the engine may use in all before a query is
	// refused; 0: DefaultClickHouseMemory. One query may use three quarters.
	MaxMemory int64
	// Users are those besides default, who may do everything but manage users.
	Users []ClickHouseUser
	// Progress is called each second while the engine is fetched; nil: never.
	Progress func(Progress)
	Logger   zerolog.Logger
}

// ClickHouseUser is a user with rights of its own.
type ClickHouseUser struct {
	Name, Password string
	Grants         []string // as in GRANT SELECT ON db.*
}

// ClickHouse is a running ClickHouse in a child process.
type ClickHouse struct {
	process *child.Process
	lock    *filelock.Lock
	tcp     *relay
	http    *relay
	closing sync.Once
	err     error
}

// StartClickHouse starts ClickHouse over a directory and waits until it
// answers on both ports: the program clickhouse if it is on PATH, else the
// engine of the pinned npm package, which is fetched when missing. Anyone on
// this machine can reach it as user default without a password, as with
// ClickHouse's own first configuration.
//
// An insert that was acknowledged survives kill -9 of the engine, of this
// process, or of both. The context ends the start only, not the server.
func StartClickHouse(ctx context.Context, cfg ClickHouseConfig) (*ClickHouse, error) {
	if os.Getenv(engineMark) != "" {
		return nil, errors.New("starting ClickHouse: this process was started as its engine: " +
			"embedded.ChildMain must be called first thing in main and in TestMain")
	}
	command, err := engineCommand(ctx, cfg)
	if err != nil {
		return nil, fmt.Errorf("starting ClickHouse: %w", err)
	}
	lock, err := ownDir(ctx, cfg.Dir)
	if err != nil {
		return nil, fmt.Errorf("starting ClickHouse: %w", err)
	}
	c := &ClickHouse{lock: lock}
	for attempt := 1; ; attempt++ {
		err = c.launch(ctx, cfg, command)
		if err == nil || attempt == portAttempts || !errors.Is(err, errPortLost) {
			break
		}
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("starting ClickHouse: %w", err), lock.Release())
	}
	return c, nil
}

// Addr is the host and port of the native protocol.
func (c *ClickHouse) Addr() string { return c.tcp.addr() }

// HTTPAddr is the host and port of the HTTP interface.
func (c *ClickHouse) HTTPAddr() string { return c.http.addr() }

// PID is the process id of the engine.
func (c *ClickHouse) PID() int { return c.process.PID() }

// Done is closed when the engine has ended, by Close or by itself. To start it
// again, call Close and then StartClickHouse with the same configuration.
func (c *ClickHouse) Done() <-chan struct{} { return c.process.Done() }

// Err says why the engine ended by itself, quoting its last lines; nil while
// it runs and after Close.
func (c *ClickHouse) Err() error { return c.process.Err() }

// Kill ends the engine with SIGKILL, for tests of faults. The directory stays
// owned until Close.
func (c *ClickHouse) Kill() {
	c.process.Kill()
	c.deaf()
}

// deaf closes the ports of an engine that has ended.
func (c *ClickHouse) deaf() {
	c.tcp.close()
	c.http.close()
}

// Close stops the engine and gives the directory free. Further calls return
// the first one's result.
func (c *ClickHouse) Close() error {
	c.closing.Do(func() {
		c.process.Stop(engineStop)
		c.deaf()
		c.err = c.lock.Release()
	})
	return c.err
}

// commandLine makes the program and arguments for one start over places.
type commandLine func(places) (path string, args []string)

// engineCommand chooses between the two forms the engine comes in.
func engineCommand(ctx context.Context, cfg ClickHouseConfig) (commandLine, error) {
	if program, err := exec.LookPath("clickhouse"); err == nil {
		return func(p places) (string, []string) {
			return program, []string{"server", "--config-file=" + p.Config}
		}, nil
	}
	dir := cfg.EngineDir
	if dir == "" {
		var err error
		if dir, err = DefaultEngineDir(); err != nil {
			return nil, err
		}
	}
	library, err := FetchEngine(ctx, dir, cfg.Progress)
	if err != nil {
		return nil, err
	}
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("finding this program's file: %w", err)
	}
	return func(p places) (string, []string) {
		return self, []string{
			engineArg, library,
			"--config-file", p.Config, "--path", p.Data, "--listen_host", loopback,
			"--tcp_port", strconv.Itoa(p.TCPPort), "--http_port", strconv.Itoa(p.HTTPPort),
			"--query", serve,
		}
	}, nil
}

// launch is one attempt to start the engine.
func (c *ClickHouse) launch(ctx context.Context, cfg ClickHouseConfig, command commandLine) (err error) {
	web := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 5 * time.Second}
	var p places
	may := func(hello *proto.ClientHello) error {
		_, err := ask(context.Background(), web, p.http(), hello, "SELECT 1")
		return err
	}
	if c.tcp, err = listenRelay(cfg.TCPPort, may); err != nil {
		return err
	}
	if c.http, err = listenRelay(cfg.HTTPPort, nil); err != nil {
		c.tcp.close()
		return err
	}
	defer func() {
		if err != nil {
			c.deaf()
		}
	}()
	if p, err = settle(cfg); err != nil {
		return err
	}
	if err := p.write(); err != nil {
		return err
	}
	path, args := command(p)
	log := cfg.Logger
	c.process, err = child.Start(child.Command{
		Path: path,
		Args: args,
		// Without its watchdog the server is our own child, not a grandchild.
		Env: append(os.Environ(), engineMark+"=1", "CLICKHOUSE_WATCHDOG_ENABLE=0"),
		Dir: p.Dir,
		// The engine holds the directory's lock too: when this process is killed
		// the next owner waits for the engine's end.
		Inherit: []*os.File{c.lock.File()},
		Line:    func(line string) { log.Debug().Msg(line) },
	})
	if err != nil {
		return err
	}
	if err := c.awaitAnswer(ctx, p, web); err != nil {
		c.process.Stop(engineStop)
		return err
	}
	c.tcp.serve(p.tcp())
	c.http.serve(p.http())
	ended := c.process.Done()
	relays := []*relay{c.tcp, c.http}
	go func() {
		<-ended
		for _, r := range relays {
			r.close()
		}
	}()
	return nil
}

// awaitAnswer waits until both ports answer, and that it is our engine which
// does: another program may have taken a free port meanwhile.
func (c *ClickHouse) awaitAnswer(ctx context.Context, p places, client *http.Client) error {
	ctx, cancel := context.WithTimeoutCause(ctx, engineReady, fmt.Errorf("no answer after %s", engineReady))
	defer cancel()
	for {
		path, err := ask(ctx, client, p.http(), &proto.ClientHello{User: "default"}, "SELECT value FROM system.server_settings WHERE name = 'path'")
		if err == nil {
			if filepath.Clean(path) != filepath.Clean(p.Data) {
				return fmt.Errorf("%w: %s serves %q", errPortLost, p.http(), path)
			}
			var conn net.Conn
			if conn, err = (&net.Dialer{}).DialContext(ctx, "tcp", p.tcp()); err == nil {
				return conn.Close()
			}
		}
		select {
		case <-c.process.Done():
			return c.process.Err()
		case <-ctx.Done():
			return fmt.Errorf("waiting for its answer: %w (%w)", context.Cause(ctx), err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// ask sends one query over HTTP, as the user and in the database of a client's first words.
func ask(ctx context.Context, client *http.Client, addr string, as *proto.ClientHello, query string) (string, error) {
	at := url.URL{Scheme: "http", Host: addr, Path: "/", RawQuery: url.Values{"query": {query}}.Encode()}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, at.String(), http.NoBody)
	if err != nil {
		return "", err
	}
	req.Header.Set("X-ClickHouse-User", as.User)
	req.Header.Set("X-ClickHouse-Key", as.Password)
	if as.Database != "" {
		req.Header.Set("X-ClickHouse-Database", as.Database)
	}
	resp, err := client.Do(req)
	if err != nil {
		return "", err
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	if err != nil {
		return "", err
	}
	text := strings.TrimSpace(string(body))
	if resp.StatusCode != http.StatusOK {
		return "", fmt.Errorf("%s: %s", resp.Status, text)
	}
	return text, nil
}

// places are the files and ports of one start.
type places struct {
	Dir, Data, Config, Users  string
	TCPPort, HTTPPort         int
	MaxMemory, MaxQueryMemory int64
	Others                    []ClickHouseUser
}

// settle makes paths absolute and draws the engine's own ports.
func settle(cfg ClickHouseConfig) (places, error) {
	dir, err := filepath.Abs(cfg.Dir)
	if err != nil {
		return places{}, fmt.Errorf("finding its directory: %w", err)
	}
	memory := cfg.MaxMemory
	if memory == 0 {
		memory = DefaultClickHouseMemory
	}
	p := places{
		Dir:       dir,
		Data:      filepath.Join(dir, "data"),
		Config:    filepath.Join(dir, "config.xml"),
		Users:     filepath.Join(dir, "users.xml"),
		MaxMemory: memory, MaxQueryMemory: memory / 4 * 3,
		Others: cfg.Users,
	}
	if p.TCPPort, err = freePort(); err != nil {
		return places{}, err
	}
	if p.HTTPPort, err = freePort(); err != nil {
		return places{}, err
	}
	return p, nil
}

// tcp and http are where the engine itself listens; clients come by way of a relay.
func (p places) tcp() string  { return net.JoinHostPort(loopback, strconv.Itoa(p.TCPPort)) }
func (p places) http() string { return net.JoinHostPort(loopback, strconv.Itoa(p.HTTPPort)) }

// freePort draws a port that nobody listens on now.
func freePort() (int, error) {
	listener, err := net.Listen("tcp", net.JoinHostPort(loopback, "0"))
	if err != nil {
		return 0, fmt.Errorf("drawing a port: %w", err)
	}
	defer func() { _ = listener.Close() }()
	addr, ok := listener.Addr().(*net.TCPAddr)
	if !ok {
		return 0, fmt.Errorf("drawing a port: %s is not a TCP address", listener.Addr())
	}
	return addr.Port, nil
}

// write writes the configuration, anew at each start since the ports change.
func (p places) write() error {
	for path, form := range map[string]*template.Template{p.Config: serverForm, p.Users: usersForm} {
		var text bytes.Buffer
		if err := form.Execute(&text, p); err != nil {
			return fmt.Errorf("writing its configuration: %w", err)
		}
		if err := os.WriteFile(path, text.Bytes(), 0o600); err != nil {
			return fmt.Errorf("writing its configuration: %w", err)
		}
	}
	return nil
}

// escape makes a path safe inside an XML element.
func escape(s string) (string, error) {
	var b strings.Builder
	err := xml.EscapeText(&b, []byte(s))
	return b.String(), err
}

func form(text string) *template.Template {
	return template.Must(template.New("").Funcs(template.FuncMap{"x": escape}).Parse(text))
}

// serverForm keeps the engine small beside the program it serves. Its default
// caches may grow to gigabytes (marks and primary keys 5 GiB each), its
// default memory limit is nine tenths of the machine, and it starts threads as
// if the machine were its own.
var serverForm = form(`<clickhouse>
  <logger><console>1</console><level>warning</level></logger>
  <path>{{x .Data}}/</path>
  <tmp_path>{{x .Data}}/tmp/</tmp_path>
  <listen_host>127.0.0.1</listen_host>
  <tcp_port>{{.TCPPort}}</tcp_port>
  <http_port>{{.HTTPPort}}</http_port>
  <users_config>{{x .Users}}</users_config>
  <default_profile>default</default_profile>
  <default_database>default</default_database>
  <max_server_memory_usage>{{.MaxMemory}}</max_server_memory_usage>
  <mark_cache_size>67108864</mark_cache_size>
  <primary_index_cache_size>67108864</primary_index_cache_size>
  <index_mark_cache_size>16777216</index_mark_cache_size>
  <uncompressed_cache_size>0</uncompressed_cache_size>
  <compiled_expression_cache_size>16777216</compiled_expression_cache_size>
  <mmap_cache_size>64</mmap_cache_size>
  <max_thread_pool_size>500</max_thread_pool_size>
  <max_thread_pool_free_size>16</max_thread_pool_free_size>
  <max_connections>512</max_connections>
</clickhouse>
`)

var usersForm = form(`<clickhouse>
  <profiles><default>
    <max_memory_usage>{{.MaxQueryMemory}}</max_memory_usage>
    <log_queries>0</log_queries>
  </default></profiles>
  <users><default>
    <password></password>
    <networks><ip>127.0.0.1</ip></networks>
    <profile>default</profile>
    <quota>default</quota>
  </default>{{range .Others}}<{{x .Name}}>
    <password>{{x .Password}}</password>
    <networks><ip>127.0.0.1</ip></networks>
    <profile>default</profile>
    <quota>default</quota>
    <grants>{{range .Grants}}<query>{{x .}}</query>{{end}}</grants>
  </{{x .Name}}>{{end}}</users>
  <quotas><default></default></quotas>
</clickhouse>
`)
