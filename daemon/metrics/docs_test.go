package metrics

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
)

var update = flag.Bool("update", false, "write the table in docs/monitoring.md")

const (
	docsDir    = "../../docs"
	alertsFile = docsDir + "/prometheus/alerts.yml"
	testsFile  = docsDir + "/prometheus/alerts_test.yml"
	tableBegin = "<!-- metrics: go test ./daemon/metrics -run Documented -update -->\n"
	tableEnd   = "<!-- end of metrics -->\n"
)

// An export is one metric of a scrape.
type export struct{ name, kind, help, labels string }

// exports lists everything that a daemon may tell.
func exports(t *testing.T) []export {
	t.Helper()
	m := newFixture().watched()
	families, err := m.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var all []export
	for _, f := range families {
		e := export{name: f.GetName(), kind: strings.ToLower(f.GetType().String()), help: f.GetHelp()}
		var labels []string
		for _, l := range f.GetMetric()[0].GetLabel() {
			labels = append(labels, l.GetName())
		}
		e.labels = strings.Join(labels, ", ")
		all = append(all, e)
	}
	return all
}

// The fixture leaves no metric out, or the table would.
func TestFixtureHasEveryMetric(t *testing.T) {
	m := newFixture().watched()
	descs := make(chan *prometheus.Desc, 1000)
	m.registry.Describe(descs)
	close(descs)
	names := exportNames(t)
	found := 0
	for d := range descs {
		name := regexp.MustCompile(`fqName: "(.*?)"`).FindStringSubmatch(d.String())[1]
		if strings.HasPrefix(name, "weft_") {
			found++
			if !names[name] {
				t.Errorf("the fixture has no %s", name)
			}
		}
	}
	if found < 40 {
		t.Errorf("%d metrics are described", found)
	}
}

// exportNames has the names of series, too: those of a histogram.
func exportNames(t *testing.T) map[string]bool {
	t.Helper()
	names := map[string]bool{}
	for _, e := range exports(t) {
		names[e.name] = true
		if e.kind == "histogram" {
			for _, suffix := range []string{"_bucket", "_sum", "_count"} {
				names[e.name+suffix] = true
			}
		}
	}
	return names
}

