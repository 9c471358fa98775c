package kernel

import "math"

// SiLUGate computes y = silu(gate) * up (Shazeer 2020, equation 6), where
// gu: [rows, 2*ff] holds the gate in the first ff columns of each row and up
// in the others; y: [rows, ff]; silu(x) = x / (1 + exp(-x)).
func SiLUGate[F Float](y, gu []F, rows, ff int) {
	gateRows(rows, ff, func(r int) {
		siluGateRow(y[r*ff:(r+1)*ff], gu[2*r*ff:(2*r+1)*ff], gu[(2*r+1)*ff:(2*r+2)*ff])
	})
}

// SiLUGateGrad is the gradient of SiLUGate: dgu, gu: [rows, 2*ff],
// dy: [rows, ff].
func SiLUGateGrad[F Float](dgu, dy, gu []F, rows, ff int) {
	gateRows(rows, ff, func(r int) {
		gate, up := 2*r*ff, (2*r+1)*ff
		siluGateGradRow(dgu[gate:gate+ff], dgu[up:up+ff], dy[r*ff:(r+1)*ff], gu[gate:gate+ff], gu[up:up+ff])
	})
}

// ReLU2Gate computes y = relu(gate)^2 * up with the shapes of SiLUGate
// (So et al. 2021, squared ReLU).
func ReLU2Gate[F Float](y, gu []F, rows, ff int) {
	gateRows(rows, ff, func(r int) {
		relu2GateRow(y[r*ff:(r+1)*ff], gu[2*r*ff:(2*r+1)*ff], gu[(2*r+1)*ff:(2*r+2)*ff])
	})
}

// ReLU2GateGrad is the gradient of ReLU2Gate, with the shapes of SiLUGateGrad.
func ReLU2GateGrad[F Float](dgu, dy, gu []F, rows, ff int) {
	gateRows(rows, ff, func(r int) {
		gate, up := 2*r*ff, (2*r+1)*ff
		relu2GateGradRow(dgu[gate:gate+ff], dgu[up:up+ff], dy[r*ff:(r+1)*ff], gu[gate:gate+ff], gu[up:up+ff])
	})
}

func gateRows(rows, ff int, body func(r int)) {
	chunks(rows, 1+grain/4/max(1, ff), func(lo, hi int) {
		for r := lo; r < hi; r++ {
			body(r)
		}
	})
}

func sigmoid[F Float](x F) F { return F(1 / (1 + math.Exp(-float64(x)))) }

func siluGateRow[F Float](y, gate, up []F) {
	if v := vector[F](); v != nil {
		v.siluGate(f32(y), f32(gate), f32(up))
		return
	}
	for i, g := range gate {
		y[i] = g * sigmoid(g) * up[i]
	}
}

func siluGateGradRow[F Float](dgate, dup, dy, gate, up []F) {
	if v := vector[F](); v != nil {
		v.siluGateGrad(f32(dgate), f32(dup), f32(dy), f32(gate), f32(up))
		return
	}
	for i, g := range gate {
		s := sigmoid(g)
		dgate[i] = dy[i] * up[i] * s * (1 + g*(1-s))
		dup[i] = dy[i] * g * s
	}
}

func relu2GateRow[F Float](y, gate, up []F) {
	if v := vector[F](); v != nil {
		v.relu2Gate(f32(y), f32(gate), f32(up))
		return
	}
	for i, g := range gate {
		g = max(g, 0)
		y[i] = g * g * up[i]
	}
}

func relu2GateGradRow[F Float](dgate, dup, dy, gate, up []F) {
	if v := vector[F](); v != nil {
		v.relu2GateGrad(f32(dgate), f32(dup), f32(dy), f32(gate), f32(up))
		return
	}
	for i, g := range gate {
		g = max(g, 0)
		dgate[i] = 2 * g * up[i] * dy[i]
		dup[i] = g * g * dy[i]
	}
}
