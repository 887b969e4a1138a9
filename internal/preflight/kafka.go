package preflight

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/modelwatch/modelwatch/consumers"
	"github.com/modelwatch/modelwatch/consumers/decode"
	"github.com/modelwatch/modelwatch/internal/config"
)

// Topics tries every topic of the monitors on a cluster that answers, reads
// the latest events of each and tells, topic by topic and then model by model,
// what was found. The error is that of ctx, or of a client that cannot be asked.
func Topics(ctx context.Context, cfg Config, client *consumers.Client, formats decode.Formats, monitors []config.Monitor, say func(Finding)) error {
	seen := newCensus(monitors)
	names := topics(monitors)
	if len(names) == 0 {
		return nil
	}
	asking, cancel := context.WithTimeout(ctx, cfg.Timeout)
	defer cancel()
	known, err := client.Metadata(asking, names...)
	if err != nil {
		return fmt.Errorf("asking for topics: %w", err)
	}
	for _, name := range names {
		t := known.Topic(name)
		if t == nil || t.Err != nil || len(t.Partitions) == 0 {
			say(missing(name, t))
			continue
		}
		try := topic{cfg: cfg, client: client, meta: t, census: seen, say: say}
		if err := try.run(ctx, formats, formatOf(monitors, name)); err != nil {
			return err
		}
	}
	seen.tell(say)
	return nil
}

