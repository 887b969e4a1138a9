package house

// module is the import path of the module whose rooms are listed below.
const module = "github.com/modelwatch/modelwatch"

// A room is one row of the table.
//
// Own packages are written relative to the module: "detectors" is that package
// alone, "detectors/..." the package and everything under it, "..." every room
// above this one. A package belongs to the room with the longest matching path,
// and the packages of a room may import one another.
type room struct {
	path      string   // folder of the room, relative to the module
	may       []string // own packages it may import
	never     []string // own packages it may not import although may covers them
	libraries []string // modules or packages of others, by prefix; "*" is any
	pure      bool     // neither clock, nor logger, nor input or output
	single    bool     // starts no goroutine
}

// rooms lists every room from the vocabulary down to the command. A room
// imports only from rows above its own.
var rooms = []room{
	{
		path:      "schemas",
		libraries: []string{"github.com/goccy/go-yaml", "github.com/invopop/jsonschema", xxhash},
		pure:      true,
	},
	{
		// Where the campaign of faults hurts the program from inside; nothing without its build tag.
		path:   "internal/faultpoint",
		single: true,
	},
	{
		path:      "internal/summary",
		may:       []string{"schemas/..."},
		libraries: []string{xxhash},
		pure:      true,
		single:    true,
	},
	{
		path:      "internal/window",
		may:       []string{"schemas/...", "internal/summary/..."},
		libraries: []string{xxhash},
		pure:      true,
		single:    true,
	},
	{
		path:      "detectors",
		may:       []string{"schemas/...", "internal/summary/..."},
		libraries: []string{"gonum.org/v1/gonum"},
		pure:      true,
	},
	{
		path:   "alerting",
		may:    []string{"schemas/...", "detectors"},
		pure:   true,
		single: true,
	},
	{
		path:      "alerting/notify",
		may:       []string{"schemas/...", "alerting/...", "detectors"},
		libraries: []string{"github.com/prometheus/alertmanager", "github.com/prometheus/common", prometheus},
	},
	{
		// One sub-package per wire format; only these may use a format's library.
		path: "consumers/decode",
		may:  []string{"schemas/..."},
	},
	{
		path:      "consumers",
		may:       []string{"schemas/...", "consumers/decode/...", "internal/faultpoint"},
		libraries: []string{kafka, "github.com/klauspost/compress", "github.com/pierrec/lz4/v4"},
	},
	{
		path: "internal/ingest",
		may:  []string{"schemas/...", "internal/summary/...", "internal/window/...", "detectors/hard/...", "consumers/...", "internal/faultpoint"},
	},
	{
		path:  "internal/evaluate",
		may:   []string{"schemas/...", "internal/summary/...", "detectors/...", "alerting/..."},
		never: []string{"alerting/notify/..."},
	},
	{
		path:      "internal/store",
		may:       []string{"schemas/...", "internal/summary/...", "internal/faultpoint"},
		libraries: []string{"github.com/ClickHouse/clickhouse-go/v2", "github.com/ClickHouse/ch-go"},
	},
	{
		path:      "internal/bus",
		may:       []string{"schemas/...", "internal/faultpoint"},
		libraries: []string{"github.com/nats-io/nats.go"},
	},
	{
		path: "internal/embedded",
		libraries: []string{
			"github.com/twmb/franz-go",
			"github.com/ClickHouse/ch-go", // the first words of a client
			"github.com/nats-io/nats-server/v2",
			"github.com/ebitengine/purego",
			"golang.org/x/sys",
		},
	},
	{
		// Rows of a file go the way of events, so that what is learnt from them is what the service will count.
		path: "internal/profile",
		may: []string{
			"schemas/...", "internal/summary/...", "internal/window/...", "detectors", "detectors/hard/...", "detectors/budget/...",
		},
		libraries: []string{"github.com/parquet-go/parquet-go"},
	},
	{
		path:      "internal/telemetry",
		may:       []string{"schemas/..."},
		libraries: []string{prometheus},
	},
	{
		path: "internal/web",
		may: []string{
			"schemas/...", "internal/summary/...", "detectors", "alerting/...",
			"internal/store/...", "internal/telemetry/...",
		},
		libraries: []string{prometheus},
	},
	{
		// The settings file holds the Config of every room it sets up.
		path:      "internal/config",
		may:       []string{"schemas/..."},
		libraries: []string{"github.com/goccy/go-yaml", "github.com/invopop/jsonschema"},
	},
	{
		// What is tried before a service relies on it.
		path: "internal/preflight",
		may:  []string{"schemas/...", "consumers/...", "internal/config/..."},
	},
	{
		// The service's own decisions over a stretch of the past; the sheet is that of the pages.
		path: "internal/backtest",
		may: []string{
			"schemas/...", "internal/summary/...", "detectors/...", "alerting/...", "internal/evaluate/...",
			"internal/profile/...", "internal/store/...", "internal/web/...",
		},
		never: []string{"alerting/notify/..."},
	},
	{
		// The service's own reading, with another store behind it.
		path: "internal/replay",
		may: []string{
			"schemas/...", "internal/summary/...", "internal/window/...", "consumers/...", "internal/ingest/...", "internal/store/...",
		},
	},
	{
		path:      "internal/app",
		may:       []string{"..."},
		libraries: []string{"*"},
	},
	{
		path:      "internal/demo",
		may:       []string{"..."},
		libraries: []string{"*"},
	},
	{
		// What a row costs, measured on the parts of the service themselves.
		path:      "internal/bench",
		may:       []string{"..."},
		libraries: []string{"*"},
	},
	{
		// How well it detects: worlds made from a seed, judged by the service's own rules.
		path:      "internal/bench/detection",
		may:       []string{"schemas/...", "internal/summary/...", "detectors/...", "alerting"},
		libraries: []string{"gonum.org/v1/gonum", "github.com/parquet-go/parquet-go"},
	},
	{
		// The application, and the package a command drives; never logic.
		path: "cmd/modelwatch",
		may: []string{
			"schemas/...", "detectors/budget/...", "detectors/drift/...", "internal/app/...", "internal/backtest/...", "internal/bench/...", "internal/config/...", "internal/demo/...",
			"internal/embedded/...", "internal/evaluate/...", "internal/preflight/...", "internal/profile/...", "internal/replay/...", "internal/telemetry/...",
		},
		libraries: []string{"github.com/spf13/cobra", "github.com/spf13/pflag"},
	},
	{
		// Tests recount what the program counted, so the kit shares the contracts with it and no code.
		path:      "internal/testkit",
		may:       []string{"schemas/...", "internal/embedded/..."},
		libraries: []string{"*"},
	},
	{
		// The program hurt on real servers, and compared with one that was not.
		path:      "internal/campaign",
		may:       []string{"schemas/...", "internal/testkit/...", "internal/faultpoint"},
		libraries: []string{"*"},
	},
	{path: "internal/house"},
	{
		// Tests of the built program on real servers; it has no code of its own.
		path: "internal/acceptance",
	},
	{
		// Models of the way of an event, searched by tests; it has no code of its own.
		path: "internal/exactness",
	},
	{path: "deploy"},
	{
		// Programs of other people: they know Kafka and NATS, and nothing of ours.
		path:      "examples",
		libraries: []string{kafka},
	},
}

// Libraries that several rooms share.
const (
	kafka      = "github.com/segmentio/kafka-go"
	prometheus = "github.com/prometheus/client_golang"
	xxhash     = "github.com/cespare/xxhash/v2"
)

// everywhere lists what any room that is not pure may use.
var everywhere = []string{"github.com/rs/zerolog", "golang.org/x/sync"}

// impure lists the packages of the standard library that a pure room may not
// import: they reach outside the arguments of a call.
var impure = []string{
	"database/sql", "log", "log/slog", "net", "net/http", "os", "os/exec", "os/signal", "syscall",
}

// clocks lists the functions of package time that read the wall clock or wait on it.
var clocks = []string{"After", "AfterFunc", "NewTicker", "NewTimer", "Now", "Since", "Sleep", "Tick", "Until"}

// testOnly is imported by tests, by itself, and by hurting, which is a test that
// is too long for one.
const (
	testOnly = "internal/testkit"
	hurting  = "internal/campaign"
)

// folders lists what may stand at the top level of the repository.
var folders = []string{
	".ci", "alerting", "cmd", "consumers", "deploy", "detectors", "docs", "examples", "internal", "schemas",
}
