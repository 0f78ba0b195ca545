package train

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"
)

// validator checks documents against a JSON Schema, as far as ours goes: it
// knows the keywords of type schema and refuses all others.
type validator struct{ root map[string]any }

func loadSchema(t testing.TB) *validator {
	t.Helper()
	v := &validator{}
	if err := json.Unmarshal(Schema(), &v.root); err != nil {
		t.Fatal(err)
	}
	return v
}

func (v *validator) validate(js []byte) error {
	d := json.NewDecoder(bytes.NewReader(js))
	d.UseNumber()
	var x any
	if err := d.Decode(&x); err != nil {
		return err
	}
	return check(v.root, x)
}

func check(schema map[string]any, x any) error {
	for keyword, arg := range schema {
		if err := checkKeyword(schema, keyword, arg, x); err != nil {
			return err
		}
	}
	return nil
}

func checkKeyword(schema map[string]any, keyword string, arg, x any) error {
	fail := func() error { return fmt.Errorf("%s %v does not hold for %v", keyword, arg, x) }
	ok := true
	switch keyword {
	case "$schema", "title", "description", "default":
	case "type":
		ok = hasType(arg.(string), x)
	case "const":
		ok = arg == x
	case "enum":
		ok = slices.Contains(arg.([]any), x)
	case "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum":
		if n, is := x.(json.Number); is {
			f, _ := strconv.ParseFloat(n.String(), 64)
			limit := arg.(float64)
			ok = keyword == "minimum" && f >= limit || keyword == "maximum" && f <= limit ||
				keyword == "exclusiveMinimum" && f > limit || keyword == "exclusiveMaximum" && f < limit
		}
	case "minLength", "maxLength":
		if s, is := x.(string); is {
			n := utf8.RuneCountInString(s)
			ok = keyword == "minLength" && n >= int(arg.(float64)) || keyword == "maxLength" && n <= int(arg.(float64))
		}
	case "pattern":
		if s, is := x.(string); is {
			ok = regexp.MustCompile(arg.(string)).MatchString(s)
		}
	case "minItems", "maxItems":
		if a, is := x.([]any); is {
			ok = keyword == "minItems" && len(a) >= int(arg.(float64)) || keyword == "maxItems" && len(a) <= int(arg.(float64))
		}
	case "items":
		a, _ := x.([]any)
		for _, item := range a {
			if err := check(arg.(map[string]any), item); err != nil {
				return err
			}
		}
	case "properties", "additionalProperties", "required":
		o, is := x.(map[string]any)
		if !is {
			return nil
		}
		return checkObject(schema, keyword, arg, o)
	case "anyOf", "oneOf", "not":
		return checkCombination(keyword, arg, x)
	default:
		return fmt.Errorf("the validator does not know %q", keyword)
	}
	if !ok {
		return fail()
	}
	return nil
}

func hasType(name string, x any) bool {
	switch x := x.(type) {
	case nil:
		return name == "null"
	case bool:
		return name == "boolean"
	case string:
		return name == "string"
	case []any:
		return name == "array"
	case map[string]any:
		return name == "object"
	case json.Number:
		f, err := strconv.ParseFloat(x.String(), 64)
		return name == "number" || name == "integer" && (err != nil || f == float64(int64(f)) || f >= 1<<63)
	}
	return false
}

func checkObject(schema map[string]any, keyword string, arg any, o map[string]any) error {
	switch keyword {
	case "required":
		for _, k := range arg.([]any) {
			if _, has := o[k.(string)]; !has {
				return fmt.Errorf("%v is missing", k)
			}
		}
	case "properties":
		for k, sub := range arg.(map[string]any) {
			if item, has := o[k]; has {
				if err := check(sub.(map[string]any), item); err != nil {
					return fmt.Errorf("%s: %w", k, err)
				}
			}
		}
	default: // additionalProperties: false
		known, _ := schema["properties"].(map[string]any)
		for k := range o {
			if _, has := known[k]; !has {
				return fmt.Errorf("unknown key %s", k)
			}
		}
	}
	return nil
}

func checkCombination(keyword string, arg, x any) error {
	if keyword == "not" {
		if check(arg.(map[string]any), x) == nil {
			return fmt.Errorf("not %v does not hold", arg)
		}
		return nil
	}
	matches := 0
	var errs []string
	for _, sub := range arg.([]any) {
		if err := check(sub.(map[string]any), x); err == nil {
			matches++
		} else {
			errs = append(errs, err.Error())
		}
	}
	if matches == 0 || keyword == "oneOf" && matches != 1 {
		return fmt.Errorf("%s: %d match: %s", keyword, matches, strings.Join(errs, " | "))
	}
	return nil
}

// What the schema refuses Parse refuses, and the schema refuses every invalid
// document but those that need more than a schema can say.
func TestSchemaAgreesWithParse(t *testing.T) {
	v := loadSchema(t)
	for _, c := range invalid {
		err := v.validate([]byte(c.document))
		syntax := strings.HasPrefix(c.want, "not JSON") || strings.HasPrefix(c.want, "the specification ")
		if !syntax && (err == nil) != c.parseOnly {
			t.Errorf("%.200s\nparse only: %v, schema says: %v", c.document, c.parseOnly, err)
		}
	}
}

// The validator of this test and the schema itself, held against Python's
// jsonschema where it is installed.
func TestSchemaUnderJSONSchema(t *testing.T) {
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Skip("python3 is not installed")
	}
	const probe = "from jsonschema import Draft202012Validator"
	if out, err := exec.Command(python, "-c", probe).CombinedOutput(); err != nil {
		t.Skipf("python3 has no jsonschema: %s", out)
	}
	type verdict struct {
		Document string `json:"document"`
		Valid    bool   `json:"valid"`
	}
	v := loadSchema(t)
	var cases []verdict
	for _, c := range invalid {
		var x any
		if json.Unmarshal([]byte(c.document), &x) == nil && !strings.Contains(c.document, "1e999") {
			cases = append(cases, verdict{c.document, v.validate([]byte(c.document)) == nil})
		}
	}
	cases = append(cases, verdict{minimal, true}, verdict{string(mustParse(t, minimal).JSON()), true})
	input, err := json.Marshal(map[string]any{"schema": json.RawMessage(Schema()), "cases": cases})
	if err != nil {
		t.Fatal(err)
	}
	command := exec.Command(python, "-c", `
import json, sys
from jsonschema import Draft202012Validator as V
d = json.load(sys.stdin)
V.check_schema(d["schema"])
v = V(d["schema"])
for c in d["cases"]:
    if v.is_valid(json.loads(c["document"])) != c["valid"]: print(c)`)
	command.Stdin = bytes.NewReader(input)
	if out, err := command.CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("%v\n%s", err, out)
	}
}
