package client

import (
	"fmt"
	"image/color"
	"io"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"

	poolbench "weft/bench/pools"
	"weft/cpuwork"
)

const (
	panelsBeside = 3
	panelWidth   = 9 * vg.Centimeter
	panelHeight  = 7.2 * vg.Centimeter
	panelGap     = 7 * vg.Millimeter
	tickRoom     = 9 * vg.Millimeter // for the numbers of the Y axis
	legendRow    = 5.2 * vg.Millimeter
	legendColumn = 4.6 * vg.Centimeter
	plotMargin   = 5 * vg.Millimeter
)

// poolLooks are those of pools and peers: pools solid, peers a mark at their number
// of workers.
var poolLooks = map[string]look{
	string(cpuwork.Sequential): {rgb(0x000000), draw.CircleGlyph{}, []vg.Length{1, 2}},
	string(cpuwork.Goroutine):  {rgb(0xD55E00), draw.CircleGlyph{}, nil},
	string(cpuwork.Process):    {rgb(0x0072B2), draw.BoxGlyph{}, nil},
	string(cpuwork.Event):      {rgb(0x009E73), draw.PyramidGlyph{}, nil},
	"python-sequential":        {rgb(0x808080), draw.CrossGlyph{}, nil},
	"python-threads":           {rgb(0x808080), draw.RingGlyph{}, nil},
	"python-processes":         {rgb(0x808080), draw.SquareGlyph{}, nil},
	"python-shared-memory":     {rgb(0x808080), draw.TriangleGlyph{}, nil},
	"pillow-sequential":        {rgb(0xCC79A7), draw.CrossGlyph{}, nil},
	"pillow-threads":           {rgb(0xCC79A7), draw.RingGlyph{}, nil},
	"pillow-processes":         {rgb(0xCC79A7), draw.SquareGlyph{}, nil},
	"c-turbojpeg":              {rgb(0xE69F00), draw.PlusGlyph{}, nil},
	"aiohttp":                  {rgb(0xCC79A7), draw.RingGlyph{}, nil},
	"requests-threads":         {rgb(0x808080), draw.RingGlyph{}, nil},
	"urllib-threads":           {rgb(0x808080), draw.CrossGlyph{}, nil},
	"xargs":                    {rgb(0xE69F00), draw.SquareGlyph{}, nil},
	"parallel":                 {rgb(0xE69F00), draw.TriangleGlyph{}, nil},
}

// poolLookOf is that of a name, which a newer version may have added.
func poolLookOf(name string) look {
	if l, ok := poolLooks[name]; ok {
		return l
	}
	return lookOf(name)
}

// latestCases are the cases of the results, each of the latest that measured it.
func latestCases(results []*poolsResult) (cases []*poolsCase, last *poolsResult) {
	byName := map[string]*poolsCase{}
	sorted := slices.Clone(results)
	slices.SortStableFunc(sorted, func(a, b *poolsResult) int { return a.Date.Compare(b.Date) })
	for _, r := range sorted {
		last = r
		for i := range r.Cases {
			if c := &r.Cases[i]; c.Skipped == "" {
				byName[c.Case] = c
			}
		}
	}
	for _, known := range poolbench.Cases {
		if c := byName[known.Name]; c != nil {
			cases = append(cases, c)
		}
	}
	return cases, last
}

// poolLine is one pool's or peer's points in a panel.
type poolLine struct {
	name   string
	peer   bool
	values ratios
}

// lines are those of a case, without variants, by number of workers.
func (c *poolsCase) lines() []poolLine {
	var lines []poolLine
	add := func(name string, peer bool, workers int, s spread) {
		i := slices.IndexFunc(lines, func(l poolLine) bool { return l.name == name })
		if i < 0 {
			i = len(lines)
			lines = append(lines, poolLine{name: name, peer: peer})
		}
		v := &lines[i].values
		v.XYs = append(v.XYs, plotter.XY{X: float64(workers), Y: s.Median})
		v.YErrors = append(v.YErrors, struct{ Low, High float64 }{s.Median - s.Min, s.Max - s.Median})
	}
	for i := range c.Arms {
		if a := &c.Arms[i]; a.Variant == "" {
			add(string(a.Pool), false, a.Workers, *a.Speedup)
		}
	}
	for i := range c.Peers {
		if p := &c.Peers[i]; len(p.Runs) > 0 {
			add(p.Peer, true, p.Workers, *p.Speedup)
		}
	}
	return lines
}

