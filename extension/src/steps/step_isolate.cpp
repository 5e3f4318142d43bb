#include "steps/step_kinds.hpp"

namespace tenantmig {

std::unique_ptr<Step> make_isolate_step(const core::Spec & /*spec*/, const core::IsolateStep &step) {
    throw Error(sqlstate::feature_not_supported,
                fmt::format("spec: {}: steps of kind \"isolate\" are not supported", step.path), {},
                "Leave the step out.");
}

} // namespace tenantmig
