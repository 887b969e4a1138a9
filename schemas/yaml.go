package schemas

import (
	"errors"
	"fmt"
	"math"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// MaxYAMLBytes is the greatest size of a file that people write.
const MaxYAMLBytes = 1 << 20

// maxYAMLNodes bounds a file after its aliases are filled in, so that a few
// lines of nested aliases cannot become gigabytes.
const maxYAMLNodes = 100_000

// maxYAMLDepth bounds nesting, because the parser recurses.
const maxYAMLDepth = 64

// YAMLKind is the form of a YAML node.
type YAMLKind uint8

// The forms of a YAML node.
const (
	YAMLNull YAMLKind = iota + 1
	YAMLBool
	YAMLInt
	YAMLFloat
	YAMLString
	YAMLMap
	YAMLList
)

// String returns the form in words, as messages use it.
func (k YAMLKind) String() string {
	names := [...]string{"", "nothing", "true or false", "a whole number", "a number", "text", "a mapping", "a list"}
	if int(k) < len(names) {
		return names[k]
	}
	return ""
}

// YAML is one node of a YAML file with its place; aliases and merge keys are filled in.
type YAML struct {
	File         string
	Line, Column int
	Path         string
	Kind         YAMLKind
	Text         string      // of a scalar as it was written; of a string without its quotes
	Number       float64     // of YAMLInt and YAMLFloat
	Entries      []YAMLEntry // of a map, in the order of the file, no key twice
	Items        []*YAML     // of a list
}

// YAMLEntry is one key of a map.
type YAMLEntry struct {
	Key   *YAML // its Text is the key; its Path is that of the value
	Value *YAML
}

// Get returns the value of a key, nil when there is none or n is not a map.
func (n *YAML) Get(key string) *YAML {
	if n == nil {
		return nil
	}
	for _, e := range n.Entries {
		if e.Key.Text == key {
			return e.Value
		}
	}
	return nil
}

// At follows keys and returns the deepest node that exists, so that a problem
// of a default is shown at what it belongs to.
func (n *YAML) At(keys ...string) *YAML {
	for _, k := range keys {
		next := n.Get(k)
		if next == nil {
			return n
		}
		n = next
	}
	return n
}

// YAMLDecoder is implemented by types that may be written in more than one
// form; DecodeYAML notes in p whatever is wrong.
type YAMLDecoder interface {
	DecodeYAML(n *YAML, p *Problems)
}

// exponent is a number with an exponent and no point, as 1e15.
var exponent = regexp.MustCompile(`^[-+]?[0-9]+[eE][-+]?[0-9]+$`)

// ParseYAML reads one YAML document. Every problem is noted in p; it returns
// nil when there is no tree to go on with. An empty file gives an empty map.
func ParseYAML(file string, body []byte, p *Problems) *YAML {
	whole := &YAML{File: file, Line: 1, Column: 1, Path: "$", Kind: YAMLMap}
	if len(body) > MaxYAMLBytes {
		p.Add(whole, fmt.Sprintf("the file has %d bytes", len(body)), "at most 1 MiB is read")
		return nil
	}
	if !utf8.Valid(body) {
		p.Add(whole, "the file is not UTF-8 text", "save it as UTF-8")
		return nil
	}
	doc, err := parseDocument(strings.TrimPrefix(string(body), "\ufeff"))
	if err != nil {
		at := *whole
		message := err.Error()
		var syntax yaml.Error
		if errors.As(err, &syntax) {
			message = syntax.GetMessage()
			if t := syntax.GetToken(); t != nil && t.Position != nil {
				at.Line, at.Column = t.Position.Line, t.Position.Column
			}
		}
		at.Path = ""
		p.Add(&at, "not valid YAML: "+message, "")
		return nil
	}
	if doc == nil {
		return whole
	}
	b := &treeBuilder{file: file, problems: p, anchors: map[string]ast.Node{}}
	root := b.build(doc, "$", 0)
	if root == nil || b.nodes > maxYAMLNodes {
		return nil
	}
	if root.Kind == YAMLNull {
		return whole
	}
	return root
}

// parseDocument returns the body of the only document, nil for an empty file.
func parseDocument(text string) (body ast.Node, err error) {
	defer func() {
		// The parser is other people's code and the text may be anything; a
		// panic of it is a property of the file, not of this program.
		if r := recover(); r != nil {
			err = fmt.Errorf("the parser gave up (%v)", r)
		}
	}()
	if err := boundNesting(text); err != nil {
		return nil, err
	}
	tokens := lexer.Tokenize(text)
	f, err := parser.Parse(tokens, 0, parser.AllowDuplicateMapKey())
	if err != nil {
		return nil, err
	}
	for _, d := range f.Docs {
		if d.Body == nil {
			continue
		}
		if body != nil {
			return nil, fmt.Errorf("the file has more than one document (line %d); write one file for each", d.Body.GetToken().Position.Line)
		}
		body = d.Body
	}
	return body, nil
}

// The parser takes time with the square of the entries of a map and of the
// length of a line; these bounds keep it to seconds whatever the file holds,
// and leave room for every rule of MaxFeatures features on a line of its own.
const (
	maxYAMLLines     = 20_000
	maxYAMLLineBytes = 64 << 10
)

// boundNesting refuses text that would send the recursive parser deeper, or
// keep it longer, than any real file: it counts brackets that are not closed,
// openings that stand on one line, and the indentation. It may count what
// stands in quotes too, which only makes it stricter.
func boundNesting(text string) error {
	flow := 0
	line := 1
	for l := range strings.Lines(text) {
		if line > maxYAMLLines {
			return fmt.Errorf("the file has more than %d lines", maxYAMLLines)
		}
		if len(l) > maxYAMLLineBytes {
			return fmt.Errorf("line %d has more than %d bytes", line, maxYAMLLineBytes)
		}
		indent := len(l) - len(strings.TrimLeft(l, " -?&!:"))
		opened := 0
		for i := range len(l) {
			switch l[i] {
			case '[', '{':
				flow++
				opened++
			case ']', '}':
				flow = max(0, flow-1)
			case '-', '?', ':', '&', '!':
				if i+1 < len(l) && l[i+1] == ' ' && l[i] != ':' || l[i] == '&' || l[i] == '!' {
					opened++
				}
			}
		}
		if flow > maxYAMLDepth || indent > 4*maxYAMLDepth {
			return fmt.Errorf("line %d is nested more than %d deep", line, maxYAMLDepth)
		}
		if opened > 4096 {
			return fmt.Errorf("line %d has more than 4096 brackets and marks", line)
		}
		line++
	}
	return nil
}

type treeBuilder struct {
	file     string
	problems *Problems
	anchors  map[string]ast.Node
	open     []string // anchors being filled in
	nodes    int
}

// build turns a node of the parser into ours; nil after a problem that leaves no value.
func (b *treeBuilder) build(node ast.Node, path string, depth int) *YAML {
	n := &YAML{File: b.file, Path: path, Line: 1, Column: 1}
	if node == nil {
		n.Kind = YAMLNull
		return n
	}
	if t := node.GetToken(); t != nil && t.Position != nil {
		n.Line, n.Column = t.Position.Line, t.Position.Column
	}
	b.nodes++
	if b.nodes > maxYAMLNodes || depth > maxYAMLDepth {
		if b.nodes <= maxYAMLNodes || b.nodes == maxYAMLNodes+1 {
			b.problems.Add(n, fmt.Sprintf("the file is nested more than %d deep or has more than %d values with its aliases filled in", maxYAMLDepth, maxYAMLNodes), "")
		}
		b.nodes = maxYAMLNodes + 1
		return nil
	}
	switch v := node.(type) {
	case *ast.NullNode:
		n.Kind = YAMLNull
	case *ast.BoolNode:
		n.Kind, n.Text = YAMLBool, v.Token.Value
	case *ast.IntegerNode:
		n.Kind, n.Text = YAMLInt, v.Token.Value
		switch i := v.Value.(type) {
		case int64:
			n.Number = float64(i)
		case uint64:
			n.Number = float64(i)
		default:
			n.Kind = YAMLString
		}
	case *ast.FloatNode:
		n.Kind, n.Text, n.Number = YAMLFloat, v.Token.Value, v.Value
	case *ast.InfinityNode:
		n.Kind, n.Text, n.Number = YAMLFloat, v.Token.Value, v.Value
	case *ast.NanNode:
		n.Kind, n.Text, n.Number = YAMLFloat, v.Token.Value, math.NaN()
	case *ast.StringNode:
		n.Kind, n.Text = YAMLString, v.Value
		if v.Token.Type == token.StringType && exponent.MatchString(v.Value) {
			// A float of YAML 1.2 that the parser takes for text.
			if f, err := strconv.ParseFloat(v.Value, 64); err == nil {
				n.Kind, n.Number = YAMLFloat, f
			}
		}
	case *ast.LiteralNode:
		n.Kind = YAMLString
		if v.Value != nil {
			n.Text = v.Value.Value
		}
	case *ast.TagNode:
		return b.tagged(v, path, depth, n)
	case *ast.AnchorNode:
		if v.Name != nil && v.Name.GetToken() != nil {
			name := v.Name.GetToken().Value
			b.anchors[name] = v.Value
			b.open = append(b.open, name)
			defer func() { b.open = b.open[:len(b.open)-1] }()
		}
		return b.build(v.Value, path, depth+1)
	case *ast.AliasNode:
		return b.alias(v, path, depth, n)
	case *ast.SequenceNode:
		n.Kind = YAMLList
		for i, item := range v.Values {
			if whole := unsplit(item); v.IsFlowStyle && whole != nil {
				item = whole
			}
			if c := b.build(item, path+"["+strconv.Itoa(i)+"]", depth+1); c != nil {
				n.Items = append(n.Items, c)
			}
		}
	case *ast.MappingNode:
		n.Kind = YAMLMap
		if len(v.Values) > 0 && !v.IsFlowStyle {
			// The parser places a block map at its first colon.
			if t := v.Values[0].Key.GetToken(); t != nil && t.Position != nil {
				n.Line, n.Column = t.Position.Line, t.Position.Column
			}
		}
		b.entries(n, v.Values, path, depth)
	case *ast.MappingValueNode:
		n.Kind = YAMLMap
		if t := v.Key.GetToken(); t != nil && t.Position != nil {
			n.Line, n.Column = t.Position.Line, t.Position.Column
		}
		b.entries(n, []*ast.MappingValueNode{v}, path, depth)
	default:
		b.problems.Add(n, "this form of YAML is not read here", "")
		return nil
	}
	return n
}

// unsplit undoes what the parser does to `{brokers: [kafka:9092]}`: inside a
// flow map it takes the colon of a list's item for that of a map, although
// YAML wants a space after it. It returns nil where the item is a map indeed.
func unsplit(item ast.Node) ast.Node {
	if m, ok := item.(*ast.MappingNode); ok && len(m.Values) == 1 && (m.Start == nil || m.Start.Type != token.MappingStartType) {
		item = m.Values[0]
	}
	e, ok := item.(*ast.MappingValueNode)
	if !ok || e.Start == nil || e.Key == nil || e.Value == nil {
		return nil
	}
	key, colon, value := e.Key.GetToken(), e.Start, e.Value.GetToken()
	if _, scalar := e.Value.(ast.ScalarNode); !scalar || key == nil || value == nil || key.Indicator != token.NotIndicator || value.Indicator != token.NotIndicator {
		return nil
	}
	end := key.Position.Column + utf8.RuneCountInString(key.Value)
	if key.Position.Line != value.Position.Line || colon.Position.Column != end || value.Position.Column != end+1 {
		return nil
	}
	joined := *key
	joined.Value += ":" + value.Value
	return ast.String(&joined)
}

func (b *treeBuilder) tagged(v *ast.TagNode, path string, depth int, n *YAML) *YAML {
	c := b.build(v.Value, path, depth+1)
	if c == nil {
		return nil
	}
	switch tag := v.Start.Value; tag {
	case "!!str":
		if c.Kind == YAMLMap || c.Kind == YAMLList {
			b.problems.Add(n, "!!str stands before "+c.Kind.String(), "")
			return nil
		}
		c.Kind = YAMLString
	case "!!int", "!!float", "!!bool", "!!null", "!!map", "!!seq":
		// What they say is what the value says, or the wrong type is noted where it is used.
	default:
		b.problems.Add(n, fmt.Sprintf("the tag %q is not read here", tag), "leave it out")
		return nil
	}
	return c
}

func (b *treeBuilder) alias(v *ast.AliasNode, path string, depth int, n *YAML) *YAML {
	name := ""
	if v.Value != nil && v.Value.GetToken() != nil {
		name = v.Value.GetToken().Value
	}
	target, ok := b.anchors[name]
	if !ok {
		b.problems.Add(n, fmt.Sprintf("nothing before this line is anchored as &%s", name), "")
		return nil
	}
	for _, o := range b.open {
		if o == name {
			b.problems.Add(n, fmt.Sprintf("*%s stands inside itself", name), "")
			return nil
		}
	}
	b.open = append(b.open, name)
	defer func() { b.open = b.open[:len(b.open)-1] }()
	return b.build(target, path, depth+1)
}

// entries fills a map; keys of the map itself win over merged ones.
func (b *treeBuilder) entries(n *YAML, values []*ast.MappingValueNode, path string, depth int) {
	seen := map[string]*YAML{}
	var merges []ast.Node
	for _, e := range values {
		if e.Key != nil && e.Key.IsMergeKey() {
			merges = append(merges, e.Value)
			continue
		}
		key := b.build(e.Key, path, depth+1)
		if key == nil {
			continue
		}
		if key.Kind == YAMLMap || key.Kind == YAMLList {
			b.problems.Add(key, "a key must be plain text, not "+key.Kind.String(), "")
			continue
		}
		key.Path = path + yamlStep(key.Text)
		if first := seen[key.Text]; first != nil {
			b.problems.Add(key, fmt.Sprintf("key `%s` is there twice; it first stands on line %d", key.Text, first.Line), "remove one")
			continue
		}
		seen[key.Text] = key
		value := b.build(e.Value, key.Path, depth+1)
		if value == nil {
			continue
		}
		if value.Kind == YAMLNull && value.Text == "" {
			value.Line, value.Column = key.Line, key.Column
		}
		n.Entries = append(n.Entries, YAMLEntry{Key: key, Value: value})
	}
	for _, m := range merges {
		b.merge(n, b.build(m, path, depth+1), seen)
	}
}

func (b *treeBuilder) merge(n, from *YAML, seen map[string]*YAML) {
	switch {
	case from == nil:
	case from.Kind == YAMLList:
		for _, i := range from.Items {
			b.merge(n, i, seen)
		}
	case from.Kind == YAMLMap:
		for _, e := range from.Entries {
			if seen[e.Key.Text] == nil {
				seen[e.Key.Text] = e.Key
				n.Entries = append(n.Entries, e)
			}
		}
	default:
		b.problems.Add(from, "<< takes a mapping, not "+from.Kind.String(), "")
	}
}

var plainStep = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_-]*$`)

func yamlStep(key string) string {
	if plainStep.MatchString(key) {
		return "." + key
	}
	return "['" + strings.ReplaceAll(key, "'", "''") + "']"
}

// Decode fills into, a pointer, from n and notes every problem in p. Structs
// are read by their `yaml:"key"` tags: unknown keys are problems with the
// nearest known key, null leaves the default that stands in the field. The
// tag option `scalar` lets a string be written as a number or true/false too,
// where it names a value of the stream.
func (n *YAML) Decode(into any, p *Problems) {
	n.decode(reflect.ValueOf(into).Elem(), false, p)
}

var (
	durationType = reflect.TypeFor[Duration]()
	stdDuration  = reflect.TypeFor[time.Duration]()
)

func (n *YAML) decode(v reflect.Value, scalar bool, p *Problems) {
	if v.CanAddr() && v.Kind() != reflect.Pointer {
		if d, ok := v.Addr().Interface().(YAMLDecoder); ok {
			d.DecodeYAML(n, p)
			return
		}
	}
	if n.Kind == YAMLNull {
		return
	}
	if v.Type() == durationType || v.Type() == stdDuration {
		if d, ok := n.duration(p); ok {
			v.SetInt(int64(d))
		}
		return
	}
	switch v.Kind() {
	case reflect.Pointer:
		if v.IsNil() {
			v.Set(reflect.New(v.Type().Elem()))
		}
		n.decode(v.Elem(), scalar, p)
	case reflect.String:
		if n.Kind == YAMLString || scalar && n.Kind < YAMLMap {
			v.SetString(n.Text)
			return
		}
		n.wrongType(p, "text", `write it in quotes`)
	case reflect.Bool:
		if n.Kind == YAMLBool {
			v.SetBool(n.Text[0] == 't' || n.Text[0] == 'T')
			return
		}
		n.wrongType(p, "true or false", "")
	case reflect.Int, reflect.Int64, reflect.Int32:
		if n.Kind != YAMLInt || math.Abs(n.Number) >= 1<<53 || v.OverflowInt(int64(n.Number)) {
			n.wrongType(p, "a whole number", "")
			return
		}
		v.SetInt(int64(n.Number))
	case reflect.Float64:
		if n.Kind != YAMLInt && n.Kind != YAMLFloat {
			n.wrongType(p, "a number", "")
			return
		}
		if math.IsNaN(n.Number) || math.IsInf(n.Number, 0) {
			p.Add(n, n.Text+" is not a finite number", "")
			return
		}
		v.SetFloat(n.Number)
	case reflect.Slice:
		n.decodeList(v, scalar, p)
	case reflect.Map:
		n.decodeMap(v, p)
	case reflect.Struct:
		n.decodeStruct(v, p)
	case reflect.Interface:
		v.Set(reflect.ValueOf(n.Interface()))
	default:
		panic("schemas: no YAML form for " + v.Type().String())
	}
}

func (n *YAML) duration(p *Problems) (time.Duration, bool) {
	hint := "write it like 90s, 10m, 24h or 28d"
	switch n.Kind {
	case YAMLString:
		d, err := ParseDuration(n.Text)
		if err != nil {
			p.Add(n, fmt.Sprintf("%q is not a duration", n.Text), hint)
			return 0, false
		}
		return d, true
	case YAMLInt:
		if n.Number == 0 {
			return 0, true
		}
		p.Add(n, n.Text+" is not a duration", "write it with its unit, like "+n.Text+"s")
	default:
		n.wrongType(p, "a duration", hint)
	}
	return 0, false
}

func (n *YAML) wrongType(p *Problems, want, hint string) {
	got := n.Kind.String()
	if n.Kind < YAMLMap && n.Text != "" {
		got += " (" + shorten(n.Text) + ")"
	}
	p.Add(n, "expected "+want+", got "+got, hint)
}

func shorten(s string) string {
	if utf8.RuneCountInString(s) > 40 {
		return string([]rune(s)[:40]) + "…"
	}
	return s
}

func (n *YAML) decodeList(v reflect.Value, scalar bool, p *Problems) {
	if n.Kind != YAMLList {
		hint := "write it as [a, b]"
		if n.Kind == YAMLString && len(n.Text) <= 40 {
			hint = "write it as [" + n.Text + "]"
		}
		n.wrongType(p, "a list", hint)
		return
	}
	list := reflect.MakeSlice(v.Type(), len(n.Items), len(n.Items))
	for i, item := range n.Items {
		if item.Kind == YAMLNull {
			item.wrongType(p, "a value", "remove the empty entry")
			continue
		}
		item.decode(list.Index(i), scalar, p)
	}
	v.Set(list)
}

func (n *YAML) decodeMap(v reflect.Value, p *Problems) {
	if n.Kind != YAMLMap {
		n.wrongType(p, "a mapping", "write it as `name: {…}`")
		return
	}
	m := reflect.MakeMapWithSize(v.Type(), len(n.Entries))
	for _, e := range n.Entries {
		value := reflect.New(v.Type().Elem()).Elem()
		e.Value.decode(value, false, p)
		m.SetMapIndex(reflect.ValueOf(e.Key.Text).Convert(v.Type().Key()), value)
	}
	v.Set(m)
}

func (n *YAML) decodeStruct(v reflect.Value, p *Problems) {
	if n.Kind != YAMLMap {
		n.wrongType(p, "a mapping", "")
		return
	}
	t := v.Type()
	known := make([]string, 0, t.NumField())
	for i := range t.NumField() {
		if name := yamlName(t.Field(i)); name != "" {
			known = append(known, name)
		}
	}
	for _, e := range n.Entries {
		field := -1
		for i := range t.NumField() {
			if name := yamlName(t.Field(i)); name != "" && name == e.Key.Text {
				field = i
				break
			}
		}
		if field < 0 {
			p.Add(e.Key, "unknown key `"+shorten(e.Key.Text)+"`", DidYouMean(e.Key.Text, known))
			continue
		}
		_, option, _ := strings.Cut(t.Field(field).Tag.Get("yaml"), ",")
		e.Value.decode(v.Field(field), option == "scalar", p)
	}
}

func yamlName(f reflect.StructField) string {
	name, _, _ := strings.Cut(f.Tag.Get("yaml"), ",")
	if name == "-" || !f.IsExported() {
		return ""
	}
	return name
}

// Interface returns the plain Go value of the node: nil, bool, float64,
// string, []any or map[string]any.
func (n *YAML) Interface() any {
	if n == nil {
		return nil
	}
	switch n.Kind {
	case YAMLBool:
		return n.Text[0] == 't' || n.Text[0] == 'T'
	case YAMLInt, YAMLFloat:
		return n.Number
	case YAMLString:
		return n.Text
	case YAMLList:
		out := make([]any, len(n.Items))
		for i, c := range n.Items {
			out[i] = c.Interface()
		}
		return out
	case YAMLMap:
		out := make(map[string]any, len(n.Entries))
		for _, e := range n.Entries {
			out[e.Key.Text] = e.Value.Interface()
		}
		return out
	}
	return nil
}

// QuoteYAML writes a string so that a YAML reader gives it back: plain where
// that is safe, else in double quotes.
func QuoteYAML(s string) string {
	if plainScalar.MatchString(s) && !token.IsNeedQuoted(s) {
		return s
	}
	return strconv.Quote(s)
}

var plainScalar = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_./-]*$`)