// drawPools writes a plot: a panel a case, a line a pool.
func drawPools(w io.Writer, format string, results []*poolsResult) error {
	cases, last := latestCases(results)
	if len(cases) == 0 {
		return &exitError{code: exitNotFound, message: "there is nothing to plot: all cases were skipped", hint: "weft bench pools"}
	}
	columns := min(len(cases), panelsBeside)
	rows := (len(cases) + columns - 1) / columns
	legend := poolsLegend(cases)
	legendColumns := max(1, int(vg.Length(columns)*panelWidth/legendColumn))
	legendRows := (len(legend) + legendColumns - 1) / legendColumns
	width := max(vg.Length(columns)*panelWidth, 2*panelWidth) + 2*plotMargin
	height := vg.Length(rows)*panelHeight + vg.Length(legendRows)*legendRow + 2*plotMargin + 1.6*vg.Centimeter
	out := newCanvas(format, width, height)
	area := draw.New(out)
	area.SetColor(color.White)
	area.Fill(area.Rectangle.Path())
	area = draw.Crop(area, plotMargin, -plotMargin, plotMargin, -plotMargin)
	style := plainPlot().Title.TextStyle
	area = writeAbove(area, style, "weft bench pools: speedup over workers", vg.Points(3))
	style.Font.Size, style.Color = vg.Points(9), color.Gray{Y: 0x40}
	area = writeAbove(area, style, poolsSubtitle(last), vg.Points(8))
	drawLegend(draw.Crop(area, 0, 0, 0, vg.Length(legendRows)*legendRow-(area.Max.Y-area.Min.Y)), legend, legendColumns)
	area = draw.Crop(area, 0, 0, vg.Length(legendRows)*legendRow+2*vg.Millimeter, 0)
	if err := drawPanels(area, cases, rows, columns); err != nil {
		return err
	}
	if _, err := out.WriteTo(w); err != nil {
		return fmt.Errorf("write plot: %w", err)
	}
	return nil
}

// drawPanels draws the cases' plots in rows. What is around the axes is drawn here:
// gonum gives each as much room as its own texts take, so that axes would not line up.
func drawPanels(area draw.Canvas, cases []*poolsCase, rows, columns int) error {
	tiles := draw.Tiles{Rows: rows, Cols: columns, PadX: panelGap, PadY: panelGap}
	for i, c := range cases {
		p, err := panel(c)
		if err != nil {
			return fmt.Errorf("draw plot: %w", err)
		}
		tile := tiles.At(area, i%columns, i/columns)
		title := p.Title.TextStyle
		title.Font.Size = vg.Points(11)
		tile = writeAbove(tile, title, c.Case, vg.Points(4))
		style := p.X.Label.TextStyle
		style.Font.Size = vg.Points(9)
		below := "workers"
		if c.Group == "fetch" {
			below = "workers, or requests in flight"
		}
		tile.FillText(style, vg.Point{X: tile.Center().X, Y: tile.Min.Y}, below)
		tile = draw.Crop(tile, 0, 0, style.Height(below)+vg.Points(4), 0)
		style.Rotation = math.Pi / 2
		beside := "times " + strings.TrimSuffix(c.Baseline, "-1")
		tile.FillText(style, vg.Point{X: tile.Min.X + style.Height(beside), Y: tile.Center().Y}, beside)
		widest := vg.Length(0)
		for _, t := range p.Y.Tick.Marker.Ticks(p.Y.Min, p.Y.Max) {
			widest = max(widest, p.Y.Tick.Label.Width(t.Label))
		}
		p.Draw(draw.Crop(tile, labelWidth+max(tickRoom-widest, 0), 0, 0, 0))
	}
	return nil
}

// numberTicks are round numbers from zero.
type numberTicks struct{}

func (numberTicks) Ticks(_, high float64) []plot.Tick {
	step := math.Pow(10, math.Floor(math.Log10(high)))
	for _, part := range []float64{2, 2.5} {
		if high/step < 3 {
			step /= part
		}
	}
	var ticks []plot.Tick
	for i := 0; float64(i)*step <= high; i++ {
		v := float64(i) * step
		ticks = append(ticks, plot.Tick{Value: v, Label: strconv.FormatFloat(v, 'g', 3, 64)})
	}
	return ticks
}

// powerTicks are powers of ten.
type powerTicks struct{}

func (powerTicks) Ticks(low, high float64) []plot.Tick {
	var ticks []plot.Tick
	for e := math.Ceil(math.Log10(low)); e <= math.Floor(math.Log10(high)); e++ {
		v := math.Pow(10, e)
		ticks = append(ticks, plot.Tick{Value: v, Label: strconv.FormatFloat(v, 'g', 3, 64)})
	}
	return ticks
}

