package bench

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/modelwatch/modelwatch/schemas"
)

// engine is a ClickHouse that computes the same statistics from the same rows
// itself. It is a process of this machine, so that its time can be taken.
type engine struct {
	conn driver.Conn
	pid  int
}

// fileRows is how many rows of 20 features the engine reads from a file.
const fileRows = 200_000

// form is how the engine finds the bin of a number.
type binning uint8

const (
	// referenceEdges counts into the very bins of the spec.
	referenceEdges binning = iota
	// equalWidth counts into as many bins of one width, which costs the engine
	// no search, and is not what was asked.
	equalWidth
)

// question is the SQL of one workload.
type question struct {
	extract string // the type of what is read of a line
	slices  []string
	values  []string
}

// ask writes down the statistics of a workload's specs: rows, values, sums,
// squares, extremes and bins of numbers, values and kept categories of others.
func ask(c Case, spec *schemas.Spec, bins binning) question {
	q := question{}
	var features, own []string
	for i := range spec.Columns {
		col := &spec.Columns[i]
		if (col.Role == schemas.RoleFeature) != (c.Kind == Features) {
			continue
		}
		at := "t." + col.Name
		of := " Nullable(Float64)"
		if col.Type == schemas.TypeCategory {
			of = " Nullable(String)"
		}
		if col.Role == schemas.RoleFeature {
			at = "t.features." + col.Name
			features = append(features, col.Name+of)
		} else {
			own = append(own, col.Name+of)
		}
		q.values = append(q.values, "count("+at+")")
		if col.Type == schemas.TypeCategory {
			n := len(col.Categories)
			q.values = append(q.values, fmt.Sprintf("countResample(0, %d, 1)(transform(%s, %s, range(%d), %d))", n+1, at, quoted(col.Categories), n, n))
			continue
		}
		q.values = append(q.values, "sum("+at+")", "sum("+at+" * "+at+")", "min("+at+")", "max("+at+")")
		q.values = append(q.values, binned(at, col.Edges, bins))
	}
	for _, s := range spec.Slices {
		at := "t.features." + s.Columns[0]
		var known []string
		for _, v := range s.Values {
			known = append(known, v[0])
		}
		q.slices = append(q.slices, fmt.Sprintf("if(%s IN (%s), %s, 'other')", at, strings.Trim(quoted(known), "[]"), at))
	}
	own = append(own, "model String", "ts String")
	if len(features) > 0 {
		own = append(own, "features Tuple("+strings.Join(features, ", ")+")")
	}
	q.extract = "Tuple(" + strings.Join(own, ", ") + ")"
	return q
}

// binned counts a number's bins.
func binned(at string, edges []float64, bins binning) string {
	if bins == equalWidth {
		lo, hi := edges[0], edges[len(edges)-1]
		n := len(edges) + 1
		return fmt.Sprintf("countResample(0, %d, 1)(toUInt8(clamp((ifNull(%s, 0) - (%g)) * %g, 0, %d)))", n, at, lo, float64(n)/(hi-lo), n-1)
	}
	var text []string
	for _, e := range edges {
		text = append(text, strconv.FormatFloat(e, 'g', -1, 64))
	}
	all := "[-1.7976931348623157e308, " + strings.Join(text, ", ") + "]"
	n := len(edges) + 1
	return fmt.Sprintf("countResample(0, %d, 1)(transform(roundDown(%s, %s), %s, range(%d), 0))", n, at, all, all, n)
}

func quoted(values []string) string {
	q := make([]string, len(values))
	for i, v := range values {
		q[i] = "'" + strings.ReplaceAll(v, "'", "''") + "'"
	}
	return "[" + strings.Join(q, ", ") + "]"
}

// query computes the statistics of lines from a table, by model and hour and
// then by each slice too.
func (q *question) query(from string) string {
	inner := "SELECT JSONExtract(line, '" + q.extract + "') AS t, t.model AS model, substring(t.ts, 1, 13) AS hour"
	keys, sets := "model, hour", "(model, hour)"
	for i, s := range q.slices {
		inner += fmt.Sprintf(", %s AS s%d", s, i)
		keys += fmt.Sprintf(", s%d", i)
		sets += fmt.Sprintf(", (model, hour, s%d)", i)
	}
	group := keys
	if len(q.slices) > 0 {
		group = "GROUPING SETS (" + sets + ")"
		keys += ", grouping(" + strings.Join(strings.Split(keys, ", ")[2:], ", ") + ") AS level"
	}
	text := "SELECT " + keys + ", count() AS n"
	for i, v := range q.values {
		text += fmt.Sprintf(", %s AS v%d", v, i)
	}
	return text + " FROM (" + inner + " FROM " + from + ") GROUP BY " + group
}

