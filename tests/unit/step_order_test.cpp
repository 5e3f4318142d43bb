#include "core/spec.hpp"
#include "expect_error.hpp"

namespace tenantmig::core {
namespace {

using Order = std::vector<std::size_t>;
const std::vector<std::string> abcd{"a", "b", "c", "d"};

TEST(StepOrder, WithoutDependenciesIsTheDocumentOrder) {
    EXPECT_EQ(order_steps({}, {}), Order{});
    EXPECT_EQ(order_steps({{}, {}, {}, {}}, abcd), (Order{0, 1, 2, 3}));
}

TEST(StepOrder, DependenciesComeFirstTheRestStays) {
    EXPECT_EQ(order_steps({{1}, {}}, {"a", "b"}), (Order{1, 0}));
    EXPECT_EQ(order_steps({{2}, {}, {}, {}}, abcd), (Order{1, 2, 0, 3}));
    EXPECT_EQ(order_steps({{1}, {2}, {3}, {}}, abcd), (Order{3, 2, 1, 0}));
    EXPECT_EQ(order_steps({{}, {0}, {0}, {1, 2}}, abcd), (Order{0, 1, 2, 3}));
}

TEST(StepOrder, ADependencyMayBeNamedTwice) {
    EXPECT_EQ(order_steps({{1, 1}, {}}, {"a", "b"}), (Order{1, 0}));
}

TEST(StepOrder, ACycleIsPrinted) {
    const std::string message = "spec: steps: the steps depend on each other in a cycle";
    EXPECT_ERROR(order_steps({{1}, {0}}, {"a", "b"}), "TM001", message, "a -> b -> a",
                 "leave out one of these sources");
    EXPECT_ERROR(order_steps({{0}}, {"a"}), "TM001", message, "a -> a");
    EXPECT_ERROR(order_steps({{3}, {}, {1}, {0}}, abcd), "TM001", message, "a -> d -> a");
}

TEST(StepOrder, OnlyTheCycleIsPrintedNotWhatHangsOnIt) {
    const Error error = error_of([] {
        order_steps({{1}, {2}, {3}, {2}}, abcd);
    }); // a and b wait for the cycle of c and d
    EXPECT_EQ(error.detail(), "c -> d -> c");
    const Error later = error_of([] { order_steps({{3}, {2}, {1}, {1}}, abcd); });
    EXPECT_EQ(later.detail(), "b -> c -> b");
}

TEST(StepOrder, WrongListsAreDefects) {
    EXPECT_ERROR(order_steps({{1}}, {"a"}), "TM999", "a step depends on one that does not exist");
    EXPECT_ERROR(order_steps({{}, {}}, {"a"}), "TM999", "steps and their names differ in number");
}

} // namespace
} // namespace tenantmig::core
