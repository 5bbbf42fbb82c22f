/* What a step of decoding is made of, where the processor multiplies bytes (AVX-512 VNNI). */

#ifndef CHATSITE_KERNELS_H
#define CHATSITE_KERNELS_H

#include <stdint.h>

/* Inputs that are rounded together: an outlier coarsens only its neighbours (docs/decisions/0008-decoding.md). */
#define GROUP 64

/* Eight-bit weights in the order in which they are read: 64 outputs, four inputs; next four inputs; next 64 outputs. They
 * are unsigned, 128 more than what they stand for. */
struct matrix {
  const uint8_t *weights; /* [blocks][inputs / 4][64][4] */
  const float *scales;    /* [outputs] */
  const float *bias;      /* [outputs], or null */
  long inputs;            /* a multiple of 4 */
  long outputs;
};

/* Room for rounded rows of up to `inputs` numbers: the numbers [rows][inputs]; of each group what a result is to be
 * multiplied by, and -128 times the sum of its numbers, which takes off what the weights have too much. */
struct buffer {
  int8_t *rounded;
  float *scales;
  int32_t *shifts;
};

#if defined(__x86_64__) && defined(__linux__)

#include <immintrin.h>

#define LANES 16
#define AVX512 __attribute__((target("avx512f,avx512bw,avx512vl,avx512vnni")))

/* Do all parts of a job, with the helpers that have a processor. */
void parallel_for(void (*work)(const void *job, long part), const void *job, long parts);

/* `count` rows of `inputs` floats to rows of `matrix->outputs` floats. */
void matmul(const struct matrix *matrix, const float *rows, long inputs, long count, struct buffer buffer, float *results);

/* What a query, [width], sees of the first `length` of some positions, or of those that are listed. Keys and values are
 * [positions][width] each. */
void attend(
    const float *query, const float *keys, const float *values, const long *positions, long length, long width, float *attended);

/* `addend` is added to `x`; `count` is a multiple of 16. */
void add_rows(float *x, const float *addend, long count);

/* e to the power of 16 numbers, by glibc's vector library, whose header offers it to loops only. */
AVX512 extern __m512 _ZGVeN16v_expf(__m512);
#define exp_lanes _ZGVeN16v_expf

#endif

static inline long max_long(long a, long b) { return a > b ? a : b; }

#endif
