package config

import (
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/modelwatch/modelwatch/schemas"
)

// Load reads the settings: the defaults, over them the file at path ("" for
// none), over it the overrides by key, such as kafka.brokers, which flags
// give. `${NAME}` in a value is replaced by env; `$${` stands for `${`. The
// files of secrets and certificates are read too. All that is wrong is
// returned at once as a *schemas.Problems.
func Load(path string, overrides map[string]string, env func(string) (string, bool)) (*Settings, error) {
	var p schemas.Problems
	root := &schemas.YAML{Kind: schemas.YAMLMap, Path: "$"}
	if path != "" {
		body, err := readBounded(path, schemas.MaxYAMLBytes)
		if err != nil {
			p.Join(fmt.Errorf("reading settings: %w", err))
			return nil, p.Err()
		}
		root = schemas.ParseYAML(path, body, &p)
		if root == nil {
			return nil, p.Err()
		}
		expand(root, env, &p)
	}
	rebase(root, filepath.Dir(path))
	for _, key := range slices.Sorted(maps.Keys(overrides)) {
		override(root, key, overrides[key], &p)
	}
	s := Default()
	root.Decode(s, &p)
	if len(p.List) == 0 {
		s.readSecrets(root, &p)
		s.check(root, &p)
		s.readCertificates(root, &p)
	}
	if err := p.Err(); err != nil {
		return nil, err
	}
	return s, nil
}

var variable = regexp.MustCompile(`\$?\$\{([^}]*)\}`)

var variableName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// expand replaces ${NAME} in every text of the tree.
func expand(n *schemas.YAML, env func(string) (string, bool), p *schemas.Problems) {
	for _, e := range n.Entries {
		expand(e.Value, env, p)
	}
	for _, i := range n.Items {
		expand(i, env, p)
	}
	if n.Kind != schemas.YAMLString || !strings.Contains(n.Text, "${") {
		return
	}
	whole := variable.FindString(n.Text) == n.Text && !strings.HasPrefix(n.Text, "$$")
	n.Text = variable.ReplaceAllStringFunc(n.Text, func(found string) string {
		if strings.HasPrefix(found, "$$") {
			return found[1:]
		}
		name := found[2 : len(found)-1]
		if !variableName.MatchString(name) {
			p.Add(n, fmt.Sprintf("%q is not the name of a variable", name), "write ${NAME}, or $${ for the characters themselves")
			return ""
		}
		v, ok := env(name)
		if !ok {
			p.Add(n, fmt.Sprintf("the environment has no variable %s", name), "set it, or write the value itself")
			return ""
		}
		return v
	})
	if whole {
		retype(n)
	}
}

// retype gives a value that came as text the type it would have had in the file.
func retype(n *schemas.YAML) {
	if f, err := strconv.ParseInt(n.Text, 10, 53); err == nil {
		n.Kind, n.Number = schemas.YAMLInt, float64(f)
	} else if n.Text == "true" || n.Text == "false" {
		n.Kind = schemas.YAMLBool
	}
}

// pathKeys are the keys that hold a path.
var pathKeys = []string{
	"monitors", "data", "notify.alertmanager", "hash_key_file", "http.token_file", "http.operator_token_file", "http.tls.cert", "http.tls.key", "http.tls.client_ca",
	"kafka.sasl.password_file", "kafka.tls.ca", "kafka.tls.cert", "kafka.tls.key",
	"clickhouse.password_file", "clickhouse.tls.ca", "clickhouse.tls.cert", "clickhouse.tls.key",
	"nats.creds_file", "nats.tls.ca", "nats.tls.cert", "nats.tls.key",
}

// rebase makes the paths of a file relative to the working directory.
func rebase(root *schemas.YAML, folder string) {
	for _, key := range pathKeys {
		n := root
		for _, k := range strings.Split(key, ".") {
			n = n.Get(k)
		}
		if n != nil && n.Kind < schemas.YAMLMap && n.Text != "" && !filepath.IsAbs(n.Text) {
			n.Kind, n.Text = schemas.YAMLString, filepath.Join(folder, n.Text)
		}
	}
	// A default is a path of the file like any other.
	for _, d := range []struct{ key, path string }{{"monitors", Default().Monitors}, {"data", Default().Data}} {
		if root.Get(d.key) == nil && folder != "." && root.Kind == schemas.YAMLMap {
			set(root, d.key, &schemas.YAML{File: root.File, Line: 1, Column: 1, Path: "$." + d.key, Kind: schemas.YAMLString, Text: filepath.Join(folder, d.path)})
		}
	}
}

// listKeys are the keys whose override is a list separated by commas.
var listKeys = []string{"kafka.brokers", "clickhouse.addr"}

// serverAddress are the keys that name a server elsewhere, so that it is not embedded.
var serverAddress = []string{"kafka.brokers", "clickhouse.addr", "nats.url"}

