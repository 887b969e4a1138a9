package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"

	"github.com/go-faster/jx"
	jsonv2 "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	goccy "github.com/goccy/go-json"
	"github.com/minio/simdjson-go"
	"github.com/valyala/fastjson"
)

// decoder reads one line into the next row of its columns.
type decoder func(line []byte) error

// maker prepares a decoder; an error says why it cannot run here.
type maker struct {
	name string
	make func(*columns) (decoder, error)
}

// decoders lists the rivals, each in the forms that their authors advise for
// known members, with whatever they need to use memory again.
var decoders = []maker{
	{"encoding/json map", standardMap},
	{"encoding/json struct", standardStruct},
	{"json/v2 struct", v2Struct},
	{"json/v2 tokens", v2Tokens},
	{"goccy/go-json struct", goccyStruct},
	{"valyala/fastjson", fast},
	{"go-faster/jx", faster},
	{"minio/simdjson-go", simd},
}

func standardMap(c *columns) (decoder, error) {
	return func(line []byte) error {
		var event map[string]any
		if err := json.Unmarshal(line, &event); err != nil {
			return err
		}
		for _, name := range [...]string{"id", "model", "version", "ts"} {
			text, ok := event[name].(string)
			if !ok {
				return errMember
			}
			c.arena = append(c.arena, text...)
		}
		features, ok := event["features"].(map[string]any)
		if !ok {
			return errMember
		}
		for i, name := range c.names {
			switch v := features[name].(type) {
			case float64:
				c.number(i, v)
			case string:
				c.arena = append(c.arena, v...)
				c.ends[i][c.rows], c.null[i][c.rows] = len(c.arena), false
			default:
				c.none(i)
			}
		}
		return nil
	}, nil
}

func standardStruct(c *columns) (decoder, error) {
	s := newShape(c)
	return func(line []byte) error {
		if err := json.Unmarshal(line, s.value); err != nil {
			return err
		}
		s.take()
		return nil
	}, nil
}

func goccyStruct(c *columns) (decoder, error) {
	s := newShape(c)
	return func(line []byte) error {
		if err := goccy.UnmarshalNoEscape(line, s.value); err != nil {
			return err
		}
		s.take()
		return nil
	}, nil
}

