package profile

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"

	"github.com/modelwatch/modelwatch/schemas"
)

// maxLineBytes bounds one line of JSON; a longer one is malformed.
const maxLineBytes = 4 << 20

// maxColumns bounds the columns of a source whose rows name their own.
const maxColumns = 2 * schemas.MaxFeatures

// jsonFile reads one JSON object a line: flat rows, or the product's own
// events, which are told by their `features` object or by `model` beside a
// prediction or label.
type jsonFile struct {
	path    string
	model   string // only events of this model; "" for all
	columns []Column
	index   map[Column]int
	models  map[string]bool // of events
}

func (j *jsonFile) Name() string      { return filepath.Base(j.path) }
func (j *jsonFile) Columns() []Column { return j.columns }

func (j *jsonFile) Rows(ctx context.Context, row func(*Row) error, bad func(int64, string)) error {
	f, err := os.Open(j.path)
	if err != nil {
		return fmt.Errorf("opening data: %w", err)
	}
	defer f.Close()
	return j.read(ctx, f, row, bad)
}

func (j *jsonFile) read(ctx context.Context, in io.Reader, row func(*Row) error, bad func(int64, string)) error {
	if j.index == nil {
		j.index, j.models = map[Column]int{}, map[string]bool{}
	}
	r := bufio.NewReaderSize(in, 256<<10)
	var out Row
	for number := int64(1); ; number++ {
		if number%1024 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		line, tooLong, err := readLine(r)
		if err != nil && !errors.Is(err, io.EOF) {
			return fmt.Errorf("reading %s: %w", j.Name(), err)
		}
		end := err != nil
		if line = bytes.TrimSpace(line); len(line) > 0 || tooLong {
			reason := "longer than 4 MiB"
			use := false
			if !tooLong {
				out.Number = number
				use, reason = j.decode(line, &out)
			}
			if reason != "" {
				bad(number, reason)
			} else if use {
				if err := row(&out); err != nil {
					return err
				}
			}
		}
		if end {
			return nil //nolint:nilerr // the error is the end of the file
		}
	}
}

// readLine returns the next line; of one that is too long it says only that.
func readLine(r *bufio.Reader) (line []byte, tooLong bool, err error) {
	for {
		part, err := r.ReadSlice('\n')
		if len(line)+len(part) > maxLineBytes {
			tooLong, line = true, nil
		}
		if !tooLong {
			line = append(line, part...)
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			return line, tooLong, err
		}
	}
}

// decode fills out from a line. use is false for an event of another model.
func (j *jsonFile) decode(line []byte, out *Row) (use bool, reason string) {
	d := json.NewDecoder(bytes.NewReader(line))
	d.UseNumber()
	var object map[string]any
	if err := d.Decode(&object); err != nil {
		return false, "not a JSON object: " + err.Error()
	}
	if d.More() || object == nil {
		return false, "not one JSON object"
	}
	out.Parts, out.HasTime, out.ID, out.Version = 0, false, "", ""
	out.Values = out.Values[:0]
	features, event := object["features"].(map[string]any)
	model, named := object["model"].(string)
	_, predicts := object["prediction"]
	_, labels := object["label"]
	if !event && !(named && (predicts || labels)) {
		return true, j.put(out, object, 0)
	}
	if named {
		j.models[model] = true
	}
	if j.model != "" && named && model != j.model {
		return false, ""
	}
	if t, ok := eventTime(jsonValue(object["ts"])); ok {
		out.Time, out.HasTime = t, true
	}
	out.ID, out.Version = jsonValue(object["id"]).Text, jsonValue(object["version"]).Text
	if event {
		out.Parts |= schemas.PartFeatures
		if reason := j.put(out, features, schemas.RoleFeature); reason != "" {
			return false, reason
		}
	}
	for _, c := range []struct {
		key  string
		role schemas.Role
	}{{"prediction", schemas.RolePrediction}, {"score", schemas.RoleScore}, {"latency_ms", schemas.RoleLatency}, {"label", schemas.RoleLabel}} {
		v, ok := object[c.key]
		if !ok {
			continue
		}
		out.Parts |= c.role.Part()
		if reason := j.put(out, map[string]any{c.role.String(): v}, c.role); reason != "" {
			return false, reason
		}
	}
	return true, ""
}

// put sets the values of an object, adding columns in the order of their names.
func (j *jsonFile) put(out *Row, object map[string]any, role schemas.Role) (reason string) {
	var unknown []string
	for key, v := range object {
		i, ok := j.index[Column{key, role}]
		if !ok {
			unknown = append(unknown, key)
			continue
		}
		out.set(i, jsonValue(v))
	}
	slices.Sort(unknown)
	for _, key := range unknown {
		if len(j.columns) >= maxColumns {
			return fmt.Sprintf("more than %d different keys", maxColumns)
		}
		j.index[Column{key, role}] = len(j.columns)
		out.set(len(j.columns), jsonValue(object[key]))
		j.columns = append(j.columns, Column{key, role})
	}
	return ""
}

func (r *Row) set(i int, v Value) {
	for len(r.Values) <= i {
		r.Values = append(r.Values, Value{Kind: schemas.KindAbsent})
	}
	r.Values[i] = v
}

func jsonValue(v any) Value {
	switch v := v.(type) {
	case nil:
		return Value{Kind: schemas.KindNull}
	case bool:
		return Value{Kind: schemas.KindBool, Text: strconv.FormatBool(v)}
	case string:
		if w, ok := notFinite(v); ok {
			return w
		}
		return Value{Kind: schemas.KindText, Text: v}
	case json.Number:
		x, err := v.Float64()
		if err != nil {
			return Value{Kind: schemas.KindText, Text: v.String()} // beyond the range of a double
		}
		return Value{Kind: schemas.KindNumber, Num: x, Text: v.String()}
	}
	return Value{Kind: schemas.KindNested}
}
