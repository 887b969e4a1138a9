package config_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/modelwatch/modelwatch/internal/config"
	"github.com/modelwatch/modelwatch/schemas"
)

func nothing(string) (string, bool) { return "", false }

func write(t testing.TB, path, body string) string {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(body), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func settings(t testing.TB, body string) string {
	t.Helper()
	return write(t, filepath.Join(t.TempDir(), "modelwatch.yaml"), body)
}

func TestDefault(t *testing.T) {
	s, err := config.Load("", nil, nothing)
	if err != nil {
		t.Fatal(err)
	}
	if !s.Kafka.Embedded || !s.ClickHouse.Embedded || !s.NATS.Embedded {
		t.Errorf("without a file all servers are embedded: %+v", s)
	}
	if got, want := fmt.Sprintf("%+v", s), fmt.Sprintf("%+v", config.Default()); got != want {
		t.Errorf("got %s\nwant %s", got, want)
	}
	if err := config.Default().Validate(); err != nil {
		t.Error(err)
	}
}

func TestLoad(t *testing.T) {
	s, err := config.Load("testdata/modelwatch.yaml", nil, nothing)
	if err != nil {
		t.Fatal(err)
	}
	if s.Kafka.Embedded || s.Kafka.Brokers[0] != "127.0.0.1:9092" || s.Kafka.Isolation != "read_committed" {
		t.Errorf("kafka %+v", s.Kafka)
	}
	if s.ClickHouse.Embedded || s.NATS.Embedded || s.NATS.Replicas != 1 {
		t.Errorf("clickhouse %+v nats %+v", s.ClickHouse, s.NATS)
	}
	if s.Monitors != "testdata/monitors" || s.Data != "testdata/data" || s.Notify.Alertmanager != "testdata/alertmanager.yml" {
		t.Errorf("paths are relative to the file: %q %q %q", s.Monitors, s.Data, s.Notify.Alertmanager)
	}
}

func TestLoad_Servers(t *testing.T) {
	f := func(body string, overrides map[string]string, want string) {
		t.Helper()
		s, err := config.Load(settings(t, body), overrides, nothing)
		if err != nil {
			t.Errorf("%q: %v", body, err)
			return
		}
		got := strings.TrimSpace(fmt.Sprintln(s.Kafka.Embedded, s.Kafka.Brokers, s.Kafka.Group, s.ClickHouse.Embedded, s.ClickHouse.Addr, s.NATS.Embedded, s.NATS.URL))
		if got != want {
			t.Errorf("%q: got %s, want %s", body, got, want)
		}
	}
	f("", nil, "true [] modelwatch true [] true")
	f("kafka: embedded\nnats: embedded", nil, "true [] modelwatch true [] true")
	f("kafka: {group: g}\nnats: {}\nclickhouse: {}", nil, "false [127.0.0.1:9092] g false [127.0.0.1:9000] false nats://127.0.0.1:4222")
	f("kafka: {embedded: true, group: g}", nil, "true [] g true [] true")
	f("kafka: {brokers: [a:1], group: g}", map[string]string{"kafka.brokers": "b:2, c:3"}, "false [b:2 c:3] g true [] true")
	f("", map[string]string{"kafka.group": "g", "nats.url": "nats://n:1"}, "true [] g true [] false nats://n:1")
	f("kafka: embedded", map[string]string{"kafka.brokers": "b:2", "kafka.group": "g"}, "false [b:2] g true [] true")
	f("kafka: {brokers: [a:1]}\nclickhouse: {addr: [c:1]}", map[string]string{"kafka": "embedded"}, "true [] modelwatch false [c:1] true")
}

func TestLoad_Overrides(t *testing.T) {
	path := settings(t, "http: {listen: 127.0.0.1:1}\nmonitors: m")
	s, err := config.Load(path, map[string]string{"http.listen": "127.0.0.1:2", "log.level": "debug", "monitors": "n", "limits.memory": "1GiB", "nats.replicas": "1"}, nothing)
	if err != nil {
		t.Fatal(err)
	}
	if s.HTTP.Listen != "127.0.0.1:2" || s.Log.Level != "debug" || s.Monitors != "n" || s.Limits.Memory != 1<<30 {
		t.Errorf("got %+v", s)
	}
	_, err = config.Load(path, map[string]string{"kafka.brokerz": "a:1"}, nothing)
	if err == nil || !strings.Contains(err.Error(), "--kafka.brokerz: $.kafka.brokerz: unknown key `brokerz`; did you mean `brokers`?") {
		t.Errorf("got %v", err)
	}
}

func TestLoad_Environment(t *testing.T) {
	env := func(name string) (string, bool) {
		v, ok := map[string]string{"HOST": "k1", "REPLICAS": "3", "PASSWORD": "1234", "EMPTY": ""}[name]
		return v, ok
	}
	s, err := config.Load(settings(t, "kafka: {brokers: ['${HOST}:9092', 'k2:9092'], group: '$${x}'}\nclickhouse: {password: '${PASSWORD}', user: '${EMPTY}'}\nnats: {replicas: '${REPLICAS}', url: nats://n:4222}"), nil, env)
	if err != nil {
		t.Fatal(err)
	}
	if s.Kafka.Brokers[0] != "k1:9092" || s.Kafka.Group != "${x}" || s.NATS.Replicas != 3 || s.ClickHouse.Password.Reveal() != "1234" {
		t.Errorf("got %+v, password %q", s, s.ClickHouse.Password.Reveal())
	}
	_, err = config.Load(settings(t, "kafka:\n  group: ${GROUP}"), nil, env)
	if err == nil || !strings.Contains(err.Error(), "2:10: $.kafka.group: the environment has no variable GROUP") {
		t.Errorf("got %v", err)
	}
}

func TestLoad_Problem(t *testing.T) {
	f := func(body, want string) {
		t.Helper()
		_, err := config.Load(settings(t, body), nil, nothing)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q:\ngot  %v\nwant %s", body, err, want)
		}
	}
	f("kafak: embedded", ":1:1: $.kafak: unknown key `kafak`; did you mean `kafka`?")
	f("kafka: embeded", "neither `embedded` nor a block of keys; did you mean `embedded`?")
	f("kafka: [a]", "expected `embedded` or a block of keys, got a list")
	f("kafka: {brokers: a:1}", "expected a list, got text (a:1); write it as [a:1]")
	f("kafka: {brokers: [a]}", "is not host:port")
	f("kafka: {brokers: []}", "no address is given")
	f("kafka: {isolation: commited}", "`commited` is not known")
	f("kafka: {embedded: true, brokers: [a:1]}", "for an embedded server")
	f("kafka: {sasl: {mechanism: plain, user: u}}", "sasl needs a password")
	f("kafka: {sasl: {mechanism: scram, user: u, password: p}}", "$.kafka.sasl.mechanism: `scram` is not known")
	f("kafka: {tls: {cert: a.pem}}", "`cert` and `key` belong together")
	f("kafka: {tls: {ca: missing.pem}}", "missing.pem: no such file")
	f("clickhouse: {database: 'a-b'}", "cannot be the name of a database")
	f("clickhouse: {password_file: missing}", "missing: no such file")
	f("nats: {url: 'http://x'}", "address of the server is not valid")
	f("nats: {url: 'nats://user:hidden@x:1'}", "the address holds a user")
	f("nats: {replicas: 7}", "7 replicas")
	f("nats: {replicas: many}", "expected a whole number, got text (many)")
	f("http: {listen: 0.0.0.0:8080}", "$.http.listen: 0.0.0.0:8080 can be reached from other machines; set http.token_file")
	f("http: {listen: ':8080'}", "can be reached from other machines")
	f("http: {listen: 8080}", "is not host:port")
	f("http: {token: short}", "shorter than 16")
	f("notify: {url: x}", "is not a web address")
	f("notify: {alertmanager: missing.yml}", "missing.yml: no such file")
	f("log: {level: verbose}", "known here: debug, info, warn, error")
	f("limits: {memory: lots}", "not an amount of memory")
	f("limits: {memory: 1MiB}", "at least 64MiB")
	if _, err := config.Load("testdata/absent.yaml", nil, nothing); err == nil || !strings.Contains(err.Error(), "no such file") {
		t.Errorf("got %v", err)
	}
}

