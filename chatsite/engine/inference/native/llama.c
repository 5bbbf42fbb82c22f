/* One token of many sequences through a model of Llama's architecture, in one call.
 *
 * Between the products of a step lie hundreds of operations on a few hundred numbers each. As calls of a tensor library
 * they take as long as the products; here they take a tenth. Every row is computed by itself, so that what a sequence
 * gets depends neither on the rows beside it nor on how many of its own positions are read at once. */

#include "kernels.h"

#if defined(__x86_64__) && defined(__linux__)

#include <math.h>
#include <string.h>

struct layer {
  const float *input_norm, *post_attention_norm; /* [hidden] */
  const struct matrix *qkv_proj, *o_proj, *gate_up_proj, *down_proj;
};

struct llama {
  const struct layer *layers;
  const struct matrix *lm_head;
  const float *embedding, *final_norm; /* [vocabulary][hidden], [hidden] */
  long num_layers, hidden, heads, groups, width, inner;
  float eps;
};

/* Row r reads `ids[r]` at `positions[r]` of the sequence in `cache_rows[r]`. Keys and values lie in `cache`
 * ([layers][keys, values][rows][groups][positions][width], all but the last two with strides in floats), and `rotary_table`
 * holds cosines and sines of each position ([positions][2][width]). */
struct step {
  const struct llama *llama;
  const long *ids, *positions, *cache_rows;
  long rows;
  float *cache;
  long layer_stride, kind_stride, row_stride, head_stride;
  const float *rotary_table;
  float *scratch; /* [rows][as many as chatsite_llama_scratch says] */
  const struct buffer *buffer;
  long num_logits; /* of how many of the last rows the logits are wanted */
  float *logits; /* [told][vocabulary] */
};

struct attention {
  const struct step *step;
  float *keys; /* of the layer */
  const float *heads;
  float *attended;
};

/* Root-mean-square norm (Zhang and Sennrich, 2019) of one row. */
AVX512 static void rms_norm(const float *row, const float *weight, float *result, long hidden, float eps) {
  __m512 squares = _mm512_setzero_ps();
  for (long i = 0; i < hidden; i += LANES) {
    const __m512 x = _mm512_loadu_ps(row + i);
    squares = _mm512_fmadd_ps(x, x, squares);
  }
  const __m512 factor = _mm512_set1_ps(1.0f / sqrtf(_mm512_reduce_add_ps(squares) / (float)hidden + eps));
  for (long i = 0; i < hidden; i += LANES) {
    _mm512_storeu_ps(result + i, _mm512_mul_ps(_mm512_mul_ps(_mm512_loadu_ps(row + i), factor), _mm512_loadu_ps(weight + i)));
  }
}

/* Rotary positions (Su et al., 2021), in the half-rotated form of the checkpoints. */
AVX512 static void rotate(float *head, const float *rotary_table, long width) {
  const float *cosines = rotary_table, *sines = rotary_table + width;
  for (long i = 0; i < width / 2; i += LANES) {
    const __m512 low = _mm512_loadu_ps(head + i), high = _mm512_loadu_ps(head + width / 2 + i);
    const __m512 c = _mm512_loadu_ps(cosines + i), s = _mm512_loadu_ps(sines + i);
    _mm512_storeu_ps(head + i, _mm512_fnmadd_ps(high, s, _mm512_mul_ps(low, c)));
    _mm512_storeu_ps(head + width / 2 + i, _mm512_fmadd_ps(low, s, _mm512_mul_ps(high, c)));
  }
}

/* All queries of one row that share one key (grouped-query attention, Ainslie et al., 2023). */
AVX512 static void attend_group(const void *job, long part) {
  const struct attention *attention = job;
  const struct step *step = attention->step;
  const struct llama *llama = step->llama;
  const long row = part / llama->groups, group = part % llama->groups, width = llama->width;
  const long queries = llama->heads / llama->groups;
  const float *keys = attention->keys + step->cache_rows[row] * step->row_stride + group * step->head_stride;
  const float *values = keys + step->kind_stride;
  for (long q = group * queries; q < (group + 1) * queries; q++) {
    const float *query = attention->heads + (row * (llama->heads + 2 * llama->groups) + q) * width;
    attend(query, keys, values, 0, step->positions[row] + 1, width, attention->attended + (row * llama->heads + q) * width);
  }
}

