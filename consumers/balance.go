package consumers

import (
	"cmp"
	"encoding/binary"
	"slices"
	"strings"
	"sync"

	"github.com/segmentio/kafka-go"
)

// balancer shares partitions out evenly, and leaves with each member what it had
// where that is even enough. The result is a function of the members, their
// claims and the partitions.
type balancer struct {
	metadata func(topics []string) (Metadata, error)

	mu         sync.Mutex
	generation int32
	owned      []TopicPartition
	led        map[string]int // partitions per topic when this member last led
}

func newBalancer(metadata func([]string) (Metadata, error)) *balancer {
	return &balancer{metadata: metadata, generation: -1}
}

// own remembers what this member has, for its next claim.
func (b *balancer) own(generation int32, owned []TopicPartition) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.generation, b.owned = generation, owned
}

// assignedFrom returns topics with the numbers of partitions that this member
// saw when it made the assignment; unchanged when another member made it.
func (b *balancer) assignedFrom(topics []Topic) []Topic {
	b.mu.Lock()
	defer b.mu.Unlock()
	topics = slices.Clone(topics)
	for i := range topics {
		if b.led != nil {
			topics[i].Partitions = b.led[topics[i].Name]
		}
	}
	b.led = nil
	return topics
}

// ProtocolName tells the coordinator which members understand each other.
func (b *balancer) ProtocolName() string { return "modelwatch-sticky-1" }

// UserData is this member's claim: its last generation and partitions.
func (b *balancer) UserData() ([]byte, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return encodeClaim(b.generation, b.owned), nil
}

// AssignGroups runs in the member that leads. Where kafka-go could not read all
// topics it hands over no partitions at all; then they are looked up here, so
// that one missing topic does not stop the others.
func (b *balancer) AssignGroups(members []kafka.GroupMember, partitions []kafka.Partition) kafka.GroupMemberAssignments {
	counts := make(map[string]int)
	for _, p := range partitions {
		counts[p.Topic] = max(counts[p.Topic], p.ID+1)
	}
	if len(counts) == 0 {
		var topics []string
		for _, m := range members {
			topics = append(topics, m.Topics...)
		}
		if m, err := b.metadata(normal(topics)); err == nil {
			for _, t := range m.Topics {
				if t.Err == nil {
					counts[t.Name] = len(t.Partitions)
				}
			}
		}
	}
	b.mu.Lock()
	b.led = counts
	b.mu.Unlock()
	return share(members, counts)
}

// share gives every partition to one of the members subscribed to its topic.
func share(members []kafka.GroupMember, counts map[string]int) kafka.GroupMemberAssignments {
	type holder struct {
		id     string
		topics map[string]bool
		n      int
	}
	holders := make([]*holder, len(members))
	claims := make(map[TopicPartition]*holder)
	since := make(map[TopicPartition]int32)
	members = slices.Clone(members)
	slices.SortFunc(members, func(a, b kafka.GroupMember) int { return strings.Compare(a.ID, b.ID) })
	for i, m := range members {
		h := &holder{id: m.ID, topics: make(map[string]bool)}
		for _, t := range m.Topics {
			h.topics[t] = true
		}
		holders[i] = h
		generation, owned := decodeClaim(m.UserData)
		for _, p := range owned {
			// Two members may claim one partition when the older claim comes from
			// one that was away: the later generation is right.
			if g, taken := since[p]; h.topics[p.Topic] && int(p.Partition) < counts[p.Topic] && (!taken || generation > g) {
				claims[p], since[p] = h, generation
			}
		}
	}
	all := make([]TopicPartition, 0, 64)
	for t, n := range counts {
		for p := range n {
			all = append(all, TopicPartition{t, int32(p)})
		}
	}
	slices.SortFunc(all, comparePartitions)

	result := make(kafka.GroupMemberAssignments, len(members))
	for _, h := range holders {
		result[h.id] = make(map[string][]int)
	}
	give := func(h *holder, p TopicPartition) {
		h.n++
		result[h.id][p.Topic] = append(result[h.id][p.Topic], int(p.Partition))
	}
	// With one set of topics for all, as it is between changes, every member gets
	// floor or ceil of the mean; ceil for as many as there is a remainder.
	floor, extra := 0, 0
	if len(holders) > 0 {
		floor, extra = len(all)/len(holders), len(all)%len(holders)
	}
	var free []TopicPartition
	for _, p := range all {
		h := claims[p]
		switch {
		case h != nil && h.n < floor:
			give(h, p)
		case h != nil && h.n == floor && extra > 0:
			extra--
			give(h, p)
		default:
			free = append(free, p)
		}
	}
	for _, p := range free {
		var least *holder
		for _, h := range holders {
			if h.topics[p.Topic] && (least == nil || cmp.Less(h.n, least.n)) {
				least = h
			}
		}
		if least != nil {
			give(least, p)
		}
	}
	return result
}

// encodeClaim writes a generation and partitions.
func encodeClaim(generation int32, owned []TopicPartition) []byte {
	b := binary.BigEndian.AppendUint32(nil, uint32(generation))
	for _, p := range owned {
		b = binary.AppendUvarint(b, uint64(len(p.Topic)))
		b = append(b, p.Topic...)
		b = binary.AppendUvarint(b, uint64(p.Partition))
	}
	return b
}

// decodeClaim reads what it can; a claim only makes an assignment stickier.
func decodeClaim(b []byte) (generation int32, owned []TopicPartition) {
	if len(b) < 4 {
		return -1, nil
	}
	generation, b = int32(binary.BigEndian.Uint32(b)), b[4:]
	for len(b) > 0 {
		size, n := binary.Uvarint(b)
		if n <= 0 || size > uint64(len(b)-n) {
			return generation, owned
		}
		topic := string(b[n : n+int(size)])
		b = b[n+int(size):]
		partition, n := binary.Uvarint(b)
		if n <= 0 || partition > 1<<30 {
			return generation, owned
		}
		b = b[n:]
		owned = append(owned, TopicPartition{topic, int32(partition)})
	}
	return generation, owned
}
