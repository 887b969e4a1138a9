package config

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/modelwatch/modelwatch/schemas"
)

// Settings is the settings file of the service. Paths in it are relative to
// the folder of the file; those of flags to the working directory. Load
// returns them made absolute or relative to the working directory.
type Settings struct {
	// Kafka that events are read from, or `embedded`.
	Kafka Kafka `yaml:"kafka"`
	// ClickHouse that windows and decisions are kept in, or `embedded`.
	ClickHouse ClickHouse `yaml:"clickhouse"`
	// NATS that alerts and requests are published on, or `embedded`.
	NATS NATS `yaml:"nats"`
	// Folder of monitor files, watched for changes.
	Monitors string `yaml:"monitors,scalar" jsonschema:"default=monitors"`
	// Where pages and the API are served.
	HTTP HTTP `yaml:"http"`
	// How people are told. Accepted and checked; this version does not act on it.
	Notify Notify `yaml:"notify"`
	// The key itself that values of sensitive features are hashed by; better in a file of its own.
	HashKey Secret `yaml:"hash_key"`
	// File that holds the key; instead of hash_key. Replicas need the same. Without a key such values are left out.
	HashKeyFile string `yaml:"hash_key_file,scalar"`
	// Folder in which embedded servers keep their files.
	Data string `yaml:"data,scalar" jsonschema:"default=data"`
	// What the program says of itself.
	Log Log `yaml:"log"`
	// Bounds on what the program may use.
	Limits Limits `yaml:"limits"`
}

// Embedded is the word that starts a server inside the process.
const Embedded = "embedded"

// Kafka says where events come from.
type Kafka struct {
	// Whether a broker is started inside the process; the same as writing `kafka: embedded`.
	Embedded bool `yaml:"embedded"`
	// Brokers to start from, as host:port.
	Brokers []string `yaml:"brokers,scalar" jsonschema:"minItems=1"`
	// Name of the consumer group.
	Group string `yaml:"group,scalar" jsonschema:"default=modelwatch"`
	// Which records of transactions are read.
	Isolation string     `yaml:"isolation,scalar" jsonschema:"enum=read_committed,enum=read_uncommitted,default=read_committed"`
	TLS       *ClientTLS `yaml:"tls"`
	SASL      *SASL      `yaml:"sasl"`
}

// SASL says who the program is to Kafka.
type SASL struct {
	// How the user is proved.
	Mechanism string `yaml:"mechanism,scalar" jsonschema:"required,enum=plain,enum=scram-sha-256,enum=scram-sha-512"`
	// Name of the user.
	User string `yaml:"user,scalar" jsonschema:"required"`
	// The password itself; better in a file of its own.
	Password Secret `yaml:"password"`
	// File that holds the password; instead of password.
	PasswordFile string `yaml:"password_file,scalar"`
}

// ClickHouse says where windows and decisions are kept.
type ClickHouse struct {
	// Whether an engine is started inside the process; the same as writing `clickhouse: embedded`.
	Embedded bool `yaml:"embedded"`
	// Servers, as host:port of the native protocol.
	Addr []string `yaml:"addr,scalar" jsonschema:"minItems=1"`
	// Database, made where it is missing.
	Database string `yaml:"database,scalar" jsonschema:"default=modelwatch"`
	// Name of the user; `default` where none is given.
	User string `yaml:"user,scalar"`
	// The password itself; better in a file of its own.
	Password Secret `yaml:"password"`
	// File that holds the password; instead of password.
	PasswordFile string     `yaml:"password_file,scalar"`
	TLS          *ClientTLS `yaml:"tls"`
	// Cluster of remote_servers on which replicated tables are made.
	Cluster string `yaml:"cluster,scalar"`
}

// NATS says where messages are published.
type NATS struct {
	// Whether a server is started inside the process; the same as writing `nats: embedded`.
	Embedded bool `yaml:"embedded"`
	// Servers, separated by commas.
	URL string `yaml:"url,scalar" jsonschema:"default=nats://127.0.0.1:4222"`
	// File of user credentials that `nsc` wrote.
	CredsFile string     `yaml:"creds_file,scalar"`
	TLS       *ClientTLS `yaml:"tls"`
	// Copies of each stream in a cluster.
	Replicas int `yaml:"replicas" jsonschema:"minimum=1,maximum=5,default=1"`
}

// HTTP says where pages and the API are served.
type HTTP struct {
	// Address, as host:port; other than loopback it needs a token or client certificates.
	Listen string `yaml:"listen,scalar" jsonschema:"default=127.0.0.1:8080"`
	// What readers must show, at least 16 characters; better in a file of its own.
	Token Secret `yaml:"token"`
	// File that holds the token; instead of token.
	TokenFile string `yaml:"token_file,scalar"`
	// What must be shown to change anything, at least 16 characters and not the readers' token; it reads too.
	OperatorToken Secret `yaml:"operator_token"`
	// File that holds that token; instead of operator_token.
	OperatorTokenFile string     `yaml:"operator_token_file,scalar"`
	TLS               *ServerTLS `yaml:"tls"`
}