/* Rotate queries and keys, and put keys and values where attention looks for them. */
AVX512 static void store_keys_values(const struct step *step, float *heads, float *keys) {
  const struct llama *llama = step->llama;
  const long width = llama->width, heads_per_row = llama->heads + 2 * llama->groups;
  for (long row = 0; row < step->rows; row++) {
    float *row_heads = heads + row * heads_per_row * width;
    float *target = keys + step->cache_rows[row] * step->row_stride + step->positions[row] * width;
    const float *keys_values = row_heads + llama->heads * width;
    for (long head = 0; head < llama->heads + llama->groups; head++)
      rotate(row_heads + head * width, step->rotary_table + step->positions[row] * 2 * width, width);
    for (long kind = 0; kind < 2; kind++)
      for (long group = 0; group < llama->groups; group++, keys_values += width)
        memcpy(target + kind * step->kind_stride + group * step->head_stride, keys_values, (size_t)width * sizeof(float));
  }
}

/* SiLU of the first half of each row times its second half, to the first half of `inner` numbers a row. */
AVX512 static void silu_gate(const float *gate_and_up, float *result, long rows, long inner) {
  const __m512 one = _mm512_set1_ps(1.0f);
  for (long row = 0; row < rows; row++) {
    for (long i = 0; i < inner; i += LANES) {
      const __m512 x = _mm512_loadu_ps(gate_and_up + row * 2 * inner + i);
      const __m512 sigmoid = _mm512_div_ps(one, _mm512_add_ps(one, exp_lanes(_mm512_sub_ps(_mm512_setzero_ps(), x))));
      const __m512 up = _mm512_loadu_ps(gate_and_up + row * 2 * inner + inner + i);
      _mm512_storeu_ps(result + row * inner + i, _mm512_mul_ps(_mm512_mul_ps(x, sigmoid), up));
    }
  }
}

static void normalize_rows(const struct step *step, const float *x, const float *weight, float *result) {
  const long hidden = step->llama->hidden;
  for (long row = 0; row < step->rows; row++)
    rms_norm(x + row * hidden, weight, result + row * hidden, hidden, step->llama->eps);
}

/* How many floats of scratch a row needs: two of the hidden size, the larger of what goes into `o_proj` and `down_proj`, and the
 * larger of what comes from `qkv_proj` and `gate_up_proj`. */
long chatsite_llama_scratch(const struct llama *llama) {
  const long in = max_long(llama->heads * llama->width, llama->inner);
  return 2 * llama->hidden + in + max_long((llama->heads + 2 * llama->groups) * llama->width, 2 * llama->inner);
}

void chatsite_llama_step(const struct step *step) {
  const struct llama *llama = step->llama;
  const long rows = step->rows, hidden = llama->hidden, inner = llama->inner, width = llama->width;
  const struct buffer buffer = *step->buffer;
  float *x = step->scratch, *normalized = x + rows * hidden, *attended = normalized + rows * hidden;
  float *projected = attended + rows * max_long(llama->heads * width, inner);
  for (long row = 0; row < rows; row++)
    memcpy(x + row * hidden, llama->embedding + step->ids[row] * hidden, (size_t)hidden * sizeof(float));
  for (long layer_index = 0; layer_index < llama->num_layers; layer_index++) {
    const struct layer *layer = llama->layers + layer_index;
    float *keys = step->cache + layer_index * step->layer_stride;
    normalize_rows(step, x, layer->input_norm, normalized);
    matmul(layer->qkv_proj, normalized, hidden, rows, buffer, projected);
    store_keys_values(step, projected, keys);
    const struct attention attention = {step, keys, projected, attended};
    parallel_for(attend_group, &attention, rows * llama->groups);
    matmul(layer->o_proj, attended, llama->heads * width, rows, buffer, normalized);
    add_rows(x, normalized, rows * hidden);
    normalize_rows(step, x, layer->post_attention_norm, normalized);
    matmul(layer->gate_up_proj, normalized, hidden, rows, buffer, projected);
    silu_gate(projected, attended, rows, inner);
    matmul(layer->down_proj, attended, inner, rows, buffer, normalized);
    add_rows(x, normalized, rows * hidden);
  }
  normalize_rows(step, x, llama->final_norm, normalized);
  matmul(llama->lm_head, normalized + (rows - step->num_logits) * hidden, hidden, step->num_logits, buffer, step->logits);
}

#else

long chatsite_llama_scratch(const void *llama) { return (void)llama, 0; }
void chatsite_llama_step(const void *step) { (void)step; }

#endif
