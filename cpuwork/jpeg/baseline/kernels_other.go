//go:build !amd64

package baseline

const supported = false

func convertGray(*byte, int, *int16) { panic("baseline: no assembly") }

func convertQuarter3(_, _ *byte, _ int, _, _, _, _ *int16) { panic("baseline: no assembly") }

func convertQuarter4(_, _ *byte, _ int, _, _, _, _ *int16) { panic("baseline: no assembly") }

func convertFull3(_ *byte, _ int, _, _, _ *int16) { panic("baseline: no assembly") }

func convertFull4(_ *byte, _ int, _, _, _ *int16) { panic("baseline: no assembly") }

func transform(_, _ *int16, _ int, _ *uint16) { panic("baseline: no assembly") }

func listGray(_ *int16, _ int, _ *int16, _ *byte, _ *int32) int { panic("baseline: no assembly") }

func listFull(_ *int16, _ int, _ *int16, _ *byte, _ *int32) int { panic("baseline: no assembly") }

func listQuarter(_ *int16, _ int, _ *int16, _ *byte, _ *int32) int { panic("baseline: no assembly") }

func pack(_ *int16, _ *byte, _ int, _ *uint32, _ *byte, _, _ *uint64) int {
	panic("baseline: no assembly")
}

func stuff(_, _ *byte, _ int) int { panic("baseline: no assembly") }
