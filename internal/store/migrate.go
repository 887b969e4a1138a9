package store

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"text/template"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/modelwatch/modelwatch/internal/faultpoint"
	"github.com/modelwatch/modelwatch/schemas"
)

// ErrNewer is returned by Migrate for a database that a newer program has migrated.
var ErrNewer = errors.New("the database is newer than this program")

// ErrOlder is returned by Attach for a database that lacks migrations.
var ErrOlder = errors.New("the database is older than this program")

// ErrChanged is returned by Migrate when a recorded migration differs from the program's.
var ErrChanged = errors.New("a migration was changed after it was applied")

// migrationAttempts bounds how often a migration is begun again because
// another replica was in the middle of it.
const migrationAttempts = 20

// Migration is one file of schemas.ClickHouse.
type Migration struct {
	Name string // of the file, without folder and ending
	Hash string // hex SHA-256 of the file
	Text string
}

// Migrations returns the program's migrations in their order.
func Migrations() ([]Migration, error) {
	names, err := fs.Glob(schemas.ClickHouse, "clickhouse/*.sql")
	if err != nil {
		return nil, fmt.Errorf("listing migrations: %w", err)
	}
	slices.Sort(names)
	all := make([]Migration, len(names))
	for i, name := range names {
		text, err := fs.ReadFile(schemas.ClickHouse, name)
		if err != nil {
			return nil, fmt.Errorf("reading migration %s: %w", name, err)
		}
		sum := sha256.Sum256(text)
		short := strings.TrimSuffix(strings.TrimPrefix(name, "clickhouse/"), ".sql")
		all[i] = Migration{Name: short, Hash: hex.EncodeToString(sum[:]), Text: string(text)}
	}
	return all, nil
}

// Statements returns the migration's statements for a cluster, or for plain
// tables where cluster is "".
func (m Migration) Statements(cluster string) ([]string, error) {
	form, err := template.New(m.Name).Option("missingkey=error").Funcs(template.FuncMap{
		"engine":        func(name string, args ...string) string { return engine(cluster, name, args) },
		"cluster":       func() string { return onCluster(cluster) },
		"deduplication": func(inserts int) string { return deduplication(cluster, inserts) },
	}).Parse(m.Text)
	if err != nil {
		return nil, fmt.Errorf("reading migration %s: %w", m.Name, err)
	}
	var text bytes.Buffer
	if err := form.Execute(&text, nil); err != nil {
		return nil, fmt.Errorf("filling in migration %s: %w", m.Name, err)
	}
	var out []string
	for statement := range strings.SplitSeq(text.String(), ";\n") {
		if statement = withoutComments(statement); statement != "" {
			out = append(out, statement)
		}
	}
	return out, nil
}

func withoutComments(statement string) string {
	var lines []string
	for line := range strings.SplitSeq(statement, "\n") {
		if trimmed := strings.TrimSpace(line); trimmed != "" && !strings.HasPrefix(trimmed, "--") {
			lines = append(lines, line)
		}
	}
	return strings.TrimSuffix(strings.Join(lines, "\n"), ";")
}

func engine(cluster, name string, args []string) string {
	if faultpoint.Broken(faultpoint.VersionIgnored) && name == "ReplacingMergeTree" {
		args = nil
	}
	if cluster == "" {
		return name + "(" + strings.Join(args, ", ") + ")"
	}
	path := []string{"'/clickhouse/tables/{shard}/{database}/{table}'", "'{replica}'"}
	return "Replicated" + name + "(" + strings.Join(append(path, args...), ", ") + ")"
}

func onCluster(cluster string) string {
	if cluster == "" {
		return ""
	}
	return " ON CLUSTER " + identifier(cluster)
}

func deduplication(cluster string, inserts int) string {
	if cluster == "" {
		return fmt.Sprintf("non_replicated_deduplication_window = %d", inserts)
	}
	const year = 365 * 24 * 60 * 60
	return fmt.Sprintf("replicated_deduplication_window = %d, replicated_deduplication_window_seconds = %d", inserts, year)
}

// identifier quotes a name for a statement that cannot bind it.
func identifier(name string) string {
	return "`" + strings.NewReplacer("\\", "\\\\", "`", "\\`").Replace(name) + "`"
}

// Migrate makes the database if it is missing and applies the migrations
// that it does not have, in order. Replicas may do so at the same time: every
// statement may be repeated, and each migration is recorded once. It fails
// with ErrNewer or ErrChanged, and then changes nothing.
func (s *Store) Migrate(ctx context.Context) error {
	all, err := Migrations()
	if err != nil {
		return fmt.Errorf("migrating the store: %w", err)
	}
	return s.migrate(ctx, all)
}

