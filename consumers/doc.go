// Package consumers is modelwatch's side of Kafka: membership of the consumer
// group, raw fetches, record batches, metadata, dead letters and offset
// commits. It delivers bytes with their offsets; what they mean is the
// business of consumers/decode and of the rooms that import this one.
//
// # What it owns
//
//   - [Client]: one pool of connections (TLS, SASL) and the requests the rest
//     needs: metadata with topic ids, list offsets, offsets of leader epochs,
//     topic creation and configuration.
//   - [Fetcher] and [Source]: one request per broker for all its hungry
//     partitions, answers read straight from the connection into two buffers
//     per partition. While a worker walks one buffer the other is filled; a
//     partition whose two buffers are taken is left out of the request, and
//     that is the whole back-pressure.
//   - [Walker]: record batches walked in place.
//   - [Group]: the member of the consumer group, with its own metadata polling.
//   - [DeadLetters]: the topic of what could not be used.
//
// # What it guarantees
//
// A record is delivered once per walk, in order of offsets, never below the
// offset asked for, never from a batch whose checksum does not hold, and under
// read_committed never from an aborted transaction. What cannot be delivered is
// an error that names the offsets it covers ([BatchError], [OutOfRange],
// [Truncated]); nothing is skipped in silence. Sizes are bounded: a batch over
// [Config.MaxBatchBytes] or [Config.MaxDecodedBytes] is an error with its range,
// not an allocation.
//
// A topic is named by its id wherever the broker knows how (Fetch v13): after a
// topic was made again under its old name the old id answers nothing, so records
// of the new one cannot be counted under the old epoch. Older brokers are asked
// with Fetch v11, by name.
//
// # What it never does
//
// It never decides about a gap: skipping a corrupt batch, or starting anew below
// the log's start, is a call to [Source.SeekTo] by the worker that writes the gap
// down.
//
// # What was learned about segmentio/kafka-go v0.4.51
//
//   - Reader delivers aborted records and control markers under ReadCommitted,
//     checks no checksum, and jumps silently to the log's start when its offset
//     is gone. Conn.ReadBatch and Client.Fetch give records below the offset
//     asked for. Hence the raw fetch through [protocol.RawExchanger].
//   - Transport.RoundTrip returns when its context ends while the connection's
//     goroutine goes on reading the answer. A raw exchange that reads into the
//     caller's memory must therefore be told, and waited for (see exchange).
//   - The versions handed to RawExchanger.Required are capped at what kafka-go
//     itself speaks; a newer request needs its own ApiVersions.
//   - Transport polls the metadata of every topic of the cluster unless
//     MetadataTopics is set, and waits for a topic it created to appear in
//     there: with MetadataTopics set, CreateTopics of any other topic hangs
//     until the context ends. The dead letter topic is therefore created raw.
//   - ConsumerGroup assigns nothing at all to anybody when one topic of any
//     member is missing, and asks for the metadata with automatic creation
//     allowed, so that joining with a missing topic makes it on brokers that
//     permit it. [Group] joins only with topics that exist, and its balancer
//     reads the metadata itself when it is handed no partitions.
//   - A generation ends as soon as any function given to Generation.Start
//     returns. Commits still succeed after its context is done, until that
//     function returns.
//   - ConsumerGroup.Close waits for a join in flight, up to the rebalance
//     timeout; its connections have to be closed from outside.
package consumers
