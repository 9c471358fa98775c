package interop

import (
	"os/exec"
	"testing"

	"trefoil/export"
	"trefoil/quant/packed"
)

// haveIkLlama returns a Python that has ik_llama.cpp.
func haveIkLlama(t *testing.T) string {
	t.Helper()
	python := have(t, installPython)
	if err := exec.Command(python, "-c", "import ik_llama_cpp").Run(); err != nil {
		t.Skip("ik-llama-cpp-python is installed for Python 3.11 on Linux, amd64, alone")
	}
	return python
}

// ik_llama.cpp reads bitnet-b1.58, the architecture with squared ReLU. It does
// not compute with I2_S: its own quantizer reads that and makes IQ2_BN of it.
func TestIkLlamaReadsSquaredReLU(t *testing.T) {
	python := haveIkLlama(t)
	o := export.Options{Float: packed.Float32}
	m := open(t, relu2Run, o)
	t.Run("f16", func(t *testing.T) {
		j := m.task(m.write(t, export.GGUF, "-type", "f16"), windowsToCompare)
		r := ask(t, j, python, "ik_llama.py")
		c := m.floatInputs(t, o).compare(t, r.logits)
		c.log(t, "F16, inputs not rounded")
		if c.worst > 0.01 || c.cosine < 0.999999 {
			t.Errorf("logits differ by up to %g, cosine down to %g", c.worst, c.cosine)
		}
		m.checkRounded(t, "F16", j, r, func(j job) result { return ask(t, j, python, "ik_llama.py") })
	})
	t.Run("i2_s", func(t *testing.T) {
		j := m.task(m.write(t, export.GGUF, "-type", "i2_s"), windowsToCompare)
		converted := func(j job) result { return ask(t, j, python, "ik_llama.py", "IQ2_BN") }
		m.checkRounded(t, "I2_S", j, converted(j), converted)
	})
}
