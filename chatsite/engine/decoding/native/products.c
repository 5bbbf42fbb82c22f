/* Products of a few rows of floats with a matrix of eight-bit integers.
 *
 * A row is rounded to 255 levels in groups of 64, each by its own largest magnitude, multiplied as integers, and scaled
 * back, so what a row gives never depends on the rows beside it. One row is bound by the speed of memory, many by that
 * of the multiplications (VPDPBUSD: unsigned weights by signed inputs). */

#include "step.h"

#if defined(__x86_64__) && defined(__linux__)

#include <string.h>

#define OUTPUTS 64 /* in a block */
#define MOST_ROWS 5 /* through a block at a time: the sums of more do not fit into the registers */
#define UNROLL _Pragma("GCC unroll 8")

struct product {
  const struct matrix *matrix;
  struct room room;
  float *results;
  long count;
};

/* Sums of `rows` rows with a part of one block's weights, [rows][64]; `rows` is a constant wherever this is expanded. The
 * rows lie `stride` numbers apart. */
WIDE static inline __attribute__((always_inline)) void sum_rows(
    const int rows, const uint8_t *weights, const int8_t *row, long stride, long inputs, int32_t *found) {
  __m512i sums[MOST_ROWS][4];
  UNROLL for (int r = 0; r < rows; r++) UNROLL for (int v = 0; v < 4; v++) sums[r][v] = _mm512_setzero_si512();
  for (long input = 0; input < inputs; input += 4) {
    __m512i weight[4];
    UNROLL for (int v = 0; v < 4; v++) weight[v] = _mm512_loadu_si512(weights + input * OUTPUTS + v * 64);
    UNROLL for (int r = 0; r < rows; r++) {
      int32_t four;
      memcpy(&four, row + r * stride + input, 4);
      const __m512i value = _mm512_set1_epi32(four);
      UNROLL for (int v = 0; v < 4; v++) sums[r][v] = _mm512_dpbusd_epi32(sums[r][v], weight[v], value);
    }
  }
  UNROLL for (int r = 0; r < rows; r++) UNROLL for (int v = 0; v < 4; v++)
    _mm512_storeu_si512(found + r * OUTPUTS + v * 16, sums[r][v]);
}

/* Each number of rows is a function of its own that does nothing else, or the compiler moves the sums out of the
 * registers, which makes it two to three times slower. */
#define SUM_ROWS(ROWS) \
  WIDE static __attribute__((noinline)) void sum_##ROWS( \
      const uint8_t *weights, const int8_t *row, long stride, long inputs, int32_t *found) { \
    sum_rows(ROWS, weights, row, stride, inputs, found); \
  }
SUM_ROWS(1)
SUM_ROWS(2)
SUM_ROWS(3)
SUM_ROWS(4)
SUM_ROWS(5)

static void (*const sum[])(const uint8_t *, const int8_t *, long, long, int32_t *) = {0, sum_1, sum_2, sum_3, sum_4, sum_5};

/* Add one group's sums to what was found of a block, [rows][64]. */
WIDE static void add_group(const struct room *room, long place, long groups, long rows, const int32_t *sums, float *found) {
  for (long r = 0; r < rows; r++, place += groups) {
    const __m512 scale = _mm512_set1_ps(room->scales[place]);
    const __m512i shift = _mm512_set1_epi32(room->shifts[place]);
    UNROLL for (int v = 0; v < 4; v++) {
      float *to = found + r * OUTPUTS + v * 16;
      const __m512i exact = _mm512_add_epi32(_mm512_loadu_si512(sums + r * OUTPUTS + v * 16), shift);
      _mm512_storeu_ps(to, _mm512_fmadd_ps(_mm512_cvtepi32_ps(exact), scale, _mm512_loadu_ps(to)));
    }
  }
}

