// Package study is what the experiments share: training a run of a study to
// its end, whatever of it exists already.
package study

import (
	"context"
	"errors"
	"math"

	"trefoil/config"
	"trefoil/train"
)

// Train makes the run of c in the folder dir. A run that is whole there is not
// made again, one that was stopped is continued. A loss that is not a number
// is an error.
func Train(ctx context.Context, c config.Config, dir string) (train.Result, error) {
	o := train.Options{Dir: dir}
	r, err := train.Run(ctx, c, o)
	if errors.Is(err, train.ErrExists) {
		o.Resume = true
		r, err = train.Run(ctx, c, o)
	}
	if err == nil && math.IsNaN(r.ValLoss) {
		err = errors.New("the loss is not a number")
	}
	return r, err
}
