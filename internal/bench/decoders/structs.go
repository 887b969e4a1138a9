package main

import (
	"reflect"
	"unsafe"
)

// shape is a Go struct of an event with its features, made for the columns of
// a workload: the form in which most decoders are fastest. Its values are
// reached by their place, without reflection, so that only decoding counts.
type shape struct {
	value  any // pointer to the struct
	base   unsafe.Pointer
	member []uintptr // of the event's own texts
	field  []uintptr // of the features, by column
	c      *columns
}

func newShape(c *columns) *shape {
	var fields []reflect.StructField
	for i, name := range c.names {
		t := reflect.TypeFor[*float64]()
		if c.text[i] {
			t = reflect.TypeFor[*string]()
		}
		fields = append(fields, reflect.StructField{Name: "F" + name, Type: t, Tag: reflect.StructTag(`json:"` + name + `"`)})
	}
	features := reflect.StructOf(fields)
	var event []reflect.StructField
	for _, name := range [...]string{"id", "model", "version", "ts"} {
		event = append(event, reflect.StructField{Name: "E" + name, Type: reflect.TypeFor[string](), Tag: reflect.StructTag(`json:"` + name + `"`)})
	}
	event = append(event, reflect.StructField{Name: "Features", Type: features, Tag: `json:"features"`})
	whole := reflect.StructOf(event)
	v := reflect.New(whole)
	s := &shape{value: v.Interface(), base: v.UnsafePointer(), c: c}
	last := whole.NumField() - 1
	for i := range last {
		s.member = append(s.member, whole.Field(i).Offset)
	}
	for i := range features.NumField() {
		s.field = append(s.field, whole.Field(last).Offset+features.Field(i).Offset)
	}
	return s
}

// take passes the values of the struct on to the columns.
func (s *shape) take() {
	for _, at := range s.member {
		s.c.arena = append(s.c.arena, *(*string)(unsafe.Add(s.base, at))...)
	}
	for i, at := range s.field {
		if s.c.text[i] {
			if v := *(**string)(unsafe.Add(s.base, at)); v != nil {
				s.c.arena = append(s.c.arena, *v...)
				s.c.ends[i][s.c.rows], s.c.null[i][s.c.rows] = len(s.c.arena), false
				continue
			}
		} else if v := *(**float64)(unsafe.Add(s.base, at)); v != nil {
			s.c.number(i, *v)
			continue
		}
		s.c.none(i)
	}
}
