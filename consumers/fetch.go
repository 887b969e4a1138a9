package consumers

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/rs/zerolog"
	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
	"golang.org/x/sync/errgroup"

	"github.com/modelwatch/modelwatch/internal/faultpoint"
)

// ErrStopped is returned by [Source.Fetch] after the [Fetcher] has ended.
var ErrStopped = errors.New("fetcher stopped")

// ErrRecreated says that a topic was deleted and made again: its id differs from
// the one of the position.
var ErrRecreated = errors.New("topic was made again under its name")

// OutOfRange says that the broker no longer has, or never had, the offset asked
// for. Records in [Wanted, Start) are lost when Wanted is below Start; a Wanted
// above End means a truncated log. Nothing is fetched until [Source.SeekTo].
type OutOfRange struct {
	Topic      string
	Partition  int32
	Wanted     int64
	Start, End int64 // of the log as it is now
}

// Error names the partition, the offset and the log's ends.
func (e *OutOfRange) Error() string {
	return fmt.Sprintf("fetching %s/%d: offset %d is outside the log, which holds %d to %d", e.Topic, e.Partition, e.Wanted, e.Start, e.End)
}

// Truncated says that the log before the wanted offset is not the one that was
// read: the epoch of the record before it ends at End. Records from End on were
// read and are gone. Nothing is fetched until [Source.SeekTo].
type Truncated struct {
	Topic     string
	Partition int32
	Wanted    int64
	Epoch     int32 // largest epoch the broker shares with us
	End       int64 // where that epoch ends
}

// Error names the partition, the offset and where the logs part.
func (e *Truncated) Error() string {
	return fmt.Sprintf("fetching %s/%d: offset %d was truncated, epoch %d ends at %d", e.Topic, e.Partition, e.Wanted, e.Epoch, e.End)
}

// Position is where the reading of a partition begins.
type Position struct {
	Topic     string
	ID        TopicID
	Partition int32
	// Offset is the next offset to read.
	Offset int64
	// LeaderEpoch of the record before Offset, -1 when not known. Where the
	// broker supports it, a log truncated below Offset is noticed by it.
	LeaderEpoch int32
}

// Fetched is one answer for one partition; its memory is valid until the next
// [Source.Fetch] or [Source.SeekTo]. It may hold no records: then it says that the
// partition stands at its end, or that all there was had to be dropped.
type Fetched struct {
	*Walker
	// HighWatermark, LastStable and LogStart of the partition at the time.
	// LastStable is where reading ends: before the oldest open transaction under
	// read_committed, else the high watermark.
	HighWatermark, LastStable, LogStart int64
	// At is when the answer was read; a position equal to the end is idle as of
	// then.
	At time.Time
}

// answer is one buffer of a source with what was read into it.
type answer struct {
	set     []byte
	offset  int64
	epoch   int32
	next    int64 // offset after set by the headers alone
	aborted []Aborted
	marks   marks
	seek    uint64
}

type marks struct {
	high, stable, start int64
	at                  time.Time
}

// Fetcher reads the partitions of one assignment. Add them, then Run.
type Fetcher struct {
	client  *Client
	stats   *Stats
	log     zerolog.Logger
	refresh chan struct{}
	stopped chan struct{}

	mu      sync.Mutex
	sources []*Source
	loops   map[int32]chan struct{} // wakes the loop of a node
}

// NewFetcher makes an empty fetcher.
func NewFetcher(c *Client) *Fetcher {
	return &Fetcher{
		client: c, stats: c.stats, log: c.log,
		refresh: make(chan struct{}, 1), stopped: make(chan struct{}),
		loops: make(map[int32]chan struct{}),
	}
}