func TestLoad_AllProblemsAtOnce(t *testing.T) {
	_, err := config.Load(settings(t, "kafka: {isolation: x}\nlog: {level: y}\nhttp: {listen: z}"), nil, nothing)
	if n := len(config.Problems(err)); n != 3 {
		t.Errorf("%d problems: %v", n, err)
	}
}

func TestLoad_SecretsAreReadAndNeverShown(t *testing.T) {
	dir := t.TempDir()
	const hidden = "correct-horse-battery"
	write(t, filepath.Join(dir, "token"), hidden+"\n")
	path := write(t, filepath.Join(dir, "modelwatch.yaml"), "http: {listen: 0.0.0.0:80, token_file: token}\nkafka: {sasl: {mechanism: plain, user: u, password_file: token}}\nclickhouse: {password: "+hidden+"}")
	s, err := config.Load(path, nil, nothing)
	if err != nil {
		t.Fatal(err)
	}
	if s.HTTP.Token.Reveal() != hidden || s.Kafka.SASL.Password.Reveal() != hidden || s.ClickHouse.Password.Reveal() != hidden {
		t.Error("a secret was not read")
	}
	body, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	shown := string(body) + fmt.Sprintf("%v %+v %#v %s %q %x", s.HTTP, s.HTTP, s.HTTP, s.HTTP.Token, s.HTTP.Token, s.HTTP.Token)
	if strings.Contains(shown, hidden) || strings.Contains(shown, fmt.Sprintf("%x", hidden)) || !strings.Contains(shown, "***") {
		t.Errorf("shown: %s", shown)
	}
	write(t, filepath.Join(dir, "token"), " \n")
	if _, err := config.Load(path, nil, nothing); err == nil || !strings.Contains(err.Error(), "token is empty") {
		t.Errorf("got %v", err)
	}
	write(t, path, "clickhouse: {password: "+hidden+", password_file: token}")
	if _, err := config.Load(path, nil, nothing); err == nil || !strings.Contains(err.Error(), "both given") || strings.Contains(err.Error(), hidden) {
		t.Errorf("got %v", err)
	}
}

