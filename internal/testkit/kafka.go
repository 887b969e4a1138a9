package testkit

import (
	"context"
	_ "embed" // for the list of the broker's files
	"errors"
	"fmt"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/modelwatch/modelwatch/internal/embedded"
	"github.com/modelwatch/modelwatch/internal/embedded/child"
	"github.com/modelwatch/modelwatch/internal/embedded/filelock"
)

const (
	kafkaEnv = "MODELWATCH_TEST_KAFKA"
	// kafkaFiles is the folder of the broker's files in the cache; it names the
	// version that pom.xml asks for.
	kafkaFiles = "kafka-4.3.0"
	kafkaWait  = 3 * time.Minute // on a machine that is busy with all other tests
	adminWait  = 30 * time.Second
)

//go:embed pom.xml
var kafkaPOM []byte

// KafkaOptions shape a private broker beyond the shared one's form.
type KafkaOptions struct {
	// Properties are added to the broker's own, and win over them.
	Properties map[string]string
	// Proxied adds a listener that is advertised at, and reached through, a
	// fault proxy: KafkaServer.Proxy.
	Proxied bool
	// Authority adds a TLS listener with a certificate of this authority, at
	// KafkaServer.TLSAddr. A client's certificate is asked for and not required.
	Authority *CertAuthority
	// Users, name to password, add a listener at KafkaServer.SASLAddr with SASL
	// PLAIN, SCRAM-SHA-256 and SCRAM-SHA-512: over TLS if Authority is set.
	Users map[string]string
}

// KafkaServer is Apache Kafka's own broker, a single node that is its own
// controller. Records are kept whatever their age, topics are not created by
// asking for them.
type KafkaServer struct {
	Addr string
	// Of a private broker, as its options ask:
	TLSAddr  string
	SASLAddr string
	Proxy    *FaultProxy

	shared    bool
	dir       string
	options   KafkaOptions
	listeners []listener
	process   *child.Process
}

// listener is one address of the broker.
type listener struct {
	name, protocol string
	addr           string // where it listens
	advertised     string // where clients are sent
}

// Kafka returns the shared broker. Tests beside each other use it: give topics
// and groups names of their own with [Name].
func Kafka(tb testing.TB) *KafkaServer {
	tb.Helper()
	if addr := os.Getenv(kafkaEnv); addr != "" {
		return &KafkaServer{Addr: addr, shared: true}
	}
	return shared(tb, func(ctx context.Context, s *Servers) (*KafkaServer, error) { return s.startKafka(ctx) })
}

func (s *Servers) startKafka(ctx context.Context) (*KafkaServer, error) {
	if s.kafka != nil {
		return s.kafka, nil
	}
	dir, err := s.room("kafka")
	if err != nil {
		return nil, err
	}
	k := &KafkaServer{dir: dir, shared: true}
	if err := k.create(ctx, nil); err != nil {
		return nil, err
	}
	s.kafka = k
	return k, nil
}

// NewKafka starts a broker of this test alone, ended with the test. It takes
// about four seconds and 400 MB of memory.
func NewKafka(tb testing.TB, options KafkaOptions) *KafkaServer {
	tb.Helper()
	private(tb)
	k := &KafkaServer{dir: tb.TempDir(), options: options}
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	if err := k.create(ctx, tb); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(k.kill)
	return k
}

// CreateTopic creates a topic with these settings and returns its name. On the
// shared broker it is deleted with the test.
func (k *KafkaServer) CreateTopic(tb testing.TB, name string, partitions int32, settings map[string]string) string {
	tb.Helper()
	values := make(map[string]*string, len(settings))
	for key, value := range settings {
		values[key] = &value
	}
	k.admin(tb, func(ctx context.Context, client *kadm.Client) error {
		_, err := client.CreateTopic(ctx, partitions, 1, values, name)
		return err
	})
	if k.shared {
		tb.Cleanup(func() { k.DeleteTopic(tb, name) })
	}
	return name
}

// DeleteTopic deletes a topic if it is there.
func (k *KafkaServer) DeleteTopic(tb testing.TB, name string) {
	tb.Helper()
	k.admin(tb, func(ctx context.Context, client *kadm.Client) error {
		answers, err := client.DeleteTopics(ctx, name)
		if err != nil {
			return err
		}
		if err := answers[name].Err; err != nil && !strings.Contains(err.Error(), "UNKNOWN_TOPIC_OR_PARTITION") {
			return err
		}
		return nil
	})
}

