package metrics

import (
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// promtool runs Prometheus's own checker, and returns what it says.
func promtool(t *testing.T, stdin string, args ...string) string {
	t.Helper()
	path, err := exec.LookPath("promtool")
	if err != nil {
		t.Skip("promtool is not installed; Debian and Ubuntu have it in the package prometheus")
	}
	cmd := exec.CommandContext(t.Context(), path, args...)
	cmd.Stdin = strings.NewReader(stdin)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

func TestPromtoolAcceptsMetrics(t *testing.T) {
	if out := promtool(t, scrape(t, newFixture().watched()), "check", "metrics"); out != "" {
		t.Error(out)
	}
}

func TestPromtoolAcceptsAlerts(t *testing.T) {
	promtool(t, "", "check", "rules", alertsFile)
	promtool(t, "", "test", "rules", testsFile)
}

// Prometheus understands every query of the dashboard, once Grafana has put in
// its variables: each is checked as the expression of a rule.
func TestPromtoolAcceptsDashboard(t *testing.T) {
	variables := strings.NewReplacer("$__rate_interval", "5m", "$instance", ".*", "$device", ".*")
	var rules strings.Builder
	rules.WriteString("groups:\n- name: dashboard\n  rules:\n")
	exprs := readDashboard(t).exprs()
	for i, where := range slices.Sorted(maps.Keys(exprs)) {
		if !strings.HasPrefix(where, "variable ") { // those are Grafana's own language
			fmt.Fprintf(&rules, "  # %s\n  - record: dashboard:%d\n    expr: %q\n", where, i, variables.Replace(exprs[where]))
		}
	}
	file := filepath.Join(t.TempDir(), "rules.yml")
	if err := os.WriteFile(file, []byte(rules.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	promtool(t, "", "check", "rules", file)
}
