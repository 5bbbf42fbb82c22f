/* Scaled dot-product attention (Vaswani et al., 2017) of one query. */

#include "kernels.h"

#if defined(__x86_64__) && defined(__linux__)

#include <math.h>
#include <string.h>

#define BLOCK_POSITIONS 128 /* whose scores are held at a time */

/* Which of some numbers from `begin` on are there. */
static inline __mmask16 lane_mask(long count, long begin) {
  return count - begin >= LANES ? 0xffff : (__mmask16)((1u << (count - begin)) - 1);
}

/* Scores of one query with some keys, [count], to their exponentials; `max_score` is the largest score so far. Returns their
 * sum, and in `rescale` what all earlier sums are to be multiplied by. */
AVX512 static float exp_scores(
    const float *query, const float *const *keys, long count, long width, float *scores, float *max_score, float *rescale) {
  const float scale = 1.0f / sqrtf((float)width);
  float new_max = *max_score;
  for (long p = 0; p < count; p++) {
    __m512 sum = _mm512_setzero_ps();
    for (long i = 0; i < width; i += LANES) {
      const __mmask16 mask = lane_mask(width, i);
      sum = _mm512_fmadd_ps(_mm512_maskz_loadu_ps(mask, query + i), _mm512_maskz_loadu_ps(mask, keys[p] + i), sum);
    }
    scores[p] = _mm512_reduce_add_ps(sum) * scale;
    if (scores[p] > new_max) new_max = scores[p];
  }
  *rescale = *max_score == -INFINITY ? 0.0f : expf(*max_score - new_max);
  *max_score = new_max;
  __m512 total = _mm512_setzero_ps();
  for (long p = 0; p < count; p += LANES) {
    const __m512 weight = exp_lanes(_mm512_sub_ps(_mm512_loadu_ps(scores + p), _mm512_set1_ps(new_max)));
    _mm512_storeu_ps(scores + p, weight);
    total = _mm512_mask_add_ps(total, lane_mask(count, p), total, weight);
  }
  return _mm512_reduce_add_ps(total);
}

/* The sums over parts of the positions are kept as in Milakov and Gimelshein, "Online normalizer calculation for softmax"
 * (2018). */
AVX512 void attend(
    const float *query, const float *keys, const float *values, const long *positions, long length, long width, float *attended) {
  const float *key_rows[BLOCK_POSITIONS];
  float scores[BLOCK_POSITIONS], max_score = -INFINITY, total = 0.0f;
  memset(attended, 0, (size_t)width * sizeof(float));
  for (long first = 0; first < length; first += BLOCK_POSITIONS) {
    const long count = length - first < BLOCK_POSITIONS ? length - first : BLOCK_POSITIONS;
    for (long p = 0; p < count; p++) key_rows[p] = keys + (positions ? positions[first + p] : first + p) * width;
    float rescale;
    memset(scores, 0, sizeof scores);
    const float sum = exp_scores(query, key_rows, count, width, scores, &max_score, &rescale);
    total = total * rescale + sum;
    for (long i = 0; i < width; i += LANES) {
      const __mmask16 mask = lane_mask(width, i);
      __m512 mean = _mm512_mul_ps(_mm512_maskz_loadu_ps(mask, attended + i), _mm512_set1_ps(rescale));
      for (long p = 0; p < count; p++) {
        const __m512 value = _mm512_maskz_loadu_ps(mask, key_rows[p] + (values - keys) + i);
        mean = _mm512_fmadd_ps(_mm512_set1_ps(scores[p]), value, mean);
      }
      _mm512_mask_storeu_ps(attended + i, mask, mean);
    }
  }
  for (long i = 0; i < width; i += LANES) {
    const __mmask16 mask = lane_mask(width, i);
    const __m512 mean = _mm512_div_ps(_mm512_maskz_loadu_ps(mask, attended + i), _mm512_set1_ps(total));
    _mm512_mask_storeu_ps(attended + i, mask, mean);
  }
}

AVX512 void add_rows(float *x, const float *addend, long count) {
  for (long i = 0; i < count; i += LANES)
    _mm512_storeu_ps(x + i, _mm512_add_ps(_mm512_loadu_ps(x + i), _mm512_loadu_ps(addend + i)));
}

#endif