// scalePanel is scaleY with fewer ticks.
func scalePanel(p *plot.Plot, low, high float64) {
	scaleY(p, low, high)
	switch {
	case p.Y.Min == 0:
		p.Y.Tick.Marker = numberTicks{}
	case high/low > 1000:
		p.Y.Tick.Marker = powerTicks{}
	}
}

// panel is the plot of one case, without its texts.
func panel(c *poolsCase) (*plot.Plot, error) {
	p := plainPlot()
	p.BackgroundColor = nil
	p.X.Tick.Label.Font.Size, p.Y.Tick.Label.Font.Size = vg.Points(9), vg.Points(9)
	low, high, counts := math.Inf(1), 0.0, map[int]bool{}
	for _, l := range c.lines() {
		look := poolLookOf(l.name)
		line, marks, err := plotter.NewLinePoints(l.values.XYs)
		if err != nil {
			return nil, err
		}
		line.Color, line.Width, line.Dashes = look.colour, vg.Points(1.8), look.dashes
		marks.Color, marks.Shape, marks.Radius = look.colour, look.shape, vg.Points(3.2)
		if !l.peer {
			p.Add(line)
		}
		p.Add(marks)
		if rounds := len(c.Arms[0].Runs); rounds > 1 {
			bars, err := plotter.NewYErrorBars(&l.values)
			if err != nil {
				return nil, err
			}
			bars.Color, bars.Width, bars.CapWidth = look.colour, vg.Points(0.8), vg.Points(4)
			p.Add(bars)
		}
		for i, at := range l.values.XYs {
			counts[int(at.X)] = true
			low, high = min(low, at.Y-l.values.YErrors[i].Low), max(high, at.Y+l.values.YErrors[i].High)
		}
	}
	var ticks plot.ConstantTicks
	for _, n := range slices.Sorted(maps.Keys(counts)) {
		ticks = append(ticks, plot.Tick{Value: float64(n), Label: strconv.Itoa(n)})
	}
	most := ticks[len(ticks)-1].Value
	p.X.Scale, p.X.Tick.Marker = plot.LogScale{}, ticks
	p.X.Min, p.X.Max = 0.9, most*1.1
	scalePanel(p, low, high)
	return p, nil
}

// poolsLegend is a line of each pool and peer, as often as it is drawn.
func poolsLegend(cases []*poolsCase) []poolLine {
	var all []poolLine
	for _, peer := range []bool{false, true} {
		for _, c := range cases {
			for _, l := range c.lines() {
				if l.peer == peer && !slices.ContainsFunc(all, func(o poolLine) bool { return o.name == l.name }) {
					all = append(all, l)
				}
			}
		}
	}
	return all
}

// drawLegend writes names with their marks, in columns.
func drawLegend(area draw.Canvas, lines []poolLine, columns int) {
	style := plainPlot().Legend.TextStyle
	style.Font.Size = vg.Points(9)
	for i, l := range lines {
		look := poolLookOf(l.name)
		x := area.Min.X + vg.Length(i%columns)*(area.Max.X-area.Min.X)/vg.Length(columns)
		y := area.Max.Y - vg.Length(i/columns)*legendRow - legendRow/2
		if !l.peer {
			area.StrokeLine2(draw.LineStyle{Color: look.colour, Width: vg.Points(1.8), Dashes: look.dashes}, x, y, x+8*vg.Millimeter, y)
		}
		area.DrawGlyph(draw.GlyphStyle{Color: look.colour, Shape: look.shape, Radius: vg.Points(3.2)}, vg.Point{X: x + 4*vg.Millimeter, Y: y})
		area.FillText(style, vg.Point{X: x + 10*vg.Millimeter, Y: y - style.Height(l.name)/2}, l.name)
	}
}

// poolsSubtitle says where and how often it was measured.
func poolsSubtitle(r *poolsResult) string {
	parts := []string{firstOf(r.Machine.CPU, "unknown processor"), counted(r.Machine.Cores, "core")}
	if r.Rounds > 1 {
		parts = append(parts, fmt.Sprintf("median of %d rounds, whiskers to the lowest and highest", r.Rounds))
	} else {
		parts = append(parts, "one round")
	}
	if r.Quick {
		parts = append(parts, "quick")
	}
	return strings.Join(append(parts, "weft "+firstOf(r.Weft.Version, "(devel)"), r.Date.Format("2006-01-02")), " \u00b7 ")
}
