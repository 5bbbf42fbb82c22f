/* Threads that take parts of a job if they happen to have a processor.
 *
 * Whoever has a job does it and never waits for a helper that has not begun: on a machine where other programs run too,
 * waiting for all threads after each of the hundreds of small products of a step makes it several times slower. */

#include "kernels.h"

#if defined(__x86_64__) && defined(__linux__)

#include <immintrin.h>
#include <linux/futex.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/syscall.h>
#include <unistd.h>

/* How often a helper looks for the next job before it sleeps: about 50 microseconds, longer than between two products. */
#define SPINS_BEFORE_SLEEP 1500
/* An owner that had to wait for a helper much longer than a part takes, and so many ticks of the clock (about 20
 * microseconds), has no processor for it. It then works alone for a while: some milliseconds, and twice as long each time
 * that it happens again soon, up to half a second. */
#define MAX_WAIT_TICKS 60000
#define MAX_WAIT_PARTS 4
#define MIN_SOLO_TICKS (10ull << 20)
#define MAX_SOLO_TICKS (1ull << 30)

static struct {
  void (*work)(const void *job, long part);
  const void *job;
  long parts;
} current_job;

static atomic_long next_part;
static atomic_uint job_number;
/* A job is open while its owner works at it. A helper counts itself in before it looks whether one is open, and the owner
 * closes the job and waits until nobody is in before the next one may take its place. */
static atomic_int open_job, active_helpers, sleeping_helpers, started_helpers, wanted_helpers;
static pthread_mutex_t job_mutex = PTHREAD_MUTEX_INITIALIZER;
static uint64_t solo_until, solo_ticks = MIN_SOLO_TICKS; /* the owner's */

/* Returns the ticks of the longest part that was taken. */
static uint64_t run_parts(void) {
  for (uint64_t longest = 0;;) {
    const long part = atomic_fetch_add(&next_part, 1);
    if (part >= current_job.parts) return longest;
    const uint64_t begin = __rdtsc();
    current_job.work(current_job.job, part);
    const uint64_t ticks = __rdtsc() - begin;
    longest = ticks > longest ? ticks : longest;
  }
}

static unsigned wait_for_next_job(unsigned last_job) {
  for (;;) {
    for (int spin = 0; spin < SPINS_BEFORE_SLEEP; spin++) {
      const unsigned current = atomic_load(&job_number);
      if (current != last_job) return current;
      _mm_pause();
    }
    atomic_fetch_add(&sleeping_helpers, 1);
    syscall(SYS_futex, &job_number, FUTEX_WAIT_PRIVATE, last_job, 0, 0, 0);
    atomic_fetch_sub(&sleeping_helpers, 1);
  }
}

static void *run_helper(void *unused) {
  (void)unused;
  for (unsigned last_job = 0;;) {
    last_job = wait_for_next_job(last_job);
    atomic_fetch_add(&active_helpers, 1);
    if (atomic_load(&open_job)) run_parts();
    atomic_fetch_sub(&active_helpers, 1);
  }
  return 0;
}

static void start_helpers(void) {
  while (atomic_load(&started_helpers) < atomic_load(&wanted_helpers)) {
    pthread_t thread;
    if (pthread_create(&thread, 0, run_helper, 0)) return;
    pthread_detach(thread);
    atomic_fetch_add(&started_helpers, 1);
  }
}

static void update_solo_ticks(uint64_t waited, uint64_t part) {
  if (waited > MAX_WAIT_TICKS + MAX_WAIT_PARTS * part) {
    solo_until = __rdtsc() + solo_ticks;
    solo_ticks = solo_ticks < MAX_SOLO_TICKS ? 2 * solo_ticks : solo_ticks;
  } else if (solo_ticks > MIN_SOLO_TICKS) {
    solo_ticks -= solo_ticks / 64;
  }
}

static void run_with_helpers(void) {
  start_helpers();
  atomic_store(&next_part, 0);
  atomic_store(&open_job, 1);
  atomic_fetch_add(&job_number, 1);
  if (atomic_load(&sleeping_helpers)) syscall(SYS_futex, &job_number, FUTEX_WAKE_PRIVATE, atomic_load(&started_helpers), 0, 0, 0);
  const uint64_t part = run_parts(), end = __rdtsc();
  atomic_store(&open_job, 0);
  while (atomic_load(&active_helpers)) _mm_pause();
  update_solo_ticks(__rdtsc() - end, part);
}

void parallel_for(void (*work)(const void *job, long part), const void *job, long parts) {
  pthread_mutex_lock(&job_mutex);
  const int is_solo = parts < 2 || !atomic_load(&wanted_helpers) || __rdtsc() < solo_until;
  if (!is_solo) {
    current_job.work = work, current_job.job = job, current_job.parts = parts;
    run_with_helpers();
  }
  pthread_mutex_unlock(&job_mutex);
  for (long part = 0; is_solo && part < parts; part++) work(job, part);
}

int chatsite_is_supported(void) {
  return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
         __builtin_cpu_supports("avx512vnni");
}

/* How many threads may help from now on; those that were started stay, and sleep. */
void chatsite_set_helpers(int count) {
  atomic_store(&wanted_helpers, count);
}

#else

int chatsite_is_supported(void) { return 0; }
void chatsite_set_helpers(int count) { (void)count; }

#endif
