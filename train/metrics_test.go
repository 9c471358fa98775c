package train

import (
	"math"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

func TestMetrics(t *testing.T) {
	path := filepath.Join(t.TempDir(), "metrics.jsonl")
	records := []Record{
		{Step: 1, Tokens: 2048, TrainLoss: new(8.0), LR: 0.001},
		{
			Step: 2, Tokens: 4096, TrainLoss: new(7.25), ValLoss: new(7.0), ValLossQuantized: new(7.5),
			ValAccuracy: new(0.0), BitsPerByte: new(3.5), LR: 0, Lambda: 0.5, Phase: "blend",
			TokensPerSecond: new(1e4), PeakRSS: 1 << 20,
		},
	}
	f, err := OpenMetrics(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range records {
		if err := f.Append(r); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	want := `{"step":1,"tokens":2048,"train_loss":8,"lr":0.001,"lambda":0}
{"step":2,"tokens":4096,"train_loss":7.25,"val_loss":7,"val_loss_quantized":7.5,"val_accuracy":0,"bits_per_byte":3.5,"lr":0,"lambda":0.5,"phase":"blend","tokens_per_second":10000,"peak_rss_bytes":1048576}
`
	if got, _ := os.ReadFile(path); string(got) != want {
		t.Errorf("file:\n%s\nwant:\n%s", got, want)
	}
	if got, err := ReadMetrics(path); err != nil || !reflect.DeepEqual(got, records) {
		t.Errorf("read %+v, %v\nwant %+v", got, err, records)
	}
}

// What is shown of an evaluation covers all updates since the one before.
func TestSinceEvaluation(t *testing.T) {
	records := []Record{
		{Step: 0, ValLoss: new(9.0)},
		{Step: 1, Tokens: 100, TrainLoss: new(8.0), TokensPerSecond: new(1000.0)},
		{Step: 2, Tokens: 200, TrainLoss: new(6.0), TokensPerSecond: new(50.0), ValLoss: new(7.0)},
		{Step: 3, Tokens: 300, TrainLoss: new(5.0), TokensPerSecond: new(100.0)}, // 1 s
		{Step: 6, Tokens: 600, TrainLoss: new(2.0), TokensPerSecond: new(50.0)},  // 6 s, three updates
		{Step: 7, Tokens: 700, TrainLoss: new(1.0), TokensPerSecond: new(100.0), ValLoss: new(3.0)},
	}
	if r := sinceEvaluation(records); r.Step != 7 || *r.ValLoss != 3 || *r.TrainLoss != (5+3*2+1)/5.0 || *r.TokensPerSecond != 500/8.0 {
		t.Errorf("step %d: training loss %v, %v tokens/s", r.Step, *r.TrainLoss, *r.TokensPerSecond)
	}
	if *records[5].TrainLoss != 1 {
		t.Error("the record itself has changed")
	}
	if r := sinceEvaluation(records[:3]); *r.TrainLoss != 7 {
		t.Errorf("training loss %v, want 7", *r.TrainLoss)
	}
	if r := sinceEvaluation(records[:1]); r.TrainLoss != nil || r.TokensPerSecond != nil {
		t.Errorf("before the first update: %+v", r)
	}
}

// A crash may tear the last line; writing what was read mends the file.
func TestTornLine(t *testing.T) {
	path := filepath.Join(t.TempDir(), "metrics.jsonl")
	text := "{\"step\":1,\"tokens\":10}\n\n{\"step\":2,\"tokens\":20}\n{\"step\":3,\"tok"
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	records, err := ReadMetrics(path)
	if err != nil || len(records) != 2 || records[1].Step != 2 {
		t.Errorf("read %+v, %v", records, err)
	}
	if err := WriteMetrics(path, records); err != nil {
		t.Fatal(err)
	}
	f, err := OpenMetrics(path)
	if err != nil {
		t.Fatal(err)
	}
	f.Append(Record{Step: 3})
	f.Close()
	if records, err = ReadMetrics(path); err != nil || len(records) != 3 || records[2].Step != 3 {
		t.Errorf("read %+v, %v", records, err)
	}
}

func TestMetricsRefuse(t *testing.T) {
	path := filepath.Join(t.TempDir(), "metrics.jsonl")
	for text, want := range map[string]string{
		"{\"step\":1}\nnothing\n{\"step\":3}\n": ":2: is not a record: ",
		"{\"step\":1,\"lr\":\"high\"}\n":        ":1: is not a record: ",
	} {
		os.WriteFile(path, []byte(text), 0o644)
		if _, err := ReadMetrics(path); err == nil || !strings.HasPrefix(err.Error(), path+want) {
			t.Errorf("%q: %v, want %s", text, err, want)
		}
	}
	err := WriteMetrics(path, []Record{{Step: 7, ValLoss: new(math.NaN())}})
	if err == nil || !strings.Contains(err.Error(), "metrics of step 7: ") {
		t.Errorf("a loss of NaN: %v", err)
	}
}

func TestPeakRSS(t *testing.T) {
	before := PeakRSS()
	if before < 1<<20 {
		t.Fatalf("%d bytes", before)
	}
	block := make([]byte, before+64<<20) // more than free memory of the peak can hold
	for i := 0; i < len(block); i += 4096 {
		block[i] = 1
	}
	if after := PeakRSS(); after-before < 32<<20 {
		t.Errorf("grew from %d to %d bytes by a block 64 MiB larger than it was", before, after)
	}
}
