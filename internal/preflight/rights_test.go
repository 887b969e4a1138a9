package preflight_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/modelwatch/modelwatch/consumers"
	"github.com/modelwatch/modelwatch/consumers/decode"
	"github.com/modelwatch/modelwatch/consumers/decode/native"
	"github.com/modelwatch/modelwatch/internal/preflight"
	"github.com/modelwatch/modelwatch/internal/testkit"
)

// allow grants operations on a resource to a user.
func allow(t *testing.T, addr, user string, resource func(*kadm.ACLBuilder) *kadm.ACLBuilder, operations ...kadm.ACLOperation) {
	t.Helper()
	c, err := kgo.NewClient(kgo.SeedBrokers(addr))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	made, err := kadm.NewClient(c).CreateACLs(t.Context(), resource(kadm.NewACLs().Allow("User:"+user).AllowHosts("*")).Operations(operations...))
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range made {
		if m.Err != nil {
			t.Fatal(m.Err)
		}
	}
}

// TestRightsOfRestrictedKafkaUsers asks a broker with access lists, as users
// with what docs/security.md lists, with less and with more.
func TestRightsOfRestrictedKafkaUsers(t *testing.T) {
	users := map[string]string{"least": "pw1", "mute": "pw2", "many": "pw3", "blind": "pw4"}
	k := testkit.NewKafka(t, testkit.KafkaOptions{Users: users, Properties: map[string]string{
		"authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
		"super.users":           "User:ANONYMOUS",
	}})
	k.CreateTopic(t, "flights", 1, nil)
	k.CreateTopic(t, consumers.DeadLetterTopic, 1, nil)
	send(t, k.Addr, "flights", 0, `{"model":"m","features":{"a":1}}`)
	topic := func(name string) func(*kadm.ACLBuilder) *kadm.ACLBuilder {
		return func(b *kadm.ACLBuilder) *kadm.ACLBuilder {
			return b.Topics(name).ResourcePatternType(kadm.ACLPatternLiteral)
		}
	}
	group := func(b *kadm.ACLBuilder) *kadm.ACLBuilder {
		return b.Groups("mw").ResourcePatternType(kadm.ACLPatternLiteral)
	}
	for _, user := range []string{"least", "many"} {
		allow(t, k.Addr, user, topic("flights"), kadm.OpRead, kadm.OpDescribe, kadm.OpDescribeConfigs)
		allow(t, k.Addr, user, topic(consumers.DeadLetterTopic), kadm.OpWrite, kadm.OpDescribe)
		allow(t, k.Addr, user, group, kadm.OpRead)
	}
	allow(t, k.Addr, "many", topic("flights"), kadm.OpWrite, kadm.OpAlterConfigs)
	allow(t, k.Addr, "many", topic(consumers.DeadLetterTopic), kadm.OpDelete)
	allow(t, k.Addr, "many", group, kadm.OpDelete)
	allow(t, k.Addr, "mute", topic("flights"), kadm.OpDescribe)
	m := monitors(t, "model: m\ntopics: [flights]\nfeatures: {a: {type: number}}")

	as := func(user string) *consumers.Client {
		c := consumers.DefaultConfig()
		c.Brokers, c.Group = []string{k.Addr}, "mw"
		if user != "" {
			c.Brokers, c.SASL = []string{k.SASLAddr}, consumers.SASL{Mechanism: "scram-sha-256", User: user, Password: users[user]}
		}
		client, err := consumers.NewClient(c, &consumers.Stats{}, zerolog.Nop())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(client.Close)
		return client
	}
	ask := func(client *consumers.Client) []string {
		t.Helper()
		var said []string
		if err := preflight.KafkaRights(t.Context(), preflight.DefaultConfig(), client, "mw", m, func(f preflight.Finding) {
			said = append(said, fmt.Sprintf("%s %s: %s", f.State, f.Subject, f.Message))
		}); err != nil {
			t.Fatal(err)
		}
		return said
	}
	f := func(user string, want ...string) {
		t.Helper()
		// Brokers apply new access lists after a moment.
		var got []string
		for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
			if got = ask(as(user)); slices.Equal(got, want) {
				return
			}
		}
		t.Errorf("%s:\n%s\nwant\n%s", user, strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	f("least", "ok kafka: its user has the rights that are needed, and no others")
	f("many", "warn kafka: its user may do more than is needed: Write, AlterConfigs on topic flights, Delete on topic modelwatch.dead_letters, Delete on group mw")
	f("mute", "warn kafka: topic modelwatch.dead_letters does not exist, or its user may not know of it",
		"error kafka: its user lacks the right Read on topic flights, Read on group mw")
	f("blind", "warn kafka: topic modelwatch.dead_letters does not exist, or its user may not know of it",
		"error kafka: its user lacks the right Read on group mw")

	// What is said of topics goes on where one may not be read.
	var said []string
	err := preflight.Topics(t.Context(), preflight.Config{Sample: 5, Timeout: 2 * time.Second}, as("mute"), decode.Formats{"native": native.New}, m, func(f preflight.Finding) {
		said = append(said, fmt.Sprintf("%s %s: %s; %s", f.State, f.Subject, f.Message, f.Hint))
	})
	if err != nil || !slices.ContainsFunc(said, func(s string) bool { return strings.Contains(s, "whether its user has the right Read on it") }) {
		t.Errorf("%v, %q", err, said)
	}

	// What is listed is enough: a group that reads, and a dead letter.
	client := as("least")
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	letters := consumers.NewDeadLetters(client)
	running := make(chan error, 2)
	go func() { running <- letters.Run(ctx) }()
	go func() {
		running <- consumers.NewGroup(client, []string{"flights"}).Run(ctx, func(ctx context.Context, a consumers.Assignment) error {
			if err := letters.Put(ctx, consumers.DeadLetter{Reason: "r", Topic: "flights", Value: []byte("x")}); err != nil {
				return err
			}
			err := letters.Flush(ctx)
			if err == nil {
				err = a.Commit(map[consumers.TopicPartition]int64{{Topic: "flights"}: 1})
			}
			cancel()
			return err
		})
	}()
	for range 2 {
		if err := <-running; err != nil {
			t.Error(err)
		}
	}

	open := testkit.Kafka(t)
	c := consumers.DefaultConfig()
	c.Brokers = []string{open.Addr}
	everybody, err := consumers.NewClient(c, &consumers.Stats{}, zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	defer everybody.Close()
	if got := ask(everybody); len(got) != 1 || !strings.Contains(got[0], "keep no access lists") {
		t.Errorf("%q", got)
	}
}
