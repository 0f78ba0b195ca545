package train

import (
	"bytes"
	"encoding/json"
)

// schema is a JSON Schema 2020-12, as far as specifications need it.
type schema struct {
	Dialect     string          `json:"$schema,omitempty"`
	Title       string          `json:"title,omitempty"`
	Description string          `json:"description,omitempty"`
	Type        string          `json:"type,omitempty"`
	Const       string          `json:"const,omitempty"`
	Enum        []string        `json:"enum,omitempty"`
	Default     json.RawMessage `json:"default,omitempty"`

	Minimum          *float64 `json:"minimum,omitempty"`
	ExclusiveMinimum *float64 `json:"exclusiveMinimum,omitempty"`
	Maximum          *float64 `json:"maximum,omitempty"`
	ExclusiveMaximum *float64 `json:"exclusiveMaximum,omitempty"`

	MinLength *int   `json:"minLength,omitempty"`
	MaxLength *int   `json:"maxLength,omitempty"`
	Pattern   string `json:"pattern,omitempty"`

	Items    *schema `json:"items,omitempty"`
	MinItems *int    `json:"minItems,omitempty"`
	MaxItems *int    `json:"maxItems,omitempty"`

	Properties           properties `json:"properties,omitempty"`
	Required             []string   `json:"required,omitempty"`
	AdditionalProperties *bool      `json:"additionalProperties,omitempty"`

	AnyOf []*schema `json:"anyOf,omitempty"`
	OneOf []*schema `json:"oneOf,omitempty"`
	AllOf []*schema `json:"allOf,omitempty"`
	Not   *schema   `json:"not,omitempty"`
}

// property is one key of an object's schema.
type property struct {
	name string
	*schema
}

// properties keeps the table's order, where a map would sort.
type properties []property

func (p properties) MarshalJSON() ([]byte, error) {
	var b bytes.Buffer
	b.WriteByte('{')
	for i, q := range p {
		if i > 0 {
			b.WriteByte(',')
		}
		js, err := json.Marshal(q.schema)
		if err != nil {
			return nil, err
		}
		b.Write(quoteJSON(q.name))
		b.WriteByte(':')
		b.Write(js)
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}

// Schema returns the JSON Schema (2020-12) of specifications. What it refuses,
// [Parse] refuses; Parse refuses more: keys that do not go together, file
// paths that are not absolute, wrong sums.
func Schema() []byte {
	s := specTable(new(Spec)).schema()
	s.Dialect = "https://json-schema.org/draft/2020-12/schema"
	s.Title = "weft training specification"
	js, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		panic("train: the specification's schema is not JSON: " + err.Error()) // a defect of the table
	}
	return append(js, '\n')
}

func quoteJSON(s string) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(s); err != nil {
		panic("train: a string is not JSON: " + err.Error()) // cannot happen
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}

func ptr[T any](x T) *T { return &x }