// Source is one partition of a fetcher. Fetch and Seek belong to one goroutine,
// the partition's worker; State may be called by any.
type Source struct {
	fetcher *Fetcher
	topic   string
	id      TopicID
	part    int32
	walker  *Walker
	current *answer // in the worker's hands
	fetched Fetched
	errs    int // batches in a row that could not be read

	// Guarded by the fetcher's mutex.
	wake        chan struct{}
	free        []*answer
	ready       []*answer
	offset      int64 // to fetch next
	epoch       int32 // of the record before offset
	seek        uint64
	marks       marks
	end         int64 // of the log, asked for while nothing is fetched; only to be shown
	marksSeen   bool
	leader      int32
	leaderEpoch int32
	inFlight    bool
	held        bool
	notBefore   time.Time
	fails       int
	need        int // size of a batch that was cut off
	trouble     error
	lastErr     error
}

// Add takes a partition on; before Run or during it.
func (f *Fetcher) Add(p Position) *Source {
	s := &Source{
		fetcher: f, topic: p.Topic, id: p.ID, part: p.Partition,
		walker: newWalker(f.client, p.Topic, p.Partition),
		wake:   make(chan struct{}, 1), free: []*answer{new(answer), new(answer)},
		offset: p.Offset, epoch: p.LeaderEpoch, leader: -1, leaderEpoch: -1, marksSeen: true,
	}
	s.walker.reset(nil, p.Offset, p.LeaderEpoch, nil)
	f.mu.Lock()
	f.sources = append(f.sources, s)
	f.mu.Unlock()
	nudge(f.refresh)
	return s
}

func nudge(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// Run fetches until ctx ends, and returns nil then. It retries for ever: a
// broker that is away or an unknown topic is counted, shown by State, and
// logged when it begins.
func (f *Fetcher) Run(ctx context.Context) error {
	defer close(f.stopped)
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		f.route(ctx, g)
		return nil
	})
	return g.Wait()
}

// backoff is the pause after so many failures in a row: 100 ms doubling to 5 s,
// less up to half by chance.
func backoff(fails int) time.Duration {
	d := min(100*time.Millisecond<<min(max(fails-1, 0), 10), 5*time.Second)
	return d - rand.N(d/2)
}

// sleep waits for a time, a wake-up or the end; false at the end.
func sleep(ctx context.Context, d time.Duration, wake <-chan struct{}) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-wake:
	case <-t.C:
	}
	return true
}

// route keeps the sources' leaders current and a loop running per node.
func (f *Fetcher) route(ctx context.Context, g *errgroup.Group) {
	fails := 0
	for ctx.Err() == nil {
		topics, lost := f.topics()
		if lost == 0 {
			select {
			case <-ctx.Done():
			case <-f.refresh:
				f.mu.Lock()
				for _, s := range f.sources {
					if s.fails > 0 {
						s.leader = -1
					}
				}
				f.mu.Unlock()
			}
			continue
		}
		m, err := f.client.Metadata(ctx, topics...)
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			f.stats.failed(err)
			if fails++; fails == 1 {
				f.log.Warn().Err(err).Msg("metadata is not to be had, trying on")
			}
			sleep(ctx, backoff(fails), nil)
			continue
		}
		if f.apply(ctx, g, m) > 0 {
			fails++
			sleep(ctx, backoff(fails), f.refresh)
			continue
		}
		fails = 0
	}
}

// topics lists the topics of all sources, and counts the sources without leader.
func (f *Fetcher) topics() (names []string, lost int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, s := range f.sources {
		if s.leader < 0 {
			lost++
		}
		if !slices.Contains(names, s.topic) {
			names = append(names, s.topic)
		}
	}
	return names, lost
}

// apply gives each source without a leader its leader, starts loops for nodes
// that have none, and counts the sources that are still without.
func (f *Fetcher) apply(ctx context.Context, g *errgroup.Group, m Metadata) (lost int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, s := range f.sources {
		leader, epoch, err := m.leader(s)
		if err != nil {
			s.lastErr = err
			s.leader = -1
			lost++
			continue
		}
		s.leader, s.leaderEpoch = leader, epoch
		wake, running := f.loops[leader]
		if !running {
			wake = make(chan struct{}, 1)
			f.loops[leader] = wake
			g.Go(func() error {
				f.loop(ctx, leader, wake)
				return nil
			})
		}
		nudge(wake)
	}
	return lost
}