// lines writes the rows of a case into a file that the engine reads.
func lines(c Case, seed uint64, most int) (path string, rows int, err error) {
	rows = max(1000, min(most, fileRows*20/max(20, c.Features)))
	file, err := os.CreateTemp("", "modelwatch-bench-*.jsonl")
	if err != nil {
		return "", 0, fmt.Errorf("making a file of rows: %w", err)
	}
	defer func() {
		if err = errors.Join(err, file.Close()); err != nil {
			err = errors.Join(err, os.Remove(file.Name()))
		}
	}()
	w := New(c.Shape, seed)
	out := bufio.NewWriterSize(file, 1<<20)
	var line []byte
	for range rows {
		line, _ = w.Append(line[:0])
		if _, err := out.Write(append(line, '\n')); err != nil {
			return "", 0, fmt.Errorf("writing a file of rows: %w", err)
		}
	}
	if err := out.Flush(); err != nil {
		return "", 0, fmt.Errorf("writing a file of rows: %w", err)
	}
	path, err = filepath.Abs(file.Name())
	return path, rows, err
}

// oneThread makes the engine read and compute on one thread.
const oneThread = " SETTINGS max_threads = 1, max_parsing_threads = 1, input_format_parallel_parsing = 0"

// file takes the time in which the engine reads a file into the statistics.
func (e *engine) file(ctx context.Context, q question, path string, rows int) (time.Duration, error) {
	before, err := cpuOf(e.pid)
	if err != nil {
		return 0, err
	}
	var n uint64
	whole := "1"
	if len(q.slices) > 0 {
		whole = "level = " + strconv.Itoa(1<<len(q.slices)-1)
	}
	// All columns are computed for the outer query's hash of them.
	sql := "SELECT sumIf(n, " + whole + "), sum(cityHash64(*)) FROM (" + q.query("file('"+path+"', 'LineAsString', 'line String')") + ")" + oneThread
	var hash uint64
	if err := e.conn.QueryRow(ctx, sql).Scan(&n, &hash); err != nil {
		return 0, fmt.Errorf("reading rows from a file with ClickHouse: %w", err)
	}
	after, err := cpuOf(e.pid)
	if err != nil {
		return 0, err
	}
	if n != uint64(rows) {
		return 0, fmt.Errorf("reading rows from a file with ClickHouse: it counted %d rows of %d", n, rows)
	}
	return after - before, nil
}

// topic takes the time in which the engine's own Kafka engine reads a topic
// into the statistics, by way of a materialized view.
func (e *engine) topic(ctx context.Context, q question, broker string, t *topic) (took time.Duration, err error) {
	name := fresh("rival")
	do := func(ctx context.Context, sql string) error {
		if err := e.conn.Exec(ctx, sql); err != nil {
			return fmt.Errorf("reading a topic with ClickHouse's Kafka engine: %w", err)
		}
		return nil
	}
	if err := do(ctx, "CREATE DATABASE "+name); err != nil {
		return 0, err
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
		defer cancel()
		err = errors.Join(err, do(ctx, "DROP VIEW IF EXISTS "+name+".view SYNC"), do(ctx, "DROP DATABASE "+name+" SYNC"))
	}()
	from := name + ".queue"
	for _, sql := range []string{
		fmt.Sprintf(`CREATE TABLE %s (line String) ENGINE = Kafka SETTINGS kafka_broker_list = '%s', kafka_topic_list = '%s', kafka_group_name = '%s',
			kafka_format = 'LineAsString', kafka_num_consumers = %d, kafka_thread_per_consumer = %d, kafka_flush_interval_ms = 1000`,
			from, broker, t.name, name, min(t.partitions, 2), min(t.partitions-1, 1)),
		"CREATE TABLE " + name + ".stored ENGINE = MergeTree ORDER BY tuple() EMPTY AS " + q.query(from) + " SETTINGS stream_like_engine_allow_direct_select = 1",
	} {
		if err := do(ctx, sql); err != nil {
			return 0, err
		}
	}
	before, err := cpuOf(e.pid)
	if err != nil {
		return 0, err
	}
	if err := do(ctx, "CREATE MATERIALIZED VIEW "+name+".view TO "+name+".stored AS "+q.query(from)); err != nil {
		return 0, err
	}
	whole := "1"
	if len(q.slices) > 0 {
		whole = "level = " + strconv.Itoa(1<<len(q.slices)-1)
	}
	var asked error
	err = until(ctx, t.rows, 100*time.Millisecond, func() int {
		var n uint64
		if asked = e.conn.QueryRow(ctx, "SELECT sumIf(n, "+whole+") FROM "+name+".stored").Scan(&n); asked != nil {
			return t.rows
		}
		return int(n)
	})
	if err := errors.Join(err, asked); err != nil {
		return 0, fmt.Errorf("reading a topic with ClickHouse's Kafka engine: %w", err)
	}
	after, err := cpuOf(e.pid)
	return after - before, err
}
