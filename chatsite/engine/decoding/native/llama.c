/* One token of many sequences through a model of Llama's architecture, in one call.
 *
 * Between the products of a step lie hundreds of operations on a few hundred numbers each. As calls of a tensor library
 * they take as long as the products; here they take a tenth. Every row is computed by itself, so that what a sequence
 * gets depends neither on the rows beside it nor on how many of its own positions are read at once. */

#include "step.h"

#if defined(__x86_64__) && defined(__linux__)

#include <math.h>
#include <string.h>

struct layer {
  const float *before, *between; /* [hidden] */
  const struct matrix *qkv, *out, *gate_up, *down;
};

struct llama {
  const struct layer *layers;
  const struct matrix *head;
  const float *embedding, *end; /* [vocabulary][hidden], [hidden] */
  long depth, hidden, heads, groups, width, inner;
  float eps;
};

/* Row r reads `ids[r]` at `positions[r]` of the sequence in `places[r]`. Keys and values lie in `cache`
 * ([layers][keys, values][places][groups][positions][width], all but the last two with strides in floats), and `turns`
 * holds cosines and sines of each position ([positions][2][width]). */
struct step {
  const struct llama *llama;
  const long *ids, *positions, *places;
  long rows;
  float *cache;
  long layer_stride, kind_stride, place_stride, head_stride;
  const float *turns;
  float *scratch; /* [rows][as many as chatsite_llama_scratch says] */
  const struct room *room;
  long told; /* of how many of the last rows the logits are wanted */
  float *logits; /* [told][vocabulary] */
};

struct attention {
  const struct step *step;
  float *keys; /* of the layer */
  const float *heads;
  float *seen;
};

/* Root-mean-square norm (Zhang and Sennrich, 2019) of one row. */
WIDE static void normalise(const float *row, const float *weight, float *result, long hidden, float eps) {
  __m512 squares = _mm512_setzero_ps();
  for (long i = 0; i < hidden; i += LANES) {
    const __m512 x = _mm512_loadu_ps(row + i);
    squares = _mm512_fmadd_ps(x, x, squares);
  }
  const __m512 by = _mm512_set1_ps(1.0f / sqrtf(_mm512_reduce_add_ps(squares) / (float)hidden + eps));
  for (long i = 0; i < hidden; i += LANES) {
    _mm512_storeu_ps(result + i, _mm512_mul_ps(_mm512_mul_ps(_mm512_loadu_ps(row + i), by), _mm512_loadu_ps(weight + i)));
  }
}

/* Rotary positions (Su et al., 2021), in the half-rotated form of the checkpoints. */
WIDE static void rotate(float *head, const float *turns, long width) {
  const float *cosines = turns, *sines = turns + width;
  for (long i = 0; i < width / 2; i += LANES) {
    const __m512 low = _mm512_loadu_ps(head + i), high = _mm512_loadu_ps(head + width / 2 + i);
    const __m512 c = _mm512_loadu_ps(cosines + i), s = _mm512_loadu_ps(sines + i);
    _mm512_storeu_ps(head + i, _mm512_fnmadd_ps(high, s, _mm512_mul_ps(low, c)));
    _mm512_storeu_ps(head + width / 2 + i, _mm512_fmadd_ps(low, s, _mm512_mul_ps(high, c)));
  }
}

/* All queries of one row that share one key (grouped-query attention, Ainslie et al., 2023). */
WIDE static void attend_group(const void *job, long part) {
  const struct attention *attention = job;
  const struct step *step = attention->step;
  const struct llama *llama = step->llama;
  const long row = part / llama->groups, group = part % llama->groups, width = llama->width;
  const long queries = llama->heads / llama->groups;
  const float *keys = attention->keys + step->places[row] * step->place_stride + group * step->head_stride;
  const float *values = keys + step->kind_stride;
  for (long q = group * queries; q < (group + 1) * queries; q++) {
    const float *query = attention->heads + (row * (llama->heads + 2 * llama->groups) + q) * width;
    see(query, keys, values, 0, step->positions[row] + 1, width, attention->seen + (row * llama->heads + q) * width);
  }
}

