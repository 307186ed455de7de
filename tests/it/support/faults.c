/* Loaded before the C library: makes disk and clock of one process do what they do on a bad day.
 *
 * The directory that the variable FAULTS_DIR names holds the orders, and may change at any time:
 *   read, write, sync   every such call on a file whose path contains the content fails with EIO
 *   clock               seconds by which the wall clock is ahead; the monotonic one is as it is
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

/* The content of an order; 0 if it is not there. By system calls, as the functions are replaced below. */
static int order(const char *name, char *content, size_t size) {
    char path[4096];
    const char *dir = getenv("FAULTS_DIR");
    if (dir == NULL) return 0;
    int before = errno;
    snprintf(path, sizeof path, "%s/%s", dir, name);
    long fd = syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC, 0);
    long n = -1;
    if (fd >= 0) {
        n = syscall(SYS_read, (int)fd, content, size - 1);
        syscall(SYS_close, (int)fd);
    }
    errno = before;
    if (n < 0) return 0;
    content[n] = 0;
    return 1;
}

static int fails(const char *call, int fd) {
    char part[256], link[64], path[4096];
    if (!order(call, part, sizeof part)) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, path, sizeof path - 1);
    if (n < 0) return 0;
    path[n] = 0;
    if (strstr(path, part) == NULL) return 0;
    errno = EIO;
    return 1;
}

#define REPLACE(call, result, name, parameters, arguments)                    \
    result name parameters {                                                  \
        static result(*real) parameters;                                      \
        if (fails(call, fd)) return -1;                                       \
        if (real == NULL) *(void **)&real = dlsym(RTLD_NEXT, #name);          \
        return real arguments;                                                \
    }

REPLACE("read", ssize_t, read, (int fd, void *to, size_t n), (fd, to, n))
REPLACE("read", ssize_t, pread, (int fd, void *to, size_t n, off_t at), (fd, to, n, at))
REPLACE("read", ssize_t, pread64, (int fd, void *to, size_t n, off64_t at), (fd, to, n, at))
REPLACE("write", ssize_t, write, (int fd, const void *from, size_t n), (fd, from, n))
REPLACE("write", ssize_t, writev, (int fd, const struct iovec *from, int n), (fd, from, n))
REPLACE("write", ssize_t, pwrite, (int fd, const void *from, size_t n, off_t at), (fd, from, n, at))
REPLACE("write", ssize_t, pwrite64, (int fd, const void *from, size_t n, off64_t at), (fd, from, n, at))
REPLACE("sync", int, fsync, (int fd), (fd))
REPLACE("sync", int, fdatasync, (int fd), (fd))
REPLACE("sync", int, sync_file_range, (int fd, off64_t at, off64_t n, unsigned how), (fd, at, n, how))

int clock_gettime(clockid_t clock, struct timespec *to) {
    static int (*real)(clockid_t, struct timespec *);
    char seconds[32];
    if (real == NULL) *(void **)&real = dlsym(RTLD_NEXT, "clock_gettime");
    int res = real(clock, to);
    if (res == 0 && clock == CLOCK_REALTIME && order("clock", seconds, sizeof seconds)) to->tv_sec += atol(seconds);
    return res;
}
