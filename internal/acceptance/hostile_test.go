package acceptance

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/modelwatch/modelwatch/internal/embedded"
	"github.com/modelwatch/modelwatch/internal/testkit"
	"github.com/modelwatch/modelwatch/schemas"
)

// What an event or a monitor may carry and nobody may take for more than text.
var hostileNames = []string{
	`'; DROP TABLE windows; --`,
	"<script>alert(1)</script>",
	"\x1b[2J\x1b]0;owned\x07\u009b31m",
	"right\u202eto\u2066left\u2028line",
	"two\r\nlines\ttab\x00nul",
	"*", ">", "..", ".", "a.>.b *",
	"`code` $(id) ${HOME} {{.}} %s%n %00",
	`back\slash "quoted", comma`,
	"=cmd|' /C calc'!A0",
	strings.Repeat("long", 60),
}

// The secrets of the installation of this test. None may be seen anywhere.
var ownSecrets = map[string]string{
	"kafka password":      "kafka-hunter2-4711",
	"clickhouse password": "house-hunter2-4712",
	"token":               "reader-hunter2-471300",
	"operator token":      "operator-hunter2-471400",
	"hash key":            "hashing-hunter2-471500",
	"ssn":                 "999-12-3456",
	"income":              "77123456",
}

// exposed fails the test where a secret is in a text.
func exposed(t *testing.T, where, text string) {
	t.Helper()
	for name, secret := range ownSecrets {
		if strings.Contains(text, secret) {
			at := strings.Index(text, secret)
			t.Errorf("%s shows the %s: …%q…", where, name, text[max(0, at-80):min(len(text), at+60)])
		}
	}
}

// active says what a terminal may act on in a text.
func active(text string) string {
	for _, r := range text {
		if r != '\n' && (unicode.IsControl(r) || unicode.Is(unicode.Cf, r) || r == '\u2028' || r == '\u2029') {
			return fmt.Sprintf("%U", r)
		}
	}
	return ""
}

// hostileMonitor is a monitor whose names are all of the hostile ones.
func hostileMonitor(t *testing.T, model, topic string) (yaml string) {
	t.Helper()
	quote := func(s string) string {
		b, err := json.Marshal(s) // YAML reads JSON's strings
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "model: %s\ntopics: [%s]\nowner: %s\nwindow: 1m\nlateness: 5s\nlate_horizon: 1h\nslices: [place]\nfeatures:\n", quote(model), topic, quote(hostileNames[2]))
	for _, name := range hostileNames {
		if strings.IndexFunc(name, unicode.IsControl) < 0 { // those are refused
			fmt.Fprintf(&b, "  %s: {type: number, min: 0, max: 1}\n", quote(name))
		}
	}
	var places []string
	for _, name := range hostileNames {
		places = append(places, quote(name))
	}
	fmt.Fprintf(&b, "  place: {type: category, set: [%s]}\n  ssn: {type: category, set: [none], sensitive: true}\n  income: {type: number, max: 10, sensitive: true}\n", strings.Join(places, ", "))
	return b.String()
}

// hostileEvents are n events of a model of which one in three breaks every rule.
func hostileEvents(t *testing.T, model, topic string, n int) (out []testkit.Record) {
	t.Helper()
	for i := range n {
		features := map[string]any{"place": hostileNames[i%len(hostileNames)], "ssn": "none", "income": 1}
		for _, name := range hostileNames {
			features[name] = 0.5
		}
		if i%3 == 2 {
			for _, name := range hostileNames {
				features[name] = hostileNames[i%len(hostileNames)] // of a wrong type
				features["extra "+name] = 1
			}
			features["place"] = "nowhere " + hostileNames[i%len(hostileNames)]
			features["ssn"], features["income"] = ownSecrets["ssn"], 77123456
		}
		body, err := json.Marshal(map[string]any{
			"id": fmt.Sprint(hostileNames[i%4], i), "model": model, "version": hostileNames[i%3], "features": features, "prediction": hostileNames[i%5],
		})
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, testkit.Record{Topic: topic, Pin: 1, Time: noon.Add(time.Duration(i) * 100 * time.Millisecond), Value: body})
	}
	for _, bad := range []string{
		`{"model":"m","features":{"ssn":"` + ownSecrets["ssn"] + `"`,
		`{"model":"nobody","features":{"ssn":"` + ownSecrets["ssn"] + `"}}`,
		"{\"model\":\"m\",\"features\":{\"\xff\xfe\":\"" + ownSecrets["ssn"] + "\"}}",
		"\x1b[31m" + ownSecrets["ssn"],
	} {
		out = append(out, testkit.Record{Topic: topic, Pin: 1, Time: noon.Add(time.Minute), Value: []byte(bad)})
	}
	return out
}

