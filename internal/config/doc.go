// Package config reads the settings file of the service and the folder of
// monitor files.
//
// Every key has a default, so that no file at all is a valid configuration:
// Kafka, ClickHouse and NATS are then started inside the process. Whatever is
// wrong is reported at once, each mistake with its file, line, column, YAML
// path and the nearest known key. Secrets are read when the settings are, and
// are never printed.
package config
