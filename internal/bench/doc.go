// Package bench measures what a row costs on its way from Kafka to stored
// windows, beside what the same rows cost others in the same process.
//
// It makes rows from a seed, puts them into topics of a real broker, and
// reads them again with the very parts of the service: fetcher, decoder, loop,
// assembler and store. Every figure is a median of runs that take turns with
// the runs they are compared with, because only ratios within one run of the
// program mean anything on a machine that others use too. What was stored is
// counted after every run: a run that lost a row is an error.
package bench
