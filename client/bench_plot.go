package client

import (
	"fmt"
	"image/color"
	"io"
	"math"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/dustin/go-humanize"
	"github.com/urfave/cli/v2"
	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgimg"
	"gonum.org/v1/plot/vg/vgsvg"
)

const (
	plotWidth  = 20 * vg.Centimeter
	plotHeight = 12 * vg.Centimeter
	plotDPI    = 150
	labelWidth = 7 * vg.Millimeter
	// legendWidth has room for torch-processes and its line.
	legendWidth = 4.6 * vg.Centimeter
)

func (p *program) benchPlotVerb() verb {
	return verb{
		cmd: &cli.Command{
			Name: "bench plot", Category: groupResult, ArgsUsage: "[ID…] -o FILE",
			Usage: "draw results of weft bench share or pools as PNG or SVG",
			Description: `Of weft bench pools it draws speedup over the number of workers, a panel a
workload and a line a pool; of several results each workload is the last one's.
Of weft bench share it draws speedup over the number of models, one line an arm or peer, from several
results; of results of one number of models, bars. Without an ID it takes the
last result, and those kept that differ from it by the number of models only.
An ID is one of weft bench history, or a file that --save wrote. Where two
results have the same number of models, the later one counts.`,
			Flags: append(fileFlags("the `FILE` to draw, .png or .svg"),
				&cli.StringFlag{Name: "load", Usage: "without an ID: the last of load `NAME`"},
				&cli.StringFlag{Name: "device", Usage: "without an ID: the last on `DEVICE`"},
				&cli.StringFlag{Name: "benchmark", Usage: "without an ID: the last of `NAME`, share or pools"}),
			Action: func(c *cli.Context) error {
				out := c.String("out")
				format := strings.ToLower(strings.TrimPrefix(filepath.Ext(out), "."))
				if format != "png" && format != "svg" {
					return usagef("weft bench plot -o speedup.svg", "weft bench plot needs a file that ends in .png or .svg")
				}
				if err := mayCreate(out, c.Bool("force")); err != nil {
					return err
				}
				o, err := readHistory(c)
				if err != nil {
					return err
				}
				share, pools, err := p.chosen(c.Args().Slice(), o)
				if err != nil {
					return err
				}
				return saveFile(out, c.Bool("force"), func(w io.Writer) error {
					if len(pools) > 0 {
						return drawPools(w, format, pools)
					}
					return drawShare(w, format, share)
				})
			},
		},
		examples: []example{
			{"weft bench plot -o tiny.svg", "the last ones"},
			{"weft bench plot --load lab --device cpu -o lab.png", "the last ones of a load and a device"},
			{"weft bench plot --benchmark pools -o pools.svg", "the last run of weft bench pools"},
			{"weft bench plot run.json -o run.png --force", "one run, from a file"},
		},
		exits: []exit{
			{exitFailed, "the file exists already"},
			{exitNotFound, "there is no such result"},
		},
	}
}

// look is how an arm or a peer is drawn: the same in every plot. Colours are
// Okabe and Ito's, which the colour-blind tell apart; shapes and dashes tell
// them apart in black and white, arms solid and peers open and dashed.
type look struct {
	colour color.Color
	shape  draw.GlyphDrawer
	dashes []vg.Length
}

func rgb(hex uint32) color.Color {
	return color.RGBA{uint8(hex >> 16), uint8(hex >> 8 & 0xff), uint8(hex & 0xff), 0xff} // #nosec G115 -- bytes
}

var looks = map[string]look{
	armSequential:     {rgb(0x000000), draw.CircleGlyph{}, []vg.Length{1, 2}},
	armStreams:        {rgb(0x56B4E9), draw.BoxGlyph{}, nil},
	armFused:          {rgb(0xE69F00), draw.PyramidGlyph{}, nil},
	armAuto:           {rgb(0xD55E00), draw.CircleGlyph{}, nil},
	"torch-eager":     {rgb(0x0072B2), draw.CrossGlyph{}, []vg.Length{6, 3}},
	"torch-graphs":    {rgb(0x0072B2), draw.RingGlyph{}, []vg.Length{6, 2, 1, 2}},
	"torch-vmap":      {rgb(0x009E73), draw.PlusGlyph{}, []vg.Length{6, 3}},
	"jax-vmap":        {rgb(0xCC79A7), draw.TriangleGlyph{}, []vg.Length{6, 3}},
	"torch-processes": {rgb(0x808080), draw.SquareGlyph{}, []vg.Length{6, 3}},
	"torch-mps":       {rgb(0x808080), draw.TriangleGlyph{}, []vg.Length{3, 3}},
}

