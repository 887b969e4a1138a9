// Package app is the only room that knows all the others: it builds the
// service from its settings, starts it from the bottom up and stops it from
// the top down.
//
//	servers (embedded) ─▶ store ─▶ bus ─▶ outbox ─▶ evaluate ─▶ consumers ─▶ pages
//
// It is ready once the migrations are done, the specs are registered and the
// group has made its first assignment. kill -9 is an ordinary stop.
package app
