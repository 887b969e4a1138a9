package testkit_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"

	"github.com/modelwatch/modelwatch/internal/testkit"
)

func TestMain(m *testing.M) { os.Exit(testkit.Main(m)) }

func produce(t *testing.T, addr, topic string, values ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	client, err := kgo.NewClient(kgo.SeedBrokers(addr))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	for _, v := range values {
		// The demo's records are of 2001.
		r := &kgo.Record{Topic: topic, Value: []byte(v), Timestamp: time.Date(2001, 1, 2, 3, 4, 5, 0, time.UTC)}
		if err := client.ProduceSync(ctx, r).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
}

func consume(t *testing.T, topic string, n int, opts ...kgo.Opt) []string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	opts = append(opts, kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	client, err := kgo.NewClient(opts...)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	var got []string
	for len(got) < n {
		fetches := client.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			t.Fatalf("after %d of %d records: %v", len(got), n, err)
		}
		fetches.EachRecord(func(r *kgo.Record) { got = append(got, string(r.Value)) })
	}
	slices.Sort(got)
	return got
}

func wantValues(t *testing.T, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Fatalf("got %q, want %q", got, want)
	}
}

func TestKafka_Shared(t *testing.T) {
	k := testkit.Kafka(t)
	if again := testkit.Kafka(t); again.Addr != k.Addr {
		t.Errorf("a second broker at %s beside %s", again.Addr, k.Addr)
	}
	topic := k.CreateTopic(t, testkit.Name(t, "flights"), 2, nil)
	produce(t, k.Addr, topic, "a", "b", "c")
	group := kgo.ConsumerGroup(testkit.Name(t, "readers"))
	wantValues(t, consume(t, topic, 3, kgo.SeedBrokers(k.Addr), group), "a", "b", "c")
	k.DeleteRecordsBefore(t, topic, 0, 0)
	k.AddPartitions(t, topic, 3)
}

func TestKafka_PrivateOverStopAndKill(t *testing.T) {
	k := testkit.NewKafka(t, testkit.KafkaOptions{Proxied: true})
	topic := k.CreateTopic(t, "flights", 1, nil)
	produce(t, k.Addr, topic, "a")
	addr, pid := k.Addr, k.PID()
	k.Stop(t)
	if _, err := net.Dial("tcp", addr); err == nil {
		t.Fatal("the stopped broker still listens")
	}
	k.Start(t)
	produce(t, k.Addr, topic, "b")
	k.Kill(t)
	k.Start(t)
	if k.Addr != addr || k.PID() == pid {
		t.Errorf("at %s as process %d, want a new process at %s", k.Addr, k.PID(), addr)
	}
	// Through the proxy, and by way of the address the broker itself tells.
	wantValues(t, consume(t, topic, 2, kgo.SeedBrokers(k.Proxy.Addr())), "a", "b")
	if n := k.Proxy.Accepted(); n < 2 {
		t.Errorf("%d connections through the proxy, want the seed's and the broker's", n)
	}
}

func TestKafka_TLSAndSASL(t *testing.T) {
	ca, other := testkit.Authority(t), testkit.Authority(t)
	k := testkit.NewKafka(t, testkit.KafkaOptions{Authority: ca, Users: map[string]string{"watch": `s3"cret`}})
	topic := k.CreateTopic(t, "flights", 1, nil)
	produce(t, k.Addr, topic, "a")
	trust := func(a *testkit.CertAuthority) kgo.Opt {
		return kgo.DialTLSConfig(&tls.Config{RootCAs: a.Pool, MinVersion: tls.VersionTLS12})
	}
	wantValues(t, consume(t, topic, 1, kgo.SeedBrokers(k.TLSAddr), trust(ca)), "a")
	for _, password := range []string{`s3"cret`, "wrong"} {
		auth := map[string]kgo.Opt{
			"PLAIN":         kgo.SASL(plain.Auth{User: "watch", Pass: password}.AsMechanism()),
			"SCRAM-SHA-256": kgo.SASL(scram.Auth{User: "watch", Pass: password}.AsSha256Mechanism()),
			"SCRAM-SHA-512": kgo.SASL(scram.Auth{User: "watch", Pass: password}.AsSha512Mechanism()),
		}
		for name, mechanism := range auth {
			if password != "wrong" {
				wantValues(t, consume(t, topic, 1, kgo.SeedBrokers(k.SASLAddr), trust(ca), mechanism), "a")
				continue
			}
			if err := ping(t, kgo.SeedBrokers(k.SASLAddr), trust(ca), mechanism); err == nil {
				t.Errorf("%s lets a wrong password in", name)
			}
		}
	}
	if err := ping(t, kgo.SeedBrokers(k.TLSAddr), trust(other)); err == nil {
		t.Error("a client that trusts another authority is served")
	}
}

