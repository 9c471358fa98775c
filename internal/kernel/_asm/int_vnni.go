package main

import (
	. "github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/ir"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// VPDPBUSD adds, in each 32-bit lane of acc, the four products of unsigned
// bytes and signed bytes. This and VPDPWSSD are unknown to avo.
func VPDPBUSD(signed, unsigned, acc VecPhysical) { dot("VPDPBUSD", signed, unsigned, acc) }

// VPDPWSSD adds, in each 32-bit lane of acc, the two products of signed words
// of a and b.
func VPDPWSSD(a, b, acc VecPhysical) { dot("VPDPWSSD", a, b, acc) }

func dot(opcode string, a, b, acc VecPhysical) {
	Instruction(&ir.Instruction{
		Opcode:   opcode,
		Operands: []Op{a, b, acc},
		Inputs:   []Op{a, b, acc},
		Outputs:  []Op{acc},
	})
}

// splat fills v with a 32-bit constant.
func splat(value uint32, v VecPhysical) {
	bits := GP32()
	MOVL(U32(value), bits)
	VMOVD(bits, v.AsX())
	VPBROADCASTD(v.AsX(), v)
}

// load reads a vector of integers.
func (w width) loadInts(m Mem, v Op) {
	if w.wide() {
		VMOVDQU64(m, v)
		return
	}
	VMOVDQU(m, v)
}

// store writes a vector of integers.
func (w width) storeInts(v Op, m Mem) {
	if w.wide() {
		VMOVDQU64(v, m)
		return
	}
	VMOVDQU(v, m)
}

// and computes the bitwise and of integers.
func (w width) and(a, b, dst Op) {
	if w.wide() {
		VPANDD(a, b, dst)
		return
	}
	VPAND(a, b, dst)
}

// rowPointers addresses up to 12 rows that are a register's bytes apart: a
// pointer for every third row, and an index for the two after it.
type rowPointers struct {
	base   []GPVirtual
	stride GPVirtual
}

func newRowPointers(first, stride GPVirtual, rows int) rowPointers {
	p := rowPointers{base: []GPVirtual{first}, stride: stride}
	if rows <= 3 {
		return p
	}
	three := GP64()
	LEAQ(Mem{Base: stride, Index: stride, Scale: 2}, three)
	for r := 3; r < rows; r += 3 {
		next := GP64()
		LEAQ(Mem{Base: p.base[len(p.base)-1], Index: three, Scale: 1}, next)
		p.base = append(p.base, next)
	}
	return p
}

func (p rowPointers) at(row, disp int) Mem {
	m := Mem{Base: p.base[row/3], Disp: disp}
	if row%3 > 0 {
		m.Index, m.Scale = p.stride, uint8(row%3)
	}
	return m
}

func (p rowPointers) advance(step Op) {
	for _, b := range p.base {
		ADDQ(step, b)
	}
}
