package store

import (
	"slices"
	"strings"
	"testing"

	"github.com/rs/zerolog"

	"github.com/modelwatch/modelwatch/internal/embedded"
	"github.com/modelwatch/modelwatch/internal/testkit"
)

// TestRightsOfRestrictedUsers lets users of a real server do the store's work:
// one with what docs/security.md lists, one without, one with more.
func TestRightsOfRestrictedUsers(t *testing.T) {
	const least = "GRANT CREATE DATABASE, CREATE TABLE, CREATE VIEW, DROP TABLE, DROP VIEW, SELECT, INSERT, ALTER ADD COLUMN, ALTER DELETE ON mw.*"
	const engines = "GRANT TABLE ENGINE ON MergeTree, TABLE ENGINE ON ReplacingMergeTree"
	user := func(name string, grants ...string) embedded.ClickHouseUser {
		return embedded.ClickHouseUser{Name: name, Password: "pw-" + name, Grants: grants}
	}
	server := testkit.NewClickHouse(t, user("least", least, engines), user("reader", "GRANT SELECT ON mw.*"),
		user("blind", strings.Replace(least, "SELECT, ", "", 1), engines),
		user("many", least, engines, "GRANT SELECT, DROP DATABASE ON other.*", "GRANT TRUNCATE ON mw.*", "GRANT SELECT ON system.*"),
		user("giver", least+" WITH GRANT OPTION", engines))
	as := func(name string) *Store {
		cfg := DefaultConfig()
		cfg.Addr, cfg.Database, cfg.User, cfg.Password = []string{server.Addr}, "mw", name, "pw-"+name
		if name == "default" {
			cfg.Password = ""
		}
		s, err := Open(cfg, zerolog.Nop())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = s.Close() })
		return s
	}
	f := func(name string, missing, extra []string) {
		t.Helper()
		got, err := as(name).Rights(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(got.Missing, missing) {
			t.Errorf("%s: missing %q, want %q", name, got.Missing, missing)
		}
		if !slices.Equal(got.Extra, extra) {
			t.Errorf("%s: extra %q, want %q", name, got.Extra, extra)
		}
	}
	f("least", nil, nil)
	if dbs := server.Query(t, "SELECT count() FROM system.databases WHERE name = 'mw'"); dbs != "0" {
		t.Error("asking for rights made the database")
	}
	f("blind", []string{"SELECT ON mw.*"}, nil)
	f("reader", []string{
		"CREATE DATABASE ON mw.*", "CREATE TABLE ON mw.*", "CREATE VIEW ON mw.*", "DROP TABLE ON mw.*", "DROP VIEW ON mw.*",
		"INSERT ON mw.*", "ALTER ADD COLUMN ON mw.*", "ALTER DELETE ON mw.*", "TABLE ENGINE ON MergeTree", "TABLE ENGINE ON ReplacingMergeTree",
	}, nil)
	f("many", nil, []string{"TRUNCATE ON mw.*", "SELECT ON other.*", "DROP DATABASE ON other.*"})
	if got, err := as("giver").Rights(t.Context()); err != nil || len(got.Missing) > 0 || len(got.Extra) != 9 || !strings.HasSuffix(got.Extra[0], "WITH GRANT OPTION") {
		t.Errorf("%+v, %v", got, err)
	}
	if got, err := as("default").Rights(t.Context()); err != nil || len(got.Missing) > 0 || !slices.Contains(got.Extra, "DROP ON *.*") {
		t.Errorf("%+v, %v", got, err)
	}

	// What is listed is enough for all that the store does to make itself, twice.
	for range 2 {
		if err := as("least").Migrate(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := as("stranger").Rights(t.Context()); err == nil || !strings.Contains(err.Error(), "Authentication failed") || strings.Contains(err.Error(), "pw-") {
		t.Errorf("a stranger: %v", err)
	}
}
