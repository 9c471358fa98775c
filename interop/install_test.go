package interop

import (
	"context"
	"crypto/sha256"
	"debug/elf"
	_ "embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
)

//go:embed requirements.txt
var requirements []byte

// nodeLlama is the version of node-llama-cpp, llama.cpp for Node.
const nodeLlama = "3.22.1"

// installTime is how long a package manager may take.
const installTime = 10 * time.Minute

// An unavailable error says that a reader cannot be had on this computer.
type unavailable struct{ error }

// optIn skips a test unless it was asked for.
func optIn(t *testing.T) {
	t.Helper()
	if os.Getenv("TREFOIL_INTEROP") != "1" {
		t.Skip("this test installs llama.cpp, transformers and others, 1 GB to download: run it with TREFOIL_INTEROP=1 go test -v ./interop/...")
	}
}

// have returns a program that install installs, and skips the test if it
// cannot be had.
func have(t *testing.T, install func() (string, error)) string {
	t.Helper()
	optIn(t)
	path, err := install()
	if errors.As(err, new(unavailable)) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// installPython returns a Python interpreter with the packages of
// requirements.txt.
var installPython = sync.OnceValues(func() (string, error) {
	version, err := exec.Command("python3", "--version").Output()
	if err != nil {
		return "", unavailable{fmt.Errorf("python3 --version: %w", err)}
	}
	pins := append(version, requirements...)
	dir, err := cached("python", pins, func(dir string) error {
		python := filepath.Join(dir, "bin", "python")
		if err := install(dir, "python3", "-m", "venv", dir); err != nil {
			return err
		}
		list := filepath.Join(dir, "requirements.txt")
		if err := os.WriteFile(list, requirements, 0o666); err != nil {
			return err
		}
		if err := install(dir, python, "-m", "pip", "install", "--quiet", "--no-deps", "-r", list); err != nil {
			return err
		}
		return withoutCUDA(dir)
	})
	return filepath.Join(dir, "bin", "python"), err
})

// installNode returns a folder in which Node finds node-llama-cpp. That is
// installed without llama.cpp for graphics cards, 600 MB, and without the
// scripts that would build llama.cpp where no built one fits.
var installNode = sync.OnceValues(func() (string, error) {
	if _, err := exec.LookPath("node"); err != nil {
		return "", unavailable{err}
	}
	platform, ok := map[string]string{
		"linux/amd64": "linux-x64", "linux/arm64": "linux-arm64", "darwin/amd64": "mac-x64", "darwin/arm64": "mac-arm64-metal",
	}[runtime.GOOS+"/"+runtime.GOARCH]
	if !ok {
		return "", unavailable{fmt.Errorf("node-llama-cpp is not tried on %s/%s", runtime.GOOS, runtime.GOARCH)}
	}
	pins := []string{"node-llama-cpp@" + nodeLlama, "@node-llama-cpp/" + platform + "@" + nodeLlama}
	return cached("node", fmt.Append(nil, pins), func(dir string) error {
		options := []string{"install", "--prefix", dir, "--omit=optional", "--ignore-scripts", "--no-audit", "--no-fund"}
		return install(dir, "npm", append(options, pins...)...)
	})
})

// cached returns a folder of the user's cache that fill fills, unless an
// earlier run did. It has one name for one content of the pins.
func cached(name string, pins []byte, fill func(dir string) error) (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(cache, "trefoil-interop", fmt.Sprintf("%s-%.6x", name, sha256.Sum256(pins)))
	if _, err := os.Stat(dir); err == nil {
		return dir, nil
	}
	partial := fmt.Sprintf("%s.partial-%d", dir, os.Getpid())
	if err := os.MkdirAll(partial, 0o777); err != nil {
		return "", err
	}
	defer os.RemoveAll(partial)
	if err := fill(partial); err != nil {
		return "", err
	}
	if err := os.Rename(partial, dir); err != nil && !errors.Is(err, fs.ErrExist) {
		return "", err
	}
	return dir, nil
}

// install runs a program that installs something.
func install(dir, program string, args ...string) error {
	ctx, cancel := context.WithTimeout(context.Background(), installTime)
	defer cancel()
	c := exec.CommandContext(ctx, program, args...)
	c.Dir = dir
	if out, err := c.CombinedOutput(); err != nil {
		return unavailable{fmt.Errorf("%s: %w\n%s", c, errors.Join(err, ctx.Err()), out)}
	}
	return nil
}

// withoutCUDA lets torch start without NVIDIA's libraries. On Linux its
// package is linked to 3 GB of them, of which a computer's own processor
// needs none: their names become links to a library of torch that is empty,
// and Python is told to look up functions when they are first called.
func withoutCUDA(dir string) error {
	found, err := filepath.Glob(filepath.Join(dir, "lib", "python3*", "site-packages"))
	if err != nil || len(found) != 1 {
		return fmt.Errorf("%s: %d folders of packages, want one: %w", dir, len(found), err)
	}
	packages := found[0]
	lib := filepath.Join(packages, "torch", "lib")
	if _, err := os.Stat(filepath.Join(lib, "libtorch_cuda.so")); err != nil {
		return nil // not built for CUDA
	}
	present := map[string]bool{}
	err = filepath.WalkDir(packages, func(path string, _ fs.DirEntry, err error) error {
		present[filepath.Base(path)] = true
		return err
	})
	if err != nil {
		return err
	}
	libraries, err := filepath.Glob(filepath.Join(lib, "*.so"))
	if err != nil {
		return err
	}
	for _, library := range libraries {
		needed, err := imported(library)
		if err != nil {
			return err
		}
		for _, name := range needed {
			if present[name] || !strings.HasPrefix(name, "libcu") && !strings.HasPrefix(name, "libnccl") && !strings.HasPrefix(name, "libnvrtc") {
				continue
			}
			present[name] = true
			if err := os.Symlink("libtorch_global_deps.so", filepath.Join(lib, name)); err != nil {
				return err
			}
		}
	}
	lazy := []byte("import os, sys; sys.setdlopenflags(os.RTLD_LAZY)\n")
	return os.WriteFile(filepath.Join(packages, "lazy.pth"), lazy, 0o666)
}

// imported lists the libraries that a library is linked to.
func imported(library string) ([]string, error) {
	f, err := elf.Open(library)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return f.ImportedLibraries()
}
