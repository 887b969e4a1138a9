package schemas

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"time"
)

// Baseline is what healthy data of one model looked like. `modelwatch
// profile` writes it; its content hash names it.
type Baseline struct {
	Format  string           `json:"format"` // BaselineFormat
	Model   string           `json:"model"`
	Version string           `json:"version,omitempty"` // of the model, where known
	Source  string           `json:"source"`            // what it was made from, for people
	From    time.Time        `json:"from,omitzero"`     // event time, where the data had one
	To      time.Time        `json:"to,omitzero"`
	Window  Duration         `json:"window,omitzero"` // length of the windows behind Healthy; 0 when there was no time column
	Rows    uint64           `json:"rows"`
	Columns []BaselineColumn `json:"columns"` // sorted by role and name
	Hash    string           `json:"hash"`    // "sha256:…" of the rest; see Seal
}

// BaselineFormat is the name of the present form.
const BaselineFormat = "modelwatch.baseline/1"

// BaselineColumn is the healthy form of one column.
type BaselineColumn struct {
	Name       string           `json:"name"`
	Role       Role             `json:"role"`
	Type       ColumnType       `json:"type"`
	Edges      []float64        `json:"edges,omitempty"`      // as in SpecColumn
	Categories []string         `json:"categories,omitempty"` // as in SpecColumn
	Anchor     float64          `json:"anchor,omitempty"`
	Unit       float64          `json:"unit,omitempty"`
	Streams    []BaselineStream `json:"streams"` // the whole (Slice "") first, then slices by name
}

// BaselineStream is the healthy form of one column in one slice.
type BaselineStream struct {
	Slice   string   `json:"slice"`
	Rows    uint64   `json:"rows"`
	Present uint64   `json:"present"`
	Absent  uint64   `json:"absent"`
	Nulls   uint64   `json:"nulls"` // null, NaN and the infinities are counted apart
	NaNs    uint64   `json:"nans"`
	Infs    uint64   `json:"infs"`
	Bad     uint64   `json:"bad"`
	Bins    []uint64 `json:"bins"` // len(Edges)+1, or len(Categories)+1 with the unseen last
	Mean    *float64 `json:"mean,omitempty"`
	SD      *float64 `json:"sd,omitempty"`
	Min     *float64 `json:"min,omitempty"`
	Max     *float64 `json:"max,omitempty"`
	// Healthy says, by channel, how healthy windows of length Window behave.
	Healthy map[string]Healthy `json:"healthy,omitempty"`
}

// Healthy is the law that detectors/budget has fitted to its statistic of a
// channel:
//
//	y = Level + Slope·(time, damped) + season + a + ε
//
// with a an AR(1) process of sd Noise and ε of known sampling variance.
type Healthy struct {
	Fitted   int       `json:"fitted,omitempty"`   // windows behind what follows; 0: nothing was fitted
	Days     float64   `json:"days,omitempty"`     // from the first to the last of them
	Until    int64     `json:"until,omitempty"`    // end of the last, Unix milliseconds
	Rows     float64   `json:"rows,omitempty"`     // mean values (or rows) of a window
	Sampling float64   `json:"sampling,omitempty"` // mean known sampling variance of a window
	Level    float64   `json:"level,omitempty"`    // of the channel, on its own scale
	Season   []float64 `json:"season,omitempty"`   // 24 hours, 24 weekend hours, 7 weekdays from Monday; adds up to 0 over a week
	Share    float64   `json:"share,omitempty"`    // of the variance over the reference that is season
	Phi      float64   `json:"phi,omitempty"`      // autocorrelation from one window to the next
	Noise    float64   `json:"noise,omitempty"`    // stationary sd of a
	Tail     float64   `json:"tail,omitempty"`     // degrees of freedom of the innovations, a whole number
	Scale    float64   `json:"scale,omitempty"`    // of the standardised innovations, at its upper 95 % limit
	LevelSD  float64   `json:"level_sd,omitempty"` // of the level from week to week, beyond a
	LevelSE  float64   `json:"level_se,omitempty"` // standard error of Level
	Dead     float64   `json:"dead,omitempty"`     // dead zone: the shift that is still healthy
	Honesty  float64   `json:"honesty,omitempty"`  // p-value of "this reference is honest", after Dead was grown
	Slope    float64   `json:"slope,omitempty"`    // of the level at Until, a day; volume only
	SlopeSE  float64   `json:"slope_se,omitempty"` // its standard error
	Holidays int       `json:"holidays,omitempty"` // days of the calendar among the windows
	Cut      int       `json:"cut,omitempty"`      // windows that were left out as incidents
}

// Column returns the column of that role and name, nil when there is none.
func (b *Baseline) Column(role Role, name string) *BaselineColumn {
	for i := range b.Columns {
		if c := &b.Columns[i]; c.Role == role && c.Name == name {
			return c
		}
	}
	return nil
}

// Stream returns the stream of that slice, nil when there is none.
func (c *BaselineColumn) Stream(slice string) *BaselineStream {
	for i := range c.Streams {
		if c.Streams[i].Slice == slice {
			return &c.Streams[i]
		}
	}
	return nil
}

// Seal sets Hash from the content.
func (b *Baseline) Seal() error {
	h, err := b.contentHash()
	if err != nil {
		return err
	}
	b.Hash = h
	return nil
}

// ParseBaseline reads a baseline file and checks that it is as it was written,
// by this program or by one with fields that this one does not know, which are
// left out. It does not check that rows can be counted by it; Validate does.
func ParseBaseline(body []byte) (*Baseline, error) {
	b := new(Baseline)
	if err := json.Unmarshal(body, b); err != nil {
		return nil, err
	}
	if b.wrote(body) {
		return b, nil
	}
	// Other white space, or another order of the keys, is no change.
	strict := json.NewDecoder(bytes.NewReader(body))
	strict.DisallowUnknownFields()
	b = new(Baseline)
	if err := strict.Decode(b); err != nil {
		return nil, err
	}
	return b, b.Verify()
}

// wrote says whether body is what a program wrote that gave it b's hash. The
// hash stands last, and is that of the same bytes without it.
func (b *Baseline) wrote(body []byte) bool {
	var file bytes.Buffer
	if err := json.Compact(&file, body); err != nil {
		return false
	}
	rest, ok := bytes.CutSuffix(file.Bytes(), []byte(b.Hash+`"}`))
	if !ok {
		return false
	}
	return b.Hash == hashOf(append(slices.Clone(rest), `"}`...))
}

// Verify reports whether the content still has the hash that stands in it.
func (b *Baseline) Verify() error {
	h, err := b.contentHash()
	if err != nil {
		return err
	}
	if h != b.Hash {
		return fmt.Errorf("baseline of %s was changed after it was written: its content has hash %s, it says %s; write it anew with `modelwatch profile`", b.Model, h, b.Hash)
	}
	return nil
}

func (b *Baseline) contentHash() (string, error) {
	c := *b
	c.Hash = ""
	body, err := json.Marshal(&c)
	if err != nil {
		return "", fmt.Errorf("hashing baseline of %s: %w", b.Model, err)
	}
	return hashOf(body), nil
}

func hashOf(body []byte) string {
	sum := sha256.Sum256(body)
	return "sha256:" + hex.EncodeToString(sum[:])
}
