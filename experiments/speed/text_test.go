package main

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write tiny.txt again")

var names = strings.Fields("Ada Bob Cleo Dov Eve Finn Gus Hana Ivo Jack Kim Lou Max Nora Otto Pia Quentin Rex Sam Tess Uma Vera Will Xena Yuri Zoe")

// sums is a text of sums in words and digits.
func sums(lines int) string {
	r := rand.New(rand.NewPCG(1, 2))
	var text strings.Builder
	for range lines {
		name, a, b := names[r.IntN(len(names))], r.IntN(100), r.IntN(100)
		switch r.IntN(3) {
		case 0:
			fmt.Fprintf(&text, "%s adds %d to %d and quickly gets %d.\n", name, a, b, a+b)
		case 1:
			fmt.Fprintf(&text, "%s has %d of %d jars left after giving away %d.\n", name, a, a+b, b)
		default:
			fmt.Fprintf(&text, "%d rows of %d prizes make %d prizes for %s.\n", a, b, a*b, name)
		}
	}
	return text.String()
}

// The vocabulary of the tiny model is the 65 characters of its text.
func TestTinyText(t *testing.T) {
	const file = "tiny.txt"
	want := sums(300)
	if *update {
		if err := os.WriteFile(file, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if string(text) != want {
		t.Error("it is not the text that -update writes")
	}
	characters := map[rune]bool{}
	for _, c := range string(text) {
		characters[c] = true
	}
	if len(characters) != 65 {
		t.Errorf("%d different characters, want 65", len(characters))
	}
}