/* Products of some rows with one block's weights, [rows][64], but for the weights' scales and the bias. */
static void multiply_groups(
    const uint8_t *weights, const struct room *room, long first, long rows, long inputs, float *found) {
  const long groups = (inputs + GROUP - 1) / GROUP;
  int32_t sums[MOST_ROWS * OUTPUTS];
  memset(found, 0, (size_t)(rows * OUTPUTS) * sizeof(float));
  for (long group = 0; group < groups; group++) {
    const long begin = group * GROUP, count = inputs - begin < GROUP ? inputs - begin : GROUP;
    sum[rows](weights + begin * OUTPUTS, room->rounded + first * inputs + begin, inputs, count, sums);
    add_group(room, first * groups + group, groups, rows, sums, found);
  }
}

/* What was found of a block, to the results. */
WIDE static void scale_back(const struct product *product, long first, long rows, long block, const float *found) {
  const struct matrix *matrix = product->matrix;
  for (int v = 0; v < 4; v++) {
    const long output = block * OUTPUTS + v * 16, left = matrix->outputs - output;
    if (left <= 0) return;
    const __mmask16 mask = left >= 16 ? 0xffff : (__mmask16)((1u << left) - 1);
    const __m512 scale = _mm512_maskz_loadu_ps(mask, matrix->scales + output);
    const __m512 bias = matrix->bias ? _mm512_maskz_loadu_ps(mask, matrix->bias + output) : _mm512_setzero_ps();
    for (long r = 0; r < rows; r++) {
      const __m512 sum = _mm512_loadu_ps(found + r * OUTPUTS + v * 16);
      float *result = product->results + (first + r) * matrix->outputs + output;
      _mm512_mask_storeu_ps(result, mask, _mm512_fmadd_ps(sum, scale, bias));
    }
  }
}

/* All rows times one block, a few at a time, as equally many as can be. */
static void multiply_block(const void *job, long block) {
  const struct product *product = job;
  const long inputs = product->matrix->inputs;
  const uint8_t *weights = product->matrix->weights + block * OUTPUTS * inputs;
  float found[MOST_ROWS * OUTPUTS];
  long passes = (product->count + MOST_ROWS - 1) / MOST_ROWS;
  for (long first = 0; passes > 0; passes--) {
    const long rows = (product->count - first + passes - 1) / passes;
    multiply_groups(weights, &product->room, first, rows, inputs, found);
    scale_back(product, first, rows, block, found);
    first += rows;
  }
}

/* Round up to 64 numbers, of which `count` are there and the rest of `padded` are 0. A group that holds something that is
 * no number has no number as its scale. */
WIDE static void round_group(const float *row, long count, long padded, int8_t *rounded, float *scale, int32_t *shift) {
  const __m512i magnitude = _mm512_set1_epi32(0x7fffffff);
  __m512 numbers[GROUP / 16];
  __m512i most = _mm512_setzero_si512(), sum = _mm512_setzero_si512();
  UNROLL for (int v = 0; v < GROUP / 16; v++) {
    const long left = count - v * 16;
    const __mmask16 mask = left >= 16 ? 0xffff : left <= 0 ? 0 : (__mmask16)((1u << left) - 1);
    numbers[v] = _mm512_maskz_loadu_ps(mask, row + v * 16);
    /* The bits of magnitudes order as these do, with what is no number above all. */
    most = _mm512_max_epi32(most, _mm512_and_si512(_mm512_castps_si512(numbers[v]), magnitude));
  }
  const int32_t bits = _mm512_reduce_max_epi32(most);
  float largest;
  memcpy(&largest, &bits, 4);
  const int finite = bits < 0x7f800000;
  const __m512 by = _mm512_set1_ps(finite && largest > 0 ? 127.0f / largest : 0.0f);
  UNROLL for (int v = 0; v < GROUP / 16; v++) {
    const long left = padded - v * 16;
    const __mmask16 mask = left >= 16 ? 0xffff : left <= 0 ? 0 : (__mmask16)((1u << left) - 1);
    const __m512i level = finite ? _mm512_cvtps_epi32(_mm512_mul_ps(numbers[v], by)) : _mm512_setzero_si512();
    sum = _mm512_add_epi32(sum, level);
    _mm512_mask_cvtepi32_storeu_epi8(rounded + v * 16, mask, level);
  }
  *scale = finite ? largest / 127.0f : __builtin_nanf("");
  *shift = -128 * _mm512_reduce_add_epi32(sum);
}

