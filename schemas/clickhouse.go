package schemas

import "embed"

// ClickHouse holds the migrations of the store's database, clickhouse/NNNN_name.sql,
// to be applied in the order of their names. A file that has been released is
// never changed; the store refuses a database whose record of it differs.
//
// A file is a text/template of statements that end in ";" at the end of a
// line; every statement may be repeated without harm. In it stand
//
//	{{engine "ReplacingMergeTree" "end_offset"}}  the engine, plain or replicated
//	{{cluster}}                                   "" or " ON CLUSTER `name`"
//	{{deduplication 100000}}                      the setting that remembers the tokens of so many inserts
//
//go:embed clickhouse/*.sql
var ClickHouse embed.FS
