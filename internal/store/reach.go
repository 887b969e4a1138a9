package store

import (
	"context"
	"fmt"
	"strings"
)

// Reach asks the server for an answer, whether or not the database is made.
func (s *Store) Reach(ctx context.Context) error {
	conn, err := s.connect("default")
	if err != nil {
		return fmt.Errorf("reaching ClickHouse: %w", err)
	}
	defer conn.Close() // nothing was written
	if err := conn.Ping(ctx); err != nil {
		return fmt.Errorf("reaching ClickHouse at %s: %w", strings.Join(s.cfg.Addr, ", "), err)
	}
	return nil
}
