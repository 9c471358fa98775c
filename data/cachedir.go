package data

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"time"
)

// CacheDir is the folder for vocabularies and token ids: trefoil in the user's cache
// folder.
func CacheDir() (string, error) {
	dir, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("no folder for caches: %w", err)
	}
	return filepath.Join(dir, "trefoil"), nil
}

// openDir makes the folder of the cache.
func (o *opener) openDir() (err error) {
	if o.dir == "" {
		if o.dir, err = CacheDir(); err != nil {
			return err
		}
	}
	if err := os.MkdirAll(o.dir, 0o755); err != nil {
		return err
	}
	removeStale(o.dir)
	return nil
}

// uncached gives up the cache, which cannot be written.
func (o *opener) uncached(err error) {
	o.noCache = err
	o.warnings = append(o.warnings, fmt.Sprintf("the cache cannot be written: %v: the token ids stay in memory, and the next run makes them again: %s", err, cacheRemedy()))
}

// cacheRemedy says how to have the cache elsewhere.
func cacheRemedy() string {
	variable := "XDG_CACHE_HOME"
	switch runtime.GOOS {
	case "windows":
		variable = "LocalAppData"
	case "darwin":
		variable = "HOME"
	}
	return fmt.Sprintf("make room there, or set the variable %s to a folder that can be written", variable)
}

var temporary = regexp.MustCompile(`\.(vocabulary|train|heldout)\.\d+-\d+\.tmp$`)

// removeStale removes what runs that were killed more than a day ago left.
func removeStale(dir string) {
	entries, _ := os.ReadDir(dir)
	for _, e := range entries {
		info, err := e.Info()
		if err == nil && temporary.MatchString(e.Name()) && time.Since(info.ModTime()) > 24*time.Hour {
			os.Remove(filepath.Join(dir, e.Name()))
		}
	}
}