func lookOf(name string) look {
	if l, ok := looks[name]; ok {
		return l
	}
	return look{rgb(0x000000), draw.CircleGlyph{}, nil}
}

// pointsOf are the latest results of each number of models, in its order.
func pointsOf(results []*shareResult) []*shareResult {
	byModels := map[int]*shareResult{}
	for _, r := range results {
		if old := byModels[r.Load.Models]; old == nil || !r.Date.Before(old.Date) {
			byModels[r.Load.Models] = r
		}
	}
	points := make([]*shareResult, 0, len(byModels))
	for _, r := range byModels {
		points = append(points, r)
	}
	slices.SortFunc(points, func(a, b *shareResult) int { return a.Load.Models - b.Load.Models })
	return points
}

// drawShare writes a plot: lines where results have several numbers of models,
// else bars of the last.
func drawShare(w io.Writer, format string, results []*shareResult) error {
	points := pointsOf(results)
	last := points[len(points)-1]
	p := newPlot(last)
	var err error
	beside := vg.Length(0)
	if len(points) > 1 {
		beside = legendWidth
		err = addLines(p, points)
	} else {
		err = addBars(p, points[0])
	}
	if err != nil {
		return fmt.Errorf("draw plot: %w", err)
	}
	canvas := newCanvas(format, plotWidth, plotHeight)
	area := draw.New(canvas)
	area.SetColor(color.White)
	area.Fill(area.Rectangle.Path())
	area = draw.Crop(area, 4*vg.Millimeter, -6*vg.Millimeter, 4*vg.Millimeter, -4*vg.Millimeter)
	// gonum takes the label for one that stands high on an axis by factors, and
	// leaves room above it; so it is drawn here.
	label, style := p.Y.Label.Text, p.Y.Label.TextStyle
	p.Y.Label.Text, style.Rotation = "", math.Pi/2
	area.FillText(style, vg.Point{X: area.Min.X + style.Height(label), Y: area.Center().Y}, label)
	area = draw.Crop(area, labelWidth, 0, 0, 0)
	legend := p.Legend // beside the plot: within, it would lie on lines
	p.Legend = plot.NewLegend()
	// Over all of it: the title, and smaller what it was measured on.
	area = writeAbove(area, p.Title.TextStyle, p.Title.Text, vg.Points(3))
	small := p.Title.TextStyle
	small.Font.Size, small.Color = vg.Points(9), color.Gray{Y: 0x40}
	area = writeAbove(area, small, subtitle(last), vg.Points(10))
	p.Title.Text = ""
	p.BackgroundColor = nil // drawn over what stands there already
	p.Draw(draw.Crop(area, 0, -beside, 0, 0))
	if beside > 0 {
		legend.Draw(draw.Crop(area, area.Max.X-area.Min.X-beside+5*vg.Millimeter, 0, 0, 0))
	}
	if _, err := canvas.WriteTo(w); err != nil {
		return fmt.Errorf("write plot: %w", err)
	}
	return nil
}

// canvas is what is drawn on and then written.
type canvas interface {
	vg.CanvasSizer
	io.WriterTo
}

// newCanvas is an empty one for svg or png.
func newCanvas(format string, width, height vg.Length) canvas {
	if format == "svg" {
		return vgsvg.New(width, height)
	}
	return vgimg.PngCanvas{Canvas: vgimg.NewWith(vgimg.UseWH(width, height), vgimg.UseDPI(plotDPI),
		vgimg.UseBackgroundColor(color.White))}
}

// writeAbove writes a centred line at the top, and returns what is left below.
func writeAbove(area draw.Canvas, style text.Style, line string, gap vg.Length) draw.Canvas {
	area.FillText(style, vg.Point{X: area.Center().X, Y: area.Max.Y}, line)
	return draw.Crop(area, 0, 0, 0, -style.Height(line)-gap)
}

