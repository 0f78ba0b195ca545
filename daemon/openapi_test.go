package daemon

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"testing"
)

var update = flag.Bool("update", false, "write docs/openapi.json again")

// The description that is checked in is the one the daemon serves, but for its
// version; `go test ./daemon -run TestOpenAPI -update` writes it.
func TestOpenAPIIsCheckedIn(t *testing.T) {
	const path = "../docs/openapi.json"
	r := newRig(t, 1)
	status, body := r.do("GET", "/openapi.json", "")
	if status != 200 {
		t.Fatalf("%d %s", status, body)
	}
	var doc map[string]any
	if err := json.Unmarshal([]byte(body), &doc); err != nil {
		t.Fatal(err)
	}
	if version, _ := doc["openapi"].(string); version != "3.1.0" {
		t.Errorf("OpenAPI %q, not 3.1.0", version)
	}
	info, ok := doc["info"].(map[string]any)
	if !ok {
		t.Fatalf("info is %v", doc["info"])
	}
	delete(info, "version") // of the build
	got, err := json.MarshalIndent(doc, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	got = append(got, '\n')
	if *update {
		if err := os.WriteFile(path, got, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Error("docs/openapi.json is not what the daemon serves; run this test with -update")
	}
}
