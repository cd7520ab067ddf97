/* Lets one call of a process fail: preloaded, as `calls.py` says. Linux with glibc.

   FAILING_CALL   read write open malloc mmap poll thread pipe dup
   FAILING_AT     the number of the call that fails, 0 for none
   FAILING_MORE   1: every one after it fails too
   FAILING_ROLE   recorder or worker: whose calls they are
   FAILING_SEEN   a file of 88 bytes: calls so far, whether one has failed, whether libpulse has given
                  up for want of memory, and whose malloc failed last; shared by workers

   Calls count from the moment that the program's own first module is opened: what was before it is
   the interpreter's. The other role keeps this library and does nothing with it. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static struct { volatile int64_t count, failed, given_up; char whose[64]; } *seen;
static const char *call;
static int64_t at;
static int more, armed, mine;

#define REAL(name) static __typeof__(&name) real; if (!real) real = dlsym(RTLD_NEXT, #name)

__attribute__((constructor)) static void begin(int argc, char **argv) {
  const char *role = getenv("FAILING_ROLE"), *path = getenv("FAILING_SEEN");
  call = getenv("FAILING_CALL");
  if (!call || !role || !path) return;
  int worker = 0;
  for (int i = 1; i < argc; i++) worker |= !strcmp(argv[i], "worker");
  if (worker != !strcmp(role, "worker")) return;
  at = atoll(getenv("FAILING_AT"));
  more = !strcmp(getenv("FAILING_MORE"), "1");
  int fd = open(path, O_RDWR | O_CLOEXEC);
  void *page = mmap(NULL, sizeof *seen, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  close(fd);
  if (page == MAP_FAILED) return;
  seen = page;
  mine = getpid();
}

static int fails(const char *name) {
  if (!armed || strcmp(name, call) || getpid() != mine) return 0; /* not in a fork before exec */
  int64_t number = __atomic_add_fetch(&seen->count, 1, __ATOMIC_SEQ_CST);
  if (!at || (number != at && !(more && number > at))) return 0;
  seen->failed = 1;
  return 1;
}

static int opened(const char *path) {
  if (seen && !armed && strstr(path, "parakeet_coreml/")) armed = 1;
  return fails("open");
}

ssize_t read(int fd, void *data, size_t size) {
  REAL(read);
  if (fails("read")) { errno = EIO; return -1; }
  return real(fd, data, size);
}

/* What libpulse says before it ends the process, and nobody hears while fd 2 is mute, as it is
   while PortAudio loads. */
static const char last_words[] = "Not enough memory\n";

ssize_t write(int fd, const void *data, size_t size) {
  REAL(write);
  if (seen && fd == 2 && size == sizeof last_words - 1 && !memcmp(data, last_words, size))
    seen->given_up = 1;
  if (fails("write")) { errno = EIO; return -1; }
  return real(fd, data, size);
}

#define OPEN(name)                                    \
  int name(const char *path, int flags, ...) {        \
    REAL(name);                                       \
    va_list list; va_start(list, flags);              \
    int mode = va_arg(list, int); va_end(list);       \
    if (opened(path)) { errno = EMFILE; return -1; }  \
    return real(path, flags, mode);                   \
  }
OPEN(open)
OPEN(open64)

/* Whose call fails: the file that the caller's code is in. */
static int fails_for(const void *caller) {
  Dl_info from;
  if (!fails("malloc")) return 0;
  if (dladdr(caller, &from) && from.dli_fname) {
    const char *name = strrchr(from.dli_fname, '/');
    strncpy(seen->whose, name ? name + 1 : from.dli_fname, sizeof seen->whose - 1);
  }
  errno = ENOMEM;
  return 1;
}

extern void *__libc_malloc(size_t), *__libc_calloc(size_t, size_t), *__libc_realloc(void *, size_t);

void *malloc(size_t size) {
  if (fails_for(__builtin_return_address(0))) return NULL;
  return __libc_malloc(size);
}

void *calloc(size_t count, size_t size) {
  if (fails_for(__builtin_return_address(0))) return NULL;
  return __libc_calloc(count, size);
}

void *realloc(void *old, size_t size) {
  if (fails_for(__builtin_return_address(0))) return NULL;
  return __libc_realloc(old, size);
}

#define MMAP(name)                                                                     \
  void *name(void *where, size_t size, int protection, int flags, int fd, off_t from) { \
    REAL(name);                                                                        \
    if (fails("mmap")) { errno = ENOMEM; return MAP_FAILED; }                          \
    return real(where, size, protection, flags, fd, from);                             \
  }
MMAP(mmap)
MMAP(mmap64)

int poll(struct pollfd *list, nfds_t count, int wait) {
  REAL(poll);
  if (fails("poll")) { errno = ENOMEM; return -1; }
  return real(list, count, wait);
}

int pthread_create(pthread_t *thread, const pthread_attr_t *how, void *(*run)(void *), void *with) {
  REAL(pthread_create);
  if (fails("thread")) return EAGAIN;
  return real(thread, how, run, with);
}

int pipe(int ends[2]) {
  REAL(pipe);
  if (fails("pipe")) { errno = EMFILE; return -1; }
  return real(ends);
}

int pipe2(int ends[2], int flags) {
  REAL(pipe2);
  if (fails("pipe")) { errno = EMFILE; return -1; }
  return real(ends, flags);
}

int dup(int fd) {
  REAL(dup);
  if (fails("dup")) { errno = EMFILE; return -1; }
  return real(fd);
}

int dup2(int fd, int as) {
  REAL(dup2);
  if (fails("dup")) { errno = EMFILE; return -1; }
  return real(fd, as);
}

#define FCNTL(name)                                                                        \
  int name(int fd, int what, ...) {                                                        \
    REAL(name);                                                                            \
    va_list list; va_start(list, what);                                                    \
    void *with = va_arg(list, void *); va_end(list);                                       \
    if ((what == F_DUPFD || what == F_DUPFD_CLOEXEC) && fails("dup")) { errno = EMFILE; return -1; } \
    return real(fd, what, with);                                                           \
  }
FCNTL(fcntl)
FCNTL(fcntl64)
