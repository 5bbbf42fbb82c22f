/* One token of many sequences through BlenderBot's decoder (Roller et al., 2020), in one call: a pre-norm Transformer with
 * learned positions, and attention to a prompt that the encoder has read. Sequences may be beams, which share what they
 * have in common: each lists the positions of the cache that are its own. */

#include "kernels.h"

#if defined(__x86_64__) && defined(__linux__)

#include <math.h>
#include <string.h>

struct norm {
  const float *weight, *bias; /* [hidden] */
};

struct layer {
  struct norm input_norm, post_attention_norm, final_norm;
  const struct matrix *qkv_proj, *o_proj, *cross_q_proj, *cross_o_proj, *up_proj, *down_proj;
};

struct blenderbot {
  const struct layer *layers;
  const struct matrix *lm_head;
  const float *embedding, *positions; /* [vocabulary][hidden], [positions][hidden] */
  struct norm final_norm;
  long num_layers, hidden, heads, width, inner;
  float scale, eps;
};

/* Keys and values of one sequence: [layers][keys, values][heads][positions][width], all but the last two with strides. */
struct cache {
  float *first;
  long layer_stride, kind_stride, head_stride;
};

/* A sequence reads `id` as its token number `token_index`; keys and values of that go to position `next` of its `own` cache, of
 * which it sees `length` positions, `next` included: the first ones, or those listed in `visible_positions`. */
struct sequence {
  long id, token_index, next, length;
  const long *visible_positions;
  struct cache own, source;
  long source_length;
};

struct step {
  const struct blenderbot *model;
  const struct sequence *sequences;
  long rows;
  float *scratch; /* [rows][as many as chatsite_blenderbot_scratch says] */
  const struct buffer *buffer;
  long num_logits; /* of how many of the last rows the logits are wanted */
  float *logits; /* [told][vocabulary] */
};

struct attention {
  const struct step *step;
  const float *queries; /* [rows][stride] */
  float *attended;          /* [rows][hidden] */
  long layer_index, stride;
};

/* Layer norm (Ba et al., 2016) of one row. */
AVX512 static void layer_norm(const float *row, struct norm norm, float *result, long hidden, float eps) {
  __m512 sum = _mm512_setzero_ps(), squares = _mm512_setzero_ps();
  for (long i = 0; i < hidden; i += LANES) sum = _mm512_add_ps(sum, _mm512_loadu_ps(row + i));
  const __m512 mean = _mm512_set1_ps(_mm512_reduce_add_ps(sum) / (float)hidden);
  for (long i = 0; i < hidden; i += LANES) {
    const __m512 x = _mm512_sub_ps(_mm512_loadu_ps(row + i), mean);
    squares = _mm512_fmadd_ps(x, x, squares);
  }
  const __m512 factor = _mm512_set1_ps(1.0f / sqrtf(_mm512_reduce_add_ps(squares) / (float)hidden + eps));
  for (long i = 0; i < hidden; i += LANES) {
    const __m512 x = _mm512_mul_ps(_mm512_sub_ps(_mm512_loadu_ps(row + i), mean), factor);
    _mm512_storeu_ps(result + i, _mm512_fmadd_ps(x, _mm512_loadu_ps(norm.weight + i), _mm512_loadu_ps(norm.bias + i)));
  }
}

static void normalize_rows(const struct step *step, const float *x, struct norm norm, float *result) {
  const long hidden = step->model->hidden;
  for (long row = 0; row < step->rows; row++)
    layer_norm(x + row * hidden, norm, result + row * hidden, hidden, step->model->eps);
}

/* GELU (Hendrycks and Gimpel, 2016) of 16 numbers. The error function is formula 7.1.26 of Abramowitz and Stegun, good to
 * 1.5e-7. */
AVX512 static __m512 gelu(__m512 x) {
  static const float terms[] = {1.061405429f, -1.453152027f, 1.421413741f, -0.284496736f, 0.254829592f};
  const __m512 one = _mm512_set1_ps(1.0f), z = _mm512_mul_ps(_mm512_abs_ps(x), _mm512_set1_ps(0.70710678f));
  const __m512 t = _mm512_div_ps(one, _mm512_fmadd_ps(z, _mm512_set1_ps(0.3275911f), one));
  __m512 sum = _mm512_set1_ps(terms[0]);
  for (int i = 1; i < 5; i++) sum = _mm512_fmadd_ps(sum, t, _mm512_set1_ps(terms[i]));
  const __m512 rest = _mm512_mul_ps(_mm512_mul_ps(sum, t), exp_lanes(_mm512_sub_ps(_mm512_setzero_ps(), _mm512_mul_ps(z, z))));
  /* 1 + erf(x / sqrt 2) is 2 - rest for positive x, and rest for negative x. */
  const __mmask16 negative = _mm512_cmp_ps_mask(x, _mm512_setzero_ps(), _CMP_LT_OQ);
  const __m512 both = _mm512_mask_blend_ps(negative, _mm512_sub_ps(_mm512_set1_ps(2.0f), rest), rest);
  return _mm512_mul_ps(_mm512_mul_ps(x, _mm512_set1_ps(0.5f)), both);
}

