package train

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"runtime"
	"strconv"

	"trefoil/internal/atomicfile"
)

// A Record is what is known after a step: one line of metrics.jsonl. Losses
// are cross-entropies in nats per token. An image counts as a token. What was not measured is nil, and
// left out of the line.
type Record struct {
	Step      int      `json:"step"`                 // updates made, 0 before the first
	Tokens    int64    `json:"tokens"`               // trained on since the start of the run
	TrainLoss *float64 `json:"train_loss,omitempty"` // mean since the record before

	ValLoss          *float64 `json:"val_loss,omitempty"`           // held-out, as the network is now
	ValLossQuantized *float64 `json:"val_loss_quantized,omitempty"` // held-out, fully quantized, while lambda < 1
	ValAccuracy      *float64 `json:"val_accuracy,omitempty"`       // share of held-out tokens that are the likeliest one
	BitsPerByte      *float64 `json:"bits_per_byte,omitempty"`      // held-out loss per byte of text

	LR     float64 `json:"lr"`              // learning rate of AdamW
	Lambda float64 `json:"lambda"`          // mean blend of the layers: 0 float32, 1 quantized
	Phase  string  `json:"phase,omitempty"` // name of the phase of quantization

	TokensPerSecond *float64 `json:"tokens_per_second,omitempty"` // of training, since the record before
	PeakRSS         int64    `json:"peak_rss_bytes,omitempty"`    // largest resident memory of the process
}

// heldOut is the held-out loss of the fully quantized network, NaN if there is
// none.
func (r Record) heldOut() float64 {
	if r.ValLossQuantized != nil {
		return *r.ValLossQuantized
	}
	return orNaN(r.ValLoss)
}

// sinceEvaluation returns the last of some records with the mean training loss
// and speed of all since the evaluation before it.
func sinceEvaluation(records []Record) Record {
	last := records[len(records)-1]
	first := len(records) - 1
	for first > 0 && records[first-1].ValLoss == nil {
		first--
	}
	if first == 0 {
		return last
	}
	var loss, seconds float64 // loss: sum over updates
	var steps int
	var tokens int64
	for i := first; i < len(records); i++ {
		r, before := records[i], records[i-1]
		if r.TrainLoss != nil {
			loss += *r.TrainLoss * float64(r.Step-before.Step)
			steps += r.Step - before.Step
		}
		if r.TokensPerSecond != nil && *r.TokensPerSecond > 0 {
			seconds += float64(r.Tokens-before.Tokens) / *r.TokensPerSecond
			tokens += r.Tokens - before.Tokens
		}
	}
	if steps > 0 {
		loss /= float64(steps)
		last.TrainLoss = &loss
	}
	if seconds > 0 {
		speed := float64(tokens) / seconds
		last.TokensPerSecond = &speed
	}
	return last
}

// orNaN returns what was measured, NaN if nothing was.
func orNaN(value *float64) float64 {
	if value == nil {
		return math.NaN()
	}
	return *value
}

// A MetricsWriter appends records to metrics.jsonl.
type MetricsWriter struct {
	file *os.File
}

// OpenMetrics opens a metrics file for appending, and creates it if there is
// none.
func OpenMetrics(path string) (*MetricsWriter, error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o644)
	if err != nil {
		return nil, err
	}
	return &MetricsWriter{f}, nil
}

// Append writes a record as one line.
func (m *MetricsWriter) Append(r Record) error { return writeRecord(m.file, r) }

// Sync makes what was appended survive a loss of power.
func (m *MetricsWriter) Sync() error { return m.file.Sync() }

// Close closes the file.
func (m *MetricsWriter) Close() error { return m.file.Close() }

// WriteMetrics replaces a metrics file by the records.
func WriteMetrics(path string, records []Record) error {
	return atomicfile.Write(path, func(w io.Writer) error {
		for _, r := range records {
			if err := writeRecord(w, r); err != nil {
				return err
			}
		}
		return nil
	})
}

func writeRecord(w io.Writer, r Record) error {
	line, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("metrics of step %d: %w", r.Step, err)
	}
	_, err = w.Write(append(line, '\n'))
	return err
}

// ReadMetrics reads a metrics file. A line with a field that is not a record's is
// an error. A last line without an end, which a crash
// in the middle of a write leaves, is passed over if it is not a record.
func ReadMetrics(path string) ([]Record, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var records []Record
	for number := 1; len(text) > 0; number++ {
		line, rest, ended := bytes.Cut(text, []byte("\n"))
		text = rest
		if len(bytes.TrimSpace(line)) == 0 {
			continue
		}
		var r Record
		strict := json.NewDecoder(bytes.NewReader(line))
		strict.DisallowUnknownFields()
		switch err := strict.Decode(&r); {
		case err == nil:
			records = append(records, r)
		case ended:
			return nil, fmt.Errorf("%s:%d: is not a record: %w: remove the line", path, number, err)
		}
	}
	return records, nil
}

// PeakRSS returns the largest resident memory that this process had, in bytes.
// Where the system does not tell (it does on Linux), it is the memory that the
// Go runtime obtained.
func PeakRSS() int64 {
	status, _ := os.ReadFile("/proc/self/status")
	if _, rest, ok := bytes.Cut(status, []byte("VmHWM:")); ok {
		line, _, _ := bytes.Cut(rest, []byte("kB"))
		if kib, err := strconv.ParseInt(string(bytes.TrimSpace(line)), 10, 64); err == nil {
			return kib << 10
		}
	}
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return int64(stats.Sys)
}