const monitor = "model: %s\ntopics: [t]\nfeatures: {a: {type: number}}\n"

func TestMonitors(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "a.yaml"), fmt.Sprintf(monitor, "a"))
	write(t, filepath.Join(dir, "b.yml"), fmt.Sprintf(monitor, "b"))
	write(t, filepath.Join(dir, "c.yaml"), fmt.Sprintf(monitor, "a"))
	write(t, filepath.Join(dir, "d.yaml"), "model: d\ntopics: [t]\n")
	write(t, filepath.Join(dir, "e.yaml"), "model: e\ntopcs: [t]\n")
	write(t, filepath.Join(dir, ".hidden.yaml"), "x")
	write(t, filepath.Join(dir, "notes.txt"), "x")
	list, err := config.Monitors(dir)
	if len(list) != 2 || list[0].Model != "a" || list[1].Model != "b" || list[0].Spec == nil || list[0].Layout == nil {
		t.Errorf("got %+v", list)
	}
	for _, want := range []string{"c.yaml:1:8: $.model: model `a` has a monitor already, in", "d.yaml:1:1: $: model d has neither features nor a baseline", "unknown key `topcs`; did you mean `topics`?"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("no %q in %v", want, err)
		}
	}
	if _, err := config.Monitors(filepath.Join(dir, "absent")); err == nil {
		t.Error("a folder that does not exist is an error")
	}
	if list, err := config.Monitors(t.TempDir()); err != nil || list != nil {
		t.Errorf("an empty folder: %v %v", list, err)
	}
}

func TestReadMonitor_Baseline(t *testing.T) {
	dir := t.TempDir()
	path := write(t, filepath.Join(dir, "m.yaml"), "model: m\ntopics: [t]\nbaseline: sub/m.json\n")
	_, err := config.ReadMonitor(path)
	var p *schemas.Problems
	if !errors.As(err, &p) || p.List[0].Line != 3 || p.List[0].Path != "$.baseline" {
		t.Errorf("got %v", err)
	}
	b := &schemas.Baseline{Format: schemas.BaselineFormat, Model: "m", Columns: []schemas.BaselineColumn{{
		Name: "x", Role: schemas.RoleFeature, Type: schemas.TypeNumber, Unit: 1, Edges: []float64{0}, Streams: []schemas.BaselineStream{{Bins: []uint64{1, 2}}},
	}}}
	if err := b.Seal(); err != nil {
		t.Fatal(err)
	}
	body, err := json.Marshal(b)
	if err != nil {
		t.Fatal(err)
	}
	file := write(t, filepath.Join(dir, "sub", "m.json"), string(body))
	m, err := config.ReadMonitor(path)
	if err != nil {
		t.Fatal(err)
	}
	if m.Baseline == nil || m.Spec.Baseline != b.Hash || m.Spec.Column(schemas.RoleFeature, "x") == nil {
		t.Errorf("got %+v", m)
	}
	write(t, file, strings.Replace(string(body), `"bins":[1,2]`, `"bins":[1,3]`, 1))
	if _, err := config.ReadMonitor(path); err == nil || !strings.Contains(err.Error(), "was changed after it was written") {
		t.Errorf("got %v", err)
	}
}

func FuzzLoad(f *testing.F) {
	body, err := os.ReadFile("testdata/modelwatch.yaml")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(string(body))
	f.Add("kafka: ${X}\nnats: {replicas: ${Y}}")
	f.Add("http: {listen: '[::1]:80', token: &a x}\nlog: *a")
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, body string) {
		path := filepath.Join(dir, "modelwatch.yaml")
		if err := os.WriteFile(path, []byte(body), 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := config.Load(path, map[string]string{"kafka.group": "g", "log.level": "info"}, nothing)
		if (s == nil) == (err == nil) {
			t.Fatalf("settings %v with error %v", s, err)
		}
		if err == nil && s.Validate() != nil {
			t.Fatalf("sound when loaded, but: %v", s.Validate())
		}
	})
}