func ping(t *testing.T, opts ...kgo.Opt) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	client, err := kgo.NewClient(append(opts, kgo.RequestRetries(0))...)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	return client.Ping(ctx)
}

func TestClickHouse_SharedDatabases(t *testing.T) {
	c := testkit.ClickHouse(t)
	var name string
	t.Run("one test", func(t *testing.T) {
		name = c.Database(t)
		c.Query(t, "CREATE TABLE "+name+".t (a UInt8) ENGINE = MergeTree ORDER BY a")
		c.Query(t, "INSERT INTO "+name+".t VALUES (1), (2)")
		if got := c.Query(t, "SELECT a FROM "+name+".t ORDER BY a"); got != "1\n2" {
			t.Errorf("got %q", got)
		}
		if other := c.Database(t); other == name {
			t.Errorf("two databases of one name %s", name)
		}
	})
	if got := c.Query(t, "SELECT count() FROM system.tables WHERE database = '"+name+"'"); got != "0" {
		t.Errorf("%s tables of database %s outlive their test", got, name)
	}
}

func TestClickHouse_PrivateOverKill(t *testing.T) {
	c := testkit.NewClickHouse(t)
	c.Query(t, "CREATE TABLE t (a UInt8) ENGINE = MergeTree ORDER BY a")
	c.Query(t, "INSERT INTO t VALUES (7)")
	addr, pid := c.Addr, c.PID()
	c.Kill(t)
	if _, err := net.Dial("tcp", addr); err == nil {
		t.Fatal("the killed engine still listens")
	}
	c.Start(t)
	if got := c.Query(t, "SELECT a FROM t"); got != "7" {
		t.Errorf("after kill -9 got %q, want 7", got)
	}
	if c.Addr != addr || c.PID() == pid {
		t.Errorf("at %s as process %d, want a new process at %s", c.Addr, c.PID(), addr)
	}
}

func TestNATS_PrivateOverKillAndWipe(t *testing.T) {
	ctx, n := t.Context(), testkit.NewNATS(t)
	conn, err := nats.Connect(n.URL, nats.MaxReconnects(-1), nats.ReconnectWait(10*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	js, err := jetstream.New(conn)
	if err != nil {
		t.Fatal(err)
	}
	config := jetstream.StreamConfig{Name: "ALERTS", Subjects: []string{"alerts.>"}}
	if _, err := js.CreateStream(ctx, config); err != nil {
		t.Fatal(err)
	}
	if _, err := js.Publish(ctx, "alerts.x", []byte("one")); err != nil {
		t.Fatal(err)
	}
	n.Kill(t)
	n.Start(t)
	// The client finds the server at its address again.
	stream := awaitStream(t, js)
	if got := stream.CachedInfo().State.Msgs; got != 1 {
		t.Errorf("%d messages after kill -9, want 1", got)
	}
	n.Stop(t)
	n.Wipe(t)
	n.Start(t)
	for deadline := time.Now().Add(10 * time.Second); ; {
		_, err := js.Stream(ctx, "ALERTS")
		if errors.Is(err, jetstream.ErrStreamNotFound) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("after the wipe got %v, want no stream", err)
		}
	}
}

func awaitStream(t *testing.T, js jetstream.JetStream) jetstream.Stream {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); ; {
		stream, err := js.Stream(t.Context(), "ALERTS")
		if err == nil {
			return stream
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
}

func TestNATS_Shared(t *testing.T) {
	conn, err := nats.Connect(testkit.NATS(t).URL)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	js, err := jetstream.New(conn)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := js.AccountInfo(t.Context()); err != nil {
		t.Errorf("JetStream: %v", err)
	}
}

func TestName_Differs(t *testing.T) {
	a, b := testkit.Name(t, "flights"), testkit.Name(t, "flights")
	if a == b || !strings.HasPrefix(a, "flights_") {
		t.Errorf("got %s and %s", a, b)
	}
}

// echo is a server that answers each line with itself, and counts them.
func echo(t *testing.T) (addr string, lines func() string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	seen := make(chan string, 100)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer func() { _ = c.Close() }()
				buffer := make([]byte, 64)
				for {
					n, err := c.Read(buffer)
					if err != nil {
						return
					}
					seen <- string(buffer[:n])
					if _, err := c.Write(buffer[:n]); err != nil {
						return
					}
				}
			}()
		}
	}()
	t.Cleanup(func() { _ = l.Close(); <-done })
	return l.Addr().String(), func() string {
		select {
		case s := <-seen:
			return s
		case <-time.After(5 * time.Second):
			t.Fatal("nothing reached the server")
			return ""
		}
	}
}

func dial(t *testing.T, addr string) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	if err := c.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return c
}