func (m Metadata) leader(s *Source) (node, epoch int32, err error) {
	t := m.Topic(s.topic)
	if t == nil {
		return 0, 0, kafka.UnknownTopicOrPartition
	}
	if t.Err != nil {
		return 0, 0, t.Err
	}
	if s.id != (TopicID{}) && t.ID != s.id {
		return 0, 0, ErrRecreated
	}
	for _, p := range t.Partitions {
		if p.Partition == s.part {
			if p.Leader < 0 {
				return 0, 0, ErrNoLeader
			}
			return p.Leader, p.LeaderEpoch, nil
		}
	}
	return 0, 0, kafka.UnknownTopicOrPartition
}

// loop asks one node for its partitions, one request at a time.
func (f *Fetcher) loop(ctx context.Context, node int32, wake chan struct{}) {
	var (
		req     fetchRequest
		version int16
		fails   int
	)
	for ctx.Err() == nil {
		wait := f.collect(node, &req)
		if len(req.parts) == 0 {
			sleep(ctx, wait, wake)
			continue
		}
		var err error
		if version == 0 {
			version, err = f.client.fetchVersion(ctx, node)
		}
		if err == nil {
			err = f.client.fetch(ctx, node, version, &req)
		}
		f.deliver(&req, err, fails+1)
		if err == nil {
			fails = 0
			if req.throttle > 0 {
				// The broker mutes us for so long anyway; waiting for its answer
				// would look like a broker that is away.
				sleep(ctx, req.throttle, nil)
			}
			continue
		}
		if ctx.Err() != nil {
			return
		}
		version = 0 // the broker that comes back may be another one
		f.stats.failed(err)
		if fails++; fails == 1 {
			f.log.Warn().Err(err).Int32("node", node).Msg("fetching failed, trying on")
		}
		nudge(f.refresh)
		sleep(ctx, backoff(fails), nil)
	}
}

// A full partition may become hungry at any time, but its node's only request
// may be waiting for data of the others: then the broker is told to wait no
// longer than this.
const shortWait = 10 * time.Millisecond

// collect fills req with the partitions of a node that have room. It returns how
// long to sleep when there are none.
func (f *Fetcher) collect(node int32, req *fetchRequest) time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	req.parts = req.parts[:0]
	req.wait = f.client.cfg.MaxWait
	now, pause := time.Now(), time.Minute
	for _, s := range f.sources {
		if s.leader != node || s.inFlight || s.held {
			continue
		}
		if d := s.notBefore.Sub(now); d > 0 {
			pause = min(pause, d)
			req.wait = min(req.wait, max(d, shortWait))
			continue
		}
		if len(s.free) == 0 {
			req.wait = min(req.wait, shortWait)
			continue
		}
		a := s.free[len(s.free)-1]
		s.free = s.free[:len(s.free)-1]
		s.inFlight = true
		a.offset, a.epoch, a.seek = s.offset, s.epoch, s.seek
		a.set, a.aborted = a.set[:0], a.aborted[:0]
		limit := min(max(s.need, f.client.cfg.MaxPartitionBytes), f.client.cfg.MaxBatchBytes)
		req.parts = append(req.parts, fetchPart{source: s, answer: a, leaderEpoch: s.leaderEpoch, limit: limit, first: s.need > 0})
	}
	// The broker fills its answer from the front and gives a batch over the limit
	// only to the first partition with data: take turns, those with a cut off
	// batch before the others.
	if n := len(req.parts); n > 1 {
		slices.SortStableFunc(req.parts, func(a, b fetchPart) int { return order(a, b) })
		req.turn++
		k := req.turn % n
		for req.parts[0].first && !req.parts[k].first {
			k = (k + 1) % n
		}
		slices.Reverse(req.parts[:k])
		slices.Reverse(req.parts[k:])
		slices.Reverse(req.parts)
		// Partitions of one topic side by side are one entry of the request.
		req.group()
	}
	return pause
}

