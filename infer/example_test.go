package infer_test

import (
	"context"
	"fmt"
	"log"

	"trefoil/data"
	"trefoil/infer"
)

// From a text to ids, and from the ids that the model gives to text.
func Example() {
	model, err := infer.Open("runs/gocode/model.trefoil")
	if err != nil {
		log.Fatal(err)
	}
	tokenizer, err := data.ParseTokenizer(model.Tokenizer())
	if err != nil {
		log.Fatal(err)
	}
	ids := tokenizer.Encode(nil, []byte("func "))
	sampler := infer.NewSampler(infer.Sampling{Temperature: 0.8, Seed: 1})
	for id, err := range model.NewSession().Generate(context.Background(), ids, 200, sampler) {
		if err != nil {
			log.Fatal(err)
		}
		ids = append(ids, id)
	}
	fmt.Println(string(tokenizer.Decode(ids)))
}