func say(c net.Conn, text string) (string, error) {
	if _, err := io.WriteString(c, text); err != nil {
		return "", err
	}
	answer := make([]byte, len(text))
	_, err := io.ReadFull(c, answer)
	return string(answer), err
}

func TestProxy_Faults(t *testing.T) {
	target, lines := echo(t)
	p := testkit.Proxy(t, target)
	c := dial(t, p.Addr())
	if got, err := say(c, "one"); err != nil || got != "one" {
		t.Fatalf("got %q, %v", got, err)
	}
	lines()

	p.SetDelay(50 * time.Millisecond)
	started := time.Now()
	if _, err := say(c, "slow"); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(started); took < 100*time.Millisecond {
		t.Errorf("there and back took %s, want 100 ms or more", took)
	}
	p.SetDelay(0)
	lines()

	dropped := p.DropAfterRequest()
	if got, err := say(c, "lost"); err == nil {
		t.Errorf("got the answer %q to a dropped request", got)
	}
	if got := lines(); got != "lost" {
		t.Errorf("the server has seen %q, want the request", got)
	}
	select {
	case <-dropped:
	case <-time.After(5 * time.Second):
		t.Error("the drop is not told")
	}

	c = dial(t, p.Addr())
	if _, err := say(c, "next"); err != nil {
		t.Fatalf("only one request is dropped: %v", err)
	}
	if n := p.Cut(); n != 1 {
		t.Errorf("cut %d connections, want 1", n)
	}
	if _, err := say(c, "cut"); err == nil {
		t.Error("the cut connection lives")
	}

	p.Refuse(true)
	if _, err := say(dial(t, p.Addr()), "refused"); err == nil {
		t.Error("a connection is served while refusing")
	}
	p.Refuse(false)
	if _, err := say(dial(t, p.Addr()), "back"); err != nil {
		t.Errorf("after refusing: %v", err)
	}
}

func TestAuthority_Certificates(t *testing.T) {
	ca := testkit.Authority(t)
	f := func(trusted *testkit.CertAuthority, options testkit.CertOptions, want string) {
		t.Helper()
		l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{
			Certificates: []tls.Certificate{ca.Certificate(t, options)}, MinVersion: tls.VersionTLS13,
		})
		if err != nil {
			t.Fatal(err)
		}
		served := make(chan struct{})
		go func() {
			defer close(served)
			if c, err := l.Accept(); err == nil {
				_, _ = io.Copy(io.Discard, c)
				_ = c.Close()
			}
		}()
		defer func() { _ = l.Close(); <-served }()
		c, err := tls.Dial("tcp", l.Addr().String(), &tls.Config{RootCAs: trusted.Pool, MinVersion: tls.VersionTLS13})
		if err == nil {
			_ = c.Close()
		}
		if got := err; (got == nil) != (want == "") || got != nil && !strings.Contains(got.Error(), want) {
			t.Errorf("%+v: got %v, want %q", options, got, want)
		}
	}
	f(ca, testkit.CertOptions{}, "")
	f(ca, testkit.CertOptions{Expired: true}, "expired")
	f(ca, testkit.CertOptions{Host: "elsewhere.example"}, "doesn't contain any IP SANs")
	f(testkit.Authority(t), testkit.CertOptions{}, "unknown authority")
	caPath, certificate, key := ca.Files(t, testkit.CertOptions{Name: "client"})
	if _, err := tls.LoadX509KeyPair(certificate, key); err != nil {
		t.Error(err)
	}
	if got, err := os.ReadFile(caPath); err != nil || !bytes.Equal(got, ca.PEM) {
		t.Errorf("the authority's file: %q, %v", got, err)
	}
}

func TestTestservers(t *testing.T) {
	program := t.TempDir() + "/testservers"
	if out, err := exec.Command("go", "build", "-o", program, "./cmd/testservers").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	cmd := exec.Command(program, "--", "sh", "-c", "env | grep MODELWATCH_TEST_; exit 3")
	cmd.Env = slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "MODELWATCH_TEST_") })
	out, err := cmd.Output()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 3 {
		t.Fatalf("got %v, want the command's exit code 3\n%s", err, out)
	}
	told := map[string]string{}
	for line := range strings.Lines(string(out)) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		told[name] = value
	}
	for _, name := range []string{
		"MODELWATCH_TEST_KAFKA", "MODELWATCH_TEST_CLICKHOUSE", "MODELWATCH_TEST_CLICKHOUSE_HTTP", "MODELWATCH_TEST_NATS",
	} {
		addr := strings.TrimPrefix(told[name], "nats://")
		if addr == "" {
			t.Errorf("%s is not told", name)
			continue
		}
		if c, err := net.Dial("tcp", addr); err == nil {
			_ = c.Close()
			t.Errorf("%s at %s outlives the run", name, addr)
		}
	}
}
