package deploy_test

import (
	"context"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/compose-spec/compose-go/v2/types"
	"github.com/goccy/go-yaml"
)

const root = ".."

// settings are the keys of the mounted file that name a server of the compose file.
type settings struct {
	Kafka struct {
		Brokers []string
		Group   string
	}
	ClickHouse struct {
		Addr         []string
		Database     string
		User         string
		PasswordFile string `yaml:"password_file"`
	}
	NATS     struct{ URL string }
	Monitors string
	HTTP     struct {
		Listen    string
		TokenFile string `yaml:"token_file"`
	}
	Data string
}

func TestComposeFileMatchesItsSchema(t *testing.T) {
	project := load(t, secrets())
	want := []string{"clickhouse", "kafka", "modelwatch", "nats"}
	if got := project.ServiceNames(); !slices.Equal(slices.Sorted(slices.Values(got)), want) {
		t.Errorf("services %q, want %q", got, want)
	}
}

func TestComposeAsksForItsPassword(t *testing.T) {
	_, err := loadProject(t.Context(), []string{"MODELWATCH_TOKEN=t"})
	if err == nil || !strings.Contains(err.Error(), ".env") {
		t.Errorf("loading without a password: %v, want an error that names .env", err)
	}
}

func TestImagesArePinned(t *testing.T) {
	pinned := regexp.MustCompile(`^[a-z/-]+:[0-9]+\.[0-9]+[0-9a-z.-]*$`)
	for name, s := range load(t, secrets()).Services {
		if s.Build == nil && !pinned.MatchString(s.Image) {
			t.Errorf("image %q of %s names no version", s.Image, name)
		}
	}
}

func TestPortsAreLoopbackOnly(t *testing.T) {
	published := 0
	for name, s := range load(t, secrets()).Services {
		for _, p := range s.Ports {
			published++
			if p.HostIP != "127.0.0.1" {
				t.Errorf("%s publishes %s on %q, want 127.0.0.1", name, p.Published, p.HostIP)
			}
		}
		if s.NetworkMode != "" {
			t.Errorf("%s has network mode %q, which goes around the loopback binding", name, s.NetworkMode)
		}
	}
	if published == 0 {
		t.Error("no port is published")
	}
}

func TestServersKeepTheirDataAndSayWhenTheyAreReady(t *testing.T) {
	project := load(t, secrets())
	folders := map[string]string{
		"kafka":      project.Services["kafka"].Environment.ToMapping()["KAFKA_LOG_DIRS"],
		"clickhouse": "/var/lib/clickhouse",
		"nats":       argumentOf(t, project.Services["nats"].Command, "-sd"),
		"modelwatch": mounted(t, project).Data,
	}
	for name, folder := range folders {
		s := project.Services[name]
		i := slices.IndexFunc(s.Volumes, func(v types.ServiceVolumeConfig) bool { return v.Target == folder })
		if folder == "" || i < 0 {
			t.Errorf("%s keeps its data in %q, where no volume is mounted", name, folder)
			continue
		}
		if _, ok := project.Volumes[s.Volumes[i].Source]; !ok || s.Volumes[i].Type != types.VolumeTypeVolume {
			t.Errorf("%s keeps its data in %q, which is not a named volume", name, folder)
		}
		if name == "modelwatch" {
			continue // its health check is in the Dockerfile
		}
		if s.HealthCheck == nil || len(s.HealthCheck.Test) < 2 {
			t.Errorf("%s has no health check", name)
		}
		if on := project.Services["modelwatch"].DependsOn[name]; on.Condition != types.ServiceConditionHealthy {
			t.Errorf("modelwatch waits for %s with condition %q, want healthy", name, on.Condition)
		}
	}
}

func TestJetStreamIsOn(t *testing.T) {
	project := load(t, secrets())
	nats := project.Services["nats"]
	if !slices.Contains(nats.Command, "-js") {
		t.Errorf("nats runs with %q, want -js", nats.Command)
	}
	if port := argumentOf(t, nats.Command, "-m"); !strings.Contains(strings.Join(nats.HealthCheck.Test, " "), ":"+port+"/healthz") {
		t.Errorf("health check %q does not ask the monitoring port %s", nats.HealthCheck.Test, port)
	}
}