func order(a, b fetchPart) int {
	switch {
	case a.first == b.first:
		return 0
	case a.first:
		return -1
	}
	return 1
}

// deliver takes the partitions of a request back, with their answers.
func (f *Fetcher) deliver(req *fetchRequest, err error, fails int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i := range req.parts {
		p := &req.parts[i]
		s, a := p.source, p.answer
		s.inFlight = false
		switch {
		case err != nil:
			s.free = append(s.free, a)
			s.lastErr = err
			s.fails = fails
			s.notBefore = time.Now().Add(backoff(fails))
		case a.seek != s.seek, !p.answered:
			s.free = append(s.free, a)
		case p.err != nil:
			s.free = append(s.free, a)
			f.refused(s, p)
		default:
			f.accepted(s, p)
		}
	}
}

// refused handles a partition that the broker answered with an error.
func (f *Fetcher) refused(s *Source, p *fetchPart) {
	var diverged *Truncated
	switch {
	case errors.As(p.err, &diverged):
		f.stats.Truncated.Add(1)
		s.trouble, s.held = p.err, true
		nudge(s.wake)
		return
	case errors.Is(p.err, kafka.OffsetOutOfRange):
		f.stats.OutOfRange.Add(1)
		s.trouble, s.held = &OutOfRange{Topic: s.topic, Partition: s.part, Wanted: p.answer.offset}, true
		nudge(s.wake)
		return
	}
	// Leadership moved, the topic is gone, or something that time may heal: look
	// at the metadata again and try on.
	f.stats.failed(p.err)
	s.fails++
	if s.fails == 1 {
		f.log.Info().Err(p.err).Str("topic", s.topic).Int32("partition", s.part).Msg("partition refused, asking for its leader again")
	}
	s.lastErr = p.err
	s.leader = -1
	s.notBefore = time.Now().Add(backoff(s.fails))
	nudge(f.refresh)
}

// accepted queues an answer for the worker.
func (f *Fetcher) accepted(s *Source, p *fetchPart) {
	a := p.answer
	s.marks, s.marksSeen = a.marks, false
	if len(a.set) == 0 {
		s.fails, s.lastErr = 0, nil
		s.free = append(s.free, a)
		nudge(s.wake)
		return
	}
	next, epoch, whole, need, sound := scan(a.set, a.offset, a.epoch, f.client.cfg.MaxBatchBytes)
	if whole == 0 && sound {
		s.free = append(s.free, a)
		if s.need >= need { // asked for as much already and did not get it
			s.fails++
			s.notBefore = time.Now().Add(backoff(s.fails))
		}
		s.need = need
		return
	}
	s.need = 0
	if sound && next == a.offset { // nothing but what lies before: never in a tight loop
		s.fails++
		s.notBefore = time.Now().Add(backoff(s.fails))
	} else {
		s.fails, s.lastErr = 0, nil
	}
	a.next = next
	s.offset, s.epoch = next, epoch
	s.held = !sound
	s.ready = append(s.ready, a)
	nudge(s.wake)
}

// Fetch returns the next answer, waiting for it. It takes back the memory of the
// one before, and goes on where that walk stopped: a walk ended early is
// continued from its Offset, and a batch that failed is fetched again after a
// pause. It returns [*OutOfRange] and [*Truncated] for the worker to decide,
// [ErrStopped], or the context's error.
func (s *Source) Fetch(ctx context.Context) (*Fetched, error) {
	s.giveBack()
	for {
		got, trouble := s.take()
		if trouble != nil {
			return nil, s.explain(ctx, trouble)
		}
		if got {
			return &s.fetched, nil
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-s.fetcher.stopped:
			return nil, ErrStopped
		case <-s.wake:
		}
	}
}

