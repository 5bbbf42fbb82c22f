/* Products of a few rows of floats with a matrix of eight-bit integers.
 *
 * A row is rounded to 255 levels in groups of 64, each by its own largest magnitude, multiplied as integers, and scaled
 * back, so what a row gives never depends on the rows beside it. One row is bound by the speed of memory, many by that
 * of the multiplications (VPDPBUSD: unsigned weights by signed inputs). */

#include "kernels.h"

#if defined(__x86_64__) && defined(__linux__)

#include <string.h>

#define BLOCK_OUTPUTS 64 /* in a block */
#define MAX_BLOCK_ROWS 5 /* through a block at a time: the sums of more do not fit into the registers */
#define UNROLL _Pragma("GCC unroll 8")

struct matmul_job {
  const struct matrix *matrix;
  struct buffer buffer;
  float *results;
  long count;
};

/* Sums of `rows` rows with a part of one block's weights, [rows][64]; `rows` is a constant wherever this is expanded. The
 * rows lie `stride` numbers apart. */
AVX512 static inline __attribute__((always_inline)) void sum_rows(
    const int rows, const uint8_t *weights, const int8_t *row, long stride, long inputs, int32_t *block_sums) {
  __m512i sums[MAX_BLOCK_ROWS][4];
  UNROLL for (int r = 0; r < rows; r++) UNROLL for (int v = 0; v < 4; v++) sums[r][v] = _mm512_setzero_si512();
  for (long input = 0; input < inputs; input += 4) {
    __m512i weight[4];
    UNROLL for (int v = 0; v < 4; v++) weight[v] = _mm512_loadu_si512(weights + input * BLOCK_OUTPUTS + v * 64);
    UNROLL for (int r = 0; r < rows; r++) {
      int32_t quad;
      memcpy(&quad, row + r * stride + input, 4);
      const __m512i value = _mm512_set1_epi32(quad);
      UNROLL for (int v = 0; v < 4; v++) sums[r][v] = _mm512_dpbusd_epi32(sums[r][v], weight[v], value);
    }
  }
  UNROLL for (int r = 0; r < rows; r++) UNROLL for (int v = 0; v < 4; v++)
    _mm512_storeu_si512(block_sums + r * BLOCK_OUTPUTS + v * 16, sums[r][v]);
}

/* Each number of rows is a function of its own that does nothing else, or the compiler moves the sums out of the
 * registers, which makes it two to three times slower. */
#define SUM_ROWS(ROWS) \
  AVX512 static __attribute__((noinline)) void sum_##ROWS( \
      const uint8_t *weights, const int8_t *row, long stride, long inputs, int32_t *block_sums) { \
    sum_rows(ROWS, weights, row, stride, inputs, block_sums); \
  }
SUM_ROWS(1)
SUM_ROWS(2)
SUM_ROWS(3)
SUM_ROWS(4)
SUM_ROWS(5)

static void (*const sum[])(const uint8_t *, const int8_t *, long, long, int32_t *) = {0, sum_1, sum_2, sum_3, sum_4, sum_5};

/* Add one group's sums to what was found of a block, [rows][64]. */
AVX512 static void add_group(const struct buffer *buffer, long offset, long groups, long rows, const int32_t *sums, float *block_sums) {
  for (long r = 0; r < rows; r++, offset += groups) {
    const __m512 scale = _mm512_set1_ps(buffer->scales[offset]);
    const __m512i shift = _mm512_set1_epi32(buffer->shifts[offset]);
    UNROLL for (int v = 0; v < 4; v++) {
      float *to = block_sums + r * BLOCK_OUTPUTS + v * 16;
      const __m512i exact = _mm512_add_epi32(_mm512_loadu_si512(sums + r * BLOCK_OUTPUTS + v * 16), shift);
      _mm512_storeu_ps(to, _mm512_fmadd_ps(_mm512_cvtepi32_ps(exact), scale, _mm512_loadu_ps(to)));
    }
  }
}

/* Products of some rows with one block's weights, [rows][64], but for the weights' scales and the bias. */
static void matmul_groups(
    const uint8_t *weights, const struct buffer *buffer, long first, long rows, long inputs, float *block_sums) {
  const long groups = (inputs + GROUP - 1) / GROUP;
  int32_t sums[MAX_BLOCK_ROWS * BLOCK_OUTPUTS];
  memset(block_sums, 0, (size_t)(rows * BLOCK_OUTPUTS) * sizeof(float));
  for (long group = 0; group < groups; group++) {
    const long begin = group * GROUP, count = inputs - begin < GROUP ? inputs - begin : GROUP;
    sum[rows](weights + begin * BLOCK_OUTPUTS, buffer->rounded + first * inputs + begin, inputs, count, sums);
    add_group(buffer, first * groups + group, groups, rows, sums, block_sums);
  }
}

