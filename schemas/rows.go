package schemas

// Chunk names a stretch of the log: everything stored is a pure function of
// a prefix [Start, end) of one chunk.
type Chunk struct {
	Topic     string
	Epoch     Epoch
	Partition int32
	Start     int64 // offset
}

// Epoch tells a topic from one made again under its name: Kafka's topic id,
// and a count of truncations of the log (unclean leader elections) under it.
type Epoch struct {
	TopicID    [16]byte
	Truncation uint32
}

// Progress is how far one partition is stored. Apart from HighWatermark,
// LogStart, LeaderEpoch, IdleSince, RewindSeq and At it is a pure function of the log up to End.
type Progress struct {
	Chunk
	Previous   int64 // start of the chunk before, -1 for none; ids of that chunk are read again on resume
	End        int64 // offset after the last record seen
	SpecSeq    uint64
	RewindSeq  uint64 // the last rewind of the partition that was known when it was read
	ClockStart int64  // running maximum of record timestamps at Start, Unix milliseconds; math.MinInt64 before the first record
	Clock      int64  // the same at End
	Rows       uint64
	Late       uint64
	Rejected   []RejectCount // sorted by reason
	Marks      []Mark        // sorted by model and part
	GapFrom    int64         // offsets lost before Start, GapFrom == GapTo for none
	GapTo      int64

	HighWatermark int64 // what a consumer of the configured isolation can read up to
	LogStart      int64
	LeaderEpoch   int32
	IdleSince     int64 // wall clock, Unix milliseconds, since when End has been the high watermark with nothing left to store; 0 when it is not
	At            int64 // wall clock, Unix milliseconds, of writing
}

// RejectCount counts events of one chunk that could not be used.
type RejectCount struct {
	Reason string
	Count  uint64
}

// Mark is the running maximum of event time of one model's part in one
// partition, and with it the watermark before lateness is taken off.
type Mark struct {
	Model    string
	Part     Part
	MaxStart int64 // at the chunk's start; math.MinInt64 before the first
	Max      int64 // at End
	Rows     uint64

	// How long nothing has come while the partition went on, in milliseconds of
	// record time: at the chunk's start and at End.
	SilentStart int64
	Silent      int64
}

// Silence is the record time for which a part may leave out to deliver while
// its partition goes on, without being called silent; in milliseconds.
const Silence = 10_000

// Reached is the event time up to which the partition is known to have
// delivered the part: Max, and once it has been silent for Silence, as much
// later as that has lasted since. So a model that stops does not hold its
// windows open for as long as others go on in the same partition.
func (m *Mark) Reached() int64 { return m.Max + max(0, m.Silent-Silence) }

// IDRow is the narrow row of one prediction or label, kept for joins.
type IDRow struct {
	Model     string
	ID        uint64
	Part      Part
	Offset    int64
	Time      int64 // Unix milliseconds
	Version   string
	Number    float64 // of the prediction or label; NaN when it is a class or not usable
	Class     string  // of the prediction or label; "" when it is a number
	Score     float64 // NaN when there is none
	LatencyMS float64 // NaN when there is none
}

// Violation is one sampled bad row. Of each (model, fault, feature) in a
// chunk the k smallest ranks are kept.
type Violation struct {
	Model   string
	Version string
	Fault   Fault
	Feature string
	Value   string // as text, cut to 256 bytes
	Reason  string
	Time    int64 // Unix milliseconds
	Offset  int64
	Rank    uint64 // hash of topic id, partition and offset
}

// Trip is the moment at which a per-event rule has been broken often enough,
// in the order of the log, to be a fault and not an odd row. It is the same
// for every reader of the log.
type Trip struct {
	Model       string
	SpecSeq     uint64
	Version     string
	Fault       Fault
	Feature     string
	WindowStart int64  // of the window of the row that tripped it
	Onset       int64  // event time of the first bad row of the run, Unix milliseconds
	Time        int64  // event time of the row that tripped it
	Topic       string // of the partition that it tripped in; set where trips are read from the store
	Partition   int32
	Offset      int64 // of that row
	OnsetOffset int64
	Bad         uint64 // bad rows of the run
	Rows        uint64 // rows of the run
	Value       string // of that row, as text, cut to 256 bytes
	Reason      string
}

// Pane is a short stretch of one model in one partition with a sample of its
// whole rows: the rows of smallest id hash.
type Pane struct {
	Model   string
	SpecSeq uint64
	Seq     uint32 // within the chunk, from 0
	From    int64  // first and last offset
	To      int64
	Start   int64 // least and greatest event time
	End     int64
	Rows    uint64
	Samples []PaneSample
}

// PaneSample is one whole row of a pane.
type PaneSample struct {
	Version    string
	Rank       uint64 // hash of the id, or of the offset where there is none
	Time       int64
	Offset     int64
	Numbers    []float64 // one for each column of the layout of the spec; NaN where it is not a number
	Categories []string  // one for each column; "" where it is not a category
	Kinds      []Kind    // one for each column
}

// Rows is what one partition hands to the store with its partials: all of it
// idempotent by its keys.
type Rows struct {
	Chunk      Chunk
	End        int64 // offset; the version of every row
	IDs        []IDRow
	Violations []Violation
	Trips      []Trip
	Panes      []Pane
	Progress   *Progress // written after all else; nil for none
	Ahead      bool      // Progress speaks of rows whose partials are not stored yet, those of open windows: it is shown, but nobody resumes from it
}

// Resume is what the store knows of one partition under one topic id.
type Resume struct {
	Last        *Progress // of the latest chunk; nil before the first
	PartialsEnd int64     // greatest end offset of the last chunk's rows, -1 for none
	Recreated   bool      // the topic was read before under another id
}