func TestEveryMetricIsDocumented(t *testing.T) {
	var table strings.Builder
	table.WriteString("| metric | type | labels | meaning |\n|---|---|---|---|\n")
	for _, e := range exports(t) {
		if !strings.HasPrefix(e.name, "weft_") {
			continue
		}
		if !strings.HasSuffix(e.help, ".") {
			t.Errorf("help of %s is no sentence: %s", e.name, e.help)
		}
		fmt.Fprintf(&table, "| `%s` | %s | %s | %s |\n", e.name, e.kind, e.labels, strings.ReplaceAll(e.help, "|", "\\|"))
	}
	file := filepath.Join(docsDir, "monitoring.md")
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(b), tableBegin)
	was, after, ok2 := strings.Cut(rest, tableEnd)
	if !ok || !ok2 {
		t.Fatalf("%s has no place for the table", file)
	}
	if *update {
		if err := os.WriteFile(file, []byte(before+tableBegin+table.String()+tableEnd+after), 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(table.String(), was); diff != "" {
		t.Errorf("%s is not up to date; go test ./daemon/metrics -run Documented -update writes it: %s", file, diff)
	}
}

var metricName = regexp.MustCompile(`\b(weft|go|process)_[a-z0-9_]+`)

func checkNames(t *testing.T, names map[string]bool, where, expr string) {
	t.Helper()
	found := metricName.FindAllString(expr, -1)
	for _, name := range found {
		if !names[name] {
			t.Errorf("%s asks for %s, which weft does not export", where, name)
		}
	}
	if len(found) == 0 && !strings.HasPrefix(expr, "up{") {
		t.Errorf("%s asks for nothing of weft's: %s", where, expr)
	}
}

type ruleFile struct {
	Groups []struct {
		Rules []struct {
			Alert       string
			Expr        string
			Labels      map[string]string
			Annotations map[string]string
		}
	}
}

// Every alert says what it means and what to do, asks for metrics that there are,
// and has a test of when it fires.
func TestAlerts(t *testing.T) {
	b, err := os.ReadFile(alertsFile)
	if err != nil {
		t.Fatal(err)
	}
	var rules ruleFile
	if err := yaml.Unmarshal(b, &rules); err != nil {
		t.Fatal(err)
	}
	tests, err := os.ReadFile(testsFile)
	if err != nil {
		t.Fatal(err)
	}
	names := exportNames(t)
	seen := map[string]bool{}
	for _, g := range rules.Groups {
		for _, r := range g.Rules {
			if seen[r.Alert] {
				t.Errorf("%s is there twice", r.Alert)
			}
			seen[r.Alert] = true
			for _, key := range []string{"summary", "description", "action"} {
				if !strings.HasSuffix(strings.TrimSpace(r.Annotations[key]), ".") {
					t.Errorf("%s has no %s, or it is no sentence: %q", r.Alert, key, r.Annotations[key])
				}
			}
			if s := r.Labels["severity"]; s != "critical" && s != "warning" {
				t.Errorf("%s is of severity %q", r.Alert, s)
			}
			checkNames(t, names, r.Alert, r.Expr)
			if fires := regexp.MustCompile(`alertname(: |=")` + r.Alert + `\b`); !fires.Match(tests) {
				t.Errorf("%s has no test", r.Alert)
			}
		}
	}
	if len(seen) < 10 {
		t.Errorf("%d alerts", len(seen))
	}
}

// A dashboard is what the test looks at of Grafana's JSON.
type dashboard struct {
	SchemaVersion int
	Annotations   struct{ List []struct{ Expr string } }
	Templating    struct {
		List []struct{ Name, Type, Definition string }
	}
	Panels []struct {
		ID          int
		Type, Title string
		Datasource  struct{ UID string }
		GridPos     struct{ H, W, X, Y int }
		Targets     []struct {
			Expr       string
			Datasource struct{ UID string }
		}
	}
}

func readDashboard(t *testing.T) *dashboard {
	t.Helper()
	b, err := os.ReadFile(docsDir + "/grafana/weft.json")
	if err != nil {
		t.Fatal(err)
	}
	d := &dashboard{}
	if err := json.Unmarshal(b, d); err != nil {
		t.Fatal(err)
	}
	return d
}

// exprs are all queries of a dashboard by where they are.
func (d *dashboard) exprs() map[string]string {
	all := map[string]string{}
	for _, p := range d.Panels {
		for i, target := range p.Targets {
			all[fmt.Sprintf("panel %d %q, query %d", p.ID, p.Title, i)] = target.Expr
		}
	}
	for i, a := range d.Annotations.List {
		if a.Expr != "" {
			all[fmt.Sprintf("annotation %d", i)] = a.Expr
		}
	}
	for _, v := range d.Templating.List {
		if v.Type == "query" {
			all["variable "+v.Name] = v.Definition
		}
	}
	return all
}

// The dashboard asks for metrics that there are, for all that there are, and of
// the data source that is chosen.
func TestDashboard(t *testing.T) {
	d := readDashboard(t)
	names := exportNames(t)
	exprs := d.exprs()
	for where, expr := range exprs {
		checkNames(t, names, "dashboard: "+where, expr)
	}
	var rows []string
	ids := map[int]bool{}
	for i, p := range d.Panels {
		if ids[p.ID] {
			t.Errorf("two panels have the id %d", p.ID)
		}
		ids[p.ID] = true
		if p.Type == "row" {
			rows = append(rows, p.Title)
			continue
		}
		if p.Datasource.UID != "${datasource}" || len(p.Targets) == 0 {
			t.Errorf("panel %q asks %q for %d things", p.Title, p.Datasource.UID, len(p.Targets))
		}
		for _, q := range d.Panels[:i] {
			a, b := p.GridPos, q.GridPos
			if a.X < b.X+b.W && b.X < a.X+a.W && a.Y < b.Y+b.H && b.Y < a.Y+a.H {
				t.Errorf("panels %q and %q overlap", p.Title, q.Title)
			}
		}
	}
	want := []string{"Overview", "Devices", "Jobs and queue", "Quanta", "Daemon and HTTP", "Store"}
	if diff := cmp.Diff(want, rows); diff != "" {
		t.Errorf("rows: %s", diff)
	}
	var variables []string
	for _, v := range d.Templating.List {
		variables = append(variables, v.Name)
	}
	if diff := cmp.Diff([]string{"datasource", "instance", "device"}, variables); diff != "" {
		t.Errorf("variables: %s", diff)
	}
	var asked []string
	for _, expr := range exprs {
		asked = append(asked, metricName.FindAllString(expr, -1)...)
	}
	for _, e := range exports(t) {
		shown := slices.ContainsFunc(asked, func(name string) bool {
			return name == e.name || e.kind == "histogram" && strings.HasPrefix(name, e.name+"_")
		})
		if strings.HasPrefix(e.name, "weft_") && !shown {
			t.Errorf("the dashboard does not show %s", e.name)
		}
	}
}
