// Package generate makes JSON Schemas from Go types and their comments. Only
// the tests that keep the shipped schemas in step use it; the program
// carries the schemas themselves.
package generate

import (
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"path"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/invopop/jsonschema"

	"github.com/modelwatch/modelwatch/schemas"
)

const module = "github.com/modelwatch/modelwatch"

// ID is the beginning of the ids of all schemas. It is a name and no address:
// nothing is fetched.
const ID = "urn:modelwatch:schema:"

// Options say how a type becomes a schema.
type Options struct {
	Title string
	// Tag is the struct tag that names keys: json, or yaml for files that
	// people write. Keys are required by it in the way of each.
	Tag string
	// Open lets keys come that the schema does not know, so that messages may gain some.
	Open bool
	// Folders hold the sources of the types, relative to the module's root,
	// by their path from the working directory.
	Folders map[string]string
	// Map gives the schema of a type that is not written as its fields say; nil for the usual one.
	Map func(reflect.Type) *jsonschema.Schema
	// Change edits the finished definition of a type.
	Change func(name string, s *jsonschema.Schema)
}

// Generate returns the indented schema of the type of v under that name.
func Generate(name string, v any, o Options) ([]byte, error) {
	r := &jsonschema.Reflector{
		Anonymous: true, ExpandedStruct: true, FieldNameTag: o.Tag,
		AllowAdditionalProperties: o.Open, RequiredFromJSONSchemaTags: o.Tag == "yaml",
	}
	enums := map[string][]any{}
	for _, folder := range slices.Sorted(maps.Keys(o.Folders)) {
		base := path.Join(module, folder)
		if err := comments(r, base, o.Folders[folder]); err != nil {
			return nil, fmt.Errorf("reading comments of %s: %w", folder, err)
		}
		if err := constants(o.Folders[folder], enums); err != nil {
			return nil, fmt.Errorf("reading constants of %s: %w", folder, err)
		}
	}
	r.Mapper = func(t reflect.Type) *jsonschema.Schema {
		if o.Map != nil {
			if s := o.Map(t); s != nil {
				return s
			}
		}
		return known(t, enums)
	}
	s := r.Reflect(v)
	s.ID = jsonschema.ID(ID + name)
	s.Title = o.Title
	if o.Change != nil {
		o.Change(reflect.TypeOf(v).Elem().Name(), s)
		for n, d := range s.Definitions {
			o.Change(n, d)
		}
	}
	body, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("writing schema %s: %w", name, err)
	}
	return append(body, '\n'), nil
}

// known gives the schema of the types that marshal as text.
func known(t reflect.Type, enums map[string][]any) *jsonschema.Schema {
	switch t {
	case reflect.TypeFor[schemas.Duration]():
		return &jsonschema.Schema{Type: "string", Pattern: `^[+-]?([0-9.]+[dw]|([0-9.]+(ns|us|µs|ms|s|m|h))+|0)$`, Examples: []any{"90s", "10m", "24h", "28d"}}
	case reflect.TypeFor[schemas.Moment]():
		return &jsonschema.Schema{Type: "string", Pattern: `^\d{4}-\d\d-\d\d(T.+)?$`, Examples: []any{"2026-12-25", "2026-12-25T08:00:00Z"}}
	case reflect.TypeFor[time.Time]():
		return &jsonschema.Schema{Type: "string", Format: "date-time"}
	case reflect.TypeFor[schemas.Role]():
		return &jsonschema.Schema{Type: "integer", Enum: roles(), Description: "1 rows, 2 feature, 3 prediction, 4 score, 5 label, 6 latency"}
	}
	if e := enums[t.Name()]; t.Kind() == reflect.String && t.PkgPath() == module+"/schemas" && len(e) > 0 {
		return &jsonschema.Schema{Type: "string", Enum: e}
	}
	return nil
}

func roles() []any {
	var out []any
	for _, r := range []schemas.Role{schemas.RoleRows, schemas.RoleFeature, schemas.RolePrediction, schemas.RoleScore, schemas.RoleLabel, schemas.RoleLatency} {
		out = append(out, int(r))
	}
	return out
}

// comments takes the comments of the sources as descriptions, on one line each.
func comments(r *jsonschema.Reflector, base, folder string) error {
	fresh := jsonschema.Reflector{}
	if err := fresh.AddGoComments("", folder); err != nil {
		return err
	}
	if r.CommentMap == nil {
		r.CommentMap = map[string]string{}
	}
	for key, text := range fresh.CommentMap {
		// Folders below this one are other packages.
		if name, ok := strings.CutPrefix(key, path.Clean(filepath.ToSlash(folder))+"."); ok {
			r.CommentMap[base+"."+name] = strings.Join(strings.Fields(text), " ")
		}
	}
	return nil
}

// constants collects the values of typed string constants by their type.
func constants(folder string, into map[string][]any) error {
	files, err := filepath.Glob(filepath.Join(folder, "*.go"))
	if err != nil {
		return err
	}
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		for _, d := range f.Decls {
			if g, ok := d.(*ast.GenDecl); ok && g.Tok == token.CONST {
				for _, s := range g.Specs {
					constant(s.(*ast.ValueSpec), into) //nolint:forcetypeassert // the parser makes no other of const
				}
			}
		}
	}
	return nil
}

func constant(s *ast.ValueSpec, into map[string][]any) {
	t, ok := s.Type.(*ast.Ident)
	if !ok {
		return
	}
	for _, v := range s.Values {
		if lit, ok := v.(*ast.BasicLit); ok && lit.Kind == token.STRING {
			if text, err := strconv.Unquote(lit.Value); err == nil {
				into[t.Name] = append(into[t.Name], text)
			}
		}
	}
}
