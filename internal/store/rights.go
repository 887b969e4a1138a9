package store

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
)

// Rights is how what a user may do differs from what the store needs.
type Rights struct {
	Missing []string // as in INSERT ON modelwatch.*
	Extra   []string // in the same form; what would do harm in wrong hands
}

// needed are the rights on the tables of the database.
var needed = []string{"CREATE DATABASE", "CREATE TABLE", "CREATE VIEW", "DROP TABLE", "DROP VIEW", "SELECT", "INSERT", "ALTER ADD COLUMN", "ALTER DELETE"}

// Rights asks the server what its user may do. The database need not be there.
func (s *Store) Rights(ctx context.Context) (Rights, error) {
	conn, err := s.connect("default")
	if err != nil {
		return Rights{}, fmt.Errorf("asking ClickHouse for rights: %w", err)
	}
	defer conn.Close() // nothing was written
	var out Rights
	want := make([]string, len(needed))
	for i, right := range needed {
		want[i] = right + " ON " + identifier(s.cfg.Database) + ".*"
	}
	engines := []string{"MergeTree", "ReplacingMergeTree"}
	if s.cfg.Cluster != "" {
		want = append(want, "CLUSTER ON *.*")
		engines = []string{"ReplicatedMergeTree", "ReplicatedReplacingMergeTree"}
	}
	for _, e := range engines {
		want = append(want, "TABLE ENGINE ON "+e)
	}
	for _, right := range want {
		var has uint8
		if err := conn.QueryRow(ctx, "CHECK GRANT "+right).Scan(&has); err != nil {
			return out, fmt.Errorf("asking ClickHouse for the right %s: %w", right, err)
		}
		if has == 0 {
			out.Missing = append(out.Missing, strings.ReplaceAll(right, "`", ""))
		}
	}
	rows, err := conn.Query(ctx, "SHOW GRANTS FINAL")
	if err != nil {
		return out, fmt.Errorf("asking ClickHouse for rights: %w", err)
	}
	lines, err := texts(rows)
	if err != nil {
		return out, fmt.Errorf("asking ClickHouse for rights: %w", err)
	}
	for _, line := range lines {
		out.Extra = append(out.Extra, extra(line, s.cfg.Database, s.cfg.Cluster != "")...)
	}
	return out, nil
}

func texts(rows driver.Rows) ([]string, error) {
	defer rows.Close() // its error is that of Err
	var out []string
	for rows.Next() {
		var text string
		if err := rows.Scan(&text); err != nil {
			return nil, err
		}
		out = append(out, text)
	}
	return out, rows.Err()
}

var grant = regexp.MustCompile(`^GRANT (.+) ON (\S+) TO .+?( WITH GRANT OPTION)?$`)

// extra lists what a line of SHOW GRANTS allows beyond what is needed.
func extra(line, database string, cluster bool) []string {
	parts := grant.FindStringSubmatch(line)
	if parts == nil {
		return nil // a role: FINAL shows what it grants
	}
	target, option := strings.ReplaceAll(parts[2], "`", ""), parts[3]
	var out []string
	for _, right := range rightsOf(parts[1]) {
		name, _, _ := strings.Cut(right, "(")
		switch {
		case option != "":
		case name == "TABLE ENGINE":
			continue
		case strings.HasPrefix(target, "system.") || strings.HasPrefix(strings.ToLower(target), "information_schema."):
			if name == "SELECT" {
				continue
			}
		case cluster && name == "CLUSTER":
			continue
		case target == database+".*" || strings.HasPrefix(target, database+"."):
			if slices.Contains(needed, name) {
				continue
			}
		}
		out = append(out, right+" ON "+target+option)
	}
	return out
}

// rightsOf splits a list of rights, of which some name columns: SELECT(a, b), INSERT.
func rightsOf(list string) []string {
	var out []string
	depth, from := 0, 0
	for i, r := range list {
		switch r {
		case '(':
			depth++
		case ')':
			depth--
		case ',':
			if depth == 0 {
				out = append(out, strings.TrimSpace(list[from:i]))
				from = i + 1
			}
		}
	}
	return append(out, strings.TrimSpace(list[from:]))
}