func override(root *schemas.YAML, key, value string, p *schemas.Problems) {
	flag := "--" + key
	leaf := func(text string) *schemas.YAML {
		n := &schemas.YAML{File: flag, Path: "$." + key, Kind: schemas.YAMLString, Text: text}
		retype(n)
		return n
	}
	n := leaf(value)
	if slices.Contains(listKeys, key) {
		n.Kind = schemas.YAMLList
		for v := range strings.SplitSeq(value, ",") {
			n.Items = append(n.Items, leaf(strings.TrimSpace(v)))
		}
	}
	keys := strings.Split(key, ".")
	at := root
	for i, k := range keys[:len(keys)-1] {
		next := at.Get(k)
		if next == nil || next.Kind != schemas.YAMLMap {
			block := &schemas.YAML{File: flag, Path: "$." + strings.Join(keys[:i+1], "."), Kind: schemas.YAMLMap}
			if server := i == 0 && (k == "kafka" || k == "clickhouse" || k == "nats"); server && (next == nil || next.Text == Embedded) {
				block.Entries = append(block.Entries, entry("embedded", &schemas.YAML{File: flag, Path: block.Path + ".embedded", Kind: schemas.YAMLBool, Text: "true"}))
			} else if next != nil && next.Kind != schemas.YAMLNull {
				p.Add(n, fmt.Sprintf("`%s` is not a block of keys in the file", k), "")
				return
			}
			set(at, k, block)
			next = block
		}
		at = next
	}
	set(at, keys[len(keys)-1], n)
	if slices.Contains(serverAddress, key) {
		at.Entries = slices.DeleteFunc(at.Entries, func(e schemas.YAMLEntry) bool { return e.Key.Text == "embedded" })
	}
}

func entry(key string, value *schemas.YAML) schemas.YAMLEntry {
	return schemas.YAMLEntry{Key: &schemas.YAML{File: value.File, Line: value.Line, Column: value.Column, Path: value.Path, Kind: schemas.YAMLString, Text: key}, Value: value}
}

func set(n *schemas.YAML, key string, value *schemas.YAML) {
	for i := range n.Entries {
		if n.Entries[i].Key.Text == key {
			n.Entries[i] = entry(key, value)
			return
		}
	}
	n.Entries = append(n.Entries, entry(key, value))
}

// readSecrets reads the files of secrets.
func (s *Settings) readSecrets(root *schemas.YAML, p *schemas.Problems) {
	read := func(into *Secret, file string, keys ...string) {
		if file == "" {
			return
		}
		at := root.At(keys...)
		if into.text != "" {
			name := keys[len(keys)-1]
			p.Add(at, fmt.Sprintf("`%s` and `%s` are both given", strings.TrimSuffix(name, "_file"), name), "keep one of them")
			return
		}
		secret, err := readSecret(file)
		if err != nil {
			p.Add(at, err.Error(), "")
			return
		}
		*into = secret
	}
	if s.Kafka.SASL != nil {
		read(&s.Kafka.SASL.Password, s.Kafka.SASL.PasswordFile, "kafka", "sasl", "password_file")
	}
	read(&s.ClickHouse.Password, s.ClickHouse.PasswordFile, "clickhouse", "password_file")
	read(&s.HTTP.Token, s.HTTP.TokenFile, "http", "token_file")
	read(&s.HTTP.OperatorToken, s.HTTP.OperatorTokenFile, "http", "operator_token_file")
	read(&s.HashKey, s.HashKeyFile, "hash_key_file")
	// The client reads this one again with every connection; here it is only seen to be there.
	var creds Secret
	read(&creds, s.NATS.CredsFile, "nats", "creds_file")
	if s.Notify.Alertmanager != "" {
		if _, err := readBounded(s.Notify.Alertmanager, schemas.MaxYAMLBytes); err != nil {
			p.Add(root.At("notify", "alertmanager"), err.Error(), "")
		}
	}
}

// readCertificates tries the files of every TLS block, so that a wrong one
// stops the start and not the first connection.
func (s *Settings) readCertificates(root *schemas.YAML, p *schemas.Problems) {
	note := func(err error, keys ...string) {
		if err != nil {
			p.Add(root.At(keys...), err.Error(), "")
		}
	}
	_, err := s.Kafka.TLS.Config()
	note(err, "kafka", "tls")
	_, err = s.ClickHouse.TLS.Config()
	note(err, "clickhouse", "tls")
	_, err = s.NATS.TLS.Config()
	note(err, "nats", "tls")
	t := s.HTTP.TLS
	if t == nil {
		return
	}
	if t.Cert != "" && t.Key != "" {
		_, err = keyPair(t.Cert, t.Key)
		note(err, "http", "tls")
	}
	if t.ClientCA != "" {
		_, err = authorities(t.ClientCA)
		note(err, "http", "tls", "client_ca")
	}
}

// Problems returns the list that err carries, nil for none.
func Problems(err error) []schemas.Problem {
	var p *schemas.Problems
	if errors.As(err, &p) {
		return p.List
	}
	return nil
}
