package consumers

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"testing"

	"github.com/segmentio/kafka-go"
	"pgregory.net/rapid"
)

func drawMembers(t *rapid.T, topics []string, same bool) []kafka.GroupMember {
	members := make([]kafka.GroupMember, rapid.IntRange(1, 6).Draw(t, "members"))
	for i := range members {
		members[i] = kafka.GroupMember{ID: fmt.Sprintf("m%d", i), Topics: topics}
		if !same {
			members[i].Topics = slices.DeleteFunc(slices.Clone(topics), func(string) bool { return rapid.Bool().Draw(t, "without") })
		}
	}
	return members
}

// Every partition has exactly one owner, subscribed to it; the order in which the
// members come does not matter; no claim, however wild, changes that.
func TestShareIsComplete(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		counts := make(map[string]int)
		for i := range rapid.IntRange(0, 4).Draw(t, "topics") {
			counts[fmt.Sprint("t", i)] = rapid.IntRange(1, 9).Draw(t, "partitions")
		}
		topics := slices.Sorted(maps.Keys(counts))
		same := rapid.Bool().Draw(t, "same")
		members := drawMembers(t, topics, same)
		for i := range members {
			members[i].UserData = rapid.SliceOf(rapid.Byte()).Draw(t, "noise")
			if rapid.Bool().Draw(t, "claims") {
				var owned []TopicPartition
				for range rapid.IntRange(0, 20).Draw(t, "owned") {
					owned = append(owned, TopicPartition{fmt.Sprint("t", rapid.IntRange(0, 5).Draw(t, "topic")), rapid.Int32Range(0, 12).Draw(t, "partition")})
				}
				members[i].UserData = encodeClaim(rapid.Int32Range(-1, 5).Draw(t, "generation"), owned)
			}
		}
		got := share(members, counts)
		owners := make(map[TopicPartition]int)
		sizes := make([]int, 0, len(members))
		for _, m := range members {
			n := 0
			for topic, ps := range got[m.ID] {
				if !slices.Contains(m.Topics, topic) {
					t.Fatalf("%s got %s, which it does not want", m.ID, topic)
				}
				for _, p := range ps {
					owners[TopicPartition{topic, int32(p)}]++
					n++
				}
			}
			sizes = append(sizes, n)
		}
		for topic, n := range counts {
			wanted := slices.ContainsFunc(members, func(m kafka.GroupMember) bool { return slices.Contains(m.Topics, topic) })
			for p := range n {
				if got := owners[TopicPartition{topic, int32(p)}]; wanted && got != 1 || !wanted && got != 0 {
					t.Fatalf("%s/%d has %d owners", topic, p, got)
				}
			}
		}
		if same && slices.Max(sizes)-slices.Min(sizes) > 1 {
			t.Fatalf("uneven: %v", sizes)
		}
		slices.Reverse(members)
		if again := share(members, counts); !reflect.DeepEqual(again, got) {
			t.Fatalf("%v, in another order %v", got, again)
		}
	})
}

// With nothing changed nothing moves, and when a member leaves, nothing moves
// between those that stay.
func TestShareIsSticky(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		counts := map[string]int{"a": rapid.IntRange(1, 12).Draw(t, "a"), "b": rapid.IntRange(1, 12).Draw(t, "b")}
		members := drawMembers(t, []string{"a", "b"}, true)
		claim := func(as kafka.GroupMemberAssignments) {
			for i, m := range members {
				var owned []TopicPartition
				for topic, ps := range as[m.ID] {
					for _, p := range ps {
						owned = append(owned, TopicPartition{topic, int32(p)})
					}
				}
				members[i].UserData = encodeClaim(1, owned)
			}
		}
		first := share(members, counts)
		claim(first)
		if again := share(members, counts); !reflect.DeepEqual(again, first) {
			t.Fatalf("%v became %v", first, again)
		}
		if len(members) == 1 {
			return
		}
		members = members[1:]
		after := share(members, counts)
		for _, m := range members {
			for topic, ps := range first[m.ID] {
				for _, p := range ps {
					if !slices.Contains(after[m.ID][topic], p) {
						t.Fatalf("%s/%d left %s, which stayed: %v became %v", topic, p, m.ID, first, after)
					}
				}
			}
		}
	})
}

func TestValidate(t *testing.T) {
	if err := DefaultConfig().Validate(); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*Config){
		"no broker":           func(c *Config) { c.Brokers = nil },
		"broker without port": func(c *Config) { c.Brokers = []string{"host"} },
		"no group":            func(c *Config) { c.Group = "" },
		"isolation":           func(c *Config) { c.Isolation = 7 },
		"mechanism":           func(c *Config) { c.SASL.Mechanism = "gssapi" },
		"user alone":          func(c *Config) { c.SASL.User = "u" },
		"partition bytes":     func(c *Config) { c.MaxPartitionBytes = 0 },
		"batch bytes":         func(c *Config) { c.MaxBatchBytes = 10 },
		"decoded bytes":       func(c *Config) { c.MaxDecodedBytes = 10 },
		"slow metadata":       func(c *Config) { c.MetadataEvery = 16e9 },
		"no wait":             func(c *Config) { c.MaxWait = 0 },
		"no queue":            func(c *Config) { c.DeadLetterQueue = 0 },
	} {
		c := DefaultConfig()
		change(&c)
		if c.Validate() == nil {
			t.Errorf("%s: accepted", name)
		}
		if _, err := NewClient(c, new(Stats), testClient(t, nil).log); err == nil {
			t.Errorf("%s: a client was made", name)
		}
	}
	c := DefaultConfig()
	c.Group, c.Brokers = "", nil
	if joined, ok := c.Validate().(interface{ Unwrap() []error }); !ok || len(joined.Unwrap()) != 2 {
		t.Errorf("two faults give %v", c.Validate())
	}
}
