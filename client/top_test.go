package client

import "testing"

// One frame for scripts, and what weft top refuses.
func TestTop(t *testing.T) {
	t.Setenv("COLUMNS", "100")
	session(t, "top", &recorded{jobs: recordedJobs(), devices: recordedDevices()}, "",
		line("top --once"), line("top --once --filter sweep=b"), line("top --once --sort -id"), line("top"),
		line("top --once --sort nme"), line("top --once --refresh 1ms"), line("top -o json"), line("top 1"))
	session(t, "top-none", nil, "", line("top --once -H unix:///no/such/socket"))
}