struct packing {
  const float *weight; /* [outputs][inputs] */
  long outputs, inputs, padded;
  uint8_t *packed; /* as in struct matrix */
  float *scales;   /* [outputs] */
};

/* One output's weights: rounded by their own largest magnitude, four at a time to where a step reads them. */
WIDE static void pack_output(const struct packing *packing, long output) {
  const float *weight = packing->weight + output * packing->inputs;
  uint8_t *place = packing->packed + output / OUTPUTS * OUTPUTS * packing->padded + output % OUTPUTS * 4;
  __m512 most = _mm512_setzero_ps();
  for (long i = 0; i < packing->inputs; i += 16) {
    const long left = packing->inputs - i;
    const __mmask16 mask = left >= 16 ? 0xffff : (__mmask16)((1u << left) - 1);
    most = _mm512_max_ps(most, _mm512_abs_ps(_mm512_maskz_loadu_ps(mask, weight + i)));
  }
  const float largest = _mm512_reduce_max_ps(most);
  const __m512 by = _mm512_set1_ps(largest > 0 ? 127.0f / largest : 0.0f);
  packing->scales[output] = largest / 127.0f;
  for (long i = 0; i < packing->padded; i += 16) {
    const long left = packing->inputs - i;
    const __mmask16 mask = left >= 16 ? 0xffff : left <= 0 ? 0 : (__mmask16)((1u << left) - 1);
    const __m512i level = _mm512_cvtps_epi32(_mm512_mul_ps(_mm512_maskz_loadu_ps(mask, weight + i), by));
    uint8_t levels[16];
    _mm_storeu_si128((__m128i *)levels, _mm512_cvtepi32_epi8(_mm512_add_epi32(level, _mm512_set1_epi32(128))));
    for (long four = 0; four < 4 && i + 4 * four < packing->padded; four++)
      memcpy(place + (i / 4 + four) * OUTPUTS * 4, levels + 4 * four, 4);
  }
}

static void pack_block(const void *job, long block) {
  const struct packing *packing = job;
  for (long output = block * OUTPUTS; output < (block + 1) * OUTPUTS && output < packing->outputs; output++)
    pack_output(packing, output);
}

/* `weight` ([outputs][inputs]) as `struct matrix` has it; `packed` must be as large as that, for `padded` inputs. */
void chatsite_pack(const float *weight, long outputs, long inputs, long padded, uint8_t *packed, float *scales) {
  const struct packing packing = {weight, outputs, inputs, padded, packed, scales};
  share(pack_block, &packing, (outputs + OUTPUTS - 1) / OUTPUTS);
}

static void round_row(const float *row, long inputs, long padded, struct room room, long number) {
  const long groups = (padded + GROUP - 1) / GROUP;
  for (long group = 0; group < groups; group++) {
    const long first = group * GROUP, place = number * groups + group;
    round_group(row + first, inputs - first, padded - first, room.rounded + number * padded + first, room.scales + place,
                room.shifts + place);
  }
}

void multiply(const struct matrix *matrix, const float *rows, long inputs, long count, struct room room, float *results) {
  for (long r = 0; r < count; r++) round_row(rows + r * inputs, inputs, matrix->inputs, room, r);
  const struct product product = {matrix, room, results, count};
  share(multiply_block, &product, (matrix->outputs + OUTPUTS - 1) / OUTPUTS);
}

void chatsite_multiply(
    const struct matrix *matrix, const float *rows, long inputs, long count, const struct room *room, float *results) {
  multiply(matrix, rows, inputs, count, *room, results);
}

#else

void chatsite_pack(const float *weight, long outputs, long inputs, long padded, uint8_t *packed, float *scales) {
  (void)weight, (void)outputs, (void)inputs, (void)padded, (void)packed, (void)scales;
}

void chatsite_multiply(
    const struct matrix *matrix, const float *rows, long inputs, long count, const struct room *room, float *results) {
  (void)matrix, (void)rows, (void)inputs, (void)count, (void)room, (void)results;
}

#endif
