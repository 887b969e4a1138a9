package consumers

import (
	"bytes"
	"errors"
	"io"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// FuzzAnswers feeds answers to the decoders of metadata and fetches: they end,
// with an error where bytes are missing, and read into memory no more than the
// answer holds.
func FuzzAnswers(f *testing.F) {
	meta := kmsg.NewPtrMetadataResponse()
	meta.Version = 12
	topic := kmsg.NewMetadataResponseTopic()
	name := "t"
	topic.Topic, topic.TopicID = &name, [16]byte{1}
	topic.Partitions = []kmsg.MetadataResponseTopicPartition{kmsg.NewMetadataResponseTopicPartition()}
	meta.Topics = append(meta.Topics, topic)
	meta.Brokers = append(meta.Brokers, kmsg.MetadataResponseBroker{NodeID: 1, Host: "h", Port: 2})
	f.Add(meta.AppendTo(nil), byte(0))
	for i, version := range []int16{11, 13} {
		resp := kmsg.NewPtrFetchResponse()
		resp.Version = version
		st := kmsg.NewFetchResponseTopic()
		st.Topic, st.TopicID = "t", [16]byte{1}
		sp := kmsg.NewFetchResponseTopicPartition()
		sp.RecordBatches = simple(0, 0, "a").encode()
		sp.AbortedTransactions = []kmsg.FetchResponseTopicPartitionAbortedTransaction{{ProducerID: 3, FirstOffset: 4}}
		sp.DivergingEpoch.Epoch, sp.DivergingEpoch.EndOffset = 1, 2
		st.Partitions = append(st.Partitions, sp)
		resp.Topics = append(resp.Topics, st)
		f.Add(resp.AppendTo(nil), byte(1+i))
	}
	group := kmsg.NewPtrDescribeGroupsResponse()
	group.Version = 3
	member := kmsg.NewDescribeGroupsResponseGroupMember()
	member.MemberID, member.ProtocolMetadata = "m", []byte("abc")
	described := kmsg.NewDescribeGroupsResponseGroup()
	described.Group, described.Members, described.AuthorizedOperations = "g", []kmsg.DescribeGroupsResponseGroupMember{member}, 1<<3
	group.Groups = append(group.Groups, described)
	f.Add(group.AppendTo(nil), byte(3))
	c := testClient(f, nil)
	fetcher := NewFetcher(c)
	source := fetcher.Add(Position{Topic: "t", ID: TopicID{1}, Offset: 5})
	f.Fuzz(func(t *testing.T, b []byte, kind byte) {
		d := &decoder{r: bytes.NewReader(b), left: len(b)}
		switch kind % 4 {
		case 3:
			if _, err := decodeGroupRights(d); d.err == nil && err != nil && err.Error() == "" {
				t.Fatal("an error without a message")
			}
		case 0:
			d.flex = true
			m := decodeMetadata(d)
			m.Topic("t")
		default:
			version := int16(11)
			if kind%4 == 2 {
				version, d.flex = 13, true
			}
			a := new(answer)
			req := &fetchRequest{parts: []fetchPart{{source: source, answer: a}}}
			err := c.readFetch(d, version, req)
			if err == nil && d.err != nil {
				t.Fatalf("%v was swallowed", d.err)
			}
			if len(a.set) > len(b) {
				t.Fatalf("%d bytes of %d", len(a.set), len(b))
			}
		}
		if d.err != nil && !errors.Is(d.err, errWire) && !errors.Is(d.err, io.EOF) {
			t.Fatal(d.err)
		}
	})
}

func FuzzClaim(f *testing.F) {
	f.Add(encodeClaim(3, []TopicPartition{{"topic", 1}, {"t", 200}}))
	f.Fuzz(func(t *testing.T, b []byte) {
		generation, owned := decodeClaim(b)
		g, o := decodeClaim(encodeClaim(generation, owned))
		if g != generation || len(o) != len(owned) {
			t.Fatalf("%d %v became %d %v", generation, owned, g, o)
		}
	})
}
