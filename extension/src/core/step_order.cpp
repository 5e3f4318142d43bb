#include "core/error.hpp"
#include "core/spec.hpp"
#include <algorithm>
#include <functional>
#include <queue>

namespace tenantmig::core {
namespace {

constexpr std::size_t nowhere = SIZE_MAX;

// The steps that are left form at least one cycle, and each of them waits for another one that is left: following these
// leads into a cycle, which begins where the walk meets itself.
std::string cycle_text(const std::vector<std::vector<std::size_t>> &depends_on, const std::vector<bool> &done,
                       const std::vector<std::string> &names) {
    std::vector<std::size_t> walk, position(depends_on.size(), nowhere);
    auto step = static_cast<std::size_t>(std::find(done.begin(), done.end(), false) - done.begin());
    while (position[step] == nowhere) {
        position[step] = walk.size();
        walk.push_back(step);
        step = *std::find_if(depends_on[step].begin(), depends_on[step].end(), [&](std::size_t d) { return !done[d]; });
    }
    walk.erase(walk.begin(), walk.begin() + static_cast<std::ptrdiff_t>(position[step]));
    // begin with the step that stands first in the document, whichever way the walk came
    std::rotate(walk.begin(), std::min_element(walk.begin(), walk.end()), walk.end());
    std::string text;
    for (const std::size_t i : walk)
        text += names[i] + " -> ";
    return text + names[walk.front()];
}

} // namespace

std::vector<std::size_t> order_steps(const std::vector<std::vector<std::size_t>> &depends_on,
                                     const std::vector<std::string> &names) {
    const std::size_t count = depends_on.size();
    if (names.size() != count) throw Error(sqlstate::internal, "steps and their names differ in number");
    std::vector<std::vector<std::size_t>> needed_by(count);
    std::vector<std::size_t> open(count, 0);
    for (std::size_t i = 0; i < count; ++i)
        for (const std::size_t other : depends_on[i]) {
            if (other >= count) throw Error(sqlstate::internal, "a step depends on one that does not exist");
            needed_by[other].push_back(i);
            ++open[i];
        }
    std::priority_queue<std::size_t, std::vector<std::size_t>, std::greater<>> ready; // the first in the document first
    for (std::size_t i = 0; i < count; ++i)
        if (open[i] == 0) ready.push(i);
    std::vector<std::size_t> order;
    std::vector<bool> done(count, false);
    while (!ready.empty()) {
        const std::size_t step = ready.top();
        ready.pop();
        order.push_back(step);
        done[step] = true;
        for (const std::size_t other : needed_by[step])
            if (--open[other] == 0) ready.push(other);
    }
    if (order.size() < count)
        throw Error(
            sqlstate::spec_invalid, "spec: steps: the steps depend on each other in a cycle",
            cycle_text(depends_on, done, names),
            "Each step takes evidence from the column that the next one fills; leave out one of these sources.");
    return order;
}

} // namespace tenantmig::core