func TestKafkaIsOneKRaftNodeThatModelwatchReaches(t *testing.T) {
	project := load(t, secrets())
	kafka := project.Services["kafka"]
	env := kafka.Environment.ToMapping()

	if got := env["KAFKA_PROCESS_ROLES"]; got != "broker,controller" {
		t.Errorf("process roles %q, want broker,controller", got)
	}
	listeners, advertised := listenersOf(t, env["KAFKA_LISTENERS"]), listenersOf(t, env["KAFKA_ADVERTISED_LISTENERS"])
	controller := env["KAFKA_CONTROLLER_LISTENER_NAMES"]
	if want := env["KAFKA_NODE_ID"] + "@kafka:" + listeners[controller].port; env["KAFKA_CONTROLLER_QUORUM_VOTERS"] != want {
		t.Errorf("quorum voters %q, want %q", env["KAFKA_CONTROLLER_QUORUM_VOTERS"], want)
	}
	if _, ok := advertised[controller]; ok {
		t.Errorf("the controller's listener %s is advertised to clients", controller)
	}
	if _, ok := advertised[env["KAFKA_INTER_BROKER_LISTENER_NAME"]]; !ok {
		t.Errorf("the listener between brokers, %q, is not advertised", env["KAFKA_INTER_BROKER_LISTENER_NAME"])
	}
	for name := range listeners {
		if !strings.Contains(","+env["KAFKA_LISTENER_SECURITY_PROTOCOL_MAP"], ","+name+":") {
			t.Errorf("listener %s has no security protocol", name)
		}
	}
	reachable := map[string]bool{}
	for name, at := range advertised {
		if listeners[name].port != at.port {
			t.Errorf("listener %s is on port %q and advertises %q", name, listeners[name].port, at.port)
		}
		reachable[net.JoinHostPort(at.host, at.port)] = true
	}
	for _, p := range kafka.Ports {
		if at := net.JoinHostPort(p.HostIP, p.Published); !reachable[at] {
			t.Errorf("kafka is published at %s and advertises only %v: a client there is sent elsewhere", at, reachable)
		}
	}
	brokers := mounted(t, project).Kafka.Brokers
	for _, broker := range brokers {
		if !reachable[broker] || !strings.HasPrefix(broker, "kafka:") {
			t.Errorf("modelwatch asks for broker %s, kafka advertises %v", broker, reachable)
		}
	}
	if len(brokers) == 0 {
		t.Error("modelwatch has no broker")
	}
	for name, value := range env {
		if (strings.HasSuffix(name, "REPLICATION_FACTOR") || strings.HasSuffix(name, "MIN_ISR")) && value != "1" {
			t.Errorf("%s is %s on a single node", name, value)
		}
	}
}

func TestModelwatchFindsItsServersAndSecrets(t *testing.T) {
	project := load(t, secrets())
	s := mounted(t, project)
	modelwatch, clickhouse := project.Services["modelwatch"], project.Services["clickhouse"].Environment.ToMapping()

	if want := []string{"clickhouse:9000"}; !slices.Equal(s.ClickHouse.Addr, want) {
		t.Errorf("clickhouse.addr %q, want %q", s.ClickHouse.Addr, want)
	}
	if s.ClickHouse.User != clickhouse["CLICKHOUSE_USER"] || s.ClickHouse.Database != clickhouse["CLICKHOUSE_DB"] {
		t.Errorf("modelwatch is %q in database %q, the server made %q in %q",
			s.ClickHouse.User, s.ClickHouse.Database, clickhouse["CLICKHOUSE_USER"], clickhouse["CLICKHOUSE_DB"])
	}
	if u, err := url.Parse(s.NATS.URL); err != nil || u.Host != "nats:4222" {
		t.Errorf("nats.url %q, want host nats:4222", s.NATS.URL)
	}
	for name, file := range map[string]string{"CLICKHOUSE_PASSWORD": s.ClickHouse.PasswordFile, "MODELWATCH_TOKEN": s.HTTP.TokenFile} {
		source := strings.TrimPrefix(file, "/run/secrets/")
		given := slices.ContainsFunc(modelwatch.Secrets, func(c types.ServiceSecretConfig) bool { return c.Source == source })
		if !given || project.Secrets[source].Environment != name {
			t.Errorf("settings read %q, which is not the secret of %s", file, name)
		}
	}

	host, port, err := net.SplitHostPort(s.HTTP.Listen)
	if err != nil {
		t.Fatalf("http.listen: %v", err)
	}
	if net.ParseIP(host).IsLoopback() {
		t.Errorf("http.listen is %s: inside a container nobody reaches loopback", s.HTTP.Listen)
	}
	if !slices.ContainsFunc(modelwatch.Ports, func(p types.ServicePortConfig) bool { return p.Published == port }) {
		t.Errorf("http.listen is port %s, which is not published", port)
	}
	dockerfile := read(t, filepath.Join(root, modelwatch.Build.Dockerfile))
	for _, want := range []string{"\nEXPOSE " + port + "\n", "/127.0.0.1/" + port + " ", "\nUSER 10001:10001\n", "\nHEALTHCHECK "} {
		if !strings.Contains(dockerfile, want) {
			t.Errorf("Dockerfile lacks %q", want)
		}
	}

	monitors := sourceOf(t, modelwatch, s.Monitors)
	found, err := filepath.Glob(filepath.Join(monitors, "*.yaml"))
	if err != nil || len(found) == 0 {
		t.Errorf("no monitor in %s: %v", monitors, err)
	}
}