struct gelu_job {
  float *projected;
  long inner;
};

AVX512 static void apply_gelu(const void *job, long row) {
  const struct gelu_job *gelu_job = job;
  float *target = gelu_job->projected + row * gelu_job->inner;
  for (long i = 0; i < gelu_job->inner; i += LANES) _mm512_storeu_ps(target + i, gelu(_mm512_loadu_ps(target + i)));
}

static void store_keys_values(const struct step *step, const float *projected, long layer_index) {
  const struct blenderbot *model = step->model;
  for (long row = 0; row < step->rows; row++) {
    const struct sequence *sequence = step->sequences + row;
    const struct cache *own = &sequence->own;
    const float *keys_values = projected + (3 * row + 1) * model->hidden;
    float *target = own->first + layer_index * own->layer_stride + sequence->next * model->width;
    for (long kind = 0; kind < 2; kind++)
      for (long head = 0; head < model->heads; head++, keys_values += model->width)
        memcpy(target + kind * own->kind_stride + head * own->head_stride, keys_values, (size_t)model->width * sizeof(float));
  }
}

/* What all heads of one row see of one of its caches. */
static void attend_heads(
    const struct attention *attention, long row, const struct cache *cache, const long *positions, long length) {
  const struct blenderbot *model = attention->step->model;
  const float *query = attention->queries + row * attention->stride;
  const float *keys = cache->first + attention->layer_index * cache->layer_stride;
  float *attended = attention->attended + row * model->hidden;
  for (long head = 0; head < model->heads; head++, keys += cache->head_stride)
    attend(query + head * model->width, keys, keys + cache->kind_stride, positions, length, model->width, attended + head * model->width);
}

static void attend_self(const void *job, long row) {
  const struct attention *attention = job;
  const struct sequence *sequence = attention->step->sequences + row;
  attend_heads(attention, row, &sequence->own, sequence->visible_positions, sequence->length);
}

static void attend_source(const void *job, long row) {
  const struct attention *attention = job;
  const struct sequence *sequence = attention->step->sequences + row;
  attend_heads(attention, row, &sequence->source, 0, sequence->source_length);
}

AVX512 static void embed(const struct step *step, float *x) {
  const struct blenderbot *model = step->model;
  for (long row = 0; row < step->rows; row++) {
    const float *token = model->embedding + step->sequences[row].id * model->hidden;
    const float *position = model->positions + step->sequences[row].token_index * model->hidden;
    for (long i = 0; i < model->hidden; i += LANES) {
      const __m512 scaled = _mm512_mul_ps(_mm512_loadu_ps(token + i), _mm512_set1_ps(model->scale));
      _mm512_storeu_ps(x + row * model->hidden + i, _mm512_add_ps(scaled, _mm512_loadu_ps(position + i)));
    }
  }
}

/* How many floats of scratch a row needs: three of the hidden size, and the larger of what comes from `qkv_proj` and `up_proj`. */
long chatsite_blenderbot_scratch(const struct blenderbot *model) {
  return 3 * model->hidden + max_long(3 * model->hidden, model->inner);
}

void chatsite_blenderbot_step(const struct step *step) {
  const struct blenderbot *model = step->model;
  const struct buffer buffer = *step->buffer;
  const long rows = step->rows, hidden = model->hidden, inner = model->inner;
  float *x = step->scratch, *normalized = x + rows * hidden, *attended = normalized + rows * hidden, *projected = attended + rows * hidden;
  embed(step, x);
  for (long layer_index = 0; layer_index < model->num_layers; layer_index++) {
    const struct layer *layer = model->layers + layer_index;
    normalize_rows(step, x, layer->input_norm, normalized);
    matmul(layer->qkv_proj, normalized, hidden, rows, buffer, projected);
    store_keys_values(step, projected, layer_index);
    const struct attention own = {step, projected, attended, layer_index, 3 * hidden};
    parallel_for(attend_self, &own, rows);
    matmul(layer->o_proj, attended, hidden, rows, buffer, normalized);
    add_rows(x, normalized, rows * hidden);
    normalize_rows(step, x, layer->post_attention_norm, normalized);
    matmul(layer->cross_q_proj, normalized, hidden, rows, buffer, projected);
    const struct attention source = {step, projected, attended, layer_index, hidden};
    parallel_for(attend_source, &source, rows);
    matmul(layer->cross_o_proj, attended, hidden, rows, buffer, normalized);
    add_rows(x, normalized, rows * hidden);
    normalize_rows(step, x, layer->final_norm, normalized);
    matmul(layer->up_proj, normalized, hidden, rows, buffer, projected);
    const struct gelu_job gelu_job = {projected, inner};
    parallel_for(apply_gelu, &gelu_job, rows);
    matmul(layer->down_proj, projected, inner, rows, buffer, normalized);
    add_rows(x, normalized, rows * hidden);
  }
  normalize_rows(step, x, model->final_norm, normalized);
  matmul(model->lm_head, normalized + (rows - step->num_logits) * hidden, hidden, step->num_logits, buffer, step->logits);
}

#else

long chatsite_blenderbot_scratch(const void *model) { return (void)model, 0; }
void chatsite_blenderbot_step(const void *step) { (void)step; }

#endif
