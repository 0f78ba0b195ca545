package store

import (
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// TestDecodeDamage gives the decoder what a damaged file might hold: an
// error or a whole row, but never a panic or a nil map, which JSON calls null.
func TestDecodeDamage(t *testing.T) {
	good := strings.Repeat("7\x1f", 24) + "\x1f" + strings.Repeat(`"a"`+"\x1f", 8) + `{"k":"v"}` + "\x1f[1,2]\x1f" +
		`{"loss":0.5,"x":-1e9}` + "\x1f" + `{"code":"nan_loss","message":"m"}` + "\x1f7\x1f0.5\x1f"
	var r row
	if err := new(decoder).row(1, good, &r); err != nil || r.Metrics["x"] != -1e9 || r.Labels["k"] != "v" ||
		len(r.After) != 2 || r.Error == nil || r.Usage.EnergyJoules != nil || r.Progress.Steps != 7 || r.GPUBytes != 7 ||
		r.Usage.CPUSeconds != 0.5 {
		t.Fatalf("%+v %v", r, err)
	}
	pieces := []string{"", "\x1f", "\x1f\x1f", "0", "-", "null", `"`, `\`, `"\u001f"`, "{", "}", "[", "{}", `{"\"":1}`, "1e999", ","}
	rapid.Check(t, func(t *rapid.T) {
		fields := strings.SplitAfter(good, "\x1f")
		for range rapid.IntRange(1, 3).Draw(t, "changes") {
			i := rapid.IntRange(0, len(fields)-1).Draw(t, "field")
			fields[i] = rapid.SampledFrom(pieces).Draw(t, "piece") + rapid.SampledFrom([]string{"", "\x1f"}).Draw(t, "end")
		}
		packed := strings.Join(fields, "")
		var r row
		if err := new(decoder).row(1, packed, &r); err == nil && (r.Labels == nil || r.Metrics == nil) {
			t.Errorf("%q: a nil map", packed)
		}
	})
}