// TestHostileNamesAndSecrets runs the program with passwords of its own on
// events and a monitor full of text that means something to SQL, HTML,
// terminals, NATS and YAML, and looks through all that it says and keeps.
func TestHostileNamesAndSecrets(t *testing.T) {
	t.Parallel()
	const model = `'; DROP TABLE windows; --<script>alert(1)</script>` + " \u202e.*>"
	kafka := testkit.NewKafka(t, testkit.KafkaOptions{Users: map[string]string{"mw": ownSecrets["kafka password"]}})
	clickHouse := testkit.NewClickHouse(t, embedded.ClickHouseUser{Name: "mw", Password: ownSecrets["clickhouse password"], Grants: []string{"GRANT ALL ON *.*"}})
	w := newWorld(t, kafka, clickHouse)
	topic := kafka.CreateTopic(t, "hostile", 1, nil)
	w.write(t, "kafka.secret", ownSecrets["kafka password"]+"\n")
	w.write(t, "token.secret", ownSecrets["token"]+"\n")
	w.write(t, "operator.secret", ownSecrets["operator token"]+"\n")
	settings := fmt.Sprintf(`
kafka: {brokers: [%q], group: hostile, sasl: {mechanism: scram-sha-256, user: mw, password_file: kafka.secret}}
clickhouse: {addr: [%q], database: %s, user: mw, password: "%s"}
nats: {url: %q}
http: {listen: "127.0.0.1:0", token_file: token.secret, operator_token_file: operator.secret}
hash_key_file: key.secret
log: {level: debug, format: json}
`, kafka.SASLAddr, clickHouse.Addr, w.database, ownSecrets["clickhouse password"], w.nats.URL)
	w.write(t, "modelwatch.yaml", settings)
	w.write(t, "key.secret", ownSecrets["hash key"]+"\n")
	yaml := hostileMonitor(t, model, topic)
	w.write(t, filepath.Join("monitors", "m.yaml"), yaml)
	m, err := schemas.ParseMonitor("m.yaml", []byte(yaml))
	if err != nil {
		t.Fatal(err)
	}
	spec, _, err := schemas.BuildSpec(m, nil)
	if err != nil {
		t.Fatal(err)
	}
	w.watched = append(w.watched, testkit.Watched{Spec: *spec, Topics: m.Topics})

	testkit.Produce(t, kafka.Addr, hostileEvents(t, model, topic, 300))
	s := w.start(t).ready(t, 60*time.Second)
	w.recount(t, 60*time.Second)
	alerts := subscribe(t, w.nats.URL, schemas.StreamAlerts)
	eventually(t, 60*time.Second, func() string {
		for _, fault := range []schemas.Fault{schemas.FaultWrongType, schemas.FaultUnexpectedValue, schemas.FaultExtraColumn, schemas.FaultOutOfRange} {
			if !slices.ContainsFunc(alerts.all(), func(m message) bool { return m.alert.Fault == fault && m.alert.Model == model }) {
				return "no alert of " + string(fault) + "\n" + alerts.titles()
			}
		}
		return ""
	})
	s.running(t)

	w.lookThroughPages(t, s)
	w.lookThroughCommands(t, s)
	w.lookThroughMessages(t)
	w.lookThroughTables(t)
	for _, r := range readAll(t, kafka.Addr, "modelwatch.dead_letters") {
		exposed(t, "a dead letter", string(r.Value)+fmt.Sprint(r.Headers))
		if len(r.Value) > 0 {
			t.Errorf("a dead letter of a topic with sensitive values holds %q", r.Value)
		}
	}
	s.stop(t)
	for _, line := range s.lines {
		exposed(t, "the log", line)
		if found := active(line); found != "" {
			t.Errorf("the log has %s raw: %q", found, line)
		}
	}
	// A wrong password must be said, and not how it was wrong.
	w.write(t, "kafka.secret", "wrong-"+ownSecrets["kafka password"])
	if out := w.run(t, "check", "monitors", "--connect", "--config", "modelwatch.yaml"); !strings.Contains(out, "error kafka") {
		t.Errorf("check --connect with a wrong password says:\n%s", out)
	}
}

// fetch asks the service as a reader does.
func fetch(t *testing.T, s *service, path string) string {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.url+path, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+ownSecrets["token"])
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	body, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s %v\n%s", path, answer.Status, err, body)
	}
	return string(body)
}

var pageOfIncident = regexp.MustCompile(`href="(/incidents/[^"?]+)"`)

func (w *world) lookThroughPages(t *testing.T, s *service) {
	t.Helper()
	paths := []string{"/", "/incidents", "/api/v1/models", "/api/v1/incidents", "/metrics", "/readyz"}
	for _, found := range pageOfIncident.FindAllStringSubmatch(fetch(t, s, "/incidents"), -1) {
		paths = append(paths, found[1], "/api/v1"+found[1])
	}
	if len(paths) < 10 {
		t.Errorf("only the pages %v", paths)
	}
	for _, path := range paths {
		body := fetch(t, s, path)
		exposed(t, path, body)
		if strings.Contains(body, "<script>alert") && !strings.HasPrefix(path, "/api") && path != "/metrics" {
			t.Errorf("%s has a script of an event in it", path)
		}
		for _, c := range []string{"\x1b", "\u009b", "\x00"} {
			if strings.Contains(body, c) {
				t.Errorf("%s has %q raw", path, c)
			}
		}
	}
}

