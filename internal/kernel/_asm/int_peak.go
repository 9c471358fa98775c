package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

func init() {
	groups["int_peak"] = func() {
		peak("vpdpbusd512", zmm, VPDPBUSD)
		peak("vpdpwssd512", zmm, VPDPWSSD)
		for _, w := range []width{ymm, zmm} {
			bits := map[bool]string{false: "256", true: "512"}[w.wide()]
			peak("vpmaddubsw"+bits, w, func(a, b, dst VecPhysical) { VPMADDUBSW(a, b, dst) })
			peak("vfmadd231ps"+bits, w, func(a, b, dst VecPhysical) { VFMADD231PS(a, b, dst) })
			peak("vpmaddwd"+bits, w, func(a, b, dst VecPhysical) { VPMADDWD(a, b, dst) })
		}
	}
}

// peakChains is how many instructions in a turn do not depend on one another.
const peakChains = 12

func peak(name string, w width, instruction func(a, b, dst VecPhysical)) {
	TEXT(name, NOSPLIT, "func(n int)")
	Doc(name + " executes the instruction 12*n times on registers.")
	n := Load(Param("n"), GP64())
	for _, v := range w.all[:16] {
		w.zero(v)
	}
	Label("loop")
	for i := range peakChains {
		instruction(w.all[14], w.all[15], w.all[i])
	}
	DECQ(n)
	JNE(LabelRef("loop"))
	VZEROUPPER()
	RET()
}