func topics(monitors []config.Monitor) []string {
	var names []string
	for i := range monitors {
		names = append(names, monitors[i].Topics...)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// formatOf is the format of the first monitor that reads the topic, as the
// service takes it.
func formatOf(monitors []config.Monitor, topic string) string {
	for i := range monitors {
		if slices.Contains(monitors[i].Topics, topic) {
			return monitors[i].Format
		}
	}
	return ""
}

func missing(name string, t *consumers.TopicMetadata) Finding {
	f := Finding{State: Error, Subject: subject(name), Message: "does not exist", Hint: "make it, or correct `topics`; the service reads the others and takes it up when it appears"}
	if t != nil && t.Err != nil && !strings.Contains(t.Err.Error(), "Unknown Topic") {
		f.Message, f.Hint = "cannot be read: "+t.Err.Error(), "the user of `kafka` needs the rights Describe and Read on it"
	}
	return f
}

func subject(topic string) string { return "topic " + topic }

// topic is one topic while it is tried.
type topic struct {
	cfg    Config
	client *consumers.Client
	meta   *consumers.TopicMetadata
	census *census
	say    func(Finding)
}

func (t *topic) tell(s State, message, hint string) {
	t.say(Finding{s, subject(t.meta.Name), message, hint})
}

func (t *topic) run(ctx context.Context, formats decode.Formats, format string) error {
	ctx, cancel := context.WithTimeout(ctx, t.cfg.Timeout)
	defer cancel()
	leaderless := 0
	for _, p := range t.meta.Partitions {
		if p.Leader < 0 {
			leaderless++
		}
	}
	if leaderless > 0 {
		t.tell(Warn, fmt.Sprintf("%s without a leader at the moment", count(leaderless, "partition")), "they are read when one is chosen")
	}
	t.retention(ctx)
	decoder, err := formats.New(format, decode.DefaultConfig())
	if err != nil {
		return fmt.Errorf("reading topic %s: %w", t.meta.Name, err)
	}
	s, err := t.sample(ctx, decoder)
	if err != nil && !errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	t.judge(s, err != nil)
	return nil
}

// retention warns where the topic does not keep what a replay needs.
func (t *topic) retention(ctx context.Context) {
	settings, err := t.client.TopicConfigs(ctx, t.meta.Name)
	if err != nil {
		t.tell(Note, "its settings cannot be read: "+err.Error(), "the right DescribeConfigs lets this be checked")
		return
	}
	if strings.Contains(settings["cleanup.policy"], "compact") {
		t.tell(Warn, "cleanup.policy is "+settings["cleanup.policy"]+": Kafka deletes older events of the same key, so that a stretch read again may differ", "set cleanup.policy=delete")
	}
}

// sampled is what was found in the latest events of one topic.
type sampled struct {
	read, usable int
	unread       int // batches that cannot be read
	reasons      map[decode.Reason]*unusable
}

// unusable are the events that one reason made unusable.
type unusable struct {
	n      int
	first  string // topic/partition@offset
	detail string
	models []string // that were named, without a monitor
}

// sample decodes the latest events, about as many of each partition.
func (t *topic) sample(ctx context.Context, decoder decode.Decoder) (*sampled, error) {
	s := &sampled{reasons: map[decode.Reason]*unusable{}}
	each := int64(max(1, t.cfg.Sample/len(t.meta.Partitions)))
	fetcher := consumers.NewFetcher(t.client)
	fetching, stop := context.WithCancel(ctx)
	var running sync.WaitGroup
	running.Go(func() { _ = fetcher.Run(fetching) }) // nil once it is stopped
	defer running.Wait()
	defer stop()
	for _, p := range t.meta.Partitions {
		if s.read >= t.cfg.Sample {
			break
		}
		start, err := t.client.ListOffset(ctx, t.meta.Name, p.Partition, consumers.LogStart)
		if err != nil {
			return s, ended(ctx, err)
		}
		end, err := t.client.ListOffset(ctx, t.meta.Name, p.Partition, consumers.LogEnd)
		if err != nil {
			return s, ended(ctx, err)
		}
		if start = max(start, end-each); start >= end {
			continue
		}
		source := fetcher.Add(consumers.Position{Topic: t.meta.Name, ID: t.meta.ID, Partition: p.Partition, Offset: start, LeaderEpoch: -1})
		if err := t.read(ctx, source, p.Partition, end, decoder, s); err != nil {
			return s, err
		}
	}
	return s, nil
}

// ended prefers the end of the time given over what it broke.
func ended(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}

// read decodes the events of one partition up to end.
func (t *topic) read(ctx context.Context, source *consumers.Source, partition int32, end int64, decoder decode.Decoder, s *sampled) error {
	for {
		got, err := source.Fetch(ctx)
		var gone *consumers.OutOfRange
		switch {
		case errors.As(err, &gone) && gone.Start < end:
			source.SeekTo(gone.Start, -1) // deleted since the offsets were asked for
			continue
		case err != nil:
			return ended(ctx, err)
		}
		var r consumers.Record
		for got.Next(&r) && r.Offset < end {
			t.decode(&r, partition, decoder, s)
		}
		var bad *consumers.BatchError
		if errors.As(got.Err(), &bad) {
			s.unread++
			if bad.Next >= end {
				return nil
			}
			source.SeekTo(bad.Next, -1)
			continue
		}
		if got.Offset() >= end {
			return nil
		}
	}
}

func (t *topic) decode(r *consumers.Record, partition int32, decoder decode.Decoder, s *sampled) {
	s.read++
	no := decoder.Decode(&decode.Record{Offset: r.Offset, Timestamp: r.Timestamp, Key: r.Key, Value: r.Value}, t.census)
	if no.OK() {
		s.usable++
		t.census.count()
		return
	}
	u := s.reasons[no.Reason]
	if u == nil {
		u = &unusable{first: fmt.Sprintf("%s/%d@%d", t.meta.Name, partition, r.Offset), detail: no.Detail}
		s.reasons[no.Reason] = u
	}
	u.n++
	if name := string(no.Model); no.Reason == decode.UnknownModel && len(u.models) < 5 && !slices.Contains(u.models, name) {
		u.models = append(u.models, name)
	}
}

// judge says how many of the events the service could use, and why not all.
func (t *topic) judge(s *sampled, late bool) {
	size := count(len(t.meta.Partitions), "partition")
	if late {
		t.tell(Warn, fmt.Sprintf("only %s could be read in %s", count(s.read, "event"), t.cfg.Timeout), "see whether its leaders answer, and whether its user has the right Read on it")
	}
	switch {
	case s.read == 0 && s.unread == 0:
		if !late {
			t.tell(Warn, size+", and no events", "nothing can be said of their form yet")
		}
		return
	case s.usable == s.read && s.unread == 0:
		t.tell(OK, fmt.Sprintf("%s; the latest %s can be used", size, count(s.read, "event")), "")
		return
	}
	state := Warn
	if s.usable == 0 {
		state = Error
	}
	t.tell(state, fmt.Sprintf("%s; of the latest %s %d can be used", size, count(s.read, "event"), s.usable), "")
	if s.unread > 0 {
		t.tell(Warn, fmt.Sprintf("%s cannot be read", count(s.unread, "batch")), "the service leaves such offsets out and says so")
	}
	for _, reason := range decode.Reasons() {
		if u := s.reasons[reason]; u != nil {
			message, hint := t.because(reason, u)
			t.tell(Warn, message, hint)
		}
	}
}

func (t *topic) because(reason decode.Reason, u *unusable) (message, hint string) {
	message = fmt.Sprintf("%s: %s, first at %s", reason, count(u.n, "event"), u.first)
	if u.detail != "" {
		message += " (" + u.detail + ")"
	}
	if len(u.models) == 0 {
		return message, ""
	}
	message += fmt.Sprintf(": no monitor is checked for %s", quoted(u.models))
	return message, t.census.near(u.models)
}

// count writes a number with its noun.
func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	if strings.HasSuffix(noun, "ch") {
		noun += "e"
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

func quoted(names []string) string {
	out := make([]string, len(names))
	for i, n := range names {
		out[i] = "`" + n + "`"
	}
	return strings.Join(out, ", ")
}