// AddPartitions makes a topic have this many partitions in all.
func (k *KafkaServer) AddPartitions(tb testing.TB, topic string, partitions int) {
	tb.Helper()
	k.admin(tb, func(ctx context.Context, client *kadm.Client) error {
		answers, err := client.UpdatePartitions(ctx, partitions, topic)
		if err != nil {
			return err
		}
		return answers.Error()
	})
}

// DeleteRecordsBefore removes the records of one partition below an offset, as
// retention does.
func (k *KafkaServer) DeleteRecordsBefore(tb testing.TB, topic string, partition int32, offset int64) {
	tb.Helper()
	k.admin(tb, func(ctx context.Context, client *kadm.Client) error {
		var offsets kadm.Offsets
		offsets.Add(kadm.Offset{Topic: topic, Partition: partition, At: offset})
		answers, err := client.DeleteRecords(ctx, offsets)
		if err != nil {
			return err
		}
		return answers.Error()
	})
}

func (k *KafkaServer) admin(tb testing.TB, do func(context.Context, *kadm.Client) error) {
	tb.Helper()
	// Cleanups run after the test's own context has ended.
	ctx, cancel := context.WithTimeout(context.Background(), adminWait)
	defer cancel()
	client, err := kgo.NewClient(kgo.SeedBrokers(k.Addr))
	if err != nil {
		tb.Fatal(err)
	}
	defer client.Close()
	if err := do(ctx, kadm.NewClient(client)); err != nil {
		tb.Fatalf("asking Kafka at %s: %v", k.Addr, err)
	}
}

// Start starts the stopped or killed broker again, at the same addresses and
// over the same data.
func (k *KafkaServer) Start(tb testing.TB) {
	tb.Helper()
	if err := k.start(context.Background()); err != nil {
		tb.Fatal(err)
	}
}

// Stop ends the broker in order.
func (k *KafkaServer) Stop(tb testing.TB) {
	tb.Helper()
	ownServer(tb, k.process)
	k.process.Stop(serverStop)
	k.process = nil
}

// Kill ends the broker with SIGKILL.
func (k *KafkaServer) Kill(tb testing.TB) {
	tb.Helper()
	ownServer(tb, k.process)
	k.kill()
}

// PID is the broker's process id.
func (k *KafkaServer) PID() int { return k.process.PID() }

func (k *KafkaServer) kill() {
	if k.process != nil {
		k.process.Kill()
		k.process = nil
	}
}

// create lays out a new broker and starts it. tb is nil for the shared one.
func (k *KafkaServer) create(ctx context.Context, tb testing.TB) error {
	if err := needTools(ctx, "java"); err != nil {
		return err
	}
	if _, err := fetchKafka(ctx); err != nil {
		return err
	}
	if err := k.plan(tb); err != nil {
		return fmt.Errorf("starting Kafka: %w", err)
	}
	if err := k.writeProperties(); err != nil {
		return fmt.Errorf("starting Kafka: %w", err)
	}
	if err := k.format(ctx); err != nil {
		return err
	}
	return k.start(ctx)
}

// plan chooses the listeners and their ports for the broker's whole life.
func (k *KafkaServer) plan(tb testing.TB) error {
	add := func(name, protocol string) (*listener, error) {
		addr, err := freeAddr()
		if err != nil {
			return nil, err
		}
		k.listeners = append(k.listeners, listener{name: name, protocol: protocol, addr: addr, advertised: addr})
		return &k.listeners[len(k.listeners)-1], nil
	}
	if _, err := add("CONTROLLER", "PLAINTEXT"); err != nil {
		return err
	}
	plain, err := add("PLAIN", "PLAINTEXT")
	if err != nil {
		return err
	}
	k.Addr = plain.addr
	if k.options.Proxied {
		l, err := add("PROXIED", "PLAINTEXT")
		if err != nil {
			return err
		}
		k.Proxy = Proxy(tb, l.addr)
		l.advertised = k.Proxy.Addr()
	}
	if k.options.Authority != nil {
		l, err := add("ENCRYPTED", "SSL")
		if err != nil {
			return err
		}
		k.TLSAddr = l.addr
	}
	if len(k.options.Users) > 0 {
		protocol := "SASL_PLAINTEXT"
		if k.options.Authority != nil {
			protocol = "SASL_SSL"
		}
		l, err := add("LOGIN", protocol)
		if err != nil {
			return err
		}
		k.SASLAddr = l.addr
	}
	return nil
}

func (k *KafkaServer) propertiesPath() string { return filepath.Join(k.dir, "server.properties") }

