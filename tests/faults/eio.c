/* A disk that fails: reads, writes or flushes of one file end in EIO after so many bytes. LD_PRELOAD, see eio.py.
 *
 * EIO_ON     read, write or fsync
 * EIO_FILE   a part of the file's path
 * EIO_AFTER  so many bytes go well first
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

static _Atomic long long passed;

static int fails(const char *what, int descriptor, size_t bytes)
{
    const char *on = getenv("EIO_ON"), *file = getenv("EIO_FILE"), *after = getenv("EIO_AFTER");
    char link[32], path[PATH_MAX];
    int before = errno;
    if (!on || !file || !after || strcmp(on, what) != 0)
        return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
    ssize_t length = readlink(link, path, sizeof path - 1);
    errno = before;
    if (length < 0)
        return 0;
    path[length] = 0;
    if (!strstr(path, file) || atomic_fetch_add(&passed, (long long)bytes) + (long long)bytes <= atoll(after))
        return 0;
    errno = EIO;
    return 1;
}

#define NEXT(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))
#define IS_HERE(what, descriptor, bytes, otherwise) return fails(what, descriptor, bytes) ? -1 : otherwise

ssize_t read(int fd, void *to, size_t n) { IS_HERE("read", fd, n, NEXT(read)(fd, to, n)); }
ssize_t pread(int fd, void *to, size_t n, off_t at) { IS_HERE("read", fd, n, NEXT(pread)(fd, to, n, at)); }
ssize_t pread64(int fd, void *to, size_t n, off64_t at) { IS_HERE("read", fd, n, NEXT(pread64)(fd, to, n, at)); }
ssize_t write(int fd, const void *of, size_t n) { IS_HERE("write", fd, n, NEXT(write)(fd, of, n)); }
ssize_t pwrite(int fd, const void *of, size_t n, off_t at) { IS_HERE("write", fd, n, NEXT(pwrite)(fd, of, n, at)); }
ssize_t pwrite64(int fd, const void *of, size_t n, off64_t at) { IS_HERE("write", fd, n, NEXT(pwrite64)(fd, of, n, at)); }
int fsync(int fd) { IS_HERE("fsync", fd, 1, NEXT(fsync)(fd)); }
int fdatasync(int fd) { IS_HERE("fsync", fd, 1, NEXT(fdatasync)(fd)); }

ssize_t writev(int fd, const struct iovec *of, int n)
{
    size_t bytes = 0;
    for (int i = 0; i < n; i++)
        bytes += of[i].iov_len;
    IS_HERE("write", fd, bytes, NEXT(writev)(fd, of, n));
}

/* The C library's streams make their system calls past everybody. What fits their buffer is taken by any disk, at first. */
size_t fread(void *to, size_t size, size_t n, FILE *file)
{
    return fails("read", fileno(file), size * n) ? 0 : NEXT(fread)(to, size, n, file);
}
size_t fwrite(const void *of, size_t size, size_t n, FILE *file)
{
    return size * n >= 4096 && fails("write", fileno(file), size * n) ? 0 : NEXT(fwrite)(of, size, n, file);
}
