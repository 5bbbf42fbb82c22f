/* Scaled dot-product attention (Vaswani et al., 2017) of one query. */

#include "step.h"

#if defined(__x86_64__) && defined(__linux__)

#include <math.h>
#include <string.h>

#define POSITIONS 128 /* whose scores are held at a time */

/* Which of some numbers from `place` on are there. */
static inline __mmask16 present(long count, long place) {
  return count - place >= LANES ? 0xffff : (__mmask16)((1u << (count - place)) - 1);
}

/* Scores of one query with some keys, [count], to their exponentials; `highest` is the largest score so far. Returns their
 * sum, and in `rescale` what all earlier sums are to be multiplied by. */
WIDE static float weigh(
    const float *query, const float *const *keys, long count, long width, float *scores, float *highest, float *rescale) {
  const float scale = 1.0f / sqrtf((float)width);
  float most = *highest;
  for (long p = 0; p < count; p++) {
    __m512 sum = _mm512_setzero_ps();
    for (long i = 0; i < width; i += LANES) {
      const __mmask16 mask = present(width, i);
      sum = _mm512_fmadd_ps(_mm512_maskz_loadu_ps(mask, query + i), _mm512_maskz_loadu_ps(mask, keys[p] + i), sum);
    }
    scores[p] = _mm512_reduce_add_ps(sum) * scale;
    if (scores[p] > most) most = scores[p];
  }
  *rescale = *highest == -INFINITY ? 0.0f : expf(*highest - most);
  *highest = most;
  __m512 total = _mm512_setzero_ps();
  for (long p = 0; p < count; p += LANES) {
    const __m512 weight = exponential(_mm512_sub_ps(_mm512_loadu_ps(scores + p), _mm512_set1_ps(most)));
    _mm512_storeu_ps(scores + p, weight);
    total = _mm512_mask_add_ps(total, present(count, p), total, weight);
  }
  return _mm512_reduce_add_ps(total);
}

/* The sums over parts of the positions are kept as in Milakov and Gimelshein, "Online normalizer calculation for softmax"
 * (2018). */
WIDE void see(
    const float *query, const float *keys, const float *values, const long *positions, long length, long width, float *seen) {
  const float *places[POSITIONS];
  float scores[POSITIONS], highest = -INFINITY, total = 0.0f;
  memset(seen, 0, (size_t)width * sizeof(float));
  for (long first = 0; first < length; first += POSITIONS) {
    const long count = length - first < POSITIONS ? length - first : POSITIONS;
    for (long p = 0; p < count; p++) places[p] = keys + (positions ? positions[first + p] : first + p) * width;
    float rescale;
    memset(scores, 0, sizeof scores);
    const float sum = weigh(query, places, count, width, scores, &highest, &rescale);
    total = total * rescale + sum;
    for (long i = 0; i < width; i += LANES) {
      const __mmask16 mask = present(width, i);
      __m512 mean = _mm512_mul_ps(_mm512_maskz_loadu_ps(mask, seen + i), _mm512_set1_ps(rescale));
      for (long p = 0; p < count; p++) {
        const __m512 value = _mm512_maskz_loadu_ps(mask, places[p] + (values - keys) + i);
        mean = _mm512_fmadd_ps(_mm512_set1_ps(scores[p]), value, mean);
      }
      _mm512_mask_storeu_ps(seen + i, mask, mean);
    }
  }
  for (long i = 0; i < width; i += LANES) {
    const __mmask16 mask = present(width, i);
    const __m512 mean = _mm512_div_ps(_mm512_maskz_loadu_ps(mask, seen + i), _mm512_set1_ps(total));
    _mm512_mask_storeu_ps(seen + i, mask, mean);
  }
}

WIDE void add(float *x, const float *more, long count) {
  for (long i = 0; i < count; i += LANES)
    _mm512_storeu_ps(x + i, _mm512_add_ps(_mm512_loadu_ps(x + i), _mm512_loadu_ps(more + i)));
}

#endif