func (k *KafkaServer) writeProperties() error {
	properties := map[string]string{
		"process.roles":              "broker,controller",
		"node.id":                    "1",
		"controller.quorum.voters":   "1@" + k.listeners[0].addr,
		"controller.listener.names":  "CONTROLLER",
		"inter.broker.listener.name": "PLAIN",
		"log.dirs":                   filepath.Join(k.dir, "log"),
		// One node, and as few internal partitions as will do: each is a folder
		// with files to make before the first group can join.
		"offsets.topic.replication.factor":                 "1",
		"offsets.topic.num.partitions":                     "4",
		"transaction.state.log.replication.factor":         "1",
		"transaction.state.log.min.isr":                    "1",
		"transaction.state.log.num.partitions":             "2",
		"share.coordinator.state.topic.replication.factor": "1",
		"share.coordinator.state.topic.min.isr":            "1",
		"share.coordinator.state.topic.num.partitions":     "1",
		// A broker killed and started again must wait for its old session to end.
		"broker.session.timeout.ms":        "4000",
		"broker.heartbeat.interval.ms":     "250",
		"group.initial.rebalance.delay.ms": "0",
		"num.network.threads":              "2",
		"num.io.threads":                   "4",
		"log.cleaner.dedupe.buffer.size":   "16777216",
		"log.retention.ms":                 "-1",
		"auto.create.topics.enable":        "false",
		// Room for messages far beyond what modelwatch takes.
		"socket.request.max.bytes": "209715200",
	}
	var names, advertised, protocols []string
	for _, l := range k.listeners {
		names = append(names, l.name+"://"+l.addr)
		protocols = append(protocols, l.name+":"+l.protocol)
		if l.name != "CONTROLLER" {
			advertised = append(advertised, l.name+"://"+l.advertised)
		}
	}
	properties["listeners"] = strings.Join(names, ",")
	properties["advertised.listeners"] = strings.Join(advertised, ",")
	properties["listener.security.protocol.map"] = strings.Join(protocols, ",")
	if err := k.secure(properties); err != nil {
		return err
	}
	maps.Copy(properties, k.options.Properties)

	var text strings.Builder
	for _, key := range slices.Sorted(maps.Keys(properties)) {
		// A properties file reads backslashes and line ends as its own.
		value := strings.NewReplacer(`\`, `\\`, "\n", `\n`).Replace(properties[key])
		fmt.Fprintf(&text, "%s=%s\n", key, value)
	}
	return os.WriteFile(k.propertiesPath(), []byte(text.String()), 0o600)
}

// secure adds what the TLS and the SASL listener need.
func (k *KafkaServer) secure(properties map[string]string) error {
	if ca := k.options.Authority; ca != nil {
		certificate, key, err := ca.server()
		if err != nil {
			return err
		}
		properties["ssl.keystore.type"] = "PEM"
		properties["ssl.keystore.certificate.chain"] = string(certificate)
		properties["ssl.keystore.key"] = string(key)
		properties["ssl.truststore.type"] = "PEM"
		properties["ssl.truststore.certificates"] = string(ca.PEM)
		properties["ssl.client.auth"] = "requested"
	}
	if len(k.options.Users) > 0 {
		var users strings.Builder
		for _, name := range slices.Sorted(maps.Keys(k.options.Users)) {
			fmt.Fprintf(&users, " user_%s=%q", name, k.options.Users[name])
		}
		const scram = "org.apache.kafka.common.security.scram.ScramLoginModule required;"
		properties["sasl.enabled.mechanisms"] = "PLAIN,SCRAM-SHA-256,SCRAM-SHA-512"
		properties["listener.name.login.plain.sasl.jaas.config"] =
			"org.apache.kafka.common.security.plain.PlainLoginModule required" + users.String() + ";"
		properties["listener.name.login.scram-sha-256.sasl.jaas.config"] = scram
		properties["listener.name.login.scram-sha-512.sasl.jaas.config"] = scram
	}
	return nil
}

// format prepares the broker's log, with its users.
func (k *KafkaServer) format(ctx context.Context) error {
	args := []string{
		"kafka.tools.StorageTool", "format", "-t", "bW9kZWx3YXRjaC10ZXN0cw", "-c", k.propertiesPath(),
	}
	for _, name := range slices.Sorted(maps.Keys(k.options.Users)) {
		for _, mechanism := range []string{"SCRAM-SHA-256", "SCRAM-SHA-512"} {
			args = append(args, "--add-scram",
				fmt.Sprintf("%s=[name=%s,password=%s]", mechanism, name, k.options.Users[name]))
		}
	}
	java, flags, err := javaCommand(ctx)
	if err != nil {
		return err
	}
	out, err := exec.CommandContext(ctx, java, append(flags, args...)...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("formatting Kafka's log: %w\n%s", err, out)
	}
	return nil
}

func (k *KafkaServer) start(ctx context.Context) error {
	if k.process != nil {
		return errors.New("starting Kafka: it is running")
	}
	java, flags, err := javaCommand(ctx)
	if err != nil {
		return err
	}
	process, err := child.Start(child.Command{
		Path: java, Args: append(flags, "kafka.Kafka", k.propertiesPath()), Dir: k.dir,
	})
	if err != nil {
		return fmt.Errorf("starting Kafka: %w", err)
	}
	ctx, cancel := context.WithTimeoutCause(ctx, kafkaWait, fmt.Errorf("no answer after %s", kafkaWait))
	defer cancel()
	if err := k.awaitAnswer(ctx, process); err != nil {
		process.Stop(0)
		return fmt.Errorf("starting Kafka: %w", err)
	}
	k.process = process
	return nil
}

// awaitAnswer waits until the broker lists itself, which it does once it has
// registered with its controller.
func (k *KafkaServer) awaitAnswer(ctx context.Context, process *child.Process) error {
	client, err := kgo.NewClient(kgo.SeedBrokers(k.Addr), kgo.RequestRetries(0))
	if err != nil {
		return err
	}
	defer client.Close()
	for {
		resp, err := kmsg.NewPtrMetadataRequest().RequestWith(ctx, client)
		if err == nil && len(resp.Brokers) == 1 {
			return nil
		}
		select {
		case <-process.Done():
			return process.Err()
		case <-ctx.Done():
			return fmt.Errorf("%w (%w)", context.Cause(ctx), err)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// javaCommand is Java with flags for a small heap and a fast start.
func javaCommand(ctx context.Context) (java string, flags []string, err error) {
	files, err := fetchKafka(ctx)
	if err != nil {
		return "", nil, err
	}
	java, err = exec.LookPath("java")
	if err != nil {
		return "", nil, fmt.Errorf("finding java: %w", err)
	}
	return java, []string{
		"-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto",
		"-cp", filepath.Join(files, "*"),
	}, nil
}

// fetchKafka returns the folder of the broker's files in the user's cache, and
// lets Maven fetch them first where they are missing. The folder appears only
// when it is whole.
func fetchKafka(ctx context.Context) (string, error) {
	cache, err := embedded.DefaultEngineDir()
	if err != nil {
		return "", err
	}
	files := filepath.Join(cache, kafkaFiles)
	if _, err := os.Stat(files); err == nil {
		return files, nil
	}
	if err := os.MkdirAll(cache, 0o750); err != nil {
		return "", fmt.Errorf("fetching Kafka: %w", err)
	}
	lock, err := filelock.Acquire(ctx, files+".lock", -1)
	if err != nil {
		return "", fmt.Errorf("fetching Kafka: %w", err)
	}
	defer func() { _ = lock.Release() }()
	if _, err := os.Stat(files); err == nil {
		return files, nil
	}
	if err := needTools(ctx, "java", "mvn"); err != nil {
		return "", fmt.Errorf("fetching Kafka: %w", err)
	}
	staging := files + ".partial"
	if err := os.RemoveAll(staging); err != nil {
		return "", fmt.Errorf("fetching Kafka: %w", err)
	}
	if err := runMaven(ctx, staging); err != nil {
		return "", fmt.Errorf("fetching Kafka: %w", err)
	}
	if err := os.Rename(staging, files); err != nil {
		return "", fmt.Errorf("fetching Kafka: %w", err)
	}
	return files, nil
}

func runMaven(ctx context.Context, into string) error {
	project, err := os.MkdirTemp("", "modelwatch-kafka-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(project) }()
	if err := os.WriteFile(filepath.Join(project, "pom.xml"), kafkaPOM, 0o600); err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, "mvn", "-q", "-B", "dependency:copy-dependencies",
		"-DincludeScope=runtime", "-DoutputDirectory="+into)
	cmd.Dir = project
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("running mvn: %w: check the network and Maven's settings\n%s", err, out)
	}
	return nil
}

// freeAddr is a loopback address nobody listens at now.
func freeAddr() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("finding a free port: %w", err)
	}
	defer func() { _ = l.Close() }()
	addr, ok := l.Addr().(*net.TCPAddr)
	if !ok {
		return "", fmt.Errorf("finding a free port: %s is not a TCP address", l.Addr())
	}
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(addr.Port)), nil
}
