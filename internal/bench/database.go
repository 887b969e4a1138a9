package bench

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/rs/zerolog"

	"github.com/modelwatch/modelwatch/internal/store"
	"github.com/modelwatch/modelwatch/schemas"
)

// database is a database of one run.
type database struct {
	*store.Store
	name string
}

// fresh is a name that nobody else uses.
func fresh(prefix string) string { return prefix + "_" + strings.ToLower(rand.Text()[:10]) }

// database makes an empty database with the service's tables.
func (b *Bench) database(ctx context.Context) (*database, error) {
	c := store.DefaultConfig()
	c.Addr, c.Database = []string{b.cfg.Servers.ClickHouse}, fresh("bench")
	s, err := store.Open(c, zerolog.Nop())
	if err != nil {
		return nil, err
	}
	if err := s.Migrate(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("preparing a database: %w", err), s.Close())
	}
	return &database{s, c.Database}, nil
}

// drop removes a database again, whether the run was stopped or not.
func (b *Bench) drop(d *database) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	err := d.Close()
	if err := b.conn.Exec(ctx, "DROP DATABASE "+d.name+" SYNC"); err != nil {
		return errors.Join(err, fmt.Errorf("dropping the database of a run: %w", err))
	}
	return err
}

// space is what a table takes, and how its rows came.
type space struct {
	bytesPerRow   float64 // compressed, on disk
	rowsPerInsert float64
	inserts       int
}

// space asks for the space of a table as it is. Parts that were merged into
// others are listed for some minutes yet, so each insert can still be seen: its
// part has one block.
func (b *Bench) space(ctx context.Context, d *database, table string) (space, error) {
	var s space
	var inserts, rows uint64
	const q = `SELECT ifNotFinite(sumIf(data_compressed_bytes, active) / sumIf(rows, active), 0), countIf(min_block_number = max_block_number), sumIf(rows, min_block_number = max_block_number)
		FROM system.parts WHERE database = ? AND table = ?`
	if err := b.conn.QueryRow(ctx, q, d.name, table).Scan(&s.bytesPerRow, &inserts, &rows); err != nil {
		return s, fmt.Errorf("asking how much is stored: %w", err)
	}
	s.inserts = int(inserts)
	if inserts > 0 {
		s.rowsPerInsert = float64(rows) / float64(inserts)
	}
	return s, nil
}

// verify counts the stored rows of a topic.
func (b *Bench) verify(ctx context.Context, d *database, t *topic) error {
	var rows uint64

	q := "SELECT sum(rows) FROM " + d.name + ".partials FINAL WHERE role = ? AND feature IN ('features', 'prediction')"
	if err := b.conn.QueryRow(ctx, q, uint8(schemas.RoleRows)).Scan(&rows); err != nil {
		return fmt.Errorf("counting what was stored: %w", err)
	}
	if rows != uint64(t.rows) {
		return fmt.Errorf("%d rows of %d are stored", rows, t.rows)
	}
	return nil
}

// connect opens the connection that looks after databases.
func connect(addr string) (driver.Conn, error) {
	conn, err := clickhouse.Open(&clickhouse.Options{Addr: []string{addr}, Auth: clickhouse.Auth{Username: "default"}})
	if err != nil {
		return nil, fmt.Errorf("reaching ClickHouse at %s: %w", addr, err)
	}
	return conn, nil
}
