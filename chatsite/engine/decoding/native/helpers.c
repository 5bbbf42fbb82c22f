/* Threads that take parts of a job if they happen to have a processor.
 *
 * Whoever has a job does it and never waits for a helper that has not begun: on a machine where other programs run too,
 * waiting for all threads after each of the hundreds of small products of a step makes it several times slower. */

#include "step.h"

#if defined(__x86_64__) && defined(__linux__)

#include <immintrin.h>
#include <linux/futex.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/syscall.h>
#include <unistd.h>

/* How often a helper looks for the next job before it sleeps: about 50 microseconds, longer than between two products. */
#define PATIENCE 1500
/* An owner that had to wait for a helper much longer than a part takes, and so many ticks of the clock (about 20
 * microseconds), has no processor for it. It then works alone for a while: some milliseconds, and twice as long each time
 * that it happens again soon, up to half a second. */
#define LONG_WAIT 60000
#define LONG_PARTS 4
#define SHORTEST_REST (10ull << 20)
#define LONGEST_REST (1ull << 30)

static struct {
  void (*work)(const void *job, long part);
  const void *job;
  long parts;
} shared;

static atomic_long next_part;
static atomic_uint turn;
/* A job is open while its owner works at it. A helper counts itself in before it looks whether one is open, and the owner
 * closes the job and waits until nobody is in before the next one may take its place. */
static atomic_int open_job, inside, sleeping, started, wanted;
static pthread_mutex_t owner = PTHREAD_MUTEX_INITIALIZER;
static uint64_t alone_until, rest = SHORTEST_REST; /* the owner's */

/* Returns the ticks of the longest part that was taken. */
static uint64_t take_parts(void) {
  for (uint64_t longest = 0;;) {
    const long part = atomic_fetch_add(&next_part, 1);
    if (part >= shared.parts) return longest;
    const uint64_t begin = __rdtsc();
    shared.work(shared.job, part);
    const uint64_t ticks = __rdtsc() - begin;
    longest = ticks > longest ? ticks : longest;
  }
}

static unsigned wait_for_turn_after(unsigned seen) {
  for (;;) {
    for (int look = 0; look < PATIENCE; look++) {
      const unsigned now = atomic_load(&turn);
      if (now != seen) return now;
      _mm_pause();
    }
    atomic_fetch_add(&sleeping, 1);
    syscall(SYS_futex, &turn, FUTEX_WAIT_PRIVATE, seen, 0, 0, 0);
    atomic_fetch_sub(&sleeping, 1);
  }
}

static void *help(void *unused) {
  (void)unused;
  for (unsigned seen = 0;;) {
    seen = wait_for_turn_after(seen);
    atomic_fetch_add(&inside, 1);
    if (atomic_load(&open_job)) take_parts();
    atomic_fetch_sub(&inside, 1);
  }
  return 0;
}

static void start_helpers(void) {
  while (atomic_load(&started) < atomic_load(&wanted)) {
    pthread_t thread;
    if (pthread_create(&thread, 0, help, 0)) return;
    pthread_detach(thread);
    atomic_fetch_add(&started, 1);
  }
}

static void rest_after(uint64_t waited, uint64_t part) {
  if (waited > LONG_WAIT + LONG_PARTS * part) {
    alone_until = __rdtsc() + rest;
    rest = rest < LONGEST_REST ? 2 * rest : rest;
  } else if (rest > SHORTEST_REST) {
    rest -= rest / 64;
  }
}

static void do_with_help(void) {
  start_helpers();
  atomic_store(&next_part, 0);
  atomic_store(&open_job, 1);
  atomic_fetch_add(&turn, 1);
  if (atomic_load(&sleeping)) syscall(SYS_futex, &turn, FUTEX_WAKE_PRIVATE, atomic_load(&started), 0, 0, 0);
  const uint64_t part = take_parts(), end = __rdtsc();
  atomic_store(&open_job, 0);
  while (atomic_load(&inside)) _mm_pause();
  rest_after(__rdtsc() - end, part);
}

void share(void (*work)(const void *job, long part), const void *job, long parts) {
  pthread_mutex_lock(&owner);
  const int alone = parts < 2 || !atomic_load(&wanted) || __rdtsc() < alone_until;
  if (!alone) {
    shared.work = work, shared.job = job, shared.parts = parts;
    do_with_help();
  }
  pthread_mutex_unlock(&owner);
  for (long part = 0; alone && part < parts; part++) work(job, part);
}

int chatsite_supported(void) {
  return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
         __builtin_cpu_supports("avx512vnni");
}

/* How many threads may help from now on; those that were started stay, and sleep. */
void chatsite_helpers(int count) {
  atomic_store(&wanted, count);
}

#else

int chatsite_supported(void) { return 0; }
void chatsite_helpers(int count) { (void)count; }

#endif
