// Package house holds the tests that keep the rooms of this module apart.
//
// A room is a folder with one duty. Imports go one way, down the table in
// rooms_test.go; each row also lists the libraries its room may use and what it
// must never touch. Pure rooms have no clock, no logger and no input or output,
// so that what they compute depends on their arguments alone and a replay gives
// the same bytes.
//
// The table is the one place to change: .golangci.yml repeats it for depguard,
// so that editors show a violation while it is typed, and a test here compares
// the two. The package has no code of its own and nothing may import it.
package house