// The image is built by the Go that the module asks for.
func TestImageIsBuiltByTheModulesGo(t *testing.T) {
	asked := regexp.MustCompile(`(?m)^go ([0-9]+\.[0-9]+)`).FindStringSubmatch(read(t, filepath.Join(root, "go.mod")))
	if asked == nil {
		t.Fatal("go.mod names no version of Go")
	}
	if !strings.Contains(read(t, "Dockerfile"), "FROM golang:"+asked[1]+".") {
		t.Errorf("Dockerfile is not built from golang:%s", asked[1])
	}
}

func secrets() []string { return []string{"CLICKHOUSE_PASSWORD=p", "MODELWATCH_TOKEN=t"} }

func load(t *testing.T, env []string) *types.Project {
	t.Helper()
	project, err := loadProject(t.Context(), env)
	if err != nil {
		t.Fatal(err)
	}
	return project
}

// loadProject reads the compose file as `docker compose` does: interpolated,
// checked against the schema of the specification, and for consistency.
func loadProject(ctx context.Context, env []string) (*types.Project, error) {
	options, err := cli.NewProjectOptions([]string{filepath.Join(root, "docker-compose.yml")}, cli.WithEnv(env))
	if err != nil {
		return nil, err
	}
	return options.LoadProject(ctx)
}

// mounted reads the settings file at the path that modelwatch is started with.
func mounted(t *testing.T, project *types.Project) settings {
	t.Helper()
	s := project.Services["modelwatch"]
	var got settings
	text := read(t, sourceOf(t, s, argumentOf(t, s.Command, "--config")))
	if err := yaml.UnmarshalWithOptions([]byte(text), &got, yaml.Strict()); err != nil {
		t.Fatalf("reading the settings: %v", err)
	}
	return got
}

// sourceOf returns the file or folder of this repository mounted at target.
func sourceOf(t *testing.T, s types.ServiceConfig, target string) string {
	t.Helper()
	for _, v := range s.Volumes {
		if v.Type == types.VolumeTypeBind && v.Target == target {
			if !v.ReadOnly {
				t.Errorf("%s is mounted to be written", target)
			}
			return v.Source
		}
	}
	t.Fatalf("nothing is mounted at %s", target)
	return ""
}

func argumentOf(t *testing.T, command types.ShellCommand, flag string) string {
	t.Helper()
	i := slices.Index(command, flag)
	if i < 0 || i+1 == len(command) {
		t.Fatalf("command %q has no %s", command, flag)
	}
	return command[i+1]
}

type address struct{ host, port string }

// listenersOf reads NAME://host:port,NAME://host:port.
func listenersOf(t *testing.T, text string) map[string]address {
	t.Helper()
	listeners := map[string]address{}
	for one := range strings.SplitSeq(text, ",") {
		name, at, ok := strings.Cut(one, "://")
		host, port, err := net.SplitHostPort(at)
		if !ok || err != nil {
			t.Fatalf("listener %q: %v", one, err)
		}
		listeners[name] = address{host, port}
	}
	return listeners
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