// giveBack frees the buffer of the walk before, and goes back to where it
// stopped when that is not its end.
func (s *Source) giveBack() {
	f := s.fetcher
	f.mu.Lock()
	defer f.mu.Unlock()
	a := s.current
	if a == nil {
		return
	}
	s.current = nil
	s.release(a)
	switch {
	case s.walker.Err() != nil:
		s.errs++
		s.rewind(s.walker.Offset(), s.walker.LeaderEpoch())
		s.notBefore = time.Now().Add(backoff(s.errs))
	case s.walker.Offset() != a.next:
		s.rewind(s.walker.Offset(), s.walker.LeaderEpoch())
	default:
		s.errs = 0
		if len(s.ready) == 0 && s.trouble == nil {
			s.held = false
		}
	}
	s.wakeLoop()
}

// release takes a buffer back; one grown for a large batch is let go.
func (s *Source) release(a *answer) {
	if cap(a.set) > 4*s.fetcher.client.cfg.MaxPartitionBytes {
		a.set = nil
	}
	s.free = append(s.free, a)
}

// rewind drops what was fetched ahead and sets the offset to fetch next.
func (s *Source) rewind(offset int64, epoch int32) {
	s.seek++
	for _, a := range s.ready {
		s.release(a)
	}
	s.ready = s.ready[:0]
	s.offset, s.epoch = offset, epoch
	s.held, s.need, s.trouble = false, 0, nil
	s.notBefore = time.Time{}
}

func (s *Source) wakeLoop() {
	if wake, ok := s.fetcher.loops[s.leader]; ok {
		nudge(wake)
	}
}

// take moves the next answer into the worker's hands. Without one, watermarks
// that came with an empty answer are an answer of their own.
func (s *Source) take() (got bool, trouble error) {
	f := s.fetcher
	f.mu.Lock()
	defer f.mu.Unlock()
	var m marks
	switch {
	case len(s.ready) > 0:
		a := s.ready[0]
		s.ready = slices.Delete(s.ready, 0, 1)
		s.current, m = a, a.marks
		s.walker.reset(a.set, a.offset, a.epoch, a.aborted)
		if len(s.ready) == 0 {
			s.marksSeen = true
		}
	case s.trouble != nil:
		trouble, s.trouble = s.trouble, nil
		return false, trouble
	case !s.marksSeen:
		s.marksSeen = true
		m = s.marks
		s.walker.reset(nil, s.offset, s.epoch, nil)
	default:
		return false, nil
	}
	s.fetched = Fetched{Walker: s.walker, HighWatermark: m.high, LastStable: m.stable, LogStart: m.start, At: m.at}
	return true, nil
}

// explain completes an OutOfRange with the ends of the log as they are now. When
// those cannot be had it returns that error; the next Fetch tries again.
func (s *Source) explain(ctx context.Context, trouble error) error {
	var out *OutOfRange
	if errors.As(trouble, &out) {
		var err error
		if out.Start, err = s.fetcher.client.ListOffset(ctx, s.topic, s.part, LogStart); err == nil {
			out.End, err = s.fetcher.client.ListOffset(ctx, s.topic, s.part, LogEnd)
		}
		if err != nil {
			trouble = err
		}
	}
	// A worker that calls Fetch again without a SeekTo is told again, in a while.
	f := s.fetcher
	f.mu.Lock()
	s.held = false
	s.notBefore = time.Now().Add(time.Second)
	s.wakeLoop()
	f.mu.Unlock()
	return trouble
}

// SeekTo goes on at offset, whose record before has the given leader epoch, -1
// when not known. What was fetched ahead is dropped, and the memory of the last
// answer is taken back.
func (s *Source) SeekTo(offset int64, epoch int32) {
	f := s.fetcher
	f.mu.Lock()
	defer f.mu.Unlock()
	if s.current != nil {
		s.release(s.current)
		s.current = nil
	}
	s.errs = 0
	s.rewind(offset, epoch)
	s.walker.reset(nil, offset, epoch, nil)
	s.wakeLoop()
}

// SourceState is how a partition stands, for people and metrics.
type SourceState struct {
	Topic     string
	ID        TopicID
	Partition int32
	// Offset is the next one to fetch; up to two answers before it may be waiting
	// for the worker or in its hands.
	Offset                              int64
	HighWatermark, LastStable, LogStart int64 // zero before the first answer
	At                                  time.Time
	Leader                              int32 // -1: unknown
	Err                                 error // what keeps it from being fetched, nil when all is well
}

