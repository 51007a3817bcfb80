// The forward pass, edge by edge: what an edge needs then stays in the caches.
#pragma once

#include "layout.h"

template <class T, int L, int C> struct Forward : Layout<T, L, C> {
    using Base = Layout<T, L, C>;
    using R = typename Base::R;
    using Base::b, Base::c, Base::h, Base::w, Base::map, Base::map_size, Base::x, Base::team;
    template <class... Rest> explicit Forward(const Rest&... rest) : Base(false, rest...) {}

    Array<double> sums = Array<double>(size_t(b.images) * b.maps * 2 * c);  // of every map, and of its squares
    std::vector<bool> pooled = std::vector<bool>(b.maps);

    double* sums_of(int image, int map) { return sums.data() + (size_t(image) * b.maps + map) * 2 * c; }

    void run(T* const* outputs) {
        for (int e = 0; e < b.edges; e++) {
            first_maps(e);
            second_maps(e);
            mix(e, outputs[e]);
        }
    }

    // Poolings, and convolutions up to their first BatchNorm.
    void first_maps(int e) {
#pragma omp parallel num_threads(team())
        {
            Array<T> rectified(Base::padded_size()), row(size_t(w) * Base::widest * c);
#pragma omp for schedule(static)
            for (int n = 0; n < b.images; n++) {
                std::vector<bool> done = pooled;  // by edges before, then by operations before
                Base::rectify(Base::image(n), b.height, b.width, nullptr, nullptr, rectified.data(), Base::padded_width);
                Base::every_term(e, [&](const Term& term, int) {
                    if (Base::pools(term) && !done[term.map]) {
                        Base::pool(term.kind == MAX_POOL, Base::image(n), map(term.map, n), sums_of(n, term.map));
                        done[term.map] = true;
                    }
                    const int to = term.kind == SEPARABLE ? term.first_map : term.map;
                    if (Base::convolves(term))
                        Base::convolve(term, term.parameter, rectified.data(), Base::padded_width, b.stride, map(to, n),
                                       sums_of(n, to), row.data());
                });
            }
        }
        Base::every_term(e, [&](const Term& term, int) {
            if (Base::pools(term)) pooled[term.map] = true;
            if (!b.training || term.norm < 0) return;
            if (term.kind == SEPARABLE) Base::take_statistics(term.first_norm, term.first_map, sums);
            else Base::take_statistics(term.norm, term.map, sums);
        });
    }

    // The second halves of separable convolutions.
    void second_maps(int e) {
#pragma omp parallel num_threads(team())
        {
            Array<T> rectified(Base::out_padded_size()), row(size_t(w) * c), scale(c), shift(c);
#pragma omp for schedule(static)
            for (int n = 0; n < b.images; n++)
                Base::every_term(e, [&](const Term& term, int) {
                    if (term.kind != SEPARABLE) return;
                    Base::affine(term.first_norm, scale, shift);
                    Base::rectify(map(term.first_map, n), h, w, scale.data(), shift.data(), rectified.data(),
                                  Base::out_padded_width);
                    Base::convolve(term, term.parameter + 2, rectified.data(), Base::out_padded_width, 1,
                                   map(term.map, n), sums_of(n, term.map), row.data());
                });
        }
        Base::every_term(e, [&](const Term& term, int) {
            if (b.training && term.kind == SEPARABLE) Base::take_statistics(term.norm, term.map, sums);
        });
    }

    // output = sum_o weight * BatchNorm(map), with the BatchNorms as one scale each and one shift together.
    void mix(int e, T* output) const {
        using V = typename R::V;
        Array<T> scales(size_t(b.primitives) * c), shift(c);
        Base::every_term(e, [&](const Term& term, int o) {
            const T weight = Base::weights[e * b.primitives + o];
            for (int i = 0; i < c; i++) {
                const bool normed = term.norm >= 0;
                const T scale = normed ? T(weight * Base::inverse_deviation(term.norm, i)) : weight;
                scales[o * c + i] = scale;
                if (normed) shift[i] -= scale * Base::means[term.norm * c + i];
            }
        });
#pragma omp parallel for schedule(static) num_threads(team())
        for (int n = 0; n < b.images; n++) {
            std::vector<std::pair<const T*, const T*>> sources;
            Base::every_term(e, [&](const Term& term, int o) {
                const T* scale = scales.data() + o * c;
                if (term.kind == SKIP) sources.emplace_back(Base::image(n), scale);
                else if (term.kind != NONE) sources.emplace_back(map(term.map, n), scale);
            });
            T* to = output + n * map_size;
            for (size_t pixel = 0; pixel < map_size; pixel += c)
                for (int lane = 0; lane < c; lane += L) {
                    V value = R::load(shift.data() + lane);
                    for (const auto& source : sources)
                        value += R::load(source.first + pixel + lane) * R::load(source.second + lane);
                    R::store(to + pixel + lane, value);
                }
        }
    }
};
