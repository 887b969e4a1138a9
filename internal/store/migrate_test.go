package store_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"golang.org/x/sync/errgroup"

	"github.com/modelwatch/modelwatch/internal/store"
	"github.com/modelwatch/modelwatch/internal/testkit"
)

func TestMigrationsApplyOnceWhoeverBegins(t *testing.T) {
	server := testkit.ClickHouse(t)
	database := testkit.Name(t, "new`base'")
	t.Cleanup(func() { server.Query(t, "TRUNCATE DATABASE `"+strings.ReplaceAll(database, "`", "\\`")+"`") })
	var g errgroup.Group
	for range 6 {
		s := openAt(t, server.Addr, database)
		g.Go(func() error { return s.Migrate(background(t)) })
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
	all, err := store.Migrations()
	if err != nil {
		t.Fatal(err)
	}
	quoted := "`" + strings.ReplaceAll(database, "`", "\\`") + "`"
	want := fmt.Sprint(len(all))
	if got := server.Query(t, "SELECT count() FROM "+quoted+".migrations"); got != want {
		t.Errorf("%s records of migrations, want %s", got, want)
	}
	// A later start changes nothing.
	if err := openAt(t, server.Addr, database).Migrate(background(t)); err != nil {
		t.Fatal(err)
	}
	if got := server.Query(t, "SELECT count() FROM "+quoted+".migrations"); got != want {
		t.Errorf("%s records after a second start, want %s", got, want)
	}
}

func TestNewerAndChangedDatabasesAreRefused(t *testing.T) {
	server := testkit.ClickHouse(t)
	s, database := open(t)
	server.Query(t, "INSERT INTO "+database+".migrations (name, hash, program) VALUES ('9999_later', 'x', '7.1.0')")
	err := s.Migrate(background(t))
	if !errors.Is(err, store.ErrNewer) || !strings.Contains(err.Error(), "9999_later") || !strings.Contains(err.Error(), "7.1.0") {
		t.Errorf("a newer database: %v", err)
	}
	server.Query(t, "DELETE FROM "+database+".migrations WHERE 1")
	server.Query(t, "INSERT INTO "+database+".migrations (name, hash, program) VALUES ('0001_tables', 'other', '0.1.0')")
	if err := s.Migrate(background(t)); !errors.Is(err, store.ErrChanged) {
		t.Errorf("a changed migration: %v", err)
	}
}

// There is no keeper here, so of the replicated form only the syntax can be had.
func TestReplicatedFormIsValid(t *testing.T) {
	server := testkit.ClickHouse(t)
	all, err := store.Migrations()
	if err != nil {
		t.Fatal(err)
	}
	replicated := 0
	for _, m := range all {
		statements, err := m.Statements("the 'clus`ter")
		if err != nil {
			t.Fatal(err)
		}
		for _, statement := range statements {
			if tree := server.Query(t, "EXPLAIN AST "+statement); !strings.Contains(tree, "CreateQuery") && !strings.Contains(tree, "AlterQuery") {
				t.Errorf("%s: neither makes nor changes a table:\n%.200s", m.Name, statement)
			}
			if !strings.Contains(statement, " ON CLUSTER `the 'clus\\`ter`") {
				t.Errorf("%s: not on the cluster:\n%.200s", m.Name, statement)
			}
			if strings.Contains(statement, "CREATE TABLE") {
				if !strings.Contains(statement, "ENGINE = Replicated") {
					t.Errorf("%s: not replicated:\n%.200s", m.Name, statement)
				}
				replicated++
			}
			if strings.Contains(statement, "non_replicated") {
				t.Errorf("%s: a setting of plain tables:\n%.200s", m.Name, statement)
			}
		}
	}
	if replicated < 10 {
		t.Errorf("only %d tables are replicated", replicated)
	}
}