// Lag is the number of offsets between the fetched and the readable end.
func (s SourceState) Lag() int64 { return max(0, s.LastStable-s.Offset) }

// State tells how the partition stands.
func (s *Source) State() SourceState {
	f := s.fetcher
	f.mu.Lock()
	defer f.mu.Unlock()
	return SourceState{
		Topic: s.topic, ID: s.id, Partition: s.part, Offset: s.offset,
		HighWatermark: s.marks.high, LastStable: max(s.marks.stable, s.end), LogStart: s.marks.start,
		At: s.marks.at, Leader: s.leader, Err: s.lastErr,
	}
}

// States tells how all partitions stand.
func (f *Fetcher) States() []SourceState {
	f.mu.Lock()
	sources := slices.Clone(f.sources)
	f.mu.Unlock()
	states := make([]SourceState, len(sources))
	for i, s := range sources {
		states[i] = s.State()
	}
	return states
}

// Ends asks for the ends of partitions that nothing was fetched of since then,
// because their worker waits: what is behind them grows meanwhile, and has to
// be seen. It changes nothing but what States shows. A partition whose end
// cannot be had is asked for again with the next call.
func (f *Fetcher) Ends(ctx context.Context, since time.Time) {
	f.mu.Lock()
	sources := slices.Clone(f.sources)
	f.mu.Unlock()
	for _, s := range sources {
		if st := s.State(); st.At.IsZero() || !st.At.Before(since) {
			continue
		}
		end, err := f.client.ListOffset(ctx, s.topic, s.part, LogEnd)
		if err != nil {
			continue
		}
		f.mu.Lock()
		s.end = end
		f.mu.Unlock()
	}
}

// fetchRequest is one request to one node; it is reused.
type fetchRequest struct {
	parts    []fetchPart
	wait     time.Duration
	throttle time.Duration // by quota, as the answer says
	turn     int
}

type fetchPart struct {
	source      *Source
	answer      *answer
	leaderEpoch int32
	limit       int
	first       bool

	answered bool
	err      error
}

// group brings partitions of one topic together, keeping the first of each in
// its place.
func (r *fetchRequest) group() {
	for i := 1; i < len(r.parts); i++ {
		for j := i; j > 1 && r.parts[j].source.topic != r.parts[j-1].source.topic && r.follows(j); j-- {
			r.parts[j], r.parts[j-1] = r.parts[j-1], r.parts[j]
		}
	}
}

// follows says whether a partition of the same topic stands before j.
func (r *fetchRequest) follows(j int) bool {
	for _, p := range r.parts[:j] {
		if p.source.topic == r.parts[j].source.topic {
			return true
		}
	}
	return false
}

// find returns the partition of an answer: by id where given, else by name.
func (r *fetchRequest) find(topic string, id TopicID, partition int32) *fetchPart {
	for i := range r.parts {
		s := r.parts[i].source
		if s.part == partition && (topic == s.topic || topic == "" && id == s.id) {
			return &r.parts[i]
		}
	}
	return nil
}

