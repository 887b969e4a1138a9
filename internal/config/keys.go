package config

// Key is one key of the settings that a flag may override.
type Key struct {
	Name  string // as in kafka.brokers
	Usage string // in a few words
}

// Keys lists the keys that flags may override, in the order of the file. What
// is secret is not among them, because other users of a machine can read its
// command lines; the files of secrets are.
func Keys() []Key {
	return []Key{
		{"kafka", "`embedded`: start a broker inside the process"},
		{"kafka.brokers", "`brokers` to start from, host:port separated by commas"},
		{"kafka.group", "`name` of the consumer group"},
		{"kafka.isolation", "read_committed or read_uncommitted"},
		{"kafka.tls.ca", "PEM `file` of authorities"},
		{"kafka.tls.cert", "PEM `file` of the own certificate"},
		{"kafka.tls.key", "PEM `file` of its key"},
		{"kafka.tls.server_name", "`name` on the server's certificate"},
		{"kafka.sasl.mechanism", "plain, scram-sha-256 or scram-sha-512"},
		{"kafka.sasl.user", "`user`"},
		{"kafka.sasl.password_file", "`file` of the password"},
		{"clickhouse", "`embedded`: start an engine inside the process"},
		{"clickhouse.addr", "`servers` of the native protocol, host:port separated by commas"},
		{"clickhouse.database", "`name` of the database"},
		{"clickhouse.user", "`user`"},
		{"clickhouse.password_file", "`file` of the password"},
		{"clickhouse.tls.ca", "PEM `file` of authorities"},
		{"clickhouse.tls.cert", "PEM `file` of the own certificate"},
		{"clickhouse.tls.key", "PEM `file` of its key"},
		{"clickhouse.tls.server_name", "`name` on the server's certificate"},
		{"clickhouse.cluster", "`name` of the cluster for replicated tables"},
		{"nats", "`embedded`: start a server inside the process"},
		{"nats.url", "`servers`, separated by commas"},
		{"nats.creds_file", "`file` of user credentials"},
		{"nats.tls.ca", "PEM `file` of authorities"},
		{"nats.tls.cert", "PEM `file` of the own certificate"},
		{"nats.tls.key", "PEM `file` of its key"},
		{"nats.tls.server_name", "`name` on the server's certificate"},
		{"nats.replicas", "`copies` of each stream"},
		{"monitors", "`folder` of monitor files"},
		{"http.listen", "`address` of pages and API, host:port"},
		{"http.token_file", "`file` of the token that readers must show"},
		{"http.operator_token_file", "`file` of the token that whoever changes anything must show"},
		{"http.tls.cert", "PEM `file` of the certificate chain"},
		{"http.tls.key", "PEM `file` of its key"},
		{"http.tls.client_ca", "PEM `file` of authorities whose clients are let in"},
		{"notify.alertmanager", "Alertmanager's own configuration `file`"},
		{"notify.url", "`address` of an Alertmanager elsewhere"},
		{"hash_key_file", "`file` of the key that values of sensitive features are hashed by"},
		{"data", "`folder` of the embedded servers"},
		{"log.level", "debug, info, warn or error"},
		{"log.format", "json or console"},
		{"limits.memory", "`amount` that the Go process tries to stay below, such as 512MiB"},
	}
}
