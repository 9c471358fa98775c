package data

import ("testing";"context";"time";"fmt";"bytes")

func TestSmoke(t *testing.T) {
	for _, c := range []Config{
		{Path:"/work/shared/data/tinyshakespeare.txt", Holdout:0.1, Tokenizer:TokenizerConfig{Kind:Char}},
		{Path:"/work/shared/data/tinyshakespeare.txt", Holdout:0.1, Tokenizer:TokenizerConfig{Kind:BPE,Vocab:1024}},
		DefaultConfig(),
	} {
		dir := t.TempDir()
		for range 2 {
		start := time.Now()
		last := ""
		d, err := Open(context.Background(), c, dir, func(s string, done, total int64) {
			if s != last { fmt.Println(s, time.Since(start)); last = s }
		})
		if err != nil { t.Fatal(err) }
		fmt.Println(time.Since(start), d.Tokenizer.Vocab(), d.Train.Len(), d.Heldout.Len(), d.Documents, d.Bytes, d.HeldoutBytes, d.Warnings)
		ids := make([]int32, 60); d.Train.Read(ids, 1000); fmt.Printf("%q\n", d.Tokenizer.Decode(ids))
		u, err := ParseTokenizer(d.Tokenizer.JSON())
		if err != nil || !bytes.Equal(u.JSON(), d.Tokenizer.JSON()) { t.Fatal(err) }
		d.Close()
		}
	}
}
