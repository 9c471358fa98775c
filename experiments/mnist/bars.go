package main

import (
	"errors"
	"fmt"
)

// What the study must show, in shares of the held-out digits, mean over seeds.
const (
	floatBar      = 0.97 // accuracy in float32
	integerMargin = 0.01 // of int8 below it
	ternaryMargin = 0.02 // of b1.58 below it
)

// missed reports the bars that the outcomes do not reach. Those of recipes that
// were left out are not looked at.
func missed(outcomes []outcome) error {
	accuracy := map[string]float64{}
	for _, o := range outcomes {
		accuracy[o.recipe.name] = mean(o.graph)
	}
	full, ok := accuracy["float32"]
	if !ok {
		return nil
	}
	var errs []error
	if full < floatBar {
		errs = append(errs, fmt.Errorf("float32 has an accuracy of %.2f %%, less than the %.0f %% it should have", 100*full, 100*floatBar))
	}
	for _, bar := range []struct {
		name   string
		margin float64
	}{{"W8A8", integerMargin}, {"b1.58", ternaryMargin}} {
		if a, ok := accuracy[bar.name]; ok && a < full-bar.margin {
			errs = append(errs, fmt.Errorf("%s has an accuracy of %.2f %%, more than %.0f points below float32's %.2f %%", bar.name, 100*a, 100*bar.margin, 100*full))
		}
	}
	return errors.Join(errs...)
}
