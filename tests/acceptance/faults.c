/* Faults from outside a process: preloaded, it fails, delays or hangs the file calls on the journal or the database,
 * moves the wall clock, and writes down every write and sync of the journal with its times. What to do is read from a
 * shared file, so that a test changes it while the process runs. Linux only.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

enum fault { NONE, NO_SPACE, WRITE_ERROR, SYNC_ERROR, HANG, SLOW, READ_ONLY, LIE };
enum place { ELSEWHERE = -1, JOURNAL, DATABASE, PLACES };
#define SLOW_US 5000000
#define NOTE_BYTES (1 << 18)
#define TURN "\"turn\":"

struct orders {
    volatile int32_t faults[PLACES];
    volatile int64_t wall_seconds;
};

struct note {
    uint64_t begun_ns, ended_ns, inode, offset, length;
    uint32_t kind, pid;
};

static struct orders calm, *orders = &calm;
static int trace = -1;

__attribute__((constructor)) static void begin(void) {
    const char *path = getenv("FAULTS_ORDERS"), *notes = getenv("FAULTS_TRACE");
    int file = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
    if (file >= 0) {
        void *shared = mmap(NULL, sizeof(struct orders), PROT_READ, MAP_SHARED, file, 0);
        if (shared != MAP_FAILED) orders = shared;
        close(file);
    }
    if (notes) trace = open(notes, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
}

#define REAL(name) static __typeof__(&name) real; if (!real) real = (__typeof__(&name))dlsym(RTLD_NEXT, #name)

static uint64_t now_ns(void) {
    struct timespec now;
    syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static enum place place_of(const char *path) {
    if (strstr(path, "/journal/")) return JOURNAL;
    if (strstr(path, "/zone.db")) return DATABASE;
    return ELSEWHERE;
}

static enum place place_of_file(int fd) {
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t got = readlink(link, path, sizeof path - 1);
    if (got <= 0) return ELSEWHERE;
    path[got] = 0;
    return place_of(path);
}

static enum fault fault_at(enum place place) { return place == ELSEWHERE ? NONE : (enum fault)orders->faults[place]; }

static void while_hung(enum place place) {
    while (fault_at(place) == HANG) usleep(5000);
}

/* 0, or the error of a write. */
static int write_fault(enum place place) {
    while_hung(place);
    switch (fault_at(place)) {
    case NO_SPACE: return ENOSPC;
    case WRITE_ERROR: return EIO;
    case READ_ONLY: return EROFS;
    default: return 0;
    }
}

static void note(uint32_t kind, int fd, uint64_t begun, uint64_t offset, const void *data, uint64_t length) {
    struct stat file;
    char record[sizeof(struct note) + NOTE_BYTES];
    if (trace < 0 || length > NOTE_BYTES || fstat(fd, &file)) return;
    struct note head = {begun, now_ns(), file.st_ino, offset, length, kind, (uint32_t)getpid()};
    memcpy(record, &head, sizeof head);
    if (length) memcpy(record + sizeof head, data, length);
    /* One call, so that two threads' notes do not mix; a note that is lost proves nothing durable, which fails a test. */
    ssize_t all = (ssize_t)(sizeof head + length);
    if (syscall(SYS_write, trace, record, all) != all) abort();
}

static int has_turn(const void *data, size_t length) { return memmem(data, length, TURN, sizeof TURN - 1) != NULL; }

#define PWRITE(name)                                                                     \
    ssize_t name(int fd, const void *data, size_t length, off_t offset) {                \
        REAL(name);                                                                      \
        enum place place = place_of_file(fd);                                            \
        if ((errno = write_fault(place))) return -1;                                     \
        uint64_t begun = now_ns();                                                       \
        ssize_t got = real(fd, data, length, offset);                                    \
        if (got > 0 && place == JOURNAL && has_turn(data, (size_t)got))                  \
            note(1, fd, begun, (uint64_t)offset, data, (uint64_t)got);                   \
        return got;                                                                      \
    }
PWRITE(pwrite)
PWRITE(pwrite64)

ssize_t write(int fd, const void *data, size_t length) {
    REAL(write);
    if (!orders->faults[JOURNAL] && !orders->faults[DATABASE]) return real(fd, data, length);
    if ((errno = write_fault(place_of_file(fd)))) return -1;
    return real(fd, data, length);
}

static int synced(int fd, int (*real)(int)) {
    enum place place = place_of_file(fd);
    while_hung(place);
    enum fault fault = fault_at(place);
    if (fault == LIE) return 0;
    if (fault == SYNC_ERROR || fault == WRITE_ERROR) {
        errno = EIO;
        return -1;
    }
    if (fault == SLOW) usleep(SLOW_US);
    uint64_t begun = now_ns();
    int got = real(fd);
    if (!got && place == JOURNAL) note(2, fd, begun, 0, NULL, 0);
    return got;
}

int fdatasync(int fd) { REAL(fdatasync); return synced(fd, real); }
int fsync(int fd) { REAL(fsync); return synced(fd, real); }

#define ALLOCATE(name, type)                                                             \
    int name(int fd, type offset, type length) {                                         \
        REAL(name);                                                                      \
        int fault = write_fault(place_of_file(fd));                                      \
        return fault ? fault : real(fd, offset, length);                                 \
    }
ALLOCATE(posix_fallocate, off_t)
ALLOCATE(posix_fallocate64, off64_t)

#define OPENAT(name)                                                                     \
    int name(int dir, const char *path, int flags, ...) {                                \
        REAL(name);                                                                      \
        va_list more;                                                                    \
        va_start(more, flags);                                                           \
        mode_t mode = (flags & (O_CREAT | O_TMPFILE)) ? va_arg(more, mode_t) : 0;        \
        va_end(more);                                                                    \
        if ((flags & O_ACCMODE) != O_RDONLY && fault_at(place_of(path)) == READ_ONLY) {  \
            errno = EROFS;                                                               \
            return -1;                                                                   \
        }                                                                                \
        return real(dir, path, flags, mode);                                             \
    }
OPENAT(openat)
OPENAT(openat64)

#define OPEN(name)                                                                       \
    int name(const char *path, int flags, ...) {                                         \
        REAL(name);                                                                      \
        va_list more;                                                                    \
        va_start(more, flags);                                                           \
        mode_t mode = (flags & (O_CREAT | O_TMPFILE)) ? va_arg(more, mode_t) : 0;        \
        va_end(more);                                                                    \
        if ((flags & O_ACCMODE) != O_RDONLY && fault_at(place_of(path)) == READ_ONLY) {  \
            errno = EROFS;                                                               \
            return -1;                                                                   \
        }                                                                                \
        return real(path, flags, mode);                                                  \
    }
OPEN(open)
OPEN(open64)

int clock_gettime(clockid_t clock, struct timespec *now) {
    int got = (int)syscall(SYS_clock_gettime, clock, now);
    if (!got && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) now->tv_sec += orders->wall_seconds;
    return got;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone) {
    int got = (int)syscall(SYS_gettimeofday, now, zone);
    if (!got) now->tv_sec += orders->wall_seconds;
    return got;
}

time_t time(time_t *to) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (to) *to = now.tv_sec;
    return now.tv_sec;
}