// subtitle says where and how often a result was measured.
func subtitle(r *shareResult) string {
	parts := []string{fmt.Sprintf("%s, %s", counted(r.Machine.Cores, "core"), sizeText(r.Machine.MemoryBytes))}
	if r.Device.Kind == "gpu" {
		parts = []string{firstOf(r.Machine.CPU, "unknown processor") + ", " + parts[0]}
	}
	if r.Rounds > 1 {
		parts = append(parts, fmt.Sprintf("median of %d rounds, whiskers to the lowest and highest", r.Rounds))
	} else {
		parts = append(parts, "one round")
	}
	weft := "weft " + firstOf(r.Weft.Version, "(devel)")
	return strings.Join(append(parts, weft, r.Date.Format("2006-01-02")), " \u00b7 ")
}

// baselineAt1 is a dashed line across bars, at the baseline's speedup.
func baselineAt1(p *plot.Plot) {
	line := plotter.NewFunction(func(float64) float64 { return 1 })
	line.Color, line.Width, line.Dashes, line.Samples = color.Gray{Y: 0x40}, vg.Points(1), []vg.Length{3, 3}, 2
	p.Add(line)
}

// newPlot is a plot of share with its title.
func newPlot(r *shareResult) *plot.Plot {
	p := plainPlot()
	p.Title.Text = fmt.Sprintf("weft bench share: %s on %s", shortAbout(r), firstOf(r.Device.Name, r.Device.ID))
	return p
}

// plainPlot has what all kinds have: fonts, and a grid behind all.
func plainPlot() *plot.Plot {
	p := plot.New()
	sans := font.Font{Typeface: "Liberation", Variant: "Sans"}
	for _, s := range []*text.Style{&p.Title.TextStyle, &p.X.Label.TextStyle, &p.Y.Label.TextStyle, &p.X.Tick.Label,
		&p.Y.Tick.Label, &p.Legend.TextStyle} {
		size := s.Font.Size
		s.Font = sans
		s.Font.Size = size
	}
	p.BackgroundColor = color.White
	p.Title.TextStyle.Font.Size = vg.Points(12)
	p.X.Label.TextStyle.Font.Size, p.Y.Label.TextStyle.Font.Size = vg.Points(11), vg.Points(11)
	p.X.Padding, p.Y.Padding = vg.Points(4), vg.Points(4)
	p.Legend.Top, p.Legend.Left = true, true
	p.Legend.ThumbnailWidth = vg.Points(28)
	p.Legend.Padding = vg.Points(3)
	p.Legend.TextStyle.Font.Size = vg.Points(10)
	grid := plotter.NewGrid()
	grid.Vertical.Width = 0
	grid.Horizontal.Color = color.Gray{Y: 0xcc}
	p.Add(grid)
	return p
}

// shortAbout is the load's name, and that it was shortened where it was.
func shortAbout(r *shareResult) string {
	if r.Load.Quick {
		return r.Load.Name + " (quick)"
	}
	return r.Load.Name
}

// ratios are a line's points with the rounds' ends as error bars.
type ratios struct {
	plotter.XYs
	plotter.YErrors
}

func addLines(p *plot.Plot, points []*shareResult) error {
	base := points[0].Baseline
	p.X.Label.Text, p.Y.Label.Text = "models (number)", "speedup over "+base+" (times)"
	lines, order := map[string]*ratios{}, []string{}
	low, high := 1.0, 1.0
	for _, r := range points {
		for _, l := range r.speedupLines() {
			line := lines[l.name]
			if line == nil {
				line = &ratios{}
				lines[l.name] = line
				order = append(order, l.name)
			}
			s := l.speedup
			line.XYs = append(line.XYs, plotter.XY{X: float64(r.Load.Models), Y: s.Median})
			line.YErrors = append(line.YErrors, struct{ Low, High float64 }{s.Median - s.Min, s.Max - s.Median})
			low, high = min(low, s.Min), max(high, s.Max)
		}
	}
	slices.SortStableFunc(order, func(a, b string) int { // as they lie at the right end, so that the legend reads along
		ya, yb := lines[a].XYs, lines[b].XYs
		return int(math.Copysign(1, yb[len(yb)-1].Y-ya[len(ya)-1].Y))
	})
	for _, name := range order {
		values, l := lines[name], lookOf(name)
		line, marks, err := plotter.NewLinePoints(values.XYs)
		if err != nil {
			return err
		}
		line.Color, line.Width, line.Dashes = l.colour, vg.Points(1.8), l.dashes
		marks.Color, marks.Shape, marks.Radius = l.colour, l.shape, vg.Points(3.2)
		p.Add(line, marks)
		if name != base {
			bars, err := plotter.NewYErrorBars(values)
			if err != nil {
				return err
			}
			bars.Color, bars.Width, bars.CapWidth = l.colour, vg.Points(0.8), vg.Points(5)
			p.Add(bars)
		}
		p.Legend.Add(name, line, marks)
	}
	p.X.Scale, p.X.Tick.Marker = plot.LogScale{}, countTicks(points)
	p.X.Min, p.X.Max = float64(points[0].Load.Models), float64(points[len(points)-1].Load.Models)
	scaleY(p, low, high)
	return nil
}

