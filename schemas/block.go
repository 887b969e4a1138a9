package schemas

import (
	"unsafe"

	"github.com/cespare/xxhash/v2"
)

// BlockRows is the most rows a Block holds.
const BlockRows = 512

// Kind says what stood on the wire for one value, before any monitor says what was expected.
type Kind uint8

// The kinds of a value. NaN and the infinities may be written as the strings
// "NaN", "Infinity", "-Infinity" and their usual spellings.
const (
	KindAbsent Kind = iota // the key is not there
	KindNull
	KindNaN
	KindPosInf
	KindNegInf
	KindNumber
	KindText
	KindBool   // text is "true" or "false"
	KindNested // an object or a list: no column can hold it
)

// Text is a span of a block's own bytes; read it with Block.Bytes.
type Text struct{ Off, Len uint32 }

// Column holds the values of one column for the rows of a block. All slices
// have an entry for each row that the block has room for.
type Column struct {
	Kind []Kind
	Num  []float64 // set where Kind is KindNumber
	Text []Text    // set where Kind is KindText or KindBool, and for KindNumber where the layout's column is Textual: the number as it was written
	Hash []uint64  // Hash of the text wherever Text is set
}

// Extra is a feature that the layout does not know.
type Extra struct {
	Row  int32
	Name Text
}

// Block holds up to BlockRows decoded events of one model, in the order of
// the log, as a struct of arrays. It is reused: nothing in it may be kept
// after Reset. How rows are cut into blocks changes no result.
type Block struct {
	Layout *Layout
	N      int

	Offset    []int64  // of the record in its partition
	Timestamp []int64  // of the record, Unix milliseconds
	Time      []int64  // of the event, Unix milliseconds; the record's where the event has none
	Parts     []Part   // at least one
	ID        []uint64 // Hash of the id; 0 where the event has none
	IDText    []Text
	Version   []Text // empty where the event has none
	Columns   []Column
	Extra     []Extra // at most MaxExtra a row

	arena []byte
	kept  int // bytes of the arena that belong to committed rows
	begun int // rows that have been begun since Reset, committed or not
}

// MaxExtra is how many unknown features of one row are remembered by name.
const MaxExtra = 4

// NewBlock returns an empty block of BlockRows rows for the columns of l.
func NewBlock(l *Layout) *Block { return NewBlockOf(l, BlockRows) }

// NewBlockOf returns an empty block for the columns of l with room for so many
// rows, from 1 to BlockRows.
func NewBlockOf(l *Layout, rows int) *Block {
	rows = min(max(rows, 1), BlockRows)
	b := &Block{
		Layout: l,
		Offset: make([]int64, rows), Timestamp: make([]int64, rows), Time: make([]int64, rows),
		Parts: make([]Part, rows), ID: make([]uint64, rows), IDText: make([]Text, rows), Version: make([]Text, rows),
		Columns: make([]Column, len(l.Columns)),
	}
	// The columns of a row are written one after the other. Were each an array of
	// its own, all would begin at a page, and all lines of a row would fall into
	// the same few places of the processor's first cache.
	stride, apart := rows+64/8, rows+64
	n := len(b.Columns)
	kinds := make([]Kind, n*apart)
	numbers := make([]float64, n*stride)
	texts := make([]Text, n*stride)
	hashes := make([]uint64, n*stride)
	for i := range b.Columns {
		k, at := i*apart, i*stride
		b.Columns[i] = Column{
			Kind: kinds[k : k+rows : k+rows], Num: numbers[at : at+rows : at+rows],
			Text: texts[at : at+rows : at+rows], Hash: hashes[at : at+rows : at+rows],
		}
	}
	return b
}

// Rows is how many rows the block has room for.
func (b *Block) Rows() int { return len(b.Offset) }

// Full says that no further row fits.
func (b *Block) Full() bool { return b.N == len(b.Offset) }

// Reset empties the block for reuse.
func (b *Block) Reset() {
	for i := range b.Columns {
		clear(b.Columns[i].Kind[:b.begun])
	}
	b.N, b.begun, b.kept = 0, 0, 0
	b.Extra = b.Extra[:0]
	b.arena = b.arena[:0]
}

// Begin clears row N, so that a decoder may fill it; the row counts only
// after Commit. A row that turns out unusable is simply not committed.
func (b *Block) Begin() (row int) {
	row = b.N
	if row < b.begun {
		// It was begun before, and not committed or taken back.
		for i := range b.Columns {
			b.Columns[i].Kind[row] = KindAbsent
		}
		b.Drop()
	}
	b.begun = max(b.begun, row+1)
	b.Parts[row] = 0
	b.ID[row] = 0
	b.IDText[row] = Text{}
	b.Version[row] = Text{}
	return row
}

// Commit counts the row that Begin opened.
func (b *Block) Commit() {
	b.N++
	b.kept = len(b.arena)
}

// Drop forgets the texts and the unknown features of the row that Begin opened
// and that will not be committed.
func (b *Block) Drop() {
	b.arena = b.arena[:b.kept]
	for len(b.Extra) > 0 && b.Extra[len(b.Extra)-1].Row >= int32(b.N) {
		b.Extra = b.Extra[:len(b.Extra)-1]
	}
}

// Keep copies p into the block and returns its span.
func (b *Block) Keep(p []byte) Text {
	off := len(b.arena)
	b.arena = append(b.arena, p...)
	return Text{uint32(off), uint32(len(p))}
}

// Bytes returns the bytes of a span, valid until Reset; they must not be changed.
func (b *Block) Bytes(t Text) []byte { return b.arena[t.Off : t.Off+t.Len : t.Off+t.Len] }

// String returns a copy of the text of a span.
func (b *Block) String(t Text) string { return string(b.Bytes(t)) }

// Hash is the 64-bit hash (XXH64, seed 0) of ids, categories and names
// wherever one is stored or compared. It never changes.
func Hash(p []byte) uint64 { return xxhash.Sum64(p) }

// HashString is Hash of the bytes of s.
func HashString(s string) uint64 {
	return xxhash.Sum64(unsafe.Slice(unsafe.StringData(s), len(s)))
}
