//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package train

import (
	"errors"
	"fmt"
	"os"
	"syscall"
)

// lockFolder keeps a folder for this process until unlock is called or the
// process ends. It is an error if another one has it. A file system without
// locks gives none.
func lockFolder(dir string) (unlock func() error, err error) {
	f, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		err = fmt.Errorf("%s: another process trains in this folder: wait for its end, or choose another folder", dir)
		return nil, errors.Join(err, f.Close())
	}
	return f.Close, nil
}