/* What was found of a block, to the results. */
AVX512 static void write_results(const struct matmul_job *matmul_job, long first, long rows, long block, const float *block_sums) {
  const struct matrix *matrix = matmul_job->matrix;
  for (int v = 0; v < 4; v++) {
    const long output = block * BLOCK_OUTPUTS + v * 16, left = matrix->outputs - output;
    if (left <= 0) return;
    const __mmask16 mask = left >= 16 ? 0xffff : (__mmask16)((1u << left) - 1);
    const __m512 scale = _mm512_maskz_loadu_ps(mask, matrix->scales + output);
    const __m512 bias = matrix->bias ? _mm512_maskz_loadu_ps(mask, matrix->bias + output) : _mm512_setzero_ps();
    for (long r = 0; r < rows; r++) {
      const __m512 sum = _mm512_loadu_ps(block_sums + r * BLOCK_OUTPUTS + v * 16);
      float *result = matmul_job->results + (first + r) * matrix->outputs + output;
      _mm512_mask_storeu_ps(result, mask, _mm512_fmadd_ps(sum, scale, bias));
    }
  }
}

/* All rows times one block, a few at a time, as equally many as can be. */
static void matmul_block(const void *job, long block) {
  const struct matmul_job *matmul_job = job;
  const long inputs = matmul_job->matrix->inputs;
  const uint8_t *weights = matmul_job->matrix->weights + block * BLOCK_OUTPUTS * inputs;
  float block_sums[MAX_BLOCK_ROWS * BLOCK_OUTPUTS];
  long passes = (matmul_job->count + MAX_BLOCK_ROWS - 1) / MAX_BLOCK_ROWS;
  for (long first = 0; passes > 0; passes--) {
    const long rows = (matmul_job->count - first + passes - 1) / passes;
    matmul_groups(weights, &matmul_job->buffer, first, rows, inputs, block_sums);
    write_results(matmul_job, first, rows, block, block_sums);
    first += rows;
  }
}

/* Round up to 64 numbers, of which `count` are there and the rest of `padded` are 0. A group that holds something that is
 * no number has no number as its scale. */
AVX512 static void quantize_group(const float *row, long count, long padded, int8_t *rounded, float *scale, int32_t *shift) {
  const __m512i magnitude = _mm512_set1_epi32(0x7fffffff);
  __m512 numbers[GROUP / 16];
  __m512i maxima = _mm512_setzero_si512(), sum = _mm512_setzero_si512();
  UNROLL for (int v = 0; v < GROUP / 16; v++) {
    const long left = count - v * 16;
    const __mmask16 mask = left >= 16 ? 0xffff : left <= 0 ? 0 : (__mmask16)((1u << left) - 1);
    numbers[v] = _mm512_maskz_loadu_ps(mask, row + v * 16);
    /* The bits of magnitudes order as these do, with what is no number above all. */
    maxima = _mm512_max_epi32(maxima, _mm512_and_si512(_mm512_castps_si512(numbers[v]), magnitude));
  }
  const int32_t bits = _mm512_reduce_max_epi32(maxima);
  float largest;
  memcpy(&largest, &bits, 4);
  const int finite = bits < 0x7f800000;
  const __m512 factor = _mm512_set1_ps(finite && largest > 0 ? 127.0f / largest : 0.0f);
  UNROLL for (int v = 0; v < GROUP / 16; v++) {
    const long left = padded - v * 16;
    const __mmask16 mask = left >= 16 ? 0xffff : left <= 0 ? 0 : (__mmask16)((1u << left) - 1);
    const __m512i level = finite ? _mm512_cvtps_epi32(_mm512_mul_ps(numbers[v], factor)) : _mm512_setzero_si512();
    sum = _mm512_add_epi32(sum, level);
    _mm512_mask_cvtepi32_storeu_epi8(rounded + v * 16, mask, level);
  }
  *scale = finite ? largest / 127.0f : __builtin_nanf("");
  *shift = -128 * _mm512_reduce_add_epi32(sum);
}

