// The backward pass, edge by edge: of the weights, of the input and of the convolutions, as far as they are asked for.
#pragma once

#include "layout.h"

template <class T, int L, int C> struct Backward : Layout<T, L, C> {
    using Base = Layout<T, L, C>;
    using R = typename Base::R;
    using Base::b, Base::c, Base::h, Base::w, Base::pad, Base::map, Base::map_size, Base::x, Base::team;
    template <class... Rest> explicit Backward(const Rest&... rest) : Base(true, rest...) {}
    using Gradients = std::vector<Array<T>>;  // of the parameters, in the packed layout

    bool with_x = false, with_parameters = false;
    Array<T> pqr = Array<T>(size_t(b.primitives) * 3 * c);  // of the edge at hand: see gradient_coefficients
    Maps<T> firsts;                                         // gradients at the first BatchNorms' outputs
    Maps<T> behind;                                         // gradients at the rectified, padded input
    Maps<T> pooled[2];                                      // gradients at the poolings
    std::vector<Gradients> of_threads;

    void run(const T* const* outputs, T* weight_gradients, T* x_gradient, T* const* parameter_gradients) {
        with_x = x_gradient;
        with_parameters = parameter_gradients;
        if (with_x) {
            behind.resize(b.images * Base::padded_size());
            for (auto& gradient : pooled) gradient.resize(b.images * map_size);
            const size_t size = size_t(b.height) * b.width * c;
#pragma omp parallel for schedule(static) num_threads(team())
            for (int n = 0; n < b.images; n++) {
                std::fill_n(behind.data() + n * Base::padded_size(), Base::padded_size(), T(0));
                for (auto& gradient : pooled) std::fill_n(gradient.data() + n * map_size, map_size, T(0));
                std::fill_n(x_gradient + n * size, size, T(0));
            }
        }
        of_threads.resize(team(), with_parameters ? zeros() : Gradients());
        for (int e = 0; e < b.edges; e++) {
            weigh(e, outputs[e], weight_gradients + e * b.primitives);
            if (!with_x && !with_parameters) continue;
            second_halves(e, outputs[e]);
            first_halves(e, outputs[e]);
            if (with_x) past_convolutions(e, outputs[e], x_gradient);
        }
        if (with_x) finish(x_gradient);
        if (with_parameters) unpack(parameter_gradients);
    }

    Gradients zeros() const {
        Gradients gradients(b.parameters);
        for (int p = 0; p < b.parameters; p++) gradients[p].resize(Base::packed[p].size());
        return gradients;
    }
    T* coefficients(int o) { return pqr.data() + size_t(o) * 3 * c; }

    // Per term: sum g and sum g z; the weights' gradients follow, and the BatchNorms' coefficients.
    void weigh(int e, const T* output, T* weight_gradients) {
        const size_t per_image = size_t(b.primitives) * 2 * c;
        Array<double> sums(b.images * per_image);
#pragma omp parallel for schedule(static) num_threads(team())
        for (int n = 0; n < b.images; n++)
            Base::every_term(e, [&](const Term& term, int o) {
                if (term.kind == NONE) return;
                const T* z = term.kind == SKIP ? Base::image(n) : map(term.map, n);
                for (int i = 0; i < h; i++) {
                    const size_t row = size_t(i) * w * c;
                    R::add_sums(sums.data() + n * per_image + size_t(o) * 2 * c, output + n * map_size + row, z + row, c,
                                w);
                }
            });
        add_images(sums, per_image);
        Base::every_term(e, [&](const Term& term, int o) {
            const double *plain = sums.data() + size_t(o) * 2 * c, *product = plain + c;
            double total = 0;
            for (int i = 0; i < c; i++)
                total += term.norm < 0 ? product[i]
                                       : Base::inverse_deviation(term.norm, i) *
                                             (product[i] - Base::means[term.norm * c + i] * plain[i]);
            weight_gradients[o] = T(total);
            if (term.norm >= 0)
                Base::gradient_coefficients(term.norm, Base::weights[e * b.primitives + o], plain, product,
                                            coefficients(o));
        });
    }
    void add_images(Array<double>& sums, size_t per_image) const {
        for (int n = 1; n < b.images; n++)
            for (size_t i = 0; i < per_image; i++) sums[i] += sums[n * per_image + i];
    }

    struct Buffers {
        Array<T> row, inner, gradient, padded;
        explicit Buffers(const Backward& of)
            : row(size_t(of.w) * of.widest * of.c), inner(row.size()), gradient(size_t(of.w) * of.c),
              padded(of.out_padded_size()) {}
    };

    // From the gradient at a half's output map to those at its padded, rectified input and at its parameters.
    template <class F>
    void convolve_backward(const Term& term, int p, const T* from, int pitch, int height, int width, int stride,
                           F&& gradient_row, T* to, Buffers& use) {
        const int d = Base::dilation(term), border = pad - d * (term.size / 2), m = Base::matrix(term, p);
        const int k = Base::gathered(term) * c;
        const bool depthwise = Base::depthwise(term);
        Gradients& gradients = of_threads[thread()];
        T* inside = Base::interior(use.padded.data(), Base::out_padded_width);
        for (int i = 0; i < h; i++) {
            gradient_row(i, use.gradient.data());
            if (with_parameters) {
                Base::matrix_input(term, p, from, pitch, stride, i, use.row.data());
                R::outer_row(gradients[m].data(), use.row.data(), k, use.gradient.data(), c, w);
            }
            T* inner = depthwise ? inside + size_t(i) * Base::out_padded_width * c : use.inner.data();
            R::pointwise_row(use.gradient.data(), c, Base::packed[m].data(), k, inner, w);
            if (!depthwise) {
                if (to) ungather(term, inner, i, to);
                continue;
            }
            const size_t corner = (size_t(border + i * stride) * pitch + border) * c;
            with_size(term, [&](auto size) {
                constexpr int K = decltype(size)::value;
                if (with_parameters)
                    R::template correlate_row<K>(gradients[p].data(), from + corner, pitch * c, c, stride, d, inner, w);
                if (to && stride != 1)
                    R::template scatter_row<K>(to + corner, pitch * c, c, stride, d, Base::packed[p].data(), inner, w);
            });
        }
        if (!to || stride != 1 || !depthwise) return;
        for (int i = 0; i < height; i++)  // the flipped kernel over the padded gradient
            with_size(term, [&](auto size) {
                const T* in = use.padded.data() + (size_t(border + i) * Base::out_padded_width + border) * c;
                T* out = Base::interior(to, pitch) + size_t(i) * pitch * c;
                R::template depthwise_row<decltype(size)::value, true>(in, Base::out_padded_width * c, c, 1, d,
                                                                       Base::flipped[p].data(), out, width);
            });
    }
    template <class F> static void with_size(const Term& term, F&& go) {
        if (term.size == 3) go(std::integral_constant<int, 3>{});
        else go(std::integral_constant<int, 5>{});
    }

    void ungather(const Term& term, const T* from, int row, T* to) const {
        Base::every_gathered(term, row, [&](int q, size_t at) {
            for (int lane = 0; lane < c; lane += L)
                R::store(to + at + lane, R::load(to + at + lane) + R::load(from + q * c + lane));
        });
    }

    // Row i of the gradient at a map before BatchNorm.
    auto gradient_of(const T* g, const T* z, int o) {
        const T* by = coefficients(o);
        return [=, this](int i, T* to) {
            if (i + 1 < h) {  // while this row is worked on
                R::prefetch_row(g + size_t(i + 1) * w * c, c, w);
                R::prefetch_row(z + size_t(i + 1) * w * c, c, w);
            }
            R::combine_row(g + size_t(i) * w * c, z + size_t(i) * w * c, by, c, to, w, false);
        };
    }

    // Separable convolutions, their second halves: leaves the coefficients of the first halves in `pqr` and the
    // gradients before their BatchNorms in `firsts`.
    void second_halves(int e, const T* output) {
        int separable = 0;
        Base::every_term(e, [&](const Term& term, int) { separable += term.kind == SEPARABLE; });
        if (!separable) return;
        firsts.resize(separable * b.images * map_size);
        const size_t per_image = size_t(separable) * 2 * c;
        Array<double> sums(b.images * per_image);
#pragma omp parallel num_threads(team())
        {
            Buffers use(*this);
            Array<T> rectified(use.padded.size()), at_input(use.padded.size()), scale(c), shift(c);
#pragma omp for schedule(static)
            for (int n = 0; n < b.images; n++) {
                int index = 0;
                Base::every_term(e, [&](const Term& term, int o) {
                    if (term.kind != SEPARABLE) return;
                    Base::affine(term.first_norm, scale, shift);
                    Base::rectify(map(term.first_map, n), h, w, scale.data(), shift.data(), rectified.data(),
                                  Base::out_padded_width);
                    std::fill(at_input.begin(), at_input.end(), T(0));
                    convolve_backward(term, term.parameter + 2, rectified.data(), Base::out_padded_width, h, w, 1,
                                      gradient_of(output + n * map_size, map(term.map, n), o), at_input.data(), use);
                    T* to = first(index, n);
                    for (int i = 0; i < h; i++) {
                        const size_t at = size_t(i) * Base::out_padded_width * c, row = size_t(i) * w * c;
                        masked_row(Base::interior(at_input.data(), Base::out_padded_width) + at,
                                   Base::interior(rectified.data(), Base::out_padded_width) + at, to + row, w);
                        R::add_sums(sums.data() + n * per_image + size_t(index) * 2 * c, to + row,
                                    map(term.first_map, n) + row, c, w);
                    }
                    index++;
                });
            }
        }
        add_images(sums, per_image);
        int index = 0;
        Base::every_term(e, [&](const Term& term, int o) {
            if (term.kind != SEPARABLE) return;
            const double* plain = sums.data() + size_t(index++) * 2 * c;
            Base::gradient_coefficients(term.first_norm, 1, plain, plain + c, coefficients(o));
        });
    }
    T* first(int index, int n) { return firsts.data() + (size_t(index) * b.images + n) * map_size; }

    void first_halves(int e, const T* output) {
#pragma omp parallel num_threads(team())
        {
            Buffers use(*this);
            Array<T> rectified(Base::padded_size());
#pragma omp for schedule(static)
            for (int n = 0; n < b.images; n++) {
                Base::rectify(Base::image(n), b.height, b.width, nullptr, nullptr, rectified.data(), Base::padded_width);
                int index = 0;
                Base::every_term(e, [&](const Term& term, int o) {
                    if (!Base::convolves(term)) return;
                    const bool separable = term.kind == SEPARABLE;
                    const T* g = separable ? first(index++, n) : output + n * map_size;
                    const T* z = map(separable ? term.first_map : term.map, n);
                    convolve_backward(term, term.parameter, rectified.data(), Base::padded_width, b.height, b.width,
                                      b.stride, gradient_of(g, z, o),
                                      with_x ? behind.data() + n * Base::padded_size() : nullptr, use);
                });
            }
        }
    }

    // Adds the gradients of the skip connection, and gathers those of the poolings, one pooling for all edges.
    void past_convolutions(int e, const T* output, T* x_gradient) {
#pragma omp parallel for schedule(static) num_threads(team())
        for (int n = 0; n < b.images; n++)
            Base::every_term(e, [&](const Term& term, int o) {
                const T* g = output + n * map_size;
                if (term.kind == SKIP) {
                    const T weight = Base::weights[e * b.primitives + o];
                    for (size_t i = 0; i < map_size; i++) x_gradient[n * map_size + i] += weight * g[i];
                }
                if (Base::pools(term))
                    R::combine_row(g, map(term.map, n), coefficients(o), c,
                                   pooled[term.kind == MAX_POOL].data() + n * map_size, h * w, true);
            });
    }

    void finish(T* x_gradient) {
        bool kinds[2] = {};
        for (int e = 0; e < b.edges; e++)
            Base::every_term(e, [&](const Term& term, int) { kinds[term.kind == MAX_POOL] |= Base::pools(term); });
#pragma omp parallel num_threads(team())
        {
            Array<T> row(size_t(b.width) * c);
#pragma omp for schedule(static)
            for (int n = 0; n < b.images; n++) {
                const T* from = Base::image(n);
                T *to = x_gradient + (from - x), *gradient = behind.data() + n * Base::padded_size();
                for (int i = 0; i < b.height; i++) {
                    const T* inside = Base::interior(gradient, Base::padded_width) + size_t(i) * Base::padded_width * c;
                    masked_row(inside, from + size_t(i) * b.width * c, row.data(), b.width);
                    for (int j = 0; j < b.width * c; j++) to[size_t(i) * b.width * c + j] += row[j];
                }
                for (bool largest : {false, true})
                    if (kinds[largest]) Base::unpool(largest, from, pooled[largest].data() + n * map_size, to);
            }
        }
    }

    // to = gradient where the input is positive, else 0.
    void masked_row(const T* gradient, const T* input, T* to, int width) const {
        for (int i = 0; i < width * c; i += L)
            R::store(to + i, R::load(input + i) > 0 ? R::load(gradient + i) : typename R::V{});
    }

    void unpack(T* const* to) {
        Gradients& total = of_threads[0];
#pragma omp parallel for schedule(dynamic) num_threads(team())
        for (size_t p = 0; p < total.size(); p++)
            for (size_t other = 1; other < of_threads.size(); other++)
                for (size_t i = 0; i < total[p].size(); i++) total[p][i] += of_threads[other][p][i];
        const int filled = Base::filled;
        const auto matrix_to = [&](int from, int pixel, int column, int columns, int p, int taps) {
            for (int o = 0; o < columns; o++)
                for (int i = 0; i < filled; i++)
                    to[p][(o * filled + i) * taps + (taps > 1 ? pixel : 0)] =
                        total[from][(pixel * c + i) * c + column + o];
        };
#pragma omp parallel for schedule(dynamic) num_threads(team())
        for (int t = 0; t < b.edges * b.primitives; t++) {
            const Term& term = b.terms[t];
            const int p = term.parameter, taps = term.size * term.size;
            if (term.kind == REDUCE) {
                matrix_to(p, 0, 0, filled / 2, p, 1);
                matrix_to(p, 1, filled / 2, filled - filled / 2, p + 1, 1);
            }
            for (int tap = 0; term.kind == DENSE && tap < taps; tap++) matrix_to(p, tap, 0, filled, p, taps);
            for (int half = 0; half < (term.kind == SEPARABLE ? 2 : term.kind == DILATED ? 1 : 0); half++) {
                for (int i = 0; i < filled; i++)
                    for (int tap = 0; tap < taps; tap++)
                        to[p + 2 * half][i * taps + tap] = total[p + 2 * half][tap * c + i];
                matrix_to(p + 2 * half + 1, 0, 0, filled, p + 2 * half + 1, 1);
            }
        }
    }

    static int thread() {
#ifdef _OPENMP
        return omp_get_thread_num();
#else
        return 0;
#endif
    }
};
