// The peer of the library's two memory-bound passes: the same sums over the same rows of bf16 weights, written plainly in C with the
// reductions declared, so that the compiler may use its vectors. All functions split rows over the OpenMP threads.
#include <math.h>
#include <stdint.h>
#include <string.h>

static inline float widen(uint16_t code) {
    uint32_t bits = (uint32_t)code << 16;
    float value;
    memcpy(&value, &bits, 4);
    return value;
}

// Bytes read once: what the memory gives.
uint64_t read_all(const uint64_t *data, int64_t count) {
    uint64_t sum = 0;
#pragma omp parallel for simd reduction(+ : sum) schedule(static)
    for (int64_t i = 0; i < count; i++) sum += data[i];
    return sum;
}

static inline float largest(const uint16_t *row, int n) {
    uint16_t most = 0;
#pragma omp simd reduction(max : most)
    for (int i = 0; i < n; i++) {
        uint16_t magnitude = row[i] & 0x7FFF;
        most = magnitude > most ? magnitude : most;
    }
    return widen(most);
}

// out[row] = {mean, largest, sum d^2, sum d^4, sum e^2}: everything that the library's sensitivity metrics follow from.
void sensitivity(const uint16_t *weights, int rows, int n, double *out) {
#pragma omp parallel for schedule(static)
    for (int r = 0; r < rows; r++) {
        const uint16_t *row = weights + (int64_t)r * n;
        float most = largest(row, n), sum = 0;
#pragma omp simd reduction(+ : sum)
        for (int i = 0; i < n; i++) sum += widen(row[i]);
        float mean = sum / n, scale = fmaxf(most / 127.0f, 1.1920929e-07f), inverse = 1.0f / scale;
        float squares = 0, fourths = 0, errors = 0;
#pragma omp simd reduction(+ : squares, fourths, errors)
        for (int i = 0; i < n; i++) {
            float w = widen(row[i]), d = w - mean, d2 = d * d, e = w - rintf(w * inverse) * scale;
            squares += d2;
            fourths += d2 * d2;
            errors += e * e;
        }
        double *o = out + (int64_t)r * 5;
        o[0] = mean, o[1] = most, o[2] = squares, o[3] = fourths, o[4] = errors;
    }
}

// The blog's metric alone: the unbiased variance of each row.
void variance(const uint16_t *weights, int rows, int n, double *out) {
#pragma omp parallel for schedule(static)
    for (int r = 0; r < rows; r++) {
        const uint16_t *row = weights + (int64_t)r * n;
        float sum = 0, squares = 0;
#pragma omp simd reduction(+ : sum)
        for (int i = 0; i < n; i++) sum += widen(row[i]);
        float mean = sum / n;
#pragma omp simd reduction(+ : squares)
        for (int i = 0; i < n; i++) {
            float d = widen(row[i]) - mean;
            squares += d * d;
        }
        out[r] = squares / (n - 1);
    }
}

// NxD's int8 per channel: scale = largest / 127, code = round-half-even(w * (1 / scale)).
void int8_per_channel(const uint16_t *weights, int rows, int n, int8_t *codes, float *scales) {
#pragma omp parallel for schedule(static)
    for (int r = 0; r < rows; r++) {
        const uint16_t *restrict row = weights + (int64_t)r * n;
        int8_t *restrict target = codes + (int64_t)r * n;
        float scale = fmaxf(largest(row, n) / 127.0f, 1.1920929e-07f), inverse = 1.0f / scale;
        scales[r] = scale;
#pragma omp simd
        for (int i = 0; i < n; i++) {
            float q = rintf(widen(row[i]) * inverse);
            q = q > 127.0f ? 127.0f : q < -127.0f ? -127.0f : q;
            target[i] = (int8_t)(int32_t)q;
        }
    }
}