// fetch sends one Fetch and reads the answer into the buffers of its partitions.
func (c *Client) fetch(ctx context.Context, node int32, version int16, req *fetchRequest) error {
	for i := range req.parts {
		if req.parts[i].source.id == (TopicID{}) {
			version = 11
		}
	}
	total := 0
	for i := range req.parts {
		req.parts[i].answered, req.parts[i].err = false, nil
		total = min(total+req.parts[i].limit, 1<<30)
	}
	r := request{protocol.Fetch, version, version >= 12}
	err := c.call(ctx, node, r, req.wait+c.cfg.RequestTimeout, func(e *encoder) {
		e.i32(-1)
		e.i32(int32(req.wait.Milliseconds()))
		e.i32(1)
		e.i32(int32(total))
		e.i8(int8(c.cfg.Isolation))
		e.i32(0)  // no session
		e.i32(-1) // and none wanted
		e.array(req.runs())
		for i := 0; i < len(req.parts); {
			s := req.parts[i].source
			n := 1
			for i+n < len(req.parts) && req.parts[i+n].source.topic == s.topic {
				n++
			}
			if version >= 13 {
				e.b = append(e.b, s.id[:]...)
			} else {
				e.str(s.topic)
			}
			e.array(n)
			for _, p := range req.parts[i : i+n] {
				e.i32(p.source.part)
				e.i32(p.leaderEpoch)
				e.i64(p.answer.offset)
				if version >= 12 {
					e.i32(p.answer.epoch)
				}
				e.i64(-1)
				e.i32(int32(p.limit))
				e.tags()
			}
			e.tags()
			i += n
		}
		e.array(0) // forgotten topics
		e.str("")  // rack
		e.tags()
	}, func(d *decoder) error { return c.readFetch(d, version, req) })
	if err != nil {
		return err
	}
	c.stats.Fetches.Add(1)
	return nil
}

// runs counts the runs of partitions of one topic.
func (r *fetchRequest) runs() int {
	n := 0
	for i := range r.parts {
		if i == 0 || r.parts[i].source.topic != r.parts[i-1].source.topic {
			n++
		}
	}
	return n
}

func (c *Client) readFetch(d *decoder, version int16, req *fetchRequest) error {
	req.throttle = time.Duration(d.i32()) * time.Millisecond
	if err := code(d.i16()); err != nil {
		return err
	}
	d.i32() // session
	for n := d.array(); n > 0 && d.err == nil; n-- {
		var topic string
		var id TopicID
		if version >= 13 {
			id = d.id()
		} else {
			topic = d.str()
		}
		for n := d.array(); n > 0 && d.err == nil; n-- {
			c.readPartition(d, req, topic, id)
		}
		d.tags(nil)
	}
	return d.err
}

func (c *Client) readPartition(d *decoder, req *fetchRequest, topic string, id TopicID) {
	p := req.find(topic, id, d.i32())
	if p == nil {
		p = &fetchPart{answer: new(answer)} // not asked for: read and forgotten
	}
	a := p.answer
	err := code(d.i16())
	a.marks = marks{high: d.i64(), stable: d.i64(), start: d.i64()}
	if c.cfg.Isolation == ReadUncommitted {
		a.marks.stable = a.marks.high
	}
	for n := d.array(); n > 0 && d.err == nil; n-- {
		a.aborted = append(a.aborted, Aborted{Producer: d.i64(), First: d.i64()})
		d.tags(nil)
	}
	d.i32() // preferred replica
	c.readRecords(d, a)
	d.tags(func(tag uint64) {
		if tag != 0 || p.source == nil {
			return
		}
		epoch, end := d.i32(), d.i64()
		d.tags(nil)
		if err == nil && epoch >= 0 && end >= 0 {
			err = &Truncated{Topic: p.source.topic, Partition: p.source.part, Wanted: a.offset, Epoch: epoch, End: end}
		}
	})
	a.marks.at = faultpoint.Now()
	p.answered, p.err = true, err
}

// readRecords reads the batches of one partition into its buffer. Of a batch over
// the limit only the header is kept, for its offsets.
func (c *Client) readRecords(d *decoder, a *answer) {
	n := d.bytes()
	if n <= 0 {
		return
	}
	var head [lengthless]byte
	if !d.read(head[:min(n, len(head))]) {
		return
	}
	keep := n
	if first := int(int32(binary.BigEndian.Uint32(head[atLength:]))) + lengthless; first > c.cfg.MaxBatchBytes {
		keep = min(n, batchHeader)
	}
	keep = min(keep, c.cfg.MaxBatchBytes)
	a.set = slices.Grow(a.set, keep)[:keep]
	d.read(a.set[copy(a.set, head[:]):])
	d.discard(n - keep)
	c.stats.FetchedBytes.Add(int64(keep))
	c.stats.Oversized.Add(int64(n - keep))
}