// Notify says how people are told: through Alertmanager's parts inside the
// process, or through an Alertmanager elsewhere.
type Notify struct {
	// Alertmanager's own configuration file.
	Alertmanager string `yaml:"alertmanager,scalar"`
	// Address of an Alertmanager.
	URL string `yaml:"url,scalar" jsonschema:"format=uri"`
}

// Log says how much the program tells, and in which form.
type Log struct {
	// From which weight on; debug is much.
	Level string `yaml:"level,scalar" jsonschema:"enum=debug,enum=info,enum=warn,enum=error,default=info"`
	// One JSON object a line, or lines for a terminal.
	Format string `yaml:"format,scalar" jsonschema:"enum=json,enum=console,default=json"`
}

// Limits bounds what the program may use.
type Limits struct {
	// Memory of the Go process that the collector tries to stay below, such as 512MiB; 0 sets none.
	Memory Bytes `yaml:"memory"`
}

// Default returns the settings of a service without a file: all three servers
// inside the process, pages on loopback.
func Default() *Settings {
	return &Settings{
		Kafka:      Kafka{Embedded: true, Group: "modelwatch", Isolation: "read_committed"},
		ClickHouse: ClickHouse{Embedded: true, Database: "modelwatch"},
		NATS:       NATS{Embedded: true, Replicas: 1},
		Monitors:   "monitors",
		HTTP:       HTTP{Listen: "127.0.0.1:8080"},
		Data:       "data",
		Log:        Log{Level: "info", Format: "json"},
	}
}

// Bytes is an amount of memory, written like 512MiB or 2GB.
type Bytes int64

// DecodeYAML reads a number of bytes or a number with its unit.
func (b *Bytes) DecodeYAML(n *schemas.YAML, p *schemas.Problems) {
	switch n.Kind {
	case schemas.YAMLNull:
		return
	case schemas.YAMLInt, schemas.YAMLString:
		if v, ok := parseBytes(n.Text); ok {
			*b = v
			return
		}
	}
	p.Add(n, fmt.Sprintf("%q is not an amount of memory", n.Text), "write it like 512MiB or 2GiB")
}

func parseBytes(s string) (Bytes, bool) {
	units := []struct {
		name string
		size float64
	}{{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"TiB", 1 << 40}, {"kB", 1e3}, {"MB", 1e6}, {"GB", 1e9}, {"TB", 1e12}, {"B", 1}}
	size := 1.0
	for _, u := range units {
		if rest, ok := strings.CutSuffix(s, u.name); ok {
			s, size = strings.TrimSpace(rest), u.size
			break
		}
	}
	f, err := strconv.ParseFloat(s, 64)
	if err != nil || math.IsNaN(f) || f < 0 || f*size >= 1<<60 {
		return 0, false
	}
	return Bytes(f * size), true
}

// String writes whole mebibytes as MiB, else bytes.
func (b Bytes) String() string {
	if b%(1<<20) == 0 {
		return strconv.FormatInt(int64(b>>20), 10) + "MiB"
	}
	return strconv.FormatInt(int64(b), 10)
}

// MarshalText implements encoding.TextMarshaler.
func (b Bytes) MarshalText() ([]byte, error) { return []byte(b.String()), nil }

// DecodeYAML reads `embedded` or the block.
func (k *Kafka) DecodeYAML(n *schemas.YAML, p *schemas.Problems) {
	type plain Kafka
	v := plain(*k)
	if server(n, &v.Embedded, p) {
		n.Decode(&v, p)
		if !v.Embedded && len(v.Brokers) == 0 && n.Get("brokers") == nil {
			v.Brokers = []string{"127.0.0.1:9092"}
		}
	}
	*k = Kafka(v)
}

// DecodeYAML reads `embedded` or the block.
func (c *ClickHouse) DecodeYAML(n *schemas.YAML, p *schemas.Problems) {
	type plain ClickHouse
	v := plain(*c)
	if server(n, &v.Embedded, p) {
		n.Decode(&v, p)
		if !v.Embedded && len(v.Addr) == 0 && n.Get("addr") == nil {
			v.Addr = []string{"127.0.0.1:9000"}
		}
	}
	*c = ClickHouse(v)
}

// DecodeYAML reads `embedded` or the block.
func (c *NATS) DecodeYAML(n *schemas.YAML, p *schemas.Problems) {
	type plain NATS
	v := plain(*c)
	if server(n, &v.Embedded, p) {
		n.Decode(&v, p)
		if !v.Embedded && v.URL == "" && n.Get("url") == nil {
			v.URL = "nats://127.0.0.1:4222"
		}
	}
	*c = NATS(v)
}

// server reads the word form of a server and reports whether the block form
// is to be read; a block means a server elsewhere unless it says embedded.
func server(n *schemas.YAML, embedded *bool, p *schemas.Problems) bool {
	switch n.Kind {
	case schemas.YAMLMap:
		*embedded = false
		return true
	case schemas.YAMLString:
		if n.Text == Embedded {
			*embedded = true
			return false
		}
		p.Add(n, fmt.Sprintf("%q is neither `embedded` nor a block of keys", n.Text), schemas.DidYouMean(n.Text, []string{Embedded}))
	case schemas.YAMLNull:
	default:
		p.Add(n, "expected `embedded` or a block of keys, got "+n.Kind.String(), "")
	}
	return false
}
