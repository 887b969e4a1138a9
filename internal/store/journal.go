package store

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/modelwatch/modelwatch/internal/faultpoint"
	"github.com/modelwatch/modelwatch/schemas"
)

// ErrHole is returned by Append for a step whose predecessor is not there.
var ErrHole = errors.New("the step before is missing")

// The kinds of a journal row.
const (
	kindStep     = "step"
	kindVerdict  = "verdict"
	kindIncident = "incident"
	kindRequest  = "request"
	kindMessage  = "message"
)

// journalTable is one step in rows: one of kind step, and one for each
// verdict, incident, request and message.
type journalTable struct {
	model                           string
	step                            uint64
	writer                          string
	hash                            uint64
	time                            int64
	models, kinds                   list[string]
	steps, hashes                   list[uint64]
	writers                         list[string]
	times                           list[int64]
	ordinals                        list[uint32]
	subjects, bodies                list[string]
	inputs, parameters, states      list[string]
	versions, features, slices      list[string]
	roles                           list[uint8]
	windows                         list[int64]
	channels, verdicts, reasons     list[string]
	effects, lows, expected, highs  list[float64]
	ps                              list[float64]
	ns, revisions                   list[uint64]
	scratch                         []byte
	subject, body, input, parameter string
	state                           string
	verdict                         schemas.Verdict
}

// add appends a row of what is set, and unsets it.
func (t *journalTable) add(kind string, ordinal int) {
	t.models.add(t.model)
	t.steps.add(t.step)
	t.kinds.add(kind)
	t.ordinals.add(uint32(ordinal))
	t.writers.add(t.writer)
	t.hashes.add(t.hash)
	t.times.add(t.time)
	t.subjects.add(t.subject)
	t.bodies.add(t.body)
	t.inputs.add(t.input)
	t.parameters.add(t.parameter)
	t.states.add(t.state)
	v := &t.verdict
	t.versions.add(v.Version)
	t.roles.add(uint8(v.Role))
	t.features.add(v.Feature)
	t.slices.add(v.Slice)
	t.windows.add(v.Start)
	t.channels.add(v.Channel)
	t.verdicts.add(string(v.State))
	t.effects.add(v.Effect)
	t.lows.add(v.Low)
	t.expected.add(v.Expected)
	t.highs.add(v.High)
	t.ps.add(v.P)
	t.ns.add(v.N)
	t.revisions.add(v.Revision)
	t.reasons.add(v.Reason)
	t.subject, t.body, t.input, t.parameter, t.state, t.verdict = "", "", "", "", "", schemas.Verdict{}
}

func (t *journalTable) columns() columns {
	return columns{
		{"model", &t.models},
		{"step", &t.steps},
		{"kind", &t.kinds},
		{"ordinal", &t.ordinals},
		{"writer", &t.writers},
		{"hash", &t.hashes},
		{"time", &t.times},
		{"subject", &t.subjects},
		{"body", &t.bodies},
		{"inputs", &t.inputs},
		{"parameters", &t.parameters},
		{"state", &t.states},
		{"version", &t.versions},
		{"role", &t.roles},
		{"feature", &t.features},
		{"slice", &t.slices},
		{"window_start", &t.windows},
		{"channel", &t.channels},
		{"verdict", &t.verdicts},
		{"effect", &t.effects},
		{"low", &t.lows},
		{"expected", &t.expected},
		{"high", &t.highs},
		{"p", &t.ps},
		{"n", &t.ns},
		{"revision", &t.revisions},
		{"reason", &t.reasons},
	}
}

// digest mixes p into the hash by which a writer knows its own step again.
func (t *journalTable) digest(p []byte) {
	t.scratch = binary.LittleEndian.AppendUint64(t.scratch[:0], t.hash)
	t.hash = schemas.Hash(append(t.scratch, p...))
}

// journalRows lays out a step.
func journalRows(step *schemas.Step) (*journalTable, error) {
	t := &journalTable{model: step.Model, step: step.Step, writer: step.Writer, time: step.At.UnixMilli()}
	incidents, err := marshalAll(step.Incidents)
	if err != nil {
		return nil, err
	}
	requests, err := marshalAll(step.Requests)
	if err != nil {
		return nil, err
	}
	envelopes := make([]schemas.Message, len(step.Outbox))
	for i, m := range step.Outbox {
		envelopes[i] = m
		envelopes[i].Body = nil
	}
	outbox, err := marshalAll(envelopes)
	if err != nil {
		return nil, err
	}
	for _, p := range [][]byte{step.Inputs, step.Parameters, step.State} {
		t.digest(p)
	}
	for _, all := range [][][]byte{incidents, requests, outbox} {
		for _, p := range all {
			t.digest(p)
		}
	}
	for i := range step.Outbox {
		t.digest(step.Outbox[i].Body)
	}

	t.input, t.parameter, t.state = string(step.Inputs), string(step.Parameters), string(step.State)
	t.add(kindStep, 0)
	for i := range step.Verdicts {
		t.verdict = step.Verdicts[i]
		t.add(kindVerdict, i)
	}
	for i := range step.Incidents {
		t.subject, t.body = step.Incidents[i].Incident, string(incidents[i])
		t.add(kindIncident, i)
	}
	for i := range step.Requests {
		t.subject, t.body = step.Requests[i].Request, string(requests[i])
		t.add(kindRequest, i)
	}
	for i := range step.Outbox {
		t.subject, t.body, t.parameter = step.Outbox[i].ID, string(step.Outbox[i].Body), string(outbox[i])
		t.add(kindMessage, i)
	}
	return t, nil
}

