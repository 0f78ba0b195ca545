//go:build !amd64

package multi

const machine = standard

func blocks(int, *[group][8]uint32, *[group]*byte, int) { panic("multi: no assembly") }

func blocks16(*[MaxLanes][8]uint32, *[MaxLanes]*byte, int) { panic("multi: no assembly") }
