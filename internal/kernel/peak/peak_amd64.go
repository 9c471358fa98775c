//go:build !purego

package peak

//go:generate sh -c "cd ../_asm && go run . -out ../peak/instructions_amd64.s -stubs ../peak/instructions_amd64.go -pkg peak int_peak"

// Measurable instructions. The processor must have them.
var (
	VPDPBUSD512   = Instruction{"VPDPBUSD zmm", 64, vpdpbusd512}
	VPDPWSSD512   = Instruction{"VPDPWSSD zmm", 32, vpdpwssd512}
	VPMADDUBSW512 = Instruction{"VPMADDUBSW zmm", 64, vpmaddubsw512}
	VPMADDWD512   = Instruction{"VPMADDWD zmm", 32, vpmaddwd512}
	VPMADDUBSW256 = Instruction{"VPMADDUBSW ymm", 32, vpmaddubsw256}
	VPMADDWD256   = Instruction{"VPMADDWD ymm", 16, vpmaddwd256}

	VFMADD231PS512 = Instruction{"VFMADD231PS zmm", 16, vfmadd231ps512}
	VFMADD231PS256 = Instruction{"VFMADD231PS ymm", 8, vfmadd231ps256}
)
