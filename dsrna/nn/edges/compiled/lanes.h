// The inner loops: rows of channels-last maps, L channels at a time.
//
// A map is H x W pixels of `c` channels each, c a multiple of L, and equal to C where C isn't 0: pixels then lie at
// distances that the compiler knows. T is float or double. GCC's and clang's vector types
// are used, so that the same text serves AVX-512, AVX2 and NEON.
#pragma once

#include <cstddef>
#include <cstring>

template <class T, int L> struct Lanes {
    typedef T type __attribute__((vector_size(L * sizeof(T)), aligned(alignof(T)), may_alias));
};

template <class T, int L, int C> struct Rows {
    using V = typename Lanes<T, L>::type;

    static V load(const T* from) { return *reinterpret_cast<const V*>(from); }
    static void store(T* to, V value) { *reinterpret_cast<V*>(to) = value; }
    static V relu(V value) { return value < 0 ? V{} : value; }  // keeps NaN

    // out[j] (+)= sum_taps kernel[tap] * in[j * stride + tap], a row of a depthwise convolution; `in` is padded.
    template <int K, int B, bool ADD>
    static void depthwise_block(const T* in, ptrdiff_t pitch, int c, int stride, int dilation, const T* kernel, T* out) {
        if (C) c = C;
        V sum[B];
        for (int q = 0; q < B; q++) sum[q] = ADD ? load(out + q * c) : V{};
        for (int ky = 0; ky < K; ky++)
            for (int kx = 0; kx < K; kx++) {
                const V tap = load(kernel + (ky * K + kx) * c);
                const T* from = in + ky * dilation * pitch + kx * dilation * c;
                for (int q = 0; q < B; q++) sum[q] += load(from + q * stride * c) * tap;
            }
        for (int q = 0; q < B; q++) store(out + q * c, sum[q]);
    }

    template <int K, bool ADD>
    static void depthwise_row(const T* in, ptrdiff_t pitch, int c, int stride, int dilation, const T* kernel, T* out,
                              int width) {
        if (C) c = C;
        for (int lane = 0; lane < c; lane += L) {
            int j = 0;
            const auto go = [&](auto block) {
                constexpr int B = decltype(block)::value;
                for (; j + B <= width; j += B)
                    depthwise_block<K, B, ADD>(in + j * stride * c + lane, pitch, c, stride, dilation, kernel + lane,
                                               out + j * c + lane);
            };
            go(Size<8>{});
            go(Size<4>{});
            go(Size<1>{});
        }
    }

    // in[j * stride + tap] += kernel[tap] * out[j]: the transpose of the above.
    template <int K>
    static void scatter_row(T* in, ptrdiff_t pitch, int c, int stride, int dilation, const T* kernel, const T* out,
                            int width) {
        if (C) c = C;
        for (int ky = 0; ky < K; ky++)
            for (int kx = 0; kx < K; kx++) {
                T* to = in + ky * dilation * pitch + kx * dilation * c;
                for (int lane = 0; lane < c; lane += L) {
                    const V tap = load(kernel + (ky * K + kx) * c + lane);
                    for (int j = 0; j < width; j++) {
                        T* at = to + j * stride * c + lane;
                        store(at, load(at) + tap * load(out + j * c + lane));
                    }
                }
            }
    }

    // gradient[tap] += sum_j in[j * stride + tap] * out[j].
    template <int K>
    static void correlate_row(T* gradient, const T* in, ptrdiff_t pitch, int c, int stride, int dilation, const T* out,
                              int width) {
        if (C) c = C;
        for (int lane = 0; lane < c; lane += L)
            for (int ky = 0; ky < K; ky++) {
                const T* from = in + ky * dilation * pitch + lane;
                V even[K] = {}, odd[K] = {};  // two chains of sums: one would wait for itself
                int j = 0;
                for (; j + 2 <= width; j += 2) {
                    const V first = load(out + j * c + lane), second = load(out + (j + 1) * c + lane);
                    for (int kx = 0; kx < K; kx++) {
                        even[kx] += load(from + (j * stride + kx * dilation) * c) * first;
                        odd[kx] += load(from + ((j + 1) * stride + kx * dilation) * c) * second;
                    }
                }
                if (j < width) {
                    const V last = load(out + j * c + lane);
                    for (int kx = 0; kx < K; kx++) even[kx] += load(from + (j * stride + kx * dilation) * c) * last;
                }
                for (int kx = 0; kx < K; kx++) {
                    T* to = gradient + (ky * K + kx) * c + lane;
                    store(to, load(to) + even[kx] + odd[kx]);
                }
            }
    }

    // out[j] = in[j] matrix, a row of a pointwise convolution: in (width, k), matrix (k, c), out (width, c).
    // With sums (2, c): adds the sum of the row and of its squares.
    static void pointwise_row(const T* in, int k, const T* matrix, int c, T* out, int width, double* sums = nullptr) {
        if (C && k == C && c == C) pointwise_row_of<C>(in, k, matrix, c, out, width, sums);
        else pointwise_row_of<0>(in, k, matrix, c, out, width, sums);
    }
    template <int K>
    static void pointwise_row_of(const T* in, int k, const T* matrix, int c, T* out, int width, double* sums) {
        if (K) c = k = K;
        for (int lane = 0; lane < c; lane += L) {
            int j = 0;
            V plain = {}, square = {};
            const auto go = [&](auto block) {
                constexpr int B = decltype(block)::value;
                for (; j + B <= width; j += B) {
                    V sum[B] = {};
                    const T* from = in + j * k;
                    for (int i = 0; i < k; i++) {
                        const V row = load(matrix + i * c + lane);
                        for (int q = 0; q < B; q++) sum[q] += from[q * k + i] * row;
                    }
                    for (int q = 0; q < B; q++) store(out + (j + q) * c + lane, sum[q]);
                    if (!sums) continue;
                    V values = sum[0], squares = sum[0] * sum[0];
                    for (int q = 1; q < B; q++) {
                        values += sum[q];
                        squares += sum[q] * sum[q];
                    }
                    plain += values;
                    square += squares;
                }
            };
            go(Size<8>{});
            go(Size<4>{});
            go(Size<1>{});
            if (!sums) continue;
            add_wide(sums + lane, plain);
            add_wide(sums + c + lane, square);
        }
    }

    // gradient (k, c) += in^T out, with in (width, k) and out (width, c); k is a multiple of 4.
    static void outer_row(T* gradient, const T* in, int k, const T* out, int c, int width) {
        if (C) c = C;
        for (int lane = 0; lane < c; lane += L) {
            int i = 0;
            const auto go = [&](auto block) {
                constexpr int B = decltype(block)::value;
                for (; i + B <= k; i += B) {
                    V sum[B];
                    for (int q = 0; q < B; q++) sum[q] = load(gradient + (i + q) * c + lane);
                    const T* from = in + i;
                    for (int j = 0; j < width; j++, from += k) {
                        const V right = load(out + j * c + lane);
                        for (int q = 0; q < B; q++) sum[q] += from[q] * right;
                    }
                    for (int q = 0; q < B; q++) store(gradient + (i + q) * c + lane, sum[q]);
                }
            };
            go(Size<16>{});
            go(Size<8>{});
            go(Size<4>{});
        }
    }

    // sums[0] += sum_j a[j], sums[1] += sum_j a[j] * b[j] over a row, gathered in float64.
    static void add_sums(double* sums, const T* a, const T* b, int c, int width) {
        if (C) c = C;
        constexpr int CHAINS = 4;  // sums that don't wait for one another
        for (int lane = 0; lane < c; lane += L) {
            V plain[CHAINS] = {}, product[CHAINS] = {};
            int j = 0;
            for (; j + CHAINS <= width; j += CHAINS)
                for (int q = 0; q < CHAINS; q++) {
                    const V value = load(a + (j + q) * c + lane);
                    plain[q] += value;
                    product[q] += value * load(b + (j + q) * c + lane);
                }
            for (; j < width; j++) {
                const V value = load(a + j * c + lane);
                plain[0] += value;
                product[0] += value * load(b + j * c + lane);
            }
            add_wide(sums + lane, plain[0] + plain[1] + (plain[2] + plain[3]));
            add_wide(sums + c + lane, product[0] + product[1] + (product[2] + product[3]));
        }
    }
    static void add_wide(double* sums, V value) {
        using D = typename Lanes<double, L>::type;
        D& to = *reinterpret_cast<D*>(sums);
        to += __builtin_convertvector(value, D);
    }

    // to = relu(from * scale + shift), written into a padded map; scale null means 1, shift 0.
    static void relu_row(const T* from, const T* scale, const T* shift, int c, T* to, int width) {
        if (C) c = C;
        for (int lane = 0; lane < c; lane += L) {
            const V by = scale ? load(scale + lane) : V{} + 1, plus = scale ? load(shift + lane) : V{};
            for (int j = 0; j < width; j++)
                store(to + j * c + lane, relu(load(from + j * c + lane) * by + plus));
        }
    }

    static void prefetch_row(const T* from, int c, int width) {
        for (int i = 0; i < width * c; i += 64 / sizeof(T)) __builtin_prefetch(from + i);
    }

    // to (+)= p * a + q * b + r, per channel: the gradient behind a BatchNorm, from the one before it and its input.
    static void combine_row(const T* a, const T* b, const T* pqr, int c, T* to, int width, bool add) {
        if (C) c = C;
        for (int lane = 0; lane < c; lane += L) {
            const V p = load(pqr + lane), q = load(pqr + c + lane), r = load(pqr + 2 * c + lane);
            for (int j = 0; j < width; j++) {
                V value = p * load(a + j * c + lane) + q * load(b + j * c + lane) + r;
                if (add) value += load(to + j * c + lane);
                store(to + j * c + lane, value);
            }
        }
    }

    template <int B> struct Size { static constexpr int value = B; };
};