struct pack_job {
  const float *weight; /* [outputs][inputs] */
  long outputs, inputs, padded;
  uint8_t *packed; /* as in struct matrix */
  float *scales;   /* [outputs] */
};

/* One output's weights: rounded by their own largest magnitude, four at a time to where a step reads them. */
AVX512 static void pack_output(const struct pack_job *pack_job, long output) {
  const float *weight = pack_job->weight + output * pack_job->inputs;
  uint8_t *target = pack_job->packed + output / BLOCK_OUTPUTS * BLOCK_OUTPUTS * pack_job->padded + output % BLOCK_OUTPUTS * 4;
  __m512 maxima = _mm512_setzero_ps();
  for (long i = 0; i < pack_job->inputs; i += 16) {
    const long left = pack_job->inputs - i;
    const __mmask16 mask = left >= 16 ? 0xffff : (__mmask16)((1u << left) - 1);
    maxima = _mm512_max_ps(maxima, _mm512_abs_ps(_mm512_maskz_loadu_ps(mask, weight + i)));
  }
  const float largest = _mm512_reduce_max_ps(maxima);
  const __m512 factor = _mm512_set1_ps(largest > 0 ? 127.0f / largest : 0.0f);
  pack_job->scales[output] = largest / 127.0f;
  for (long i = 0; i < pack_job->padded; i += 16) {
    const long left = pack_job->inputs - i;
    const __mmask16 mask = left >= 16 ? 0xffff : left <= 0 ? 0 : (__mmask16)((1u << left) - 1);
    const __m512i level = _mm512_cvtps_epi32(_mm512_mul_ps(_mm512_maskz_loadu_ps(mask, weight + i), factor));
    uint8_t levels[16];
    _mm_storeu_si128((__m128i *)levels, _mm512_cvtepi32_epi8(_mm512_add_epi32(level, _mm512_set1_epi32(128))));
    for (long quad = 0; quad < 4 && i + 4 * quad < pack_job->padded; quad++)
      memcpy(target + (i / 4 + quad) * BLOCK_OUTPUTS * 4, levels + 4 * quad, 4);
  }
}

static void pack_block(const void *job, long block) {
  const struct pack_job *pack_job = job;
  for (long output = block * BLOCK_OUTPUTS; output < (block + 1) * BLOCK_OUTPUTS && output < pack_job->outputs; output++)
    pack_output(pack_job, output);
}

/* `weight` ([outputs][inputs]) as `struct matrix` has it; `packed` must be as large as that, for `padded` inputs. */
void chatsite_pack(const float *weight, long outputs, long inputs, long padded, uint8_t *packed, float *scales) {
  const struct pack_job pack_job = {weight, outputs, inputs, padded, packed, scales};
  parallel_for(pack_block, &pack_job, (outputs + BLOCK_OUTPUTS - 1) / BLOCK_OUTPUTS);
}

static void quantize_row(const float *row, long inputs, long padded, struct buffer buffer, long row_index) {
  const long groups = (padded + GROUP - 1) / GROUP;
  for (long group = 0; group < groups; group++) {
    const long first = group * GROUP, offset = row_index * groups + group;
    quantize_group(row + first, inputs - first, padded - first, buffer.rounded + row_index * padded + first, buffer.scales + offset,
                buffer.shifts + offset);
  }
}

void matmul(const struct matrix *matrix, const float *rows, long inputs, long count, struct buffer buffer, float *results) {
  for (long r = 0; r < count; r++) quantize_row(rows + r * inputs, inputs, matrix->inputs, buffer, r);
  const struct matmul_job matmul_job = {matrix, buffer, results, count};
  parallel_for(matmul_block, &matmul_job, (matrix->outputs + BLOCK_OUTPUTS - 1) / BLOCK_OUTPUTS);
}

void chatsite_matmul(
    const struct matrix *matrix, const float *rows, long inputs, long count, const struct buffer *buffer, float *results) {
  matmul(matrix, rows, inputs, count, *buffer, results);
}

#else

void chatsite_pack(const float *weight, long outputs, long inputs, long padded, uint8_t *packed, float *scales) {
  (void)weight, (void)outputs, (void)inputs, (void)padded, (void)packed, (void)scales;
}

void chatsite_matmul(
    const struct matrix *matrix, const float *rows, long inputs, long count, const struct buffer *buffer, float *results) {
  (void)matrix, (void)rows, (void)inputs, (void)count, (void)buffer, (void)results;
}

#endif