func v2Struct(c *columns) (decoder, error) {
	s := newShape(c)
	options := jsonv2.JoinOptions(jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
	return func(line []byte) error {
		if err := jsonv2.Unmarshal(line, s.value, options); err != nil {
			return err
		}
		s.take()
		return nil
	}, nil
}

// source hands out one line.
type source struct{ line []byte }

// Read implements io.Reader.
func (s *source) Read(p []byte) (int, error) {
	n := copy(p, s.line)
	s.line = s.line[n:]
	return n, nil
}

func v2Tokens(c *columns) (decoder, error) {
	from := &source{}
	d := jsontext.NewDecoder(from)
	options := jsonv2.JoinOptions(jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
	features := func() error {
		if _, err := d.ReadToken(); err != nil {
			return err
		}
		for i := 0; d.PeekKind() != '}'; i++ {
			name, err := d.ReadValue()
			if err != nil {
				return err
			}
			at, err := c.of(name[1:len(name)-1], i)
			if err != nil {
				return err
			}
			v, err := d.ReadValue()
			if err != nil {
				return err
			}
			switch v.Kind() {
			case '"':
				c.string(at, v[1:len(v)-1]) // rows have no escapes
			case '0':
				number, err := strconv.ParseFloat(string(v), 64)
				if err != nil {
					return err
				}
				c.number(at, number)
			default:
				c.none(at)
			}
		}
		_, err := d.ReadToken()
		return err
	}
	return func(line []byte) error {
		from.line = line
		d.Reset(from, options)
		if _, err := d.ReadToken(); err != nil {
			return err
		}
		for d.PeekKind() != '}' {
			name, err := d.ReadValue()
			if err != nil {
				return err
			}
			if string(name) == `"features"` {
				if err := features(); err != nil {
					return err
				}
				continue
			}
			v, err := d.ReadValue()
			if err != nil {
				return err
			}
			c.member(v[1 : len(v)-1])
		}
		return nil
	}, nil
}

func fast(c *columns) (decoder, error) {
	var p fastjson.Parser
	var failed error
	at := 0
	visit := func(name []byte, v *fastjson.Value) {
		column, err := c.of(name, at)
		at++
		if err != nil {
			failed = err
			return
		}
		switch v.Type() {
		case fastjson.TypeNumber:
			c.number(column, v.GetFloat64())
		case fastjson.TypeString:
			c.string(column, v.GetStringBytes())
		default:
			c.none(column)
		}
	}
	return func(line []byte) error {
		v, err := p.ParseBytes(line)
		if err != nil {
			return err
		}
		for _, name := range [...]string{"id", "model", "version", "ts"} {
			c.member(v.GetStringBytes(name))
		}
		at, failed = 0, nil
		v.GetObject("features").Visit(visit)
		return failed
	}, nil
}

func faster(c *columns) (decoder, error) {
	d := jx.DecodeBytes(nil)
	at := 0
	feature := func(d *jx.Decoder, name []byte) error {
		column, err := c.of(name, at)
		at++
		if err != nil {
			return err
		}
		switch d.Next() {
		case jx.Number:
			v, err := d.Float64()
			c.number(column, v)
			return err
		case jx.String:
			v, err := d.StrAppend(c.arena)
			c.arena = v
			c.ends[column][c.rows], c.null[column][c.rows] = len(c.arena), false
			return err
		}
		c.none(column)
		return d.Null()
	}
	event := func(d *jx.Decoder, name []byte) error {
		if string(name) == "features" {
			return d.ObjBytes(feature)
		}
		v, err := d.StrAppend(c.arena)
		c.arena = v
		return err
	}
	return func(line []byte) error {
		d.ResetBytes(line)
		at = 0
		return d.ObjBytes(event)
	}, nil
}

func simd(c *columns) (decoder, error) {
	if !simdjson.SupportedCPU() {
		return nil, errors.New("this processor has no AVX2 and CLMUL")
	}
	var parsed *simdjson.ParsedJson
	var root, member simdjson.Iter
	var event, features simdjson.Object
	return func(line []byte) (err error) {
		if parsed, err = simdjson.Parse(line, parsed); err != nil {
			return err
		}
		all := parsed.Iter()
		all.Advance()
		_, object, err := all.Root(&root)
		if err != nil {
			return err
		}
		if _, err = object.Object(&event); err != nil {
			return err
		}
		for {
			name, t, err := event.NextElementBytes(&member)
			if err != nil || t == simdjson.TypeNone {
				return err
			}
			if string(name) != "features" {
				v, err := member.StringBytes()
				if err != nil {
					return err
				}
				c.member(v)
				continue
			}
			if _, err := member.Object(&features); err != nil {
				return err
			}
			if err := simdFeatures(c, &features); err != nil {
				return err
			}
		}
	}, nil
}

func simdFeatures(c *columns, features *simdjson.Object) error {
	var value simdjson.Iter
	for i := 0; ; i++ {
		name, t, err := features.NextElementBytes(&value)
		if err != nil || t == simdjson.TypeNone {
			return err
		}
		at, err := c.of(name, i)
		if err != nil {
			return err
		}
		switch t {
		case simdjson.TypeFloat, simdjson.TypeInt, simdjson.TypeUint:
			v, err := value.Float()
			if err != nil {
				return err
			}
			c.number(at, v)
		case simdjson.TypeString:
			v, err := value.StringBytes()
			if err != nil {
				return err
			}
			c.string(at, v)
		case simdjson.TypeNull:
			c.none(at)
		default:
			return fmt.Errorf("a value of type %s", t)
		}
	}
}