// countTicks are the numbers of models measured.
func countTicks(points []*shareResult) plot.ConstantTicks {
	var ticks plot.ConstantTicks
	for _, r := range points {
		ticks = append(ticks, plot.Tick{Value: float64(r.Load.Models), Label: humanize.Comma(int64(r.Load.Models))})
	}
	return ticks
}

// scaleY chooses the axis of speedups: from 0, or by factors where they are
// far apart.
func scaleY(p *plot.Plot, low, high float64) {
	if low <= 0 || high/low < 12 {
		p.Y.Min, p.Y.Max = 0, high*1.08
		return
	}
	p.Y.Scale = plot.LogScale{}
	p.Y.Min, p.Y.Max = low/1.2, high*1.2
	p.Y.Tick.Marker = factorTicks{}
}

// factorTicks are 1, 2 and 5 times the powers of ten.
type factorTicks struct{}

func (factorTicks) Ticks(low, high float64) []plot.Tick {
	var ticks []plot.Tick
	for e := math.Floor(math.Log10(low)); e <= math.Ceil(math.Log10(high)); e++ {
		for _, m := range []float64{1, 2, 5} {
			if v := m * math.Pow(10, e); v >= low && v <= high {
				ticks = append(ticks, plot.Tick{Value: v, Label: strconv.FormatFloat(v, 'g', 3, 64)})
			}
		}
	}
	return ticks
}

// addBars draws one run: a bar an arm or peer, with its figure, and the ends
// of the rounds.
func addBars(p *plot.Plot, r *shareResult) error {
	baselineAt1(p)
	lines := r.speedupLines()
	names, high := make([]string, len(lines)), 1.0
	for i, l := range lines {
		names[i] = strings.Replace(l.name, "torch-", "torch-\n", 1)
		high = max(high, l.speedup.Max)
		bar, err := plotter.NewBarChart(plotter.Values{l.speedup.Median}, vg.Points(34))
		if err != nil {
			return err
		}
		bar.XMin, bar.Color, bar.LineStyle.Width = float64(i), lookOf(l.name).colour, 0
		p.Add(bar)
		values := &ratios{plotter.XYs{{X: float64(i), Y: l.speedup.Median}},
			plotter.YErrors{{Low: l.speedup.Median - l.speedup.Min, High: l.speedup.Max - l.speedup.Median}}}
		if r.Rounds > 1 && l.name != r.Baseline {
			ends, err := plotter.NewYErrorBars(values)
			if err != nil {
				return err
			}
			ends.Color, ends.CapWidth = color.Gray{Y: 0x60}, vg.Points(8)
			p.Add(ends)
		}
		label, err := plotter.NewLabels(plotter.XYLabels{XYs: plotter.XYs{{X: float64(i), Y: l.speedup.Max}},
			Labels: []string{timesText(l.speedup.Median)}})
		if err != nil {
			return err
		}
		label.TextStyle[0].Font.Typeface, label.TextStyle[0].Font.Variant = "Liberation", "Sans"
		label.TextStyle[0].XAlign, label.Offset.Y = text.XCenter, vg.Points(4)
		p.Add(label)
	}
	p.NominalX(names...)
	p.X.Label.Text = fmt.Sprintf("arm (%s)", counted(r.Load.Models, "model"))
	p.Y.Label.Text = "speedup over " + r.Baseline + " (times)"
	p.X.Min, p.X.Max, p.Y.Min, p.Y.Max = -0.6, float64(len(lines))-0.4, 0, high*1.12
	return nil
}