func marshalAll[T any](all []T) ([][]byte, error) {
	out := make([][]byte, len(all))
	for i := range all {
		p, err := json.Marshal(&all[i])
		if err != nil {
			return nil, err
		}
		out[i] = p
	}
	return out, nil
}

// Append writes a step of a model's journal and says whether it is this step
// that counts under its number. Of any number of writers of one number one
// wins, whole, and the others must drop their work and read LastStep; so must
// a writer whose number is past already. Appending the same step again, after
// an error that left the outcome open, says what became of it.
//
// Step.Writer must tell apart all who may write the same number; it is an
// error when it is empty. A number whose predecessor is missing is refused with ErrHole.
func (s *Store) Append(ctx context.Context, step schemas.Step) (won bool, err error) {
	what := fmt.Sprintf("appending step %d of %s", step.Step, step.Model)
	if step.Step == 0 || step.Writer == "" {
		return false, fmt.Errorf("%s: %w: a step has a number from 1 and a writer", what, errUsage)
	}
	t, err := journalRows(&step)
	if err != nil {
		return false, fmt.Errorf("%s: %w", what, err)
	}
	last, err := s.maxStep(ctx, step.Model)
	if err != nil {
		return false, fmt.Errorf("%s: %w", what, err)
	}
	if step.Step > last+1 {
		return false, fmt.Errorf("%s: %w: the last one is %d", what, ErrHole, last)
	}
	if step.Step == last+1 {
		token := fmt.Sprintf("%s/%d", step.Model, step.Step)
		rows := t.columns()
		err = s.forever(ctx, what, func(ctx context.Context) error { return s.insertOnce(ctx, "journal", token, rows) })
		if err != nil {
			return false, err
		}
		faultpoint.Reach(faultpoint.Journal)
	}
	err = s.read(ctx, what, `SELECT writer = {writer:String} AND hash = {hash:UInt64} FROM journal
		WHERE model = {model:String} AND step = {step:UInt64} AND kind = 'step' ORDER BY at, writer LIMIT 1`,
		bound{"model": step.Model, "step": step.Step, "writer": step.Writer, "hash": t.hash},
		func() { won = false },
		func(row driver.Rows) error {
			var mine uint8
			err := row.Scan(&mine)
			won = mine != 0
			return err
		})
	return won, err
}

func (s *Store) maxStep(ctx context.Context, model string) (uint64, error) {
	var last uint64
	err := s.read(ctx, "reading the last step of "+model, `SELECT step FROM journal WHERE model = {model:String} ORDER BY model DESC, step DESC LIMIT 1`, bound{"model": model},
		func() {}, func(row driver.Rows) error { return row.Scan(&last) })
	return last, err
}

// LastStep returns the number, writer, time, inputs, parameters and state of
// the last step of a model; nil when it has none.
func (s *Store) LastStep(ctx context.Context, model string) (*schemas.Step, error) {
	last, err := s.maxStep(ctx, model)
	if err != nil || last == 0 {
		return nil, err
	}
	return s.Step(ctx, model, last)
}

// Step returns what LastStep does of any step; nil when there is no such step.
func (s *Store) Step(ctx context.Context, model string, number uint64) (*schemas.Step, error) {
	var step *schemas.Step
	err := s.read(ctx, fmt.Sprintf("reading step %d of %s", number, model), `SELECT writer, time, inputs, parameters, state FROM journal
		WHERE model = {model:String} AND step = {step:UInt64} AND kind = 'step' ORDER BY at, writer LIMIT 1`,
		bound{"model": model, "step": number},
		func() { step = nil },
		func(row driver.Rows) error {
			var at int64
			var inputs, parameters, state []byte
			found := &schemas.Step{Model: model, Step: number}
			if err := row.Scan(&found.Writer, &at, &inputs, &parameters, &state); err != nil {
				return err
			}
			found.At = time.UnixMilli(at).UTC()
			found.Inputs, found.Parameters, found.State = clone(inputs), clone(parameters), clone(state)
			step = found
			return nil
		})
	return step, err
}

// clone copies what the connection may reuse; nothing becomes nil.
func clone(p []byte) []byte {
	if len(p) == 0 {
		return nil
	}
	return append([]byte(nil), p...)
}
