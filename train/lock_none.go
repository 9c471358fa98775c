//go:build !(darwin || dragonfly || freebsd || linux || netbsd || openbsd)

package train

// lockFolder does nothing: folders cannot be locked on this system.
func lockFolder(string) (unlock func() error, err error) { return func() error { return nil }, nil }
