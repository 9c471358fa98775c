package train

import (
	"bytes"
	"os"
	"strconv"
	"syscall"
)

// availableMemory returns the bytes that this process may use at most: those of
// the machine with its swap, or a limit below. ok is false if the system does
// not tell.
func availableMemory() (most int64, ok bool) {
	info, _ := os.ReadFile("/proc/meminfo")
	group, _ := os.ReadFile("/sys/fs/cgroup/memory.max")
	var space syscall.Rlimit
	_ = syscall.Getrlimit(syscall.RLIMIT_AS, &space) // if it fails, 0: no limit
	return memoryOf(info, int64(space.Cur), group)
}

// memoryOf is availableMemory of the content of /proc/meminfo, the limit of the
// address space, which is no limit unless it is above 0, and the content of the
// control group's memory.max, "max" for no limit. A file that is missing is
// empty.
func memoryOf(info []byte, space int64, group []byte) (most int64, ok bool) {
	for _, name := range []string{"MemTotal:", "SwapTotal:"} {
		if _, rest, found := bytes.Cut(info, []byte(name)); found {
			line, _, _ := bytes.Cut(rest, []byte("kB"))
			if kib, err := strconv.ParseInt(string(bytes.TrimSpace(line)), 10, 64); err == nil {
				most += kib << 10
			}
		}
	}
	limits := []int64{most, space}
	if limit, err := strconv.ParseInt(string(bytes.TrimSpace(group)), 10, 64); err == nil {
		limits = append(limits, limit)
	}
	most = 0
	for _, limit := range limits {
		if limit > 0 && (!ok || limit < most) {
			most, ok = limit, true
		}
	}
	return most, ok
}