// run runs a command as a user with all secrets in the environment, and
// returns what it printed.
func (w *world) run(t *testing.T, args ...string) string {
	t.Helper()
	cmd := exec.Command(build(t), args...)
	cmd.Dir = w.dir
	cmd.Env = append(os.Environ(), "MODELWATCH_TOKEN="+ownSecrets["token"])
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run() // some of them are to fail
	text := out.String()
	where := fmt.Sprintf("modelwatch %v (%v)", args, err)
	exposed(t, where, text)
	if found := active(text); found != "" {
		t.Errorf("%s prints %s raw: %q", where, found, text)
	}
	if text == "" {
		t.Errorf("%s prints nothing", where)
	}
	return text
}

func (w *world) lookThroughCommands(t *testing.T, s *service) {
	t.Helper()
	var list struct{ Incidents []schemas.Incident }
	if err := json.Unmarshal([]byte(fetch(t, s, "/api/v1/incidents")), &list); err != nil {
		t.Fatal(err)
	}
	hashed := false
	for _, i := range list.Incidents {
		for _, args := range [][]string{{"explain", i.Incident, "--url", s.url}, {"explain", i.Incident, "--json", "--url", s.url}} {
			out := w.run(t, args...)
			hashed = hashed || strings.Contains(out, schemas.HiddenPrefix)
		}
	}
	if !hashed {
		t.Error("no sample shows a hashed value")
	}
	for _, args := range [][]string{
		{"alerts", "--state", "all", "--url", s.url},
		{"alerts", "--json", "--url", s.url},
		{"check", "monitors"},
		{"check", "monitors", "--json"},
		{"check", "monitors", "--connect", "--config", "modelwatch.yaml"},
		{"check", "monitors", "--connect", "--json", "--config", "modelwatch.yaml"},
		{"run", "--check-config", "--config", "modelwatch.yaml"},
		{"--help"},
		{"run", "--help"},
		{"check", "--help"},
		{"alerts", "--help"},
		{"version"},
		{"explain", hostileNames[2], "--url", s.url},
		{"explain", hostileNames[1], "--url", s.url},
	} {
		w.run(t, args...)
	}
}

// subjectToken is what a token of a subject may be made of: no wildcard, no
// space, nothing that a terminal acts on.
var subjectToken = regexp.MustCompile(`^[^\s.*>\x00-\x1f\x7f]+$`)

func (w *world) lookThroughMessages(t *testing.T) {
	t.Helper()
	conn, err := nats.Connect(w.nats.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	js, err := jetstream.New(conn)
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	for _, name := range []string{schemas.StreamAlerts, schemas.StreamRetrain, schemas.StreamFallback} {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		stream, err := js.Stream(ctx, name)
		if err != nil {
			t.Fatal(err)
		}
		for seq := uint64(1); seq <= stream.CachedInfo().State.LastSeq; seq++ {
			m, err := stream.GetMsg(ctx, seq)
			if err != nil {
				t.Fatal(err)
			}
			seen++
			exposed(t, "a message on "+m.Subject, string(m.Data)+fmt.Sprint(m.Header))
			for token := range strings.SplitSeq(m.Subject, ".") {
				if !subjectToken.MatchString(token) || active(token) != "" {
					t.Errorf("a token of the subject %q is %q", m.Subject, token)
				}
			}
			for name, values := range m.Header {
				if found := active(name + strings.Join(values, "")); found != "" {
					t.Errorf("header %s has %s: %q", name, found, values)
				}
			}
			var a schemas.Alert
			if json.Unmarshal(m.Data, &a) == nil && active(a.Title) != "" {
				t.Errorf("the title %q has %s", a.Title, active(a.Title))
			}
		}
	}
	if seen == 0 {
		t.Error("there is no message")
	}
}

func (w *world) lookThroughTables(t *testing.T) {
	t.Helper()
	rows := 0
	for name := range strings.Lines(w.clickHouse.Query(t, "SELECT name FROM system.tables WHERE database = '"+w.database+"'")) {
		name = strings.TrimSpace(name)
		body := w.clickHouse.Query(t, "SELECT * FROM "+w.database+".`"+name+"` FORMAT JSONEachRow SETTINGS output_format_json_quote_denormals=1")
		rows += strings.Count(body, "\n")
		// Figures of whole windows are not hidden: the greatest income is there.
		figures := slices.Contains([]string{"windows", "window_rows", "partials", "summaries", "closed_windows"}, name)
		for secret, value := range ownSecrets {
			if strings.Contains(body, value) && !(figures && secret == "income") {
				at := strings.Index(body, value)
				t.Errorf("table %s holds the %s: …%s…", name, secret, body[max(0, at-300):min(len(body), at+40)])
			}
		}
	}
	if rows < 100 {
		t.Errorf("only %s rows in all tables", strconv.Itoa(rows))
	}
}
