package client

import (
	"github.com/urfave/cli/v2"

	"weft/daemon/api"
)

// jpegTask is what a job of kind jpeg does, as the daemon reads it. Zero values
// are the daemon's defaults.
type jpegTask struct {
	Files       filesSpec `json:"files"`
	Output      string    `json:"output,omitempty"`
	Quality     int       `json:"quality,omitempty"`
	Subsampling string    `json:"subsampling,omitempty"`
	Encoder     string    `json:"encoder,omitempty"`
	MaxWidth    int       `json:"max_width,omitempty"`
	MaxHeight   int       `json:"max_height,omitempty"`
	Background  string    `json:"background,omitempty"`
	MaxPixels   int64     `json:"max_pixels,omitempty"`
	KeepTime    bool      `json:"keep_time,omitempty"`
	Existing    string    `json:"existing,omitempty"`
	Force       bool      `json:"force,omitempty"`
}

func (p *program) cpuJPEGVerb() verb {
	return verb{
		outputs: formatsRows,
		cmd: &cli.Command{
			Name: "cpu jpeg", Category: groupSubmit, ArgsUsage: "FILE…",
			Usage: "convert pictures to JPEG: PNG, JPEG, WebP, BMP, TIFF",
			Description: `Converts pictures, turned upright as their EXIF data says. Each result appears
whole, beside its input or in the same tree below --to; what is there is left
alone unless --force. The fastest encoder of this machine is used.`,
			Flags: cpuFlags(append(filesFlags(),
				&cli.StringFlag{Name: "to", Usage: "`DIRECTORY` for the results; default beside each input"},
				&cli.IntFlag{Name: "quality", Aliases: []string{"q"}, Usage: "`N` from 1 to 100; default 85"},
				&cli.StringFlag{Name: "subsampling", Usage: "`RATIO` of colours: 4:2:0 (default) or 4:4:4"},
				&cli.StringFlag{Name: "encoder", Usage: "`NAME`: auto, avx512, libturbojpeg, jpegn, image/jpeg"},
				&cli.IntFlag{Name: "max-width", Usage: "make pictures that are wider than `PIXELS` smaller"},
				&cli.IntFlag{Name: "max-height", Usage: "make pictures that are higher than `PIXELS` smaller"},
				&cli.StringFlag{Name: "background", Usage: "`#RRGGBB` behind what is transparent; default white"},
				&cli.Int64Flag{Name: "max-pixels", Usage: "refuse pictures of more than `N` pixels; default 100 million"},
				&cli.BoolFlag{Name: "keep-time", Usage: "results get their inputs' modification times"},
				&cli.StringFlag{Name: "existing", Usage: "`HOW` to treat a result that is there already: skip (default) or refuse"},
				&cli.BoolFlag{Name: "force", Usage: "replace what is there, an input by itself too"},
			)...),
			Action: func(c *cli.Context) error {
				o, err := p.readCPU(c)
				if err != nil {
					return err
				}
				t := jpegTask{Quality: c.Int("quality"), Subsampling: c.String("subsampling"), Encoder: c.String("encoder"),
					MaxWidth: c.Int("max-width"), MaxHeight: c.Int("max-height"), Background: c.String("background"),
					MaxPixels: c.Int64("max-pixels"), KeepTime: c.Bool("keep-time"), Existing: c.String("existing"),
					Force: c.Bool("force")}
				if c.IsSet("quality") && t.Quality == 0 {
					return usagef("--quality 85", "--quality must be 1 to 100")
				}
				if t.Files, err = p.readFiles(c); err != nil {
					return err
				}
				if t.Output, err = absolute(c.String("to")); err != nil {
					return err
				}
				return p.submitCPU(c.Context, api.KindJPEG, t, false, o)
			},
		},
		examples: []example{
			{"weft cpu jpeg -r photos --to small --max-width 1920 -f", "a tree of pictures, watched until it ends"},
			{"weft cpu jpeg scan.tiff -q 92 --wait", "one; scan.jpg beside it"},
			{"find . -name '*.png' -print0 | weft cpu jpeg --list - -0 --to jpegs", "names from a pipe"},
		},
		exits: cpuExits,
	}
}
