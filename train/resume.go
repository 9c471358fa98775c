package train

import (
	"fmt"

	"trefoil/config"
	"trefoil/export"
)

// sameConfig checks that a configuration is the one that the run in a folder
// began with. The name may change, and so may the place of the text: sameText
// looks at the text itself.
func sameConfig(now config.Config, dir string) error {
	folder := export.Folder(dir)
	f, s, err := openCheckpoint(folder.Last())
	if err != nil {
		return unreadable(err, dir)
	}
	defer f.Close()
	if s.Config == "" { // a checkpoint of an earlier version
		return nil
	}
	then, err := config.Parse(folder.Last(), []byte(s.Config))
	if err != nil {
		return err
	}
	then.Name, then.Data.Path = now.Name, now.Data.Path
	return orBeginAnew(config.Changed(folder.Config(), now.Text(), then.Text()))
}

// sameRecipe checks that the text of a configuration is the one that the run
// in a folder began with.
func sameRecipe(now, dir string) error {
	last := export.Folder(dir).Last()
	f, s, err := openCheckpoint(last)
	if err != nil {
		return unreadable(err, dir)
	}
	defer f.Close()
	return orBeginAnew(config.Changed("the configuration of "+last, now, s.Config))
}

// unreadable says what to do about a last checkpoint that cannot be read.
func unreadable(err error, dir string) error {
	return fmt.Errorf("%w: bring the file back, or begin a new run from the best checkpoint: -from %s", err, dir)
}

// orBeginAnew adds to the error of a changed configuration what else can be
// done.
func orBeginAnew(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%w, or begin a new run, with the weights of this one by -from", err)
}
