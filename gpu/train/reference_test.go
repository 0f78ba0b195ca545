package train

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"

	"weft/gpu/train/dataset"
)

// go test ./gpu/train -run TestDocuments -update writes the generated parts of
// docs/ anew.
var update = flag.Bool("update", false, "write the schema and the reference's tables to docs/")

const docs = "../../docs"

// TestDocumentsSchema holds docs/specification.schema.json to Schema.
func TestDocumentsSchema(t *testing.T) {
	path := filepath.Join(docs, "specification.schema.json")
	if *update {
		if err := os.WriteFile(path, Schema(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	file, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(file, Schema()) {
		t.Errorf("%s is not what Schema returns; go test ./gpu/train -run TestDocuments -update writes it", path)
	}
}

var generated = regexp.MustCompile(`(?s)(<!-- begin: ([a-z0-9_ ]+) -->\n).*?(<!-- end -->)`)

// TestDocumentsReference holds the tables of docs/specification.md to the
// specification's table, and checks that none is missing.
func TestDocumentsReference(t *testing.T) {
	path := filepath.Join(docs, "specification.md")
	file, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	tables := referenceTables()
	want := generated.ReplaceAllFunc(file, func(part []byte) []byte {
		m := generated.FindSubmatch(part)
		table, ok := tables[string(m[2])]
		if !ok {
			t.Fatalf("%s asks for a table %q", path, m[2])
		}
		delete(tables, string(m[2]))
		return []byte(string(m[1]) + table + string(m[3]))
	})
	for name := range tables {
		t.Errorf("%s has no place for the table %q", path, name)
	}
	if *update {
		if err := os.WriteFile(path, want, 0o644); err != nil {
			t.Fatal(err)
		}
		file = want
	}
	if !bytes.Equal(file, want) {
		t.Errorf("%s is not up to date; go test ./gpu/train -run TestDocuments -update writes it", path)
	}
}

// Every YAML block of the reference is a whole specification that parses.
func TestDocumentsExamples(t *testing.T) {
	file, err := os.ReadFile(filepath.Join(docs, "specification.md"))
	if err != nil {
		t.Fatal(err)
	}
	v := loadSchema(t)
	blocks := regexp.MustCompile("(?s)```yaml\n(.*?)```").FindAllSubmatch(file, -1)
	if len(blocks) == 0 {
		t.Fatal("the reference has no example")
	}
	for _, b := range blocks {
		// This library takes 1e-3 for a string; weft's client reads it as YAML 1.2 does.
		text := regexp.MustCompile(`\b([0-9]+)e(-?[0-9]+)\b`).ReplaceAll(b[1], []byte("$1.0e$2"))
		js, err := yaml.YAMLToJSON(text)
		if err != nil {
			t.Fatalf("%s\n%v", b[1], err)
		}
		if _, err := Parse(js); err != nil {
			t.Errorf("%s\n%v", b[1], err)
		}
		if err := v.validate(js); err != nil {
			t.Errorf("%s\n%v", b[1], err)
		}
	}
}

// referenceTables renders every object of the specification by its name.
func referenceTables() map[string]string {
	s := new(Spec)
	top := specTable(s)
	tables := map[string]string{"specification": keyTable(top)}
	for _, k := range top.keys {
		switch v := k.val.(type) {
		case dataValue:
			tables["data"] = keyTable(v.object)
			for _, inner := range v.keys {
				if o, ok := inner.val.(object); ok {
					tables["data "+inner.name] = keyTable(o)
				}
			}
		case object:
			tables[k.name] = keyTable(v)
		case earlyStopping:
			tables[k.name] = keyTable(earlyStoppingTable(newEarlyStopping()))
		case choice:
			for _, variant := range v.variants {
				v.set(variant.name)
				tables[k.name+" "+variant.name] = variant.doc + "\n\n" + keyTable(variant.object())
			}
		}
	}
	tables["layers"] = layerTable()
	return tables
}

func keyTable(o object) string {
	var b strings.Builder
	b.WriteString("| key | type | default | range | meaning |\n|---|---|---|---|---|\n")
	for _, k := range o.keys {
		value := "—"
		switch s := k.val.schema(); {
		case k.need:
			value = "required"
		case k.left():
		case len(s.Properties) > 0 || len(s.AnyOf) > 2:
			value = "see below"
			if c, ok := k.val.(choice); ok {
				value = "`" + c.name() + "`"
			}
		case !k.vary:
			value = "`" + strings.Trim(string(written(k.val)), `"`) + "`"
		}
		if value == "``" {
			value = "—"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s | %s |\n", k.name, typeName(k.val), value, rangeOf(k.val), k.doc)
	}
	return b.String()
}

func layerTable() string {
	var b strings.Builder
	b.WriteString("| layer | keys | what it does |\n|---|---|---|\n")
	for i := range layerForms {
		f := &layerForms[i]
		var keys []string
		for _, k := range f.table(new(Layer)).keys {
			text := fmt.Sprintf("`%s` (%s", k.name, typeName(k.val))
			if r := rangeOf(k.val); r != "" {
				text += ", " + r
			}
			switch {
			case k.need:
				text += ", required"
			case !k.vary:
				text += ", default `" + string(written(k.val)) + "`"
			}
			text += "): " + k.doc
			if k.name == f.short {
				text += " May stand alone behind the name."
			}
			keys = append(keys, text)
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s |\n", f.kind, strings.Join(keys, "<br>"), f.doc)
	}
	return b.String()
}

func typeName(v value) string {
	switch v := v.(type) {
	case filePath:
		return "path"
	case seconds:
		return "duration"
	case column:
		return "name or index"
	case pair:
		return "whole number or [height, width]"
	case betas:
		return "two numbers"
	case shape:
		return "whole numbers"
	case layerList:
		return "layers"
	case choice:
		return "name or object"
	default:
		names := map[string]string{"integer": "whole number", "boolean": "true or false", "object": "object",
			"number": "number", "string": "string"}
		return names[v.schema().Type]
	}
}

// rangeOf writes what a value may be: > 0, 1 to 32, or the names.
func rangeOf(v value) string {
	s := v.schema()
	switch v.(type) {
	case device:
		return "`auto`, `cpu`, `gpu`, `gpu:N`"
	case pair, seconds, outputs:
		s = s.AnyOf[0]
	case betas, shape:
		s = s.Items
	case column, choice:
		return ""
	}
	switch {
	case len(s.Enum) > 0:
		return "`" + strings.Join(s.Enum, "`, `") + "`"
	case s.Minimum != nil && s.Maximum != nil:
		return formatFloat(*s.Minimum) + " to " + formatFloat(*s.Maximum)
	case s.Minimum != nil && s.ExclusiveMaximum != nil:
		return formatFloat(*s.Minimum) + " to below " + formatFloat(*s.ExclusiveMaximum)
	case s.Minimum != nil:
		return formatFloat(*s.Minimum) + " or more"
	case s.ExclusiveMinimum != nil:
		return "above " + formatFloat(*s.ExclusiveMinimum)
	case s.MaxLength != nil && *s.MaxLength < maxPath:
		return fmt.Sprintf("up to %d characters", *s.MaxLength)
	default:
		return ""
	}
}

// The reference names the sources; the table's lists are the data package's.
func TestSourcesAreKnown(t *testing.T) {
	for _, source := range append(append([]dataset.Source{}, shippedSources...), madeSources...) {
		s := mustParse(t, withData(fmt.Sprintf(`{"source":%q}`, source)))
		if made := s.Data.Make.Rows > 0; made != strings.Contains("moons spirals blobs teacher", string(source)) {
			t.Errorf("%s has parameters: %v", source, made)
		}
	}
}
