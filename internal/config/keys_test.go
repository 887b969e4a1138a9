package config_test

import (
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/modelwatch/modelwatch/internal/config"
)

// TestKeys_AreThoseOfTheSettings walks the types, so that a new key cannot be
// forgotten as a flag.
func TestKeys_AreThoseOfTheSettings(t *testing.T) {
	var want []string
	var walk func(path string, of reflect.Type)
	walk = func(path string, of reflect.Type) {
		if of.Kind() == reflect.Pointer {
			of = of.Elem()
		}
		if of == reflect.TypeFor[config.Secret]() || strings.HasSuffix(path, ".embedded") {
			return
		}
		if of.Kind() != reflect.Struct {
			want = append(want, path)
			return
		}
		if _, ok := of.FieldByName("Embedded"); ok {
			want = append(want, path)
		}
		for i := range of.NumField() {
			name, _, _ := strings.Cut(of.Field(i).Tag.Get("yaml"), ",")
			walk(strings.TrimPrefix(path+"."+name, "."), of.Field(i).Type)
		}
	}
	walk("", reflect.TypeFor[config.Settings]())
	var got []string
	for _, k := range config.Keys() {
		got = append(got, k.Name)
		if k.Usage == "" {
			t.Errorf("%s says nothing", k.Name)
		}
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
}