/* Rotate queries and keys, and put keys and values where attention looks for them. */
WIDE static void place_heads(const struct step *step, float *heads, float *keys) {
  const struct llama *llama = step->llama;
  const long width = llama->width, all = llama->heads + 2 * llama->groups;
  for (long row = 0; row < step->rows; row++) {
    float *own = heads + row * all * width;
    float *place = keys + step->places[row] * step->place_stride + step->positions[row] * width;
    const float *kinds = own + llama->heads * width;
    for (long head = 0; head < llama->heads + llama->groups; head++)
      rotate(own + head * width, step->turns + step->positions[row] * 2 * width, width);
    for (long kind = 0; kind < 2; kind++)
      for (long group = 0; group < llama->groups; group++, kinds += width)
        memcpy(place + kind * step->kind_stride + group * step->head_stride, kinds, (size_t)width * sizeof(float));
  }
}

/* SiLU of the first half of each row times its second half, to the first half of `inner` numbers a row. */
WIDE static void gate(const float *both, float *result, long rows, long inner) {
  const __m512 one = _mm512_set1_ps(1.0f);
  for (long row = 0; row < rows; row++) {
    for (long i = 0; i < inner; i += LANES) {
      const __m512 x = _mm512_loadu_ps(both + row * 2 * inner + i);
      const __m512 sigmoid = _mm512_div_ps(one, _mm512_add_ps(one, exponential(_mm512_sub_ps(_mm512_setzero_ps(), x))));
      const __m512 up = _mm512_loadu_ps(both + row * 2 * inner + inner + i);
      _mm512_storeu_ps(result + row * inner + i, _mm512_mul_ps(_mm512_mul_ps(x, sigmoid), up));
    }
  }
}

static void normalise_rows(const struct step *step, const float *x, const float *weight, float *result) {
  const long hidden = step->llama->hidden;
  for (long row = 0; row < step->rows; row++)
    normalise(x + row * hidden, weight, result + row * hidden, hidden, step->llama->eps);
}

/* How many floats of scratch a row needs: two of the hidden size, the larger of what goes into `out` and `down`, and the
 * larger of what comes from `qkv` and `gate_up`. */
long chatsite_llama_scratch(const struct llama *llama) {
  const long in = larger(llama->heads * llama->width, llama->inner);
  return 2 * llama->hidden + in + larger((llama->heads + 2 * llama->groups) * llama->width, 2 * llama->inner);
}

void chatsite_llama_step(const struct step *step) {
  const struct llama *llama = step->llama;
  const long rows = step->rows, hidden = llama->hidden, inner = llama->inner, width = llama->width;
  const struct room room = *step->room;
  float *x = step->scratch, *normal = x + rows * hidden, *seen = normal + rows * hidden;
  float *wide = seen + rows * larger(llama->heads * width, inner);
  for (long row = 0; row < rows; row++)
    memcpy(x + row * hidden, llama->embedding + step->ids[row] * hidden, (size_t)hidden * sizeof(float));
  for (long depth = 0; depth < llama->depth; depth++) {
    const struct layer *layer = llama->layers + depth;
    float *keys = step->cache + depth * step->layer_stride;
    normalise_rows(step, x, layer->before, normal);
    multiply(layer->qkv, normal, hidden, rows, room, wide);
    place_heads(step, wide, keys);
    const struct attention attention = {step, keys, wide, seen};
    share(attend_group, &attention, rows * llama->groups);
    multiply(layer->out, seen, llama->heads * width, rows, room, normal);
    add(x, normal, rows * hidden);
    normalise_rows(step, x, layer->between, normal);
    multiply(layer->gate_up, normal, hidden, rows, room, wide);
    gate(wide, seen, rows, inner);
    multiply(layer->down, seen, inner, rows, room, normal);
    add(x, normal, rows * hidden);
  }
  normalise_rows(step, x, llama->end, normal);
  multiply(llama->head, normal + (rows - step->told) * hidden, hidden, step->told, room, step->logits);
}

#else

long chatsite_llama_scratch(const void *llama) { return (void)llama, 0; }
void chatsite_llama_step(const void *step) { (void)step; }

#endif