func (s *Store) migrate(ctx context.Context, all []Migration) error {
	err := s.forever(ctx, "migrating the store", func(ctx context.Context) error {
		var err error
		for range migrationAttempts {
			if err = s.migrateOnce(ctx, all); !concurrent(err) {
				return err
			}
		}
		return err
	})
	return err
}

// concurrent says whether an error comes of another replica that makes the
// same tables just now.
func concurrent(err error) bool {
	var exception *clickhouse.Exception
	if !errors.As(err, &exception) {
		return false
	}
	switch exception.Code {
	case 57, 60, 82, 218, 253, 529, 600: // table or database exists already or not yet, or is about to be made or dropped
		return true
	}
	return false
}

func (s *Store) migrateOnce(ctx context.Context, all []Migration) error {
	if err := s.makeDatabase(ctx); err != nil {
		return err
	}
	s.made.Store(true)
	if err := s.conn.Exec(ctx, "CREATE TABLE IF NOT EXISTS migrations"+onCluster(s.cfg.Cluster)+
		" (name String, hash String, program String, at DateTime64(3, 'UTC') DEFAULT now64(3, 'UTC')) ENGINE = "+
		engine(s.cfg.Cluster, "MergeTree", nil)+" ORDER BY name SETTINGS "+deduplication(s.cfg.Cluster, 10_000)); err != nil {
		return fmt.Errorf("creating table migrations: %w", err)
	}
	done, err := s.recorded(ctx)
	if err != nil {
		return err
	}
	if err := comparable(all, done); err != nil {
		return err
	}
	for _, m := range all {
		if _, ok := done[m.Name]; ok {
			continue
		}
		if err := s.apply(ctx, m); err != nil {
			return err
		}
	}
	return nil
}

// makeDatabase goes through a connection of its own, since a connection
// cannot name a database that is not there.
func (s *Store) makeDatabase(ctx context.Context) (err error) {
	conn, err := s.connect("default")
	if err != nil {
		return fmt.Errorf("creating database %s: %w", s.cfg.Database, err)
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	if err := conn.Exec(ctx, "CREATE DATABASE IF NOT EXISTS "+identifier(s.cfg.Database)+onCluster(s.cfg.Cluster)); err != nil {
		return fmt.Errorf("creating database %s: %w", s.cfg.Database, err)
	}
	return nil
}

type record struct{ hash, program string }

func (s *Store) recorded(ctx context.Context) (map[string]record, error) {
	done := make(map[string]record)
	err := s.rows(ctx, "SELECT name, hash, program FROM migrations ORDER BY name, at", nil, func(row driver.Rows) error {
		var name string
		var r record
		if err := row.Scan(&name, &r.hash, &r.program); err != nil {
			return err
		}
		if _, ok := done[name]; !ok {
			done[name] = r
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("reading which migrations are applied: %w", err)
	}
	return done, nil
}

// comparable checks that what the database has is what the program knows.
func comparable(all []Migration, done map[string]record) error {
	known := make(map[string]string, len(all))
	for _, m := range all {
		known[m.Name] = m.Hash
	}
	var errs []error
	for name, r := range done {
		switch hash, ok := known[name]; {
		case !ok:
			errs = append(errs, fmt.Errorf("%w: it has migration %s of program %s, which this program does not know; run that program or a later one", ErrNewer, name, r.program))
		case hash != r.hash:
			errs = append(errs, fmt.Errorf("%w: %s was applied by program %s with hash %.12s…, here it has %.12s…", ErrChanged, name, r.program, r.hash, hash))
		}
	}
	return errors.Join(errs...)
}

func (s *Store) apply(ctx context.Context, m Migration) error {
	statements, err := m.Statements(s.cfg.Cluster)
	if err != nil {
		return fmt.Errorf("%w: %w", errUsage, err)
	}
	for _, statement := range statements {
		if err := s.conn.Exec(ctx, statement); err != nil {
			return fmt.Errorf("applying migration %s: %.80q: %w", m.Name, statement, err)
		}
	}
	row := columns{
		{"name", &list[string]{m.Name}}, {"hash", &list[string]{m.Hash}}, {"program", &list[string]{s.cfg.Program}},
	}
	if err := s.insertOnce(ctx, "migrations", "migration/"+m.Name, row); err != nil {
		return fmt.Errorf("recording migration %s: %w", m.Name, err)
	}
	s.log.Info().Str("migration", m.Name).Msg("applied")
	return nil
}
